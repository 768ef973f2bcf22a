package push_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/push/pushkit"
	"github.com/pushwake/relay/push/pushkit/pushkitsim"
	"github.com/pushwake/relay/store"
)

// cancel withdraws a call.
func (p *process) cancel(c call.Call) {
	p.t.Helper()
	if _, err := p.CancelCall(p.t.Context(), c.AppID, c.ID); err != nil {
		p.t.Fatal(err)
	}
}

// notices are the attempts of a call's notices as "purpose number outcome".
func (p *process) notices(c call.Call) (all []string) {
	p.t.Helper()
	_, entries, err := p.Timeline(p.t.Context(), c.AppID, c.ID)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, e := range entries {
		if a := e.Attempt; a != nil && a.Purpose != call.PurposeRing {
			all = append(all, fmt.Sprint(a.Purpose, " ", a.Number, " ", a.Outcome))
		}
	}
	return all
}

// shows waits until a user's phone shows these notifications, by category.
func (r *rig) shows(user string, want ...string) {
	r.t.Helper()
	var got []string
	eventually(r.t, func() string { return fmt.Sprintf("notifications %v; there are %v", want, got) }, func() bool {
		got = nil
		for _, n := range r.sim.Device(token(user)).Notifications {
			got = append(got, n.Category)
		}
		return cmp.Equal(want, got)
	})
}

// givenUp is why a call's notice was given up; "" while it was not.
func (p *process) givenUp(c call.Call) (reason call.Reason) {
	p.t.Helper()
	_, entries, err := p.Timeline(p.t.Context(), c.AppID, c.ID)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, e := range entries {
		if e.Notice != nil {
			reason = e.Notice.Reason
		}
	}
	return reason
}

// onAlert registers a user's phone as one that is woken by notifications.
func (p *process) onAlert(appID, user string) {
	p.t.Helper()
	_, err := p.PutDevice(p.t.Context(), store.Registration{
		AppID: appID, Device: call.Device{ID: "phone-" + user, UserID: user, Platform: call.HarmonyOS, Type: call.Phone, SystemVersion: "6.1.0(23)", CallUI: call.Alert},
		Tokens: map[call.TokenName]string{call.TokenPushKit: token(user)}, Region: map[call.EvidenceSource]string{call.FromBackend: "CN"},
	})
	if err != nil {
		p.t.Fatal(err)
	}
}

// TestMissedCall: the phone is told, once, and the leg stays as it ended.
func TestMissedCall(t *testing.T) {
	t.Parallel()
	r, p := one(t)
	c := p.invite(app, "u")
	p.leg(c, call.LegHandedOver)
	p.cancel(c)
	r.shows("u", "MISS_CALL")
	p.idle()
	if diff := cmp.Diff([]string{"missed_call 1 accepted"}, p.notices(c)); diff != "" {
		t.Error(diff)
	}
	if l := p.look(c).Legs[0]; l.Status != call.LegCanceled {
		t.Errorf("the leg is %s", l.Status)
	}
	n := r.sim.Device(token("u")).Notifications[0]
	if n.Title != "Li Na" || n.Body != "Missed voice call" || n.AppMessageID != "missed-"+c.ID.String() {
		t.Errorf("%+v", n)
	}
}

// TestNoticeOutlastsAnOutage: the vendor is away for longer than a ring would
// have been tried for.
func TestNoticeOutlastsAnOutage(t *testing.T) {
	t.Parallel()
	r, p := one(t)
	c := p.invite(app, "u")
	p.leg(c, call.LegHandedOver)
	r.faults(pushkitsim.Fault{Status: 503, Count: 7})
	p.cancel(c)
	r.shows("u", "MISS_CALL")
	p.idle()
	var want []string
	for n := range 7 {
		want = append(want, fmt.Sprint("missed_call ", n+1, " throttled"))
	}
	if diff := cmp.Diff(append(want, "missed_call 8 accepted"), p.notices(c)); diff != "" {
		t.Error(diff)
	}
}

// TestNoticeHasAnEnd: ten minutes after it became due a notice is given up.
func TestNoticeHasAnEnd(t *testing.T) {
	t.Parallel()
	r, p := one(t, backoff(20*time.Second))
	c := p.invite(app, "u")
	p.leg(c, call.LegHandedOver)
	r.faults(pushkitsim.Fault{Status: 503})
	p.cancel(c)
	eventually(t, func() string { return "the first attempt" }, func() bool { return len(p.notices(c)) == 1 })
	p.stop()
	r.faults()
	r.sql("", `UPDATE notices SET created_at = created_at - interval '10 min'`)
	heir := r.process()
	eventually(t, func() string { return "the notice to be given up" }, func() bool { return heir.givenUp(c) == call.ReasonDeadlinePassed })
	r.shows("u")
}

