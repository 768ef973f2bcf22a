package store_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/store"
)

// receipt is one of Push Kit about an attempt, as a test needs it.
func receipt(attempt uuid.UUID, result int64, action call.ReceiptAction) store.Receipt {
	return store.Receipt{Attempt: attempt, Result: result, Action: action, Signed: true, RequestID: "r-1"}
}

// accepted makes one attempt that the vendor accepts, and returns its id.
func (r *rig) accepted(t testing.TB, w store.Wake) uuid.UUID {
	t.Helper()
	now := r.Now()
	a := &store.Attempt{ID: r.NewAttemptID(w.CallID), Purpose: w.Purpose, Number: w.Number, Channel: w.Channel, StartedAt: now, FinishedAt: now, Outcome: "accepted", Blame: "none", Status: 200}
	if _, err := r.FinishAttempt(t.Context(), w, store.Outcome{Attempt: a, Next: store.WakeAccepted}); err != nil {
		t.Fatal(err)
	}
	return a.ID
}

func (r *rig) receives(t testing.TB, s *store.Store, receipts ...store.Receipt) {
	t.Helper()
	if err := s.TakeReceipts(t.Context(), app, receipts); err != nil {
		t.Fatal(err)
	}
}

// told lists the receipts of a call's timeline: result, action, signed or not.
func (r *rig) told(t testing.TB, c call.Call) (all []string) {
	t.Helper()
	_, entries, err := r.Timeline(t.Context(), app, c.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Receipt != nil {
			all = append(all, fmt.Sprintf("%s %d %s %v", e.DeviceID, e.Receipt.Result, e.Receipt.Action, e.Receipt.Signed))
		}
	}
	return all
}

func (r *rig) tokenState(t testing.TB, device string) call.TokenState {
	t.Helper()
	return read[call.TokenState](t, r, `SELECT state FROM device_tokens WHERE app_id = $1 AND device_id = $2`, app, device)
}

func tokenOf(user, device string) string { return registration(user, device).Tokens[call.TokenPushKit] }

// TestReceipts: what each kind of receipt does, once, in any order, and what it
// must not do.
func TestReceipts(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	begin := func(device string) (call.Call, uuid.UUID) {
		phone(t, r.Store, device, device)
		c := create(t, r.Store, invite(device))
		return c, r.accepted(t, r.inbox.of(t, c, device))
	}

	c, attempt := begin("delivered")
	delivered := receipt(attempt, 0, call.ReceiptDelivered)
	delivered.ToldAt = time.UnixMilli(1761200401120).UTC()
	r.receives(t, r.Store, delivered, delivered)
	r.receives(t, r.other, delivered)
	if got := r.told(t, c); cmp.Diff([]string{"delivered 0 delivered true"}, got) != "" {
		t.Errorf("delivered: %v", got)
	}
	_, entries, _ := r.Timeline(t.Context(), app, c.ID)
	if e := entries[len(entries)-1]; e.Receipt == nil || !e.Receipt.ToldAt.Equal(delivered.ToldAt) || e.Receipt.RequestID != "r-1" || e.Receipt.Number != 1 || e.Receipt.Attempt != attempt || e.At.Equal(delivered.ToldAt) {
		t.Errorf("the last entry is %+v", e)
	}

	for _, tc := range []struct {
		device string
		result int64
		action call.ReceiptAction
		state  call.TokenState
	}{
		{"removed", 2, call.ReceiptDropToken, call.TokenDead},
		{"mismatch", 5, call.ReceiptDropToken, call.TokenDead},
		{"inactive", 10, call.ReceiptSuspendToken, call.TokenSuspended},
		{"locked", 51, call.ReceiptNone, call.TokenAlive},
	} {
		c, attempt := begin(tc.device)
		told := receipt(attempt, tc.result, tc.action)
		told.Token, told.ToldAt = tokenOf(tc.device, tc.device), r.Now()
		if _, err := r.CancelCall(t.Context(), app, c.ID); err != nil { // a call that has ended as well
			t.Fatal(err)
		}
		r.receives(t, r.Store, told)
		if got := r.tokenState(t, tc.device); got != tc.state {
			t.Errorf("%s: the token is %s, want %s", tc.device, got, tc.state)
		}
		phone(t, r.Store, tc.device, tc.device)
		if got := r.tokenState(t, tc.device); got != call.TokenAlive {
			t.Errorf("%s: registered again, the token is %s", tc.device, got)
		}
		told.Result += 1000 // another one, of the time before
		r.receives(t, r.Store, told)
		if got := r.tokenState(t, tc.device); got != call.TokenAlive {
			t.Errorf("%s: a late receipt makes a token that was registered later %s", tc.device, got)
		}
	}

	_, attempt = begin("other-token")
	told := receipt(attempt, 2, call.ReceiptDropToken)
	told.Token = tokenOf("removed", "removed") // of another device
	r.receives(t, r.Store, told)
	told.Token, told.Result = "", 5
	r.receives(t, r.Store, told)
	if r.tokenState(t, "other-token") != call.TokenAlive || r.tokenState(t, "removed") != call.TokenAlive {
		t.Error("a receipt with another token than the push went to killed one")
	}

	c, attempt = begin("unsigned")
	for i, action := range call.ReceiptActions {
		told := receipt(attempt, int64(i), action)
		told.Token, told.Signed = tokenOf("unsigned", "unsigned"), false
		r.receives(t, r.Store, told)
	}
	if got := r.tokenState(t, "unsigned"); got != call.TokenAlive || !legOf(t, look(t, r.Store, c.ID), "unsigned").RewokenAt.IsZero() {
		t.Errorf("unsigned receipts made the token %s, or woke the app", got)
	}
	want := []string{"unsigned 0 none false", "unsigned 1 delivered false", "unsigned 2 none false", "unsigned 3 none false", "unsigned 4 none false", "unsigned 5 none false"}
	if diff := cmp.Diff(want, r.told(t, c)); diff != "" {
		t.Errorf("unsigned (-want +got):\n%s", diff)
	}
	for n := range int64(50) {
		r.receives(t, r.Store, receipt(attempt, 2000+n, call.ReceiptNone))
	}
	if got := len(r.told(t, c)); got != 10 {
		t.Errorf("%d receipts of one attempt are kept, want 10", got)
	}
}

