package call

import "slices"

// HarmonyEnum is one constant of an enum of HarmonyOS's voipCall module.
type HarmonyEnum struct {
	Name  string
	Value int
}

// HarmonyState sets one VoipCallState (Call Service Kit reference, voipCall)
// beside the states of a call and of the leg of the device that shows it.
type HarmonyState struct {
	HarmonyEnum
	Call   []Status    // of a call whose device is in this state
	Legs   []LegStatus // of that device's leg
	Report ReportEvent // what an app that enters this state reports; "" for nothing
}

// HarmonyStates lists every VoipCallState. Its IDLE is a call that the system
// does not know yet. A held call has no call status of its own. DISCONNECTING
// has no counterpart: the leg stays as before until DISCONNECTED. The leg of an
// outgoing call is confirmed while it dials.
var HarmonyStates = []HarmonyState{
	{HarmonyEnum{"VOIP_CALL_STATE_IDLE", 0}, []Status{StatusWaking}, []LegStatus{LegSkipped, LegWaking, LegHandedOver, LegConfirmed}, ""},
	{HarmonyEnum{"VOIP_CALL_STATE_RINGING", 1}, []Status{StatusRinging}, []LegStatus{LegRinging}, ReportRinging},
	{HarmonyEnum{"VOIP_CALL_STATE_ACTIVE", 2}, []Status{StatusActive}, []LegStatus{LegActive}, ReportActive},
	{HarmonyEnum{"VOIP_CALL_STATE_HOLDING", 3}, nil, []LegStatus{LegHeld}, ReportHeld},
	{HarmonyEnum{"VOIP_CALL_STATE_DISCONNECTED", 4}, []Status{StatusEnded}, []LegStatus{
		LegAnsweredElsewhere, LegDeclinedElsewhere, LegRejected, LegBusy, LegCanceled, LegMissed, LegNoWake, LegFailed, LegCompleted,
	}, ReportDisconnected},
	{HarmonyEnum{"VOIP_CALL_STATE_DIALING", 5}, []Status{StatusDialing}, nil, ""},
	{HarmonyEnum{"VOIP_CALL_STATE_ANSWERED", 6}, []Status{StatusAnswered}, []LegStatus{LegAnswered}, ReportAnswered},
	{HarmonyEnum{"VOIP_CALL_STATE_DISCONNECTING", 7}, nil, nil, ""},
}

// HarmonyUIEvent sets one VoipCallUiEvent, what the user did on the system's
// call page, beside the report that the app makes of it.
type HarmonyUIEvent struct {
	HarmonyEnum
	Report ReportEvent // "" for none
	Media  Media       // of an answer
}

// HarmonyUIEvents lists every VoipCallUiEvent (Call Service Kit reference,
// voipCall). The system reserves SPEAKER_ON and SPEAKER_OFF and delivers
// neither; an app reports its own loudspeaker button.
var HarmonyUIEvents = []HarmonyUIEvent{
	{HarmonyEnum{"VOIP_CALL_EVENT_NONE", 0}, "", ""},
	{HarmonyEnum{"VOIP_CALL_EVENT_VOICE_ANSWER", 1}, ReportAnswered, Voice},
	{HarmonyEnum{"VOIP_CALL_EVENT_VIDEO_ANSWER", 2}, ReportAnswered, Video},
	{HarmonyEnum{"VOIP_CALL_EVENT_REJECT", 3}, ReportRejected, ""},
	{HarmonyEnum{"VOIP_CALL_EVENT_HANGUP", 4}, ReportDisconnected, ""},
	{HarmonyEnum{"VOIP_CALL_EVENT_MUTED", 5}, ReportMuted, ""},
	{HarmonyEnum{"VOIP_CALL_EVENT_UNMUTED", 6}, ReportUnmuted, ""},
	{HarmonyEnum{"VOIP_CALL_EVENT_SPEAKER_ON", 7}, ReportSpeakerOn, ""},
	{HarmonyEnum{"VOIP_CALL_EVENT_SPEAKER_OFF", 8}, ReportSpeakerOff, ""},
	{HarmonyEnum{"VOIP_CALL_EVENT_MUTE_RINGTONE", 9}, ReportRingtoneMuted, ""},
}

