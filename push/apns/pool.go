package apns

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"
)

// A failed dial is not repeated at once: Apple takes rapid opening of
// connections for an attack. The pause doubles between these two.
const (
	dialPauseMin = 50 * time.Millisecond
	dialPauseMax = 2 * time.Second
)

// patience is how long a new connection may leave its first request unanswered
// before the pool dials another one for the requests that wait.
const patience = 500 * time.Millisecond

var errPoolClosed = errors.New("the pool of connections is closed")

// pool keeps a few connections to one address for one team and key. Requests
// wait in order for a place on one of them. They never wait inside a connection
// for the server's limit of streams.
type pool struct {
	dialer *dialer
	max    int // connections

	until   context.Context // ends with the pool
	stop    context.CancelFunc
	changed chan struct{} // a connection has more room, or is no longer usable

	mu       sync.Mutex
	conns    []*conn
	waiters  []chan turn // in the order of their coming
	dialing  int
	failures int       // dials in a row
	notUntil time.Time // no dial before this
	dialErr  error     // of the last dial, where it failed
}

// turn is what a waiting request gets: a place, or the reason why there is
// none.
type turn struct {
	conn *conn
	err  error
}

func newPool(d *dialer, maxConns int) *pool {
	until, stop := context.WithCancel(context.Background())
	p := &pool{dialer: d, max: maxConns, until: until, stop: stop, changed: make(chan struct{}, 1)}
	go p.watch()
	return p
}

// watch hands out places when connections report room by their hook. Their hook
// may run inside a call that the pool makes under its lock, so it only signals.
func (p *pool) watch() {
	for {
		select {
		case <-p.changed:
			p.mu.Lock()
			p.serve()
			p.mu.Unlock()
		case <-p.until.Done():
			return
		}
	}
}

func (p *pool) signal(*http.ClientConn) {
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// acquire waits for a place on a connection until ctx ends. The place must be
// used for exactly one RoundTrip and then given back by release.
func (p *pool) acquire(ctx context.Context) (*conn, error) {
	w := make(chan turn, 1)
	p.mu.Lock()
	if p.until.Err() != nil {
		p.mu.Unlock()
		return nil, &waitError{cause: errPoolClosed}
	}
	p.waiters = append(p.waiters, w)
	p.serve()
	p.mu.Unlock()
	select {
	case t := <-w:
		return t.conn, t.err
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.waiters, w); i >= 0 {
		p.waiters = slices.Delete(p.waiters, i, i+1)
		return nil, &waitError{ctx.Err(), p.dialErr}
	}
	if t := <-w; t.conn != nil { // the place came in the same moment
		t.conn.cc.Release()
		p.giveBack(t.conn)
	}
	return nil, &waitError{cause: ctx.Err()}
}

// waitError says that a request was never sent: no connection had room for it
// in time.
type waitError struct{ cause, dial error }

func (e *waitError) Error() string {
	if e.dial != nil {
		return "no connection: " + e.dial.Error()
	}
	return "no room on a connection: " + e.cause.Error()
}

func (e *waitError) Unwrap() []error { return []error{e.cause, e.dial} }

// release gives a place back. answered says that an answer came; usable is
// false where the connection is to take no more requests.
func (p *pool) release(c *conn, answered, usable bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.primed = c.primed || answered
	c.retired = c.retired || !usable
	p.giveBack(c)
}

func (p *pool) giveBack(c *conn) {
	c.used--
	p.serve()
}

// serve gives places to the waiters, in order, and dials where they need more.
// The caller holds p.mu.
func (p *pool) serve() {
	p.sweep()
	for len(p.waiters) > 0 {
		c := p.take()
		if c == nil {
			break
		}
		p.waiters[0] <- turn{conn: c}
		p.waiters = p.waiters[1:]
	}
	// A connection that is being dialled may hold hundreds of requests, so
	// another one is dialled only when none is under way.
	if len(p.waiters) > 0 && p.dialing == 0 && len(p.conns) < p.max && !p.learning() {
		p.dial()
	}
}

// sweep forgets connections that are dead, and closes retired ones that are no
// longer in use.
func (p *pool) sweep() {
	p.conns = slices.DeleteFunc(p.conns, func(c *conn) bool {
		// A GOAWAY that finds nothing in flight leaves no error, and the server may
		// keep the connection open for long: it must not hold a place among max.
		if c.used == 0 && c.cc.InFlight() == 0 && c.cc.Available() == 0 {
			c.retired = true
		}
		if c.cc.Err() == nil && (!c.retired || c.used > 0) {
			return false
		}
		if c.used == 0 {
			go func() { _ = c.cc.Close() }() // nobody is left to tell
		}
		return true
	})
}

// learning reports whether a connection has waited a short time for its first
// answer: its limit of streams will be known soon.
func (p *pool) learning() bool {
	return slices.ContainsFunc(p.conns, func(c *conn) bool {
		return !c.primed && !c.retired && time.Since(c.asked) < patience
	})
}

// take finds the least used connection with room and takes a place on it.
func (p *pool) take() *conn {
	var best *conn
	for _, c := range p.conns {
		if c.free() && (best == nil || c.used < best.used) && c.cc.Available() > 0 {
			best = c
		}
	}
	if best == nil || best.cc.Reserve() != nil {
		return nil
	}
	best.used++
	if !best.primed {
		best.asked = time.Now()
		time.AfterFunc(patience, func() { p.signal(nil) })
	}
	return best
}

// dial opens one more connection, after the pause that earlier failures ask for.
// The caller holds p.mu.
func (p *pool) dial() {
	p.dialing++
	pause := time.Until(p.notUntil)
	go func() {
		if pause > 0 {
			timer := time.NewTimer(pause)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-p.until.Done():
			}
		}
		cc, err := p.dialer.dial(p.until)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.dialing--
		p.dialErr = err
		if err != nil {
			p.failed(err)
			return
		}
		p.failures = 0
		if p.until.Err() != nil {
			go func() { _ = cc.Close() }()
			return
		}
		cc.SetStateHook(p.signal)
		p.conns = append(p.conns, &conn{cc: cc})
		p.serve()
	}()
}

// failed handles a failed dial. If no connection is left, all waiting requests
// fail at once; their callers decide whether to try again. The caller holds
// p.mu.
func (p *pool) failed(err error) {
	p.failures++
	p.notUntil = time.Now().Add(min(dialPauseMin<<min(p.failures-1, 10), dialPauseMax))
	p.sweep()
	if len(p.conns) > 0 {
		p.serve() // dials again after the pause: the connections that are there may be silent
		return
	}
	for _, w := range p.waiters {
		w <- turn{err: &waitError{dial: err}}
	}
	p.waiters = nil
}

// close ends the pool, and each connection when its requests have ended.
func (p *pool) close() {
	p.stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.waiters {
		w <- turn{err: &waitError{cause: errPoolClosed}}
	}
	p.waiters = nil
	for _, c := range p.conns {
		c.retired = true
	}
	p.sweep()
}
