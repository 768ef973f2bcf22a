package devicesim

import (
	"cmp"
	"context"
	"encoding/json"
	"net/url"
	"time"
)

// payload is what relay sends in a wake, as far as an app needs it.
type payload struct {
	Call         string `json:"call"`
	Leg          string `json:"leg"`
	Token        string `json:"token"`
	Callee       string `json:"callee"`
	Presentation string `json:"presentation"`
	Media        string `json:"media"`
	VoiceAnswer  bool   `json:"voice_answer"`
	Conference   bool   `json:"conference"`
	ExpiresAt    int64  `json:"expires_at"` // Unix ms
	Caller       struct {
		Name string `json:"name"`
	} `json:"caller"`
}

// The sources of a confirm, in relay's words.
const (
	fromPush       = "push"
	fromConnection = "connection"
)

// wake is one wake in hand.
type wake struct {
	*Call
	payload payload
	leg     *leg
	ringEnd time.Time
}

// pushed handles one push until its call ends.
func (d *Device) pushed(ctx context.Context, a arrival) {
	d.feed.nudge()
	w := &wake{Call: &Call{Status: StatusWoken, Source: fromPush}}
	err := json.Unmarshal(a.wake, &w.payload)
	p := &w.payload
	w.name(cmp.Or(a.vendorCallID, p.Call)) // CallKit needs a UUID that the app chooses: the call's id
	w.ringEnd = time.UnixMilli(p.ExpiresAt)
	d.keep(w.Call)
	if a.alert {
		d.set(w.Call, StatusNotified, "")
		if !d.cfg.Script.Tap || !pause(ctx, d.cfg.Script.TapAfter) {
			return
		}
	}
	d.set(w.Call, StatusWoken, "")
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
		d.refuse(ctx, w, causeOther)
		d.set(w.Call, StatusIgnored, ignore)
		return
	}
	w.leg = d.enter(p.Call, p.Leg)
	d.take(ctx, w)
}

// name tells the call's record which call the wake is about, and by which id
// the system knows it.
func (w *wake) name(vendorCallID string) {
	p := &w.payload
	w.VendorCallID, w.ID, w.LegID, w.Media, w.Presentation = vendorCallID, p.Call, p.Leg, p.Media, p.Presentation
}

// take handles a wake that entered its leg until its call ends.
func (d *Device) take(ctx context.Context, w *wake) {
	defer d.exit(w.LegID, w.leg)
	if d.ring(ctx, w) {
		d.live(ctx, w)
	}
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
		d.refuse(ctx, w, causeOther)
		d.set(w.Call, StatusStopped, "over")
		return false
	}
	first := d.system.reportsFirst()
	if first && !d.show(ctx, w) || !d.rouse(ctx, w) || !d.confirm(ctx, w) || !first && !d.show(ctx, w) {
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

// rouse waits the time that the app takes to start, unless its feed says before
// that the call is over.
func (d *Device) rouse(ctx context.Context, w *wake) bool {
	t := time.NewTimer(d.cfg.Script.ConfirmAfter)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-w.leg.stopped:
		d.refuse(ctx, w, causeOther)
		d.set(w.Call, StatusStopped, w.leg.reason)
	case <-ctx.Done():
	}
	return false
}

// show has the system take the call, and tells relay where it does not.
func (d *Device) show(ctx context.Context, w *wake) bool {
	answer, err := d.system.show(ctx, w)
	if err != nil || !answer.ok() {
		d.notShown(ctx, w, answer, err)
		return false
	}
	return true
}

// confirm asks relay whether to ring, and tells the system where not.
func (d *Device) confirm(ctx context.Context, w *wake) bool {
	var answer struct {
		Verdict     string  `json:"verdict"`
		Reason      *string `json:"reason"`
		LastSeq     int64   `json:"last_seq"`
		ExpiresInMS int64   `json:"expires_in_ms"`
	}
	body := map[string]string{"vendor_call_id": w.VendorCallID, "source": w.Source}
	if err := d.exchange(ctx, request{"POST", d.callURL(w) + "/confirm", d.bearer(w), body}, &answer); err != nil {
		cause := causeConnectionFailed
		if final(err) != nil {
			cause = causeOther
		}
		d.refuse(ctx, w, cause)
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
		w.leg.phase.Store(legShown) // elsewhere on the device
		d.duplicate(ctx, w)
	default:
		d.refuse(ctx, w, causeOther)
		d.set(w.Call, StatusStopped, reason)
	}
	return false
}

// duplicate refuses a second wake of a leg that rings already (Push Kit guide,
// in-app call messages: ROUTE_BUSY).
func (d *Device) duplicate(ctx context.Context, w *wake) {
	d.refuse(ctx, w, causeRouteBusy)
	if err := d.report(ctx, w, report{Event: "not_reported", FailureCause: "route_busy", VendorCallID: w.VendorCallID}); err != nil {
		d.log.WarnContext(ctx, "report of a duplicate", "call_id", w.ID, "error", err)
	}
	d.set(w.Call, StatusDuplicate, "route_busy")
}

// notShown tells relay that the system did not take the call.
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
	return d.exchange(ctx, request{"POST", d.callURL(w) + "/reports", d.bearer(w), body}, nil)
}

// bearer is the wake's own token; what came over the feed has none.
func (d *Device) bearer(w *wake) string { return cmp.Or(w.payload.Token, d.cfg.DeviceToken) }

func (d *Device) callURL(w *wake) string {
	return d.cfg.RelayURL + "/v1/device/calls/" + url.PathEscape(w.ID)
}

// state tells the system a call's state. A failure is logged: the call goes on
// without its banner.
func (d *Device) state(ctx context.Context, w *wake, state int) {
	a, err := d.system.state(ctx, w, state)
	d.logKit(w, a, err)
}

// refuse tells the system, after a push, that there is no call or no longer
// one. The system does not know of a call that came over the feed.
func (d *Device) refuse(ctx context.Context, w *wake, cause int) {
	if w.Source == fromConnection {
		return
	}
	a, err := d.system.refuse(ctx, w, cause)
	d.logKit(w, a, err)
}

func (d *Device) logKit(w *wake, a kitAnswer, err error) {
	if err != nil || !a.ok() {
		d.log.Warn("the system's answer", "call_id", w.ID, "answer", a.String(), "error", err)
	}
}
