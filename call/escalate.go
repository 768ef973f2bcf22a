package call

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
)

// What follows a VoIP push whose app does not confirm, counted from the vendor's
// acceptance of it.
const (
	EscalateAfter = 8 * time.Second  // a wake over the policy's next channel
	NoWakeAfter   = 15 * time.Second // the mark "no wake"
	RewakeAfter   = 60 * time.Second // a second VoIP push: Push Kit keeps one for 60 s at most
)

// WakeMargin is how much of the ring must be left for a wake to be sent.
const WakeMargin = 3 * time.Second

// DefaultEscalation is the order of channels where a policy sets none.
func DefaultEscalation() map[Platform][]Channel {
	return map[Platform][]Channel{HarmonyOS: {PushKitVoIP, PushKitAlert}, IOS: {APNsVoIP, APNsAlert}}
}

// pushedBy is the vendor whose pushes reach a platform.
var pushedBy = map[Platform]Vendor{HarmonyOS: PushKit, IOS: APNs}

// Channels lists the channels by which a push reaches a device of the platform.
func (p Platform) Channels() (reach []Channel) {
	vendor, ok := pushedBy[p]
	for _, c := range Channels {
		if ok && c.Vendor() == vendor {
			reach = append(reach, c)
		}
	}
	return reach
}

// CheckEscalation reports all faults of the policy's orders of channels; nil
// for nothing.
func (p Policy) CheckEscalation() error {
	var problems error
	for _, platform := range slices.Sorted(maps.Keys(p.Escalation)) {
		reach := platform.Channels()
		if reach == nil {
			problems = errors.Join(problems, fmt.Errorf("escalation of %q: no push wakes devices of that platform", platform))
			continue
		}
		for i, c := range p.Escalation[platform] {
			switch {
			case !slices.Contains(reach, c):
				problems = errors.Join(problems, fmt.Errorf("escalation of %q: %q does not wake such a device; what does: %q", platform, c, reach))
			case slices.Contains(p.Escalation[platform][:i], c):
				problems = errors.Join(problems, fmt.Errorf("escalation of %q: %q is named twice", platform, c))
			}
		}
	}
	return problems
}

// following lists the channels that come after a leg's own.
func (p Policy) following(l *Leg) []Channel {
	order := p.Escalation[l.Platform]
	own := slices.Index(order, l.Channel)
	if own < 0 {
		return nil
	}
	reach := l.Platform.Channels()
	return slices.DeleteFunc(slices.Clone(order[own+1:]), func(c Channel) bool { return !slices.Contains(reach, c) })
}

// unconfirmed reports whether the vendor accepted a push that starts the app,
// and the app has not confirmed.
func (l *Leg) unconfirmed() bool { return l.Status == LegHandedOver && l.Channel.VoIP() }

// NextLook says when something is due next on a leg whose app has not
// confirmed: the earliest time that is later than after. Zero means never.
func (c *Call) NextLook(leg uuid.UUID, p Policy, after time.Time) (next time.Time) {
	l := c.Leg(leg)
	if l == nil || !l.unconfirmed() {
		return time.Time{}
	}
	for _, due := range []struct {
		in   time.Duration
		open bool
		wake bool
	}{
		{EscalateAfter, l.EscalatedAt.IsZero() && len(p.following(l)) > 0, true},
		{NoWakeAfter, l.NoWakeAt.IsZero(), false},
		{RewakeAfter, l.RewokenAt.IsZero() && l.Channel == PushKitVoIP, true},
	} {
		at := l.HandedOverAt.Add(due.in)
		if due.open && at.After(after) && (next.IsZero() || at.Before(next)) && (!due.wake || c.ringsOn(at)) {
			next = at
		}
	}
	return next
}

// ringsOn reports whether enough of the ring is left for a wake.
func (c *Call) ringsOn(at time.Time) bool { return c.ExpiresAt.Sub(at) > WakeMargin }

// WakeAgain begins the second wake of a leg that is due by now, and returns its
// channel; "" where none is due, or the device cannot be woken so. d is the
// device as it is registered now. The caller makes sure that no other wake of
// the leg is under way. The outcome of a second wake does not change the leg.
func (c *Call) WakeAgain(leg uuid.UUID, p Policy, d Device, configured map[Channel]bool, now time.Time) Channel {
	l := c.Leg(leg)
	if l == nil || !l.unconfirmed() || l.HeldBack || d.UserID != l.UserID || !c.ringsOn(now) {
		return ""
	}
	waited := now.Sub(l.HandedOverAt)
	if waited >= EscalateAfter && l.EscalatedAt.IsZero() {
		for _, next := range p.following(l) {
			if d.wakeable(next, configured) == "" {
				l.WakeChannel, l.EscalatedAt = next, now
				c.note(EventLegUpdated, l.ID, now)
				return next
			}
		}
	}
	if waited >= RewakeAfter && l.mayRewake() && d.wakeable(l.Channel, configured) == "" {
		l.WakeChannel, l.RewokenAt = l.Channel, now
		c.note(EventLegUpdated, l.ID, now)
		return l.Channel
	}
	return ""
}

// MarkNoWake marks a leg whose app has not confirmed in time. The leg keeps its
// slot on the device.
func (c *Call) MarkNoWake(leg uuid.UUID, now time.Time) bool {
	l := c.Leg(leg)
	if l == nil || !l.unconfirmed() || !l.NoWakeAt.IsZero() || now.Sub(l.HandedOverAt) < NoWakeAfter {
		return false
	}
	l.NoWakeAt = now
	c.note(EventLegUpdated, l.ID, now)
	return true
}
