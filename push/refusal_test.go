package push_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/push"
	"github.com/pushwake/relay/push/pushkit/pushkitsim"
	"github.com/pushwake/relay/store"
)

// TestAuthorizationRefused: exactly one more attempt follows, at once and with
// a fresh JWT.
func TestAuthorizationRefused(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		count int
		want  []string
		leg   call.LegStatus
	}{
		"once":   {1, []string{"1 unauthenticated vendor_refused", "2 accepted"}, call.LegHandedOver},
		"always": {0, []string{"1 unauthenticated vendor_refused", "2 unauthenticated vendor_refused"}, call.LegFailed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, p := one(t, backoff(times(4, 10*time.Second)...)) // a retry with back-off would be noticed
			r.faults(pushkitsim.Fault{Code: "80200005", Count: tc.count})
			c := p.invite(app, "u")
			l := p.leg(c, tc.leg)
			if tc.leg == call.LegFailed && l.Reason != call.ReasonVendorRefused {
				t.Errorf("the leg failed as %s", l.Reason)
			}
			p.idle()
			if diff := cmp.Diff(tc.want, p.outcomes(c)); diff != "" {
				t.Error(diff)
			}
			a, got := r.authorizations(), r.sent("u")
			if len(a) != 2 || len(got) != 2 || a[0] == a[1] {
				t.Fatalf("%d requests, or the same JWT again", len(a))
			}
			if d := got[1].at.Sub(got[0].at); d > 4*time.Second {
				t.Errorf("the second came after %s", d)
			}
		})
	}
}

func TestTokenDead(t *testing.T) {
	t.Parallel()
	r, p := one(t)
	if err := r.sim.SetToken(token("u"), pushkitsim.Token{Reason: "tokenFormatError"}); err != nil {
		t.Fatal(err)
	}
	c := p.invite(app, "u")
	if l := p.leg(c, call.LegFailed); l.Reason != call.ReasonTokenDead {
		t.Errorf("the leg failed as %s", l.Reason)
	}
	if end := p.look(c); end.EndReason != call.EndUnreachable {
		t.Errorf("the call ended as %s", end.EndReason)
	}
	p.skipped("u", call.ReasonTokenDead)
	if n := len(r.sent("u")); n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
}

// skipped wants the next invite of a user to skip its phone.
func (p *process) skipped(user string, reason call.Reason) {
	p.t.Helper()
	l := p.invite(app, user).Legs[0]
	if l.Status != call.LegSkipped || l.Reason != reason {
		p.t.Errorf("the next leg is %s %s, want it skipped as %s", l.Status, l.Reason, reason)
	}
}

// TestTokenDoubtful: a refusal that may be the project's fault costs a device
// its token only where another one of the app is reached.
func TestTokenDoubtful(t *testing.T) {
	t.Parallel()
	r, p := one(t)
	p.phone(app, "v")
	if err := r.sim.SetToken(token("u"), pushkitsim.Token{State: pushkitsim.Foreign}); err != nil {
		t.Fatal(err)
	}
	for range 2 { // were the token dead, the second would not be sent
		c := p.invite(app, "u")
		if l := p.leg(c, call.LegFailed); l.Reason != call.ReasonVendorRefused {
			t.Errorf("the leg failed as %s", l.Reason)
		}
		if end := p.look(c); end.EndReason != call.EndFailed {
			t.Errorf("the call ended as %s", end.EndReason)
		}
		if a := p.attempts(c)[0]; a.Reason != call.ReasonVendorRefused || a.Blame != string(call.BlameUs) {
			t.Errorf("on record: %+v", a)
		}
	}
	p.leg(p.invite(app, "v"), call.LegHandedOver)
	c := p.invite(app, "u")
	if l := p.leg(c, call.LegFailed); l.Reason != call.ReasonTokenDead {
		t.Errorf("the leg failed as %s", l.Reason)
	}
	if end := p.look(c); end.EndReason != call.EndUnreachable {
		t.Errorf("the call ended as %s", end.EndReason)
	}
	if a := p.attempts(c)[0]; a.Reason != call.ReasonTokenDead || a.Blame != string(call.BlameDevice) || a.Outcome != string(push.TokenRefused) {
		t.Errorf("on record: %+v", a)
	}
	p.skipped("u", call.ReasonTokenDead)
	if n := len(r.sent("u")); n != 3 {
		t.Errorf("%d messages, want 3", n)
	}
}

