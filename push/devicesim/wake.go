package devicesim

import (
	"context"
	"encoding/json"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// payload is what relay sends in a wake, as far as an app needs it.
type payload struct {
	Call        string `json:"call"`
	Leg         string `json:"leg"`
	Token       string `json:"token"`
	Callee      string `json:"callee"`
	Media       string `json:"media"`
	VoiceAnswer bool   `json:"voice_answer"`
	Conference  bool   `json:"conference"`
	ExpiresAt   int64  `json:"expires_at"` // Unix ms
	Caller      struct {
		Name string `json:"name"`
	} `json:"caller"`
}

// wake is one VoIP message in hand.
type wake struct {
	*Call
	payload payload
	leg     *leg
	ringEnd time.Time
}

// Phases of a leg.
const (
	legFresh int32 = iota
	legShown       // relay knows that it rings
	legOver
)

// leg is what the wakes of one leg share.
type leg struct {
	users   int        // wakes under way; guarded by Device.mu
	attempt sync.Mutex // one wake at a time tries to ring: a second one must not be called busy before the first rings
	phase   atomic.Int32

	reports sync.Mutex // held while a report is under way: relay gives a late lower seq no effect
	seq     int64
}

func (d *Device) enter(id string) *leg {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.legs[id]
	if l == nil {
		l = &leg{}
		d.legs[id] = l
	}
	l.users++
	return l
}

func (d *Device) exit(id string, l *leg) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if l.users--; l.users == 0 {
		delete(d.legs, id)
	}
}

// wake takes one callback from Push Kit to the end of its call.
func (d *Device) wake(ctx context.Context, data string) {
	var push struct {
		Data   string `json:"data"`
		CallID string `json:"callId"`
	}
	w := &wake{Call: &Call{Status: StatusWoken}}
	err := json.Unmarshal([]byte(data), &push)
	if err == nil {
		err = json.Unmarshal([]byte(push.Data), &w.payload)
	}
	if d.isOld(push.CallID) {
		return
	}
	p := &w.payload
	w.VendorCallID, w.ID, w.LegID, w.Media = push.CallID, p.Call, p.Leg, p.Media
	d.keep(w.Call)
	d.set(w.Call, StatusWoken, "")
	w.ringEnd = time.UnixMilli(p.ExpiresAt)
	ignore := ""
	switch {
	case err != nil || p.Call == "" || p.Leg == "" || p.Token == "":
		ignore = "unreadable"
	case d.cfg.UserID != "" && p.Callee != d.cfg.UserID:
		ignore = "other_callee"
	case !d.cfg.Now().Before(w.ringEnd):
		ignore = "expired"
	}
	if ignore != "" {
		d.incomingError(ctx, w, causeOther)
		d.set(w.Call, StatusIgnored, ignore)
		return
	}
	w.leg = d.enter(p.Leg)
	defer d.exit(p.Leg, w.leg)
	if d.ring(ctx, w) {
		d.live(ctx, w)
	}
}

func (d *Device) isOld(callID string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.old[callID]
}

// ring confirms a wake and shows its call; it reports whether it rings.
func (d *Device) ring(ctx context.Context, w *wake) bool {
	w.leg.attempt.Lock()
	defer w.leg.attempt.Unlock()
	switch w.leg.phase.Load() {
	case legShown:
		d.duplicate(ctx, w)
		return false
	case legOver:
		d.incomingError(ctx, w, causeOther)
		d.set(w.Call, StatusStopped, "over")
		return false
	}
	if !pause(ctx, d.cfg.Script.ConfirmAfter) {
		return false
	}
	if !d.confirm(ctx, w) {
		return false
	}
	answer, err := d.incoming(ctx, w)
	if err != nil || !answer.ok() {
		d.notShown(ctx, w, answer, err)
		return false
	}
	if err := d.report(ctx, w, report{Event: "ringing"}); err != nil {
		d.disconnect(ctx, w)
		d.fail(w.Call, err)
		return false
	}
	w.leg.phase.Store(legShown)
	d.set(w.Call, StatusRinging, "")
	return true
}

