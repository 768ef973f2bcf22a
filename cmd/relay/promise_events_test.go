package main_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"
)

// An ear is a backend that follows its app's events in one way, at whichever
// process answers, and writes down what it is told.
type ear struct {
	stage *stage
	name  string // how it listens
	app   *playTenant
	rand  *rand.Rand
	node  int
	after string // its cursor
	over  <-chan struct{}

	mu    sync.Mutex
	heard []heardDoc
}

// listen follows every app's events in every way, until over is closed and there
// is nothing more to hear.
func (s *stage) listen(over <-chan struct{}) (wait func()) {
	var all sync.WaitGroup
	for i, app := range s.tenants {
		s.ears = append(s.ears, s.receive(app))
		for j, e := range []*ear{{name: "pages"}, {name: "stream"}} {
			e.stage, e.app, e.rand, e.node, e.over = s, app, s.rand(8, i, j), j, over
			s.ears = append(s.ears, e)
			follow := map[string]func(){"pages": e.followPages, "stream": e.followStream}[e.name]
			all.Go(follow)
		}
	}
	return all.Wait
}

func (e *ear) is(closed <-chan struct{}) bool {
	select {
	case <-closed:
		return true
	default:
		return false
	}
}

// hear writes an event down.
func (e *ear) hear(text []byte) error {
	h := heardDoc{Text: string(text), Got: e.stage.since()}
	if err := json.Unmarshal(text, &h); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heard = append(e.heard, h)
	return nil
}

// page asks for what follows the cursor, at the other process where one fails.
func (e *ear) page(wait int) (n int) {
	type page struct {
		Data   []json.RawMessage
		Cursor string
	}
	uri := fmt.Sprintf("/v1/events?wait=%d&limit=%d", wait, 20+e.rand.IntN(180))
	if e.after != "" {
		uri += "&after=" + e.after
	}
	got, err := want[page](e.stage.ctx, caller{e.stage.urls[e.node], e.app.key}, http.StatusOK, http.MethodGet, uri, nil)
	if err != nil {
		e.node = 1 - e.node
		e.stage.pause(20 * time.Millisecond)
		return -1
	}
	for _, text := range got.Data {
		if err := e.hear(text); err != nil {
			e.stage.complain("an event: %v", err)
		}
	}
	e.after = got.Cursor
	return len(got.Data)
}

// drain reads until there is nothing more to hear.
func (e *ear) drain() {
	for e.stage.ctx.Err() == nil && e.page(0) != 0 {
	}
}

func (e *ear) followPages() {
	for e.stage.ctx.Err() == nil && !e.is(e.over) {
		e.page(e.rand.IntN(3))
	}
	e.drain()
}

// followStream reads a stream that is cut every few hundred milliseconds, in the
// middle of whatever it is sending.
func (e *ear) followStream() {
	for e.stage.ctx.Err() == nil && !e.is(e.over) {
		ctx, cut := context.WithTimeout(e.stage.ctx, time.Duration(200+e.rand.IntN(500))*time.Millisecond)
		err := caller{e.stage.urls[e.node], e.app.key}.stream(ctx, "/v1/events", e.after, func() {}, func(s serverEvent) error {
			if s.name == "closed" {
				return errStreamEnded
			}
			e.after = s.id
			return e.hear(s.data)
		})
		cut()
		if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
			e.stage.complain("an event in the stream: %v", err)
		}
		e.node = 1 - e.node
	}
	e.drain()
}

// receive makes an endpoint of an app, which fails a third of its requests.
func (s *stage) receive(app *playTenant) *ear {
	s.t.Helper()
	e := &ear{stage: s, name: "webhook", app: app}
	r := newReceiver(s.t)
	r.slow, r.hear = false, func(event json.RawMessage) {
		if err := e.hear(event); err != nil {
			s.complain("an event: %v", err)
		}
	}
	hook := must[struct{ Secret string }](s.t)(want[struct{ Secret string }](s.t.Context(), caller{s.urls[0], app.key}, http.StatusCreated, http.MethodPost, "/v1/webhooks",
		map[string]any{"url": "http://" + r.addr + "/hooks"}))
	r.trust(hook.Secret)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unreliable = true
	return e
}

// delivered waits until the endpoints have got what the readers have.
func (s *stage) delivered() {
	s.t.Helper()
	within(s.t, patience, "the webhooks", func() bool {
		for _, readers := range s.told() {
			calls := slices.DeleteFunc(readers["pages"], func(h heardDoc) bool { return h.Call == nil })
			if len(slices.DeleteFunc(readers["webhook"], func(h heardDoc) bool { return h.Call == nil })) < len(calls) {
				return false
			}
		}
		return true
	})
}

// told is what the ears were told, by their app and how they listened.
func (s *stage) told() map[string]map[string][]heardDoc {
	told := map[string]map[string][]heardDoc{}
	for _, e := range s.ears {
		if told[e.app.id] == nil {
			told[e.app.id] = map[string][]heardDoc{}
		}
		e.mu.Lock()
		told[e.app.id][e.name] = slices.Clone(e.heard)
		e.mu.Unlock()
	}
	return told
}
