package api_test

import (
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/uuid"

	"github.com/pushwake/relay/api"
	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/push"
	"github.com/pushwake/relay/store"
)

// story is a call that a test plays step by step, with what the timeline has of
// it.
type story struct {
	t       testing.TB
	call    call.Call
	now     time.Time
	entries []store.Entry
}

// decisionOn is the decision about a phone in mainland China.
func decisionOn(device string, edit ...func(*call.Decision)) call.Decision {
	d := call.Decision{
		Device:  call.Device{ID: device, UserID: "u2", Platform: call.HarmonyOS, Type: call.Phone, SystemVersion: "6.1.0(23)"},
		Channel: call.PushKitVoIP, Presentation: call.CallServiceKit, Region: located("CN", call.FromSIM, call.FromNetwork), RulesVersion: "2026-11",
	}
	for _, e := range edit {
		e(&d)
	}
	return d
}

func located(country string, by ...call.EvidenceSource) call.RegionVerdict {
	v := call.RegionVerdict{Area: call.AreaOther, Country: country}
	for _, s := range by {
		v.Signals = append(v.Signals, call.Signal{Source: s, Country: country, Use: call.UseDecided})
	}
	return v
}

// unclear is the verdict of signals that were all used alike.
func unclear(use call.SignalUse, signals ...call.Signal) call.RegionVerdict {
	for i := range signals {
		signals[i].Use = use
	}
	return call.RegionVerdict{Area: call.AreaUnknown, Signals: signals}
}

func because(r call.Reason) func(*call.Decision) { return func(d *call.Decision) { d.Reason = r } }

func over(c call.Channel, p call.Presentation) func(*call.Decision) {
	return func(d *call.Decision) { d.Channel, d.Presentation, d.Device.Platform = c, p, call.IOS }
}

func tell(t testing.TB, plan ...call.Decision) *story {
	s := &story{t: t, now: time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)}
	s.call = call.Call{ID: uuid.New(), Media: call.Video, VoiceAnswer: true, RejectPolicy: call.RejectAll, MaxDuration: time.Hour}
	s.call.Invite(plan, call.DefaultRing, s.now, uuid.New)
	return s
}

func (s *story) leg(device string) *call.Leg { return s.call.LegOf(device) }

// later is some seconds later.
func (s *story) later(seconds int) time.Time {
	s.now = s.now.Add(time.Duration(seconds) * time.Second)
	return s.now
}

func (s *story) note(device string, e store.Entry) {
	e.At, e.LegID, e.DeviceID = s.now, s.leg(device).ID, device
	s.entries = append(s.entries, e)
}

// attempt is one request to the device's vendor and what it came to.
func (s *story) attempt(device string, o push.Outcome, status int, code string, r call.Reason, message ...string) *story {
	l := s.leg(device)
	s.later(1)
	s.note(device, store.Entry{Attempt: &store.Attempt{
		Number: len(s.entries) + 1, Channel: l.WakeChannel, StartedAt: s.now, Outcome: string(o), Status: status, Code: code, Reason: r, Message: strings.Join(message, ""),
	}})
	if o == push.Accepted {
		s.call.HandOver(l.ID, s.now)
	}
	return s
}

// silent lets time pass in which the app does not confirm, and does what is due
// after it. The ring goes on.
func (s *story) silent(device string, seconds int) *story {
	l := s.leg(device)
	s.call.ExpiresAt = s.later(seconds).Add(time.Minute)
	d := l.Decision.Device
	d.Tokens = map[call.TokenName]call.Token{}
	for _, name := range call.TokenNames {
		d.Tokens[name] = call.Token{Value: "T", State: call.TokenAlive}
	}
	s.call.WakeAgain(l.ID, call.DefaultPolicy(), d, map[call.Channel]bool{call.PushKitVoIP: true, call.PushKitAlert: true, call.APNsAlert: true}, s.now)
	s.call.MarkNoWake(l.ID, s.now)
	return s
}

