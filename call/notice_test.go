package call_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pushwake/relay/call"
)

// notices are what a call's legs are to be sent, by device.
func (s *scene) notices() map[string]call.Purpose {
	all := map[string]call.Purpose{}
	for i := range s.call.Legs {
		if p := s.call.Notice(&s.call.Legs[i]); p != "" {
			all[s.call.Legs[i].DeviceID] = p
		}
	}
	return all
}

func (s *scene) wantNotices(want map[string]call.Purpose) {
	s.t.Helper()
	if diff := cmp.Diff(want, s.notices()); diff != "" {
		s.t.Error(diff)
	}
}

const (
	missed = call.PurposeMissedCall
	revoke = call.PurposeRevoke
)

// onAlert has a device be woken by a notification of Push Kit.
func onAlert(device string) call.Decision {
	d := decide(device, "")
	d.Channel, d.Presentation = call.PushKitAlert, call.Alert
	return d
}

// TestMissedCalls is the table of who is told of a call that is over.
func TestMissedCalls(t *testing.T) {
	t.Parallel()
	iPhone, android := decide("iphone", ""), decide("android", "")
	iPhone.Device.Platform, android.Device.Platform = call.IOS, call.Android
	plan := []call.Decision{
		decide("d1", ""), decide("d2", ""), iPhone, android, decide("full", call.ReasonIncomingLimit), decide("quiet", call.ReasonDND),
		decide("hk", call.ReasonRegionNotSupported), decide("bare", call.ReasonNoToken), decide("pc", call.ReasonNotConnected),
	}
	everyone := map[string]call.Purpose{"d1": missed, "d2": missed, "iphone": missed, "full": missed, "quiet": missed}
	spared := map[string]call.Purpose{"full": missed, "quiet": missed} // only these were kept from ringing by something that passes
	for name, tc := range map[string]struct {
		play func(*scene)
		want map[string]call.Purpose
	}{
		"alive":                  {func(*scene) {}, map[string]call.Purpose{}},
		"missed":                 {func(s *scene) { s.mustConfirm("d1"); s.must("d1", call.ReportRinging); s.ringEnds() }, everyone},
		"missed by all asleep":   {func(s *scene) { s.ringEnds() }, everyone},
		"canceled":               {func(s *scene) { s.mustConfirm("d1"); _ = s.call.Cancel(s.tick()) }, everyone},
		"canceled, nobody awake": {func(s *scene) { _ = s.call.Cancel(s.tick()) }, everyone},
		"answered":               {func(s *scene) { s.must("d1", call.ReportAnswered); s.call.End(s.tick()) }, map[string]call.Purpose{}},
		"answered and lost":      {func(s *scene) { s.must("d1", call.ReportAnswered, call.ReportNotReported) }, map[string]call.Purpose{}},
		"rejected":               {func(s *scene) { s.must("d1", call.ReportRejected) }, map[string]call.Purpose{}},
		"rejected by one, missed by the others": {func(s *scene) {
			s.call.RejectPolicy = call.RejectOne
			s.must("d1", call.ReportRejected)
			s.ringEnds()
		}, map[string]call.Purpose{}},
		"busy on one": {func(s *scene) {
			if err := s.report("d1", call.Report{Event: call.ReportNotReported, ErrorReason: call.CellularCallExists}); err != nil {
				s.t.Fatal(err)
			}
			s.ringEnds()
		}, everyone},
		"refused by the gate at its confirm": {func(s *scene) {
			_, _ = s.call.Confirm(s.leg("d2").ID, call.Confirmation{Source: call.SourcePush}, call.ReasonRegionNotSupported, s.tick())
			s.ringEnds()
		}, map[string]call.Purpose{"d1": missed, "iphone": missed, "full": missed, "quiet": missed}},
		"failed": {func(s *scene) {
			for i := range s.call.Legs {
				s.call.FailWake(s.call.Legs[i].ID, call.ReasonVendorUnavailable, s.tick())
			}
		}, spared},
		"unreachable": {func(s *scene) {
			for i := range s.call.Legs {
				s.call.FailWake(s.call.Legs[i].ID, call.ReasonTokenDead, s.tick())
			}
		}, spared},
		"forgotten for two days": {func(s *scene) { s.now = start.Add(48 * time.Hour); s.call.Expire(s.now) }, map[string]call.Purpose{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := inviteWith(t, nil, plan)
			tc.play(s)
			if s.call.Live() != (name == "alive") {
				t.Fatalf("the call is %s", s.call.Status)
			}
			s.wantNotices(tc.want)
		})
	}
	t.Run("busy at once", func(t *testing.T) {
		t.Parallel()
		s := inviteWith(t, nil, []call.Decision{decide("full", call.ReasonIncomingLimit), decide("hk", call.ReasonRegionUnknown)})
		s.wantCall(call.StatusEnded, call.EndBusy)
		s.wantNotices(map[string]call.Purpose{"full": missed})
	})
	t.Run("outgoing", func(t *testing.T) {
		t.Parallel()
		s := dial(t)
		s.call.Expire(s.call.DeadlineAt)
		s.wantNotices(map[string]call.Purpose{})
	})
}

