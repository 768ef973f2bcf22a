package call_test

import (
	"errors"
	"testing"

	"github.com/pushwake/relay/call"
)

// TestLostRace lets two devices answer: the first wins, the second is told.
func TestLostRace(t *testing.T) {
	t.Parallel()
	for _, late := range []call.ReportEvent{call.ReportRinging, call.ReportAnswered, call.ReportActive, call.ReportHeld} {
		t.Run(string(late), func(t *testing.T) {
			t.Parallel()
			s := invite(t, nil, "d1", "d2")
			s.mustConfirm("d1", "d2")
			s.must("d1", call.ReportAnswered)
			if err := s.event("d2", late); !errors.Is(err, call.ErrLostRace) {
				t.Errorf("%s of the loser: %v, want ErrLostRace", late, err)
			}
			s.wantCall(call.StatusAnswered, "")
			s.wantLegs(map[string]call.LegStatus{"d1": call.LegAnswered, "d2": call.LegAnsweredElsewhere})
			if s.call.AnsweredBy != "d1" || s.call.Winner().DeviceID != "d1" {
				t.Errorf("answered by %q", s.call.AnsweredBy)
			}
			// what ends the loser's part once more is welcome
			s.must("d2", call.ReportRejected, call.ReportDisconnected, call.ReportNotReported, call.ReportMuted)
			s.wantCall(call.StatusAnswered, "")

			s.must("d1", call.ReportDisconnected)
			if err := s.event("d2", late); !errors.Is(err, call.ErrEnded) {
				t.Errorf("%s of the loser after the end: %v, want ErrEnded", late, err)
			}
		})
	}
}

// TestImpliedSteps reports a late state at once: the earlier ones are made too.
func TestImpliedSteps(t *testing.T) {
	t.Parallel()
	leg, ringing, answered, active := call.EventLegUpdated, call.EventCallRinging, call.EventCallAnswered, call.EventCallActive
	for _, tc := range []struct {
		event  call.ReportEvent
		call   call.Status
		leg    call.LegStatus
		events []call.EventType
	}{
		{call.ReportRinging, call.StatusRinging, call.LegRinging, []call.EventType{leg, ringing}},
		{call.ReportAnswered, call.StatusAnswered, call.LegAnswered, []call.EventType{leg, ringing, leg, answered}},
		{call.ReportActive, call.StatusActive, call.LegActive, []call.EventType{leg, ringing, leg, answered, leg, active}},
		{call.ReportHeld, call.StatusActive, call.LegHeld, []call.EventType{leg, ringing, leg, answered, leg, active, leg}},
	} {
		t.Run(string(tc.event), func(t *testing.T) {
			t.Parallel()
			s := invite(t, nil, "d1")
			s.call.TakeEvents()
			s.must("d1", tc.event)
			s.wantCall(tc.call, "")
			l := s.leg("d1")
			if l.Status != tc.leg || l.ConfirmedAt.IsZero() || l.RingingAt.IsZero() {
				t.Errorf("leg %s, confirmed %v, ringing %v", l.Status, l.ConfirmedAt, l.RingingAt)
			}
			if (tc.leg == call.LegRinging) != l.AnsweredAt.IsZero() {
				t.Errorf("answered at %v in %s", l.AnsweredAt, l.Status)
			}
			s.wantEvents(tc.events...)
		})
	}
}

// TestNoStepBack reports earlier states after later ones: nothing moves.
func TestNoStepBack(t *testing.T) {
	t.Parallel()
	s := invite(t, nil, "d1")
	s.must("d1", call.ReportActive)
	s.call.TakeEvents()
	s.must("d1", call.ReportRinging, call.ReportAnswered, call.ReportActive)
	s.wantEvents()
	s.must("d1", call.ReportHeld, call.ReportHeld)
	s.wantEvents(call.EventLegUpdated)
	s.wantLegs(map[string]call.LegStatus{"d1": call.LegHeld})
	s.must("d1", call.ReportAnswered, call.ReportRinging)
	s.wantEvents()
	s.must("d1", call.ReportActive)
	s.wantLegs(map[string]call.LegStatus{"d1": call.LegActive})
	s.wantCall(call.StatusActive, "")
	if err := s.event("d1", call.ReportRejected); !errors.Is(err, call.ErrAnswered) {
		t.Errorf("the winner rejects: %v, want ErrAnswered", err)
	}
	s.wantCall(call.StatusActive, "")
}

