package call

import "slices"

// Direction tells who started a call.
type Direction string

const (
	Incoming Direction = "incoming" // an invitation that a VoIP backend posted
	Outgoing Direction = "outgoing" // a call that a device started
)

// Directions lists every direction.
var Directions = []Direction{Incoming, Outgoing}

// Media is what a call carries.
type Media string

const (
	Voice Media = "voice"
	Video Media = "video"
)

// AllMedia lists every kind of media.
var AllMedia = []Media{Voice, Video}

// Status is the state of a call.
type Status string

const (
	StatusWaking   Status = "waking"   // committed; no device rings yet
	StatusDialing  Status = "dialing"  // outgoing: started, the far end has not answered
	StatusRinging  Status = "ringing"  // a device confirmed and reported that it rings
	StatusAnswered Status = "answered" // one device won the call
	StatusActive   Status = "active"   // media flow
	StatusEnded    Status = "ended"    // over; EndReason says why
)

// Statuses lists every call status in order.
var Statuses = []Status{StatusWaking, StatusDialing, StatusRinging, StatusAnswered, StatusActive, StatusEnded}

// callSteps is the state table of a call: every step that exists.
var callSteps = map[Status][]Status{
	StatusWaking:   {StatusRinging, StatusAnswered, StatusActive, StatusEnded},
	StatusRinging:  {StatusAnswered, StatusActive, StatusEnded},
	StatusAnswered: {StatusActive, StatusEnded},
	StatusDialing:  {StatusActive, StatusEnded},
	StatusActive:   {StatusEnded},
	StatusEnded:    {},
}

// CanBecome reports whether the state table has a step from s to next.
func (s Status) CanBecome(next Status) bool { return slices.Contains(callSteps[s], next) }

// EndReason says why a call ended.
type EndReason string

const (
	EndCompleted   EndReason = "completed"   // the winner hung up, or the backend ended an answered call
	EndRejected    EndReason = "rejected"    // the callee refused it
	EndBusy        EndReason = "busy"        // every device that could ring was busy
	EndCanceled    EndReason = "canceled"    // the caller's side canceled it before an answer
	EndMissed      EndReason = "missed"      // nobody answered within the ring
	EndUnreachable EndReason = "unreachable" // no device could be woken
	EndFailed      EndReason = "failed"      // a device or a vendor failed
)

// EndReasons lists every end reason.
var EndReasons = []EndReason{EndCompleted, EndRejected, EndBusy, EndCanceled, EndMissed, EndUnreachable, EndFailed}

// LegStatus is the state of one device's part of a call.
type LegStatus string

const (
	LegSkipped    LegStatus = "skipped"     // the device was refused; Reason says why
	LegWaking     LegStatus = "waking"      // its wake is to be sent or under way
	LegHandedOver LegStatus = "handed_over" // the vendor accepted the wake
	LegConfirmed  LegStatus = "confirmed"   // the app said that it is awake
	LegRinging    LegStatus = "ringing"     // the app reported that it rings
	LegAnswered   LegStatus = "answered"    // this device won the call
	LegActive     LegStatus = "active"      // media flow
	LegHeld       LegStatus = "held"        // media are held

	LegAnsweredElsewhere LegStatus = "answered_elsewhere" // another device won
	LegDeclinedElsewhere LegStatus = "declined_elsewhere" // another device rejected the call for all
	LegRejected          LegStatus = "rejected"           // this device rejected it
	LegBusy              LegStatus = "busy"               // this device was in another call
	LegCanceled          LegStatus = "canceled"           // the call was withdrawn
	LegMissed            LegStatus = "missed"             // the ring ended without an answer
	LegNoWake            LegStatus = "no_wake"            // the app never confirmed before the call ended
	LegFailed            LegStatus = "failed"             // its wake or its app failed; Reason may say why
	LegCompleted         LegStatus = "completed"          // it took the call and the call is over
)

// LegStatuses lists every leg status.
var LegStatuses = []LegStatus{
	LegSkipped, LegWaking, LegHandedOver, LegConfirmed, LegRinging, LegAnswered, LegActive, LegHeld,
	LegAnsweredElsewhere, LegDeclinedElsewhere, LegRejected, LegBusy, LegCanceled, LegMissed, LegNoWake, LegFailed, LegCompleted,
}

// legProgress orders the open states; an end is absent. Held ranks with
// active: the two may alternate.
var legProgress = map[LegStatus]int{
	LegWaking: 1, LegHandedOver: 2, LegConfirmed: 3, LegRinging: 4, LegAnswered: 5, LegActive: 6, LegHeld: 6,
}

// Open reports whether a leg in this state still takes part in its call and
// holds one of its device's slots.
func (s LegStatus) Open() bool { return legProgress[s] > 0 }

// beforeAnswer are the ends that only a leg without an answer may take.
// The winner is never canceled.
var beforeAnswer = []LegStatus{LegAnsweredElsewhere, LegDeclinedElsewhere, LegRejected, LegBusy, LegCanceled, LegMissed}

// CanBecome reports whether the state table has a step from s to next: forward
// among the open states, between active and held, and from an open state to the
// ends that fit it. An end is final.
func (s LegStatus) CanBecome(next LegStatus) bool {
	if !s.Open() || s == next || next == LegSkipped {
		return false
	}
	if next.Open() {
		return legProgress[next] > legProgress[s] || s == LegActive && next == LegHeld || s == LegHeld && next == LegActive
	}
	if next == LegNoWake {
		return legProgress[s] < legProgress[LegConfirmed]
	}
	if slices.Contains(beforeAnswer, next) {
		return legProgress[s] < legProgress[LegAnswered]
	}
	if next == LegCompleted {
		return legProgress[s] >= legProgress[LegAnswered]
	}
	return next == LegFailed // an app may fail at any point of a call
}
