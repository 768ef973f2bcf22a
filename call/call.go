package call

import (
	"slices"
	"time"

	"github.com/google/uuid"
)

// Enterprise is what an organisation's directory knows of a caller.
type Enterprise struct {
	Company, Department, Position, EmployeeID string
}

// Party is one side of a call.
type Party struct {
	UserID     string
	Name       string
	AvatarURL  string
	Enterprise *Enterprise
}

// RejectPolicy says what one device's rejection does to the call.
type RejectPolicy string

const (
	RejectAll RejectPolicy = "all" // the first rejection ends the call
	RejectOne RejectPolicy = "one" // the call ends when its last open leg rejected
)

// RejectPolicies lists every reject policy.
var RejectPolicies = []RejectPolicy{RejectAll, RejectOne}

// Limits and defaults of an invitation, by the contract.
const (
	MinRing            = 10 * time.Second
	MaxRing            = 120 * time.Second
	DefaultRing        = 45 * time.Second
	DialingLimit       = 120 * time.Second // a dialing call that nobody answers is missed
	DefaultMaxDuration = 4 * time.Hour     // of an answered call
	MaxCustomBytes     = 2048              // of custom, as sent
	MaxRefLength       = 128               // of ref, in characters
)

// Call is one invitation, or one call that a device started, with its legs.
// A zero time means "not yet".
type Call struct {
	AppID     string
	ID        uuid.UUID
	Ref       string // the backend's own id; not unique
	ClientID  string // the device's own id of an outgoing call
	Direction Direction
	Status    Status
	EndReason EndReason // "" while the call lives
	Media     Media

	VoiceAnswer bool // a video call may be answered with voice
	Conference  bool
	Caller      Party
	Callee      Party
	Custom      []byte // the backend's opaque JSON object, as sent; nil for none

	RejectPolicy RejectPolicy
	MaxDuration  time.Duration // of the answered call
	RulesVersion string        // the version of the rules that decided it

	CreatedAt  time.Time
	ExpiresAt  time.Time // end of the ring
	DeadlineAt time.Time // when the call ends by itself; see Expire
	RingingAt  time.Time
	AnsweredAt time.Time
	ActiveAt   time.Time
	EndedAt    time.Time
	AnsweredBy string // the winner's device id

	Seq         int // number of events so far
	Legs        []Leg
	MoreSkipped int // how many devices were skipped besides those of Legs; see Keep

	noted []Event
}

// Leg is one device's part of a call.
type Leg struct {
	ID           uuid.UUID
	DeviceID     string
	UserID       string
	Platform     Platform
	DeviceType   DeviceType
	Channel      Channel // as the gate chose it
	WakeChannel  Channel // the channel of the wake that is under way or was sent last; "" before the first
	Presentation Presentation
	Status       LegStatus
	Reason       Reason
	Decision     Decision // the decision at the invitation
	Enterprise   bool     // the device may be told the caller's Enterprise

	VendorCallID string // the id under which the device's system knows the call
	Media        Media  // as answered; "" before
	LastSeq      int64  // highest report number seen
	HeldBack     bool   // the vendor limits pushes to the device; known only where a second one is decided

	HandedOverAt time.Time
	AlertedAt    time.Time // when a vendor accepted a notification of the call that it can revoke
	ConfirmedAt  time.Time
	RingingAt    time.Time
	AnsweredAt   time.Time
	NoWakeAt     time.Time // set while the leg is marked "did not confirm in time"
	EscalatedAt  time.Time // a wake over the policy's next channel began
	RewokenAt    time.Time // a second wake over the leg's own channel began
	EndedAt      time.Time
}

// EventType names what happened.
type EventType string

const (
	EventCallCreated      EventType = "call.created"
	EventCallRinging      EventType = "call.ringing"
	EventCallAnswered     EventType = "call.answered"
	EventCallActive       EventType = "call.active"
	EventCallEnded        EventType = "call.ended"
	EventLegUpdated       EventType = "leg.updated"
	EventDeviceTokenDead  EventType = "device.token_dead"
	EventDeviceRegistered EventType = "device.registered"
	EventWebhookDisabled  EventType = "webhook.disabled"  // relay gave it up
	EventWebhookRecovered EventType = "webhook.recovered" // it takes deliveries again
)

// EventTypes lists every event type.
var EventTypes = []EventType{
	EventCallCreated, EventCallRinging, EventCallAnswered, EventCallActive, EventCallEnded,
	EventLegUpdated, EventDeviceTokenDead, EventDeviceRegistered, EventWebhookDisabled, EventWebhookRecovered,
}

