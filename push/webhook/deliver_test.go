package webhook_test

import (
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/push/webhook"
	"github.com/pushwake/relay/store"
	"github.com/pushwake/relay/store/storetest"
)

// TestDelivers: events arrive, signed, of the types that were asked for.
func TestDelivers(t *testing.T) {
	t.Parallel()
	p := newRig(t).process()
	all, some := newEndpoint(t, nil), newEndpoint(t, nil)
	_, secret := p.hook(all)
	ended, _ := p.hook(some, call.EventCallEnded)
	p.unreachable("u1")
	got := all.awaits(2)
	if got[0].Type != "call.created" || got[1].Type != "call.ended" {
		t.Errorf("%s and %s came", got[0].Type, got[1].Type)
	}
	inOrder(t, got)
	verified(t, got[0], secret)
	if got[0].header.Get("Content-Type") != "application/json" || got[0].header.Get("User-Agent") == "" {
		t.Errorf("headers %v", got[0].header)
	}
	if got := some.awaits(1); got[0].Type != "call.ended" {
		t.Errorf("%s came, which was not asked for", got[0].Type)
	}
	eventually(t, func() string { return "the outcome" }, func() bool { return len(p.deliveries(ended, store.DeliveryDelivered)) == 1 })
	d := p.deliveries(ended, "")[0]
	if d.Attempts != 1 || d.Attempt.Status != http.StatusNoContent || d.Attempt.Duration == 0 || d.DoneAt.IsZero() || !d.NextAt.IsZero() {
		t.Errorf("the delivery is %+v", d)
	}
}

// TestRotation: while a secret is exchanged, both are good.
func TestRotation(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p, e := r.process(), newEndpoint(t, nil)
	w, older := p.hook(e)
	newer, end, err := p.RotateWebhookSecret(t.Context(), app, w.ID)
	if err != nil || newer == older || time.Until(end) < 23*time.Hour {
		t.Fatalf("%v, until %v", err, end)
	}
	p.unreachable("u1")
	for _, a := range e.awaits(2) {
		verified(t, a, older, newer)
	}
	storetest.Exec(t, r.url, `UPDATE webhooks SET old_secret_end = now() - interval '1 s', version = version + 1`)
	eventually(t, func() string { return "a delivery with one signature" }, func() bool {
		before := len(e.arrived())
		p.unreachable("u2")
		a := e.awaits(before + 2)[before+1]
		verified(t, a, newer)
		return !strings.Contains(a.header.Get("webhook-signature"), " ")
	})
}

// TestOrder: the events of a call wait for the first of them; those of others do not.
func TestOrder(t *testing.T) {
	t.Parallel()
	p := newRig(t).process()
	var stuck atomic.Pointer[uuid.UUID]
	var free atomic.Bool
	e := newEndpoint(t, func(_ http.ResponseWriter, a arrival) int {
		if id := stuck.Load(); id != nil && *id == a.Call && !free.Load() {
			return http.StatusInternalServerError
		}
		return http.StatusOK
	})
	one := p.call("u1") // before the webhook is made, so that it is known which call is to be stuck
	stuck.Store(&one.ID)
	p.hook(e)
	p.cancel(one)
	for _, user := range []string{"u2", "u3", "u4"} {
		p.unreachable(user)
	}
	eventually(t, func() string { return "the other calls" }, func() bool {
		n := 0
		for _, a := range e.arrived() {
			if a.Type == "call.ended" {
				n++
			}
		}
		return n == 3
	})
	for _, a := range e.arrived() {
		if a.Call == one.ID {
			t.Errorf("%s of the stuck call was taken", a.Type)
		}
	}
	seqs := map[int]bool{}
	for _, a := range e.requests() {
		if a.Call == one.ID {
			seqs[a.Seq] = true
		}
	}
	if len(seqs) != 1 {
		t.Errorf("events %v of the stuck call were tried, not only the first", seqs)
	}
	free.Store(true)
	eventually(t, func() string { return "the stuck call's end" }, func() bool {
		for _, a := range e.arrived() {
			if a.Call == one.ID && a.Type == "call.ended" {
				return true
			}
		}
		return false
	})
	last := 0
	for _, a := range e.arrived() {
		if a.Call == one.ID {
			if a.Seq <= last {
				t.Errorf("event %d came after event %d", a.Seq, last)
			}
			last = a.Seq
		}
	}
}

