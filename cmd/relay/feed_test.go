package main_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pushwake/relay/push/devicesim"
	"github.com/pushwake/relay/store/storetest"
)

// soon is how fast a device must fall silent once another one answered. It is
// some milliseconds where nothing else runs.
const soon = time.Second

// app is a simulated app of a test's own, and what became of its calls.
type app struct {
	*devicesim.Device
	wire   *wire
	events chan appEvent
	stop   func()
}

type appEvent struct {
	devicesim.Call
	at time.Time
}

// token is a device's token at the Push Kit simulator.
func token(device string) string { return "token-of-" + device + strings.Repeat("0", 16) }

// run lets an app live on a HarmonyOS device of a user until the test ends; edit
// may change it. It returns when the app is connected, where it keeps a feed.
func (r readyLine) run(t testing.TB, user, device, kind string, edit func(*devicesim.Config)) *app {
	t.Helper()
	type minted struct {
		Token string `json:"token"`
	}
	jwt := must[minted](t)(want[minted](t.Context(), r.backend(), http.StatusCreated, http.MethodPost, "/v1/device-tokens", map[string]any{"user_id": user, "device_id": device}))
	a := &app{wire: &wire{}, events: make(chan appEvent, 1000)}
	c := devicesim.Config{
		RelayURL: r.URL, PushKitURL: r.PushKitSim, DeviceToken: jwt.Token, DeviceID: device, UserID: user,
		Registration: map[string]any{"platform": "harmonyos", "device_type": kind, "system_version": "6.1.1(24)", "region": map[string]any{"sim_mcc": "460", "network_mcc": "460"}},
		OnEvent:      func(c devicesim.Call) { a.events <- appEvent{c, time.Now()} },
		HTTPClient:   &http.Client{Transport: a.wire}, PollEvery: time.Hour,
	}
	if kind == "phone" {
		c.PushKitToken = token(device)
		c.Registration["tokens"] = map[string]any{"push_kit": c.PushKitToken}
	}
	if edit != nil {
		edit(&c)
	}
	a.Device = devicesim.New(c)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	a.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(a.stop)
	if !c.NoFeed {
		connecting, tooLong := context.WithTimeout(t.Context(), patience)
		defer tooLong()
		if err := a.Connected(connecting); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

// until waits for a call of the app to come to a status.
func (a *app) until(t testing.TB, status devicesim.Status) appEvent {
	t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case e := <-a.events:
			if e.Status == status {
				return e
			}
		case <-timeout:
			t.Fatalf("no call became %s; the app had %+v", status, a.Calls())
		}
	}
}

// wire carries an app's requests, and cuts its feed when told to.
type wire struct {
	mu    sync.Mutex
	down  bool
	feeds []io.Closer
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	feed := r.Header.Get("Accept") == "text/event-stream"
	w.mu.Lock()
	down := w.down
	w.mu.Unlock()
	if feed && down {
		return nil, fmt.Errorf("the wire is down")
	}
	resp, err := httpClient.Transport.RoundTrip(r)
	if err == nil && feed {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.feeds = append(w.feeds, resp.Body)
	}
	return resp, err
}

// cut breaks the feed; no other is opened before mend.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = true
	for _, f := range w.feeds {
		_ = f.Close() // it may be closed
	}
	w.feeds = nil
}

func (w *wire) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = false
}

// invite calls a user and returns the call.
func (r readyLine) invite(t testing.TB, user string, ring int) callView {
	t.Helper()
	return must[callView](t)(want[callView](t.Context(), r.backend(), http.StatusCreated, http.MethodPost, "/v1/calls", invitation(user, ring, "")))
}

func (r readyLine) cancel(t testing.TB, id string) {
	t.Helper()
	must[callView](t)(want[callView](t.Context(), r.backend(), http.StatusOK, http.MethodPost, "/v1/calls/"+id+"/cancel", nil))
}

func (r readyLine) callNow(t testing.TB, id string) callView {
	t.Helper()
	return must[callView](t)(want[callView](t.Context(), r.backend(), http.StatusOK, http.MethodGet, "/v1/calls/"+id, nil))
}

// setToken tells the Push Kit simulator what became of a device's token.
func (r readyLine) setToken(t testing.TB, device, state string) {
	t.Helper()
	must[map[string]any](t)(want[map[string]any](t.Context(), caller{url: r.PushKitSim}, http.StatusOK, http.MethodPut, "/sim/tokens/"+url.PathEscape(token(device)), map[string]any{"state": state}))
}

