package store_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/store"
)

// run keeps stores at work until the test ends.
func run(t testing.TB, stores ...*store.Store) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for _, s := range stores {
		all.Go(func() {
			if err := s.Run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	var once sync.Once
	stop = func() { once.Do(func() { cancel(); all.Wait() }) }
	t.Cleanup(stop)
	return stop
}

// TestMissed rings 200 calls at once: each ends by itself, never early and at
// most 250 ms late, by the database's clock. It does not run beside other
// tests, and a machine that is busy with other things has three tries.
func TestMissed(t *testing.T) {
	r := newRig(t)
	run(t, r.Store, r.other)
	each := func(do func(i int, user string) error) {
		var all sync.WaitGroup
		for i := range 200 {
			all.Go(func() {
				if err := do(i, fmt.Sprint("u", i)); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
	each(func(i int, user string) error {
		_, err := r.either(i).PutDevice(t.Context(), registration(user, "of "+user))
		return err
	})
	for try := 1; ; try++ {
		from := r.Now()
		each(func(i int, user string) error {
			in := invite(user)
			in.Ring = time.Second + time.Duration(i)*time.Millisecond
			_, err := r.either(i).CreateCall(t.Context(), in)
			return err
		})
		eventually(t, "all calls to end", func() bool { return read[int](t, r, `SELECT count(*)::int FROM calls WHERE status <> 'ended'`) == 0 })
		if got := read[string](t, r, `SELECT string_agg(DISTINCT end_reason || ' ' || status, ', ') FROM calls`); got != "missed ended" {
			t.Fatalf("calls are %s", got)
		}
		if n := read[int](t, r, `SELECT count(*)::int FROM calls WHERE ended_at < expires_at`); n != 0 {
			t.Fatalf("%d calls ended early", n)
		}
		late := read[time.Duration](t, r, `SELECT max(ended_at - expires_at) FROM calls WHERE created_at > $1`, from.Add(-time.Millisecond))
		if late <= 250*time.Millisecond {
			return
		}
		if try == 3 {
			t.Fatalf("a call ended %s late", late)
		}
	}
}

// TestDeadlineNotYet: nothing that is not due is touched, to the millisecond.
func TestDeadlineNotYet(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	phone(t, r.Store, "u2", "d1")
	in := invite("u2")
	in.Ring = 300 * time.Millisecond
	c := create(t, r.Store, in)
	for {
		before := read[time.Time](t, r, `SELECT clock_timestamp()`)
		n, err := r.SweepDeadlines(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		now := look(t, r.Store, c.ID)
		if now.Live() == (n > 0) || !now.Live() && now.EndedAt.Before(c.ExpiresAt) {
			t.Fatalf("swept %d at %s: %+v", n, before, now)
		}
		if !now.Live() {
			return
		}
		if before.After(c.ExpiresAt) {
			t.Fatalf("alive at %s, though it rang until %s", before, c.ExpiresAt)
		}
	}
}

// TestEveryDeadline ages each kind of live call by SQL: nothing stays open.
func TestEveryDeadline(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	makeApp(t, r.Store, app, func(p *call.Policy) { p.MaxDuration = 10 * time.Minute })
	for _, d := range []string{"d1", "d2"} {
		phone(t, r.Store, "u2", d)
	}
	ringing, answered := create(t, r.Store, invite("u2")), create(t, r.Store, invite("u2"))
	confirm(t, r.Store, ringing, "d1")
	report(t, r.Store, ringing, "d1", call.ReportRinging)
	report(t, r.Store, answered, "d1", call.ReportAnswered)
	active := create(t, r.Store, invite("u2"))
	report(t, r.Store, active, "d2", call.ReportActive)
	dialing, err := r.DialCall(t.Context(), outgoing("u2", "d1", "c1"))
	if err != nil {
		t.Fatal(err)
	}
	spoken, err := r.DialCall(t.Context(), outgoing("u2", "d2", "c1"))
	if err != nil {
		t.Fatal(err)
	}
	report(t, r.Store, spoken, "d2", call.ReportActive)

	left := func() map[string]time.Duration {
		t.Helper()
		m := map[string]time.Duration{}
		for name, c := range map[string]call.Call{"ringing": ringing, "answered": answered, "active": active, "dialing": dialing, "spoken": spoken} {
			now := look(t, r.Store, c.ID)
			since := now.CreatedAt
			if !now.AnsweredAt.IsZero() {
				since = now.AnsweredAt
			}
			if now.Live() {
				m[name] = now.DeadlineAt.Sub(since)
			}
		}
		return m
	}
	want := map[string]time.Duration{"ringing": 45 * time.Second, "dialing": 120 * time.Second, "answered": 10 * time.Minute, "active": 10 * time.Minute, "spoken": 10 * time.Minute}
	if diff := cmp.Diff(want, left()); diff != "" {
		t.Errorf("deadlines: %s", diff)
	}
	age := func(by string) {
		t.Helper()
		for _, table := range []string{"calls", "legs"} {
			r.exec(t, `UPDATE `+table+` SET deadline_at = deadline_at - $1::interval WHERE deadline_at IS NOT NULL`, by)
		}
		var all sync.WaitGroup
		for i := range 4 { // two processes sweep at once, twice
			all.Go(func() {
				if _, err := r.either(i).SweepDeadlines(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
	age("119 s")
	if diff := cmp.Diff([]string{"answered", "active", "dialing", "spoken"}, keys(left(), "answered", "active", "ringing", "dialing", "spoken")); diff != "" {
		t.Errorf("alive after 119 s: %s", diff)
	}
	age("2 s")
	age("10 min")
	ends := map[string]call.EndReason{}
	for name, c := range map[string]call.Call{"ringing": ringing, "answered": answered, "active": active, "dialing": dialing, "spoken": spoken} {
		now := look(t, r.Store, c.ID)
		ends[name] = now.EndReason
		for _, l := range now.Legs {
			if l.Status.Open() || l.EndedAt.IsZero() {
				t.Errorf("%s: a leg is %s", name, l.Status)
			}
		}
	}
	wantEnds := map[string]call.EndReason{"ringing": "missed", "dialing": "missed", "answered": "completed", "active": "completed", "spoken": "completed"}
	if diff := cmp.Diff(wantEnds, ends); diff != "" {
		t.Errorf("ends: %s", diff)
	}
	if n, err := r.SweepDeadlines(t.Context()); n != 0 || err != nil {
		t.Errorf("swept %d more, %v", n, err)
	}
	if n := read[int](t, r, `SELECT count(*)::int FROM events WHERE type = 'call.ended'`); n != 5 {
		t.Errorf("%d ends noted of 5 calls", n)
	}
}

// keys are those of some names that a map has.
func keys[V any](m map[string]V, names ...string) (found []string) {
	for _, name := range names {
		if _, ok := m[name]; ok {
			found = append(found, name)
		}
	}
	return found
}

// TestNoWake marks a leg that does not confirm within 15 s of the vendor's
// acceptance; a late confirm takes the mark away, the call's end makes it the leg's.
func TestNoWake(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, d := range []string{"late", "never", "prompt", "gone"} {
		phone(t, r.Store, "u2", d)
	}
	c := create(t, r.Store, invite("u2"))
	for _, d := range []string{"late", "never", "prompt"} {
		handOver(t, r, c, d)
	}
	confirm(t, r.Store, c, "prompt")
	marked := func() (names []string) {
		t.Helper()
		if _, err := r.SweepDeadlines(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, l := range look(t, r.other, c.ID).Legs {
			if !l.NoWakeAt.IsZero() {
				names = append(names, l.DeviceID)
				if l.Status != call.LegHandedOver {
					t.Errorf("a marked leg is %s", l.Status)
				}
			}
		}
		return names
	}
	if got := marked(); got != nil {
		t.Errorf("marked at once: %v", got)
	}
	r.pass(t, 14*time.Second)
	if got := marked(); got != nil {
		t.Errorf("marked after 14 s: %v", got)
	}
	r.pass(t, time.Second)
	if diff := cmp.Diff([]string{"late", "never"}, marked()); diff != "" {
		t.Errorf("marked after 15 s: %s", diff)
	}
	seq := look(t, r.Store, c.ID).Seq
	marked()
	if again := look(t, r.Store, c.ID).Seq; again != seq {
		t.Errorf("a second sweep noted %d events", again-seq)
	}
	if out := confirm(t, r.other, c, "late"); out.Verdict != call.VerdictRing || !out.Leg.NoWakeAt.IsZero() {
		t.Errorf("a late confirm: %+v", out)
	}
	if diff := cmp.Diff([]string{"never"}, marked()); diff != "" {
		t.Errorf("marked after the late confirm: %s", diff)
	}
	r.pass(t, 30*time.Second)
	marked2, err := r.SweepDeadlines(t.Context())
	if marked2 != 1 || err != nil {
		t.Errorf("swept %d, %v", marked2, err)
	}
	want := map[string]call.LegStatus{"late": "missed", "never": "no_wake", "prompt": "missed", "gone": "missed"}
	if diff := cmp.Diff(want, legStatuses(look(t, r.Store, c.ID))); diff != "" {
		t.Errorf("ends: %s", diff)
	}
	if n := read[int](t, r, `SELECT count(*)::int FROM legs WHERE confirm_due_at IS NOT NULL`); n != 0 {
		t.Errorf("%d legs of an ended call are still due", n)
	}
}

// TestPoisonedDeadline: a call that cannot be read keeps no other from ending.
func TestPoisonedDeadline(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	makeApp(t, r.Store, "broken")
	var calls []call.Call
	for i := range 10 {
		phone(t, r.Store, fmt.Sprint("u", i), fmt.Sprint("d", i))
		calls = append(calls, create(t, r.Store, invite(fmt.Sprint("u", i))))
	}
	phone(t, r.Store, "u", "d", func(r *store.Registration) { r.AppID = "broken" })
	in := invite("u")
	in.AppID = "broken"
	create(t, r.Store, in)
	r.exec(t, `UPDATE apps SET policy = '{"region_rules": "2099-01"}' WHERE id = 'broken'`) // of a program newer than this one
	for _, table := range []string{"calls", "legs"} {
		r.exec(t, `UPDATE `+table+` SET deadline_at = deadline_at - interval '50 s' - CASE WHEN app_id = 'broken' THEN interval '1 s' ELSE interval '0' END`)
	}
	if _, err := r.SweepDeadlines(t.Context()); err == nil {
		t.Error("no error for a call that could not be ended")
	}
	for _, c := range calls {
		if now := look(t, r.Store, c.ID); now.EndReason != call.EndMissed {
			t.Errorf("a neighbour of the poisoned call is %s", now.Status)
		}
	}
	r.exec(t, `UPDATE apps SET policy = '{}' WHERE id = 'broken'`)
	if n, err := r.SweepDeadlines(t.Context()); n != 1 || err != nil {
		t.Errorf("swept %d, %v", n, err)
	}
}

// TestForgotten: a call that no process was there to end for days is ended all
// the same, as when all of them were stopped in the middle of its ring.
func TestForgotten(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	phone(t, r.Store, "u2", "d1")
	c := create(t, r.Store, invite("u2"))
	old := store.NewID(r.Now().Add(-50 * time.Hour))
	r.exec(t, `WITH legs_moved AS (UPDATE legs SET call_id = $1, deadline_at = deadline_at - interval '50 h' WHERE call_id = $2), events_moved AS (UPDATE events SET call_id = $1 WHERE call_id = $2),
			plans_moved AS (UPDATE plans SET call_id = $1 WHERE call_id = $2)
		UPDATE calls SET id = $1, created_at = created_at - interval '50 h', expires_at = expires_at - interval '50 h', deadline_at = deadline_at - interval '50 h'
		WHERE id = $2`, old, c.ID)
	if n, err := r.SweepDeadlines(t.Context()); err != nil || n != 0 {
		t.Fatalf("the sweep of every moment looked for days: %d, %v", n, err)
	}
	if err := r.SweepForgotten(t.Context()); err != nil {
		t.Fatal(err)
	}
	if now := look(t, r.Store, old); now.EndReason != call.EndMissed || now.Legs[0].Status.Open() {
		t.Errorf("the call is %s, %s; its leg %s", now.Status, now.EndReason, now.Legs[0].Status)
	}
}

// TestDeadlinesOfEarlierCalls: the migration lets the sweep find the deadlines of
// calls that an earlier version began.
func TestDeadlinesOfEarlierCalls(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	phone(t, r.Store, "u2", "d1")
	phone(t, r.Store, "u2", "d2")
	phone(t, r.Store, "u3", "d3")
	ringing, ended := create(t, r.Store, invite("u2")), create(t, r.Store, invite("u3"))
	if _, err := r.CancelCall(t.Context(), app, ended.ID); err != nil {
		t.Fatal(err)
	}
	r.exec(t, `UPDATE legs SET deadline_at = NULL`) // as it was
	migration, err := os.ReadFile("../migrations/00010_room.sql")
	if err != nil {
		t.Fatal(err)
	}
	_, fill, _ := strings.Cut(string(migration), "\nUPDATE legs ")
	fill, _, _ = strings.Cut(fill, ";")
	r.exec(t, `UPDATE legs `+fill)
	if n := read[int](t, r, `SELECT count(*)::int FROM legs WHERE deadline_at IS NOT NULL`); n != 1 {
		t.Errorf("%d legs have a deadline, want one of the call that rings", n)
	}
	r.pass(t, time.Hour)
	if _, err := r.SweepDeadlines(t.Context()); err != nil {
		t.Fatal(err)
	}
	if now := look(t, r.Store, ringing.ID); now.EndReason != call.EndMissed {
		t.Errorf("the call is %s, %s", now.Status, now.EndReason)
	}
}
