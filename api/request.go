package api

import (
	"context"
	"log/slog"
	"net/http"
	"regexp"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
)

// request collects what the request's log line says.
type request struct {
	id        string
	principal string
	appID     string
	calls     int   // written to an export
	err       error // the error that the handler returned
	status    int   // the status of that error
	cut       bool  // the answer was not sent, or not completely
}

type requestKey struct{}

func requestOf(ctx context.Context) *request {
	if r, ok := ctx.Value(requestKey{}).(*request); ok {
		return r
	}
	return &request{}
}

// goodRequestID is what a client may choose as its request's id.
var goodRequestID = regexp.MustCompile(`^[A-Za-z0-9._~-]{1,64}$`)

// observe gives the request an id, and writes its log line and metrics when it
// is over. A panic becomes a 500 without a stack in the answer.
func (s *server) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		started := time.Now()
		about := &request{id: r.Header.Get("X-Request-Id")}
		if !goodRequestID.MatchString(about.id) {
			about.id = uuid.NewString()
		}
		w.Header().Set("X-Request-Id", about.id)
		r = r.WithContext(context.WithValue(r.Context(), requestKey{}, about))
		ww := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
		defer func() { s.note(about, r, ww.Status(), time.Since(started)) }() // also for an answer that a panic cuts off
		defer func() {
			switch v := recover(); v {
			case nil:
			case http.ErrAbortHandler:
				panic(v)
			default:
				s.Logger.Error("panic", "request_id", about.id, "value", v)
				s.fail(ww, r, errPanic)
			}
		}()
		next.ServeHTTP(ww, r)
	})
}

type constError string

func (e constError) Error() string { return string(e) }

const errPanic = constError("a handler panicked")

func (s *server) note(about *request, r *http.Request, status int, took time.Duration) {
	route := chi.RouteContext(r.Context()).RoutePattern()
	if route == "" {
		route = "none"
	}
	if about.cut { // the status that was sent does not tell how it ended
		status = about.status
	}
	s.metrics.requests.WithLabelValues(route, methodLabel(r.Method), strconv.Itoa(status)).Inc()
	s.metrics.seconds.WithLabelValues(route, methodLabel(r.Method)).Observe(took.Seconds())
	level := slog.LevelInfo
	attrs := []slog.Attr{
		slog.String("request_id", about.id), slog.String("method", r.Method), slog.String("route", route),
		slog.Int("status", status), slog.Duration("duration", took),
	}
	if about.principal != "" {
		attrs = append(attrs, slog.String("principal", about.principal), slog.String("app_id", about.appID))
	}
	if id := chi.URLParam(r, "call_id"); id != "" {
		attrs = append(attrs, slog.String("call_id", id))
	}
	if id := chi.URLParam(r, "webhook_id"); id != "" {
		attrs = append(attrs, slog.String("webhook_id", id))
	}
	if about.calls > 0 {
		attrs = append(attrs, slog.Int("calls", about.calls))
	}
	if about.cut {
		attrs = append(attrs, slog.Bool("cut", true))
	}
	if about.err != nil && status != statusClientLeft {
		attrs = append(attrs, slog.String("code", string(problemOf(about.err).Code)))
	}
	if about.err != nil && status >= statusClientLeft {
		attrs = append(attrs, slog.Any("error", about.err))
	}
	if status >= http.StatusInternalServerError {
		level = slog.LevelError
	}
	s.Logger.LogAttrs(r.Context(), level, "request", attrs...)
}

// methodLabel keeps the set of label values closed.
func methodLabel(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
		return m
	}
	return "other"
}

type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "relay_http_requests_total", Help: "Requests answered."}, []string{"route", "method", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "relay_http_request_seconds", Help: "How long requests took.", Buckets: []float64{.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10},
		}, []string{"route", "method"}),
	}
	r.MustRegister(m.requests, m.seconds)
	return m
}
