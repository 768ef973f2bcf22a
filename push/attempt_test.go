package push_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/push"
	"github.com/pushwake/relay/push/pushkit/pushkitsim"
	"github.com/pushwake/relay/store"
)

// one is a rig with one process, one app and one phone, that of user u.
func one(t *testing.T, changes ...func(*settings)) (*rig, *process) {
	t.Helper()
	r := newRig(t)
	p := r.process(changes...)
	r.install(p, app)
	p.phone(app, "u")
	return r, p
}

func backoff(pauses ...time.Duration) func(*settings) {
	return func(s *settings) { s.push.Backoff = pauses }
}

func times(n int, d time.Duration) (all []time.Duration) {
	for range n {
		all = append(all, d)
	}
	return all
}

func TestAccepted(t *testing.T) {
	t.Parallel()
	r, p := one(t)
	c := p.invite(app, "u")
	l := p.leg(c, call.LegHandedOver)
	got := r.sent("u")
	attempts := p.attempts(c)
	if len(got) != 1 || len(attempts) != 1 {
		t.Fatalf("%d messages, %d attempts, want one of each", len(got), len(attempts))
	}
	m, a := got[0], attempts[0]
	if m.biTag != a.ID.String() || m.leg != l.ID || m.token != "wake-"+l.ID.String() {
		t.Errorf("the message %+v is not of the attempt %s of the leg %s", m, a.ID, l.ID)
	}
	if left := c.ExpiresAt.Sub(m.at); m.ttl < left-3*time.Second || m.ttl > left+10*time.Millisecond {
		t.Errorf("a ttl of %s with %s of the ring left", m.ttl, left)
	}
	if a.Number != 1 || a.Outcome != string(push.Accepted) || a.Blame != string(call.BlameNone) || a.Reason != "" || a.Status != 200 || a.Code != "80000000" || a.RequestID == "" {
		t.Errorf("on record: %+v", a)
	}
	p.idle()
}

// TestRetry: what the vendor could not take now it gets again, after a pause,
// as the same wake under a new attempt.
func TestRetry(t *testing.T) {
	t.Parallel()
	r, p := one(t, backoff(200*time.Millisecond, 200*time.Millisecond, 200*time.Millisecond))
	r.faults(pushkitsim.Fault{Status: 500, Count: 1}, pushkitsim.Fault{Status: 502, Count: 1}, pushkitsim.Fault{Status: 503, Count: 1})
	c := p.invite(app, "u")
	l := p.leg(c, call.LegHandedOver)
	want := []string{"1 unavailable vendor_unavailable", "2 unavailable vendor_unavailable", "3 throttled vendor_throttled", "4 accepted"}
	if diff := cmp.Diff(want, p.outcomes(c)); diff != "" {
		t.Fatal(diff)
	}
	got := r.sent("u")
	if len(got) != 4 {
		t.Fatalf("%d messages, want 4", len(got))
	}
	attempts := p.attempts(c)
	for i, m := range got {
		if m.leg != l.ID || m.biTag != attempts[i].ID.String() {
			t.Errorf("message %d is of another leg or attempt: %+v", i+1, m)
		}
		if i > 0 && m.at.Sub(got[i-1].at) < 95*time.Millisecond { // half the pause is the least that jitter leaves; times are in whole ms
			t.Errorf("message %d came %s after the one before", i+1, m.at.Sub(got[i-1].at))
		}
	}
}

func TestRetriesExhausted(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		status int
		reason call.Reason
	}{{500, call.ReasonVendorUnavailable}, {503, call.ReasonVendorThrottled}} {
		t.Run(string(tc.reason), func(t *testing.T) {
			t.Parallel()
			r, p := one(t, backoff(times(2, 5*time.Millisecond)...))
			r.faults(pushkitsim.Fault{Status: tc.status})
			c := p.invite(app, "u")
			if l := p.leg(c, call.LegFailed); l.Reason != tc.reason {
				t.Errorf("the leg failed as %s, want %s", l.Reason, tc.reason)
			}
			if end := p.look(c); end.Status != call.StatusEnded || end.EndReason != call.EndFailed {
				t.Errorf("the call is %s, %s", end.Status, end.EndReason)
			}
			p.idle()
			if n := len(r.sent("u")); n != 3 || len(p.attempts(c)) != 3 {
				t.Errorf("%d messages, %d attempts; want one and two retries", n, len(p.attempts(c)))
			}
		})
	}
}

