package devicesim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"sync"
	"time"
)

// feed is the app's own connection to relay, which brings its calls.
type feed struct {
	mu      sync.Mutex
	open    bool
	over    bool          // it does not come back
	changed chan struct{} // closed when open or over changed

	woken chan struct{} // holds one: a push has come

	// Of the goroutine that follows the feed.
	cursor string
	retry  time.Duration // the pause that relay asked for; 0 before it did
}

func newFeed() *feed {
	return &feed{changed: make(chan struct{}), woken: make(chan struct{}, 1)}
}

func (f *feed) set(open, over bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.open != open || f.over != over {
		f.open, f.over = open, over
		close(f.changed)
		f.changed = make(chan struct{})
	}
}

func (f *feed) isOpen() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.open
}

// nudge says that a push has started the app.
func (f *feed) nudge() {
	select {
	case f.woken <- struct{}{}:
	default:
	}
}

// Connected waits until the device's feed is open, and relay thus knows that the
// device can be reached. It returns an error when ctx ended before, or when
// there will be no feed.
func (d *Device) Connected(ctx context.Context) error {
	for {
		d.feed.mu.Lock()
		open, over, changed := d.feed.open, d.feed.over || d.cfg.NoFeed, d.feed.changed
		d.feed.mu.Unlock()
		switch {
		case open:
			return nil
		case over:
			return errors.New("devicesim: the device has no feed")
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Why relay ends a feed.
const (
	feedReplaced  = "replaced"
	feedLoggedOut = "logged_out"
)

// follow keeps the feed open until ctx ends, the device is logged out or relay
// refuses it.
func (d *Device) follow(ctx context.Context, wakes *sync.WaitGroup) {
	f := d.feed
	f.cursor = "" // an app that starts learns of all live calls
	f.set(false, false)
	for failed := 0; ; {
		opened, ended, err := d.stream(ctx, wakes)
		f.set(false, false)
		if ctx.Err() != nil {
			return
		}
		d.log.DebugContext(ctx, "the feed ended", "reason", ended, "error", err)
		if failed++; opened {
			failed = 0
		}
		switch no := final(err); {
		case ended == feedLoggedOut:
			f.set(false, true)
			return
		case ended == feedReplaced:
			if !d.yield(ctx) {
				return
			}
			continue
		case no != nil && no.Status == http.StatusBadRequest && f.cursor != "":
			f.cursor = "" // the cursor is of a database that was restored since
			continue
		case no != nil:
			d.log.WarnContext(ctx, "the feed is refused", "error", err)
			f.set(false, true)
			return
		}
		if !pause(ctx, d.reconnectAfter(failed, err)) {
			return
		}
	}
}

// yield leaves the feed to the app that took it over, until a push comes here or
// a while has passed.
func (d *Device) yield(ctx context.Context) bool {
	select {
	case <-d.feed.woken: // of before
	default:
	}
	t := time.NewTimer(d.cfg.YieldFor)
	defer t.Stop()
	select {
	case <-d.feed.woken:
	case <-t.C:
	case <-ctx.Done():
		return false
	}
	return true
}

// reconnectAfter is the pause before the feed is opened again: what relay asked
// for, and longer where it fails again and again.
func (d *Device) reconnectAfter(failed int, err error) time.Duration {
	rest := d.feed.retry
	if rest == 0 {
		rest = d.cfg.RetryPause
	}
	for range failed - 1 {
		if rest < maxRetryAfter {
			rest = min(2*rest, maxRetryAfter)
		}
	}
	if no := (*Refusal)(nil); errors.As(err, &no) {
		rest = max(rest, no.retryAfter)
	}
	return rest
}

// silentBeats is how many heartbeats may fail to come before a stream is taken
// for dead.
const silentBeats = 2.5

var errSilent = errors.New("nothing was heard for too long")

// stream opens the feed once and follows it until it ends. ended is relay's
// reason, "" where it gave none.
func (d *Device) stream(ctx context.Context, wakes *sync.WaitGroup) (opened bool, ended string, err error) {
	f, appCtx := d.feed, ctx
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(d.cfg.Timeout, func() { cancel(errSilent) })
	defer silence.Stop()
	defer func() {
		if cause := context.Cause(ctx); err != nil && cause != nil {
			err = cause
		}
	}()

	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.cfg.RelayURL+"/v1/device/calls", nil)
	if err != nil {
		return false, "", err
	}
	req.Header.Set("Authorization", "Bearer "+d.cfg.DeviceToken)
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Cache-Control", "no-store")
	if f.cursor != "" {
		req.Header.Set("Last-Event-ID", f.cursor)
	}
	resp, err := d.cfg.HTTPClient.Do(req)
	if err != nil {
		return false, "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer)) // its status tells enough
		return false, "", refusal(resp, text)
	}
	if kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || kind != "text/event-stream" {
		return false, "", fmt.Errorf("the feed's answer is %q", resp.Header.Get("Content-Type"))
	}
	silent := time.Duration(silentBeats * float64(d.cfg.Heartbeat))
	silence.Reset(silent)
	f.set(true, false)
	events := newEventReader(heard{resp.Body, func() { silence.Reset(silent) }}, f.cursor, f.retry)
	for {
		e, err := events.next()
		f.retry = events.retry
		if err != nil {
			f.cursor = events.last // which may have come without an event
			return true, "", err
		}
		switch e.name {
		case "call":
			d.told(appCtx, wakes, e.data)
		case "closed":
			var closed struct{ Reason string }
			if err := json.Unmarshal([]byte(e.data), &closed); err != nil {
				return true, "", fmt.Errorf("the feed's end: %w", err)
			}
			return true, closed.Reason, nil
		}
		f.cursor = events.last // what it said has been done
	}
}

// heard tells of each byte that comes.
type heard struct {
	io.Reader
	tell func()
}

func (h heard) Read(p []byte) (int, error) {
	n, err := h.Reader.Read(p)
	if n > 0 {
		h.tell()
	}
	return n, err
}

// advice is what relay tells one device about a call.
type advice struct {
	Verdict string  `json:"verdict"`
	Reason  *string `json:"reason"`
	Call    struct {
		ID          string `json:"id"`
		Direction   string `json:"direction"`
		Media       string `json:"media"`
		VoiceAnswer bool   `json:"voice_answer"`
		Conference  bool   `json:"conference"`
		Caller      struct {
			Name string `json:"name"`
		} `json:"caller"`
		Callee struct {
			UserID string `json:"user_id"`
		} `json:"callee"`
		ExpiresAt time.Time `json:"expires_at"`
	} `json:"call"`
	Leg struct {
		ID           string `json:"id"`
		Status       string `json:"status"`
		Presentation string `json:"presentation"`
	} `json:"leg"`
}

// over reports whether the device must not ring, and why.
func (a *advice) over() (reason string, over bool) {
	if a.Verdict != "stop" && !slices.Contains(legEnds, a.Leg.Status) {
		return "", false
	}
	if a.Reason != nil && *a.Reason != "" {
		return *a.Reason, true
	}
	return a.Leg.Status, true
}

// ringable are the leg statuses in which a device that hears of a call may
// ring. A device that talks already has lost that call in a crash.
var ringable = []string{"waking", "handed_over", "confirmed", "ringing"}

// told does what the feed says of one call. One that the device does not know is
// a wake.
func (d *Device) told(ctx context.Context, wakes *sync.WaitGroup, text string) {
	var a advice
	if err := json.Unmarshal([]byte(text), &a); err != nil || a.Call.ID == "" || a.Leg.ID == "" {
		d.log.WarnContext(ctx, "the feed tells what cannot be read", "error", err)
		return
	}
	if reason, over := a.over(); over {
		d.silence(a.Leg.ID, reason)
		return
	}
	if a.Call.Direction != "incoming" || !slices.Contains(ringable, a.Leg.Status) || d.cfg.UserID != "" && a.Call.Callee.UserID != d.cfg.UserID {
		return
	}
	l := d.enterNew(a.Call.ID, a.Leg.ID)
	if l == nil {
		return
	}
	w := &wake{Call: &Call{Status: StatusWoken, Source: fromConnection}, leg: l, ringEnd: a.Call.ExpiresAt, payload: payload{
		Call: a.Call.ID, Leg: a.Leg.ID, Callee: a.Call.Callee.UserID, Presentation: a.Leg.Presentation, Media: a.Call.Media,
		VoiceAnswer: a.Call.VoiceAnswer, Conference: a.Call.Conference,
	}}
	w.payload.Caller.Name = a.Call.Caller.Name
	w.name(a.Call.ID) // the system accepts any id that the app chose
	d.keep(w.Call)
	d.set(w.Call, StatusWoken, "")
	wakes.Go(func() { d.take(ctx, w) })
}