// TestMediaOfAnswer holds what a call may be answered with.
func TestMediaOfAnswer(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		offered     call.Media
		voiceAnswer bool
		answered    call.Media
		want        call.Media
		err         error
	}{
		{call.Voice, false, call.Voice, call.Voice, nil},
		{call.Voice, false, "", call.Voice, nil},
		{call.Voice, true, call.Video, "", call.ErrMedia},
		{call.Voice, false, call.Video, "", call.ErrMedia},
		{call.Video, false, call.Video, call.Video, nil},
		{call.Video, false, "", call.Video, nil},
		{call.Video, false, call.Voice, "", call.ErrMedia},
		{call.Video, true, call.Voice, call.Voice, nil},
		{call.Video, true, call.Video, call.Video, nil},
	} {
		s := invite(t, func(c *call.Call) { c.Media, c.VoiceAnswer = tc.offered, tc.voiceAnswer }, "d1", "d2")
		s.mustConfirm("d1")
		s.call.TakeEvents()
		err := s.report("d1", call.Report{Event: call.ReportAnswered, Media: tc.answered})
		if !errors.Is(err, tc.err) {
			t.Errorf("%s (voice answer %v) answered with %q: %v, want %v", tc.offered, tc.voiceAnswer, tc.answered, err, tc.err)
		}
		if got := s.leg("d1").Media; got != tc.want {
			t.Errorf("%s answered with %q: leg has %q, want %q", tc.offered, tc.answered, got, tc.want)
		}
		if tc.err != nil {
			s.wantEvents()
			s.wantCall(call.StatusWaking, "")
			s.wantLegs(map[string]call.LegStatus{"d1": call.LegConfirmed, "d2": call.LegWaking})
		}
	}
}

// TestLateSeq sends a lower number after a higher one: it has no effect.
func TestLateSeq(t *testing.T) {
	t.Parallel()
	s := invite(t, nil, "d1", "d2")
	id := s.leg("d1").ID
	if err := s.call.Report(id, call.Report{Seq: 5, Event: call.ReportRinging}, "", s.tick()); err != nil {
		t.Fatal(err)
	}
	s.call.TakeEvents()
	for _, seq := range []int64{5, 4, 1} {
		for _, e := range call.ReportEvents {
			if err := s.call.Report(id, call.Report{Seq: seq, Event: e}, call.ReasonRegionUnknown, s.tick()); err != nil {
				t.Errorf("late %s: %v", e, err)
			}
		}
	}
	s.wantEvents()
	s.wantCall(call.StatusRinging, "")
	if got := s.leg("d1").LastSeq; got != 5 {
		t.Errorf("last seq %d, want 5", got)
	}
	// a refused report counts as seen
	s.must("d2", call.ReportAnswered)
	if err := s.call.Report(id, call.Report{Seq: 9, Event: call.ReportAnswered}, "", s.tick()); !errors.Is(err, call.ErrLostRace) {
		t.Errorf("answer of the loser: %v", err)
	}
	if got := s.leg("d1").LastSeq; got != 9 {
		t.Errorf("last seq %d after a refused report, want 9", got)
	}
}

// TestRemarks reports what is no state of a call: nothing but its seq is kept.
func TestRemarks(t *testing.T) {
	t.Parallel()
	for _, e := range []call.ReportEvent{call.ReportMuted, call.ReportUnmuted, call.ReportSpeakerOn, call.ReportSpeakerOff, call.ReportRingtoneMuted} {
		s := invite(t, nil, "d1")
		s.call.TakeEvents()
		s.must("d1", e)
		s.wantEvents()
		s.wantLegs(map[string]call.LegStatus{"d1": call.LegWaking})
		s.must("d1", call.ReportActive)
		s.call.TakeEvents()
		s.must("d1", e)
		s.wantEvents()
		if got := s.leg("d1").LastSeq; got != 3 {
			t.Errorf("%s: last seq %d, want 3", e, got)
		}
	}
}

// TestNotReported turns each refusal of the system into the leg's end.
func TestNotReported(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		report call.Report
		want   call.LegStatus
		end    call.EndReason
	}{
		{call.Report{ErrorReason: call.CellularCallExists}, call.LegBusy, call.EndBusy},
		{call.Report{ErrorReason: call.VoIPCallExists}, call.LegBusy, call.EndBusy},
		{call.Report{ErrorReason: call.UserAnswerCellularFirst}, call.LegBusy, call.EndBusy},
		{call.Report{ErrorReason: call.InvalidCall}, call.LegFailed, call.EndFailed},
		{call.Report{ErrorCode: 1007200003}, call.LegBusy, call.EndBusy},
		{call.Report{ErrorCode: 1007200001}, call.LegFailed, call.EndFailed},
		{call.Report{FailureCause: call.CauseRouteBusy}, call.LegBusy, call.EndBusy},
		{call.Report{FailureCause: call.CauseConnectionFailed}, call.LegFailed, call.EndFailed},
		{call.Report{FailureCause: call.CauseOther}, call.LegFailed, call.EndFailed},
		{call.Report{}, call.LegFailed, call.EndFailed},
	} {
		tc.report.Event = call.ReportNotReported
		s := invite(t, nil, "d1")
		s.mustConfirm("d1")
		if err := s.report("d1", tc.report); err != nil {
			t.Fatal(err)
		}
		s.wantLegs(map[string]call.LegStatus{"d1": tc.want})
		s.wantCall(call.StatusEnded, tc.end)
	}
}
