package apnssim

import (
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/pushwake/relay/push/simcontrol"
)

// routes is the control side.
func (s *Sim) routes() http.Handler {
	r := chi.NewRouter()
	r.Use(middleware.GetHead)
	r.Get("/sim/healthz", simcontrol.Handle(func(*http.Request) (any, error) { return map[string]string{"status": "ok"}, nil }))
	r.Get("/sim/ca.pem", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-pem-file")
		_, _ = w.Write(s.ca.pem) // fails only when the reader is gone
	})
	r.Post("/sim/keys", posted(func(_ *http.Request, o KeyOptions) (any, error) { return s.NewKey(o) }))
	r.Delete("/sim/keys/{key_id}", simcontrol.Handle(func(r *http.Request) (any, error) {
		s.RevokeKey(simcontrol.PathParam(r, "key_id"))
		return nil, nil
	}))
	r.Put("/sim/tokens/{token}", posted(func(r *http.Request, t Token) (any, error) {
		return nil, s.SetToken(simcontrol.PathParam(r, "token"), t)
	}))
	r.Put("/sim/faults", simcontrol.Handle(s.putFaults))
	r.Delete("/sim/faults", simcontrol.Handle(func(*http.Request) (any, error) { return nil, s.SetFaults() }))
	r.Post("/sim/freeze", simcontrol.Handle(func(*http.Request) (any, error) {
		s.Freeze()
		return nil, nil
	}))
	r.Get("/sim/connections", simcontrol.Handle(func(*http.Request) (any, error) { return s.Connections(), nil }))
	r.Get("/sim/messages", simcontrol.Handle(s.getMessages))
	r.Delete("/sim/messages", simcontrol.Handle(func(*http.Request) (any, error) {
		s.ClearMessages()
		return nil, nil
	}))
	r.Get("/sim/deliveries", simcontrol.Handle(s.getDeliveries))
	return r
}

func (s *Sim) putFaults(r *http.Request) (any, error) {
	rules, err := simcontrol.DecodeList[Fault](r)
	if err != nil {
		return nil, err
	}
	return nil, s.SetFaults(rules...)
}

// posted adapts a handler that takes a value, zero where there is no body.
func posted[B any](h func(*http.Request, B) (any, error)) http.HandlerFunc {
	return simcontrol.Handle(func(r *http.Request) (any, error) {
		var body B
		if r.ContentLength != 0 {
			if err := simcontrol.Decode(r, &body); err != nil {
				return nil, err
			}
		}
		return h(r, body)
	})
}

// getMessages lists what was received: ?token= and ?after=N narrow it.
func (s *Sim) getMessages(r *http.Request) (any, error) {
	after, err := simcontrol.IntParam(r, "after", 1<<62)
	if err != nil {
		return nil, err
	}
	return map[string]any{"messages": s.Messages(r.URL.Query().Get("token"), after)}, nil
}

// getDeliveries answers {"deliveries": [...], "after": n}: n is what to ask
// after next. ?token= may come several times; ?wait= is in seconds.
func (s *Sim) getDeliveries(r *http.Request) (any, error) {
	after, err := simcontrol.IntParam(r, "after", 1<<62)
	if err != nil {
		return nil, err
	}
	wait, err := simcontrol.IntParam(r, "wait", simcontrol.MaxWaitSeconds)
	if err != nil {
		return nil, err
	}
	found := s.Deliveries(r.Context(), r.URL.Query()["token"], after, time.Duration(wait)*time.Second)
	if n := len(found); n > 0 {
		after = found[n-1].N
	}
	return map[string]any{"deliveries": found, "after": after}, nil
}
