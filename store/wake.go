package store

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/pushwake/relay/call"
)

// Wake is a push to be sent: the wake of one leg, or a notice to its device.
// This process owns it until it is finished.
type Wake struct {
	Purpose     call.Purpose
	AppID       string
	CallID      uuid.UUID
	LegID       uuid.UUID
	DeviceID    string
	UserID      string
	Channel     call.Channel
	Token       string
	BundleID    string
	Environment string
	Locale      string
	Number      int              // of the next attempt, from 1; an outcome with another number is stale
	Payload     call.WakePayload // complete except Token and SentAt
	RingEnd     time.Time        // by this machine's clock, computed from the database's; of a notice, when it is given up
	KeepFor     time.Duration    // how long the vendor may keep a VoIP push; see call.Policy
	Text        string           // the text of a missed call's notice, where the app has its own
}

// newWake makes the wake of a leg. ringEnd is the end of the ring by this
// machine's clock.
func newWake(c *call.Call, l *call.Leg, d call.Device, p call.Policy, number int, ringEnd time.Time) Wake {
	w := Wake{
		Purpose: call.PurposeRing, AppID: c.AppID, CallID: c.ID, LegID: l.ID, DeviceID: l.DeviceID, UserID: l.UserID, Channel: l.WakeChannel,
		Token: d.Tokens[l.WakeChannel.Token()].Value, BundleID: d.BundleID, Environment: d.Environment, Locale: d.Locale,
		Number: number, RingEnd: ringEnd, KeepFor: p.APNsVoIPExpiration,
		Payload: call.WakePayload{
			Call: c.ID, Leg: l.ID, Callee: c.Callee.UserID, Presentation: l.Presentation, Media: c.Media,
			VoiceAnswer: c.VoiceAnswer, Conference: c.Conference, ExpiresAt: c.ExpiresAt, Enterprise: l.Enterprise,
		},
	}
	if !w.Channel.VoIP() { // the app cannot show a call by the system's call screen that only an alert brought
		w.Payload.Presentation = call.Alert
	}
	if p.Payload == call.PayloadFull {
		caller := c.Caller
		w.Payload.Caller = &caller
	}
	return w
}

// Attempt is one request to a vendor and its outcome.
type Attempt struct {
	ID         uuid.UUID // the vendor's message id
	Purpose    call.Purpose
	Number     int // counts those of one leg and purpose
	Channel    call.Channel
	StartedAt  time.Time
	FinishedAt time.Time
	Outcome    string
	Blame      string
	Reason     call.Reason
	Status     int // HTTP; 0 where no answer came
	Code       string
	Message    string
	RequestID  string
}

// Next says what happens to a wake after an attempt.
type Next string

const (
	WakeAccepted Next = "accepted" // the vendor has it
	WakeGivenUp  Next = "given_up" // the attempt's reason closes the leg
	WakeAgain    Next = "again"    // another attempt follows
)

// Outcome is an attempt and what follows from it. It has no Attempt where the
// wake was given up without a request.
type Outcome struct {
	Attempt    *Attempt
	Next       Next
	Reason     call.Reason     // of WakeGivenUp
	TokenState call.TokenState // TokenDead or TokenSuspended where the token was refused for good; "" else
	DeadSince  time.Time       // of TokenDead: a token that was registered later lives on; zero means now
}

// NewAttemptID makes the id of an attempt about to be made for a call.
func (s *Store) NewAttemptID(callID uuid.UUID) uuid.UUID { return newAttemptID(s.Now(), callID) }

// FinishAttempt records the outcome of an attempt. more reports whether the
// wake is still needed and still owned by this process; only then may another
// attempt follow. The attempt is recorded in any case.
//
// Errors: ErrBusy, ErrUnavailable; ErrNotFound where the call is gone.
func (s *Store) FinishAttempt(ctx context.Context, w Wake, o Outcome) (more bool, err error) {
	_, notice := w.notice()
	out, err := s.change(ctx, step{appID: w.AppID, callID: w.CallID, notice: notice, apply: func(u *underLock) (any, error) {
		if notice {
			return u.finishNotice(s.process, w, o), nil
		}
		return u.finishAttempt(s.process, w, o), nil
	}})
	if errors.Is(err, ErrNotFound) {
		s.disown([]Wake{w})
	}
	if err != nil {
		return false, err
	}
	more = out.(bool)
	if !more {
		s.disown([]Wake{w})
	}
	return more, nil
}