// TestFeed lets simulated apps live on their feeds of a real relay.
func TestFeed(t *testing.T) {
	t.Parallel()
	r := startDev(t, setting{}, "--no-devices", "--data", dataFolder(t)).ready(t)
	t.Cleanup(func() {
		if broken := storetest.Broken(context.Background(), r.DatabaseURL); len(broken) > 0 {
			t.Errorf("promises of the store are broken: %v", broken)
		}
	})
	answers := devicesim.Script{Answer: true, AnswerAfter: 100 * time.Millisecond}

	// A watch and a phone whose pushes are lost ring over their feeds, and are
	// silent when another one answers. What has no feed is not connected.
	t.Run("alone", func(t *testing.T) {
		for _, device := range []string{"a-phone", "a-lost"} {
			r.setToken(t, device, "offline")
		}
		phone := r.run(t, "a", "a-phone", "phone", func(c *devicesim.Config) { c.Script = answers })
		others := []*app{r.run(t, "a", "a-lost", "phone", nil), r.run(t, "a", "a-watch", "wearable", nil)}
		away := r.run(t, "a", "a-away", "pc", func(c *devicesim.Config) { c.NoFeed = true })
		if _, err := away.Register(t.Context()); err != nil { // Run is about to
			t.Fatal(err)
		}
		for round := range 3 {
			c := r.invite(t, "a", 30)
			if pc, watch := c.leg("a-away"), c.leg("a-watch"); pc.Reason != "not_connected" || watch.Channel != "connection" || c.Reachable != 3 {
				t.Errorf("round %d: the PC %+v, the watch %+v, reachable %d", round, pc, watch, c.Reachable)
			}
			for _, other := range others {
				if e := other.until(t, devicesim.StatusRinging); e.ID != c.ID || e.Source != "connection" {
					t.Errorf("round %d: rings %+v", round, e)
				}
			}
			answered := phone.until(t, devicesim.StatusAnswered)
			for _, other := range others {
				e := other.until(t, devicesim.StatusStopped)
				if e.Reason != "answered_elsewhere" || e.at.Sub(answered.at) > soon {
					t.Errorf("round %d: %s after %v", round, e.Reason, e.at.Sub(answered.at))
				}
			}
			phone.until(t, devicesim.StatusCompleted)
			if got := r.callNow(t, c.ID); got.EndReason != "completed" || got.leg("a-watch").Status != "answered_elsewhere" {
				t.Errorf("round %d: the call ended as %+v", round, got)
			}
		}
	})

	// A phone that hears of each call twice, in either order, rings once.
	t.Run("both ways", func(t *testing.T) {
		phone := r.run(t, "b", "b-phone", "phone", nil)
		first := map[string]int{}
		for _, order := range []string{"", "feed first", "", "push first", "", "feed first", "push first", ""} {
			if order == "feed first" {
				r.setToken(t, "b-phone", "offline")
			}
			if order == "push first" {
				phone.wire.cut()
			}
			c := r.invite(t, "b", 30)
			ringing := phone.until(t, devicesim.StatusRinging)
			first[ringing.Source]++
			if wanted := map[string]string{"feed first": "connection", "push first": "push"}[order]; wanted != "" && ringing.Source != wanted {
				t.Errorf("%s, and it rings over the %s", order, ringing.Source)
			}
			if order == "feed first" {
				r.setToken(t, "b-phone", "alive") // what was kept for it comes now
			}
			if ringing.Source == "connection" {
				phone.until(t, devicesim.StatusDuplicate)
			}
			phone.wire.mend()
			r.cancel(t, c.ID)
			if e := phone.until(t, devicesim.StatusStopped); e.Reason != "canceled" || e.Source != ringing.Source {
				t.Errorf("%s: it stops as %+v", order, e)
			}
			if got := r.callNow(t, c.ID); got.leg("b-phone").Status != "canceled" {
				t.Errorf("%s: the call ended as %+v", order, got)
			}
			wakes := map[devicesim.Status]int{}
			for _, one := range phone.Calls() {
				if one.ID == c.ID {
					wakes[one.Status]++
				}
			}
			if wakes[devicesim.StatusStopped] != 1 || len(wakes) > 2 || wakes[devicesim.StatusDuplicate] > 1 {
				t.Errorf("%s: the wakes became %v", order, wakes)
			}
		}
		t.Logf("rang first: %v", first)
	})

	// What ends while a feed is away is told when it is back.
	t.Run("resumed", func(t *testing.T) {
		watch := r.run(t, "c", "c-watch", "wearable", nil)
		c := r.invite(t, "c", 30)
		watch.until(t, devicesim.StatusRinging)
		watch.wire.cut()
		r.cancel(t, c.ID)
		watch.wire.mend()
		if e := watch.until(t, devicesim.StatusStopped); e.Reason != "canceled" {
			t.Errorf("the watch: %+v", e)
		}
		if calls := watch.Calls(); len(calls) != 1 {
			t.Errorf("wakes %+v", calls)
		}
	})

	// Two apps of one device do not take the feed from each other for ever, and
	// one that is left alone takes it back.
	t.Run("replaced", func(t *testing.T) {
		yields := func(c *devicesim.Config) { c.YieldFor = 2 * time.Second }
		old := r.run(t, "d", "d-watch", "wearable", yields)
		young := r.run(t, "d", "d-watch", "wearable", yields)
		c := r.invite(t, "d", 30)
		young.until(t, devicesim.StatusRinging)
		r.cancel(t, c.ID)
		young.until(t, devicesim.StatusStopped)
		if calls := old.Calls(); len(calls) != 0 {
			t.Errorf("the app whose feed was taken over has %+v", calls)
		}
		young.stop()
		within(t, patience, "the old app's feed", func() bool {
			c := r.invite(t, "d", 10)
			r.cancel(t, c.ID)
			return len(old.Calls()) > 0
		})
	})

	// An app that died had calls of which nobody else would tell.
	t.Run("started anew", func(t *testing.T) {
		talks := func(c *devicesim.Config) { c.Script = devicesim.Script{Answer: true, HangUpAfter: -1} }
		watch := r.run(t, "e", "e-watch", "wearable", talks)
		c := r.invite(t, "e", 30)
		watch.until(t, devicesim.StatusActive)
		watch.stop()
		next := r.run(t, "e", "e-watch", "wearable", talks)
		within(t, patience, "the end of the call", func() bool { // what was confirmed a moment ago is spared
			if _, err := next.Register(t.Context()); err != nil {
				t.Fatal(err)
			}
			return r.callNow(t, c.ID).leg("e-watch").Status == "failed"
		})
		if calls := next.Calls(); len(calls) != 0 {
			t.Errorf("the app that was started anew took up %+v", calls)
		}
	})
}