func (s *scene) ringEnds() {
	s.t.Helper()
	s.now = s.call.DeadlineAt
	if !s.call.Expire(s.now) {
		s.t.Fatal("the ring did not end")
	}
}

// TestRevokes: a notification of the call is taken back as soon as it is not
// true any more, unless the notice of a missed call takes its place.
func TestRevokes(t *testing.T) {
	t.Parallel()
	ring := func(devices ...string) *scene {
		plan := []call.Decision{decide("d1", "")}
		for _, d := range devices {
			plan = append(plan, onAlert(d))
		}
		s := inviteWith(t, nil, plan)
		for i := range s.call.Legs {
			l := &s.call.Legs[i]
			s.call.HandOver(l.ID, s.tick())
			s.call.Alert(l, l.Channel, s.now)
		}
		return s
	}
	none := map[string]call.Purpose{}
	s := ring("a1", "a2")
	if !s.leg("d1").AlertedAt.IsZero() {
		t.Error("a VoIP push is taken for a notification")
	}
	s.wantNotices(none)
	s.mustConfirm("a1")
	s.wantNotices(map[string]call.Purpose{"a1": revoke})
	s.must("d1", call.ReportAnswered)
	s.wantNotices(map[string]call.Purpose{"a1": revoke, "a2": revoke})
	s.call.End(s.tick())
	s.wantNotices(map[string]call.Purpose{"a1": revoke, "a2": revoke})

	s = ring("a1", "a2")
	s.mustConfirm("a1")
	s.ringEnds()
	s.wantNotices(map[string]call.Purpose{"d1": missed, "a1": missed, "a2": missed})

	s = ring("a1")
	s.must("d1", call.ReportRejected)
	s.wantNotices(map[string]call.Purpose{"a1": revoke})

	// The vendor's answer comes when the call is over.
	s = inviteWith(t, nil, []call.Decision{decide("d1", ""), onAlert("a1")})
	s.must("d1", call.ReportAnswered)
	s.wantNotices(none)
	s.call.Alert(s.leg("a1"), call.PushKitAlert, s.tick())
	s.wantNotices(map[string]call.Purpose{"a1": revoke})

	if call.APNsAlert.Revocable() {
		t.Error("Apple takes no notification back")
	}
}

func TestNoticeChannels(t *testing.T) {
	t.Parallel()
	for _, p := range call.Platforms {
		c := p.NoticeChannel()
		if c.VoIP() || c == call.Connection || (c != "") != (p == call.HarmonyOS || p == call.IOS) {
			t.Errorf("notices of %s go over %q", p, c)
		}
		d := call.Device{Platform: p, Tokens: map[call.TokenName]call.Token{c.Token(): {Value: "T"}}}
		if got := d.Notifiable(c, map[call.Channel]bool{c: true}); c != "" && got != "" {
			t.Errorf("%s: %s", p, got)
		}
		if got := d.Notifiable(c, nil); c != "" && got != call.ReasonChannelNotConfigured {
			t.Errorf("%s without a credential: %q", p, got)
		}
	}
	if !slices.Contains(call.Purposes, call.PurposeRing) || len(call.Purposes) != 3 {
		t.Error(call.Purposes)
	}
}

func TestMissedText(t *testing.T) {
	t.Parallel()
	p := call.Policy{NoticeTexts: map[string]call.NoticeText{
		"zh-CN": {Voice: "未接语音", Video: "未接视频"}, "zh": {Voice: "未接"}, "en": {Video: "You missed a video call"},
	}}
	for _, tc := range []struct {
		locale string
		media  call.Media
		want   string
	}{
		{"zh-CN", call.Voice, "未接语音"},
		{"zh_cn", call.Video, "未接视频"},
		{"zh-Hans-CN", call.Voice, "未接"},
		{"zh-TW", call.Video, ""}, // relay's own
		{"EN-gb", call.Video, "You missed a video call"},
		{"en", call.Voice, ""},
		{"de", call.Voice, ""},
		{"", call.Voice, ""},
	} {
		if got := p.MissedText(tc.locale, tc.media); got != tc.want {
			t.Errorf("%s, %s: %q, want %q", tc.locale, tc.media, got, tc.want)
		}
	}
	if got := call.DefaultPolicy().MissedText("zh-CN", call.Voice); got != "" {
		t.Errorf("an app that sets nothing says %q", got)
	}
}