// TestNothingAfterTheRing: however many retries are left, none begins later
// than Margin before the ring ends.
func TestNothingAfterTheRing(t *testing.T) {
	t.Parallel()
	const margin = 800 * time.Millisecond
	r, p := one(t, backoff(times(100, 50*time.Millisecond)...), func(s *settings) { s.push.Margin = margin })
	r.faults(pushkitsim.Fault{Status: 503})
	c, err := p.tryInvite(app, "u", 2*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	l := p.leg(c, call.LegFailed)
	if l.Reason != call.ReasonVendorThrottled || !l.EndedAt.Before(c.ExpiresAt) {
		t.Errorf("the leg failed as %s at %s, the ring ended at %s", l.Reason, l.EndedAt, c.ExpiresAt)
	}
	p.idle()
	got := r.sent("u")
	if len(got) < 4 {
		t.Errorf("only %d messages in a ring of 2 s", len(got))
	}
	for i, m := range got {
		if left := c.ExpiresAt.Sub(m.at); left < margin/2 {
			t.Errorf("message %d came with %s of the ring left", i+1, left)
		}
	}
	for _, a := range p.attempts(c) {
		if left := c.ExpiresAt.Sub(a.StartedAt); left < margin-200*time.Millisecond {
			t.Errorf("attempt %d began with %s of the ring left", a.Number, left)
		}
	}
}

func TestTooLittleLeft(t *testing.T) {
	t.Parallel()
	r, p := one(t, func(s *settings) { s.push.Margin = 3 * time.Second })
	c, err := p.tryInvite(app, "u", 2*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if l := p.leg(c, call.LegFailed); l.Reason != call.ReasonDeadlinePassed {
		t.Errorf("the leg failed as %s", l.Reason)
	}
	if n := len(r.authorizations()); n != 0 || len(p.attempts(c)) != 0 {
		t.Errorf("%d requests, %d attempts; want none", n, len(p.attempts(c)))
	}
}

// TestLostAnswer: a message that was taken comes a second time, as the same
// leg, since nobody can know.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	r, p := one(t)
	r.faults(pushkitsim.Fault{LoseAnswer: true, Count: 1})
	c := p.invite(app, "u")
	l := p.leg(c, call.LegHandedOver)
	got := r.sent("u")
	if len(got) != 2 || got[0].leg != l.ID || got[1].leg != l.ID || got[0].verdict != "lost_answer" || got[1].verdict != "accepted" || got[0].biTag == got[1].biTag {
		t.Errorf("the vendor got %+v", got)
	}
	if diff := cmp.Diff([]string{"1 unavailable vendor_unavailable", "2 accepted"}, p.outcomes(c)); diff != "" {
		t.Error(diff)
	}
}

func TestAttemptTimeout(t *testing.T) {
	t.Parallel()
	const limit = 250 * time.Millisecond
	r, p := one(t, func(s *settings) { s.push.AttemptTimeout = limit })
	r.faults(pushkitsim.Fault{Stall: true, Count: 1})
	c := p.invite(app, "u")
	p.leg(c, call.LegHandedOver)
	if diff := cmp.Diff([]string{"1 unavailable vendor_unavailable", "2 accepted"}, p.outcomes(c)); diff != "" {
		t.Fatal(diff)
	}
	if took := p.attempts(c)[0]; took.FinishedAt.Sub(took.StartedAt) < limit-20*time.Millisecond || took.FinishedAt.Sub(took.StartedAt) > limit+1500*time.Millisecond {
		t.Errorf("the stalled attempt took %s", took.FinishedAt.Sub(took.StartedAt))
	}
}

// TestNoLongerWanted: while a wake waits for its retry, the call ends or the
// app confirms. Another process hears of it; no further message goes out.
func TestNoLongerWanted(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		fault pushkitsim.Fault
		do    func(*process, call.Call) error
		want  call.LegStatus
	}{
		"canceled": {pushkitsim.Fault{Status: 503, Count: 1}, func(p *process, c call.Call) error {
			_, err := p.CancelCall(p.t.Context(), app, c.ID)
			return err
		}, call.LegCanceled},
		"confirmed": {pushkitsim.Fault{LoseAnswer: true, Count: 1}, func(p *process, c call.Call) error {
			_, err := p.ConfirmLeg(p.t.Context(), store.Party{AppID: app, CallID: c.ID, DeviceID: "phone-u"}, call.Confirmation{Source: call.SourcePush, VendorCallID: "v1"})
			return err
		}, call.LegConfirmed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, p := one(t, backoff(2*time.Second))
			other := r.process()
			r.faults(tc.fault)
			c := p.invite(app, "u")
			p.recorded(c, 1)
			if err := tc.do(other, c); err != nil {
				t.Fatal(err)
			}
			p.idle()
			if n, err := p.TakeOver(t.Context()); n != 0 || err != nil {
				t.Errorf("took over %d wakes, %v", n, err)
			}
			if n := len(r.sent("u")); n != 1 || len(p.attempts(c)) != 1 {
				t.Errorf("%d messages, attempts %q; want one of each", n, p.outcomes(c))
			}
			p.leg(c, tc.want)
		})
	}
}

func TestFull(t *testing.T) {
	t.Parallel()
	r, p := one(t, func(s *settings) { s.push.MostInHand, s.push.AttemptTimeout = 2, 20*time.Second })
	p.phone(app, "v")
	r.faults(pushkitsim.Fault{LatencyMS: 1500})
	first, second := p.invite(app, "u"), p.invite(app, "v")
	if !p.Full() {
		t.Error("two wakes in hand, and not full")
	}
	if _, err := p.tryInvite(app, "u", time.Minute); err != store.ErrBusy {
		t.Errorf("an invite to a full process: %v", err)
	}
	p.leg(first, call.LegHandedOver)
	p.leg(second, call.LegHandedOver)
	p.idle()
	if p.Full() {
		t.Error("nothing in hand, and full")
	}
}
