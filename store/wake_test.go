package store_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/store"
)

// finish tells of an attempt, and wants it known whether another may follow.
func finish(t testing.TB, s *store.Store, w store.Wake, o store.Outcome, wantMore bool) {
	t.Helper()
	more, err := s.FinishAttempt(t.Context(), w, o)
	if err != nil || more != wantMore {
		t.Errorf("finish of attempt %d as %s: more %v, %v; want %v", w.Number, o.Next, more, err, wantMore)
	}
}

// attemptsOf are a call's attempts as "number outcome".
func attemptsOf(t testing.TB, r *rig, c call.Call) (got []string) {
	t.Helper()
	_, entries, err := r.Timeline(t.Context(), app, c.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Attempt != nil {
			got = append(got, fmt.Sprint(e.Attempt.Number, " ", e.Attempt.Outcome))
		}
	}
	return got
}

// TestWakesHandedOut: exactly the committed wakes come, before CreateCall
// returns, and say what the vendor and the app need.
func TestWakesHandedOut(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	phone(t, r.Store, "u2", "d1", withToken("T1"), func(r *store.Registration) {
		r.Device.BundleID, r.Device.Environment, r.Device.Locale = "com.example.voip", "sandbox", "zh-CN"
	})
	phone(t, r.Store, "u2", "hk", inCountry(call.FromBackend, "HK"))
	phone(t, r.Store, "u2", "alert", func(r *store.Registration) { r.Device.CallUI = call.Alert })
	in := invite("u2")
	in.Conference = true
	c := create(t, r.Store, in)
	var got []string
	for _, w := range r.inbox.all() {
		got = append(got, fmt.Sprint(w.DeviceID, " ", w.Channel, " ", w.Number))
	}
	slices.Sort(got)
	if diff := cmp.Diff([]string{"alert push_kit_alert 1", "d1 push_kit_voip 1"}, got); diff != "" {
		t.Fatal(diff)
	}
	w := r.inbox.of(t, c, "d1")
	if d := time.Until(w.RingEnd); d < 40*time.Second || d > 45*time.Second {
		t.Errorf("the ring ends in %s", d)
	}
	w.RingEnd = time.Time{}
	want := store.Wake{
		Purpose: call.PurposeRing, AppID: app, CallID: c.ID, LegID: legOf(t, c, "d1").ID, DeviceID: "d1", UserID: "u2", Channel: call.PushKitVoIP, Token: "T1",
		BundleID: "com.example.voip", Environment: "sandbox", Locale: "zh-CN", Number: 1,
		Payload: call.WakePayload{
			Call: c.ID, Leg: legOf(t, c, "d1").ID, Callee: "u2", Presentation: call.CallServiceKit, Media: call.Video, VoiceAnswer: true, Conference: true,
			ExpiresAt: c.ExpiresAt, Enterprise: true, Caller: &call.Party{UserID: "caller", Name: "Li Na"},
		},
	}
	if diff := cmp.Diff(want, w); diff != "" {
		t.Error(diff)
	}
	makeApp(t, r.Store, app, func(p *call.Policy) { p.Payload = call.PayloadMinimal })
	if w := r.inbox.of(t, create(t, r.Store, in), "d1"); w.Payload.Caller != nil {
		t.Errorf("a minimal payload: %+v", w.Payload)
	}
	if _, err := r.DialCall(t.Context(), outgoing("u2", "d1", "c")); err != nil || len(r.inbox.all()) != 4 {
		t.Errorf("%d wakes after an outgoing call, %v; want 4", len(r.inbox.all()), err)
	}
	if n, err := r.TakeOver(t.Context()); n != 0 || err != nil {
		t.Errorf("took over %d of its own, %v", n, err)
	}
}

