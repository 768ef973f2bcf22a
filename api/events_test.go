package api_test

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/pushwake/relay/api"
	"github.com/pushwake/relay/store"
	"github.com/pushwake/relay/store/storetest"
)

// cursor is a place in the log behind all that was done so far. "now" may lie
// before some of it, where a transaction of another test on the server is older.
func (r *rig) cursor() string {
	r.t.Helper()
	mark := "mark-" + rand.Text()
	r.ask(r.backend, "PUT", "/v1/devices/"+mark, phone(mark, "")).want(200)
	return r.ask(r.backend, "GET", "/v1/events?wait=25&user_id="+mark, nil).want(200).has(mark, "data", 0, "device", "device_id").text("cursor")
}

// TestEventsOnce: a reader of pages, a long-poll and a stream that is cut again
// and again, each resuming where it stopped, get the same events, each once and
// those of a call in order.
func TestEventsOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ask(r.backend, "PUT", "/v1/devices/d1", phone("u1", r.token("once1"))).want(200)
	start := r.cursor()
	const calls = 40
	made := make(chan struct{})
	go func() {
		defer close(made)
		for range calls {
			id := r.ask(r.backend, "POST", "/v1/calls", invite("u1")).want(201).text("id")
			r.ask(r.backend, "POST", "/v1/calls/"+id+"/cancel", nil).want(200)
		}
	}()
	// A device's wake may be handed over before the call is canceled, or not.
	whole := func(events []object) bool {
		ends := 0
		for _, e := range events {
			if e["type"] == "call.ended" {
				ends++
			}
		}
		return ends == calls
	}
	var pages, polled, streamed []object
	var readers sync.WaitGroup
	read := func(into *[]object, query string) {
		for cursor := start; !whole(*into); {
			page := r.ask(r.backend, "GET", "/v1/events?"+query+"&after="+cursor, nil).want(200)
			for _, e := range page.get("data").([]any) {
				*into = append(*into, e.(object))
			}
			cursor = page.text("cursor")
		}
	}
	readers.Go(func() { read(&pages, "limit=3") })
	readers.Go(func() { read(&polled, "wait=25") })
	readers.Go(func() {
		for cursor, cut := start, 1; !whole(streamed); cut = cut%5 + 1 {
			s := r.stream(r.backend, "/v1/events", "Last-Event-ID", cursor)
			for range cut {
				e, ok := s.take()
				if !ok {
					t.Error("the stream ended by itself")
					return
				}
				streamed = append(streamed, e.data)
				cursor = e.id
				if whole(streamed) {
					break
				}
			}
			s.stop()
		}
	})
	<-made
	readers.Wait()
	last, seen := map[any]float64{}, map[any]bool{}
	for _, e := range pages {
		id, seq := e["call"].(object)["id"], e["call_seq"].(float64)
		if seq != last[id]+1 || seen[e["id"]] {
			t.Errorf("call %v: event %v after %v", id, seq, last[id])
		}
		last[id], seen[e["id"]] = seq, true
	}
	for name, got := range map[string][]object{"long-polls": polled, "the stream": streamed} {
		if diff := cmp.Diff(pages, got); diff != "" {
			t.Errorf("%s (-pages +got): %s", name, diff)
		}
	}
}

