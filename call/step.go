package call

import (
	"errors"
	"time"

	"github.com/google/uuid"
)

// Errors of the steps: they refuse a request, and are no failures of relay.
var (
	ErrNotFound     = errors.New("the call has no such leg")
	ErrEnded        = errors.New("the call has ended")
	ErrAnswered     = errors.New("the call is answered already")
	ErrLostRace     = errors.New("another device answered first")
	ErrSeqConflict  = errors.New("the same seq was reported with other content")
	ErrMedia        = errors.New("the call cannot be answered with these media")
	ErrRegionNot    = errors.New("calls may not be shown in the device's region")
	ErrRegionUnsure = errors.New("the device's region is not known")
)

// regionError is the error of a region reason; nil for other reasons.
func regionError(r Reason) error {
	switch r {
	case ReasonRegionNotSupported:
		return ErrRegionNot
	case ReasonRegionUnknown:
		return ErrRegionUnsure
	}
	return nil
}

// advanceLeg moves an open leg to a later open state and fills in the times of
// the states that it implies. It reports whether anything changed.
func (c *Call) advanceLeg(l *Leg, to LegStatus, now time.Time) bool {
	if !l.Status.CanBecome(to) {
		return false
	}
	l.Status = to
	reached := legProgress[to]
	for _, stamp := range []struct {
		state LegStatus
		at    *time.Time
	}{{LegConfirmed, &l.ConfirmedAt}, {LegRinging, &l.RingingAt}, {LegAnswered, &l.AnsweredAt}} {
		if reached >= legProgress[stamp.state] && stamp.at.IsZero() {
			*stamp.at = now
		}
	}
	if reached >= legProgress[LegConfirmed] {
		l.NoWakeAt = time.Time{} // it woke after all
	}
	c.note(EventLegUpdated, l.ID, now)
	return true
}

// closeLeg ends an open leg. A leg that is marked "no wake" ends with that
// status when its call ends before the app confirmed, since this is what an
// operator looks for.
func (c *Call) closeLeg(l *Leg, end LegStatus, reason Reason, now time.Time) {
	if !l.Status.Open() {
		return
	}
	if !l.NoWakeAt.IsZero() && (end == LegMissed || end == LegCanceled || end == LegDeclinedElsewhere) {
		end = LegNoWake
	}
	if !l.Status.CanBecome(end) {
		end = LegFailed
	}
	l.Status, l.EndedAt = end, now
	if reason != "" {
		l.Reason = reason
	}
	c.note(EventLegUpdated, l.ID, now)
}

// advance moves the call forward, with the states that the new one implies.
func (c *Call) advance(to Status, now time.Time) {
	if !c.Status.CanBecome(to) {
		return
	}
	c.Status = to
	switch to {
	case StatusRinging:
		c.RingingAt = now
		c.note(EventCallRinging, uuid.Nil, now)
	case StatusAnswered:
		c.AnsweredAt = now
		c.DeadlineAt = now.Add(c.MaxDuration)
		c.note(EventCallAnswered, uuid.Nil, now)
	case StatusActive:
		c.ActiveAt = now
		if c.AnsweredAt.IsZero() { // outgoing: the far end has answered when media starts
			c.AnsweredAt = now
			c.DeadlineAt = now.Add(c.MaxDuration)
		}
		c.note(EventCallActive, uuid.Nil, now)
	}
}

// finish ends the call and closes every open leg with the status that fits the
// call's end.
func (c *Call) finish(reason EndReason, now time.Time) {
	if !c.Live() {
		return
	}
	legEnd := map[EndReason]LegStatus{
		EndCompleted: LegCompleted, EndRejected: LegDeclinedElsewhere, EndCanceled: LegCanceled, EndMissed: LegMissed,
		EndBusy: LegBusy, EndFailed: LegFailed, EndUnreachable: LegFailed,
	}[reason]
	for i := range c.Legs {
		c.closeLeg(&c.Legs[i], legEnd, "", now)
	}
	c.Status, c.EndReason, c.EndedAt, c.DeadlineAt = StatusEnded, reason, now, time.Time{}
	c.note(EventCallEnded, uuid.Nil, now)
}

// settle ends a call without open legs, by the strongest of rejected, busy,
// failed and unreachable among the ends of its legs.
func (c *Call) settle(now time.Time) {
	if !c.Live() {
		return
	}
	strength := map[EndReason]int{EndUnreachable: 0, EndFailed: 1, EndBusy: 2, EndRejected: 3}
	reason := EndUnreachable
	for i := range c.Legs {
		if c.Legs[i].Status.Open() {
			return
		}
		if r := c.Legs[i].endsCallAs(); strength[r] > strength[reason] {
			reason = r
		}
	}
	c.finish(reason, now)
}