// TestReceiptOfNothing: a receipt that is about no attempt of the app changes
// nothing and is not kept.
func TestReceiptOfNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	makeApp(t, r.Store, "else")
	phone(t, r.Store, "u2", "d1")
	c := create(t, r.Store, invite("u2"))
	attempt := r.accepted(t, r.inbox.of(t, c, "d1"))
	told := receipt(attempt, 2, call.ReceiptDropToken)
	told.Token = tokenOf("u2", "d1")
	if err := r.TakeReceipts(t.Context(), "else", []store.Receipt{told}); err != nil {
		t.Fatal(err)
	}
	for _, id := range []uuid.UUID{uuid.New(), uuid.Nil, uuid.Max, c.ID, c.Legs[0].ID} {
		told.Attempt = id
		r.receives(t, r.Store, told)
	}
	if err := r.SweepReceipts(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := r.told(t, c); len(got) > 0 || r.tokenState(t, "d1") != call.TokenAlive {
		t.Errorf("receipts of nothing: %v", got)
	}
	if n := read[int](t, r, `SELECT count(*)::int FROM receipts_waiting`); n != 3 { // whose time says that they may still be recorded
		t.Errorf("%d wait, want 3", n)
	}
	r.exec(t, `UPDATE receipts_waiting SET received_at = received_at - interval '121 seconds'`)
	if err := r.SweepReceipts(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := read[int](t, r, `SELECT count(*)::int FROM receipts_waiting`); n != 0 {
		t.Errorf("%d wait for longer than two minutes", n)
	}
}

// TestReceiptBeforeAttempt: a receipt may come before the vendor's answer is
// recorded. It has its effect when it is, and once, though two processes look.
func TestReceiptBeforeAttempt(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	phone(t, r.Store, "u2", "d1")
	c := create(t, r.Store, invite("u2"))
	w := r.inbox.of(t, c, "d1")
	now := r.Now()
	a := &store.Attempt{ID: r.NewAttemptID(c.ID), Number: 1, Channel: w.Channel, StartedAt: now, FinishedAt: now, Outcome: "accepted", Blame: "none"}
	lost := receipt(a.ID, 188, call.ReceiptWakeAgain)
	r.receives(t, r.Store, lost)
	r.receives(t, r.other, lost)
	unsigned := receipt(a.ID, 0, call.ReceiptDelivered)
	unsigned.Signed = false
	r.receives(t, r.other, unsigned)
	sweep := func() {
		t.Helper()
		var both sync.WaitGroup
		for i := range 4 {
			both.Go(func() { wantErr(t, "the sweep", r.either(i).SweepReceipts(t.Context()), nil) })
		}
		both.Wait()
	}
	sweep()
	if got := r.told(t, c); len(got) > 0 {
		t.Errorf("before the attempt: %v", got)
	}
	if _, err := r.FinishAttempt(t.Context(), w, store.Outcome{Attempt: a, Next: store.WakeAccepted}); err != nil {
		t.Fatal(err)
	}
	sweep()
	got := r.told(t, c)
	if len(got) != 2 || read[int](t, r, `SELECT count(*)::int FROM receipts_waiting`) != 0 {
		t.Errorf("after it: %v", got)
	}
	if l := legOf(t, look(t, r.Store, c.ID), "d1"); l.RewokenAt.IsZero() || l.WakeChannel != call.PushKitVoIP {
		t.Errorf("it was not woken again: %+v", l)
	}
}

// TestReceiptWakesAgain: a push that did not start the app is followed by one
// more at most, and by none once the call is over, the app awake, or the vendor
// says that it limits pushes to the phone.
func TestReceiptWakesAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	wakes := func(c call.Call) (n int) {
		for _, w := range r.inbox.all() {
			if w.CallID == c.ID {
				n++
			}
		}
		return n
	}
	begin := func(device string) (call.Call, uuid.UUID) {
		phone(t, r.Store, device, device)
		c := create(t, r.Store, invite(device))
		return c, r.accepted(t, r.inbox.of(t, c, device))
	}

	c, attempt := begin("asleep")
	r.receives(t, r.Store, receipt(attempt, 14, call.ReceiptWakeAgain))
	if wakes(c) != 2 {
		t.Fatalf("%d wakes after the receipt, want 2", wakes(c))
	}
	second := r.accepted(t, r.inbox.of(t, c, "asleep"))
	r.receives(t, r.Store, receipt(attempt, 188, call.ReceiptWakeAgain), receipt(second, 14, call.ReceiptWakeAgain), receipt(second, 188, call.ReceiptWakeAgain))
	r.pass(t, call.EscalateAfter+time.Second)
	r.exec(t, `UPDATE legs SET rewoken_at = rewoken_at - interval '9 s' WHERE call_id = $1`, c.ID)
	if _, err := r.SweepDeadlines(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := r.inbox.all(); wakes(c) != 3 || got[len(got)-1].Channel != call.PushKitAlert {
		t.Errorf("%d wakes, the last one over %s; want one more VoIP push, and the alert", wakes(c), got[len(got)-1].Channel)
	}

	for name, meanwhile := range map[string]func(call.Call) error{
		"ended":   func(c call.Call) error { _, err := r.CancelCall(t.Context(), app, c.ID); return err },
		"awake":   func(c call.Call) error { confirm(t, r.Store, c, "awake"); return nil },
		"removed": func(call.Call) error { return r.DeleteDevice(t.Context(), app, "removed", "removed") },
		"late": func(c call.Call) error {
			r.exec(t, `UPDATE calls SET expires_at = now() + interval '3 s', deadline_at = now() + interval '3 s' WHERE id = $1`, c.ID)
			return nil
		},
		"limited": func(c call.Call) error {
			return r.TakeReceipts(t.Context(), app, []store.Receipt{receipt(read[uuid.UUID](t, r, `SELECT id FROM attempts WHERE call_id = $1`, c.ID), 102, call.ReceiptHoldBack)})
		},
	} {
		c, attempt := begin(name)
		if err := meanwhile(c); err != nil {
			t.Fatal(err)
		}
		r.receives(t, r.Store, receipt(attempt, 14, call.ReceiptWakeAgain))
		if name == "limited" { // nor is it woken by the clock
			r.pass(t, call.EscalateAfter+time.Second)
			if _, err := r.SweepDeadlines(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if wakes(c) != 1 {
			t.Errorf("%s: %d wakes, want 1", name, wakes(c))
		}
	}
}

// TestReceiptsAtOnce: a batch of a hundred, several times, in any order, on two
// processes: each receipt has its effect once.
func TestReceiptsAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const devices = 100
	var batch []store.Receipt
	var calls []call.Call
	for i := range devices {
		device := fmt.Sprint("d", i)
		phone(t, r.Store, device, device)
		c := create(t, r.Store, invite(device))
		calls = append(calls, c)
		batch = append(batch, receipt(r.accepted(t, r.inbox.of(t, c, device)), 188, call.ReceiptWakeAgain))
	}
	var all sync.WaitGroup
	for i := range 6 {
		shuffled := append([]store.Receipt(nil), batch...)
		rand.Shuffle(devices, func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		all.Go(func() { wantErr(t, "a batch", r.either(i).TakeReceipts(t.Context(), app, shuffled), nil) })
	}
	all.Wait()
	if n := read[int](t, r, `SELECT count(*)::int FROM receipts`); n != devices {
		t.Errorf("%d receipts are kept, want %d", n, devices)
	}
	if n := read[int](t, r, `SELECT count(*)::int FROM events WHERE type = 'leg.updated' AND data->'l'->0->>'y' IS NOT NULL`); n != devices {
		t.Errorf("%d second wakes, want %d", n, devices)
	}
	for _, c := range calls[:3] {
		if got := r.told(t, c); len(got) != 1 {
			t.Errorf("the timeline tells %v", got)
		}
	}
}
