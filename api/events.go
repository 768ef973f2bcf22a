package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/store"
)

// loggedJSON is an event of the log. It has a call with legs, a device or a webhook.
type loggedJSON struct {
	ID      uuid.UUID       `json:"id"`
	Type    call.EventType  `json:"type"`
	Time    moment          `json:"time"`
	AppID   string          `json:"app_id"`
	CallSeq int             `json:"call_seq,omitzero"`
	Call    *callJSON       `json:"call,omitzero"`
	Legs    []legJSON       `json:"legs,omitzero"`
	Device  json.RawMessage `json:"device,omitzero"`
	Webhook json.RawMessage `json:"webhook,omitzero"`
}

// EventJSON is an event as backends are told it, on one line.
func EventJSON(e store.LoggedEvent) ([]byte, error) {
	out := loggedJSON{ID: e.ID, Type: e.Type, Time: moment(e.At), AppID: e.AppID, Device: e.Device, Webhook: e.Webhook}
	if e.Call != nil {
		c := renderCall(*e.Call)
		out.CallSeq, out.Call, out.Legs = e.CallSeq, &c, c.Legs
		// Of all legs, which an event does not have.
		c.Legs, c.Reachable, c.MoreSkipped = nil, nil, 0
	}
	return json.Marshal(out)
}

// afterNow is the cursor of a reader who wants only what comes.
const afterNow = "now"

// FeedRevoked is why a stream of events ends when its key was revoked.
const FeedRevoked = "revoked"

// EventsEnds lists why relay ends streams of events.
var EventsEnds = []string{FeedDraining, FeedRevoked}

func (s *server) listEvents(w http.ResponseWriter, r *http.Request, p Backend) error {
	return s.followLog(w, r, store.BackendKey, queryOf(r), p.AppID)
}

func (s *server) adminListEvents(w http.ResponseWriter, r *http.Request, _ Admin) error {
	q := queryOf(r)
	return s.followLog(w, r, store.AdminKey, q, q.text("app_id"))
}

// followLog answers with a part of the event log: a page, a long-poll or a
// stream. An empty appID is every app's.
func (s *server) followLog(w http.ResponseWriter, r *http.Request, need store.Principal, q *query, appID string) error {
	l := &logReader{server: s, q: store.EventQuery{
		AppID: appID, Types: chosenOf(q, "type", call.EventTypes), UserID: q.text("user_id"), CallID: q.id("call_id"), Limit: q.limit(),
	}}
	after, wait := q.text("after"), q.seconds("wait", mostWait)
	if err := q.done(); err != nil {
		return err
	}
	asStream := asksFor(r, eventStream)
	if asStream {
		after = resumed(r, after)
	}
	if err := l.begin(r.Context(), after); err != nil {
		return err
	}
	switch {
	case asStream:
		return l.stream(w, r, need)
	case wait > 0 && r.Method != http.MethodHead: // which has nothing to wait for
		return l.longPoll(w, r, wait)
	}
	page, err := l.read(r.Context())
	if err != nil {
		return err
	}
	return l.page(w, page.Events)
}

// logReader reads the event log for one request. The position is in q.After.
type logReader struct {
	server *server
	q      store.EventQuery
}

// begin sets where the reader begins.
func (l *logReader) begin(ctx context.Context, after string) (err error) {
	if after != afterNow {
		l.q.After, err = store.ParseCursor(after)
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, l.server.AnswerWithin, errSilence)
	defer cancel()
	if l.q.After, err = l.server.Store.EndOfLog(ctx); err != nil {
		return causeOf(ctx, err)
	}
	return nil
}

// read reads the next events, and advances the position. A filter that finds
// nothing in a long log gets an empty page with more behind it.
func (l *logReader) read(ctx context.Context) (store.EventPage, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, l.server.AnswerWithin, errSilence)
	defer cancel()
	page, err := l.server.Store.Events(ctx, l.q)
	if err != nil {
		return page, causeOf(ctx, err)
	}
	l.q.After = page.Cursor
	return page, nil
}

// page answers a request that does not stream.
func (l *logReader) page(w http.ResponseWriter, events []store.LoggedEvent) error {
	out := struct {
		Data   []json.RawMessage `json:"data"`
		Cursor string            `json:"cursor"`
	}{make([]json.RawMessage, len(events)), l.q.After.String()}
	for i, e := range events {
		var err error
		if out.Data[i], err = EventJSON(e); err != nil {
			return err
		}
	}
	return write(w, http.StatusOK, out)
}

// next returns the next events once there are some, nothing at a tick, or why
// relay ends the reading.
func (l *logReader) next(ctx context.Context, watch *store.LogWatch, tick <-chan time.Time) (events []store.LoggedEvent, ended string, err error) {
	for {
		select { // also while there is always more
		case <-l.server.Draining:
			return nil, FeedDraining, nil
		case <-tick:
			return nil, "", nil
		default:
		}
		page, err := l.read(ctx)
		if err != nil || len(page.Events) > 0 {
			return page.Events, "", err
		}
		if page.More {
			continue
		}
		select {
		case <-ctx.Done():
			return nil, "", ctx.Err()
		case <-l.server.Draining:
			return nil, FeedDraining, nil
		case <-tick:
			return nil, "", nil
		case <-watch.Woken():
		}
	}
}

// longPoll answers as soon as there is an event, or after the wait.
func (l *logReader) longPoll(w http.ResponseWriter, r *http.Request, wait time.Duration) error {
	watch := l.server.Store.WatchLog(l.q.AppID)
	defer watch.Close()
	if err := waitLong(w); err != nil {
		return err
	}
	over := time.NewTimer(wait)
	defer over.Stop()
	events, ended, err := l.next(r.Context(), watch, over.C)
	if err != nil {
		return err
	}
	if ended != "" {
		w.Header().Set("Retry-After", "1")
	}
	return l.page(w, events)
}

// stream sends the log from the position on, and goes on as it grows.
func (l *logReader) stream(w http.ResponseWriter, r *http.Request, need store.Principal) error {
	out := l.server.eventStream(w)
	if r.Method == http.MethodHead {
		return out.send(nil)
	}
	watch := l.server.Store.WatchLog(l.q.AppID)
	defer watch.Close()
	if err := waitLong(w); err != nil {
		return err
	}
	ended, err := l.tell(r, out, watch, need)
	switch {
	case ended != "":
		return out.close(ended)
	case errors.Is(context.Cause(r.Context()), context.Canceled):
		return nil // the client closed its stream: the usual end
	}
	return err
}

// tell sends events until the client leaves, or returns why relay ends the stream.
func (l *logReader) tell(r *http.Request, out *stream, watch *store.LogWatch, need store.Principal) (ended string, err error) {
	heartbeat := time.NewTicker(l.server.Heartbeat)
	defer heartbeat.Stop()
	var b bytes.Buffer
	writeRetry(&b)
	writeBeat(&b, l.q.After.String())
	for {
		if err := out.send(b.Bytes()); err != nil {
			return "", err
		}
		b.Reset()
		events, ended, err := l.next(r.Context(), watch, heartbeat.C)
		if ended != "" || err != nil {
			return ended, err
		}
		for _, e := range events {
			body, err := EventJSON(e)
			if err != nil {
				return "", err
			}
			writeEvent(&b, e.Position.String(), string(e.Type), body)
		}
		if len(events) > 0 {
			continue
		}
		writeBeat(&b, l.q.After.String())
		if _, err := l.server.key(r, need); errors.Is(err, errWrongPrincipal) {
			return FeedRevoked, nil
		}
	}
}