// giveUp ends the wake for a reason.
func (s *story) giveUp(device string, r call.Reason) *story {
	s.call.FailWake(s.leg(device).ID, r, s.later(1))
	return s
}

func gateOf(v *call.RegionVerdict) *store.Gate {
	if v == nil {
		return nil
	}
	return &store.Gate{Region: *v, RulesVersion: "2026-11"}
}

func (s *story) confirm(device string, gate call.Reason, region *call.RegionVerdict) *story {
	l := s.leg(device)
	answer, err := s.call.Confirm(l.ID, call.Confirmation{Source: call.SourcePush}, gate, s.later(1))
	if err != nil {
		answer = call.Answer{Verdict: call.VerdictStop, Reason: string(l.Reason)}
	}
	s.note(device, store.Entry{Confirm: &store.ConfirmEntry{Confirmation: call.Confirmation{Source: call.SourcePush}, Answer: answer, Gate: gateOf(region)}})
	return s
}

func (s *story) report(device string, r call.Report) *story {
	l := s.leg(device)
	r.Seq = l.LastSeq + 1
	if err := s.call.Report(l.ID, r, "", s.later(1)); err != nil {
		s.t.Fatal(err)
	}
	s.note(device, store.Entry{Report: &store.ReportEntry{Report: r}})
	return s
}

func (s *story) event(device string, e call.ReportEvent) *story {
	return s.report(device, call.Report{Event: e})
}

func (s *story) expire() *story {
	s.now = s.call.ExpiresAt
	s.call.Expire(s.now)
	return s
}

func (s *story) told() api.Told { return api.Tell(vendors{}, s.call, s.entries) }

