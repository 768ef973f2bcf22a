package call_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/pushwake/relay/call"
)

var regionErrors = map[call.Reason]error{
	call.ReasonRegionNotSupported: call.ErrRegionNot,
	call.ReasonRegionUnknown:      call.ErrRegionUnsure,
}

// TestRegionAtConfirm closes a leg that the gate refuses when its app wakes.
func TestRegionAtConfirm(t *testing.T) {
	t.Parallel()
	for gate, want := range regionErrors {
		for _, by := range []string{"confirm", "report"} {
			t.Run(by+" "+string(gate), func(t *testing.T) {
				t.Parallel()
				s := invite(t, nil, "d1", "d2")
				id := s.leg("d1").ID
				var err error
				if by == "confirm" {
					_, err = s.call.Confirm(id, call.Confirmation{}, gate, s.tick())
				} else {
					s.seq["d1"]++
					err = s.call.Report(id, call.Report{Seq: 1, Event: call.ReportAnswered}, gate, s.tick())
				}
				if !errors.Is(err, want) {
					t.Fatalf("%v, want %v", err, want)
				}
				s.wantLegs(map[string]call.LegStatus{"d1": call.LegFailed, "d2": call.LegWaking})
				if got := s.leg("d1").Reason; got != gate {
					t.Errorf("leg's reason %q, want %q", got, gate)
				}
				// every later request of the device is refused alike, though the gate would pass it now
				if _, err := s.confirm("d1", ""); !errors.Is(err, want) {
					t.Errorf("second confirm: %v, want %v", err, want)
				}
				if err := s.event("d1", call.ReportDisconnected); !errors.Is(err, want) {
					t.Errorf("report: %v, want %v", err, want)
				}
				s.wantCall(call.StatusWaking, "")

				if _, err := s.call.Confirm(s.leg("d2").ID, call.Confirmation{}, gate, s.tick()); !errors.Is(err, want) {
					t.Errorf("confirm of the last leg: %v, want %v", err, want)
				}
				s.wantCall(call.StatusEnded, call.EndUnreachable)
			})
		}
	}
}

// TestRegionAtInvitation refuses the requests of a leg skipped for its region.
func TestRegionAtInvitation(t *testing.T) {
	t.Parallel()
	for reason, want := range regionErrors {
		s := inviteWith(t, nil, []call.Decision{decide("d1", reason), decide("d2", "")})
		if _, err := s.confirm("d1", ""); !errors.Is(err, want) {
			t.Errorf("confirm: %v, want %v", err, want)
		}
		for _, e := range call.ReportEvents {
			if err := s.event("d1", e); !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", e, err, want)
			}
		}
		if err := s.call.Report(s.leg("d1").ID, call.Report{Seq: 1, Event: call.ReportMuted}, "", s.tick()); !errors.Is(err, want) {
			t.Errorf("a seq that comes late: %v, want %v", err, want)
		}
		s.wantLegs(map[string]call.LegStatus{"d1": call.LegSkipped, "d2": call.LegWaking})
	}
}

// TestAdmittedStaysAdmitted switches a VPN on in mid-call.
func TestAdmittedStaysAdmitted(t *testing.T) {
	t.Parallel()
	s := invite(t, nil, "d1")
	s.mustConfirm("d1")
	id := s.leg("d1").ID
	for i, e := range []call.ReportEvent{call.ReportRinging, call.ReportAnswered, call.ReportActive, call.ReportHeld, call.ReportDisconnected} {
		if err := s.call.Report(id, call.Report{Seq: int64(i + 1), Event: e}, call.ReasonRegionNotSupported, s.tick()); err != nil {
			t.Fatalf("%s: %v", e, err)
		}
	}
	s.wantCall(call.StatusEnded, call.EndCompleted)
}

