package call

import (
	"time"

	"github.com/google/uuid"
)

// ReportEvent is what an app says happened to a call on its device.
type ReportEvent string

const (
	ReportRinging       ReportEvent = "ringing"
	ReportAnswered      ReportEvent = "answered"
	ReportRejected      ReportEvent = "rejected"
	ReportActive        ReportEvent = "active"
	ReportHeld          ReportEvent = "held"
	ReportDisconnected  ReportEvent = "disconnected"
	ReportMuted         ReportEvent = "muted"
	ReportUnmuted       ReportEvent = "unmuted"
	ReportSpeakerOn     ReportEvent = "speaker_on"
	ReportSpeakerOff    ReportEvent = "speaker_off"
	ReportRingtoneMuted ReportEvent = "ringtone_muted"
	ReportNotReported   ReportEvent = "not_reported" // the system refused to show the call
)

// ReportEvents lists every report event.
var ReportEvents = []ReportEvent{
	ReportRinging, ReportAnswered, ReportRejected, ReportActive, ReportHeld, ReportDisconnected, ReportMuted, ReportUnmuted,
	ReportSpeakerOn, ReportSpeakerOff, ReportRingtoneMuted, ReportNotReported,
}

// ErrorReason is what HarmonyOS's reportIncomingCall resolved with (Call
// Service Kit reference, voipCall.ErrorReason).
type ErrorReason string

const (
	CellularCallExists      ErrorReason = "cellular_call_exists"
	VoIPCallExists          ErrorReason = "voip_call_exists"
	InvalidCall             ErrorReason = "invalid_call"
	UserAnswerCellularFirst ErrorReason = "user_answer_cellular_first"
)

// ErrorReasons lists every error reason.
var ErrorReasons = []ErrorReason{CellularCallExists, VoIPCallExists, InvalidCall, UserAnswerCellularFirst}

// FailureCause is what an app told HarmonyOS's reportIncomingCallError (Call
// Service Kit reference, voipCall.VoipCallFailureCause).
type FailureCause string

const (
	CauseOther            FailureCause = "other"
	CauseRouteBusy        FailureCause = "route_busy"
	CauseConnectionFailed FailureCause = "connection_failed"
)

// FailureCauses lists every failure cause.
var FailureCauses = []FailureCause{CauseOther, CauseRouteBusy, CauseConnectionFailed}

// tooManyCalls is the BusinessError of a device that has no room for one more
// call (Call Service Kit error codes, 1007200003).
const tooManyCalls = 1007200003

// Report is one statement of an app about a call.
type Report struct {
	Seq          int64 // numbered by the app, from 1, per call
	Event        ReportEvent
	At           time.Time // by the device's clock; for the record only
	Media        Media     // of answered; "" means the call's own
	VendorCallID string
	ErrorReason  ErrorReason  // of not_reported
	ErrorCode    int64        // of not_reported: the BusinessError thrown; 0 for none
	FailureCause FailureCause // of not_reported
}

// Busy reports whether a not_reported means that the device was in a call.
func (r Report) Busy() bool {
	return r.ErrorReason == CellularCallExists || r.ErrorReason == VoIPCallExists || r.ErrorReason == UserAnswerCellularFirst ||
		r.FailureCause == CauseRouteBusy || r.ErrorCode == tooManyCalls
}

// ends reports whether the event says that the call is over on the device.
func (e ReportEvent) ends() bool {
	return e == ReportRejected || e == ReportDisconnected || e == ReportNotReported
}

// audio reports whether the event is about the sound alone and changes no
// state.
func (e ReportEvent) audio() bool {
	switch e {
	case ReportMuted, ReportUnmuted, ReportSpeakerOn, ReportSpeakerOff, ReportRingtoneMuted:
		return true
	}
	return false
}

// Report makes the step that an app reported. A seq lower than the highest one
// seen changes nothing. The caller stores reports and recognizes a repeated
// seq. gate is as for Confirm; it counts where the report implies a first
// confirm.
//
// Errors: ErrNotFound, ErrEnded, ErrAnswered, ErrLostRace, ErrMedia,
// ErrRegionNot, ErrRegionUnsure. A refused report counts as seen.
func (c *Call) Report(leg uuid.UUID, r Report, gate Reason, now time.Time) error {
	l := c.Leg(leg)
	if l == nil {
		return ErrNotFound
	}
	if r.Seq <= l.LastSeq {
		if l.Status.Open() {
			return nil
		}
		return regionError(l.Reason) // a device that the region rules refused gets the same answer to all its reports
	}
	l.LastSeq = r.Seq
	if !l.Status.Open() {
		return c.reportClosed(l, r)
	}
	if r.Event.audio() {
		return nil
	}
	if r.Event.ends() {
		return c.reportEnd(l, r, now)
	}
	if err := c.admit(l, gate, now); err != nil {
		return err
	}
	first := legProgress[l.Status] < legProgress[LegRinging]
	if err := c.reportStep(l, r, now); err != nil {
		return err
	}
	if first && l.VendorCallID == "" { // as the confirm would have been told that this report implies
		l.VendorCallID = r.VendorCallID
	}
	return nil
}

