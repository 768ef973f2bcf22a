package push

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/store"
)

// lane sends for one app to one environment of one vendor. It has the Sender of
// the app's credential, a limit of requests in flight, and a circuit breaker.
type lane struct {
	sender    Sender
	opened    time.Time // when the credential was stored: a newer one replaces the lane
	checked   time.Time // when the lane last looked for a newer credential
	places    chan struct{}
	notices   chan struct{} // the places that notices may use, so that a thousand missed calls delay no ring
	breaker   *gobreaker.TwoStepCircuitBreaker[struct{}]
	succeeded atomic.Int64 // Unix seconds of the last acceptance
}

// The settings of the circuit breakers. A ring lasts two minutes at most, so a
// breaker must notice quickly that a vendor is down, and that it is back.
const (
	breakAfter  = 20               // failures in a row that open it
	breakFor    = time.Second      // for so long nothing is sent then
	breakProbes = 5                // requests that may then try
	lately      = 10 * time.Minute // an acceptance in this time shows that the project is in order
)

var errOpen = errors.New("the vendor failed many times in a row; waiting before the next try")

// place is the right to make one request on a lane.
type place struct {
	lane   *lane
	done   func(error) // reports the request's result to the breaker; nil is a success
	notice bool
}

// acquire waits for a place among the requests in flight. errOpen means that
// the breaker is open.
func (l *lane) acquire(ctx context.Context, notice bool) (place, error) {
	p := place{lane: l, notice: notice}
	if notice {
		select {
		case l.notices <- struct{}{}:
		case <-ctx.Done():
			return place{}, ctx.Err()
		}
	}
	select {
	case l.places <- struct{}{}:
	case <-ctx.Done():
		if notice {
			<-l.notices
		}
		return place{}, ctx.Err()
	}
	var err error
	if p.done, err = l.breaker.Allow(); err != nil {
		p.leave()
		return place{}, errOpen
	}
	return p, nil
}

func (p place) giveBack(failure error) {
	p.done(failure)
	p.leave()
}

func (p place) leave() {
	<-p.lane.places
	if p.notice {
		<-p.lane.notices
	}
}

// send makes the request and gives the place back. Only a missing answer or a
// failure of the vendor counts as a failure for the breaker: a refusal is an
// answer.
func (p place) send(ctx context.Context, m Message) Answer {
	answer := p.lane.sender.Send(ctx, m)
	switch answer.Outcome {
	case Unavailable:
		p.giveBack(errOpen)
	case Accepted:
		p.lane.succeeded.Store(time.Now().Unix())
		p.giveBack(nil)
	default:
		p.giveBack(nil)
	}
	return answer
}

func (l *lane) succeededLately() bool {
	return time.Since(time.Unix(l.succeeded.Load(), 0)) < lately
}

// lanes opens each lane when it is first needed, and again when its credential
// was replaced.
type lanes struct {
	config *Config
	until  context.Context // ends with the dispatcher
	mu     sync.Mutex
	open   map[laneKey]*opening
}

type laneKey struct {
	appID       string
	vendor      call.Vendor
	environment string // a vendor's sandbox may be down while its production is up
}

func laneOf(w store.Wake) laneKey { return laneKey{w.AppID, w.Channel.Vendor(), w.Environment} }

// opening is a lane that one caller opens while the others wait for it.
type opening struct {
	mu   sync.Mutex
	lane *lane
}

func (ls *lanes) init(until context.Context, config *Config) {
	ls.until, ls.config, ls.open = until, config, map[laneKey]*opening{}
}

// UnusableError says why a stored credential cannot be used. Trying again
// within the ring would not help.
type UnusableError struct{ Err error }

func (e *UnusableError) Error() string { return "the credential cannot be used: " + e.Err.Error() }
func (e *UnusableError) Unwrap() error { return e.Err }

// of returns a lane. store.ErrNotFound means that the app has no credential,
// *UnusableError that it has a bad one. An open lane goes on sending while it
// looks for a newer credential, since the database may be away.
func (ls *lanes) of(ctx context.Context, key laneKey) (*lane, error) {
	ls.mu.Lock()
	o := ls.open[key]
	if o == nil {
		o = &opening{}
		ls.open[key] = o
	}
	ls.mu.Unlock()
	o.mu.Lock()
	defer o.mu.Unlock()
	if l := o.lane; l != nil {
		if time.Since(l.checked) >= ls.config.Recheck {
			l.checked = time.Now()
			go ls.recheck(key, o, l)
		}
		return l, nil
	}
	l, err := ls.openLane(ctx, key)
	switch {
	case err == nil:
		o.lane = l
	case !errors.Is(err, store.ErrNotFound) && ctx.Err() == nil:
		ls.config.Logger.Error("an app's lane cannot be opened", "app_id", key.appID, "vendor", key.vendor, "error", err)
	}
	return l, err
}

// recheck replaces a lane whose credential was replaced, and closes one whose
// credential was deleted.
func (ls *lanes) recheck(key laneKey, o *opening, l *lane) {
	ctx, cancel := context.WithTimeout(ls.until, ls.config.AttemptTimeout)
	defer cancel()
	updated, err := ls.config.Store.CredentialUpdatedAt(ctx, key.appID, key.vendor)
	if err == nil && updated.Equal(l.opened) {
		return
	}
	var fresh *lane
	if err == nil {
		fresh, err = ls.openLane(ctx, key)
	}
	if ls.until.Err() != nil {
		return
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		ls.config.Logger.Warn("a credential could not be looked at again", "app_id", key.appID, "vendor", key.vendor, "error", err)
		return
	}
	o.mu.Lock()
	o.lane = fresh
	o.mu.Unlock()
	if c, ok := l.sender.(io.Closer); ok {
		_ = c.Close() // its connections close with it; nobody needs the error
	}
}

func (ls *lanes) openLane(ctx context.Context, key laneKey) (*lane, error) {
	updated, err := ls.config.Store.CredentialUpdatedAt(ctx, key.appID, key.vendor)
	if err != nil {
		return nil, err
	}
	sender, err := ls.config.Senders(ctx, key.appID, key.vendor)
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrUnavailable), err != nil && ctx.Err() != nil:
		return nil, err
	case err != nil:
		return nil, &UnusableError{err}
	}
	return &lane{
		sender: sender, opened: updated, checked: time.Now(),
		places: make(chan struct{}, ls.config.InFlight), notices: make(chan struct{}, max(1, ls.config.InFlight/4)),
		breaker: gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
			Name: key.appID + "/" + string(key.vendor) + "/" + key.environment, MaxRequests: breakProbes, Timeout: breakFor,
			ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= breakAfter },
			OnStateChange: func(name string, _, to gobreaker.State) {
				ls.config.Logger.Warn("breaker", "lane", name, "state", to.String())
			},
		}),
	}, nil
}
