package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pushwake/relay/api"
	"github.com/pushwake/relay/store/storetest"
)

// event is one server-sent event, as a client reads it.
type event struct {
	id, name string
	data     object
	text     string
}

// stream is a device's feed, or the log, in a test's hands.
type stream struct {
	t      testing.TB
	events chan event // closed at the stream's end
	beats  chan struct{}
	retry  chan string            // the last one that was asked for
	last   string                 // id of the last event
	cursor atomic.Pointer[string] // as a client keeps it, also without an event
	cancel context.CancelFunc
	done   chan struct{}
}

// follow opens a feed as a stream, with headers in pairs. It is open when it
// returns.
func (r *rig) follow(bearer, query string, headers ...string) *stream {
	r.t.Helper()
	return r.stream(bearer, "/v1/device/calls?"+query, headers...)
}

// stream opens a stream, with headers in pairs. It is open when it returns.
func (r *rig) stream(bearer, uri string, headers ...string) *stream {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	req, err := http.NewRequestWithContext(ctx, "GET", r.url+uri, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+bearer)
	req.Header.Set("Accept", eventStream)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := (&http.Client{Transport: r.witness}).Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	if kind := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || kind != eventStream {
		r.t.Fatalf("a stream: %d %s", resp.StatusCode, kind)
	}
	s := &stream{t: r.t, events: make(chan event, 1000), beats: make(chan struct{}, 1000), retry: make(chan string, 10), cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		defer resp.Body.Close()
		defer close(s.events)
		var e event
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			field, value, _ := strings.Cut(lines.Text(), ":")
			value = strings.TrimPrefix(value, " ")
			switch {
			case lines.Text() == ":":
				s.beats <- struct{}{}
			case field == "id":
				e.id = value
				s.cursor.Store(&value)
			case field == "event":
				e.name = value
			case field == "retry":
				s.retry <- value
			case field == "data":
				e.text = value
			case lines.Text() == "" && e.text != "": // not before: the stream may be cut in the middle of a line
				if err := json.Unmarshal([]byte(e.text), &e.data); err != nil {
					s.t.Errorf("data of an event: %s: %v", e.text, err)
				}
				s.events <- e
				e = event{}
			}
		}
	}()
	r.t.Cleanup(s.stop)
	return s
}

// stop is the client that closes its feed.
func (s *stream) stop() {
	s.cancel()
	<-s.done
}

func (s *stream) take() (event, bool) {
	s.t.Helper()
	select {
	case e, ok := <-s.events:
		if e.id != "" {
			s.last = e.id
		}
		return e, ok
	case <-time.After(15 * time.Second):
		s.t.Fatal("waited in vain for an event")
		return event{}, false
	}
}

// next waits until the feed says this of a call; what it says of it before must
// be live. It returns the event's leg.
func (s *stream) next(call, verdict, reason string) object {
	s.t.Helper()
	for {
		e, ok := s.take()
		if !ok || e.name != "call" {
			s.t.Fatalf("the feed ended: %s %s", e.name, e.text)
		}
		got, _ := e.data["reason"].(string)
		if e.data["call"].(object)["id"] != call || e.data["verdict"] == "ring" && verdict == "stop" {
			continue
		}
		if e.data["verdict"] != verdict || got != reason {
			s.t.Fatalf("the feed says %s, want %s %s", e.text, verdict, reason)
		}
		return e.data["leg"].(object)
	}
}

// types takes events up to one of a type and returns their types.
func (s *stream) types(last string) (types []string) {
	s.t.Helper()
	for {
		e, ok := s.take()
		if !ok {
			s.t.Fatalf("the stream ended after %v", types)
		}
		if types = append(types, e.name); e.name == last {
			return types
		}
		if e.data["type"] != e.name {
			s.t.Errorf("an event named %s says %s", e.name, e.text)
		}
	}
}

