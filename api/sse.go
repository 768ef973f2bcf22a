package api

import (
	"bytes"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// What is followed is a page, a long-poll, or a stream of server-sent events
// (HTML standard, 9.2).

// feedTypes are the media types of what can be followed.
var feedTypes = []string{"application/json", eventStream}

const eventStream = "text/event-stream"

// mostWait is how long a long-poll may wait.
const mostWait = 25 * time.Second

// How long a client is asked to wait before it reconnects, in milliseconds. It
// is random, so that the clients of a stopping process do not all reconnect at
// once.
const (
	feedRetry       = 1000
	feedRetrySpread = 2000
)

// eventStream is an answer of server-sent events.
func (s *server) eventStream(w http.ResponseWriter) *stream {
	return s.stream(w, func(h http.Header) {
		h.Set("Content-Type", eventStream)
		h.Set("Cache-Control", "no-store")
		h.Set("X-Accel-Buffering", "no") // a proxy that buffers would delay the ring
	})
}

// resumed is the cursor that a stream goes on from: a client that reconnects
// sends a newer one in Last-Event-ID than in its URL.
func resumed(r *http.Request, after string) string {
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		return last
	}
	return after
}

// waitLong lets a request that has been read wait for longer than the
// connection's read deadline.
func waitLong(w http.ResponseWriter) error { return controlOf(w).SetReadDeadline(time.Time{}) }

// writeRetry begins a stream.
func writeRetry(b *bytes.Buffer) { b.WriteString("retry: " + strconv.Itoa(feedRetry) + "\n\n") }

func writeEvent(b *bytes.Buffer, id, event string, data []byte) {
	if id != "" {
		b.WriteString("id: " + id + "\n")
	}
	b.WriteString("event: " + event + "\ndata: ")
	b.Write(data) // JSON on one line
	b.WriteString("\n\n")
}

// writeBeat shows that the stream lives. An id without data is no event, but
// sets the cursor of a client that reconnects.
func writeBeat(b *bytes.Buffer, cursor string) { b.WriteString(":\nid: " + cursor + "\n\n") }

// close is the last event of a stream that relay ends.
func (s *stream) close(reason string) error {
	var b bytes.Buffer
	if reason == FeedDraining {
		b.WriteString("retry: " + strconv.Itoa(feedRetry+rand.N(feedRetrySpread)) + "\n")
	}
	writeEvent(&b, "", "closed", []byte(`{"reason":"`+reason+`"}`))
	return s.send(b.Bytes())
}
