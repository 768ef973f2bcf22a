package api_test

import (
	"testing"
	"time"

	"github.com/pushwake/relay/store/storetest"
)

// TestPreferWait: an invitation that would wait is answered when the first
// device confirms, when the call ends, or after the wait, whichever comes first.
func TestPreferWait(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ask(r.backend, "PUT", "/v1/devices/d1", phone("u2", r.token("d1"))).want(200)
	invite := func(ref, wait string) <-chan answer {
		got := make(chan answer, 1)
		go func() {
			got <- r.ask(r.backend, "POST", "/v1/calls", invite("u2", object{"ref": ref}), "Prefer", wait, "Idempotency-Key", ref)
		}()
		return got
	}
	live := func(ref string) (id string) {
		eventually(t, "the call", func() bool {
			found := r.ask(r.backend, "GET", "/v1/calls?ref="+ref, nil).want(200)
			if len(found.get("data").([]any)) == 0 {
				return false
			}
			id = found.text("data", 0, "id")
			return true
		})
		return id
	}

	got := invite("confirmed", "respond-async, wait=10")
	id := live("confirmed")
	r.ask(r.jwt("u2", "d1"), "POST", "/v1/device/calls/"+id+"/confirm", object{"source": "push"}).want(200)
	made := (<-got).want(201).has("confirmed", "legs", 0, "status")
	if applied := made.header.Get("Preference-Applied"); applied != "wait=10" {
		t.Errorf("applied: %q", applied)
	}
	(<-invite("confirmed", "wait=10")).want(201).has(id, "id").has("confirmed", "legs", 0, "status") // a repeat, at once

	got = invite("canceled", `Wait="10"`)
	r.ask(r.backend, "POST", "/v1/calls/"+live("canceled")+"/cancel", nil).want(200)
	(<-got).want(201).has("canceled", "end_reason")

	started := time.Now()
	(<-invite("slept", "wait=1")).want(201).has(nil, "end_reason")
	if took := time.Since(started); took < time.Second || took > 8*time.Second {
		t.Errorf("waited %s", took)
	}
	r.ask(r.backend, "POST", "/v1/calls/"+live("slept")+"/cancel", nil).want(200)
	for _, none := range []string{"wait=0", "wait=-1", "wait=soon", "wait", "", ";;"} {
		started := time.Now()
		a := r.ask(r.backend, "POST", "/v1/calls", object{"callee": object{"user_id": "u2"}, "caller": object{"user_id": "u1"}, "media": "voice"}, "Prefer", none).want(201)
		if took := time.Since(started); took > time.Second || a.header.Get("Preference-Applied") != "" {
			t.Errorf("Prefer: %s waited %s", none, took)
		}
		r.ask(r.backend, "POST", "/v1/calls/"+a.text("id")+"/cancel", nil).want(200)
	}
}

// TestLiveCalls: an app that says which calls it has ends its part of the others,
// but not of those that its start was woken for.
func TestLiveCalls(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	put := func(d string) { r.ask(r.backend, "PUT", "/v1/devices/"+d, phone("u2", r.token(d))).want(200) }
	put("d1")
	put("d2")
	app, other := r.jwt("u2", "d1"), r.jwt("u2", "d2")
	call := func() string { return r.ask(r.backend, "POST", "/v1/calls", invite("u2")).want(201).text("id") }
	say := func(jwt, id, event string) {
		r.ask(jwt, "POST", "/v1/device/calls/"+id+"/reports", report(1, event)).want(200)
	}
	has := func(calls ...string) {
		t.Helper()
		own := phone("", "", object{"live_calls": append([]string{}, calls...)})
		delete(own, "user_id")
		r.ask(app, "PUT", "/v1/device", own).want(200)
	}
	leg := func(id string, device int, want string) {
		t.Helper()
		r.ask(r.backend, "GET", "/v1/calls/"+id, nil).want(200).has(want, "legs", device, "status")
	}
	spoken, rang := call(), call()
	say(app, spoken, "active")
	say(app, rang, "ringing")
	storetest.Exec(t, r.db, `UPDATE legs SET confirmed_at = now() WHERE confirmed_at IS NOT NULL`) // on a slow machine that was a while ago
	has()                                                                                          // the list was made before the confirms
	leg(spoken, 0, "active")
	storetest.Exec(t, r.db, `UPDATE legs SET confirmed_at = confirmed_at - interval '5 s' WHERE confirmed_at IS NOT NULL`)
	fresh := call()
	r.handedOver(fresh, r.token("d1"))
	has(spoken)
	leg(spoken, 0, "active")
	leg(rang, 0, "failed")
	leg(fresh, 0, "handed_over")
	feed := r.follow(app, "")
	feed.next(spoken, "ring", "")
	has()
	feed.next(spoken, "stop", "failed")
	r.ask(r.backend, "GET", "/v1/calls/"+spoken, nil).want(200).has("failed", "end_reason")
	say(other, rang, "ringing") // the other device rings on
	feed.stop()
	answered := call()
	say(other, answered, "answered")
	r.ask(other, "DELETE", "/v1/device", nil).want(204)
	r.ask(r.backend, "GET", "/v1/calls/"+rang, nil).want(200).has("failed", "end_reason")
	leg(answered, 1, "answered") // its app reports the end
	leg(fresh, 1, "failed")
	r.ask(r.backend, "PUT", "/v1/devices/d1", phone("u3", r.token("d1"))).want(200) // the phone changed accounts
	r.ask(r.backend, "GET", "/v1/calls/"+fresh, nil).want(200).has("unreachable", "end_reason")
}
