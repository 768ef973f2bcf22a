package api

import (
	"strings"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/store"
)

// The timeline in words: what happened, one sentence or two an entry. Names of
// people and tokens are in none.

var vendorNames = map[call.Vendor]string{call.PushKit: "Push Kit", call.APNs: "APNs"}

// said puts an entry into words.
func (s *server) said(e store.Entry) call.Text {
	switch {
	case e.Decision != nil:
		return saidOfDecision(e.DeviceID, *e.Decision)
	case e.Attempt != nil:
		return s.saidOfAttempt(*e.Attempt)
	case e.Confirm != nil:
		return saidOfConfirm(e.DeviceID, *e.Confirm)
	case e.Report != nil:
		return saidOfReport(e.DeviceID, *e.Report)
	case e.Leg != nil:
		return call.Say("%s is now %s.", "%s 的状态变为 %s。").With(e.DeviceID, e.Leg.Status).Then(e.Leg.Reason.Meaning())
	}
	return saidOfEvent(e.Event.Type, e.Call)
}

func saidOfDecision(device string, d call.Decision) call.Text {
	if d.Reason == "" {
		return call.Say("%s may be woken over %s, and shows the call as %s.", "%s 可通过 %s 唤醒，以 %s 展示来电。").With(device, d.Channel, d.Presentation).
			Then(saidOfRegion(d.Region))
	}
	text := call.Say("%s was skipped.", "%s 被跳过。").With(device).Then(d.Reason.Meaning())
	if d.Reason.Region() {
		text = text.Then(saidOfRegion(d.Region))
	}
	return text
}

// saidOfRegion tells the evidence that counted: a country with its sources.
func saidOfRegion(v call.RegionVerdict) call.Text {
	var countries []string
	sources := map[string][]string{}
	for _, signal := range v.Signals {
		if signal.Use != call.UseDecided && signal.Use != call.UseConflict {
			continue
		}
		if sources[signal.Country] == nil {
			countries = append(countries, signal.Country)
		}
		sources[signal.Country] = append(sources[signal.Country], string(signal.Source))
	}
	if len(countries) == 0 {
		return call.Say("No evidence of its region counts.", "没有可用的地区信息。")
	}
	items := make([]call.Text, len(countries))
	for i, country := range countries {
		items[i] = call.Say("%s by %s", "%s（依据 %s）").With(country, strings.Join(sources[country], ", "))
	}
	if len(items) > 1 {
		return call.Say("The signals of its region disagree: %s.", "各项地区信息相互矛盾：%s。").With(call.List(items))
	}
	return call.Say("Its region: %s.", "其所在地区：%s。").With(items[0])
}

// saidOfAttempt tells what the vendor answered, and what that means.
func (s *server) saidOfAttempt(a store.Attempt) call.Text {
	vendor := vendorNames[a.Channel.Vendor()]
	meaning := s.Vendors.Explain(a.Channel, a.Code, a.Status).Meaning
	switch {
	case a.Outcome == "abandoned":
		return call.Say("Attempt %d over %s was given up by its process: %s.", "第 %d 次推送（%s）被其进程放弃：%s。").With(a.Number, a.Channel, a.Message)
	case a.Outcome == "accepted":
		return call.Say("Attempt %d: %s took the push over %s.", "第 %d 次推送：%s 接受了 %s 消息。").With(a.Number, vendor, a.Channel)
	case a.Status == 0:
		return call.Say("Attempt %d over %s: %s.", "第 %d 次推送（%s）：%s。").With(a.Number, a.Channel, strings.TrimSuffix(a.Message, ".")).Then(meaning)
	}
	return call.Say("Attempt %d: %s answered HTTP %d %s.", "第 %d 次推送：%s 应答 HTTP %d %s。").With(a.Number, vendor, a.Status, a.Code).Then(meaning)
}

func saidOfConfirm(device string, c store.ConfirmEntry) call.Text {
	if c.Verdict == call.VerdictRing {
		return call.Say("The app on %s is awake (%s) and was told to ring.", "%s 上的应用已被唤醒（%s），并被告知振铃。").With(device, c.Source)
	}
	return call.Say("The app on %s is awake (%s) and was told to stop: %s.", "%s 上的应用已被唤醒（%s），但被告知停止：%s。").With(device, c.Source, c.Reason)
}

func saidOfReport(device string, r store.ReportEntry) call.Text {
	text := call.Say("%s reported %s.", "%s 上报 %s。").With(device, r.Event)
	if r.Event == call.ReportNotReported {
		text = text.Then(r.Explain().Meaning)
	}
	if r.Refused != "" {
		text = text.Then(call.Say("It was refused: %s.", "该上报被拒绝：%s。").With(r.Refused))
	}
	return text
}

var eventSaid = map[call.EventType]call.Text{
	call.EventCallCreated:  call.Say("The call was taken in.", "呼叫已受理。"),
	call.EventCallRinging:  call.Say("The call rings.", "呼叫正在振铃。"),
	call.EventCallAnswered: call.Say("The call is answered.", "呼叫已被接听。"),
	call.EventCallActive:   call.Say("The call is active.", "通话已建立。"),
}

func saidOfEvent(e call.EventType, c *call.Call) call.Text {
	if e == call.EventCallEnded {
		return call.Say("The call ended: %s.", "呼叫结束：%s。").With(c.EndReason).Then(c.EndReason.Meaning())
	}
	return eventSaid[e]
}

// advised is what to do about an entry.
func (s *server) advised(e store.Entry) call.Text {
	switch {
	case e.Decision != nil:
		return e.Decision.Reason.Advice()
	case e.Attempt != nil:
		return s.Vendors.Explain(e.Attempt.Channel, e.Attempt.Code, e.Attempt.Status).Advice
	case e.Confirm != nil:
		return call.Reason(e.Confirm.Reason).Advice()
	case e.Report != nil && e.Report.Event == call.ReportNotReported:
		return e.Report.Explain().Advice
	case e.Report != nil:
		return call.Text{}
	case e.Leg != nil && e.Leg.Status == call.LegNoWake:
		return e.Leg.Channel.Unconfirmed()
	case e.Leg != nil:
		return e.Leg.Reason.Advice()
	case e.Event.Type == call.EventCallEnded:
		return e.Call.EndReason.Advice()
	}
	return call.Text{}
}