// HarmonyAudioEvent sets one CallAudioEvent, what an app told the system,
// beside the report of the same.
type HarmonyAudioEvent struct {
	HarmonyEnum
	Report ReportEvent // "" for none
}

// HarmonyAudioEvents lists every CallAudioEvent (Call Service Kit reference,
// voipCall). MIC_DISABLE speaks of a missing permission, not of the call.
var HarmonyAudioEvents = []HarmonyAudioEvent{
	{HarmonyEnum{"AUDIO_EVENT_MUTED", 0}, ReportMuted},
	{HarmonyEnum{"AUDIO_EVENT_UNMUTED", 1}, ReportUnmuted},
	{HarmonyEnum{"AUDIO_EVENT_SPEAKER_ON", 2}, ReportSpeakerOn},
	{HarmonyEnum{"AUDIO_EVENT_SPEAKER_OFF", 3}, ReportSpeakerOff},
	{HarmonyEnum{"AUDIO_EVENT_MIC_DISABLE", 5}, ""},
}

// HarmonyErrorReason sets one ErrorReason, what reportIncomingCall resolved
// with, beside error_reason of a not_reported.
type HarmonyErrorReason struct {
	HarmonyEnum
	Reason ErrorReason // "" where the system shows the call: nothing to report
}

// HarmonyErrorReasons lists every ErrorReason (Call Service Kit reference, voipCall).
var HarmonyErrorReasons = []HarmonyErrorReason{
	{HarmonyEnum{"ERROR_NONE", 0}, ""},
	{HarmonyEnum{"CELLULAR_CALL_EXISTS", 1}, CellularCallExists},
	{HarmonyEnum{"VOIP_CALL_EXISTS", 2}, VoIPCallExists},
	{HarmonyEnum{"INVALID_CALL", 3}, InvalidCall},
	{HarmonyEnum{"USER_ANSWER_CELLULAR_FIRST", 4}, UserAnswerCellularFirst},
}

// HarmonyFailureCause sets one VoipCallFailureCause, what an app told
// reportIncomingCallError, beside failure_cause of a not_reported.
type HarmonyFailureCause struct {
	HarmonyEnum
	Cause FailureCause
}

// HarmonyFailureCauses lists every VoipCallFailureCause (Call Service Kit
// reference, voipCall).
var HarmonyFailureCauses = []HarmonyFailureCause{
	{HarmonyEnum{"OTHER", 0}, CauseOther},
	{HarmonyEnum{"ROUTE_BUSY", 1}, CauseRouteBusy},
	{HarmonyEnum{"CONNECTION_FAILED", 2}, CauseConnectionFailed},
}

// SIP is what a SIP gateway sends to its peer.
type SIP struct {
	Code   int    // of the response to the INVITE (RFC 3261)
	Phrase string // of that code
	Reason string // value of the Reason header (RFC 3326); "" for none
}

var statusSIP = map[Status]SIP{
	StatusWaking:   {100, "Trying", ""}, // 180 would claim that a device rings
	StatusDialing:  {100, "Trying", ""},
	StatusRinging:  {180, "Ringing", ""},
	StatusAnswered: {200, "OK", ""},
	StatusActive:   {200, "OK", ""},
}

// SIP is the response that tells a live call's status to the caller. An ended
// call has none of its own: see EndReason.SIP.
func (s Status) SIP() (SIP, bool) {
	r, ok := statusSIP[s]
	return r, ok
}