func (u *underLock) finishAttempt(process uuid.UUID, w Wake, o Outcome) bool {
	l, row := u.call.Leg(w.LegID), u.row(w.LegID)
	if l == nil {
		return false
	}
	if o.Attempt != nil {
		u.writes.attempts = append(u.writes.attempts, attemptWrite{*o.Attempt, w.AppID, w.CallID, w.LegID})
	}
	u.markToken(w, o)
	if o.Next == WakeAccepted {
		u.call.Alert(l, w.Channel, u.now)
	}
	if row.wakeProcess == nil || *row.wakeProcess != process || row.wakeAttempt != w.Number {
		return false // another process took it over meanwhile
	}
	switch {
	case o.Next == WakeAgain && waits(l):
		row.wakeAttempt++
		return true
	case o.Next == WakeAccepted:
		u.call.HandOver(l.ID, u.now)
	case o.Next == WakeGivenUp:
		u.call.FailWake(l.ID, o.Reason, u.now)
	}
	u.letGo(l, row)
	return false
}

// waits reports whether a leg may have a wake under way: the first one, or a
// second one because its app has not confirmed.
func waits(l *call.Leg) bool { return l.Status == call.LegWaking || l.Status == call.LegHandedOver }

// WakeWanted reports whether this process should still send a wake or notice:
// it is still needed, and no other process has taken it over.
func (s *Store) WakeWanted(ctx context.Context, w Wake) (wanted bool, err error) {
	if _, notice := w.notice(); notice {
		return s.noticeWanted(ctx, w)
	}
	err = s.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM legs
		WHERE app_id = $1 AND call_id = $2 AND id = $3 AND status IN ('waking', 'handed_over') AND wake_process = $4 AND wake_attempt = $5)`,
		w.AppID, w.CallID, w.LegID, s.process, w.Number).Scan(&wanted)
	return wanted, translate(err)
}

// Release gives up a wake without an outcome. If it is still needed, the next
// take-over finds it.
func (s *Store) Release(w Wake) { s.disown([]Wake{w}) }

// own and disown keep the list of wakes that this process is sending.
func (s *Store) own(wakes []Wake) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range wakes {
		if key, notice := w.notice(); notice {
			s.notices[key] = struct{}{}
		} else {
			s.inFlight[w.LegID] = struct{}{}
		}
	}
}

func (s *Store) disown(wakes []Wake) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range wakes {
		if key, notice := w.notice(); notice {
			delete(s.notices, key)
		} else {
			delete(s.inFlight, w.LegID)
		}
	}
}

func (s *Store) inHand(leg uuid.UUID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.inFlight[leg]
	return ok
}

// hand lists the legs whose wakes this process is sending.
func (s *Store) hand() []uuid.UUID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.AppendSeq(make([]uuid.UUID, 0, len(s.inFlight)), maps.Keys(s.inFlight))
}

// unusable says why nothing can be sent to a token; "" where something can.
func unusable(t call.Token) call.Reason {
	switch {
	case t.Value == "":
		return call.ReasonNoToken
	case t.State == call.TokenDead:
		return call.ReasonTokenDead
	case t.State == call.TokenSuspended:
		return call.ReasonTokenSuspended
	}
	return ""
}

// orphan is a wake that nobody sends: its owner fell silent, or this process
// owns it without knowing, because the answer to the commit was lost.
type orphan struct {
	AppID    string
	CallID   uuid.UUID
	LegID    uuid.UUID
	DeviceID string
	Owner    uuid.UUID
}

// TakeOver takes over the wakes and notices of processes that fell silent,
// hands them to Config.OnWakes, and returns how many there were. Each is taken
// under its call's lock, so of two processes that try at once only one gets it.
func (s *Store) TakeOver(ctx context.Context) (int, error) {
	s.takeOverMu.Lock()
	defer s.takeOverMu.Unlock()
	wakes, wakesErr := s.takeWakes(ctx)
	notices, noticesErr := s.takeNotices(ctx)
	return wakes + notices, errors.Join(wakesErr, noticesErr)
}

func (s *Store) takeWakes(ctx context.Context) (int, error) {
	// The wakes that this process is sending are excluded in the query: with
	// its limit, a thousand of them would hide the orphans.
	rows, err := s.pool.Query(ctx, `
		SELECT l.app_id, l.call_id, l.id AS leg_id, l.device_id, l.wake_process AS owner
		FROM legs l LEFT JOIN processes p ON p.id = l.wake_process
		WHERE l.wake_process IS NOT NULL AND l.call_id >= $1
		  AND (l.wake_process = $2 AND l.id <> ALL ($4::uuid[])
		    OR l.wake_process <> $2 AND (p.beat_at IS NULL OR p.beat_at < clock_timestamp() - $3::interval))
		LIMIT 1000`, floorID(s.Now().Add(-longestCall)), s.process, s.config.SilentAfter, s.hand())
	if err != nil {
		return 0, translate(err)
	}
	orphans, err := collect[orphan](rows)
	if err != nil {
		return 0, translate(err)
	}
	orphans = slices.DeleteFunc(orphans, func(o orphan) bool { return o.Owner == s.process && s.inHand(o.LegID) })
	taken := 0
	err = eachAtOnce(orphans, func(o orphan) error {
		out, err := s.change(ctx, step{appID: o.AppID, callID: o.CallID, deviceID: o.DeviceID, apply: func(u *underLock) (any, error) {
			return u.takeOver(s, o), nil
		}})
		if w, ok := out.(*Wake); ok && w != nil && err == nil {
			s.mu.Lock()
			taken++
			s.mu.Unlock()
			s.own([]Wake{*w})
			s.config.OnWakes([]Wake{*w})
		}
		return err
	})
	return taken, err
}

// abandoned is the outcome of an attempt whose answer is not known.
const abandoned = "its process stopped or fell silent before an outcome was recorded; the vendor may have the message"

// takeOver makes this process the owner of an orphan and records the lost
// attempt. It returns nil where nothing is left to be sent.
func (u *underLock) takeOver(s *Store, o orphan) *Wake {
	l, row := u.call.Leg(o.LegID), u.row(o.LegID)
	if l == nil || row.wakeProcess == nil || *row.wakeProcess != o.Owner || o.Owner == s.process && s.inHand(o.LegID) {
		return nil // another was faster
	}
	u.writes.attempts = append(u.writes.attempts, attemptWrite{
		Attempt: Attempt{
			ID: newID(u.now), Number: row.wakeAttempt, Channel: l.WakeChannel, StartedAt: u.now, FinishedAt: u.now, Outcome: "abandoned", Blame: "us",
			Message: abandoned,
		}, appID: o.AppID, callID: o.CallID, legID: o.LegID,
	})
	if !waits(l) {
		u.letGo(l, row)
		return nil
	}
	d, ok := u.devices[appKey{o.AppID, o.DeviceID}]
	if !ok || d.UserID != l.UserID {
		u.call.FailWake(l.ID, call.ReasonNoToken, u.now)
		u.letGo(l, row)
		return nil
	}
	if reason := unusable(d.Tokens[l.WakeChannel.Token()]); reason != "" {
		u.call.FailWake(l.ID, reason, u.now)
		u.letGo(l, row)
		return nil
	}
	row.wakeProcess, row.wakeAttempt = &s.process, row.wakeAttempt+1
	w := newWake(&u.call, l, d.Device, u.tenant.policy, row.wakeAttempt, time.Now().Add(u.call.ExpiresAt.Sub(u.now)))
	return &w
}
