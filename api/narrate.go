package api

import (
	"cmp"
	"time"

	"github.com/google/uuid"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/store"
)

// narrator words a call's timeline.
type narrator struct {
	vendors Vendors
	call    *call.Call
	legs    map[uuid.UUID]*history
	until   time.Time // receipts that came later are not told; zero for all
}

// history is what happened on one device and helps to explain how its leg
// ended.
type history struct {
	attempts []*store.Attempt
	receipts []store.Entry // about wakes
	reports  []store.Entry
	gates    []gateEntry

	told, untold bool // of the missed call: the vendor took the notice, or it was given up
}

// gateEntry is the evidence of a region check after the invitation.
type gateEntry struct {
	at time.Time
	*store.Gate
}

func newNarrator(v Vendors, c *call.Call, entries []store.Entry) *narrator {
	n := &narrator{vendors: v, call: c, legs: map[uuid.UUID]*history{}}
	for _, e := range entries {
		h := n.history(e.LegID)
		switch {
		case e.Attempt != nil && isNotice(e.Attempt):
			h.told = h.told || e.Attempt.Purpose == call.PurposeMissedCall && e.Attempt.Outcome == "accepted"
		case e.Attempt != nil:
			h.attempts = append(h.attempts, e.Attempt)
		case e.Notice != nil:
			h.untold = h.untold || e.Notice.Purpose == call.PurposeMissedCall
		case e.Confirm != nil && e.Confirm.Gate != nil:
			h.gates = append(h.gates, gateEntry{e.At, e.Confirm.Gate})
		case e.Receipt != nil && e.Receipt.Purpose == call.PurposeRing:
			h.receipts = append(h.receipts, e)
		case e.Report != nil:
			h.reports = append(h.reports, e)
			if e.Report.Gate != nil {
				h.gates = append(h.gates, gateEntry{e.At, e.Report.Gate})
			}
		}
	}
	return n
}

func (n *narrator) history(leg uuid.UUID) *history {
	if n.legs[leg] == nil {
		n.legs[leg] = &history{}
	}
	return n.legs[leg]
}

// lastAttempt is the newest attempt; nil where there was none.
func (h *history) lastAttempt() *store.Attempt {
	if len(h.attempts) == 0 {
		return nil
	}
	return h.attempts[len(h.attempts)-1]
}

// receipt is the last receipt until a time, zero for all; nil where there was none.
func (h *history) receipt(until time.Time) (last *store.ReceiptEntry) {
	for _, e := range h.receipts {
		if until.IsZero() || !e.At.After(until) {
			last = e.Receipt
		}
	}
	return last
}

// gate is the last region check of the device while its leg was open, whose
// evidence may differ from the invitation's; nil where there was none.
func (h *history) gate(l *call.Leg) (last *store.Gate) {
	for _, g := range h.gates {
		if !g.at.After(l.EndedAt) {
			last = g.Gate
		}
	}
	return last
}

// closing is the report that ended a leg; nil where none did. Later reports
// about a call that is over change nothing.
func (h *history) closing(l *call.Leg) (last *call.Report) {
	for _, e := range h.reports {
		switch r := &e.Report.Report; r.Event {
		case call.ReportNotReported, call.ReportDisconnected, call.ReportRejected:
			if e.Report.Refused == "" && !e.At.After(l.EndedAt) {
				last = r
			}
		}
	}
	return last
}

// entry words one entry: a sentence or two, and what to do about it.
func (n *narrator) entry(e store.Entry) call.Explanation {
	switch {
	case e.Decision != nil:
		return n.decision(e.DeviceID, e.Decision)
	case e.Attempt != nil:
		return n.attempt(e.DeviceID, e.Attempt)
	case e.Notice != nil:
		return n.notice(e.DeviceID, e.Notice)
	case e.Confirm != nil:
		return n.confirm(e.DeviceID, e.Confirm)
	case e.Report != nil:
		return n.report(e.DeviceID, e.Report)
	case e.Receipt != nil:
		return n.receipt(e.DeviceID, e.Receipt)
	case e.Leg != nil:
		then := *n
		then.until = e.At
		return then.leg(e.Leg)
	}
	return n.step(e.Event, e.Call)
}