// endsCallAs is the end reason that a closed leg suggests for a call that
// nobody answered.
func (l *Leg) endsCallAs() EndReason {
	switch l.Status {
	case LegRejected:
		return EndRejected
	case LegBusy:
		return EndBusy
	case LegSkipped:
		if l.Reason == ReasonIncomingLimit {
			return EndBusy
		}
		return EndUnreachable
	case LegFailed:
		switch l.Reason {
		case ReasonTokenDead, ReasonTokenSuspended, ReasonNoToken, ReasonChannelNotConfigured, ReasonNotConnected,
			ReasonRegionNotSupported, ReasonRegionUnknown, ReasonDeviceNotSupported, ReasonEmulatorNotSupported:
			return EndUnreachable // the device could not have rung
		}
		return EndFailed
	}
	return EndUnreachable
}

// HandOver notes that the vendor accepted a leg's wake. It reports whether the
// leg was still waking; an app may confirm before the vendor's answer is here.
func (c *Call) HandOver(leg uuid.UUID, now time.Time) bool {
	l := c.Leg(leg)
	if l == nil || !l.Status.Open() {
		return false
	}
	if l.HandedOverAt.IsZero() {
		l.HandedOverAt = now
	}
	return c.advanceLeg(l, LegHandedOver, now)
}

// FailWake closes a leg that could not be woken. A leg that confirmed
// meanwhile is left alone: the answer was wrong or late, the app is awake.
func (c *Call) FailWake(leg uuid.UUID, reason Reason, now time.Time) {
	l := c.Leg(leg)
	if l == nil || l.Status != LegWaking {
		return
	}
	c.closeLeg(l, LegFailed, reason, now)
	c.settle(now)
}

// LostAfter is how long after its confirm a leg may be missing in its device's
// list of live calls: the list may have been made before the confirm.
const LostAfter = 5 * time.Second

// LoseLeg closes a leg whose device no longer has the call, as its list of
// live calls tells. A leg that has not confirmed, or only just, is left alone:
// its wake may be what started the app. The loss of the winner is the end of the
// call. It reports whether it closed the leg.
func (c *Call) LoseLeg(leg uuid.UUID, now time.Time) bool {
	l := c.Leg(leg)
	if l == nil || !l.Status.Open() || l.ConfirmedAt.IsZero() || now.Sub(l.ConfirmedAt) < LostAfter {
		return false
	}
	answered := l.answered()
	c.closeLeg(l, LegFailed, "", now)
	if answered {
		c.finish(EndFailed, now)
	} else {
		c.settle(now)
	}
	return true
}

// LeaveCall closes a leg whose device no longer belongs to the leg's user, so
// that it stops ringing. A leg that answered goes on, since its app still
// reports the end. It reports whether it closed the leg.
func (c *Call) LeaveCall(leg uuid.UUID, now time.Time) bool {
	l := c.Leg(leg)
	if l == nil || !l.Status.Open() || l.answered() {
		return false
	}
	c.closeLeg(l, LegFailed, ReasonNoToken, now)
	c.settle(now)
	return true
}

func (l *Leg) answered() bool { return legProgress[l.Status] >= legProgress[LegAnswered] }

// Cancel cancels a call that nobody has answered. An ended call stays as it is,
// without an error; ErrAnswered where a device answered.
func (c *Call) Cancel(now time.Time) error {
	switch c.Status {
	case StatusEnded:
		return nil
	case StatusAnswered, StatusActive:
		return ErrAnswered
	}
	c.finish(EndCanceled, now)
	return nil
}

// End ends a call: as completed if it was answered, else as canceled. An ended
// call stays as it is.
func (c *Call) End(now time.Time) {
	switch c.Status {
	case StatusAnswered, StatusActive:
		c.finish(EndCompleted, now)
	default:
		_ = c.Cancel(now) // cannot be ErrAnswered here
	}
}

// Expire ends a call whose deadline has passed: as missed at the end of the
// ring or of dialing, as completed at the longest duration of an answered call.
// It reports whether it ended the call.
func (c *Call) Expire(now time.Time) bool {
	if !c.Live() || now.Before(c.DeadlineAt) {
		return false
	}
	if c.Status == StatusAnswered || c.Status == StatusActive {
		c.finish(EndCompleted, now)
	} else {
		c.finish(EndMissed, now)
	}
	return true
}
