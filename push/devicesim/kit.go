package devicesim

import (
	"context"
	"fmt"
	"net/url"
)

// VoipCallStates (Call Service Kit reference, voipCall).
const (
	kitRinging      = 1
	kitActive       = 2
	kitDisconnected = 4
	kitAnswered     = 6
)

// VoipCallFailureCauses (Call Service Kit reference, voipCall).
const (
	causeOther            = 0
	causeRouteBusy        = 1
	causeConnectionFailed = 2
)

// kitReasons are relay's words for an ErrorReason (Call Service Kit reference, voipCall).
var kitReasons = map[int]string{
	1: "cellular_call_exists", 2: "voip_call_exists", 3: "invalid_call", 4: "user_answer_cellular_first",
}

// kitAnswer is what a function of voipCall resolved or rejected with.
type kitAnswer struct {
	ErrorReason int    `json:"error_reason"`
	ErrorCode   int64  `json:"error_code"`
	Message     string `json:"message"`
}

func (a kitAnswer) ok() bool { return a.ErrorReason == 0 && a.ErrorCode == 0 }

func (a kitAnswer) String() string {
	if a.ErrorCode != 0 {
		return fmt.Sprintf("%d %s", a.ErrorCode, a.Message)
	}
	return kitReasons[a.ErrorReason]
}

// incoming is voipCall.reportIncomingCall.
func (d *Device) incoming(ctx context.Context, w *wake) (kitAnswer, error) {
	kind := 0
	if w.Media == "video" {
		kind = 1
	}
	return d.kit(ctx, "report-incoming-call", map[string]any{
		"callId": w.VendorCallID, "voipCallType": kind, "voipCallState": kitRinging, "userName": w.payload.Caller.Name,
		"isConferenceCall": w.payload.Conference, "isVoiceAnswerSupported": w.payload.VoiceAnswer,
	})
}

// state is voipCall.reportCallStateChange. A failure is logged: the call goes
// on without its banner.
func (d *Device) state(ctx context.Context, w *wake, state int) {
	a, err := d.kit(ctx, "report-call-state-change", map[string]any{"callId": w.VendorCallID, "state": state})
	d.logKit(w, a, err)
}

// incomingError is voipCall.reportIncomingCallError.
func (d *Device) incomingError(ctx context.Context, w *wake, cause int) {
	a, err := d.kit(ctx, "report-incoming-call-error", map[string]any{"callId": w.VendorCallID, "cause": cause})
	d.logKit(w, a, err)
}

func (d *Device) kit(ctx context.Context, function string, body any) (a kitAnswer, err error) {
	err = d.exchange(ctx, request{"POST", d.phoneURL("/" + function), "", body}, &a)
	return a, err
}

func (d *Device) phoneURL(rest string) string {
	return d.cfg.PushKitURL + "/sim/devices/" + url.PathEscape(d.cfg.PushKitToken) + rest
}

func (d *Device) logKit(w *wake, a kitAnswer, err error) {
	if err != nil || !a.ok() {
		d.log.Warn("call service kit", "call_id", w.ID, "answer", a.String(), "error", err)
	}
}