func (n *narrator) decision(device string, d *call.Decision) call.Explanation {
	if n.call.Direction == call.Outgoing {
		return call.Explanation{Meaning: call.Say("%s started the call (%s).", "设备 %s 发起呼叫（%s）。").With(device, whereabouts(d.Region))}
	}
	return tellDecision(device, d, decided)
}

// mood is how a decision is worded: as one that was made, or as one that an
// invitation would get now.
type mood struct{ skipped, woken, connected call.Text }

var (
	decided = mood{
		skipped:   call.Say("%s was skipped", "设备 %s 未被唤醒"),
		woken:     call.Say("%s was to be woken over %s and to show the call by %s (%s).", "设备 %s 将通过 %s 唤醒，并以%s展示来电（%s）。"),
		connected: call.Say("%s was to hear of the call over its own connection and to show it by %s (%s).", "设备 %s 将通过自身连接获知呼叫，并以%s展示来电（%s）。"),
	}
	foreseen = mood{
		skipped:   call.Say("%s would be skipped", "设备 %s 不会被唤醒"),
		woken:     call.Say("%s would be woken over %s and show the call by %s (%s).", "设备 %s 会通过 %s 唤醒，并以%s展示来电（%s）。"),
		connected: call.Say("%s would hear of the call over its own connection and show it by %s (%s).", "设备 %s 会通过自身连接获知呼叫，并以%s展示来电（%s）。"),
	}
)

func tellDecision(device string, d *call.Decision, m mood) call.Explanation {
	shown, where := presentationNames[d.Presentation], whereabouts(d.Region)
	switch {
	case d.Reason != "":
		skip := m.skipped.With(device)
		if why := skipped(*d); !why.IsZero() {
			return call.Explanation{Meaning: call.Say("%s: %s.", "%s：%s。").With(skip, why), Advice: d.Advice()}
		}
		return call.Explanation{Meaning: call.Say("%s.", "%s。").With(skip).Then(d.Reason.Meaning()), Advice: d.Advice()}
	case d.Channel == call.Connection:
		return call.Explanation{Meaning: m.connected.With(device, shown, where)}
	}
	return call.Explanation{Meaning: m.woken.With(device, d.Channel, shown, where)}
}

func (n *narrator) attempt(device string, a *store.Attempt) call.Explanation {
	said := n.explain(a, n.call.LegOf(device))
	if isNotice(a) {
		said = ofNotice(a, said)
	}
	said.Meaning = purposes[cmp.Or(a.Purpose, call.PurposeRing)].With(a.Number, device, a.Channel, answered(a)).Then(said.Meaning)
	return said
}

// explain says what a vendor's answer means, in addition to what answered says.
func (n *narrator) explain(a *store.Attempt, l *call.Leg) call.Explanation {
	if a.Outcome == abandoned {
		return call.Explanation{}
	}
	said := n.vendors.Explain(a.Channel, a.Code, a.Status)
	switch {
	case a.Status == 0: // no answer: there is nothing to add
		said.Meaning = call.Text{}
	case a.Channel.Vendor() == call.APNs && misaddressed[a.Outcome] && l != nil:
		said.Meaning = said.Meaning.Then(addressed(l.Decision.Device))
	}
	return said
}

// misaddressed are the outcomes that a wrong environment or bundle id may
// cause.
var misaddressed = map[string]bool{"token_refused": true, "refused": true, "unauthenticated": true}

// addressed names the environment and bundle id of a push to APNs, which must
// fit its token.
func addressed(d call.Device) call.Text {
	switch {
	case d.Environment == "":
		return call.Text{}
	case d.BundleID == "":
		return call.Say("The push went to %s with the credential's bundle id, since the device registered none.", "推送发往 %s 环境；设备没有注册 bundle_id，使用凭据中的值。").With(d.Environment)
	}
	return call.Say("The push went to %s with the bundle id %s, as the device registered.", "按设备的注册信息，推送发往 %s 环境，bundle_id 为 %s。").With(d.Environment, d.BundleID)
}

