package apnssim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5"
)

const (
	maxControlBody = 1 << 20 // bytes
	maxWaitSeconds = 60
)

// routes is the control side.
func (s *Sim) routes() http.Handler {
	r := chi.NewRouter()
	r.Get("/sim/healthz", control(func(*http.Request, none) (any, error) { return map[string]string{"status": "ok"}, nil }))
	r.Get("/sim/ca.pem", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-pem-file")
		_, _ = w.Write(s.ca.pem) // fails only when the reader is gone
	})
	r.Post("/sim/keys", control(func(_ *http.Request, o KeyOptions) (any, error) { return s.NewKey(o) }))
	r.Delete("/sim/keys/{key_id}", control(func(r *http.Request, _ none) (any, error) {
		s.RevokeKey(chi.URLParam(r, "key_id"))
		return nil, nil
	}))
	r.Put("/sim/tokens/{token}", control(func(r *http.Request, t Token) (any, error) {
		return nil, s.SetToken(chi.URLParam(r, "token"), t)
	}))
	r.Put("/sim/faults", control(func(_ *http.Request, f faultList) (any, error) { return nil, s.SetFaults(f...) }))
	r.Delete("/sim/faults", control(func(*http.Request, none) (any, error) { return nil, s.SetFaults() }))
	r.Post("/sim/freeze", control(func(*http.Request, none) (any, error) {
		s.Freeze()
		return nil, nil
	}))
	r.Get("/sim/connections", control(func(*http.Request, none) (any, error) { return s.Connections(), nil }))
	r.Get("/sim/messages", control(s.getMessages))
	r.Delete("/sim/messages", control(func(*http.Request, none) (any, error) {
		s.ClearMessages()
		return nil, nil
	}))
	r.Get("/sim/deliveries", control(s.getDeliveries))
	return r
}

// none is the body of a request that has none.
type none struct{}

// faultList is one fault, or an array of them.
type faultList []Fault

func (l *faultList) UnmarshalJSON(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("[")) {
		return d.Decode((*[]Fault)(l))
	}
	*l = make(faultList, 1)
	return d.Decode(&(*l)[0])
}

// control adapts a handler: a body is decoded strictly where there is one, a nil
// answer is a 204, an error becomes 400 and {"error": "..."}.
func control[B any](h func(*http.Request, B) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var body B
		var v any
		err := error(nil)
		if r.ContentLength != 0 {
			decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxControlBody))
			decoder.DisallowUnknownFields()
			if err = decoder.Decode(&body); err != nil {
				err = fmt.Errorf("the body cannot be read: %w", err)
			}
		}
		if err == nil {
			v, err = h(r, body)
		}
		switch {
		case err != nil:
			writeJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
		case v == nil:
			w.WriteHeader(http.StatusNoContent)
		default:
			writeJSON(w, http.StatusOK, v)
		}
	}
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // fails only when the reader is gone
}

// getMessages lists what was received: ?token= and ?after=N narrow it.
func (s *Sim) getMessages(r *http.Request, _ none) (any, error) {
	after, err := intParam(r, "after", 1<<62)
	if err != nil {
		return nil, err
	}
	return map[string]any{"messages": s.Messages(r.URL.Query().Get("token"), after)}, nil
}

// getDeliveries answers {"deliveries": [...], "after": n}: n is what to ask
// after next. ?token= may come several times; ?wait= is in seconds.
func (s *Sim) getDeliveries(r *http.Request, _ none) (any, error) {
	after, err := intParam(r, "after", 1<<62)
	if err != nil {
		return nil, err
	}
	wait, err := intParam(r, "wait", maxWaitSeconds)
	if err != nil {
		return nil, err
	}
	found := s.Deliveries(r.Context(), r.URL.Query()["token"], after, time.Duration(wait)*time.Second)
	if n := len(found); n > 0 {
		after = found[n-1].N
	}
	return map[string]any{"deliveries": found, "after": after}, nil
}

// intParam is a whole number of the query within 0 and high, 0 when absent.
func intParam(r *http.Request, name string, high int64) (int64, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > high {
		return 0, fmt.Errorf("%s is not a whole number within 0 and %d", name, high)
	}
	return n, nil
}