// TestGivenUp: after the last try the delivery has failed, and its call goes on.
func TestGivenUp(t *testing.T) {
	t.Parallel()
	p := newRig(t).process(func(c *webhook.Config) {
		c.Schedule = webhook.Schedule{Live: []time.Duration{}, Late: []time.Duration{time.Millisecond, time.Millisecond}}
	})
	long := strings.Repeat("x", 3000)
	e := newEndpoint(t, func(w http.ResponseWriter, a arrival) int {
		if a.Type == "call.ended" {
			return http.StatusOK
		}
		w.WriteHeader(http.StatusBadGateway)
		_, _ = w.Write([]byte("down\x00" + long))
		return 0
	})
	w, _ := p.hook(e)
	p.unreachable("u1")
	eventually(t, func() string { return "the event after the one that was given up" }, func() bool { return len(p.deliveries(w, store.DeliveryDelivered)) == 1 })
	failed := p.deliveries(w, store.DeliveryFailed)
	if len(failed) != 1 || failed[0].Type != call.EventCallCreated || failed[0].Attempts != 3 || failed[0].Attempt.Status != http.StatusBadGateway {
		t.Fatalf("failed are %+v", failed)
	}
	if body := failed[0].Attempt.Body; !strings.HasPrefix(body, "down\uFFFDxxx") || len(body) > store.MaxResponseBody+2 {
		t.Errorf("%d bytes of the answer are kept: %.20q", len(body), body)
	}
	if !p.look(w).FailingSince.IsZero() {
		t.Error("it has recovered and is said to fail")
	}
}

// TestRetryAfter: an endpoint that asks for a pause gets one, for all that it gets.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	p := newRig(t).process()
	var asked atomic.Bool
	e := newEndpoint(t, func(w http.ResponseWriter, _ arrival) int {
		if asked.CompareAndSwap(false, true) {
			w.Header().Set("Retry-After", "1")
			return http.StatusTooManyRequests
		}
		return http.StatusOK
	})
	p.hook(e)
	p.unreachable("u1")
	eventually(t, func() string { return "the first request" }, asked.Load)
	e.awaits(2)
	requests := e.requests()
	if pause := requests[1].at.Sub(requests[0].at); pause < 900*time.Millisecond {
		t.Errorf("the next request came after %v, not after a second", pause)
	}
}

// TestGone: 410 disables, which other endpoints are told.
func TestGone(t *testing.T) {
	t.Parallel()
	p := newRig(t).process()
	e, other := newEndpoint(t, func(http.ResponseWriter, arrival) int { return http.StatusGone }), newEndpoint(t, nil)
	w, _ := p.hook(e)
	p.hook(other, call.EventWebhookDisabled, call.EventWebhookRecovered)
	p.unreachable("u1")
	told := other.awaits(1)
	if told[0].Type != "webhook.disabled" || !strings.Contains(string(told[0].Webhook), w.ID.String()) || !strings.Contains(string(told[0].Webhook), `"gone"`) {
		t.Errorf("%s: %s", told[0].Type, told[0].Webhook)
	}
	if now := p.look(w); now.Status != store.WebhookDisabled || now.DisabledReason != store.DisabledGone || now.DisabledAt.IsZero() {
		t.Errorf("it is %+v", now)
	}
	if left := p.deliveries(w, store.DeliveryPending); len(left) != 0 {
		t.Errorf("%d deliveries wait for a disabled endpoint", len(left))
	}
	if _, err := p.TestWebhook(t.Context(), app, w.ID); err == nil {
		t.Error("a disabled endpoint can be tested")
	}
	before := len(e.requests())
	p.settled(p.unreachable("u2"))
	enabled := store.WebhookEnabled
	if _, err := p.ChangeWebhook(t.Context(), app, w.ID, store.WebhookChange{Status: &enabled, URL: &other.URL}); err != nil {
		t.Fatal(err)
	}
	c := p.unreachable("u3")
	got := other.awaits(4) // the two of the call, and the recovery
	if n := len(e.requests()); n != before {
		t.Errorf("a disabled endpoint got %d requests", n-before)
	}
	recovered := false
	for _, a := range got[1:] {
		recovered = recovered || a.Type == "webhook.recovered"
		if a.Call != uuid.Nil && a.Call != c.ID {
			t.Error("an event came of the time when it was disabled")
		}
	}
	if !recovered {
		t.Error("nobody was told that it recovered")
	}
}