// TestBreaker: after 20 failures in a row an app's lane is closed for a
// second; another app's is not.
func TestBreaker(t *testing.T) {
	t.Parallel()
	const sick, well = "sick", "well"
	r := newRig(t)
	p := r.process(backoff(times(60, 20*time.Millisecond)...), func(s *settings) { s.push.InFlight = 1 })
	r.install(p, sick)
	r.install(p, well)
	r.faults(pushkitsim.Fault{Project: project(sick), Status: 500})
	var calls []call.Call
	users := []string{"u1", "u2", "u3", "u4"}
	for _, u := range users {
		p.phone(sick, u)
		calls = append(calls, p.invite(sick, u))
	}
	count := func() (n int) {
		for _, u := range users {
			n += len(r.sent(u))
		}
		return n
	}
	eventually(t, func() string { return "20 failures" }, func() bool { return count() >= 20 })
	r.faults()
	p.phone(well, "v")
	p.leg(p.invite(well, "v"), call.LegHandedOver)
	for _, c := range calls {
		p.leg(c, call.LegHandedOver)
	}
	var failed, accepted []time.Time
	for _, u := range users {
		for _, m := range r.sent(u) {
			if m.verdict == "accepted" {
				accepted = append(accepted, m.at)
			} else {
				failed = append(failed, m.at)
			}
		}
	}
	if len(failed) != 20 || len(accepted) != 4 {
		t.Fatalf("%d failures and %d acceptances, want 20 and 4", len(failed), len(accepted))
	}
	for _, at := range accepted {
		for _, f := range failed {
			if at.Sub(f) < 990*time.Millisecond {
				t.Errorf("sent %s after a failure, through an open breaker", at.Sub(f))
			}
		}
	}
}

// TestCredentialReplaced: a new key is looked for after Recheck, and not
// before; meanwhile the lane sends on.
func TestCredentialReplaced(t *testing.T) {
	t.Parallel()
	const recheck = 100 * time.Millisecond
	r, p := one(t, func(s *settings) { s.push.Recheck = recheck })
	lazy := r.process(func(s *settings) { s.push.Recheck = time.Hour })
	send := func(p *process) string {
		t.Helper()
		c := p.invite(app, "u")
		p.leg(c, call.LegHandedOver)
		a := r.authorizations()
		key := keyID(t, a[len(a)-1])
		leg := p.look(c).Legs[0]
		answer := []call.Report{{Seq: 1, Event: call.ReportAnswered, At: time.Now()}} // else a notice would follow, with a key of its own time
		if _, err := p.ReportLeg(t.Context(), store.Party{AppID: app, CallID: c.ID, DeviceID: leg.DeviceID, UserID: leg.UserID}, answer); err != nil {
			t.Fatal(err)
		}
		if _, err := p.EndCall(t.Context(), app, c.ID); err != nil {
			t.Fatal(err)
		}
		return key
	}
	old := send(p)
	if send(lazy) != old {
		t.Error("two processes have different keys")
	}
	r.credential(p, app)
	began := time.Now()
	for send(p) == old { // what finds the lane due for a look still goes out with the old key
		if time.Since(began) > recheck+5*time.Second {
			t.Fatal("the old key is still used")
		}
	}
	if send(lazy) != old {
		t.Error("the lane was opened again before Recheck")
	}
}

// TestNoCredential: without a credential, or with one that does not open, a wake
// is given up at once, and a preview says why.
func TestNoCredential(t *testing.T) {
	t.Parallel()
	for name, refusal := range map[string]error{"none": store.ErrNotFound, "bad": errors.New("it is no key")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, p := one(t, func(s *settings) {
				s.senders = func(*process) func(context.Context, string, call.Vendor) (push.Sender, error) {
					return func(context.Context, string, call.Vendor) (push.Sender, error) { return nil, refusal }
				}
			})
			c := p.invite(app, "u")
			if l := p.leg(c, call.LegFailed); l.Reason != call.ReasonChannelNotConfigured {
				t.Errorf("the leg failed as %s", l.Reason)
			}
			end := p.look(c)
			if end.EndReason != call.EndUnreachable || end.EndedAt.Sub(end.CreatedAt) > 10*time.Second {
				t.Errorf("the call ended as %s after %s", end.EndReason, end.EndedAt.Sub(end.CreatedAt))
			}
			if n := len(r.authorizations()); n != 0 || p.gauge("relay_wakes_given_up_total") != 1 {
				t.Errorf("%d requests, %v given up", n, p.gauge("relay_wakes_given_up_total"))
			}
			var unusable *push.UnusableError
			_, err := p.Preview(t.Context(), store.Wake{AppID: app, Channel: call.PushKitVoIP, Token: "t"})
			if !errors.Is(err, refusal) || errors.As(err, &unusable) != (name == "bad") {
				t.Errorf("a preview: %v", err)
			}
		})
	}
}
