package devicesim_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pushwake/relay/push/devicesim"
)

// feed is a device's feed in the hands of a test that speaks for relay.
type feed struct {
	*bench
	last  string      // Last-Event-ID of its request
	text  chan string // closed by cut
	ended chan struct{}
	n     int // of the last event
}

// withFeed is start for a device that keeps a feed, and the feed.
func withFeed(t *testing.T, script devicesim.Script, answers map[string][]answer, change func(*devicesim.Config)) (*bench, *feed) {
	t.Helper()
	b := start(t, script, answers, func(c *devicesim.Config) {
		c.NoFeed = false
		if change != nil {
			change(c)
		}
	})
	return b, b.feed()
}

// serveFeed hands an opened feed to the test. The answers of the key "feed" are
// refusals; one of status 200 and what it says instead of a stream.
func (b *bench) serveFeed(w http.ResponseWriter, r *http.Request) {
	if accept, auth := r.Header.Get("Accept"), r.Header.Get("Authorization"); accept != "text/event-stream" || auth != "Bearer device-jwt" {
		b.Errorf("a feed is asked for with Accept %q, Authorization %q", accept, auth)
	}
	f := &feed{bench: b, last: r.Header.Get("Last-Event-ID"), text: make(chan string, 100), ended: make(chan struct{})}
	b.mu.Lock()
	a := answer{status: 200}
	if list := b.answers["feed"]; len(list) > 0 {
		a, b.answers["feed"] = list[0], list[1:]
	}
	b.mu.Unlock()
	defer close(f.ended)
	if a.status != 200 || a.body != "" {
		b.feeds <- f
		if a.status < 0 {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(a.status)
		_, _ = io.WriteString(w, a.body)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	f.text <- "retry: 1\n\n"
	b.feeds <- f
	for {
		select {
		case text, more := <-f.text:
			if !more {
				panic(http.ErrAbortHandler)
			}
			_, _ = io.WriteString(w, text)
			w.(http.Flusher).Flush()
		case <-r.Context().Done():
			return
		}
	}
}

// feed waits for the next request for a feed.
func (b *bench) feed() *feed {
	b.Helper()
	select {
	case f := <-b.feeds:
		return f
	case <-time.After(patience):
		b.Fatalf("no feed is opened; requests:\n%s", strings.Join(b.requests(), "\n"))
		return nil
	}
}

// say sends bytes of the stream.
func (f *feed) say(text string) { f.text <- text }

// cut breaks the connection.
func (f *feed) cut() { close(f.text) }

// close ends the feed as relay does.
func (f *feed) close(reason string) {
	f.say("event: closed\ndata: {\"reason\":\"" + reason + "\"}\n\n")
	f.gone()
}

// gone waits until the device has left the feed.
func (f *feed) gone() {
	f.Helper()
	select {
	case <-f.ended:
	case <-time.After(patience):
		f.Fatal("the device keeps the feed")
	}
}

// tell tells of call c1 and a leg of it, with its status; reason is that of a
// stop, "" for a call to ring.
func (f *feed) tell(leg, status, reason string) {
	f.Helper()
	verdict, why := "ring", any(nil)
	if reason != "" {
		verdict, why = "stop", reason
	}
	item, err := json.Marshal(map[string]any{
		"verdict": verdict, "reason": why,
		"call": map[string]any{
			"id": "c1", "direction": "incoming", "media": "video", "voice_answer": true, "conference": false,
			"caller": map[string]any{"user_id": "u1", "name": "Li Na"}, "callee": map[string]any{"user_id": "u2"},
			"expires_at": time.Now().Add(45 * time.Second).UTC().Format(time.RFC3339Nano),
		},
		"leg": map[string]any{"id": leg, "status": status, "presentation": "callkit"},
	})
	if err != nil {
		f.Error(err)
	}
	f.n++
	f.say(fmt.Sprintf("id: cur%d\nevent: call\ndata: %s\n\n", f.n, item))
}
