package call_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/pushwake/relay/call"
)

// TestWakeOnceMore: what the vendor tells brings the second wake forward, and
// takes its place.
func TestWakeOnceMore(t *testing.T) {
	t.Parallel()
	s, d := accepted(t, call.PushKitVoIP, call.DefaultRing)
	leg := s.call.Legs[0].ID
	if got := s.call.WakeOnceMore(leg, d, allConfigured, start.Add(second)); got != call.PushKitVoIP || !s.call.Legs[0].RewokenAt.Equal(start.Add(second)) {
		t.Fatalf("it is woken over %q", got)
	}
	if got := s.call.WakeOnceMore(leg, d, allConfigured, start.Add(2*second)); got != "" {
		t.Errorf("it is woken a third time, over %q", got)
	}
	if next := s.call.NextLook(leg, call.DefaultPolicy(), start.Add(call.NoWakeAfter)); !next.IsZero() {
		t.Errorf("something is due at %v", next)
	}
	for name, change := range map[string]func(*call.Leg, *call.Device){
		"waking":       func(l *call.Leg, _ *call.Device) { l.Status = call.LegWaking },
		"confirmed":    func(l *call.Leg, _ *call.Device) { l.Status = call.LegConfirmed },
		"ended":        func(l *call.Leg, _ *call.Device) { l.Status = call.LegCanceled },
		"held back":    func(l *call.Leg, _ *call.Device) { l.HeldBack = true },
		"an alert":     func(l *call.Leg, _ *call.Device) { l.Channel = call.PushKitAlert },
		"another user": func(_ *call.Leg, d *call.Device) { d.UserID = "u3" },
		"a dead token": func(_ *call.Leg, d *call.Device) {
			d.Tokens[call.TokenPushKit] = call.Token{Value: "MA", State: call.TokenDead}
		},
	} {
		s, d := accepted(t, call.PushKitVoIP, call.DefaultRing)
		change(&s.call.Legs[0], &d)
		if got := s.call.WakeOnceMore(leg, d, allConfigured, start.Add(second)); got != "" {
			t.Errorf("%s: it is woken over %q", name, got)
		}
	}
	for when, at := range map[string]time.Time{"in time": start.Add(41 * second), "too late": start.Add(42 * second)} {
		s, d := accepted(t, call.PushKitVoIP, call.DefaultRing)
		if got := s.call.WakeOnceMore(leg, d, allConfigured, at); (got != "") != (when == "in time") {
			t.Errorf("%s it is woken over %q", when, got)
		}
	}
	s, d = accepted(t, call.PushKitVoIP, call.DefaultRing)
	s.call.Legs[0].HeldBack = true
	if got := s.call.WakeAgain(leg, call.DefaultPolicy(), d, allConfigured, start.Add(20*second)); got != "" {
		t.Errorf("held back, it is woken over %q", got)
	}
	if got := s.call.WakeOnceMore(uuid.New(), d, allConfigured, start.Add(second)); got != "" {
		t.Errorf("another call's leg is woken over %q", got)
	}
}
