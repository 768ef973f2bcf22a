package call_test

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/pushwake/relay/call"
)

var start = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

// counter makes ids that are the same in every run.
func counter() func() uuid.UUID {
	var n uint64
	return func() (id uuid.UUID) {
		n++
		binary.BigEndian.PutUint64(id[8:], n)
		return id
	}
}

// decide is a plan's decision about a HarmonyOS phone.
func decide(device string, reason call.Reason) call.Decision {
	return call.Decision{
		Device:  call.Device{ID: device, UserID: "u2", Platform: call.HarmonyOS, Type: call.Phone},
		Channel: call.PushKitVoIP, Presentation: call.CallServiceKit, Reason: reason,
	}
}

// scene plays one call, a second per step.
type scene struct {
	t    *testing.T
	call *call.Call
	now  time.Time
	seq  map[string]int64
}

// invite plays an incoming call with a leg for each device, awake to none.
func invite(t *testing.T, edit func(*call.Call), devices ...string) *scene {
	t.Helper()
	plan := make([]call.Decision, 0, len(devices))
	for _, d := range devices {
		plan = append(plan, decide(d, ""))
	}
	return inviteWith(t, edit, plan)
}

func inviteWith(t *testing.T, edit func(*call.Call), plan []call.Decision) *scene {
	t.Helper()
	s := &scene{t: t, call: blank(), now: start, seq: map[string]int64{}}
	if edit != nil {
		edit(s.call)
	}
	s.call.Invite(plan, call.DefaultRing, s.now, counter())
	return s
}

// dial plays an outgoing call of device d1.
func dial(t *testing.T) *scene {
	t.Helper()
	s := &scene{t: t, call: blank(), now: start, seq: map[string]int64{}}
	s.call.Dial(decide("d1", ""), s.now, counter())
	return s
}

func blank() *call.Call {
	return &call.Call{ID: uuid.UUID{1}, Media: call.Voice, RejectPolicy: call.RejectAll, MaxDuration: call.DefaultMaxDuration}
}

func rejectOne(c *call.Call) { c.RejectPolicy = call.RejectOne }

func (s *scene) tick() time.Time {
	s.now = s.now.Add(time.Second)
	return s.now
}

// later is when a list of live calls is believed about a call that was confirmed
// just now.
func (s *scene) later() time.Time {
	s.now = s.now.Add(call.LostAfter)
	return s.now
}

func (s *scene) leg(device string) *call.Leg {
	s.t.Helper()
	l := s.call.LegOf(device)
	if l == nil {
		s.t.Fatalf("no leg of %s", device)
	}
	return l
}

func (s *scene) confirm(device, vendorID string) (call.Answer, error) {
	s.t.Helper()
	return s.call.Confirm(s.leg(device).ID, call.Confirmation{VendorCallID: vendorID, Source: call.SourcePush}, "", s.tick())
}

func (s *scene) mustConfirm(devices ...string) {
	s.t.Helper()
	for _, d := range devices {
		if a, err := s.confirm(d, ""); err != nil || a.Verdict != call.VerdictRing {
			s.t.Fatalf("confirm of %s: %+v, %v", d, a, err)
		}
	}
}

func (s *scene) report(device string, r call.Report) error {
	s.t.Helper()
	s.seq[device]++
	r.Seq = s.seq[device]
	return s.call.Report(s.leg(device).ID, r, "", s.tick())
}

func (s *scene) event(device string, e call.ReportEvent) error {
	s.t.Helper()
	return s.report(device, call.Report{Event: e})
}

func (s *scene) must(device string, events ...call.ReportEvent) {
	s.t.Helper()
	for _, e := range events {
		if err := s.event(device, e); err != nil {
			s.t.Fatalf("%s of %s: %v", e, device, err)
		}
	}
}

func (s *scene) wantCall(status call.Status, reason call.EndReason) {
	s.t.Helper()
	if s.call.Status != status || s.call.EndReason != reason {
		s.t.Errorf("call is %s %q, want %s %q", s.call.Status, s.call.EndReason, status, reason)
	}
}

func (s *scene) wantLegs(want map[string]call.LegStatus) {
	s.t.Helper()
	for device, status := range want {
		if got := s.leg(device).Status; got != status {
			s.t.Errorf("leg of %s is %s, want %s", device, got, status)
		}
	}
}

func (s *scene) wantEvents(want ...call.EventType) {
	s.t.Helper()
	var got []call.EventType
	for _, e := range s.call.TakeEvents() {
		got = append(got, e.Type)
	}
	if len(got) != len(want) {
		s.t.Fatalf("events %v, want %v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			s.t.Fatalf("events %v, want %v", got, want)
		}
	}
}