// TestDuplicate brings one call over push and connection.
func TestDuplicate(t *testing.T) {
	t.Parallel()
	s := invite(t, nil, "d1")
	if a, err := s.confirm("d1", "push-1"); err != nil || a.Verdict != call.VerdictRing {
		t.Fatalf("first confirm: %+v, %v", a, err)
	}
	if a, err := s.confirm("d1", "push-1"); err != nil || a.Verdict != call.VerdictRing {
		t.Fatalf("the same confirm again: %+v, %v", a, err)
	}
	if a, err := s.confirm("d1", ""); err != nil || a.Verdict != call.VerdictRing { // before it rings, the other way may still win
		t.Fatalf("confirm over the connection: %+v, %v", a, err)
	}
	s.must("d1", call.ReportRinging)
	s.call.TakeEvents()
	duplicate := call.Answer{Verdict: call.VerdictStop, Reason: string(call.ReasonDuplicate)}
	for id, want := range map[string]call.Answer{"push-2": duplicate, "push-1": {Verdict: call.VerdictRing}} {
		if a, err := s.confirm("d1", id); err != nil || a != want {
			t.Errorf("confirm of %s on a ringing leg: %+v, %v, want %+v", id, a, err, want)
		}
	}
	if err := s.report("d1", call.Report{Event: call.ReportNotReported, FailureCause: call.CauseRouteBusy}); err != nil {
		t.Errorf("route_busy on a ringing leg: %v", err)
	}
	s.wantCall(call.StatusRinging, "")
	s.wantEvents()
	if got := s.leg("d1").VendorCallID; got != "push-1" {
		t.Errorf("vendor call id %q, want push-1", got)
	}
	s.must("d1", call.ReportAnswered)
	if err := s.report("d1", call.Report{Event: call.ReportNotReported, FailureCause: call.CauseRouteBusy}); err != nil {
		t.Errorf("route_busy on an answered leg: %v", err)
	}
	s.wantCall(call.StatusAnswered, "")
}

// TestReportImpliesConfirm: the id that a first report brings is the one that
// its confirm would have brought, so that a confirm sent twice is no duplicate.
func TestReportImpliesConfirm(t *testing.T) {
	t.Parallel()
	s := invite(t, nil, "d1")
	if err := s.report("d1", call.Report{Event: call.ReportRinging, VendorCallID: "push-1"}); err != nil {
		t.Fatal(err)
	}
	if a, err := s.confirm("d1", "push-1"); err != nil || a.Verdict != call.VerdictRing {
		t.Errorf("late confirm of the same wake: %+v, %v", a, err)
	}
	if a, err := s.confirm("d1", "push-2"); err != nil || a.Verdict != call.VerdictStop {
		t.Errorf("confirm of another wake: %+v, %v", a, err)
	}
	if err := s.report("d1", call.Report{Event: call.ReportAnswered, VendorCallID: "push-2"}); err != nil {
		t.Fatal(err)
	}
	if got := s.leg("d1").VendorCallID; got != "push-1" {
		t.Errorf("vendor call id %q, want push-1", got)
	}
}

// TestNoWake marks a leg that does not confirm in time.
func TestNoWake(t *testing.T) {
	t.Parallel()
	marked := func(t *testing.T) *scene {
		s := invite(t, nil, "d1", "d2")
		id := s.leg("d1").ID
		if s.call.MarkNoWake(id, s.tick()) {
			t.Error("a leg was marked before the vendor accepted its wake")
		}
		if !s.call.HandOver(id, s.tick()) || s.call.MarkNoWake(id, s.now.Add(call.NoWakeAfter-1)) {
			t.Error("the leg was marked too early")
		}
		s.now = s.now.Add(call.NoWakeAfter)
		if !s.call.MarkNoWake(id, s.now) {
			t.Fatal("the leg was not marked")
		}
		if s.call.MarkNoWake(id, s.tick()) {
			t.Error("the leg was marked twice")
		}
		s.wantLegs(map[string]call.LegStatus{"d1": call.LegHandedOver})
		return s
	}
	for _, tc := range []struct {
		name string
		end  func(s *scene)
		want call.LegStatus
	}{
		{"the ring ends", func(s *scene) { s.call.Expire(s.call.ExpiresAt) }, call.LegNoWake},
		{"canceled", func(s *scene) { s.call.End(s.tick()) }, call.LegNoWake},
		{"declined elsewhere", func(s *scene) { s.must("d2", call.ReportRejected) }, call.LegNoWake},
		{"answered elsewhere, and the call goes on", func(s *scene) { s.must("d2", call.ReportAnswered) }, call.LegAnsweredElsewhere},
		{"a late confirm clears it", func(s *scene) { s.mustConfirm("d1"); s.call.Expire(s.call.ExpiresAt) }, call.LegMissed},
		{"a late report clears it", func(s *scene) { s.must("d1", call.ReportRinging); s.call.End(s.tick()) }, call.LegCanceled},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := marked(t)
			tc.end(s)
			s.wantLegs(map[string]call.LegStatus{"d1": tc.want})
			if !s.leg("d1").ConfirmedAt.IsZero() && !s.leg("d1").NoWakeAt.IsZero() {
				t.Error("a confirmed leg is still marked")
			}
		})
	}
	s := marked(t)
	s.call.Expire(s.call.ExpiresAt)
	if a, err := s.confirm("d1", ""); err != nil || a != (call.Answer{Verdict: call.VerdictStop, Reason: "missed"}) {
		t.Errorf("confirm after no_wake: %+v, %v", a, err)
	}
}

