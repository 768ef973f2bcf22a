package api

import (
	"cmp"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/store"
)

// purposes words an attempt by its purpose: its number, the device, the
// channel, and the outcome.
var purposes = map[call.Purpose]call.Text{
	call.PurposeRing:       call.Say("Attempt %d to wake %s over %s: %s.", "第 %d 次唤醒设备 %s（%s）：%s。"),
	call.PurposeMissedCall: call.Say("Attempt %d to tell %s of the missed call over %s: %s.", "第 %d 次通知设备 %s 有未接来电（%s）：%s。"),
	call.PurposeRevoke:     call.Say("Attempt %d to take the notification back from %s over %s: %s.", "第 %d 次撤回设备 %s 上的来电通知（%s）：%s。"),
}

// isNotice reports whether an attempt was for a notice and not for a wake.
func isNotice(a *store.Attempt) bool { return cmp.Or(a.Purpose, call.PurposeRing) != call.PurposeRing }

// keepsTrying is the advice for a notice while its vendor is unavailable.
var keepsTrying = call.Say("relay goes on trying for %d minutes. If it lasts, run `relay doctor`.", "relay 会在 %d 分钟内持续重试；若持续出现，请运行 `relay doctor` 检查。").
	With(int(call.NoticePatience.Minutes()))

// ofNotice is what a vendor's answer to a notice means, of which no confirm and
// no ring depends.
func ofNotice(a *store.Attempt, said call.Explanation) call.Explanation {
	switch a.Outcome {
	case "accepted":
		return call.Explanation{}
	case "unavailable":
		said.Advice = keepsTrying
	}
	return said
}

// unsent is why a notice was given up, where the reason's own words speak of a
// wake.
var unsent = map[call.Reason]call.Text{
	call.ReasonVendorThrottled:   call.Say("The push vendor limited the rate.", "推送服务限流。"),
	call.ReasonVendorUnavailable: call.Say("The push vendor did not answer, or failed.", "推送服务无响应或出错。"),
	call.ReasonDeadlinePassed:    call.Say("It was tried for %d minutes.", "已持续重试 %d 分钟。").With(int(call.NoticePatience.Minutes())),
}

// notice words a notice that was given up.
func (n *narrator) notice(device string, e *store.NoticeEntry) call.Explanation {
	if e.Purpose == call.PurposeRevoke && e.Reason == call.ReasonChannelNotConfigured {
		return call.Explanation{
			Meaning: call.Say("The notification on %s was not taken back: the app's credential for %s names no client id.", "设备 %s 上的来电通知没有撤回：该应用的 %s 凭据中没有 Client ID。").With(device, vendorOf(e.Channel)),
			Advice: call.Say("Store the key file again with the app's client id: `relay app credential … --client-id`.",
				"请带上应用的 Client ID 重新配置密钥文件：`relay app credential … --client-id`。"),
		}
	}
	said := call.Say("%s was not told of the missed call.", "没有通知设备 %s 有未接来电。")
	if e.Purpose == call.PurposeRevoke {
		said = call.Say("The notification on %s was not taken back.", "设备 %s 上的来电通知没有撤回。")
	}
	why, own := unsent[e.Reason]
	out := call.Explanation{Meaning: said.With(device)}
	if !own {
		why, out.Advice = e.Reason.Meaning(), e.Reason.Advice()
	}
	out.Meaning = out.Meaning.Then(why)
	return out
}

// told says whose devices were told of a missed call; zero where none was.
func (n *narrator) told() call.Text {
	var told, untold []string
	for i := range n.call.Legs {
		l := &n.call.Legs[i]
		switch h := n.history(l.ID); {
		case h.told:
			told = append(told, l.DeviceID)
		case h.untold:
			untold = append(untold, l.DeviceID)
		}
	}
	var said call.Text
	if told != nil {
		said = call.Say("A notice of the missed call was sent to %s.", "已向设备 %s 发送未接来电通知。").With(names(told))
	}
	if untold != nil {
		said = said.Then(call.Say("None could be sent to %s.", "未能向设备 %s 发送未接来电通知。").With(names(untold)))
	}
	return said
}