// TestNoticeOwnerDies: what waits for a retry is sent by another process.
func TestNoticeOwnerDies(t *testing.T) {
	t.Parallel()
	r, p := one(t, backoff(times(4, 20*time.Second)...))
	c := p.invite(app, "u")
	p.leg(c, call.LegHandedOver)
	r.faults(pushkitsim.Fault{Status: 503, Count: 1})
	p.cancel(c)
	eventually(t, func() string { return "the first attempt" }, func() bool { return len(p.notices(c)) == 1 })
	p.stop()
	heir := r.process()
	r.shows("u", "MISS_CALL")
	heir.idle()
	if diff := cmp.Diff([]string{"missed_call 1 throttled", "missed_call 2 abandoned", "missed_call 3 accepted"}, heir.notices(c)); diff != "" {
		t.Error(diff)
	}
}

// TestNoticesHoldUpNoRing: a vendor that is slow with notices has places left
// for rings.
func TestNoticesHoldUpNoRing(t *testing.T) {
	t.Parallel()
	const users = 8
	r, p := one(t, func(s *settings) { s.push.InFlight, s.push.AttemptTimeout = 4, 20*time.Second })
	var calls []call.Call
	var slow []pushkitsim.Fault
	for i := range users {
		user := fmt.Sprint("slow", i)
		p.phone(app, user)
		calls = append(calls, p.invite(app, user))
		slow = append(slow, pushkitsim.Fault{Token: token(user), Stall: true})
	}
	for _, c := range calls {
		p.leg(c, call.LegHandedOver)
	}
	r.faults(slow...)
	before := len(r.authorizations())
	for _, c := range calls {
		p.cancel(c)
	}
	eventually(t, func() string { return "a notice under way" }, func() bool { return len(r.authorizations()) > before })
	p.leg(p.invite(app, "u"), call.LegHandedOver)
	if n := len(r.authorizations()) - before; n != 2 {
		t.Errorf("%d requests, want a notice and a ring", n)
	}
}

// TestRevoke: the notification of a call goes from the phone when the app
// confirms. Where the key file names no client id, why it does not is on record.
func TestRevoke(t *testing.T) {
	t.Parallel()
	for name, client := range map[string]string{"with a client id": pushkitsim.ClientID(project(app)), "without": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, p := one(t)
			if client != "" {
				file, err := r.sim.NewServiceAccount(project(app))
				if err == nil {
					file, err = pushkit.AddClientID(file, client)
				}
				if err == nil {
					err = p.PutCredential(t.Context(), store.Credential{AppID: app, Vendor: call.PushKit, Secret: file})
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			p.onAlert(app, "a")
			c := p.invite(app, "a")
			p.leg(c, call.LegHandedOver)
			r.shows("a", "VOIP")
			_, err := p.ConfirmLeg(t.Context(), store.Party{AppID: app, CallID: c.ID, DeviceID: "phone-a"}, call.Confirmation{Source: call.SourcePush})
			if err != nil {
				t.Fatal(err)
			}
			if client != "" {
				r.shows("a")
				p.idle()
				if diff := cmp.Diff([]string{"revoke 1 accepted"}, p.notices(c)); diff != "" {
					t.Error(diff)
				}
				return
			}
			eventually(t, func() string { return "the revoke to be given up" }, func() bool { return p.givenUp(c) == call.ReasonChannelNotConfigured })
			if r.shows("a", "VOIP"); len(p.notices(c)) != 0 {
				t.Errorf("attempts: %v", p.notices(c))
			}
		})
	}
}

// TestDeadTokenOfANotice: it is as dead as one that a wake has found.
func TestDeadTokenOfANotice(t *testing.T) {
	t.Parallel()
	r, p := one(t)
	c := p.invite(app, "u")
	p.leg(c, call.LegHandedOver)
	r.faults(pushkitsim.Fault{Code: "80300007", Msg: `{"failure":1,"illegalTokens":{"tokenFormatError":["` + token("u") + `"]}}`, Count: 1})
	p.cancel(c)
	eventually(t, func() string { return "the notice to be given up" }, func() bool { return p.givenUp(c) == call.ReasonTokenDead })
	if l := p.invite(app, "u").Legs[0]; l.Reason != call.ReasonTokenDead {
		t.Errorf("the next call: %+v", l)
	}
}
