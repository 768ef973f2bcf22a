package call

import (
	"time"

	"github.com/google/uuid"
)

// Source is how an app heard of a call.
type Source string

const (
	SourcePush       Source = "push"
	SourceConnection Source = "connection"
)

// Sources lists every source of a confirm.
var Sources = []Source{SourcePush, SourceConnection}

// Confirmation is an app's "I am awake".
type Confirmation struct {
	VendorCallID string // Push Kit's callId, CallKit's UUID; "" where the app has none
	Source       Source
}

// Verdict tells an app what to do with a call.
type Verdict string

const (
	VerdictRing Verdict = "ring"
	VerdictStop Verdict = "stop"
)

// Verdicts lists every verdict.
var Verdicts = []Verdict{VerdictRing, VerdictStop}

// Answer is the answer to a confirm.
type Answer struct {
	Verdict Verdict
	Reason  string // why to stop: a leg status, a leg reason or an end reason; "" on ring
}

// Confirm notes that a leg's app is awake and tells it whether to ring. gate is
// the present verdict of the region rules ("" admits the leg). It counts only
// while the leg has not been admitted, so that a VPN switched on during a call
// cannot end it. A leg that is refused is closed.
//
// Errors: ErrNotFound, ErrRegionNot, ErrRegionUnsure.
func (c *Call) Confirm(leg uuid.UUID, in Confirmation, gate Reason, now time.Time) (Answer, error) {
	l := c.Leg(leg)
	if l == nil {
		return Answer{}, ErrNotFound
	}
	if !l.Status.Open() {
		if err := regionError(l.Reason); err != nil {
			return Answer{}, err
		}
		return Answer{Verdict: VerdictStop, Reason: c.stopReason(l)}, nil
	}
	if err := c.admit(l, gate, now); err != nil {
		return Answer{}, err
	}
	if legProgress[l.Status] >= legProgress[LegRinging] {
		if l.VendorCallID != in.VendorCallID {
			return Answer{Verdict: VerdictStop, Reason: string(ReasonDuplicate)}, nil
		}
		return Answer{Verdict: VerdictRing}, nil
	}
	if in.VendorCallID != "" {
		l.VendorCallID = in.VendorCallID
	}
	c.advanceLeg(l, LegConfirmed, now)
	return Answer{Verdict: VerdictRing}, nil
}

// admit applies the verdict of the region rules to a leg that has not confirmed
// yet.
func (c *Call) admit(l *Leg, gate Reason, now time.Time) error {
	if !l.ConfirmedAt.IsZero() {
		return nil
	}
	err := regionError(gate)
	if err == nil {
		return nil
	}
	c.closeLeg(l, LegFailed, gate, now)
	c.settle(now)
	return err
}

// stopReason says why a closed leg must not ring.
func (c *Call) stopReason(l *Leg) string {
	switch l.Status {
	case LegSkipped:
		return string(l.Reason)
	case LegNoWake:
		return string(c.EndReason)
	case LegFailed:
		if l.Reason != "" {
			return string(l.Reason)
		}
	}
	return string(l.Status)
}

// Advise is what a feed or a poll tells a device about its leg, without
// confirming anything.
func (c *Call) Advise(leg uuid.UUID) Answer {
	l := c.Leg(leg)
	if l == nil {
		return Answer{Verdict: VerdictStop}
	}
	if l.Status.Open() {
		return Answer{Verdict: VerdictRing}
	}
	return Answer{Verdict: VerdictStop, Reason: c.stopReason(l)}
}