// TestLegsInWords: what became of a device is told in both languages, with what
// to do about it where something is.
func TestLegsInWords(t *testing.T) {
	t.Parallel()
	hongKong := located("HK", call.FromBackend)
	for name, c := range map[string]struct {
		story            *story
		english, chinese string
		advised          bool
	}{
		"region": {
			tell(t, decisionOn("d1", because(call.ReasonRegionNotSupported), func(d *call.Decision) { d.Region = located("HK", call.FromSIM, call.FromNetwork) })),
			"d1 was skipped: its system may not show calls in Hong Kong (known by the SIM and the network).", "设备 d1 未被唤醒：其系统在中国香港不能展示来电（依据：SIM 卡、移动网络）。", true,
		},
		"region abroad": {
			tell(t, decisionOn("d1", because(call.ReasonRegionNotSupported), func(d *call.Decision) { d.Region = located("SG", call.FromPhone) })),
			"d1 was skipped: its system may not show calls in Singapore (known by the phone number).", "设备 d1 未被唤醒：其系统在新加坡不能展示来电（依据：手机号）。", true,
		},
		"signals disagree": {
			tell(t, decisionOn("d1", because(call.ReasonRegionUnknown), func(d *call.Decision) {
				d.Region = unclear(call.UseConflict, call.Signal{Source: call.FromSIM, Country: "CN"}, call.Signal{Source: call.FromNetwork, Country: "TW"})
			})),
			"d1 was skipped: the signals of its region disagree (the SIM says mainland China and the network says Taiwan).", "设备 d1 未被唤醒：地区信号相互矛盾（SIM 卡：中国大陆、移动网络：中国台湾）。", true,
		},
		"signals are old": {
			tell(t, decisionOn("d1", because(call.ReasonRegionUnknown), func(d *call.Decision) {
				d.Region = unclear(call.UseStale, call.Signal{Source: call.FromSIM, Country: "CN"})
			})),
			"d1 was skipped: what is known of its region is older than 90 days (the SIM).", "设备 d1 未被唤醒：地区信号已超过 90 天（SIM 卡）。", true,
		},
		"an address abroad": {
			tell(t, decisionOn("d1", because(call.ReasonRegionUnknown), func(d *call.Decision) {
				d.Region = unclear(call.UseNotCounted, call.Signal{Source: call.FromIP, Country: "SG"})
			})),
			"d1 was skipped: only its IP address tells its region, and outside mainland China that does not count.", "设备 d1 未被唤醒：只有 IP 地址能说明地区，而中国大陆以外的 IP 地址不作为依据。", true,
		},
		"no signals": {
			tell(t, decisionOn("d1", because(call.ReasonRegionUnknown), func(d *call.Decision) { d.Region = unclear("") })),
			"d1 was skipped: nothing tells its region.", "设备 d1 未被唤醒：没有任何信息能说明其所在地区。", true,
		},
		"limit": {
			tell(t, decisionOn("d1", because(call.ReasonIncomingLimit), func(d *call.Decision) { d.Device.AliveIncoming = 3 })),
			"d1 was skipped: it already has 3 incoming calls, as many as its system allows.", "设备 d1 未被唤醒：它已有 3 路来电，达到系统上限。", true,
		},
		"a PC without a connection": {
			tell(t, decisionOn("d1", because(call.ReasonNotConnected), func(d *call.Decision) { d.Device.Type, d.Channel = call.PC, call.Connection })),
			"d1 was skipped: no push reaches a PC, and its app has no connection open.", "设备 d1 未被唤醒：PC 收不到推送，且应用没有保持连接。", true,
		},
		"over the limit of devices": {
			tell(t, decisionOn("d1", because(call.ReasonDeviceLimit))),
			"d1 was skipped. The user has more devices than a call goes to, and the others were heard from more recently.", "设备 d1 未被唤醒。用户的设备数超过一次呼叫的上限，其他设备最近更活跃。", true,
		},
		"do not disturb": {
			tell(t, decisionOn("d1", because(call.ReasonDND))),
			"d1 was skipped. The user asked not to be disturbed at this time.", "设备 d1 未被唤醒。用户设置了此时段免打扰。", true,
		},
		"refused after retries": {
			tell(t, decisionOn("d1")).attempt("d1", push.Unavailable, 0, "", call.ReasonVendorUnavailable, "no answer: timeout").
				attempt("d1", push.Refused, 400, "80300007/noPushTypeRight", call.ReasonVendorRefused).giveUp("d1", call.ReasonVendorRefused),
			"d1 was not woken in 2 attempts; the last one: Push Kit refused the push (HTTP 400, 80300007/noPushTypeRight). The app lacks the entitlement to this kind of message: in-app call messages (push-type 10), or for alerts the category VOIP.",
			"设备 d1 经 2 次推送仍未被唤醒，最后一次：Push Kit 拒绝了推送（HTTP 400, 80300007/noPushTypeRight）。应用没有该类消息的推送权益：应用内通话消息（push-type 10），通知则为 VOIP 类别。", true,
		},
		"nobody listens": {
			tell(t, decisionOn("d1", over(call.APNsVoIP, call.CallKit))).attempt("d1", push.Unavailable, 0, "", call.ReasonVendorUnavailable, "not sent: no connection: connection refused").giveUp("d1", call.ReasonVendorUnavailable),
			"d1 was not woken: APNs gave no answer (no connection: connection refused).", "设备 d1 未被唤醒：APNs 没有应答（no connection: connection refused）。", true,
		},
		"not sent": {
			tell(t, decisionOn("d1", over(call.APNsVoIP, call.CallKit))).attempt("d1", push.Refused, 0, push.NotSent, call.ReasonVendorRefused, "not sent: no bundle id").giveUp("d1", call.ReasonVendorRefused),
			"d1 was not woken: relay could not send the push (NotSent: no bundle id).", "设备 d1 未被唤醒：relay 无法发送推送（NotSent：no bundle id）。", true,
		},
		"no credential": {
			tell(t, decisionOn("d1")).giveUp("d1", call.ReasonChannelNotConfigured),
			"d1 did not ring. The app has no credential for the push channel, or one that cannot be used.", "设备 d1 没有振铃。该应用没有此推送通道的凭据，或凭据无法使用。", true,
		},
		"no confirm": {
			tell(t, decisionOn("d1")).attempt("d1", push.Accepted, 200, "80000000", "").expire(),
			"Push Kit accepted the push for d1, but the app never confirmed that it woke.", "Push Kit 已接受发往设备 d1 的推送，但应用始终没有确认被唤醒。", true,
		},
		"escalating": {
			tell(t, decisionOn("d1")).attempt("d1", push.Accepted, 200, "80000000", "").silent("d1", 8),
			"Push Kit accepted the push for d1, whose app has not confirmed yet. After 8 seconds without a confirm it was woken over push_kit_alert as well.",
			"Push Kit 已接受发往设备 d1 的推送，应用尚未确认。8 秒未确认后，又通过 push_kit_alert 唤醒。", false,
		},
		"escalated in vain": {
			tell(t, decisionOn("d1", over(call.APNsVoIP, call.CallKit))).attempt("d1", push.Accepted, 200, "", "").silent("d1", 9).attempt("d1", push.Accepted, 200, "", "").silent("d1", 10).expire(),
			"APNs accepted the push for d1, but the app never confirmed that it woke. After 9 seconds without a confirm it was woken over apns_alert as well: APNs accepted the push (HTTP 200).",
			"APNs 已接受发往设备 d1 的推送，但应用始终没有确认被唤醒。9 秒未确认后，又通过 apns_alert 唤醒：APNs 已接受推送（HTTP 200）。", true,
		},
		"woken once more": {
			tell(t, decisionOn("d1")).attempt("d1", push.Accepted, 200, "80000000", "").silent("d1", 8).attempt("d1", push.Refused, 400, "80300007/noRight", call.ReasonVendorRefused).
				silent("d1", 52).attempt("d1", push.Accepted, 200, "80000000", ""),
			"Push Kit accepted the push for d1, whose app has not confirmed within 15 seconds. It may still wake. After 8 seconds without a confirm it was woken over push_kit_alert as well: Push Kit refused the push (HTTP 400, 80300007/noRight). After 61 seconds another VoIP push followed, since Push Kit keeps none for longer: Push Kit accepted the push (HTTP 200, 80000000).",
			"Push Kit 已接受发往设备 d1 的推送，但应用 15 秒内未确认，之后仍可能唤醒。8 秒未确认后，又通过 push_kit_alert 唤醒：Push Kit 拒绝了推送（HTTP 400, 80300007/noRight）。61 秒后再次发送了 VoIP 消息，因为 Push Kit 不再保留前一条：Push Kit 已接受推送（HTTP 200, 80000000）。", true,
		},
		"nobody taps": {
			tell(t, decisionOn("d1", over(call.APNsAlert, call.Alert))).attempt("d1", push.Accepted, 200, "", "").expire(),
			"APNs accepted the notification for d1, but nobody opened it: its app never confirmed.", "APNs 已接受发往设备 d1 的通知，但没有人打开，应用始终没有确认。", true,
		},
		"awake and silent": {
			tell(t, decisionOn("d1")).confirm("d1", "", nil).expire(),
			"d1 woke and was told to ring, but never reported that it rings.", "设备 d1 已唤醒并被告知振铃，但从未上报振铃。", true,
		},
		"moved to Hong Kong": {
			tell(t, decisionOn("d1")).confirm("d1", call.ReasonRegionNotSupported, &hongKong),
			"d1 woke, but its system may not show calls in Hong Kong (known by the backend).", "设备 d1 已唤醒，但其系统在中国香港不能展示来电（依据：业务后台）。", true,
		},
		"cellular call": {
			tell(t, decisionOn("d1")).confirm("d1", "", nil).report("d1", call.Report{Event: call.ReportNotReported, ErrorReason: call.CellularCallExists}).event("d1", call.ReportDisconnected),
			"d1 could not show the call. The device is in a cellular call.", "设备 d1 未能展示来电。设备正在进行运营商通话。", true,
		},
		"invalid call": {
			tell(t, decisionOn("d1")).confirm("d1", "", nil).report("d1", call.Report{Event: call.ReportNotReported, ErrorReason: call.InvalidCall}),
			"d1 could not show the call. The system does not know the call by the id that the app gave.", "设备 d1 未能展示来电。系统不认识应用给出的通话 ID。", true,
		},
		"hung up": {
			tell(t, decisionOn("d1")).confirm("d1", "", nil).event("d1", call.ReportDisconnected),
			"The app on d1 hung up before an answer, and did not say that the user rejected.", "设备 d1 上的应用在接听前挂断，且没有上报用户拒接。", true,
		},
		"rang": {
			tell(t, decisionOn("d1")).event("d1", call.ReportRinging).expire(),
			"d1 rang, and nobody answered.", "设备 d1 振铃，无人接听。", false,
		},
		"rejected": {
			tell(t, decisionOn("d1")).event("d1", call.ReportRejected),
			"The user rejected the call on d1.", "用户在设备 d1 上拒接了呼叫。", false,
		},
		"answered": {
			tell(t, decisionOn("d1")).event("d1", call.ReportAnswered).event("d1", call.ReportDisconnected),
			"d1 took the call, which is over.", "设备 d1 接听了呼叫，通话已结束。", false,
		},
		"answered elsewhere": {
			tell(t, decisionOn("d1"), decisionOn("d2")).attempt("d1", push.Accepted, 200, "80000000", "").event("d2", call.ReportAnswered),
			"Push Kit accepted the push for d1, but the app never confirmed that it woke. Another device answered.", "Push Kit 已接受发往设备 d1 的推送，但应用始终没有确认被唤醒。其他设备接听了呼叫。", false,
		},
		"watch": {
			tell(t, decisionOn("d1", func(d *call.Decision) { d.Channel, d.Device.Type = call.Connection, call.Wearable })).expire(),
			"d1 was to hear of the call over its own connection, and never confirmed.", "设备 d1 应通过自身连接获知呼叫，但始终没有确认。", true,
		},
	} {
		got := c.story.told().Legs[0]
		if got.Meaning.In(call.English) != c.english || got.Meaning.In(call.Chinese) != c.chinese {
			t.Errorf("%s:\n%s\n%s\nwant\n%s\n%s", name, got.Meaning.In(call.English), got.Meaning.In(call.Chinese), c.english, c.chinese)
		}
		if got.Advice.IsZero() == c.advised {
			t.Errorf("%s: the advice is %q", name, got.Advice.In(call.English))
		}
	}
}

