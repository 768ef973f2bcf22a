package store_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/store"
)

// iPhone registers a phone with CallKit outside mainland China, with a token for
// VoIP pushes and, unless a change takes it away, one for alerts.
func iPhone(t testing.TB, s *store.Store, user, device string, change ...func(*store.Registration)) {
	t.Helper()
	about := func(r *store.Registration) {
		r.Device.Platform, r.Device.SystemVersion, r.Device.CallUI = call.IOS, "18.1", call.CallKit
		r.Tokens = map[call.TokenName]string{call.TokenAPNsVoIP: "aa" + device, call.TokenAPNsAlert: "bb" + device}
		r.Region = map[call.EvidenceSource]string{call.FromBackend: "SG"}
	}
	phone(t, s, user, device, append([]func(*store.Registration){about}, change...)...)
	err := s.PutCredential(t.Context(), store.Credential{AppID: app, Vendor: call.APNs, Secret: []byte("{}")})
	if err != nil {
		t.Fatal(err)
	}
}

func ringing(user string, ring time.Duration) store.Invite {
	in := invite(user)
	in.Ring = ring
	return in
}

// sweep has stores look at once for what is due.
func sweep(t testing.TB, stores ...*store.Store) {
	t.Helper()
	var all sync.WaitGroup
	for _, s := range stores {
		all.Go(func() {
			if _, err := s.SweepDeadlines(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// woken are the wakes of a device so far as "number channel presentation".
func (b *inbox) woken(device string) (got []string) {
	for _, w := range b.all() {
		if w.DeviceID == device {
			got = append(got, fmt.Sprint(w.Number, " ", w.Channel, " ", w.Payload.Presentation))
		}
	}
	return got
}

// TestEscalation takes one leg from the vendor's acceptance to the end of a long
// ring: an alert after 8 s, the mark after 15, a second VoIP push after 60.
func TestEscalation(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	phone(t, r.Store, "u2", "d1", withToken("T1"))
	c := create(t, r.Store, ringing("u2", 120*time.Second))
	handOver(t, r, c, "d1")
	if l := legOf(t, look(t, r.Store, c.ID), "d1"); l.WakeChannel != call.PushKitVoIP || !l.EscalatedAt.IsZero() {
		t.Errorf("the leg after its first wake: %+v", l)
	}
	r.pass(t, 7*time.Second)
	sweep(t, r.Store)
	first := []string{"1 push_kit_voip call_service_kit"}
	if diff := cmp.Diff(first, r.inbox.woken("d1")); diff != "" {
		t.Fatalf("after 7 s: %s", diff)
	}
	r.pass(t, time.Second)
	sweep(t, r.Store)
	second := append(first, "2 push_kit_alert alert")
	if diff := cmp.Diff(second, r.inbox.woken("d1")); diff != "" {
		t.Fatalf("after 8 s: %s", diff)
	}
	w := r.inbox.of(t, c, "d1")
	l := legOf(t, look(t, r.other, c.ID), "d1")
	if l.Status != call.LegHandedOver || l.Channel != call.PushKitVoIP || l.WakeChannel != call.PushKitAlert || l.EscalatedAt.IsZero() || !l.NoWakeAt.IsZero() {
		t.Errorf("the leg: %+v", l)
	}
	if left := time.Until(w.RingEnd); w.Token != "T1" || w.LegID != l.ID || left > 112*time.Second || left < 105*time.Second {
		t.Errorf("the wake: %+v, %s before the ring's end", w, left)
	}
	if wanted, err := r.WakeWanted(t.Context(), w); !wanted || err != nil || !r.InHand(l.ID) {
		t.Errorf("the wake is wanted: %v, %v; in hand: %v", wanted, err, r.InHand(l.ID))
	}
	finish(t, r.Store, w, store.Outcome{Attempt: attempt(r, w), Next: store.WakeAccepted}, false)
	now := legOf(t, look(t, r.other, c.ID), "d1")
	if l.AlertedAt = now.AlertedAt; l.AlertedAt.IsZero() {
		t.Error("the notification that was accepted is not noted")
	}
	if cmp.Diff(l, now) != "" || r.InHand(l.ID) {
		t.Errorf("its acceptance changed the leg: %s", cmp.Diff(l, now))
	}
	sweep(t, r.Store)
	r.pass(t, 7*time.Second)
	sweep(t, r.Store)
	if l := legOf(t, look(t, r.other, c.ID), "d1"); l.NoWakeAt.IsZero() || l.Status != call.LegHandedOver {
		t.Errorf("after 15 s: %+v", l)
	}
	r.pass(t, 44*time.Second)
	sweep(t, r.Store)
	if diff := cmp.Diff(second, r.inbox.woken("d1")); diff != "" {
		t.Fatalf("after 59 s: %s", diff)
	}
	r.pass(t, time.Second)
	sweep(t, r.Store)
	if diff := cmp.Diff(append(second, "3 push_kit_voip call_service_kit"), r.inbox.woken("d1")); diff != "" {
		t.Fatalf("after 60 s: %s", diff)
	}
	w = r.inbox.of(t, c, "d1")
	finish(t, r.Store, w, store.Outcome{Attempt: attempt(r, w), Next: store.WakeAccepted}, false)
	if diff := cmp.Diff([]string{"1 accepted", "2 accepted", "3 accepted"}, attemptsOf(t, r, c)); diff != "" {
		t.Error(diff)
	}
	if n := read[int](t, r, `SELECT count(*)::int FROM legs WHERE confirm_due_at IS NOT NULL OR wake_process IS NOT NULL`); n != 0 {
		t.Errorf("%d legs are due or owned after all was done", n)
	}
	// Each of the three is an event that tells of it.
	if got := read[[]bool](t, r, `SELECT array_agg((data->'l'->0->'x' IS NOT NULL) AND (data->'l'->0->'o' IS NOT NULL) AND (data->'l'->0->'y' IS NOT NULL) ORDER BY call_seq)
		FROM events WHERE type = 'leg.updated'`); !slices.Equal(got, []bool{false, false, false, true}) {
		t.Errorf("the events tell of all three: %v", got)
	}
	if out := confirm(t, r.other, c, "d1"); out.Verdict != call.VerdictRing || !out.Leg.NoWakeAt.IsZero() || out.Leg.EscalatedAt.IsZero() {
		t.Errorf("a late confirm: %+v", out)
	}
	wantNotices(t, r, c, "d1 revoke") // the alert is not true any more
}

// TestEndStopsEscalation: a second wake that waits for its retry is no longer
// wanted when the call ends.
func TestEndStopsEscalation(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	phone(t, r.Store, "u2", "d1")
	c := create(t, r.Store, invite("u2"))
	handOver(t, r, c, "d1")
	r.pass(t, 8*time.Second)
	sweep(t, r.Store)
	w := r.inbox.of(t, c, "d1")
	finish(t, r.Store, w, store.Outcome{Attempt: attempt(r, w), Next: store.WakeAgain}, true)
	w.Number++
	if wanted, err := r.WakeWanted(t.Context(), w); !wanted || err != nil {
		t.Errorf("the retry is wanted: %v, %v", wanted, err)
	}
	if wanted, err := r.other.WakeWanted(t.Context(), w); wanted || err != nil {
		t.Errorf("another process's retry is wanted: %v, %v", wanted, err)
	}
	if _, err := r.other.CancelCall(t.Context(), app, c.ID); err != nil {
		t.Fatal(err)
	}
	if wanted, err := r.WakeWanted(t.Context(), w); wanted || err != nil {
		t.Errorf("the retry for an ended call is wanted: %v, %v", wanted, err)
	}
	finish(t, r.Store, w, store.Outcome{Next: store.WakeGivenUp, Reason: call.ReasonVendorUnavailable}, false)
	if l := legOf(t, look(t, r.Store, c.ID), "d1"); l.Status != call.LegCanceled || l.Reason != "" {
		t.Errorf("the leg: %+v", l)
	}
}

// TestSecondWakeFails: whatever the vendor says of it, the leg may still ring.
func TestSecondWakeFails(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	iPhone(t, r.Store, "u2", "d1")
	c := create(t, r.Store, invite("u2"))
	handOver(t, r, c, "d1")
	r.pass(t, 8*time.Second)
	sweep(t, r.Store)
	w := r.inbox.of(t, c, "d1")
	if w.Channel != call.APNsAlert || w.Token != "bbd1" || w.Number != 2 || w.Payload.Presentation != call.Alert {
		t.Fatalf("the wake: %+v", w)
	}
	before := legOf(t, look(t, r.Store, c.ID), "d1")
	refused := attempt(r, w)
	refused.Outcome, refused.Reason = "token_refused", call.ReasonTokenDead
	finish(t, r.Store, w, store.Outcome{Attempt: refused, Next: store.WakeGivenUp, Reason: call.ReasonTokenDead, TokenState: call.TokenDead}, false)
	now := look(t, r.Store, c.ID)
	if diff := cmp.Diff(before, legOf(t, now, "d1")); diff != "" || !now.Live() {
		t.Errorf("a failed second wake changed the leg: %s", diff)
	}
	if diff := cmp.Diff([]string{"1 accepted", "2 token_refused"}, attemptsOf(t, r, c)); diff != "" {
		t.Error(diff)
	}
	tokens := deviceOf(t, r, "d1").Tokens
	if tokens[call.TokenAPNsAlert].State != call.TokenDead || tokens[call.TokenAPNsVoIP].State != call.TokenAlive {
		t.Errorf("the tokens: %+v", tokens)
	}
	r.pass(t, 7*time.Second)
	sweep(t, r.Store)
	if l := legOf(t, look(t, r.Store, c.ID), "d1"); l.NoWakeAt.IsZero() {
		t.Errorf("not marked after a second wake that failed: %+v", l)
	}
	if out := confirm(t, r.Store, c, "d1"); out.Verdict != call.VerdictRing {
		t.Errorf("a late confirm: %+v", out)
	}
}

// TestLateSweep: nobody swept for 20 s. What is due is done then: the wake and
// the mark.
func TestLateSweep(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	phone(t, r.Store, "u2", "d1")
	c := create(t, r.Store, invite("u2"))
	handOver(t, r, c, "d1")
	r.pass(t, 20*time.Second)
	sweep(t, r.Store)
	l := legOf(t, look(t, r.Store, c.ID), "d1")
	if l.EscalatedAt.IsZero() || !l.NoWakeAt.Equal(l.EscalatedAt) || l.EscalatedAt.Sub(l.HandedOverAt) < 20*time.Second {
		t.Errorf("the leg: %+v", l)
	}
	if diff := cmp.Diff([]string{"1 push_kit_voip call_service_kit", "2 push_kit_alert alert"}, r.inbox.woken("d1")); diff != "" {
		t.Error(diff)
	}
}

// TestNotEscalated: without a token, a credential or a next channel there is no
// second wake, and the mark comes in its time.
func TestNotEscalated(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*testing.T, *rig){
		"no token": func(t *testing.T, r *rig) {
			iPhone(t, r.Store, "u2", "d1", func(r *store.Registration) { r.Tokens[call.TokenAPNsAlert] = "" })
		},
		"dead token": func(t *testing.T, r *rig) {
			r.exec(t, `UPDATE device_tokens SET state = 'dead' WHERE name = 'apns_alert'`)
		},
		"no credential": func(t *testing.T, r *rig) { r.exec(t, `DELETE FROM credentials WHERE vendor = 'apns'`) },
		// As where the process died before it let the legs go.
		"other user": func(t *testing.T, r *rig) { r.exec(t, `UPDATE devices SET user_id = 'u3'`) },
		"deleted":    func(t *testing.T, r *rig) { r.exec(t, `UPDATE devices SET deleted_at = clock_timestamp()`) },
		"policy": func(t *testing.T, r *rig) {
			makeApp(t, r.Store, app, func(p *call.Policy) { p.Escalation = map[call.Platform][]call.Channel{call.IOS: {}} })
		},
		"short ring": func(t *testing.T, r *rig) { r.exec(t, `UPDATE calls SET expires_at = created_at + interval '10.9 s'`) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			iPhone(t, r.Store, "u2", "d1")
			c := create(t, r.Store, invite("u2"))
			handOver(t, r, c, "d1")
			change(t, r)
			r.pass(t, 8*time.Second)
			sweep(t, r.Store, r.other)
			if l := legOf(t, look(t, r.Store, c.ID), "d1"); !l.EscalatedAt.IsZero() || !l.NoWakeAt.IsZero() || l.Status != call.LegHandedOver {
				t.Errorf("after 8 s: %+v", l)
			}
			r.pass(t, 7*time.Second)
			sweep(t, r.Store, r.other)
			if l := legOf(t, look(t, r.Store, c.ID), "d1"); !l.EscalatedAt.IsZero() || l.NoWakeAt.IsZero() {
				t.Errorf("after 15 s: %+v", l)
			}
			if n := len(r.inbox.all()); n != 1 {
				t.Errorf("%d wakes, want 1", n)
			}
			if n := read[int](t, r, `SELECT count(*)::int FROM legs WHERE confirm_due_at IS NOT NULL`); n != 0 {
				t.Error("the leg is still due")
			}
		})
	}
}

// TestRewake: the second VoIP push of Push Kit needs a ring that leaves time for
// it, and waits for a wake that is under way.
func TestRewake(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	phone(t, r.Store, "u2", "short")
	phone(t, r.Store, "u3", "long")
	iPhone(t, r.Store, "u4", "apple")
	for user, ring := range map[string]time.Duration{"u2": 63 * time.Second, "u3": 66 * time.Second, "u4": 120 * time.Second} {
		c := create(t, r.Store, ringing(user, ring))
		handOver(t, r, c, c.Legs[0].DeviceID)
	}
	r.pass(t, 8*time.Second)
	sweep(t, r.Store)
	r.pass(t, 52*time.Second)
	sweep(t, r.Store) // the alerts are still under way
	sweep(t, r.Store)
	if n := len(r.inbox.all()); n != 6 {
		t.Fatalf("%d wakes, want each device's two", n)
	}
	for _, w := range r.inbox.all()[3:] {
		finish(t, r.Store, w, store.Outcome{Next: store.WakeGivenUp, Reason: call.ReasonVendorUnavailable}, false)
	}
	sweep(t, r.Store)
	sweep(t, r.other)
	want := map[string][]string{
		"short": {"1 push_kit_voip call_service_kit", "2 push_kit_alert alert"},
		"long":  {"1 push_kit_voip call_service_kit", "2 push_kit_alert alert", "3 push_kit_voip call_service_kit"},
		"apple": {"1 apns_voip callkit", "2 apns_alert alert"},
	}
	for device, want := range want {
		if diff := cmp.Diff(want, r.inbox.woken(device)); diff != "" {
			t.Errorf("%s: %s", device, diff)
		}
	}
}

// TestOlderWake: a leg that a program from before there were second wakes left
// behind is taken over over its own channel.
func TestOlderWake(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	phone(t, r.Store, "u2", "d1")
	c := create(t, r.other, invite("u2"))
	r.exec(t, `UPDATE legs SET wake_channel = NULL`)
	silence(t, r, r.other)
	if n, err := r.TakeOver(t.Context()); n != 1 || err != nil {
		t.Fatalf("took %d, %v; want 1", n, err)
	}
	if w := r.inbox.of(t, c, "d1"); w.Channel != call.PushKitVoIP || w.Token == "" {
		t.Errorf("the wake: %+v", w)
	}
}