// TestOutcomes: accepted, tried again, given up, and what fences them.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, d := range []string{"d1", "d2", "d3"} {
		phone(t, r.Store, "u2", d)
	}
	c := create(t, r.Store, invite("u2"))
	first, second, third := r.inbox.of(t, c, "d1"), r.inbox.of(t, c, "d2"), r.inbox.of(t, c, "d3")

	finish(t, r.Store, first, store.Outcome{Attempt: attempt(r, first), Next: store.WakeAgain}, true)
	finish(t, r.Store, first, store.Outcome{Attempt: attempt(r, first), Next: store.WakeAccepted}, false) // the number is an old one
	if l := legOf(t, look(t, r.Store, c.ID), "d1"); l.Status != call.LegWaking {
		t.Errorf("an outcome of an old attempt made the leg %s", l.Status)
	}
	next := first
	next.Number = 2
	finish(t, r.other, next, store.Outcome{Attempt: attempt(r, next), Next: store.WakeAccepted}, false) // not that process's wake
	if l := legOf(t, look(t, r.Store, c.ID), "d1"); l.Status != call.LegWaking {
		t.Errorf("another process's outcome made the leg %s", l.Status)
	}
	finish(t, r.Store, next, store.Outcome{Attempt: attempt(r, next), Next: store.WakeAccepted}, false)
	if l := legOf(t, look(t, r.Store, c.ID), "d1"); l.Status != call.LegHandedOver || l.HandedOverAt.IsZero() {
		t.Errorf("an accepted wake: %+v", l)
	}

	// The app may confirm before the vendor's answer is here: then neither answer changes the leg.
	confirm(t, r.other, c, "d2")
	finish(t, r.Store, second, store.Outcome{Next: store.WakeGivenUp, Reason: call.ReasonVendorUnavailable}, false)
	if l := legOf(t, look(t, r.Store, c.ID), "d2"); l.Status != call.LegConfirmed || l.Reason != "" {
		t.Errorf("a wake given up after the confirm: %+v", l)
	}

	refused := attempt(r, third)
	refused.Outcome, refused.Blame, refused.Reason, refused.Status = "refused", "device", call.ReasonTokenDead, 400
	refused.Code, refused.Message, refused.RequestID = "80300007", "bad \x00 token \xff", "r1"
	finish(t, r.Store, third, store.Outcome{Attempt: refused, Next: store.WakeGivenUp, Reason: call.ReasonTokenDead, TokenState: call.TokenDead}, false)
	if l := legOf(t, look(t, r.Store, c.ID), "d3"); l.Status != call.LegFailed || l.Reason != call.ReasonTokenDead {
		t.Errorf("a wake given up: %+v", l)
	}
	if diff := cmp.Diff([]string{"1 accepted", "1 accepted", "2 accepted", "2 accepted", "1 refused"}, attemptsOf(t, r, c)); diff != "" {
		t.Errorf("on record: %s", diff)
	}
	if n := read[int](t, r, `SELECT count(*)::int FROM legs WHERE wake_process IS NOT NULL`); n != 0 {
		t.Errorf("%d wakes are still owned", n)
	}
	for _, l := range c.Legs {
		if r.InHand(l.ID) {
			t.Errorf("the wake of %s is still in hand", l.DeviceID)
		}
	}
	// The answer to a commit was lost and the outcome is told again: on record once.
	again := *refused
	finish(t, r.Store, third, store.Outcome{Attempt: &again, Next: store.WakeGivenUp, Reason: call.ReasonTokenDead}, false)
	if n := len(attemptsOf(t, r, c)); n != 5 {
		t.Errorf("%d attempts on record after a repeat, want 5", n)
	}
}

// TestEndedWhileSending: no attempt follows for a call that is over.
func TestEndedWhileSending(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	phone(t, r.Store, "u2", "d1")
	c := create(t, r.Store, invite("u2"))
	if _, err := r.other.CancelCall(t.Context(), app, c.ID); err != nil {
		t.Fatal(err)
	}
	w := r.inbox.of(t, c, "d1")
	finish(t, r.Store, w, store.Outcome{Attempt: attempt(r, w), Next: store.WakeAgain}, false)
	if n := read[int](t, r, `SELECT count(*)::int FROM legs WHERE wake_process IS NOT NULL`); n != 0 {
		t.Errorf("%d wakes of an ended call are owned", n)
	}
	if diff := cmp.Diff([]string{"1 accepted"}, attemptsOf(t, r, c)); diff != "" {
		t.Error(diff)
	}
	w.CallID = store.NewID(r.Now())
	_, err := r.FinishAttempt(t.Context(), w, store.Outcome{Next: store.WakeAccepted})
	wantErr(t, "an outcome of no call", err, store.ErrNotFound)
}

