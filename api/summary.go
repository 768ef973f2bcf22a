package api

import (
	"github.com/pushwake/relay/call"
)

// leg says how a leg ended or where it stands, by what is known so far.
func (n *narrator) leg(l *call.Leg) call.Explanation {
	device := l.DeviceID
	if n.call.Direction == call.Outgoing {
		return n.dialed(l)
	}
	switch l.Status {
	case call.LegSkipped:
		return n.decision(device, &l.Decision)
	case call.LegWaking:
		if l.Channel == call.Connection {
			return call.Explanation{Meaning: call.Say("%s hears of the call over its own connection.", "设备 %s 通过自身连接获知呼叫。").With(device)}
		}
		return call.Explanation{Meaning: call.Say("%s is being woken over %s.", "正在唤醒设备 %s（%s）。").With(device, l.Channel)}
	case call.LegHandedOver:
		if l.NoWakeAt.IsZero() {
			said := call.Say("%s accepted the push for %s, whose app has not confirmed yet.", "%s 已接受发往设备 %s 的推送，应用尚未确认。").With(vendorOf(l.Channel), device)
			return n.delivery(l, call.Explanation{Meaning: said.Then(n.again(l))})
		}
		said := call.Say("%s accepted the push for %s, whose app has not confirmed within %d seconds. It may still wake.", "%s 已接受发往设备 %s 的推送，但应用 %d 秒内未确认，之后仍可能唤醒。").
			With(vendorOf(l.Channel), device, int(call.NoWakeAfter.Seconds()))
		return n.delivery(l, call.Explanation{Meaning: said.Then(n.again(l)), Advice: l.Channel.Unconfirmed()})
	case call.LegMissed, call.LegNoWake, call.LegCanceled, call.LegAnsweredElsewhere, call.LegDeclinedElsewhere:
		if l.RingingAt.IsZero() {
			return n.silent(l)
		}
	case call.LegBusy:
		return n.refused(l)
	case call.LegFailed:
		return n.failed(l)
	}
	return call.Explanation{Meaning: legStates[l.Status].With(device)}
}

// legStates words the states of a leg that only need the device's name.
var legStates = map[call.LegStatus]call.Text{
	call.LegConfirmed: call.Say("%s is awake and was told to ring; it has not reported yet that it rings.", "设备 %s 已唤醒并被告知振铃，尚未上报振铃。"),
	call.LegRinging:   call.Say("%s rings.", "设备 %s 正在振铃。"),
	call.LegAnswered:  call.Say("%s answered the call.", "设备 %s 接听了呼叫。"),
	call.LegActive:    call.Say("%s is in the call.", "设备 %s 正在通话。"),
	call.LegHeld:      call.Say("%s holds the call.", "设备 %s 已保持通话。"),
	call.LegCompleted: call.Say("%s took the call, which is over.", "设备 %s 接听了呼叫，通话已结束。"),
	call.LegRejected:  call.Say("The user rejected the call on %s.", "用户在设备 %s 上拒接了呼叫。"),

	call.LegMissed:            call.Say("%s rang, and nobody answered.", "设备 %s 振铃，无人接听。"),
	call.LegNoWake:            call.Say("%s rang, and nobody answered.", "设备 %s 振铃，无人接听。"),
	call.LegCanceled:          call.Say("%s rang until the caller's side withdrew the call.", "设备 %s 振铃，直到主叫取消呼叫。"),
	call.LegAnsweredElsewhere: call.Say("%s rang until another device answered.", "设备 %s 振铃，直到其他设备接听。"),
	call.LegDeclinedElsewhere: call.Say("%s rang until the call was rejected on another device.", "设备 %s 振铃，直到其他设备拒接。"),
}

// ended says why a leg that never rang was closed; zero where its time was
// simply over.
var ended = map[call.LegStatus]call.Text{
	call.LegCanceled:          call.Say("The caller's side withdrew the call.", "主叫取消了呼叫。"),
	call.LegAnsweredElsewhere: call.Say("Another device answered.", "其他设备接听了呼叫。"),
	call.LegDeclinedElsewhere: call.Say("The call was rejected on another device.", "其他设备拒接了呼叫。"),
}

var adviceShow = call.Say(
	"After the confirm the app must show the call (reportIncomingCall of the Call Service Kit, CallKit, LiveCommunicationKit) and report ringing, or else not_reported with the reason. On HarmonyOS look also whether the app may show notifications.",
	"确认之后，应用必须展示来电（通话服务的 reportIncomingCall、CallKit 或 LiveCommunicationKit）并上报 ringing；未能展示时应上报 not_reported 及原因。HarmonyOS 上还请检查应用的通知权限是否开启。")