// TestSummaries: one or two sentences answer for the whole call.
func TestSummaries(t *testing.T) {
	t.Parallel()
	abroad := func(d *call.Decision) {
		d.Reason, d.Region = call.ReasonRegionNotSupported, located("HK", call.FromBackend)
	}
	for name, c := range map[string]struct {
		story            *story
		english, chinese string
	}{
		"nobody": {tell(t), "It did not ring. The callee has no registered device.", "呼叫没有振铃。被叫没有已注册的设备。"},
		"same trouble": {
			tell(t, decisionOn("d1", abroad), decisionOn("d2", abroad)),
			"It did not ring. d1 was skipped: its system may not show calls in Hong Kong (known by the backend). d2 was skipped: its system may not show calls in Hong Kong (known by the backend).",
			"呼叫没有振铃。设备 d1 未被唤醒：其系统在中国香港不能展示来电（依据：业务后台）。设备 d2 未被唤醒：其系统在中国香港不能展示来电（依据：业务后台）。",
		},
		"many troubles": {
			tell(t, decisionOn("d1", because(call.ReasonDND)), decisionOn("d2", because(call.ReasonDND)), decisionOn("d3", because(call.ReasonDND)), decisionOn("d4", abroad), decisionOn("d5", abroad)),
			"It did not ring. d1 was skipped. The user asked not to be disturbed at this time. d2 was skipped. The user asked not to be disturbed at this time. d3 was skipped. The user asked not to be disturbed at this time. 2 more did not ring; see each device.",
			"呼叫没有振铃。设备 d1 未被唤醒。用户设置了此时段免打扰。设备 d2 未被唤醒。用户设置了此时段免打扰。设备 d3 未被唤醒。用户设置了此时段免打扰。另有 2 台设备未振铃，详见各设备的说明。",
		},
		"on its way": {tell(t, decisionOn("d1")), "It has not rung yet. d1 is being woken over push_kit_voip.", "呼叫尚未振铃。正在唤醒设备 d1（push_kit_voip）。"},
		"missed": {
			tell(t, decisionOn("d1"), decisionOn("d2"), decisionOn("d3")).event("d1", call.ReportRinging).event("d3", call.ReportRinging).expire(),
			"It rang on d1 and d3. Nobody answered.", "呼叫在设备 d1、d3 上振铃，无人接听。",
		},
		"rings": {tell(t, decisionOn("d1")).event("d1", call.ReportRinging), "It rang on d1.", "呼叫在设备 d1 上振铃。"},
		"answered": {
			tell(t, decisionOn("d1"), decisionOn("d2")).event("d2", call.ReportRinging).event("d1", call.ReportAnswered),
			"It rang on d1 and d2, and d1 answered.", "呼叫在设备 d1、d2 上振铃，由设备 d1 接听。",
		},
		"broke off": {
			tell(t, decisionOn("d1")).event("d1", call.ReportAnswered).report("d1", call.Report{Event: call.ReportNotReported, FailureCause: call.CauseConnectionFailed}),
			"It rang on d1, which answered. The call broke off on d1. The app could not reach its call server.", "呼叫在设备 d1 上振铃并被接听。设备 d1 接听后通话中断。应用无法连接其通话服务器。",
		},
		"rejected": {tell(t, decisionOn("d1")).event("d1", call.ReportRinging).event("d1", call.ReportRejected), "It rang on d1. The callee refused the call.", "呼叫在设备 d1 上振铃。被叫拒接了呼叫。"},
	} {
		got := c.story.told().Summary
		if got.In(call.English) != c.english || got.In(call.Chinese) != c.chinese {
			t.Errorf("%s:\n%s\n%s\nwant\n%s\n%s", name, got.In(call.English), got.In(call.Chinese), c.english, c.chinese)
		}
	}
}

