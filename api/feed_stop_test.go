package api_test

import (
	"testing"

	"github.com/pushwake/relay/store/storetest"
)

// TestFeedStopsOnce: a device that fell silent hears no more of a call, whatever
// becomes of it, and however long ago that was.
func TestFeedStopsOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, d := range []string{"phone", "tablet"} {
		r.ask(r.backend, "PUT", "/v1/devices/"+d, phone("u2", r.token(d))).want(200)
	}
	winner, other := r.jwt("u2", "phone"), r.jwt("u2", "tablet")
	cursor := r.ask(other, "GET", "/v1/device/calls", nil).want(200).text("cursor")
	call := func() string { return r.ask(r.backend, "POST", "/v1/calls", invite("u2")).want(201).text("id") }
	says := func(id string, seq int, event string) {
		r.ask(winner, "POST", "/v1/device/calls/"+id+"/reports", report(seq, event)).want(200)
	}
	id := call()
	says(id, 1, "answered")
	feed := r.follow(other, "after="+cursor)
	feed.next(id, "stop", "answered_elsewhere")
	hears := func(id string) {
		t.Helper()
		if e, ok := feed.take(); !ok || e.data["call"].(object)["id"] != id {
			t.Fatalf("the feed says %s, want call %s", e.text, id)
		}
	}
	says(id, 2, "active")
	next := call()
	hears(next)
	feed.stop()
	says(id, 3, "held")
	storetest.Exec(t, r.db, `UPDATE legs SET ended_at = ended_at - interval '1 minute' WHERE status = 'answered_elsewhere'`)
	page := r.ask(other, "GET", "/v1/device/calls?after="+feed.last, nil).want(200)
	for _, item := range page.get("data").([]any) {
		if item.(object)["call"].(object)["id"] == id {
			t.Errorf("told again: %s", page.body)
		}
	}
	feed = r.follow(other, "after="+page.text("cursor"))
	says(id, 4, "disconnected")
	for c, ok := call(), false; !ok; { // what the feed tells of the call before is its push
		e, _ := feed.take()
		got := e.data["call"].(object)["id"]
		if ok = got == c; got == id {
			t.Fatalf("told again: %s", e.text)
		}
	}
}