// silent says why a leg that stayed open to the end never rang.
func (n *narrator) silent(l *call.Leg) call.Explanation {
	device, after := l.DeviceID, ended[l.Status]
	var said call.Explanation
	switch last := n.history(l.ID).lastAttempt(); {
	case !l.ConfirmedAt.IsZero():
		said = call.Explanation{Meaning: call.Say("%s woke and was told to ring, but never reported that it rings.", "设备 %s 已唤醒并被告知振铃，但从未上报振铃。").With(device), Advice: adviceShow}
	case !l.HandedOverAt.IsZero() && l.Channel.VoIP():
		never := call.Say("%s accepted the push for %s, but the app never confirmed that it woke.", "%s 已接受发往设备 %s 的推送，但应用始终没有确认被唤醒。").With(vendorOf(l.Channel), device)
		said = n.delivery(l, call.Explanation{Meaning: never.Then(n.again(l)), Advice: l.Channel.Unconfirmed()})
	case !l.HandedOverAt.IsZero():
		said = call.Explanation{
			Meaning: call.Say("%s accepted the notification for %s, but nobody opened it: its app never confirmed.", "%s 已接受发往设备 %s 的通知，但没有人打开，应用始终没有确认。").With(vendorOf(l.Channel), device),
			Advice:  l.Channel.Unconfirmed(),
		}
		said = n.delivery(l, said)
	case l.Channel == call.Connection:
		said = call.Explanation{
			Meaning: call.Say("%s was to hear of the call over its own connection, and never confirmed.", "设备 %s 应通过自身连接获知呼叫，但始终没有确认。").With(device),
			Advice:  l.Channel.Unconfirmed(),
		}
	case last != nil:
		said = n.unwoken(l)
	default:
		said = call.Explanation{Meaning: call.Say("%s was not woken before the call was over.", "呼叫结束前未能唤醒设备 %s。").With(device)}
	}
	said.Meaning = said.Meaning.Then(after)
	if !after.IsZero() && l.ConfirmedAt.IsZero() && l.NoWakeAt.IsZero() { // it had no time to
		said.Advice = call.Text{}
	}
	return said
}

// delivery adds what the vendor told of the push to a device whose app has not
// confirmed. Its advice is nearer to the cause than what is said without it.
func (n *narrator) delivery(l *call.Leg, said call.Explanation) call.Explanation {
	r := n.history(l.ID).receipt(n.until)
	if r == nil {
		return said
	}
	told := n.vendors.ExplainReceipt(r.Channel, r.Result)
	said.Meaning = said.Meaning.Then(told.Meaning)
	if !told.Advice.IsZero() {
		said.Advice = told.Advice
	}
	return said
}

// unwoken says how the vendor answered the pushes to a device.
func (n *narrator) unwoken(l *call.Leg) call.Explanation {
	h := n.history(l.ID)
	last, tries := h.lastAttempt(), len(h.attempts)
	said := n.explain(last, l)
	told := call.Say("%s was not woken: %s.", "设备 %s 未被唤醒：%s。").With(l.DeviceID, answered(last))
	if tries > 1 {
		told = call.Say("%s was not woken in %d attempts; the last one: %s.", "设备 %s 经 %d 次推送仍未被唤醒，最后一次：%s。").With(l.DeviceID, tries, answered(last))
	}
	said.Meaning = told.Then(said.Meaning)
	return said
}

// refused words a device whose system did not show the call.
func (n *narrator) refused(l *call.Leg) call.Explanation {
	said := call.Explanation{Meaning: call.Say("%s could not show the call.", "设备 %s 未能展示来电。").With(l.DeviceID)}
	if told := n.history(l.ID).closing(l); told != nil && told.Event == call.ReportNotReported {
		why := told.Explain()
		said.Meaning, said.Advice = said.Meaning.Then(why.Meaning), why.Advice
	}
	return said
}

// failed says why a wake or an app failed.
func (n *narrator) failed(l *call.Leg) call.Explanation {
	device, h := l.DeviceID, n.history(l.ID)
	last, gate, told := h.lastAttempt(), h.gate(l), h.closing(l)
	switch {
	case l.Reason.Region() && gate != nil:
		return call.Explanation{Meaning: call.Say("%s woke, but %s.", "设备 %s 已唤醒，但%s。").With(device, unsuited(l.Reason, gate.Region)), Advice: l.Reason.Advice()}
	case l.Reason != "" && last != nil && last.Reason == l.Reason:
		return n.unwoken(l)
	case l.Reason != "":
		return call.Explanation{Meaning: call.Say("%s did not ring.", "设备 %s 没有振铃。").With(device).Then(l.Reason.Meaning()), Advice: l.Reason.Advice()}
	case !l.AnsweredAt.IsZero():
		return n.brokeOff(l, told)
	case told != nil && told.Event == call.ReportNotReported:
		return n.refused(l)
	case told != nil:
		return call.Explanation{
			Meaning: call.Say("The app on %s hung up before an answer, and did not say that the user rejected.", "设备 %s 上的应用在接听前挂断，且没有上报用户拒接。").With(device),
			Advice:  call.Say("See the app's log. A user's refusal is to be reported as rejected.", "请查看应用日志；用户拒接应上报 rejected。"),
		}
	}
	return call.Explanation{
		Meaning: call.Say("The app on %s woke, and lost the call.", "设备 %s 上的应用已唤醒，但丢失了该呼叫。").With(device),
		Advice:  call.Say("See the app's log: it may have been ended by the system or by the user.", "请查看应用日志：应用可能被系统或用户结束。"),
	}
}

