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

// TestEscalatedOnce: two processes sweep at once, each twice; each leg is woken
// again once, by the process that owns the wake.
func TestEscalatedOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	second, box := r.joining(t, r.url)
	const many = 40
	var calls []call.Call
	for i := range many {
		phone(t, r.Store, fmt.Sprint("u", i), fmt.Sprint("d", i))
		c := create(t, r.Store, invite(fmt.Sprint("u", i)))
		handOver(t, r, c, fmt.Sprint("d", i))
		calls = append(calls, c)
	}
	r.pass(t, 8*time.Second)
	sweep(t, r.Store, second, r.Store, second)
	for i, c := range calls {
		device := fmt.Sprint("d", i)
		mine, others := slices.Contains(r.inbox.woken(device), "2 push_kit_alert alert"), box.woken(device)
		if len(r.inbox.woken(device))+len(others) != 2 || mine == (others != nil) {
			t.Errorf("%s was woken %v and %v", device, r.inbox.woken(device), others)
			continue
		}
		owner := second
		if mine {
			owner = r.Store
		}
		if n := read[int](t, r, `SELECT count(*)::int FROM legs WHERE call_id = $1 AND wake_process = $2 AND wake_attempt = 2`, c.ID, owner.Process()); n != 1 {
			t.Errorf("the wake of %s is not its sender's", device)
		}
	}
}

// TestConfirmRacesEscalation: whoever comes first, the app is awake, and nothing
// is left to be sent.
func TestConfirmRacesEscalation(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	second, box := r.joining(t, r.url)
	const many = 40
	var calls []call.Call
	for i := range many {
		phone(t, r.Store, fmt.Sprint("u", i), fmt.Sprint("d", i))
		c := create(t, r.Store, invite(fmt.Sprint("u", i)))
		handOver(t, r, c, fmt.Sprint("d", i))
		calls = append(calls, c)
	}
	r.pass(t, 8*time.Second)
	var all sync.WaitGroup
	all.Go(func() { sweep(t, second) })
	for i, c := range calls {
		all.Go(func() { confirm(t, r.Store, c, fmt.Sprint("d", i)) })
	}
	all.Wait()
	for _, w := range box.all() {
		if wanted, err := second.WakeWanted(t.Context(), w); wanted || err != nil {
			t.Errorf("the wake of a device that is awake is wanted: %v, %v", wanted, err)
		}
		finish(t, second, w, store.Outcome{Next: store.WakeGivenUp, Reason: call.ReasonDeadlinePassed}, false)
	}
	for i, c := range calls {
		if l := legOf(t, look(t, r.Store, c.ID), fmt.Sprint("d", i)); l.Status != call.LegConfirmed || l.Reason != "" {
			t.Errorf("the leg: %+v", l)
		}
	}
	sweep(t, r.Store, second)
	if n := read[int](t, r, `SELECT count(*)::int FROM legs WHERE confirm_due_at IS NOT NULL OR wake_process IS NOT NULL`); n != 0 {
		t.Errorf("%d legs are due or owned", n)
	}
}

// TestConfirmInOneBatch: a wake that begins in the batch in which the app
// confirms is not sent.
func TestConfirmInOneBatch(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	phone(t, r.Store, "u2", "d1")
	phone(t, r.Store, "u3", "d2")
	plug := create(t, r.Store, invite("u3"))
	c := create(t, r.Store, invite("u2"))
	handOver(t, r, c, "d1")
	r.pass(t, 8*time.Second)
	r.oneStepBatch(t, r.Store, plug, func() { sweep(t, r.Store) }, func() {
		eventually(t, "the look to wait", func() bool { _, n := r.Waiting(); return n == 1 })
		confirm(t, r.Store, c, "d1")
	})
	if diff := cmp.Diff([]string{"1 push_kit_voip call_service_kit"}, r.inbox.woken("d1")); diff != "" {
		t.Error(diff)
	}
	l := legOf(t, look(t, r.Store, c.ID), "d1")
	if n := read[int](t, r, `SELECT count(*)::int FROM legs WHERE call_id = $1 AND (confirm_due_at IS NOT NULL OR wake_process IS NOT NULL)`, c.ID); n != 0 || r.InHand(l.ID) {
		t.Errorf("%d legs are due or owned", n)
	}
	if l.EscalatedAt.IsZero() || !l.EscalatedAt.Equal(l.ConfirmedAt) {
		t.Errorf("the look and the confirm were not one batch: %+v", l)
	}
}