// TestFailingForDays: an endpoint that fails for three days is disabled.
func TestFailingForDays(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.process()
	e := newEndpoint(t, func(http.ResponseWriter, arrival) int { return http.StatusInternalServerError })
	w, _ := p.hook(e)
	p.unreachable("u1")
	eventually(t, func() string { return "it to be failing" }, func() bool { return !p.look(w).FailingSince.IsZero() })
	if now := p.look(w); now.Status != store.WebhookEnabled {
		t.Fatalf("it is %+v", now)
	}
	storetest.Exec(t, r.url, `UPDATE webhooks SET failing_since = now() - interval '3 days'`)
	eventually(t, func() string { return "it to be disabled" }, func() bool { return p.look(w).Status == store.WebhookDisabled })
	if now := p.look(w); now.DisabledReason != store.DisabledFailing {
		t.Errorf("it is %+v", now)
	}
}

// TestRecovers: it is told of an endpoint that failed for a while.
func TestRecovers(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.process()
	var well atomic.Bool
	e := newEndpoint(t, func(http.ResponseWriter, arrival) int {
		if well.Load() {
			return http.StatusOK
		}
		return http.StatusInternalServerError
	})
	w, _ := p.hook(e)
	p.unreachable("u1")
	eventually(t, func() string { return "it to be failing" }, func() bool { return !p.look(w).FailingSince.IsZero() })
	storetest.Exec(t, r.url, `UPDATE webhooks SET failing_since = now() - interval '1 hour'`)
	well.Store(true)
	got := e.awaits(3)
	if got[2].Type != "webhook.recovered" {
		t.Errorf("%s came", got[2].Type)
	}
}

// TestRedirectsAndPrivateAddresses are refused, and the log says why.
func TestRedirectsAndPrivateAddresses(t *testing.T) {
	t.Parallel()
	p := newRig(t).process(func(c *webhook.Config) { c.Schedule = webhook.Schedule{Live: []time.Duration{}} })
	target := newEndpoint(t, nil)
	e := newEndpoint(t, func(w http.ResponseWriter, _ arrival) int {
		w.Header().Set("Location", target.URL)
		return http.StatusTemporaryRedirect
	})
	w, _ := p.hook(e)
	p.unreachable("u1")
	eventually(t, func() string { return "the failure" }, func() bool { return len(p.deliveries(w, store.DeliveryFailed)) == 2 })
	if d := p.deliveries(w, "")[0]; d.Attempt.Status != 307 || !strings.Contains(d.Attempt.Error, "redirects are not followed") {
		t.Errorf("the delivery is %+v", d)
	}
	inside := "http://10.9.8.7/"
	if _, err := p.ChangeWebhook(t.Context(), app, w.ID, store.WebhookChange{URL: &inside}); err != nil {
		t.Fatal(err)
	}
	d, err := p.TestWebhook(t.Context(), app, w.ID)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, func() string { return "the test's failure" }, func() bool {
		all := p.deliveries(w, store.DeliveryFailed)
		last := all[len(all)-1]
		return last.EventID == d.EventID && strings.Contains(last.Attempt.Error, "does not deliver to")
	})
	if len(target.requests()) != 0 {
		t.Error("a redirect was followed")
	}
}

