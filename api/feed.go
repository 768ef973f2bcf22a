package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"hash/fnv"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/store"
)

// listDeviceCalls is GET /v1/device/calls: the calls that are alive on the
// device; with wait, or as a stream, its feed.
func (s *server) listDeviceCalls(w http.ResponseWriter, r *http.Request, p Device) error {
	q := queryOf(r)
	after, wait := q.long("after"), q.seconds("wait", mostWait)
	if err := q.done(); err != nil {
		return err
	}
	asStream := asksFor(r, eventStream)
	if asStream {
		after = resumed(r, after)
	}
	f := &feed{server: s, p: p, told: map[uuid.UUID]toldCall{}}
	if after != "" {
		if err := f.resume(after); err != nil {
			return err
		}
	}
	switch {
	case asStream:
		f.fresh = after == ""
		return f.stream(w, r)
	case wait > 0 && after != "" && r.Method != http.MethodHead: // which has nothing to wait for
		return f.longPoll(w, r, wait)
	}
	news, err := f.read(r.Context())
	if err != nil {
		return err
	}
	return f.page(w, news)
}

// feed sends one device its calls and their changes.
type feed struct {
	server *server
	p      Device
	told   map[uuid.UUID]toldCall
	fresh  bool      // a stream that has sent nothing yet: see store.FeedQuestion.Lately
	at     time.Time // everything committed more than feedReach before it has been sent
}

// toldCall is what the device was last sent about a call.
type toldCall struct {
	hash  uint32    // of the words
	seq   int       // the call's state when it was sent; 0 where only the cursor knows
	ended time.Time // when the leg ended, where the device was told to stop
}

// feedReach is how long before a reading a call that the reading could not see
// yet may have got its id: longer than a transaction takes to commit.
const feedReach = 15 * time.Second

// feedItem is one item to send, and the cursor after it.
type feedItem struct {
	body   json.RawMessage
	cursor string
}

// read compares the present state with what the device was sent, and returns
// the difference.
func (f *feed) read(ctx context.Context) ([]feedItem, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, f.server.AnswerWithin, errSilence)
	defer cancel()
	told := make([]uuid.UUID, 0, len(f.told))
	for id := range f.told {
		told = append(told, id)
	}
	since := f.at
	if !since.IsZero() {
		since = since.Add(-feedReach)
	}
	calls, now, err := f.server.Store.FeedCalls(ctx, store.FeedQuestion{
		AppID: f.p.AppID, DeviceID: f.p.DeviceID, UserID: f.p.UserID, Told: told, Since: since, Lately: f.fresh,
	})
	f.fresh = false
	if err != nil {
		return nil, causeOf(ctx, err)
	}
	there := map[uuid.UUID]bool{}
	for _, c := range calls {
		there[c.ID] = true
	}
	for id := range f.told {
		if !there[id] { // too old, or no longer visible to the user
			delete(f.told, id)
		}
	}
	return f.news(calls, now)
}

// news returns the changes of some calls that the device was not sent yet. at
// is when the calls were read. Only the cursor of the last item carries it, so
// that a client that stops in the middle gets the rest later.
func (f *feed) news(calls []call.Call, at time.Time) ([]feedItem, error) {
	var items []feedItem
	for _, c := range calls {
		l := c.LegOf(f.p.DeviceID)
		if l == nil || l.UserID != f.p.UserID || l.Status == call.LegSkipped || c.Seq < f.told[c.ID].seq {
			continue
		}
		before, knows := f.told[c.ID]
		if !knows && f.forgotten(l.EndedAt) {
			continue
		}
		answer := adviseDevice(c, *l)
		body, err := json.Marshal(answer)
		if err != nil {
			return nil, err
		}
		now := toldCall{hashOf(body), c.Seq, l.EndedAt}
		if answer.Verdict == call.VerdictStop { // sent once, whatever happens to the call later
			now.hash = hashOf([]byte(*answer.Reason))
		}
		f.told[c.ID] = now
		if knows && before.hash == now.hash {
			continue
		}
		items = append(items, feedItem{body: body})
		items[len(items)-1].cursor = f.cursor()
	}
	f.at = at
	f.forget()
	if len(items) > 0 {
		items[len(items)-1].cursor = f.cursor()
	}
	return items, nil
}

func hashOf(words []byte) uint32 {
	h := fnv.New32a()
	h.Write(words)
	return h.Sum32()
}