// reportStep applies a report that moves the leg forward.
func (c *Call) reportStep(l *Leg, r Report, now time.Time) error {
	if c.Direction == Outgoing {
		c.reportOutgoing(l, r, now)
		return nil
	}
	switch r.Event {
	case ReportRinging:
		c.ring(l, now)
		return nil
	case ReportAnswered:
		return c.answer(l, r.Media, now)
	default: // active, held
		if err := c.answer(l, "", now); err != nil {
			return err
		}
		c.connect(l, r.Event, now)
		return nil
	}
}

// connect moves the winner to active or held; held implies active.
func (c *Call) connect(l *Leg, event ReportEvent, now time.Time) {
	if event == ReportHeld && l.Status == LegHeld {
		return
	}
	c.advanceLeg(l, LegActive, now)
	c.advance(StatusActive, now)
	if event == ReportHeld {
		c.advanceLeg(l, LegHeld, now)
	}
}

// reportClosed applies a report about a closed leg. Another end, or a report
// that changes no state, is accepted; a step forward is too late.
func (c *Call) reportClosed(l *Leg, r Report) error {
	if err := regionError(l.Reason); err != nil {
		return err
	}
	if r.Event.ends() || r.Event.audio() {
		return nil
	}
	if c.Live() && c.AnsweredBy != "" {
		return ErrLostRace
	}
	return ErrEnded
}

func (c *Call) ring(l *Leg, now time.Time) {
	c.advanceLeg(l, LegRinging, now)
	c.advance(StatusRinging, now)
}

// answer decides who wins: the first leg that gets here. The others are closed.
// The winner may repeat its answer.
func (c *Call) answer(l *Leg, media Media, now time.Time) error {
	if c.AnsweredBy == l.DeviceID {
		return nil
	}
	if c.AnsweredBy != "" {
		return ErrLostRace
	}
	if media == "" {
		media = c.Media
	}
	if media == Video && c.Media == Voice || media == Voice && c.Media == Video && !c.VoiceAnswer {
		return ErrMedia
	}
	c.ring(l, now)
	c.AnsweredBy, l.Media = l.DeviceID, media
	c.advanceLeg(l, LegAnswered, now)
	for i := range c.Legs {
		if other := &c.Legs[i]; other != l {
			c.closeLeg(other, LegAnsweredElsewhere, "", now)
		}
	}
	c.advance(StatusAnswered, now)
	return nil
}

// reportEnd applies a report that closes the leg.
func (c *Call) reportEnd(l *Leg, r Report, now time.Time) error {
	answered := l.answered()
	switch {
	case r.Event == ReportNotReported && r.FailureCause == CauseRouteBusy && legProgress[l.Status] >= legProgress[LegRinging]:
		return nil // a second wake of a call that rings already: only for the record
	case answered && r.Event == ReportDisconnected:
		c.finish(EndCompleted, now)
		return nil
	case answered && r.Event == ReportRejected:
		return ErrAnswered
	case answered: // the system dropped a call that was up
		c.closeLeg(l, LegFailed, "", now)
		c.finish(EndFailed, now)
		return nil
	case r.Event == ReportRejected:
		c.closeLeg(l, LegRejected, "", now)
		if c.RejectPolicy == RejectAll || c.Direction == Outgoing {
			c.finish(EndRejected, now)
			return nil
		}
	case r.Event == ReportNotReported && r.Busy():
		c.closeLeg(l, LegBusy, "", now)
	case c.Direction == Outgoing && r.Event == ReportDisconnected:
		c.finish(EndCanceled, now)
		return nil
	default:
		c.closeLeg(l, LegFailed, "", now)
	}
	c.settle(now)
	return nil
}

// reportOutgoing applies a report about a call that the device started. Only
// active and held change it; earlier events of the far end are only recorded.
func (c *Call) reportOutgoing(l *Leg, r Report, now time.Time) {
	if r.Event == ReportActive || r.Event == ReportHeld {
		c.connect(l, r.Event, now)
	}
}

// Admits reports whether the event implies that the app is awake and may show
// the call, so that a leg without a confirm has to pass the region rules first.
func (e ReportEvent) Admits() bool { return !e.ends() && !e.audio() }