// TestAskedFor: a test, one event once more, and all since a time.
func TestAskedFor(t *testing.T) {
	t.Parallel()
	p := newRig(t).process()
	e := newEndpoint(t, nil)
	began := p.Now()
	p.settled(p.unreachable("u0"))
	w, secret := p.hook(e)
	p.unreachable("u1")
	got := e.awaits(2)
	d, err := p.TestWebhook(t.Context(), app, w.ID)
	if err != nil || d.Type != store.WebhookTest || d.Status != store.DeliveryPending {
		t.Fatalf("%+v, %v", d, err)
	}
	test := e.awaits(3)[2]
	if test.Type != "webhook.test" || test.ID != d.EventID {
		t.Errorf("the test came as %+v", test.told)
	}
	verified(t, test, secret)
	eventually(t, func() string { return "the outcomes" }, func() bool { return len(p.deliveries(w, store.DeliveryDelivered)) == 3 })
	if d, err = p.Redeliver(t.Context(), app, w.ID, got[0].ID); err != nil || d.Status != store.DeliveryPending || d.Attempts != 0 {
		t.Fatalf("%+v, %v", d, err)
	}
	eventually(t, func() string { return "the event once more" }, func() bool { n := e.requests(); return len(n) == 4 && n[3].ID == got[0].ID })
	eventually(t, func() string { return "the outcomes" }, func() bool { return len(p.deliveries(w, store.DeliveryDelivered)) == 3 })
	if _, err := p.Redeliver(t.Context(), app, w.ID, uuid.New()); err == nil {
		t.Error("an unknown delivery is sent again")
	}
	if _, err := p.ReplayWebhook(t.Context(), app, w.ID, began); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() string { return "all since the beginning" }, func() bool { return len(e.requests()) == 8 })
	inOrder(t, e.requests()[4:])
	p.unreachable("u2")
	eventually(t, func() string { return "what comes after the replay" }, func() bool { return len(e.requests()) == 10 })
}

// TestSlowEndpoints: of ten endpoints nine hang, and the tenth gets its events
// within a second.
func TestSlowEndpoints(t *testing.T) { // alone, since it looks at the time
	p := newRig(t).process(func(c *webhook.Config) { c.Drain = 100 * time.Millisecond })
	release := make(chan struct{})
	for range 9 {
		p.hook(newEndpoint(t, func(http.ResponseWriter, arrival) int { <-release; return http.StatusOK }))
	}
	t.Cleanup(func() { close(release) }) // before the endpoints are closed
	fast := newEndpoint(t, nil)
	p.hook(fast)
	const calls = 300
	begun := map[uuid.UUID]time.Time{}
	for i := range calls {
		at := time.Now()
		begun[p.unreachable("u"+string(rune('a'+i%20))).ID] = at
		time.Sleep(10 * time.Millisecond) // a steady load, not one burst
	}
	var took []time.Duration
	for _, a := range fast.awaits(2 * calls) {
		took = append(took, a.at.Sub(begun[a.Call]))
	}
	p50, p99 := quantile(took, .5), quantile(took, .99)
	t.Logf("%d events, p50 %v, p99 %v", len(took), p50, p99)
	if p99 > time.Second {
		t.Errorf("p99 is %v", p99)
	}
}

// TestTakenOver: what a process leaves, another delivers.
func TestTakenOver(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	one := r.process()
	var well atomic.Bool
	e := newEndpoint(t, func(http.ResponseWriter, arrival) int {
		if well.Load() {
			return http.StatusOK
		}
		return http.StatusInternalServerError
	})
	one.hook(e)
	for _, user := range []string{"u1", "u2", "u3"} {
		one.unreachable(user)
	}
	eventually(t, func() string { return "a try" }, func() bool { return len(e.requests()) > 3 })
	one.stop()
	well.Store(true)
	two := r.process()
	two.unreachable("u4")
	inOrder(t, e.awaits(8))
}

// TestUnreliable: a receiver that fails a third of its requests gets every event
// of many calls, in the order of each call, from processes that come and go.
func TestUnreliable(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var mu sync.Mutex
	source := rand.New(rand.NewPCG(1, 2))
	e := newEndpoint(t, func(w http.ResponseWriter, _ arrival) int {
		mu.Lock()
		n := source.IntN(100)
		mu.Unlock()
		switch {
		case n < 30:
			return http.StatusServiceUnavailable
		case n < 33:
			time.Sleep(250 * time.Millisecond) // longer than it is waited for; it has taken the event all the same
		case n < 35:
			panic(http.ErrAbortHandler)
		}
		return http.StatusOK
	})
	e.Config.ErrorLog = nil
	short := func(c *webhook.Config) { c.Timeout = 200 * time.Millisecond }
	writer := r.process(func(c *webhook.Config) { c.Look = time.Hour }) // makes the calls; its own looks come too seldom to deliver
	writer.hook(e)
	p := r.process(short)
	const calls = 200
	for i := range calls {
		writer.unreachable("u")
		if i%50 == 49 {
			next := r.process(short)
			p.stop()
			p = next
		}
	}
	got := e.awaits(2 * calls)
	if len(got) != 2*calls {
		t.Errorf("%d events came, want %d", len(got), 2*calls)
	}
	inOrder(t, got)
}
