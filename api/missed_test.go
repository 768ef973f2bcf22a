package api_test

import (
	"testing"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/push"
	"github.com/pushwake/relay/store"
)

// sent is an attempt to send a notice.
func (s *story) sent(device string, p call.Purpose, o push.Outcome, status int, code string, message string) *story {
	s.later(1)
	s.note(device, store.Entry{Attempt: &store.Attempt{
		Purpose: p, Number: 1, Channel: s.leg(device).Platform.NoticeChannel(), Outcome: string(o), Status: status, Code: code, Message: message,
	}})
	return s
}

// unsent is a notice that was given up.
func (s *story) unsent(device string, p call.Purpose, r call.Reason) *story {
	s.later(1)
	s.note(device, store.Entry{Notice: &store.NoticeEntry{Purpose: p, Channel: s.leg(device).Platform.NoticeChannel(), Reason: r}})
	return s
}

// TestNoticesInWords: what became of each notice is told in both languages, and
// no wake is taken for one.
func TestNoticesInWords(t *testing.T) {
	t.Parallel()
	const missed, revoke = call.PurposeMissedCall, call.PurposeRevoke
	ring := func() *story {
		return tell(t, decisionOn("d1")).attempt("d1", push.Accepted, 200, "80000000", "").expire()
	}
	for name, c := range map[string]struct {
		story            *story
		english, chinese string
		advised          bool
	}{
		"sent": {
			ring().sent("d1", missed, push.Accepted, 200, "80000000", ""),
			"Attempt 1 to tell d1 of the missed call over push_kit_alert: Push Kit accepted the push (HTTP 200, 80000000).",
			"第 1 次通知设备 d1 有未接来电（push_kit_alert）：Push Kit 已接受推送（HTTP 200, 80000000）。", false,
		},
		"vendor away": {
			ring().sent("d1", missed, push.Unavailable, 0, "", "no answer: timeout"),
			"Attempt 1 to tell d1 of the missed call over push_kit_alert: Push Kit gave no answer (timeout).",
			"第 1 次通知设备 d1 有未接来电（push_kit_alert）：Push Kit 没有应答（timeout）。", true,
		},
		"taken back": {
			ring().sent("d1", revoke, push.Accepted, 200, "80000000", ""),
			"Attempt 1 to take the notification back from d1 over push_kit_alert: Push Kit accepted the push (HTTP 200, 80000000).",
			"第 1 次撤回设备 d1 上的来电通知（push_kit_alert）：Push Kit 已接受推送（HTTP 200, 80000000）。", false,
		},
		"abandoned": {
			ring().sent("d1", missed, push.Abandoned, 0, "", ""),
			"Attempt 1 to tell d1 of the missed call over push_kit_alert: the process of relay that sent it stopped before an answer was recorded; Push Kit may have the push.",
			"第 1 次通知设备 d1 有未接来电（push_kit_alert）：发送推送的 relay 进程在记录应答前停止；Push Kit 可能已收到推送。", false,
		},
		"no token": {
			ring().unsent("d1", missed, call.ReasonNoToken),
			"d1 was not told of the missed call. The app registered no push token for the channel.", "没有通知设备 d1 有未接来电。应用没有注册该通道的推送 Token。", true,
		},
		"too late": {
			ring().unsent("d1", missed, call.ReasonDeadlinePassed),
			"d1 was not told of the missed call. It was tried for 10 minutes.", "没有通知设备 d1 有未接来电。已持续重试 10 分钟。", false,
		},
		"not taken back": {
			ring().unsent("d1", revoke, call.ReasonVendorUnavailable),
			"The notification on d1 was not taken back. The push vendor did not answer, or failed.", "设备 d1 上的来电通知没有撤回。推送服务无响应或出错。", false,
		},
		"no client id": {
			ring().unsent("d1", revoke, call.ReasonChannelNotConfigured),
			"The notification on d1 was not taken back: the app's credential for Push Kit names no client id.", "设备 d1 上的来电通知没有撤回：该应用的 Push Kit 凭据中没有 Client ID。", true,
		},
	} {
		told := c.story.told()
		last := told.Entries[len(told.Entries)-1]
		if got := last.Meaning.In(call.English); got != c.english {
			t.Errorf("%s: %q, want %q", name, got, c.english)
		}
		if got := last.Meaning.In(call.Chinese); got != c.chinese {
			t.Errorf("%s: %q, want %q", name, got, c.chinese)
		}
		if last.Advice.IsZero() == c.advised {
			t.Errorf("%s: advice %q", name, last.Advice.In(call.English))
		}
		const leg = "Push Kit accepted the push for d1, but the app never confirmed that it woke."
		if got := told.Legs[0].Meaning.In(call.English); got != leg {
			t.Errorf("%s: the leg is told as %q", name, got)
		}
	}
}

// TestSummaryOfNotices says who was told.
func TestSummaryOfNotices(t *testing.T) {
	t.Parallel()
	const missed = call.PurposeMissedCall
	s := tell(t, decisionOn("d1"), decisionOn("d2"), decisionOn("d3")).event("d1", call.ReportRinging).expire()
	s.sent("d1", missed, push.Accepted, 200, "80000000", "").sent("d2", missed, push.Accepted, 200, "80000000", "").unsent("d3", missed, call.ReasonTokenDead)
	s.unsent("d1", call.PurposeRevoke, call.ReasonChannelNotConfigured) // of no interest here
	summary := s.told().Summary
	if got, want := summary.In(call.English), "It rang on d1. Nobody answered. A notice of the missed call was sent to d1 and d2. None could be sent to d3."; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := summary.In(call.Chinese), "呼叫在设备 d1 上振铃，无人接听。已向设备 d1、d2 发送未接来电通知。未能向设备 d3 发送未接来电通知。"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
