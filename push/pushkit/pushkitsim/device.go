package pushkitsim

import (
	"fmt"
	"strings"
	"time"
)

// Rules of Call Service Kit on one phone.
const (
	// ReportWithin is the time an app has to report an incoming call after its
	// callback (Push Kit guide, in-app call messages).
	ReportWithin = 10 * time.Second
	// MaxIncomingCalls is the number of in-app incoming calls at a time (Call
	// Service Kit introduction).
	MaxIncomingCalls = 3
)

// Answers of Call Service Kit: some refusals resolve with an ErrorReason,
// others reject with a BusinessError.
const (
	reasonNone         = 0
	reasonCellularCall = 1
	reasonInvalidCall  = 3

	errorParameter    = 401
	errorInvalidValue = 1007200001
	errorInternal     = 1007200003
)

const (
	stateRinging      = 1
	stateDisconnected = 4
)

// reportableStates are the VoipCallStates that a state report may carry:
// ringing, active, disconnected, dialing, answered, disconnecting.
var reportableStates = map[int]bool{1: true, 2: true, 4: true, 5: true, 6: true, 7: true}

// Device is the simulated phone behind a token.
type Device struct {
	Token       string `json:"token"`
	CarrierCall bool   `json:"carrier_call"`
	Incoming    int    `json:"incoming"` // calls reported and not disconnected
	Calls       []Call `json:"calls"`    // oldest first

	Notifications []Notification `json:"notifications"` // that it shows, oldest first
}

// Call is one delivered VoIP message as the phone sees it, or a call that the
// app reported without one and that has not ended.
type Call struct {
	CallID        string `json:"call_id"`
	Status        string `json:"status"`          // delivered, reported, error (report-incoming-call-error), ended
	State         int    `json:"state"`           // last VoipCallState reported
	DeliveredAtMS int64  `json:"delivered_at_ms"` // 0: it came over the app's own connection
	ReportedAtMS  int64  `json:"reported_at_ms,omitempty"`
	// NotReported: neither a report nor an error came within ReportWithin. What
	// the system then does is not documented; a late report is taken.
	NotReported  bool         `json:"not_reported"`
	FailureCause *int         `json:"failure_cause,omitempty"`
	Refused      []CallReport `json:"refused,omitempty"` // refused reports, oldest first, at most 10
}

// CallReport is Call Service Kit's answer to a report: an ErrorReason (0 is
// success), or a BusinessError code that the promise rejects with.
type CallReport struct {
	ErrorReason *int   `json:"error_reason,omitempty"`
	ErrorCode   int    `json:"error_code,omitempty"`
	Message     string `json:"message,omitempty"`
}

// Call statuses.
const (
	callDelivered = "delivered"
	callReported  = "reported"
	callError     = "error"
	callEnded     = "ended"
)

type device struct {
	carrier  bool
	incoming int
	calls    map[string]*call
	order    []*call
	shade    shade
}

type call struct {
	Call
	deliveredAt time.Time
	settledAt   time.Time // first report or error; zero before
	forgotten   bool      // its delivery is no longer kept, or there was none
}

// device returns the phone of a token, made when unknown.
func (f *fleet) device(token string) *device {
	d := f.devices[token]
	if d == nil {
		d = &device{calls: map[string]*call{}, shade: newShade()}
		f.devices[token] = d
	}
	return d
}

func (d *device) deliver(callID string, now time.Time) {
	d.add(&call{Call: Call{CallID: callID, Status: callDelivered, DeliveredAtMS: now.UnixMilli()}, deliveredAt: now})
}

func (d *device) add(c *call) {
	d.calls[c.CallID] = c
	d.order = append(d.order, c)
}

// forget drops a call whose delivery is no longer kept; one that holds a slot
// stays until it ends.
func (d *device) forget(callID string) {
	c := d.calls[callID]
	c.forgotten = true
	if c.Status != callReported {
		d.remove(c)
	}
}

func (d *device) remove(c *call) {
	delete(d.calls, c.CallID)
	for i, o := range d.order {
		if o == c {
			d.order = append(d.order[:i], d.order[i+1:]...)
			return
		}
	}
}

func (d *device) idle() bool { return len(d.calls) == 0 && !d.carrier && d.shade.alerts.len() == 0 }

// ownCall is a call of which an app hears over its own connection. The app makes
// up its id (Call Service Kit guide, incoming calls); it is kept while it lives.
func ownCall(id string) *call {
	return &call{Call: Call{CallID: id, Status: callDelivered}, forgotten: true}
}

