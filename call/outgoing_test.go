package call_test

import (
	"errors"
	"testing"
	"time"

	"github.com/pushwake/relay/call"
)

// TestOutgoing plays each end of a call that a device started.
func TestOutgoing(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		play   func(t *testing.T, s *scene)
		status call.Status
		reason call.EndReason
		leg    call.LegStatus
	}{
		{"it dials", func(*testing.T, *scene) {}, call.StatusDialing, "", call.LegConfirmed},
		{"what the far end does before is a remark", func(_ *testing.T, s *scene) { s.must("d1", call.ReportRinging, call.ReportAnswered) },
			call.StatusDialing, "", call.LegConfirmed},
		{"the far end answers", func(_ *testing.T, s *scene) { s.must("d1", call.ReportActive) }, call.StatusActive, "", call.LegActive},
		{"held and back", func(_ *testing.T, s *scene) { s.must("d1", call.ReportHeld, call.ReportActive) }, call.StatusActive, "", call.LegActive},
		{"hung up after media", func(_ *testing.T, s *scene) { s.must("d1", call.ReportActive, call.ReportDisconnected) },
			call.StatusEnded, call.EndCompleted, call.LegCompleted},
		{"hung up while dialing", func(_ *testing.T, s *scene) { s.must("d1", call.ReportDisconnected) },
			call.StatusEnded, call.EndCanceled, call.LegCanceled},
		{"the far end declines", func(_ *testing.T, s *scene) { s.must("d1", call.ReportRejected) },
			call.StatusEnded, call.EndRejected, call.LegRejected},
		{"the system refuses", func(t *testing.T, s *scene) { broken(t, s, "d1") }, call.StatusEnded, call.EndFailed, call.LegFailed},
		{"the device is in a carrier call", func(t *testing.T, s *scene) { busy(t, s, "d1") }, call.StatusEnded, call.EndBusy, call.LegBusy},
		{"120 s without an answer", func(t *testing.T, s *scene) {
			if s.call.Expire(start.Add(120*time.Second - 1)) {
				t.Error("missed too early")
			}
			if !s.call.Expire(start.Add(120 * time.Second)) {
				t.Error("not missed in time")
			}
		}, call.StatusEnded, call.EndMissed, call.LegMissed},
		{"the longest duration", func(t *testing.T, s *scene) {
			s.must("d1", call.ReportActive)
			if s.call.Expire(s.now.Add(call.DefaultMaxDuration - 1)) {
				t.Error("completed too early")
			}
			s.call.Expire(s.now.Add(call.DefaultMaxDuration))
		}, call.StatusEnded, call.EndCompleted, call.LegCompleted},
		{"canceled by the backend", func(t *testing.T, s *scene) {
			if err := s.call.Cancel(s.tick()); err != nil {
				t.Error(err)
			}
		}, call.StatusEnded, call.EndCanceled, call.LegCanceled},
		{"cancel while media flow is refused", func(t *testing.T, s *scene) {
			s.must("d1", call.ReportActive)
			if err := s.call.Cancel(s.tick()); !errors.Is(err, call.ErrAnswered) {
				t.Errorf("%v, want ErrAnswered", err)
			}
		}, call.StatusActive, "", call.LegActive},
		{"ended by the backend", func(_ *testing.T, s *scene) { s.must("d1", call.ReportActive); s.call.End(s.tick()) },
			call.StatusEnded, call.EndCompleted, call.LegCompleted},
		{"the device lost the call", func(_ *testing.T, s *scene) { s.call.LoseLeg(s.leg("d1").ID, s.later()) },
			call.StatusEnded, call.EndFailed, call.LegFailed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := dial(t)
			tc.play(t, s)
			s.wantCall(tc.status, tc.reason)
			s.wantLegs(map[string]call.LegStatus{"d1": tc.leg})
			if s.call.AnsweredBy != "" || s.call.Winner() != nil {
				t.Errorf("an outgoing call has the winner %q", s.call.AnsweredBy)
			}
		})
	}
}

// TestOutgoingEvents counts the events of a whole outgoing call.
func TestOutgoingEvents(t *testing.T) {
	t.Parallel()
	s := dial(t)
	s.wantEvents(call.EventCallCreated)
	s.must("d1", call.ReportActive)
	s.wantEvents(call.EventLegUpdated, call.EventCallActive)
	if !s.call.AnsweredAt.Equal(s.now) || !s.call.ActiveAt.Equal(s.now) {
		t.Errorf("answered %v, active %v, want %v", s.call.AnsweredAt, s.call.ActiveAt, s.now)
	}
	s.must("d1", call.ReportDisconnected)
	s.wantEvents(call.EventLegUpdated, call.EventCallEnded)
}
