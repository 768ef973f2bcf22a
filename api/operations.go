package api

import (
	"context"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/pushwake/relay/store"
)

// operation adapts a handler for those who run the service. Parameters are passed
// over, since probes add some against caches; a query must be readable all the
// same.
func (s *server) operation(h func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return s.open(func(w http.ResponseWriter, r *http.Request) error {
		if err := queryOf(r).err; err != nil {
			return err
		}
		return h(w, r)
	})
}

// health is GET /healthz: the process runs.
func (s *server) health(w http.ResponseWriter, _ *http.Request) error {
	return write(w, http.StatusOK, map[string]string{"status": "ok"})
}

// ready is GET /readyz: calls can be taken in.
func (s *server) ready(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	if err := s.Store.Ready(ctx); err != nil {
		s.Logger.Warn("not ready", "error", err)
		return store.ErrUnavailable
	}
	return write(w, http.StatusOK, map[string]string{"status": "ready"})
}

// serveMetrics is GET /metrics, for Prometheus.
func (s *server) serveMetrics(w http.ResponseWriter, r *http.Request) error {
	promhttp.HandlerFor(s.Registry, promhttp.HandlerOpts{}).ServeHTTP(w, r)
	return nil
}

// spec is GET /openapi.yaml.
func (s *server) spec(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "application/yaml")
	_, _ = w.Write(s.Spec)
	return nil
}

// has reports whether there is such a route.
func (s *server) has(method, path string) bool {
	return s.router.Match(chi.NewRouteContext(), method, path)
}