// brokeOff words a device that answered and then lost the call.
func (n *narrator) brokeOff(l *call.Leg, told *call.Report) call.Explanation {
	said := call.Explanation{
		Meaning: call.Say("The call broke off on %s.", "设备 %s 接听后通话中断。").With(l.DeviceID),
		Advice:  call.Say("See the app's log: it no longer had the call.", "请查看应用日志：应用已不再持有该通话。"),
	}
	if told != nil && told.Event == call.ReportNotReported {
		why := told.Explain()
		said = call.Explanation{Meaning: said.Meaning.Then(why.Meaning), Advice: why.Advice}
	}
	return said
}

// mostTold is how many devices' problems the summary of a call lists.
const mostTold = 3

// summary says for the whole call why it rang or did not, and who was told that
// it was missed.
func (n *narrator) summary() call.Text { return n.rang().Then(n.told()) }

func (n *narrator) rang() call.Text {
	c := n.call
	if c.Direction == call.Outgoing {
		return n.outgoing()
	}
	var rang []string
	var silent []*call.Leg
	for i := range c.Legs {
		if l := &c.Legs[i]; !l.RingingAt.IsZero() {
			rang = append(rang, l.DeviceID)
		} else {
			silent = append(silent, l)
		}
	}
	switch {
	case c.AnsweredBy != "":
		said := call.Say("It rang on %s, and %s answered.", "呼叫在设备 %s 上振铃，由设备 %s 接听。").With(names(rang), c.AnsweredBy)
		if len(rang) == 1 {
			said = call.Say("It rang on %s, which answered.", "呼叫在设备 %s 上振铃并被接听。").With(c.AnsweredBy)
		}
		if c.EndReason == call.EndFailed {
			said = said.Then(n.leg(c.Winner()).Meaning)
		}
		return said
	case rang != nil && c.EndReason == call.EndMissed:
		return call.Say("It rang on %s. Nobody answered.", "呼叫在设备 %s 上振铃，无人接听。").With(names(rang))
	case rang != nil:
		return call.Say("It rang on %s.", "呼叫在设备 %s 上振铃。").With(names(rang)).Then(c.EndReason.Meaning())
	case len(c.Legs) == 0:
		return noDevices(call.Say("It did not ring.", "呼叫没有振铃。")).Meaning
	case c.Live():
		return n.troubles(call.Say("It has not rung yet.", "呼叫尚未振铃。"), silent)
	}
	return n.troubles(call.Say("It did not ring.", "呼叫没有振铃。"), silent)
}

// troubles lists what kept devices from ringing.
func (n *narrator) troubles(said call.Text, legs []*call.Leg) call.Text {
	for _, l := range legs[:min(mostTold, len(legs))] {
		said = said.Then(n.leg(l).Meaning)
	}
	if more := len(legs) - mostTold + n.call.MoreSkipped; more > 0 {
		said = said.Then(call.Say("%d more did not ring; see each device.", "另有 %d 台设备未振铃，详见各设备的说明。").With(more))
	}
	return said
}

// dialed words the leg of a device that started the call.
func (n *narrator) dialed(l *call.Leg) call.Explanation {
	switch l.Status {
	case call.LegConfirmed:
		return call.Explanation{Meaning: call.Say("%s is calling.", "设备 %s 正在呼叫。").With(l.DeviceID)}
	case call.LegActive, call.LegHeld:
		return call.Explanation{Meaning: legStates[l.Status].With(l.DeviceID)}
	}
	said := call.Explanation{Meaning: call.Say("The call of %s is over.", "设备 %s 的呼叫已结束。").With(l.DeviceID)}
	if told := n.history(l.ID).closing(l); told != nil && told.Event == call.ReportNotReported {
		why := told.Explain()
		said.Meaning, said.Advice = said.Meaning.Then(why.Meaning), why.Advice
	}
	return said
}

func (n *narrator) outgoing() call.Text {
	c := n.call
	said := call.Say("The far end did not answer.", "对端没有接听。")
	switch {
	case c.EndReason == call.EndMissed:
		return call.Say("A device started the call. The far end did not answer within %d seconds.", "该呼叫由设备发起。对端 %d 秒内没有接听。").With(int(call.DialingLimit.Seconds()))
	case !c.AnsweredAt.IsZero():
		said = call.Say("The far end answered.", "对端已接听。")
	case c.Live():
		said = call.Say("The far end has not answered yet.", "对端尚未接听。")
	}
	return call.Say("A device started the call.", "该呼叫由设备发起。").Then(said).Then(c.EndReason.Meaning())
}