// Event is one step of a call, in the order of the call's own numbering.
type Event struct {
	Type EventType
	Seq  int       // 1, 2, 3 … within the call
	Leg  uuid.UUID // of leg.updated; zero otherwise
	Time time.Time
}

// TakeEvents returns the events noted since its last call and forgets them.
func (c *Call) TakeEvents() []Event {
	noted := c.noted
	c.noted = nil
	return noted
}

func (c *Call) note(t EventType, leg uuid.UUID, now time.Time) {
	c.Seq++
	c.noted = append(c.noted, Event{Type: t, Seq: c.Seq, Leg: leg, Time: now})
}

// Live reports whether the call has not ended.
func (c *Call) Live() bool { return c.Status != StatusEnded }

// Leg finds a leg by id; nil where the call has none of that id.
func (c *Call) Leg(id uuid.UUID) *Leg {
	for i := range c.Legs {
		if c.Legs[i].ID == id {
			return &c.Legs[i]
		}
	}
	return nil
}

// LegOf finds the leg of a device; nil where it has none.
func (c *Call) LegOf(deviceID string) *Leg {
	for i := range c.Legs {
		if c.Legs[i].DeviceID == deviceID {
			return &c.Legs[i]
		}
	}
	return nil
}

// Confirmed reports whether a device has confirmed.
func (c *Call) Confirmed() bool {
	return slices.ContainsFunc(c.Legs, func(l Leg) bool { return !l.ConfirmedAt.IsZero() })
}

// UserID is the user whose devices take part in the call.
func (c *Call) UserID() string {
	if c.Direction == Outgoing {
		return c.Caller.UserID
	}
	return c.Callee.UserID
}

// Winner is the leg that answered; nil while nobody has.
func (c *Call) Winner() *Leg {
	if c.AnsweredBy == "" {
		return nil
	}
	return c.LegOf(c.AnsweredBy)
}

// Devices counts the devices that the call was planned for.
func (c *Call) Devices() int { return len(c.Legs) + c.MoreSkipped }

// Reachable counts the legs that the gate let through.
func (c *Call) Reachable() int {
	n := 0
	for i := range c.Legs {
		if c.Legs[i].Status != LegSkipped {
			n++
		}
	}
	return n
}

// Invite starts an incoming call: it sets the first states of the call and of
// its planned legs, and ends the call at once where no device can ring (as
// unreachable, or as busy where a device was skipped for the limit alone).
// newID makes the legs' ids.
func (c *Call) Invite(plan []Decision, ring time.Duration, now time.Time, newID func() uuid.UUID) {
	c.Direction, c.Status = Incoming, StatusWaking
	c.CreatedAt, c.ExpiresAt = now, now.Add(ring)
	c.DeadlineAt = c.ExpiresAt
	c.Legs = make([]Leg, 0, len(plan))
	for _, d := range plan {
		leg := Leg{
			ID: newID(), DeviceID: d.Device.ID, UserID: d.Device.UserID, Platform: d.Device.Platform, DeviceType: d.Device.Type,
			Channel: d.Channel, Presentation: d.Presentation, Status: LegWaking, Reason: d.Reason, Decision: d, Enterprise: d.Enterprise,
		}
		if d.Reason != "" {
			leg.Status, leg.Channel, leg.Presentation, leg.EndedAt = LegSkipped, "", "", now
		} else if leg.Channel != Connection {
			leg.WakeChannel = leg.Channel
		}
		c.Legs = append(c.Legs, leg)
	}
	c.note(EventCallCreated, uuid.Nil, now)
	c.settle(now)
}

// Dial starts an outgoing call on the device that the decision is about. The
// device is awake, so its leg begins as confirmed.
func (c *Call) Dial(d Decision, now time.Time, newID func() uuid.UUID) {
	c.Direction, c.Status = Outgoing, StatusDialing
	c.CreatedAt, c.ExpiresAt = now, now.Add(DialingLimit)
	c.DeadlineAt = c.ExpiresAt
	c.Legs = []Leg{{
		ID: newID(), DeviceID: d.Device.ID, UserID: d.Device.UserID, Platform: d.Device.Platform, DeviceType: d.Device.Type,
		Channel: Connection, Presentation: d.Presentation, Status: LegConfirmed, ConfirmedAt: now, Decision: d,
	}}
	c.note(EventCallCreated, uuid.Nil, now)
}
