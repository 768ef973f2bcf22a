package main_test

import (
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// receiver is a backend's endpoint, which verifies what arrives by the library of
// Standard Webhooks and keeps it. It may be told to be unreliable.
type receiver struct {
	t    testing.TB
	addr string
	hear func(event json.RawMessage) // may be nil; told each event once
	slow bool                        // where it is unreliable, it also answers too late

	mu         sync.Mutex
	server     *http.Server
	verifier   *standardwebhooks.Webhook
	unreliable bool
	source     *rand.Rand
	taken      []taken // each event once, in the order of its first arrival that was taken
	seen       map[string]bool
	requests   int
	refused    int
	doubles    int
}

// taken is an event that the receiver took.
type taken struct {
	ID   string `json:"id"`
	Type string `json:"type"`
	Seq  int    `json:"call_seq"`
	Call *struct {
		ID string `json:"id"`
	} `json:"call"`
}

func newReceiver(t testing.TB) *receiver {
	t.Helper()
	r := &receiver{t: t, addr: "127.0.0.1:0", slow: true, seen: map[string]bool{}, source: rand.New(rand.NewPCG(7, 7))}
	r.begin()
	t.Cleanup(r.end)
	return r
}

// begin listens, at the address of the last time where there is one.
func (r *receiver) begin() {
	r.t.Helper()
	l, err := net.Listen("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	server := &http.Server{Handler: r}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.addr, r.server = l.Addr().String(), server
	go func() { _ = server.Serve(l) }() // ends when it is closed
}

// end cuts all connections and listens no more.
func (r *receiver) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = r.server.Close()
}

func (r *receiver) trust(secret string) {
	r.t.Helper()
	verifier, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		r.t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.verifier = verifier
}

// ServeHTTP takes a delivery, or not.
func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(q.Body)
	if err != nil {
		return // its sender was killed
	}
	if r.take(q.Header, body) {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	http.Error(w, "not now", http.StatusServiceUnavailable)
}

func (r *receiver) take(h http.Header, body []byte) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.verifier == nil {
		return false
	}
	if err := r.verifier.Verify(body, h); err != nil {
		r.t.Errorf("a delivery that cannot be verified: %v", err)
		return false
	}
	var d struct {
		Type string
		Data taken
	}
	var raw struct{ Data json.RawMessage }
	if err := errors.Join(json.Unmarshal(body, &d), json.Unmarshal(body, &raw)); err != nil || d.Type != d.Data.Type || d.Data.ID != h.Get("webhook-id") {
		r.t.Errorf("webhook-id %s: %v: %s", h.Get("webhook-id"), err, body)
	}
	r.requests++
	dice := 100
	if r.unreliable {
		dice = r.source.IntN(100)
	}
	if dice < 33 {
		r.refused++
		return false
	}
	if r.seen[d.Data.ID] {
		r.doubles++
	} else {
		r.seen[d.Data.ID], r.taken = true, append(r.taken, d.Data)
		if r.hear != nil {
			r.hear(raw.Data)
		}
	}
	if dice == 33 && r.slow { // it has taken the event, and does not say so in time
		r.mu.Unlock()
		time.Sleep(11 * time.Second)
		r.mu.Lock()
	}
	return true
}

// all is what was taken so far.
func (r *receiver) all() []taken {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.taken)
}