// closed waits until the feed ends for a reason.
func (s *stream) closed(reason string) {
	s.t.Helper()
	for {
		e, ok := s.take()
		if !ok {
			s.t.Fatalf("the feed ended without a word, want %s", reason)
		}
		if e.name == "call" {
			continue
		}
		if e.name != "closed" || e.data["reason"] != reason {
			s.t.Errorf("the feed ended as %s %s, want %s", e.name, e.text, reason)
		}
		if e, ok := s.take(); ok {
			s.t.Errorf("after its end: %+v", e)
		}
		return
	}
}

// TestFeedSilence: whatever ends a call for a device reaches its open feed with
// the reason, once, and the winner hears of no cancel.
func TestFeedSilence(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, c := range []struct {
		name, reason string
		end          func(r *rig, path string, phone string)
	}{
		{"answered", "answered_elsewhere", func(r *rig, path, phone string) {
			r.ask(phone, "POST", "/v1/device"+path+"/reports", report(1, "answered")).want(200)
		}},
		{"rejected", "declined_elsewhere", func(r *rig, path, phone string) {
			r.ask(phone, "POST", "/v1/device"+path+"/reports", report(1, "rejected")).want(200)
		}},
		{"canceled", "canceled", func(r *rig, path, _ string) { r.ask(r.backend, "POST", "/v1"+path+"/cancel", nil).want(200) }},
		{"ended", "canceled", func(r *rig, path, _ string) { r.ask(r.backend, "POST", "/v1"+path+"/end", nil).want(200) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r, user := r.in(t), "of "+c.name
			phoneID, tabletID := "phone "+c.name, "tablet "+c.name
			for _, d := range []string{phoneID, tabletID} {
				r.ask(r.backend, "PUT", "/v1/devices/"+d, phone(user, r.token(strings.ReplaceAll(d, " ", "")))).want(200)
			}
			winner, other := r.jwt(user, phoneID), r.jwt(user, tabletID)
			mine, theirs := r.follow(winner, ""), r.follow(other, "")
			made := r.ask(r.backend, "POST", "/v1/calls", invite(user)).want(201)
			id := made.text("id")
			for feed, i := range map[*stream]int{mine: 0, theirs: 1} {
				if leg := feed.next(id, "ring", ""); leg["id"] != made.get("legs", i, "id") {
					t.Errorf("the feed brings leg %v, the invitation has %v", leg["id"], made.get("legs", i, "id"))
				}
			}
			c.end(r, "/calls/"+id, winner)
			theirs.next(id, "stop", c.reason)
			switch c.name {
			case "answered":
				if leg := mine.next(id, "ring", ""); leg["status"] == "waking" {
					mine.next(id, "ring", "") // handed over, and then
				}
				r.ask(r.backend, "POST", "/v1/calls/"+id+"/end", nil).want(200)
				mine.next(id, "stop", "completed")
			case "rejected":
				mine.next(id, "stop", "rejected")
			default:
				mine.next(id, "stop", c.reason)
			}
			r.ask(other, "POST", "/v1/device/calls/"+id+"/confirm", object{"source": "push"}).want(200).has("stop", "verdict").has(c.reason, "reason")
		})
	}
}

// TestFeedMissed: the end of a ring reaches the feed too.
func TestFeedMissed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ask(r.backend, "PUT", "/v1/devices/d1", phone("u2", r.token("d1"))).want(200)
	feed := r.follow(r.jwt("u2", "d1"), "")
	id := r.ask(r.backend, "POST", "/v1/calls", invite("u2")).want(201).text("id")
	r.ask(r.jwt("u2", "d1"), "POST", "/v1/device/calls/"+id+"/reports", report(1, "ringing")).want(200)
	storetest.Exec(t, r.db, `WITH calls AS (UPDATE calls SET deadline_at = now()) UPDATE legs SET deadline_at = now() WHERE deadline_at IS NOT NULL`)
	feed.next(id, "stop", "missed")
}