// endSIP follows RFC 3398, section 7.2.4.1, where Q.850 has a cause: the Reason
// header distinguishes nobody answered (19) from not reached (20).
var endSIP = map[EndReason]SIP{
	EndCompleted:   {200, "OK", "Q.850;cause=16"}, // the INVITE was answered; a BYE carries the reason
	EndRejected:    {603, "Decline", "Q.850;cause=21"},
	EndBusy:        {486, "Busy Here", "Q.850;cause=17"},
	EndCanceled:    {487, "Request Terminated", ""},
	EndMissed:      {480, "Temporarily Unavailable", "Q.850;cause=19"},
	EndUnreachable: {480, "Temporarily Unavailable", "Q.850;cause=20"},
	EndFailed:      {500, "Server Internal Error", "Q.850;cause=41"},
}

// SIP is the final response to the caller's INVITE.
func (r EndReason) SIP() (SIP, bool) {
	s, ok := endSIP[r]
	return s, ok
}

var legSIPReason = map[LegStatus]string{
	LegAnsweredElsewhere: `SIP;cause=200;text="Call completed elsewhere"`,
	LegDeclinedElsewhere: `SIP;cause=603;text="Decline"`,
}

// SIPReason is the Reason header (RFC 3326) of a CANCEL to the callee's own SIP
// phone, so that the phone does not list a missed call; "" for none.
func (s LegStatus) SIPReason() string { return legSIPReason[s] }

var statusTwilio = map[Status]string{
	StatusWaking: "queued", StatusDialing: "queued", StatusRinging: "ringing", StatusAnswered: "in-progress", StatusActive: "in-progress",
}

var endTwilio = map[EndReason]string{
	EndCompleted: "completed", EndRejected: "busy", EndBusy: "busy", EndCanceled: "canceled", EndMissed: "no-answer",
	EndUnreachable: "failed", EndFailed: "failed",
}

// Twilio is the status that Twilio's Call resource has for a live call; "" for
// an ended one: see EndReason.Twilio.
func (s Status) Twilio() string { return statusTwilio[s] }

// Twilio is the status that Twilio's Call resource has for a call that ended
// so. It has no status of its own for a rejection, which becomes busy.
func (r EndReason) Twilio() string { return endTwilio[r] }

// HarmonyState is the VoipCallState of a call's status.
func (s Status) HarmonyState() (HarmonyEnum, bool) {
	for _, row := range HarmonyStates {
		if slices.Contains(row.Call, s) {
			return row.HarmonyEnum, true
		}
	}
	return HarmonyEnum{}, false
}

// HarmonyState is the VoipCallState of a leg's status in an incoming call. In
// an outgoing one a confirmed leg is DIALING, as its call is.
func (s LegStatus) HarmonyState() (HarmonyEnum, bool) {
	for _, row := range HarmonyStates {
		if slices.Contains(row.Legs, s) {
			return row.HarmonyEnum, true
		}
	}
	return HarmonyEnum{}, false
}

// ErrorReasonOf reads the number of an ErrorReason. "" and true is
// ERROR_NONE; ok is false for a number that the enum has not.
func ErrorReasonOf(value int) (reason ErrorReason, ok bool) {
	for _, row := range HarmonyErrorReasons {
		if row.Value == value {
			return row.Reason, true
		}
	}
	return "", false
}

// FailureCauseOf reads the number of a VoipCallFailureCause.
func FailureCauseOf(value int) (cause FailureCause, ok bool) {
	for _, row := range HarmonyFailureCauses {
		if row.Value == value {
			return row.Cause, true
		}
	}
	return "", false
}

// ReportOfUIEvent is the report that an app makes of a VoipCallUiEvent, with
// the media of an answer. ok is false where there is nothing to report.
func ReportOfUIEvent(value int) (event ReportEvent, media Media, ok bool) {
	for _, row := range HarmonyUIEvents {
		if row.Value == value {
			return row.Report, row.Media, row.Report != ""
		}
	}
	return "", "", false
}