// confirm asks relay whether to ring, and tells Call Service Kit where not.
func (d *Device) confirm(ctx context.Context, w *wake) bool {
	var answer struct {
		Verdict     string  `json:"verdict"`
		Reason      *string `json:"reason"`
		LastSeq     int64   `json:"last_seq"`
		ExpiresInMS int64   `json:"expires_in_ms"`
	}
	body := map[string]string{"vendor_call_id": w.VendorCallID, "source": "push"}
	if err := d.exchange(ctx, request{"POST", d.callURL(w) + "/confirm", w.payload.Token, body}, &answer); err != nil {
		cause := causeConnectionFailed
		if final(err) != nil {
			cause = causeOther
		}
		d.incomingError(ctx, w, cause)
		d.fail(w.Call, err)
		return false
	}
	reason := ""
	if answer.Reason != nil {
		reason = *answer.Reason
	}
	d.mu.Lock()
	w.Verdict, w.Reason = answer.Verdict, reason
	d.mu.Unlock()
	w.leg.seq = max(w.leg.seq, answer.LastSeq) // an app that was restarted goes on counting
	if answer.ExpiresInMS > 0 {                // a span holds whatever the phone's clock says
		w.ringEnd = d.cfg.Now().Add(time.Duration(answer.ExpiresInMS) * time.Millisecond)
	}
	switch {
	case answer.Verdict == "ring":
		return true
	case reason == "duplicate":
		d.duplicate(ctx, w)
	default:
		d.incomingError(ctx, w, causeOther)
		d.set(w.Call, StatusStopped, reason)
	}
	return false
}

// duplicate puts down a second wake of a leg that rings already (Push Kit
// guide, in-app call messages: ROUTE_BUSY).
func (d *Device) duplicate(ctx context.Context, w *wake) {
	d.incomingError(ctx, w, causeRouteBusy)
	if err := d.report(ctx, w, report{Event: "not_reported", FailureCause: "route_busy", VendorCallID: w.VendorCallID}); err != nil {
		d.log.WarnContext(ctx, "report of a duplicate", "call_id", w.ID, "error", err)
	}
	d.set(w.Call, StatusDuplicate, "route_busy")
}

// notShown tells relay that Call Service Kit did not take the call.
func (d *Device) notShown(ctx context.Context, w *wake, answer kitAnswer, kitErr error) {
	r := report{Event: "not_reported", ErrorReason: kitReasons[answer.ErrorReason], ErrorCode: answer.ErrorCode}
	reason := answer.String()
	if kitErr != nil {
		r.FailureCause, reason = "other", kitErr.Error()
		d.disconnect(ctx, w) // its answer was lost: the call may be shown
	}
	if err := d.report(ctx, w, r); err != nil {
		d.log.WarnContext(ctx, "report of a refusal", "call_id", w.ID, "error", err)
	}
	d.set(w.Call, StatusRefused, reason)
}

// report is one entry of POST /v1/device/calls/{id}/reports.
type report struct {
	Seq          int64  `json:"seq"`
	Event        string `json:"event"`
	At           string `json:"at"`
	Media        string `json:"media,omitempty"`
	VendorCallID string `json:"vendor_call_id,omitempty"`
	ErrorReason  string `json:"error_reason,omitempty"`
	ErrorCode    int64  `json:"error_code,omitempty"`
	FailureCause string `json:"failure_cause,omitempty"`
}

func (d *Device) report(ctx context.Context, w *wake, r report) error {
	w.leg.reports.Lock()
	defer w.leg.reports.Unlock()
	w.leg.seq++
	r.Seq, r.At = w.leg.seq, d.cfg.Now().UTC().Format("2006-01-02T15:04:05.000Z07:00")
	body := map[string][]report{"reports": {r}}
	return d.exchange(ctx, request{"POST", d.callURL(w) + "/reports", w.payload.Token, body}, nil)
}

func (d *Device) callURL(w *wake) string {
	return d.cfg.RelayURL + "/v1/device/calls/" + url.PathEscape(w.ID)
}