// TestFeedResumes: a device that was cut off at any point is told what changed
// meanwhile, and nothing twice.
func TestFeedResumes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ask(r.backend, "PUT", "/v1/devices/d1", phone("u2", r.token("d1"))).want(200)
	app := r.jwt("u2", "d1")
	list := func(query string) answer { return r.ask(app, "GET", "/v1/device/calls?"+query, nil).want(200) }
	call := func() string { return r.ask(r.backend, "POST", "/v1/calls", invite("u2")).want(201).text("id") }
	cancel := func(id string) { r.ask(r.backend, "POST", "/v1/calls/"+id+"/cancel", nil).want(200) }
	told := func(a answer, want ...string) (cursor string) {
		t.Helper()
		var got []string
		for _, item := range a.get("data").([]any) {
			got = append(got, item.(object)["call"].(object)["id"].(string)+" "+item.(object)["verdict"].(string))
		}
		if strings.Join(got, ", ") != strings.Join(want, ", ") {
			t.Fatalf("told %v, want %v", got, want)
		}
		return a.text("cursor")
	}
	start := told(list(""))
	first := call()
	r.handedOver(first, r.token("d1"))
	knows := told(list("after="+start), first+" ring")
	told(list("wait=0&after=" + knows))
	unheard := call() // begins and ends while nobody listens: its push may have woken the app
	cancel(unheard)
	cancel(first)
	stopped := told(list("wait=25&after="+knows), first+" stop", unheard+" stop")
	told(list("after=" + stopped))
	told(list("after="+start), first+" stop", unheard+" stop")
	told(list(""))

	// A stream that is cut between two of its events.
	feed := r.follow(app, "after="+start)
	feed.next(first, "stop", "canceled")
	feed.stop()
	feed = r.follow(app, "after="+start, "Last-Event-ID", feed.last)
	feed.next(unheard, "stop", "canceled")
	feed.stop()
	told(list("after=" + feed.last))

	for _, bad := range []string{"after=x", "after=" + start + "AAAA", "after=" + strings.Repeat("A", 9000), "after=" + start + "%0A", "wait=26", "wait=-1", "wait=soon", "then=1"} {
		r.ask(app, "GET", "/v1/device/calls?"+bad, nil).refused(400, api.CodeMalformed)
	}
	r.ask(app, "GET", "/v1/device/calls", nil, "Accept", eventStream, "Last-Event-ID", strings.Repeat("A", 9000)).refused(400, api.CodeMalformed)
}

// TestFeedWithoutCursor: a stream that nothing was told on tells of the end of a
// call that the app confirmed before it came, and has a cursor though no event
// came.
func TestFeedWithoutCursor(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ask(r.backend, "PUT", "/v1/devices/d1", phone("u2", r.token("d1"))).want(200)
	app := r.jwt("u2", "d1")
	idle := r.follow(app, "")
	<-idle.beats
	eventually(t, "a cursor", func() bool { return idle.cursor.Load() != nil })
	idle.stop()
	id := r.ask(r.backend, "POST", "/v1/calls", invite("u2")).want(201).text("id")
	r.ask(app, "POST", "/v1/device/calls/"+id+"/confirm", object{"source": "push"}).want(200).has("ring", "verdict")
	r.ask(r.backend, "POST", "/v1/calls/"+id+"/cancel", nil).want(200)
	fresh := r.follow(app, "")
	fresh.next(id, "stop", "canceled")
	fresh.stop()
	again := r.follow(app, "", "Last-Event-ID", *idle.cursor.Load())
	again.next(id, "stop", "canceled")
	again.stop()
	if e := r.ask(app, "GET", "/v1/device/calls?after="+again.last, nil).want(200).get("data").([]any); len(e) > 0 {
		t.Errorf("told twice: %v", e)
	}
}

