package push

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/store"
)

// Config is what a dispatcher works with. Zero values take the defaults.
type Config struct {
	Store *store.Store
	// Senders makes the Sender of an app's credential with a vendor.
	// store.ErrNotFound means that the app has none.
	Senders func(ctx context.Context, appID string, vendor call.Vendor) (Sender, error)
	// WakeToken mints the token by which an app may act on one leg.
	WakeToken func(store.Wake) (string, error)

	InFlight       int             // requests of one lane at a time; 0 means 256
	MostInHand     int             // wakes in hand above which new calls are refused; 0 means 50,000
	AttemptTimeout time.Duration   // time limit of one request, dialling included; 0 means 3 s
	Margin         time.Duration   // rest of the ring below which nothing is sent; 0 means 3 s
	Backoff        []time.Duration // between attempts, before jitter; nil means 0.2, 0.5, 1, 2, 4 s
	Recheck        time.Duration   // how often a lane looks for a new credential; 0 means 5 s
	Drain          time.Duration   // how long Close waits for requests under way; 0 means 10 s

	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

func (c *Config) setDefaults() {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{{&c.AttemptTimeout, 3 * time.Second}, {&c.Margin, call.WakeMargin}, {&c.Recheck, 5 * time.Second}, {&c.Drain, 10 * time.Second}} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	if c.InFlight == 0 {
		c.InFlight = 256
	}
	if c.MostInHand == 0 {
		c.MostInHand = 50_000
	}
	if c.Backoff == nil {
		c.Backoff = []time.Duration{200 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Registerer == nil {
		c.Registerer = prometheus.NewRegistry()
	}
}

// Dispatcher sends the wakes and notices that its process owns.
type Dispatcher struct {
	config  Config
	metrics *metrics
	lanes   lanes

	waits context.Context // ends when the dispatcher is told to stop: nothing new is sent
	stop  context.CancelFunc
	sends context.Context // ends Config.Drain later, for requests under way
	abort context.CancelFunc

	rings   atomic.Int64 // wakes in hand
	notices atomic.Int64 // notices in hand
	mu      sync.Mutex   // guards wg.Add against the wait for it
	wg      sync.WaitGroup
}

// New makes a dispatcher. It starts sending with the first Enqueue.
func New(config Config) *Dispatcher {
	config.setDefaults()
	d := &Dispatcher{config: config, metrics: newMetrics(config.Registerer)}
	d.waits, d.stop = context.WithCancel(context.Background())
	d.sends, d.abort = context.WithCancel(context.Background())
	d.lanes.init(d.waits, &d.config)
	return d
}

// Enqueue accepts wakes and notices to be sent, without blocking. After Close
// it leaves them to other processes.
func (d *Dispatcher) Enqueue(wakes []store.Wake) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.waits.Err() != nil {
		return
	}
	for _, w := range wakes {
		count, do := &d.rings, d.wake
		if notice(w) {
			count = &d.notices
			if count.Load() >= int64(d.config.MostInHand) { // the vendor has been away for long; notices never make relay refuse calls
				do = func(w store.Wake) { d.giveUp(w, call.ReasonVendorUnavailable) }
			}
		}
		count.Add(1)
		d.metrics.inHand.Inc()
		d.wg.Go(func() {
			defer d.metrics.inHand.Dec()
			defer count.Add(-1)
			do(w)
		})
	}
}

// notice reports whether a wake is a notice, which is not bound to the end of a
// ring.
func notice(w store.Wake) bool { return w.Purpose != call.PurposeRing }

// Full reports whether so many wakes are in hand that new calls should be
// refused.
func (d *Dispatcher) Full() bool { return d.rings.Load() >= int64(d.config.MostInHand) }

// Close stops sending: wakes that wait for a retry are left to other processes,
// and requests under way may end within Config.Drain.
func (d *Dispatcher) Close() {
	d.mu.Lock()
	d.stop()
	d.mu.Unlock()
	timer := time.AfterFunc(d.config.Drain, d.abort)
	defer timer.Stop()
	d.wg.Wait()
	d.abort()
}

// wake tries to send one wake until the vendor accepts it or refuses it for
// good, or until the ring is over; a notice has a time limit of its own.
func (d *Dispatcher) wake(w store.Wake) {
	lastReason := call.ReasonDeadlinePassed
	renewed := false
	for try, waited := 0, 0; ; { // failures of the vendor, and pauses before any request
		if try > 0 || waited > 0 || renewed {
			wanted, err := d.config.Store.WakeWanted(d.waits, w)
			if err == nil && !wanted {
				// The call ended, the app confirmed, or another process has the
				// wake. It must be finished, or the take-over would find it as
				// an orphan whose attempt was lost. The leg no longer waits for
				// it, so nothing else changes.
				d.finish(w, store.Outcome{Next: store.WakeGivenUp, Reason: lastReason})
				return
			}
		}
		p, refused, err := d.admit(w)
		switch {
		case d.waits.Err() != nil:
			if err == nil && refused == "" {
				p.giveBack(nil)
			}
			return
		case err != nil: // the database or the breaker; the vendor was not asked
			if errors.Is(err, errOpen) {
				lastReason = call.ReasonVendorUnavailable
			}
			if !d.sleep(w, waited) {
				if d.waits.Err() == nil { // else another process goes on with it
					d.giveUp(w, lastReason)
				}
				return
			}
			waited++
			continue
		case refused == call.ReasonDeadlinePassed:
			d.giveUp(w, lastReason) // the vendor's last answer explains more than the lack of time
			return
		case refused != "":
			d.giveUp(w, refused)
			return
		}
		if notice(w) { // it may have waited minutes for its place, and may be needless by now
			if wanted, err := d.config.Store.WakeWanted(d.waits, w); err == nil && !wanted {
				p.giveBack(nil)
				d.finish(w, store.Outcome{Next: store.WakeGivenUp, Reason: lastReason})
				return
			}
		}
		answer, attempt := d.send(p, w)
		outcome, pause := d.judge(w, answer, try, renewed)
		outcome.Attempt = &attempt
		if !d.finish(w, outcome) {
			return
		}
		w.Number++
		lastReason = answer.Reason
		if answer.Retry == RetryOnce {
			renewed = true
			continue
		}
		try++
		if !d.pause(pause) {
			return
		}
	}
}

// admit waits for a place in the wake's lane. refused says why the wake cannot
// be sent at all.
func (d *Dispatcher) admit(w store.Wake) (p place, refused call.Reason, err error) {
	left := time.Until(w.RingEnd) - d.config.Margin
	if left <= 0 {
		return place{}, call.ReasonDeadlinePassed, nil
	}
	if w.Token == "" {
		return place{}, call.ReasonNoToken, nil
	}
	if !d.config.Store.Alive() {
		return place{}, "", errSilent
	}
	l, err := d.lanes.of(d.waits, laneOf(w))
	var unusable *UnusableError
	if errors.Is(err, store.ErrNotFound) || errors.As(err, &unusable) {
		return place{}, call.ReasonChannelNotConfigured, nil
	}
	if err != nil {
		return place{}, "", err
	}
	if !l.sender.Serves(w.Purpose) {
		return place{}, call.ReasonChannelNotConfigured, nil
	}
	ctx, cancel := context.WithTimeout(d.waits, left)
	defer cancel()
	p, err = l.acquire(ctx, notice(w))
	if errors.Is(err, context.DeadlineExceeded) {
		return place{}, call.ReasonDeadlinePassed, nil
	}
	return p, "", err
}

// errSilent means that this process's heartbeat is too old, so that others may
// have taken its wakes over.
var errSilent = errors.New("this process's heartbeat is too old")

// send makes one attempt and gives its place back.
func (d *Dispatcher) send(p place, w store.Wake) (Answer, store.Attempt) {
	st := d.config.Store
	began := time.Now() // the database's time may be set back a little while an attempt is made
	attempt := store.Attempt{ID: st.NewAttemptID(w.CallID), Purpose: w.Purpose, Number: w.Number, Channel: w.Channel, StartedAt: st.Now()}
	var answer Answer
	token, err := d.config.WakeToken(w)
	if err != nil {
		answer = Answer{Outcome: Refused, Reason: call.ReasonVendorRefused, Retry: RetryNever, Blame: call.BlameUs, Token: TokenKeep, Code: NotSent, Message: "not sent: the wake's token could not be minted"}
		p.giveBack(nil)
	} else {
		m := message(w, attempt.ID, token, attempt.StartedAt)
		ctx, cancel := context.WithTimeout(d.sends, d.config.AttemptTimeout)
		answer = p.send(ctx, m)
		cancel()
		if answer.Token == TokenDoubtful && p.lane.succeededLately() { // other tokens of the app are accepted, so this token is dead
			answer.Token, answer.Reason, answer.Blame = TokenDead, call.ReasonTokenDead, call.BlameDevice
		}
	}
	took := time.Since(began)
	attempt.FinishedAt = attempt.StartedAt.Add(took)
	attempt.Outcome, attempt.Blame, attempt.Reason = string(answer.Outcome), string(answer.Blame), answer.Reason
	attempt.Status, attempt.Code, attempt.Message, attempt.RequestID = answer.Status, answer.Code, answer.Message, answer.RequestID
	d.metrics.attempt(w, answer, took)
	d.config.Logger.Info("attempt", "app_id", w.AppID, "call_id", w.CallID, "leg_id", w.LegID, "attempt_id", attempt.ID, "number", w.Number,
		"purpose", w.Purpose, "channel", w.Channel, "outcome", answer.Outcome, "blame", answer.Blame, "status", answer.Status, "code", answer.Code, "duration", took)
	return answer, attempt
}

// message makes the vendor-independent message of a wake.
func message(w store.Wake, attempt uuid.UUID, token string, now time.Time) Message {
	m := Message{
		Attempt: attempt, Purpose: w.Purpose, Channel: w.Channel, Token: w.Token, BundleID: w.BundleID, Environment: w.Environment, Locale: w.Locale,
		Payload: w.Payload, RingLeft: time.Until(w.RingEnd), KeepFor: w.KeepFor, Text: w.Text,
	}
	m.Payload.Token, m.Payload.SentAt = token, now
	return m
}

// sleep waits before another try after a failure that was not the vendor's. It
// reports false where the ring leaves no time for it.
func (d *Dispatcher) sleep(w store.Wake, try int) bool {
	pause := jitter(d.config.Backoff[min(try, len(d.config.Backoff)-1)])
	return time.Until(w.RingEnd)-pause > d.config.Margin && d.pause(pause)
}

func (d *Dispatcher) pause(pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-d.waits.Done():
		return false
	}
}

func (d *Dispatcher) giveUp(w store.Wake, reason call.Reason) {
	d.metrics.givenUp.WithLabelValues(string(w.Purpose), string(w.Channel), string(reason)).Inc()
	d.finish(w, store.Outcome{Next: store.WakeGivenUp, Reason: reason})
}

// finish records an outcome and retries while the database is away, since every
// attempt must be recorded. It reports whether the wake is still needed.
func (d *Dispatcher) finish(w store.Wake, o store.Outcome) bool {
	for try := 0; ; try++ {
		more, err := d.config.Store.FinishAttempt(d.sends, w, o)
		if err == nil {
			return more
		}
		if !errors.Is(err, store.ErrUnavailable) && !errors.Is(err, store.ErrBusy) || d.sends.Err() != nil || time.Until(w.RingEnd) < -time.Minute {
			d.config.Logger.Error("an outcome was not recorded", "app_id", w.AppID, "call_id", w.CallID, "leg_id", w.LegID, "error", err)
			d.config.Store.Release(w)
			return false
		}
		timer := time.NewTimer(jitter(d.config.Backoff[min(try, len(d.config.Backoff)-1)]))
		select {
		case <-timer.C:
		case <-d.sends.Done():
			timer.Stop()
		}
	}
}
