package call_test

import (
	"errors"
	"testing"
	"time"

	"github.com/pushwake/relay/call"
)

// ends is one way to end a call: what was played before, and the end.
type ends struct {
	name   string
	edit   func(*call.Call)
	play   func(t *testing.T, s *scene)
	reason call.EndReason // "" for a call that goes on
	legs   map[string]call.LegStatus
}

func notReported(r call.Report) func(t *testing.T, s *scene, device string) {
	r.Event = call.ReportNotReported
	return func(t *testing.T, s *scene, device string) {
		t.Helper()
		if err := s.report(device, r); err != nil {
			t.Fatalf("not_reported of %s: %v", device, err)
		}
	}
}

var (
	busy   = notReported(call.Report{ErrorReason: call.CellularCallExists})
	broken = notReported(call.Report{FailureCause: call.CauseConnectionFailed})
)

// TestEndOfIncomingCall plays each end of the contract with two devices.
func TestEndOfIncomingCall(t *testing.T) {
	t.Parallel()
	answered := func(s *scene) { s.mustConfirm("d1"); s.must("d1", call.ReportRinging, call.ReportAnswered) }
	for _, tc := range []ends{
		{"the winner hangs up", nil, func(_ *testing.T, s *scene) { answered(s); s.must("d1", call.ReportDisconnected) },
			call.EndCompleted, map[string]call.LegStatus{"d1": call.LegCompleted, "d2": call.LegAnsweredElsewhere}},
		{"the winner hangs up while media flow", nil, func(_ *testing.T, s *scene) { answered(s); s.must("d1", call.ReportActive, call.ReportDisconnected) },
			call.EndCompleted, map[string]call.LegStatus{"d1": call.LegCompleted, "d2": call.LegAnsweredElsewhere}},
		{"the winner hangs up while on hold", nil, func(_ *testing.T, s *scene) { answered(s); s.must("d1", call.ReportHeld, call.ReportDisconnected) },
			call.EndCompleted, map[string]call.LegStatus{"d1": call.LegCompleted, "d2": call.LegAnsweredElsewhere}},
		{"reject all: the first rejection", nil, func(_ *testing.T, s *scene) { s.mustConfirm("d1", "d2"); s.must("d1", call.ReportRejected) },
			call.EndRejected, map[string]call.LegStatus{"d1": call.LegRejected, "d2": call.LegDeclinedElsewhere}},
		{"reject one: the call goes on", rejectOne, func(_ *testing.T, s *scene) { s.mustConfirm("d1", "d2"); s.must("d1", call.ReportRejected) },
			"", map[string]call.LegStatus{"d1": call.LegRejected, "d2": call.LegConfirmed}},
		{"reject one: the last open leg rejects", rejectOne, func(_ *testing.T, s *scene) { s.must("d1", call.ReportRejected); s.must("d2", call.ReportRejected) },
			call.EndRejected, map[string]call.LegStatus{"d1": call.LegRejected, "d2": call.LegRejected}},
		{"reject one: rejected is stronger than busy", rejectOne, func(t *testing.T, s *scene) { s.must("d1", call.ReportRejected); busy(t, s, "d2") },
			call.EndRejected, map[string]call.LegStatus{"d1": call.LegRejected, "d2": call.LegBusy}},
		{"reject one: rejected is stronger than failed", rejectOne, func(t *testing.T, s *scene) { broken(t, s, "d1"); s.must("d2", call.ReportRejected) },
			call.EndRejected, map[string]call.LegStatus{"d1": call.LegFailed, "d2": call.LegRejected}},
		{"one busy device does not end the call", nil, func(t *testing.T, s *scene) { busy(t, s, "d1") },
			"", map[string]call.LegStatus{"d1": call.LegBusy, "d2": call.LegWaking}},
		{"all busy", nil, func(t *testing.T, s *scene) { busy(t, s, "d1"); busy(t, s, "d2") },
			call.EndBusy, map[string]call.LegStatus{"d1": call.LegBusy, "d2": call.LegBusy}},
		{"busy is stronger than failed", nil, func(t *testing.T, s *scene) { busy(t, s, "d1"); broken(t, s, "d2") },
			call.EndBusy, map[string]call.LegStatus{"d1": call.LegBusy, "d2": call.LegFailed}},
		{"failed is stronger than unreachable", nil, func(_ *testing.T, s *scene) {
			s.call.FailWake(s.leg("d1").ID, call.ReasonTokenDead, s.tick())
			s.call.FailWake(s.leg("d2").ID, call.ReasonVendorUnavailable, s.tick())
		}, call.EndFailed, map[string]call.LegStatus{"d1": call.LegFailed, "d2": call.LegFailed}},
		{"no device can be woken", nil, func(_ *testing.T, s *scene) {
			s.call.FailWake(s.leg("d1").ID, call.ReasonTokenDead, s.tick())
			s.call.FailWake(s.leg("d2").ID, call.ReasonNotConnected, s.tick())
		}, call.EndUnreachable, map[string]call.LegStatus{"d1": call.LegFailed, "d2": call.LegFailed}},
		{"a device disconnects before an answer", nil, func(_ *testing.T, s *scene) { s.must("d1", call.ReportRinging, call.ReportDisconnected) },
			"", map[string]call.LegStatus{"d1": call.LegFailed, "d2": call.LegWaking}},
		{"cancel before an answer", nil, func(t *testing.T, s *scene) {
			s.must("d1", call.ReportRinging)
			if err := s.call.Cancel(s.tick()); err != nil {
				t.Error(err)
			}
		}, call.EndCanceled, map[string]call.LegStatus{"d1": call.LegCanceled, "d2": call.LegCanceled}},
		{"cancel after an answer is refused", nil, func(t *testing.T, s *scene) {
			answered(s)
			if err := s.call.Cancel(s.tick()); !errors.Is(err, call.ErrAnswered) {
				t.Errorf("cancel: %v, want ErrAnswered", err)
			}
		}, "", map[string]call.LegStatus{"d1": call.LegAnswered, "d2": call.LegAnsweredElsewhere}},
		{"end before an answer is a cancel", nil, func(_ *testing.T, s *scene) { s.must("d1", call.ReportRinging); s.call.End(s.tick()) },
			call.EndCanceled, map[string]call.LegStatus{"d1": call.LegCanceled, "d2": call.LegCanceled}},
		{"end after an answer", nil, func(_ *testing.T, s *scene) { answered(s); s.call.End(s.tick()) },
			call.EndCompleted, map[string]call.LegStatus{"d1": call.LegCompleted, "d2": call.LegAnsweredElsewhere}},
		{"the ring ends", nil, func(_ *testing.T, s *scene) {
			s.must("d1", call.ReportRinging)
			s.call.Expire(s.call.ExpiresAt)
		}, call.EndMissed, map[string]call.LegStatus{"d1": call.LegMissed, "d2": call.LegMissed}},
		{"the ring has not ended", nil, func(t *testing.T, s *scene) {
			if s.call.Expire(s.call.ExpiresAt.Add(-time.Nanosecond)) {
				t.Error("expired before its time")
			}
		}, "", map[string]call.LegStatus{"d1": call.LegWaking, "d2": call.LegWaking}},
		{"the longest duration is over", nil, func(_ *testing.T, s *scene) {
			answered(s)
			s.call.Expire(s.call.AnsweredAt.Add(call.DefaultMaxDuration))
		}, call.EndCompleted, map[string]call.LegStatus{"d1": call.LegCompleted, "d2": call.LegAnsweredElsewhere}},
		{"the ring's end does not end an answered call", nil, func(t *testing.T, s *scene) {
			answered(s)
			if s.call.Expire(s.call.ExpiresAt.Add(time.Minute)) {
				t.Error("the end of the ring ended an answered call")
			}
		}, "", map[string]call.LegStatus{"d1": call.LegAnswered, "d2": call.LegAnsweredElsewhere}},
		{"the system drops the winner", nil, func(t *testing.T, s *scene) { answered(s); broken(t, s, "d1") },
			call.EndFailed, map[string]call.LegStatus{"d1": call.LegFailed, "d2": call.LegAnsweredElsewhere}},
		{"the winner's device lost the call", rejectOne, func(_ *testing.T, s *scene) {
			s.must("d2", call.ReportRejected)
			answered(s)
			s.call.LoseLeg(s.leg("d1").ID, s.later())
		}, call.EndFailed, map[string]call.LegStatus{"d1": call.LegFailed, "d2": call.LegRejected}},
		{"a ringing device lost the call", nil, func(_ *testing.T, s *scene) {
			s.must("d1", call.ReportRinging)
			s.call.LoseLeg(s.leg("d1").ID, s.later())
		}, "", map[string]call.LegStatus{"d1": call.LegFailed, "d2": call.LegWaking}},
		{"a list made before the confirm", nil, func(t *testing.T, s *scene) {
			s.must("d1", call.ReportRinging)
			if s.call.LoseLeg(s.leg("d1").ID, s.tick()) {
				t.Error("a call that was confirmed a second ago is lost")
			}
		}, "", map[string]call.LegStatus{"d1": call.LegRinging, "d2": call.LegWaking}},
		{"a device logs out while its wake is under way", nil, func(_ *testing.T, s *scene) { s.call.LeaveCall(s.leg("d1").ID, s.tick()) },
			"", map[string]call.LegStatus{"d1": call.LegFailed, "d2": call.LegWaking}},
		{"all devices log out", nil, func(_ *testing.T, s *scene) {
			s.call.LeaveCall(s.leg("d1").ID, s.tick())
			s.call.LeaveCall(s.leg("d2").ID, s.tick())
		}, call.EndUnreachable, map[string]call.LegStatus{"d1": call.LegFailed, "d2": call.LegFailed}},
		{"the winner logs out", nil, func(_ *testing.T, s *scene) { answered(s); s.call.LeaveCall(s.leg("d1").ID, s.tick()) },
			"", map[string]call.LegStatus{"d1": call.LegAnswered, "d2": call.LegAnsweredElsewhere}},
		{"a device whose wake is under way lost nothing", nil, func(_ *testing.T, s *scene) {
			s.call.HandOver(s.leg("d1").ID, s.tick())
			s.call.LoseLeg(s.leg("d1").ID, s.later())
			s.call.LoseLeg(s.leg("d2").ID, s.later())
		}, "", map[string]call.LegStatus{"d1": call.LegHandedOver, "d2": call.LegWaking}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := invite(t, tc.edit, "d1", "d2")
			tc.play(t, s)
			if s.call.EndReason != tc.reason || s.call.Live() != (tc.reason == "") {
				t.Errorf("call is %s %q, want the end %q", s.call.Status, s.call.EndReason, tc.reason)
			}
			s.wantLegs(tc.legs)
			if !s.call.Live() && !s.call.DeadlineAt.IsZero() {
				t.Error("an ended call has a deadline")
			}
		})
	}
}