// TestFeedOnlyWhenAsked: a stream is sent only to a request whose Accept header
// names it and does not prefer JSON.
func TestFeedOnlyWhenAsked(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	app := r.jwt("u2", "d1")
	for accept, kind := range map[string]string{
		"*/*": "application/json", "application/json": "application/json", "application/json, text/event-stream;q=0.1": "application/json",
		"text/event-stream;q=0, */*": "application/json",
	} {
		a := r.ask(app, "GET", "/v1/device/calls", nil, "Accept", accept)
		if got := a.header.Get("Content-Type"); a.status != 200 || got != kind {
			t.Errorf("Accept: %s: %d, %s", accept, a.status, got)
		}
	}
	for _, accept := range []string{"text/event-stream", "text/event-stream, */*;q=0.5", "application/json;q=0.9, text/event-stream", "application/json, text/event-stream"} {
		r.follow(app, "", "Accept", accept).stop()
	}
}

// TestFeedCut cuts a device's feed again and again while calls come and go: by
// its cursor it hears each call's end exactly once.
func TestFeedCut(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ask(r.backend, "PUT", "/v1/devices/d1", phone("u2", r.token("d1"))).want(200)
	app := r.jwt("u2", "d1")
	cursor := r.ask(app, "GET", "/v1/device/calls", nil).want(200).text("cursor")
	const calls = 60
	var all sync.WaitGroup
	all.Go(func() {
		for i := range calls {
			id := r.ask(r.backend, "POST", "/v1/calls", invite("u2")).text("id")
			if i%3 == 0 {
				r.ask(app, "POST", "/v1/device/calls/"+id+"/confirm", object{"source": "connection"}).want(200)
			}
			r.ask(r.backend, "POST", "/v1/calls/"+id+"/cancel", nil).want(200)
		}
	})
	stops := map[string]int{}
	for round := 0; len(stops) < calls; round++ {
		if round > 20*calls {
			t.Fatalf("%d calls ended, %d were heard of", calls, len(stops))
		}
		feed := r.follow(app, "", "Last-Event-ID", cursor)
		for range round % 4 {
			if len(stops) == calls {
				break
			}
			e, ok := feed.take()
			if !ok {
				t.Fatal("the feed ended")
			}
			if e.data["verdict"] == "stop" {
				stops[e.data["call"].(object)["id"].(string)]++
			}
			cursor = e.id
		}
		feed.stop()
	}
	all.Wait()
	for id, n := range stops {
		if n != 1 {
			t.Errorf("heard %d times that %s ended", n, id)
		}
	}
}

// TestFeedEnds: a feed says why it ends, and shows that it lives while it does.
func TestFeedEnds(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	put := func(user string) { r.ask(r.backend, "PUT", "/v1/devices/d1", phone(user, r.token("d1"))).want(200) }
	put("u2")
	feed := r.follow(r.jwt("u2", "d1"), "")
	if retry := <-feed.retry; retry != "1000" {
		t.Errorf("retry: %s", retry)
	}
	<-feed.beats
	<-feed.beats
	cursor := r.ask(r.jwt("u2", "d1"), "GET", "/v1/device/calls", nil).want(200).text("cursor") // which is no feed
	polled := make(chan answer, 1)
	go func() { polled <- r.ask(r.jwt("u2", "d1"), "GET", "/v1/device/calls?wait=25&after="+cursor, nil) }()
	feed.closed("replaced")
	feed = r.follow(r.jwt("u2", "d1"), "")
	if a := <-polled; a.want(200).header.Get("Retry-After") != "1" || len(a.get("data").([]any)) > 0 {
		t.Errorf("a long-poll that was replaced: %s", a.body)
	}
	put("u3")
	feed.closed("logged_out")
	feed = r.follow(r.jwt("u3", "d1"), "")
	r.ask(r.jwt("u3", "d1"), "DELETE", "/v1/device", nil).want(204)
	feed.closed("logged_out")
	put("u4")
	feed = r.follow(r.jwt("u4", "d1"), "")
	<-feed.retry
	close(r.drain)
	feed.closed("draining")
	var ms int
	if _, err := fmt.Sscan(<-feed.retry, &ms); err != nil || ms < 1000 || ms >= 3000 {
		t.Errorf("retry: %d, %v", ms, err)
	}
}