// TestOutgoingInWords: a device that started a call itself is not told to ring.
func TestOutgoingInWords(t *testing.T) {
	t.Parallel()
	dialing := func() *story {
		s := tell(t)
		s.call = call.Call{ID: uuid.New(), Media: call.Voice, MaxDuration: time.Hour}
		s.call.Dial(decisionOn("d1"), s.now, uuid.New)
		return s
	}
	for name, c := range map[string]struct {
		story        *story
		summary, leg string
	}{
		"dialing":  {dialing(), "A device started the call. The far end has not answered yet.", "d1 is calling."},
		"missed":   {dialing().expire(), "A device started the call. The far end did not answer within 120 seconds.", "The call of d1 is over."},
		"answered": {dialing().event("d1", call.ReportActive), "A device started the call. The far end answered.", "d1 is in the call."},
		"refused": {
			dialing().report("d1", call.Report{Event: call.ReportNotReported, ErrorReason: call.CellularCallExists}),
			"A device started the call. The far end did not answer. Nobody refused the call, and a device was in another one or had as many as its system allows.",
			"The call of d1 is over. The device is in a cellular call.",
		},
	} {
		told := c.story.told()
		if summary, leg := told.Summary.In(call.English), told.Legs[0].Meaning.In(call.English); summary != c.summary || leg != c.leg {
			t.Errorf("%s:\n%s\n%s\nwant\n%s\n%s", name, summary, leg, c.summary, c.leg)
		}
	}
}

