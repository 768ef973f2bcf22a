package devicesim

import (
	"context"
	"encoding/json"
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

// harmony is a phone of the Push Kit simulator with its Call Service Kit.
type harmony struct {
	d     *Device
	after int64           // cursor of the deliveries
	old   map[string]bool // callIds that an earlier app on this phone has dealt with; nil until asked
}

func (h *harmony) reportsFirst() bool { return false }

func (h *harmony) pushes(ctx context.Context) ([]arrival, error) {
	if err := h.lookBack(ctx); err != nil {
		return nil, err
	}
	var page struct {
		Deliveries []struct{ Type, Data string }
		After      int64
	}
	if err := h.d.deliveries(ctx, h.d.cfg.PushKitURL, []string{h.d.cfg.PushKitToken}, h.after, &page); err != nil {
		return nil, err
	}
	h.after = max(h.after, page.After)
	var found []arrival
	for _, m := range page.Deliveries {
		var push struct{ Data, CallID string }
		if m.Type != "VoIP" {
			continue
		}
		a := arrival{}
		if json.Unmarshal([]byte(m.Data), &push) == nil {
			a = arrival{wake: json.RawMessage(push.Data), vendorCallID: push.CallID}
		}
		if !h.old[push.CallID] {
			found = append(found, a)
		}
	}
	return found, nil
}

// lookBack learns once what the phone was told before this app started: the
// simulator hands out old deliveries again, and Push Kit does not.
func (h *harmony) lookBack(ctx context.Context) error {
	if h.old != nil {
		return nil
	}
	var phone struct {
		Calls []struct {
			CallID string `json:"call_id"`
			Status string `json:"status"`
		} `json:"calls"`
	}
	if err := h.d.exchange(ctx, request{method: "GET", url: h.url("")}, &phone); err != nil {
		return err
	}
	h.old = map[string]bool{}
	for _, c := range phone.Calls {
		if c.Status != "delivered" {
			h.old[c.CallID] = true
		}
	}
	return nil
}

// show is voipCall.reportIncomingCall; the app's own connection brings calls to
// it as pushes do (Call Service Kit guide, incoming calls).
func (h *harmony) show(ctx context.Context, w *wake) (kitAnswer, error) {
	kind := 0
	if w.Media == "video" {
		kind = 1
	}
	return h.kit(ctx, "report-incoming-call", map[string]any{
		"callId": w.VendorCallID, "voipCallType": kind, "voipCallState": kitRinging, "userName": w.payload.Caller.Name,
		"isConferenceCall": w.payload.Conference, "isVoiceAnswerSupported": w.payload.VoiceAnswer,
	})
}

// state is voipCall.reportCallStateChange.
func (h *harmony) state(ctx context.Context, w *wake, state int) (kitAnswer, error) {
	return h.kit(ctx, "report-call-state-change", map[string]any{"callId": w.VendorCallID, "state": state})
}

// refuse is voipCall.reportIncomingCallError.
func (h *harmony) refuse(ctx context.Context, w *wake, cause int) (kitAnswer, error) {
	return h.kit(ctx, "report-incoming-call-error", map[string]any{"callId": w.VendorCallID, "cause": cause})
}

func (h *harmony) kit(ctx context.Context, function string, body any) (a kitAnswer, err error) {
	if h.d.cfg.PushKitToken == "" { // the app's own page
		return kitAnswer{}, nil
	}
	err = h.d.exchange(ctx, request{"POST", h.url("/" + function), "", body}, &a)
	return a, err
}

func (h *harmony) url(rest string) string {
	return h.d.cfg.PushKitURL + "/sim/devices/" + url.PathEscape(h.d.cfg.PushKitToken) + rest
}