// TestDeadToken: a refused token is marked, unless the device has another one
// meanwhile; dead stays dead until the app registers again.
func TestDeadToken(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	phone(t, r.Store, "u2", "d1", withToken("T1"))
	tell := func(state call.TokenState) {
		t.Helper()
		c := create(t, r.Store, invite("u3"))
		w := r.inbox.of(t, c, "d2")
		w.DeviceID, w.UserID, w.Token = "d1", "u2", "T1"
		finish(t, r.Store, w, store.Outcome{Next: store.WakeGivenUp, Reason: call.ReasonTokenDead, TokenState: state}, false)
	}
	phone(t, r.Store, "u3", "d2")
	state := func() call.TokenState { return deviceOf(t, r, "d1").Tokens[call.TokenPushKit].State }
	events := func() int {
		return read[int](t, r, `SELECT count(*)::int FROM events WHERE type = 'device.token_dead' AND call_id IS NULL
			AND data->>'device_id' = 'd1' AND data->>'user_id' = 'u2' AND data->>'token' = 'push_kit'`)
	}
	tell(call.TokenSuspended)
	if state() != call.TokenSuspended || events() != 0 {
		t.Errorf("suspended: %s, %d events", state(), events())
	}
	tell(call.TokenDead)
	tell(call.TokenDead)
	if state() != call.TokenDead || events() != 1 {
		t.Errorf("dead: %s, %d events", state(), events())
	}
	tell(call.TokenSuspended)
	if state() != call.TokenDead {
		t.Errorf("a dead token became %s", state())
	}
	if l := legOf(t, create(t, r.Store, invite("u2")), "d1"); l.Reason != call.ReasonTokenDead {
		t.Errorf("a call to a dead token: %+v", l)
	}
	phone(t, r.Store, "u2", "d1", withToken("T2"))
	tell(call.TokenDead) // late news of T1
	if state() != call.TokenAlive || events() != 1 {
		t.Errorf("a new token: %s, %d events", state(), events())
	}
	// Transactions of other tests on the server may hold the log back for a moment.
	eventually(t, "the dead token in the log", func() bool {
		page, err := r.Events(t.Context(), store.EventQuery{AppID: app, Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(page.Events, func(e store.LoggedEvent) bool {
			return e.Type == call.EventDeviceTokenDead && e.Call == nil && strings.Contains(string(e.Device), `"d1"`)
		})
	})
}

// TestDeadSince: a vendor that tells when a token died speaks of the token as it
// was then; one that the app has registered again after that lives.
func TestDeadSince(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for device, test := range map[string]struct {
		since time.Duration // after the registration
		want  call.TokenState
	}{
		"d1": {-time.Millisecond, call.TokenAlive},
		"d2": {time.Millisecond, call.TokenDead},
	} {
		user := "u-" + device
		phone(t, r.Store, user, device, withToken("T-"+device))
		registered := read[time.Time](t, r, `SELECT registered_at FROM device_tokens WHERE device_id = '`+device+`'`)
		w := r.inbox.of(t, create(t, r.Store, invite(user)), device)
		finish(t, r.Store, w, store.Outcome{
			Next: store.WakeGivenUp, Reason: call.ReasonTokenDead, TokenState: call.TokenDead, DeadSince: registered.Add(test.since),
		}, false)
		if got := deviceOf(t, r, device).Tokens[call.TokenPushKit].State; got != test.want {
			t.Errorf("seen dead %v after its registration the token is %s, want %s", test.since, got, test.want)
		}
	}
}