// TestEveryEntryIsTold: whatever happens is told in whole sentences of both
// languages.
func TestEveryEntryIsTold(t *testing.T) {
	t.Parallel()
	s := tell(t, decisionOn("d1"), decisionOn("d2", because(call.ReasonNoToken)))
	for _, r := range append(call.Reasons, "") {
		d := decisionOn("d1", because(r))
		s.note("d1", store.Entry{Decision: &d})
		s.note("d1", store.Entry{Confirm: &store.ConfirmEntry{Confirmation: call.Confirmation{Source: call.SourceConnection}, Answer: call.Answer{Verdict: call.VerdictStop, Reason: string(r)}}})
	}
	for _, o := range push.Outcomes {
		for _, channel := range []call.Channel{call.PushKitVoIP, call.PushKitAlert, call.APNsVoIP, call.APNsAlert} {
			for _, a := range []store.Attempt{{Status: 503}, {Status: 400, Code: "42"}, {Message: "no answer: timeout"}, {Code: push.NotSent, Message: "not sent: why"}} {
				a.Number, a.Outcome, a.Channel = 1, string(o), channel
				s.note("d1", store.Entry{Attempt: &a})
			}
		}
	}
	for _, source := range call.Sources {
		s.note("d1", store.Entry{Confirm: &store.ConfirmEntry{Confirmation: call.Confirmation{Source: source}, Answer: call.Answer{Verdict: call.VerdictRing}}})
	}
	for _, e := range call.ReportEvents {
		for _, refused := range []string{"", "call_ended", "call_answered", "lost_race", "invalid_media", "region_not_supported", "region_unknown"} {
			s.note("d1", store.Entry{Report: &store.ReportEntry{Report: call.Report{Event: e}, Refused: refused}})
		}
	}
	for _, direction := range call.Directions {
		then := s.call
		then.Direction = direction
		for _, e := range []call.EventType{call.EventCallCreated, call.EventCallRinging, call.EventCallAnswered, call.EventCallActive} {
			s.entries = append(s.entries, store.Entry{Event: &call.Event{Type: e}, Call: &then})
		}
		for _, end := range call.EndReasons {
			over := then
			over.Status, over.EndReason = call.StatusEnded, end
			s.entries = append(s.entries, store.Entry{Event: &call.Event{Type: call.EventCallEnded}, Call: &over})
		}
	}
	told := s.told()
	for _, status := range call.LegStatuses {
		for _, channel := range call.Channels {
			for _, reason := range append(call.Reasons, "") {
				l := s.call.Legs[0]
				l.ID, l.Status, l.Channel, l.Reason = uuid.New(), status, channel, reason // a leg of which nothing is known but this
				s.entries = append(s.entries, store.Entry{Event: &call.Event{Type: call.EventLegUpdated}, Call: &s.call, Leg: &l})
			}
		}
	}
	incoming := s.told()
	s.call.Direction = call.Outgoing
	outgoing := s.told()
	for _, all := range []api.Told{told, incoming, outgoing} {
		for i, e := range append(append(all.Entries, all.Legs...), call.Explanation{Meaning: all.Summary}) {
			english, chinese := e.Meaning.In(call.English), e.Meaning.In(call.Chinese)
			if !strings.HasSuffix(english, ".") || strings.Contains(english+chinese+e.Advice.In(call.English)+e.Advice.In(call.Chinese), "%!") || strings.Contains(english, "()") {
				t.Errorf("entry %d: %q", i, english)
			}
			if !strings.HasSuffix(chinese, "。") || !strings.ContainsFunc(chinese, func(r rune) bool { return unicode.Is(unicode.Han, r) }) {
				t.Errorf("entry %d: %q", i, chinese)
			}
			if at := touching.FindString(chinese + e.Advice.In(call.Chinese)); at != "" {
				t.Errorf("entry %d: no space at %q in %q", i, at, chinese)
			}
		}
	}
}