// reportIncomingCall answers voipCall.reportIncomingCall. An id in Push Kit's
// form that was not delivered here gives ErrorReason 3; that, and that every
// other id is taken for the app's own, is an assumption.
func (d *device) reportIncomingCall(now time.Time, callID *string, state *int) CallReport {
	if callID == nil || *callID == "" || state == nil {
		return businessError(errorInvalidValue, "callId and voipCallState are required")
	}
	c, known := d.calls[*callID]
	if !known && !strings.HasPrefix(*callID, callIDPrefix) {
		c = ownCall(*callID)
	}
	var answer CallReport
	switch {
	case *state != stateRinging:
		answer = businessError(errorInvalidValue, fmt.Sprintf("voipCallState %d is not RINGING", *state))
	case c == nil:
		return reason(reasonInvalidCall)
	case c.Status != callDelivered:
		answer = businessError(errorInvalidValue, "the call was reported before")
	case d.carrier:
		answer = reason(reasonCellularCall)
	case d.incoming >= MaxIncomingCalls:
		answer = businessError(errorInternal, fmt.Sprintf("more than %d incoming calls", MaxIncomingCalls))
	default:
		c.Status, c.State, c.ReportedAtMS = callReported, stateRinging, now.UnixMilli()
		c.settle(now)
		d.incoming++
		if !known {
			d.add(c)
		}
		return reason(reasonNone)
	}
	if c != nil {
		c.settle(now)
		if len(c.Refused) < 10 {
			c.Refused = append(c.Refused, answer)
		}
	}
	return answer
}

// reportState answers voipCall.reportCallStateChange.
func (d *device) reportState(callID *string, state *int) CallReport {
	if callID == nil || state == nil {
		return businessError(errorInvalidValue, "callId and state are required")
	}
	c := d.calls[*callID]
	switch {
	case c == nil || c.Status != callReported:
		return businessError(errorInvalidValue, "no such call")
	case !reportableStates[*state]:
		return businessError(errorInvalidValue, fmt.Sprintf("state %d cannot be reported", *state))
	}
	c.State = *state
	if *state == stateDisconnected {
		c.Status = callEnded
		d.incoming--
		if c.forgotten {
			d.remove(c)
		}
	}
	return reason(reasonNone)
}

// reportError answers voipCall.reportIncomingCallError.
func (d *device) reportError(now time.Time, callID *string, cause *int) CallReport {
	if callID == nil || cause == nil || *cause < 0 || *cause > 2 {
		return businessError(errorInvalidValue, "callId and a failure cause of 0 to 2 are required")
	}
	c := d.calls[*callID]
	if c == nil || c.Status != callDelivered {
		return businessError(errorInvalidValue, "no such call, or it was reported before")
	}
	c.Status = callError
	c.FailureCause = cause
	c.settle(now)
	return reason(reasonNone)
}

// settle stops the ten-second timer: the app has spoken about this call.
func (c *call) settle(now time.Time) {
	if c.settledAt.IsZero() {
		c.settledAt = now
	}
}

// notReported evaluates the ten-second timer at now.
func (c *call) notReported(now time.Time) bool {
	if c.deliveredAt.IsZero() {
		return false
	}
	if !c.settledAt.IsZero() {
		now = c.settledAt
	}
	return now.Sub(c.deliveredAt) > ReportWithin
}

func (d *device) show(token string, now time.Time) Device {
	out := Device{Token: token, CarrierCall: d.carrier, Incoming: d.incoming, Calls: make([]Call, 0, len(d.order))}
	for _, c := range d.order {
		v := c.Call
		v.NotReported = c.notReported(now)
		v.Refused = append([]CallReport(nil), c.Refused...)
		out.Calls = append(out.Calls, v)
	}
	out.Notifications = d.shade.show()
	return out
}

func reason(n int) CallReport { return CallReport{ErrorReason: &n} }

func businessError(code int, message string) CallReport {
	return CallReport{ErrorCode: code, Message: message}
}

// Device is the phone of a token as it now stands.
func (s *Sim) Device(token string) (v Device) {
	s.onDevice(token, func(d *device, now time.Time) { v = d.show(token, now) })
	return v
}

// onDevice runs fn on the phone of a token, after what was due has arrived.
func (s *Sim) onDevice(token string, fn func(d *device, now time.Time)) {
	s.settleDue()
	s.fleet.mu.Lock()
	defer s.fleet.mu.Unlock()
	d := s.fleet.device(token)
	fn(d, s.now())
	if d.idle() {
		delete(s.fleet.devices, token)
	}
}