// receiptsOf words a receipt, by the purpose of its push.
var receiptsOf = map[call.Purpose]call.Text{
	call.PurposeRing:       call.Say("Receipt for push %d to %s (result %d).", "第 %d 次推送（设备 %s）的回执（结果码 %d）。"),
	call.PurposeMissedCall: call.Say("Receipt for notice %d of the missed call to %s (result %d).", "第 %d 次未接来电通知（设备 %s）的回执（结果码 %d）。"),
}

func (n *narrator) receipt(device string, r *store.ReceiptEntry) call.Explanation {
	said := n.vendors.ExplainReceipt(r.Channel, r.Result)
	said.Meaning = receiptsOf[r.Purpose].With(r.Number, device, r.Result).Then(said.Meaning)
	if !r.Signed {
		said.Meaning = said.Meaning.Then(call.Say("It is not signed, so nothing else follows from it.", "该回执没有签名，不作其他处理。"))
	}
	return said
}

var sourceNames = map[call.Source]call.Text{
	call.SourcePush:       call.Say("the push", "推送"),
	call.SourceConnection: call.Say("its connection", "连接"),
}

// stops says why an app is told to stop, by the end of its leg.
var stops = map[string]call.Text{
	string(call.LegAnsweredElsewhere): call.Say("Another device had answered.", "其他设备已接听。"),
	string(call.LegDeclinedElsewhere): call.Say("The call had been rejected on another device.", "其他设备已拒接。"),
	string(call.LegRejected):          call.Say("The call had been rejected.", "呼叫已被拒接。"),
	string(call.LegBusy):              call.Say("The device was in another call.", "设备正在其他通话中。"),
	string(call.LegCanceled):          call.Say("The caller's side had withdrawn the call.", "主叫已取消呼叫。"),
	string(call.LegMissed):            call.Say("The ring was over.", "振铃已结束。"),
	string(call.LegFailed):            call.Say("The call had failed on the device.", "呼叫在该设备上已失败。"),
	string(call.LegCompleted):         call.Say("The call was over.", "呼叫已结束。"),
}

func (n *narrator) confirm(device string, c *store.ConfirmEntry) call.Explanation {
	if c.Verdict == call.VerdictRing {
		return call.Explanation{Meaning: call.Say("%s confirmed over %s that it is awake, and was told to ring.", "设备 %s 通过%s确认已唤醒，并被告知振铃。").With(device, sourceNames[c.Source])}
	}
	said := call.Say("%s confirmed over %s that it is awake, and was told not to ring.", "设备 %s 通过%s确认已唤醒，但被告知不要振铃。").With(device, sourceNames[c.Source])
	reason := call.Reason(c.Reason)
	why, known := stops[c.Reason]
	switch {
	case known:
	case reason.Region() && c.Gate != nil:
		why = call.Say("Why: %s.", "原因：%s。").With(unsuited(reason, c.Gate.Region))
	default:
		why = reason.Meaning()
	}
	return call.Explanation{Meaning: said.Then(why), Advice: reason.Advice()}
}

var mediaNames = map[call.Media]call.Text{call.Voice: call.Say("voice", "语音"), call.Video: call.Say("video", "视频")}

var reports = map[call.ReportEvent]call.Text{
	call.ReportRinging:       call.Say("%s reported that it rings.", "设备 %s 上报：正在振铃。"),
	call.ReportAnswered:      call.Say("%s reported that the user answered.", "设备 %s 上报：用户已接听。"),
	call.ReportRejected:      call.Say("%s reported that the user rejected the call.", "设备 %s 上报：用户已拒接。"),
	call.ReportActive:        call.Say("%s reported that media flow.", "设备 %s 上报：媒体已接通。"),
	call.ReportHeld:          call.Say("%s reported that the call is on hold.", "设备 %s 上报：通话已保持。"),
	call.ReportDisconnected:  call.Say("%s reported that it hung up.", "设备 %s 上报：已挂断。"),
	call.ReportMuted:         call.Say("%s reported that the microphone is muted.", "设备 %s 上报：麦克风已静音。"),
	call.ReportUnmuted:       call.Say("%s reported that the microphone is on again.", "设备 %s 上报：麦克风已取消静音。"),
	call.ReportSpeakerOn:     call.Say("%s reported that the loudspeaker is on.", "设备 %s 上报：扬声器已打开。"),
	call.ReportSpeakerOff:    call.Say("%s reported that the loudspeaker is off.", "设备 %s 上报：扬声器已关闭。"),
	call.ReportRingtoneMuted: call.Say("%s reported that the user silenced the ringtone.", "设备 %s 上报：用户已将来电静音。"),
	call.ReportNotReported:   call.Say("%s reported that its system did not show the call.", "设备 %s 上报：系统未展示来电。"),
}