// TestWakeOutcomes crosses the vendor's answer with an app that was faster.
func TestWakeOutcomes(t *testing.T) {
	t.Parallel()
	s := invite(t, nil, "d1")
	s.mustConfirm("d1")
	s.call.TakeEvents()
	if s.call.HandOver(s.leg("d1").ID, s.tick()) {
		t.Error("a confirmed leg was handed over")
	}
	if s.leg("d1").HandedOverAt.IsZero() {
		t.Error("the time of the vendor's acceptance is lost")
	}
	s.call.FailWake(s.leg("d1").ID, call.ReasonVendorUnavailable, s.tick())
	s.wantLegs(map[string]call.LegStatus{"d1": call.LegConfirmed})
	s.wantEvents()
	if _, err := s.call.Confirm(uuid.UUID{9}, call.Confirmation{}, "", s.tick()); !errors.Is(err, call.ErrNotFound) {
		t.Errorf("confirm of a foreign leg: %v", err)
	}
	if err := s.call.Report(uuid.UUID{9}, call.Report{Seq: 1}, "", s.tick()); !errors.Is(err, call.ErrNotFound) {
		t.Errorf("report of a foreign leg: %v", err)
	}
}

// TestStopReason tells each closed leg why it must not ring.
func TestStopReason(t *testing.T) {
	t.Parallel()
	s := inviteWith(t, rejectOne, []call.Decision{
		decide("limit", call.ReasonIncomingLimit), decide("failed", ""), decide("rejected", ""), decide("loser", ""), decide("winner", ""),
	})
	s.call.FailWake(s.leg("failed").ID, call.ReasonVendorRefused, s.tick())
	s.must("rejected", call.ReportRejected)
	if a := s.call.Advise(s.leg("winner").ID); a.Verdict != call.VerdictRing {
		t.Errorf("advice for an open leg: %+v", a)
	}
	s.must("winner", call.ReportAnswered)
	for device, want := range map[string]string{
		"limit": "incoming_limit", "failed": "vendor_refused", "rejected": "rejected", "loser": "answered_elsewhere",
	} {
		a, err := s.confirm(device, "")
		if err != nil || a != (call.Answer{Verdict: call.VerdictStop, Reason: want}) {
			t.Errorf("confirm of %s: %+v, %v, want stop, %s", device, a, err, want)
		}
		if got := s.call.Advise(s.leg(device).ID); got != a {
			t.Errorf("advice for %s: %+v, the confirm said %+v", device, got, a)
		}
	}
	s.call.Expire(s.now.Add(24 * time.Hour))
	if a := s.call.Advise(s.leg("winner").ID); a != (call.Answer{Verdict: call.VerdictStop, Reason: "completed"}) {
		t.Errorf("advice for the winner after the end: %+v", a)
	}
	if a := s.call.Advise(uuid.UUID{9}); a.Verdict != call.VerdictStop {
		t.Errorf("advice for a foreign leg: %+v", a)
	}
}
