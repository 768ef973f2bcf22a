package call

import (
	"time"

	"github.com/google/uuid"
)

// ReceiptAction is what relay does about what a vendor tells of a push that it
// had accepted.
type ReceiptAction string

const (
	ReceiptNone         ReceiptAction = "none"          // it is told, and nothing else
	ReceiptDelivered    ReceiptAction = "delivered"     // the push counts as delivered
	ReceiptDropToken    ReceiptAction = "drop_token"    // the token is dead, unless it was registered later
	ReceiptSuspendToken ReceiptAction = "suspend_token" // the token is not used until the app registers again
	ReceiptWakeAgain    ReceiptAction = "wake_again"    // one more push at most, while the call rings
	ReceiptHoldBack     ReceiptAction = "hold_back"     // no second push of this call to the device
)

// ReceiptActions lists every action.
var ReceiptActions = []ReceiptAction{ReceiptNone, ReceiptDelivered, ReceiptDropToken, ReceiptSuspendToken, ReceiptWakeAgain, ReceiptHoldBack}

// Trusting reports whether the action may follow only from a receipt that is
// known to come from the vendor.
func (a ReceiptAction) Trusting() bool { return a != ReceiptNone && a != ReceiptDelivered }

// WakeOnceMore begins the second wake of a leg over its own channel at once,
// since the vendor told that the first one did not start the app. It returns the
// channel; "" where the leg was woken a second time already, or cannot be. The
// caller makes sure of what WakeAgain asks for.
func (c *Call) WakeOnceMore(leg uuid.UUID, d Device, configured map[Channel]bool, now time.Time) Channel {
	l := c.Leg(leg)
	if l == nil || !l.mayRewake() || l.HeldBack || d.UserID != l.UserID || !c.ringsOn(now) || d.wakeable(l.Channel, configured) != "" {
		return ""
	}
	l.WakeChannel, l.RewokenAt = l.Channel, now
	c.note(EventLegUpdated, l.ID, now)
	return l.Channel
}

// mayRewake reports whether a second wake over the leg's own channel may follow.
func (l *Leg) mayRewake() bool {
	return l.unconfirmed() && l.RewokenAt.IsZero() && l.Channel == PushKitVoIP
}