// TestEventsOfOneApp: a backend hears of its own app alone, whatever it asks
// for; an operator of every one.
func TestEventsOfOneApp(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	theirs := r.ask(r.foreign, "POST", "/v1/calls", invite("u1")).want(201).text("id")
	mine := r.ask(r.backend, "POST", "/v1/calls", invite("u1")).want(201).text("id")
	calls := func(bearer, uri string) (ids []string) {
		for _, e := range r.ask(bearer, "GET", uri, nil).want(200).get("data").([]any) {
			if id, ok := e.(object)["call"].(object)["id"].(string); ok && !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
		return ids
	}
	eventually(t, "an operator to hear of both", func() bool { return len(calls(r.admin, "/v1/admin/events?type=call.created&limit=200")) == 2 })
	for uri, want := range map[string][]string{
		"/v1/events?limit=200": {mine}, "/v1/events?user_id=u1": {mine}, "/v1/events?call_id=" + theirs: nil, "/v1/events?call_id=" + mine: {mine},
	} {
		if diff := cmp.Diff(want, calls(r.backend, uri)); diff != "" {
			t.Errorf("%s: %s", uri, diff)
		}
	}
	for uri, want := range map[string][]string{"app_id=" + otherApp: {theirs}, "call_id=" + theirs: {theirs}, "app_id=nobodys": nil} {
		if diff := cmp.Diff(want, calls(r.admin, "/v1/admin/events?"+uri)); diff != "" {
			t.Errorf("%s: %s", uri, diff)
		}
	}
}

// TestEventsTell: an event has its call without legs, and the legs that its
// step changed; what a backend gave with the call is there.
func TestEventsTell(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, d := range []string{"d1", "d2"} {
		r.ask(r.backend, "PUT", "/v1/devices/"+d, phone("u1", "", object{"device_type": "wearable"})).want(200)
	}
	one, two := r.follow(r.jwt("u1", "d1"), ""), r.follow(r.jwt("u1", "d2"), "")
	defer one.stop()
	defer two.stop()
	s := r.stream(r.backend, "/v1/events?after="+r.cursor())
	made := r.ask(r.backend, "POST", "/v1/calls", invite("u1", object{"ref": "sip-1", "custom": object{"room": "r9"}})).want(201)
	id := made.text("id")
	r.ask(r.jwt("u1", "d2"), "POST", "/v1/device/calls/"+id+"/reports", report(1, "answered")).want(200)
	r.ask(r.backend, "POST", "/v1/calls/"+id+"/end", nil).want(200)
	var told []string
	for {
		e, ok := s.take()
		if !ok {
			t.Fatalf("the stream ended after %v", told)
		}
		c := e.data["call"].(object)
		if c["id"] != id || c["ref"] != "sip-1" || c["custom"].(object)["room"] != "r9" || c["legs"] != nil || e.data["app_id"] != app {
			t.Errorf("an event tells %s", e.text)
		}
		var legs []string
		for _, l := range e.data["legs"].([]any) {
			legs = append(legs, fmt.Sprint(l.(object)["device_id"], " ", l.(object)["status"]))
		}
		slices.Sort(legs)
		told = append(told, fmt.Sprintf("%v %v: %s", e.data["type"], c["status"], strings.Join(legs, ", ")))
		if e.name == "call.ended" {
			break
		}
	}
	want := []string{
		"call.created waking: d1 waking, d2 waking",
		"leg.updated answered: d2 answered", "call.ringing answered: d1 answered_elsewhere, d2 answered", // an answer implies it
		"leg.updated answered: d1 answered_elsewhere", "leg.updated answered: d2 answered", "call.answered answered: d1 answered_elsewhere, d2 answered",
		"leg.updated ended: d2 completed", "call.ended ended: d2 completed",
	}
	sorted := func(in []string) []string { return slices.Sorted(slices.Values(in)) } // the two legs of one step in either order
	if diff := cmp.Diff(sorted(want), sorted(told)); diff != "" {
		t.Errorf("told: %s", diff)
	}
}

// TestEventsRevoked: a stream ends soon after its key was revoked.
func TestEventsRevoked(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	text, key, err := r.store.CreateKey(t.Context(), app, store.BackendKey, "")
	if err != nil {
		t.Fatal(err)
	}
	s := r.stream(text, "/v1/events?after=now")
	if err := r.store.RevokeKey(t.Context(), key.ID); err != nil {
		t.Fatal(err)
	}
	s.closed(api.FeedRevoked)
}

// TestEventsWait: a long-poll waits through what its filter passes over, and no
// longer than it was told.
func TestEventsWait(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	cursor := r.cursor()
	began := time.Now()
	moved := r.ask(r.backend, "GET", "/v1/events?wait=1&after="+cursor, nil).want(200)
	if took := time.Since(began); took < time.Second || len(moved.get("data").([]any)) > 0 {
		t.Errorf("answered after %s: %s", took, moved.body)
	}
	go func() {
		for i := range 5 {
			r.ask(r.backend, "PUT", fmt.Sprint("/v1/devices/d", i), phone("u1", "")).want(200)
		}
		r.ask(r.backend, "POST", "/v1/calls", invite("u9")).want(201)
	}()
	r.ask(r.backend, "GET", "/v1/events?wait=25&type=call.ended&after="+cursor, nil).want(200).has("call.ended", "data", 0, "type")
}

// TestEventsFarBack: a filter that finds its one event behind some thousand
// others gets it, page by page or by a wait.
func TestEventsFarBack(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id, err := uuid.NewV7()
	if err != nil {
		t.Fatal(err)
	}
	storetest.Exec(t, r.db, fmt.Sprintf(`INSERT INTO events (app_id, id, type, at, data)
		SELECT '%s', ('%s' || lpad(n::text, 12, '0'))::uuid, 'device.registered', now(), '{"device_id": "d", "user_id": "crowd", "platform": "harmonyos", "device_type": "phone"}' FROM generate_series(1, 5000) AS n`,
		app, id.String()[:24]))
	r.ask(r.backend, "PUT", "/v1/devices/mine", phone("lonely", "")).want(200)
	r.ask(r.backend, "GET", "/v1/events?user_id=lonely&wait=25", nil).want(200).has("mine", "data", 0, "device", "device_id")
	pages, cursor := 0, "1-0-0-0"
	for {
		page := r.ask(r.backend, "GET", "/v1/events?user_id=lonely&after="+cursor, nil).want(200)
		if pages++; len(page.get("data").([]any)) > 0 {
			break
		}
		if next := page.text("cursor"); next == cursor || pages > 10 {
			t.Fatalf("page %d leads nowhere: %s", pages, next)
		} else {
			cursor = next
		}
	}
	if pages < 2 {
		t.Errorf("found on page %d", pages)
	}
}