// page answers a request that does not stream.
func (f *feed) page(w http.ResponseWriter, news []feedItem) error {
	out := struct {
		Data   []json.RawMessage `json:"data"`
		Cursor string            `json:"cursor"`
	}{make([]json.RawMessage, len(news)), f.cursor()}
	for i, item := range news {
		out.Data[i] = item.body
	}
	return write(w, http.StatusOK, out)
}

// follow runs the feed while it is open: it calls tell with new items until
// tell returns false. It returns why relay ends the feed, or "".
func (f *feed) follow(ctx context.Context, open *store.Feed, heartbeat <-chan time.Time, tell func([]feedItem) (bool, error)) (ended string, err error) {
	news, err := f.read(ctx)
	for {
		if err != nil {
			return "", err
		}
		if more, err := tell(news); !more || err != nil {
			return "", err
		}
		if news, ended, err = f.await(ctx, open, heartbeat); ended != "" {
			return ended, nil
		}
	}
}

// await returns what is new when something is, nothing at a heartbeat, or why
// relay ends the feed.
func (f *feed) await(ctx context.Context, open *store.Feed, heartbeat <-chan time.Time) (news []feedItem, ended string, err error) {
	for {
		select {
		case <-ctx.Done():
			return nil, "", ctx.Err()
		case <-f.server.Draining:
			return nil, FeedDraining, nil
		case <-heartbeat:
			return nil, "", nil
		case <-open.Woken():
			changes := open.Take()
			switch {
			case changes.Ended != "":
				return nil, changes.Ended, nil
			case changes.Lost:
				news, err = f.read(ctx)
			default:
				news, err = f.news(changes.Calls, changes.At)
			}
			if len(news) > 0 || err != nil { // otherwise the change concerns other devices
				return news, "", err
			}
		}
	}
}

// FeedDraining is why a feed ends when its process stops.
const FeedDraining = "draining"

// FeedEnds lists why relay ends feeds.
var FeedEnds = []string{store.FeedReplaced, store.FeedLoggedOut, FeedDraining}

// longPoll answers as soon as something is new, or after the wait.
func (f *feed) longPoll(w http.ResponseWriter, r *http.Request, wait time.Duration) error {
	open, err := f.open(r.Context())
	if err != nil {
		return err
	}
	defer open.Close()
	if err := waitLong(w); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), wait)
	defer cancel()
	var news []feedItem
	ended, err := f.follow(ctx, open, nil, func(items []feedItem) (bool, error) {
		news = items
		return len(news) == 0, nil
	})
	if r.Context().Err() == nil && errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil {
		err = nil
	}
	if err != nil {
		return err
	}
	if ended != "" {
		w.Header().Set("Retry-After", "1")
	}
	return f.page(w, news)
}

func (f *feed) open(ctx context.Context) (*store.Feed, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, f.server.AnswerWithin, errSilence)
	defer cancel()
	open, err := f.server.Store.OpenFeed(ctx, f.p.AppID, f.p.DeviceID, f.p.UserID)
	if err != nil {
		return nil, causeOf(ctx, err)
	}
	return open, nil
}

// stream sends server-sent events (HTML standard, 9.2).
func (f *feed) stream(w http.ResponseWriter, r *http.Request) error {
	out := f.server.eventStream(w)
	if r.Method == http.MethodHead { // a feed that tells nothing would close the one that does
		return out.send(nil)
	}
	open, err := f.open(r.Context())
	if err != nil {
		return err
	}
	defer open.Close()
	if err := waitLong(w); err != nil {
		return err
	}
	heartbeat := time.NewTicker(f.server.Heartbeat)
	defer heartbeat.Stop()
	first := true
	ended, err := f.follow(r.Context(), open, heartbeat.C, func(news []feedItem) (bool, error) {
		var b bytes.Buffer
		if first {
			writeRetry(&b)
		}
		for _, item := range news {
			writeEvent(&b, item.cursor, "call", item.body)
		}
		if len(news) == 0 {
			writeBeat(&b, f.cursor())
		}
		first = false
		return true, out.send(b.Bytes())
	})
	if ended != "" {
		return out.close(ended)
	}
	if errors.Is(context.Cause(r.Context()), context.Canceled) {
		return nil // the client closed its feed: the usual end
	}
	return err
}