// refusals says why a report was refused, by store.ReportEntry.Refused.
var refusals = map[string]call.Text{
	"call_ended":           call.Say("It was not taken: the call had ended.", "未被采纳：呼叫已结束。"),
	"call_answered":        call.Say("It was not taken: the call was answered already.", "未被采纳：呼叫已被接听。"),
	"lost_race":            call.Say("It was not taken: another device had answered first.", "未被采纳：其他设备已先接听。"),
	"invalid_media":        call.Say("It was not taken: the call cannot be answered with these media.", "未被采纳：该呼叫不能以此媒体类型接听。"),
	"region_not_supported": call.Say("It was not taken: calls may not be shown in the device's region.", "未被采纳：设备所在地区不能展示来电。"),
	"region_unknown":       call.Say("It was not taken: the device's region is not known.", "未被采纳：设备所在地区未知。"),
}

func (n *narrator) report(device string, r *store.ReportEntry) call.Explanation {
	said := call.Explanation{Meaning: reports[r.Event].With(device)}
	if r.Media != "" {
		said.Meaning = call.Say("%s reported that the user answered with %s.", "设备 %s 上报：用户以%s接听。").With(device, mediaNames[r.Media])
	}
	if r.Event == call.ReportNotReported {
		why := r.Explain()
		said.Meaning, said.Advice = said.Meaning.Then(why.Meaning), why.Advice
	}
	said.Meaning = said.Meaning.Then(refusals[r.Refused])
	return said
}

// step words an event of the whole call.
func (n *narrator) step(e *call.Event, c *call.Call) call.Explanation {
	switch e.Type {
	case call.EventCallCreated:
		if c.Direction == call.Outgoing {
			return call.Explanation{Meaning: call.Say("The call was started.", "呼叫已发起。")}
		}
		if len(c.Legs) == 0 {
			return noDevices(call.Say("The call was created.", "呼叫已创建。"))
		}
		return call.Explanation{Meaning: call.Say("The call was created. Devices that can be woken: %d of %d.", "呼叫已创建。可以唤醒的设备：%d 台，共 %d 台。").With(c.Reachable(), c.Devices()).Then(unkept(c))}
	case call.EventCallRinging:
		return call.Explanation{Meaning: call.Say("The call rings.", "呼叫开始振铃。")}
	case call.EventCallAnswered:
		return call.Explanation{Meaning: call.Say("%s answered the call.", "设备 %s 接听了呼叫。").With(c.AnsweredBy)}
	case call.EventCallActive:
		return call.Explanation{Meaning: call.Say("Media flow.", "通话已接通。")}
	}
	return call.Explanation{
		Meaning: call.Say("The call ended: %s.", "呼叫结束：%s。").With(c.EndReason).Then(c.EndReason.Meaning()), Advice: c.EndReason.Advice(),
	}
}

// unkept tells of the skipped devices that a call has no leg for; zero where
// there are none.
func unkept(c *call.Call) call.Text {
	if c.MoreSkipped == 0 {
		return call.Text{}
	}
	return call.Say("Of the skipped ones, %d are not listed.", "未被唤醒的设备中，有 %d 台未列出。").With(c.MoreSkipped)
}

// noDevices goes on with what is said about a callee that has none.
func noDevices(before call.Text) call.Explanation {
	return call.Explanation{
		Meaning: before.Then(call.Say("The callee has no registered device.", "被叫没有已注册的设备。")),
		Advice: call.Say(
			"Let the app register itself (PUT /v1/device), or register the device from your backend (PUT /v1/devices/{device_id}).",
			"请让应用自行注册（PUT /v1/device），或由业务后台注册设备（PUT /v1/devices/{device_id}）。"),
	}
}