// TestEndAtInvitation is about calls that no device can take.
func TestEndAtInvitation(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		reasons []call.Reason
		want    call.EndReason
	}{
		{"no device at all", nil, call.EndUnreachable},
		{"refused by region", []call.Reason{call.ReasonRegionNotSupported}, call.EndUnreachable},
		{"no token anywhere", []call.Reason{call.ReasonNoToken, call.ReasonTokenDead}, call.EndUnreachable},
		{"only the limit stands in the way", []call.Reason{call.ReasonIncomingLimit}, call.EndBusy},
		{"the limit on one device, the region on another", []call.Reason{call.ReasonRegionUnknown, call.ReasonIncomingLimit}, call.EndBusy},
		{"one device can ring", []call.Reason{call.ReasonIncomingLimit, ""}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var plan []call.Decision
			reachable := 0
			for i, r := range tc.reasons {
				plan = append(plan, decide(string(rune('a'+i)), r))
				if r == "" {
					reachable++
				}
			}
			s := inviteWith(t, nil, plan)
			if s.call.EndReason != tc.want || s.call.Live() != (tc.want == "") {
				t.Errorf("call is %s %q, want %q", s.call.Status, s.call.EndReason, tc.want)
			}
			if got := s.call.Reachable(); got != reachable {
				t.Errorf("reachable %d, want %d", got, reachable)
			}
			for i, r := range tc.reasons {
				l := s.call.Legs[i]
				if skipped := r != ""; (l.Status == call.LegSkipped) != skipped || (l.Channel == "") != skipped || l.Reason != r {
					t.Errorf("leg %d for %q: %s %q over %q", i, r, l.Status, l.Reason, l.Channel)
				}
			}
			if tc.want == "" {
				s.wantEvents(call.EventCallCreated)
			} else {
				s.wantEvents(call.EventCallCreated, call.EventCallEnded)
			}
		})
	}
}

