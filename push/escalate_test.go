package push_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/push/pushkit/pushkitsim"
	"github.com/pushwake/relay/store"
)

// escalating is one, with an app whose wakes are escalated.
func escalating(t *testing.T, changes ...func(*settings)) (*rig, *process) {
	t.Helper()
	r, p := one(t, changes...)
	p.put(app, call.DefaultPolicy())
	return r, p
}

// pass lets time go by for legs whose apps have not confirmed.
func (r *rig) pass(by time.Duration) {
	r.t.Helper()
	r.sql("", `UPDATE legs SET handed_over_at = handed_over_at - $1::interval, confirm_due_at = confirm_due_at - $1::interval WHERE confirm_due_at IS NOT NULL`, by)
}

// kinds are the wakes that the vendor got for a user's phone, as "push-type verdict", and
// how long it was to keep each, in seconds.
func (r *rig) kinds(user string) (all []string, ttls []int) {
	r.t.Helper()
	for _, m := range r.sim.Messages(token(user), 0) {
		if isNotice(m) {
			continue
		}
		var body struct {
			Options struct {
				TTL int `json:"ttl"`
			} `json:"pushOptions"`
		}
		if err := json.Unmarshal(m.Body, &body); err != nil {
			r.t.Fatal(err)
		}
		all, ttls = append(all, m.Headers["push-type"]+" "+m.Verdict), append(ttls, body.Options.TTL)
	}
	return all, ttls
}

// TestEscalation: an app that does not confirm is woken over an alert, and in a
// long ring by a second VoIP push; all are attempts of one leg.
func TestEscalation(t *testing.T) {
	t.Parallel()
	r, p := escalating(t)
	c, err := p.tryInvite(app, "u", 2*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	before := p.leg(c, call.LegHandedOver)
	r.pass(8 * time.Second)
	p.recorded(c, 2)
	r.pass(52 * time.Second)
	p.recorded(c, 3)
	p.idle()
	if diff := cmp.Diff([]string{"1 accepted", "2 accepted", "3 accepted"}, p.outcomes(c)); diff != "" {
		t.Error(diff)
	}
	var channels []call.Channel
	for _, a := range p.attempts(c) {
		channels = append(channels, a.Channel)
	}
	if diff := cmp.Diff([]call.Channel{call.PushKitVoIP, call.PushKitAlert, call.PushKitVoIP}, channels); diff != "" {
		t.Error(diff)
	}
	got, ttls := r.kinds("u")
	if diff := cmp.Diff([]string{"10 accepted", "0 accepted", "10 accepted"}, got); diff != "" {
		t.Fatal(diff)
	}
	if left := int(c.ExpiresAt.Sub(p.Now()).Seconds()); ttls[0] != 60 || ttls[1] < left || ttls[1] > 120 || ttls[2] != 60 {
		t.Errorf("with %d s left the vendor was to keep them for %v s", left, ttls)
	}
	if l := p.look(c).Legs[0]; l.Status != call.LegHandedOver || !l.NoWakeAt.After(before.HandedOverAt) {
		t.Errorf("the leg: %+v", l)
	}
}

// TestEscalationFails: the retry rules are those of a first wake, but what comes
// of it all leaves the leg as it is.
func TestEscalationFails(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		faults []pushkitsim.Fault
		want   []string
	}{
		"at first":      {[]pushkitsim.Fault{{Status: 503, Count: 1}}, []string{"1 accepted", "2 throttled vendor_throttled", "3 accepted"}},
		"for all tries": {[]pushkitsim.Fault{{Status: 500}}, []string{"1 accepted", "2 unavailable vendor_unavailable", "3 unavailable vendor_unavailable", "4 unavailable vendor_unavailable"}},
		"for good":      {[]pushkitsim.Fault{{Code: "80100003"}}, []string{"1 accepted", "2 refused vendor_refused"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, p := escalating(t, backoff(times(2, 5*time.Millisecond)...))
			c := p.invite(app, "u")
			p.leg(c, call.LegHandedOver)
			r.faults(tc.faults...)
			r.pass(8 * time.Second)
			p.recorded(c, len(tc.want))
			p.idle()
			if diff := cmp.Diff(tc.want, p.outcomes(c)); diff != "" {
				t.Error(diff)
			}
			if now := p.look(c); !now.Live() || now.Legs[0].Status != call.LegHandedOver || now.Legs[0].Reason != "" || now.Legs[0].EscalatedAt.IsZero() {
				t.Errorf("the leg: %+v", now.Legs[0])
			}
		})
	}
}

// TestEscalationNoLongerWanted: while the alert waits for its retry the call
// ends, or the app confirms. No further message goes out.
func TestEscalationNoLongerWanted(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		do   func(*process, call.Call) error
		want call.LegStatus
	}{
		"canceled": {func(p *process, c call.Call) error { _, err := p.CancelCall(p.t.Context(), app, c.ID); return err }, call.LegCanceled},
		"confirmed": {func(p *process, c call.Call) error {
			_, err := p.ConfirmLeg(p.t.Context(), store.Party{AppID: app, CallID: c.ID, DeviceID: "phone-u"}, call.Confirmation{Source: call.SourcePush, VendorCallID: "v1"})
			return err
		}, call.LegConfirmed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, p := escalating(t, backoff(2*time.Second))
			c := p.invite(app, "u")
			p.leg(c, call.LegHandedOver)
			r.faults(pushkitsim.Fault{Status: 503, Count: 1})
			r.pass(8 * time.Second)
			p.recorded(c, 2)
			if err := tc.do(p, c); err != nil {
				t.Fatal(err)
			}
			p.idle()
			if n, err := p.TakeOver(t.Context()); n != 0 || err != nil {
				t.Errorf("took over %d wakes, %v", n, err)
			}
			if got, _ := r.kinds("u"); len(got) != 2 || len(p.attempts(c)) != 2 {
				t.Errorf("the vendor got %q", got)
			}
			p.leg(c, tc.want)
		})
	}
}

// TestEscalatorKilled: the process dies after it committed the second wake and
// before it sent it. Another one sends it.
func TestEscalatorKilled(t *testing.T) {
	t.Parallel()
	dead := false
	r, p := escalating(t, func(s *settings) {
		enqueue := s.store.OnWakes
		s.noRun, s.store.OnWakes = true, func(w []store.Wake) {
			if !dead {
				enqueue(w)
			}
		}
	})
	c := p.invite(app, "u")
	p.leg(c, call.LegHandedOver)
	p.idle()
	dead = true
	r.pass(8 * time.Second)
	if _, err := p.SweepDeadlines(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, _ := r.kinds("u"); len(got) != 1 || p.look(c).Legs[0].EscalatedAt.IsZero() {
		t.Fatalf("the leg: %+v; the vendor got %q", p.look(c).Legs[0], got)
	}
	heir := r.process(func(s *settings) { s.store.SilentAfter = 500 * time.Millisecond })
	heir.recorded(c, 3)
	if diff := cmp.Diff([]string{"1 accepted", "2 abandoned", "3 accepted"}, heir.outcomes(c)); diff != "" {
		t.Error(diff)
	}
	if got, _ := r.kinds("u"); cmp.Diff([]string{"10 accepted", "0 accepted"}, got) != "" {
		t.Errorf("the vendor got %q", got)
	}
	if l := heir.look(c).Legs[0]; l.Status != call.LegHandedOver || heir.handOvers(c) != 1 {
		t.Errorf("the leg: %+v", l)
	}
}
