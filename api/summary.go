package api

import (
	"github.com/google/uuid"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/store"
)

// legWordsJSON is what became of one device, for somebody who reads nothing else.
type legWordsJSON struct {
	DeviceID string  `json:"device_id"`
	Text     string  `json:"text"`
	Advice   *string `json:"advice"`
}

// legFacts is what of a timeline explains one leg.
type legFacts struct {
	attempt *store.Attempt     // the last one
	refusal *store.ReportEntry // the not_reported that counted
}

func factsOf(entries []store.Entry) map[uuid.UUID]*legFacts {
	facts := map[uuid.UUID]*legFacts{}
	for _, e := range entries {
		if e.LegID == uuid.Nil {
			continue
		}
		f := facts[e.LegID]
		if f == nil {
			f = &legFacts{}
			facts[e.LegID] = f
		}
		switch {
		case e.Attempt != nil:
			f.attempt = e.Attempt
		case e.Report != nil && e.Report.Event == call.ReportNotReported && e.Report.Refused == "" && e.Report.FailureCause != call.CauseRouteBusy:
			f.refusal = e.Report
		}
	}
	return facts
}

// summarize answers in a sentence or two why a call rang or did not, and the
// same for each of its devices.
func (s *server) summarize(c call.Call, entries []store.Entry, l call.Language) (summary string, legs []legWordsJSON) {
	facts := factsOf(entries)
	rang := 0
	legs = make([]legWordsJSON, len(c.Legs))
	items := call.Text{}
	for i, leg := range c.Legs {
		f := facts[leg.ID]
		if f == nil {
			f = &legFacts{}
		}
		e := s.explainLeg(&c, leg, *f)
		legs[i] = legWordsJSON{leg.DeviceID, e.Meaning.In(l), orNull(e.Advice.In(l))}
		items = items.Then(call.Say("%s: %s", "%s：%s").With(leg.DeviceID, e.Meaning))
		if !leg.RingingAt.IsZero() {
			rang++
		}
	}
	var text call.Text
	switch {
	case c.Direction == call.Outgoing:
		text = call.Say("A device dialled this call.", "该呼叫由设备拨出。").Then(c.EndReason.Meaning())
	case len(c.Legs) == 0:
		text = call.Say("The call did not ring: the callee has no device.", "呼叫未振铃：被叫没有注册任何设备。")
	case rang > 0:
		text = call.Say("The call rang on %d of %d devices.", "呼叫在 %d 台设备上振铃（共 %d 台）。").With(rang, len(c.Legs)).Then(c.EndReason.Meaning())
	case c.Live():
		text = call.Say("The call has not rung yet.", "呼叫尚未振铃。").Then(items)
	default:
		text = call.Say("The call did not ring.", "呼叫未振铃。").Then(items)
	}
	return text.In(l), legs
}

// explainLeg says what became of a device and what to do about it.
func (s *server) explainLeg(c *call.Call, l call.Leg, f legFacts) call.Explanation {
	switch {
	case l.Status == call.LegSkipped || l.Reason.Region():
		e := call.Explanation{Meaning: l.Reason.Meaning(), Advice: l.Reason.Advice()}
		if l.Reason.Region() {
			e.Meaning = e.Meaning.Then(saidOfRegion(l.Decision.Region))
		}
		return e
	case f.refusal != nil && l.RingingAt.IsZero():
		e := f.refusal.Explain()
		return call.Explanation{Meaning: call.Say("The app woke, and its system did not show the call.", "应用已被唤醒，但系统没有展示来电。").Then(e.Meaning), Advice: e.Advice}
	case !l.RingingAt.IsZero():
		return call.Explanation{Meaning: call.Say("It rang, and is %s.", "已振铃，最终状态为 %s。").With(l.Status)}
	case !l.ConfirmedAt.IsZero():
		return call.Explanation{
			Meaning: call.Say("The app woke and never reported that it rings.", "应用已被唤醒，但从未上报振铃。"),
			Advice:  call.Say("See the app's log from its confirm on.", "请查看应用在 confirm 之后的日志。"),
		}
	case !l.HandedOverAt.IsZero():
		e := call.Explanation{
			Meaning: call.Say("%s took the push, and the app never said that it is awake.", "%s 接受了推送，但应用从未确认被唤醒。").With(vendorNames[l.Channel.Vendor()]),
			Advice:  l.Channel.Unconfirmed(),
		}
		if c.Live() {
			e.Meaning = call.Say("%s took the push; the app has not confirmed yet.", "%s 接受了推送，应用尚未确认。").With(vendorNames[l.Channel.Vendor()])
		}
		return e
	case f.attempt != nil:
		e := s.Vendors.Explain(f.attempt.Channel, f.attempt.Code, f.attempt.Status)
		if e.Advice.IsZero() {
			e.Advice = l.Reason.Advice()
		}
		return call.Explanation{Meaning: s.saidOfAttempt(*f.attempt), Advice: e.Advice}
	case l.Reason != "":
		return call.Explanation{Meaning: l.Reason.Meaning(), Advice: l.Reason.Advice()}
	case c.Live():
		return call.Explanation{Meaning: call.Say("It is being woken.", "正在唤醒。")}
	}
	return call.Explanation{Meaning: call.Say("The call ended before its push was answered.", "呼叫在推送得到应答之前已结束。")}
}