// TestEscalatorDies between its commit and the sending: another process takes
// the wake over, as it takes a first one.
func TestEscalatorDies(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	dying, box := r.joining(t, r.url)
	for _, d := range []string{"d1", "moved"} {
		phone(t, r.Store, "u2", d)
	}
	c := create(t, r.Store, ringing("u2", 120*time.Second))
	handOver(t, r, c, "d1")
	handOver(t, r, c, "moved")
	r.pass(t, 8*time.Second)
	sweep(t, dying)
	if len(box.all()) != 2 {
		t.Fatalf("%d wakes, want 2", len(box.all()))
	}
	r.exec(t, `UPDATE devices SET user_id = 'u3' WHERE device_id = 'moved'`) // the install changed accounts, and its process died before it let the legs go
	silence(t, r, dying)
	if n, err := r.TakeOver(t.Context()); n != 1 || err != nil {
		t.Fatalf("took %d, %v; want 1", n, err)
	}
	w := r.inbox.of(t, c, "d1")
	if w.Number != 3 || w.Channel != call.PushKitAlert || w.Payload.Presentation != call.Alert {
		t.Errorf("the wake taken over: %+v", w)
	}
	now := look(t, r.Store, c.ID)
	if diff := cmp.Diff(map[string]call.LegStatus{"d1": call.LegHandedOver, "moved": call.LegHandedOver}, legStatuses(now)); diff != "" {
		t.Error(diff)
	}
	late := box.of(t, c, "d1")
	finish(t, dying, late, store.Outcome{Attempt: attempt(r, late), Next: store.WakeAgain}, false)
	finish(t, r.Store, w, store.Outcome{Attempt: attempt(r, w), Next: store.WakeAccepted}, false)
	got := attemptsOf(t, r, c)
	slices.Sort(got)
	if diff := cmp.Diff([]string{"1 accepted", "1 accepted", "2 abandoned", "2 abandoned", "2 accepted", "3 accepted"}, got); diff != "" {
		t.Error(diff)
	}
	if n := read[int](t, r, `SELECT count(*)::int FROM legs WHERE wake_process IS NOT NULL OR confirm_due_at IS NULL`); n != 0 {
		t.Errorf("%d legs are owned, or are not looked at again", n)
	}
	// Dead again, and the call ends meanwhile: nothing is left to be sent.
	r.pass(t, 52*time.Second)
	sweep(t, dying)
	if _, err := r.CancelCall(t.Context(), app, c.ID); err != nil {
		t.Fatal(err)
	}
	silence(t, r, dying)
	if n, err := r.TakeOver(t.Context()); n != 0 || err != nil {
		t.Errorf("took %d of an ended call, %v", n, err)
	}
	if n := read[int](t, r, `SELECT count(*)::int FROM legs WHERE wake_process IS NOT NULL`); n != 0 {
		t.Errorf("%d wakes of an ended call are owned", n)
	}
}

// TestEscalationLostCommit: the answer to the commit is lost. The process does
// not send what it does not know to be committed; it finds it again.
func TestEscalationLostCommit(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	phone(t, r.Store, "u2", "d1")
	p := newProxy(t, r.url)
	s, box := r.joining(t, p.url)
	c := create(t, r.Store, invite("u2"))
	handOver(t, r, c, "d1")
	r.pass(t, 8*time.Second)
	p.swallow.Store(true)
	if _, err := s.SweepDeadlines(t.Context()); err == nil || len(box.all()) != 0 {
		t.Fatalf("%d wakes, %v", len(box.all()), err)
	}
	if n, err := s.TakeOver(t.Context()); n != 1 || err != nil {
		t.Fatalf("took %d, %v; want 1", n, err)
	}
	if diff := cmp.Diff([]string{"3 push_kit_alert alert"}, box.woken("d1")); diff != "" {
		t.Error(diff)
	}
}