// TestAfterTheEnd asks an ended call everything: it stays as it ended.
func TestAfterTheEnd(t *testing.T) {
	t.Parallel()
	s := invite(t, nil, "d1", "d2")
	s.must("d1", call.ReportRinging)
	s.call.Expire(s.call.ExpiresAt)
	s.call.TakeEvents()

	if err := s.call.Cancel(s.tick()); err != nil {
		t.Errorf("cancel of an ended call: %v", err)
	}
	s.call.End(s.tick())
	for _, e := range call.ReportEvents {
		err := s.event("d1", e)
		switch e {
		case call.ReportRinging, call.ReportAnswered, call.ReportActive, call.ReportHeld:
			if !errors.Is(err, call.ErrEnded) {
				t.Errorf("%s on an ended call: %v, want ErrEnded", e, err)
			}
		default:
			if err != nil {
				t.Errorf("%s on an ended call: %v", e, err)
			}
		}
	}
	if a, err := s.confirm("d2", ""); err != nil || a != (call.Answer{Verdict: call.VerdictStop, Reason: "missed"}) {
		t.Errorf("confirm of an ended call: %+v, %v", a, err)
	}
	if s.call.Expire(s.call.ExpiresAt.Add(24 * time.Hour)) {
		t.Error("an ended call expired again")
	}
	s.wantCall(call.StatusEnded, call.EndMissed)
	s.wantEvents()
}
