package store_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/store"
	"github.com/pushwake/relay/store/storetest"
)

// silence makes a process look as if it had not been heard of for a minute.
func silence(t testing.TB, r *rig, s *store.Store) {
	t.Helper()
	r.exec(t, `UPDATE processes SET beat_at = beat_at - interval '1 min' WHERE id = $1`, s.Process())
}

// joining is one more process on a rig's database.
func (r *rig) joining(t testing.TB, url string, changes ...func(*store.Config)) (*store.Store, *inbox) {
	t.Helper()
	box := &inbox{}
	config := store.Config{URL: url, MaxConns: 8, OnWakes: box.take}
	for _, change := range changes {
		change(&config)
	}
	return storetest.Open(t, config), box
}

// TestTakeOver: when a process falls silent, two others take its wakes, each
// once, with the next number; what the old one still has to say is kept and
// changes nothing.
func TestTakeOver(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	second, box2 := r.joining(t, r.url)
	third, box3 := r.joining(t, r.url)
	var calls []call.Call
	for i := range 30 {
		phone(t, r.Store, fmt.Sprint("u", i), fmt.Sprint("d", i))
		calls = append(calls, create(t, r.Store, invite(fmt.Sprint("u", i))))
	}
	if n, err := second.TakeOver(t.Context()); n != 0 || err != nil {
		t.Fatalf("took %d of a living process, %v", n, err)
	}
	ended := calls[0]
	if _, err := r.CancelCall(t.Context(), app, ended.ID); err != nil {
		t.Fatal(err)
	}
	silence(t, r, r.Store)
	var all sync.WaitGroup
	var mu sync.Mutex
	taken := 0
	for _, s := range []*store.Store{second, third, second, third} { // also twice at once in one process
		all.Go(func() {
			n, err := s.TakeOver(t.Context())
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			taken += n
		})
	}
	all.Wait()
	seen := map[uuid.UUID]int{}
	for _, w := range append(box2.all(), box3.all()...) {
		seen[w.CallID]++
		if w.Number != 2 || w.Token == "" || w.Payload.Caller == nil || time.Until(w.RingEnd) > 45*time.Second {
			t.Errorf("a wake taken over: %+v", w)
		}
	}
	for _, c := range calls[1:] {
		if seen[c.ID] != 1 {
			t.Errorf("a wake was taken %d times", seen[c.ID])
		}
		if diff := cmp.Diff([]string{"1 abandoned"}, attemptsOf(t, r, c)); diff != "" {
			t.Error(diff)
		}
	}
	if taken != 29 || len(seen) != 29 {
		t.Errorf("%d taken, %d seen, want 29", taken, len(seen))
	}
	if n := read[int](t, r, `SELECT count(*)::int FROM legs WHERE call_id = $1 AND wake_process IS NOT NULL`, ended.ID); n != 0 {
		t.Error("the wake of an ended call is still owned")
	}
	late := r.inbox.of(t, calls[1], "d1")
	finish(t, r.Store, late, store.Outcome{Attempt: attempt(r, late), Next: store.WakeAccepted}, false)
	if l := legOf(t, look(t, r.Store, calls[1].ID), "d1"); l.Status != call.LegWaking {
		t.Errorf("the old owner's outcome made the leg %s", l.Status)
	}
	if diff := cmp.Diff([]string{"1 abandoned", "1 accepted"}, attemptsOf(t, r, calls[1])); diff != "" {
		t.Error(diff)
	}
	for box, s := range map[*inbox]*store.Store{box2: second, box3: third} {
		for _, w := range box.all() {
			finish(t, s, w, store.Outcome{Attempt: attempt(r, w), Next: store.WakeAccepted}, false)
		}
	}
	if n := read[int](t, r, `SELECT count(*)::int FROM legs WHERE status = 'handed_over'`); n != 29 {
		t.Errorf("%d wakes handed over, want 29", n)
	}
	// Back to life, the old owner finds nothing of its own.
	if err := r.Beat(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, err := r.TakeOver(t.Context()); n != 0 || err != nil {
		t.Errorf("the old owner took %d, %v", n, err)
	}
}

// TestTakeOverChanged: what has changed about the device since is looked at.
func TestTakeOverChanged(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	change := map[string]struct {
		do   func(device string)
		want call.Reason
	}{
		"other token": {func(d string) { phone(t, r.Store, "u2", d, withToken("new")) }, ""},
		"no token":    {func(d string) { phone(t, r.Store, "u2", d, withToken("")) }, call.ReasonNoToken},
		"dead token":  {func(d string) { r.exec(t, `UPDATE device_tokens SET state = 'dead' WHERE device_id = $1`, d) }, call.ReasonTokenDead},
		"other user":  {func(d string) { phone(t, r.Store, "u3", d) }, call.ReasonNoToken},
		"deleted":     {func(d string) { _ = r.DeleteDevice(t.Context(), app, d, "") }, call.ReasonNoToken},
	}
	for name := range change {
		phone(t, r.Store, "u2", name)
	}
	c := create(t, r.Store, invite("u2"))
	for name, tc := range change {
		tc.do(name)
	}
	silence(t, r, r.Store)
	second, box := r.joining(t, r.url)
	if n, err := second.TakeOver(t.Context()); n != 1 || err != nil {
		t.Errorf("took %d, %v; want 1", n, err)
	}
	now := look(t, r.Store, c.ID)
	for name, tc := range change {
		want := call.LegWaking
		if tc.want != "" {
			want = call.LegFailed
		}
		if l := legOf(t, now, name); l.Status != want || l.Reason != tc.want {
			t.Errorf("%s: %s, %s", name, l.Status, l.Reason)
		}
	}
	if w := box.of(t, c, "other token"); w.Token != "new" {
		t.Errorf("the wake goes to the token %s", w.Token)
	}
}

// TestTakeOverBusy: a thousand wakes of one's own do not hide an orphan.
func TestTakeOverBusy(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	phone(t, r.Store, "u2", "d1")
	phone(t, r.Store, "u3", "d2")
	own := create(t, r.Store, invite("u3"))
	// 1500 more legs like the own one.
	var ids []uuid.UUID
	var wakes []store.Wake
	w := r.inbox.of(t, own, "d2")
	for range 1500 {
		id := uuid.New()
		ids, w.LegID = append(ids, id), id
		wakes = append(wakes, w)
	}
	r.exec(t, `INSERT INTO legs (app_id, call_id, id, direction, device_id, user_id, platform, device_type, channel, presentation, status, decision, enterprise, last_seq, wake_process, wake_attempt, ended_at)
		SELECT app_id, call_id, n, direction, device_id || n, user_id, platform, device_type, channel, presentation, 'canceled', decision, enterprise, last_seq, wake_process, wake_attempt, clock_timestamp()
		FROM legs, unnest($1::uuid[]) AS n WHERE call_id = $2`, ids, own.ID)
	r.Own(wakes)
	orphan := create(t, r.other, invite("u2"))
	silence(t, r, r.other)
	if n, err := r.TakeOver(t.Context()); n != 1 || err != nil {
		t.Errorf("took %d, %v; want 1", n, err)
	}
	if w := r.inbox.of(t, orphan, "d1"); w.Number != 2 {
		t.Errorf("the orphan: %+v", w)
	}
	r.exec(t, `DELETE FROM legs WHERE id = ANY($1)`, ids) // no call of ours has such legs
}

// TestRunTakesOver: with two processes at work, the wakes of one that has gone
// silent arrive at the other by themselves, and those of one that closed at once.
func TestRunTakesOver(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(*store.Store){"silent": func(*store.Store) {}, "closed": (*store.Store).Close} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			patience := 500 * time.Millisecond
			if name == "closed" {
				patience = time.Hour // nobody has to wait for the silence
			}
			r := newRig(t, func(c *store.Config) { c.Heartbeat, c.SilentAfter = 50*time.Millisecond, patience })
			phone(t, r.Store, "u2", "d1")
			leaver, _ := r.joining(t, r.url) // it never beats
			c := create(t, leaver, invite("u2"))
			leave(leaver)
			run(t, r.Store)
			eventually(t, "the wake to be taken over", func() bool { return len(r.inbox.all()) > 0 })
			if w := r.inbox.of(t, c, "d1"); w.Number != 2 {
				t.Errorf("the wake: %+v", w)
			}
			if !r.Alive() {
				t.Error("a process that beats holds itself for dead")
			}
		})
	}
}

// TestAlive: a process that cannot beat knows that it may have lost its wakes.
func TestAlive(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := newProxy(t, r.url)
	s := storetest.Open(t, store.Config{URL: p.url, Heartbeat: 20 * time.Millisecond, SilentAfter: 500 * time.Millisecond})
	run(t, s)
	if !s.Alive() || s.Ready(t.Context()) != nil {
		t.Error("dead at birth")
	}
	p.away()
	eventually(t, "the process to hold itself for dead", func() bool { return !s.Alive() })
	if s.Ready(t.Context()) == nil {
		t.Error("ready without a database")
	}
	r.exec(t, `DELETE FROM processes WHERE id = $1`, s.Process()) // as the others clean up
	p.back()
	eventually(t, "the process to live again", func() bool { return s.Alive() && s.Ready(t.Context()) == nil })
	if n := read[int](t, r, `SELECT count(*)::int FROM processes WHERE id = $1`, s.Process()); n != 1 {
		t.Error("it is not on the list")
	}
}

// TestClean forgets processes long silent, unless they own a wake still.
func TestClean(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	phone(t, r.Store, "u2", "d1")
	create(t, r.other, invite("u2"))
	r.exec(t, `INSERT INTO processes (id, host, beat_at) VALUES (gen_random_uuid(), 'old', clock_timestamp() - interval '11 min')`)
	r.exec(t, `UPDATE processes SET beat_at = clock_timestamp() - interval '11 min' WHERE id = $1`, r.other.Process())
	if err := r.Clean(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := read[int](t, r, `SELECT count(*)::int FROM processes WHERE id IN ($1, $2)`, r.Process(), r.other.Process()); got != 2 || read[int](t, r, `SELECT count(*)::int FROM processes`) != 2 {
		t.Errorf("%d processes of ours left", got)
	}
}

// TestLostCommit: the connection dies between the commit and its answer. The
// caller is told that the database is away; the wake is on its way all the same.
func TestLostCommit(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	phone(t, r.Store, "u2", "d1")
	p := newProxy(t, r.url)
	s, box := r.joining(t, p.url)
	p.swallow.Store(true)
	in := invite("u2")
	in.Key = "k1"
	_, err := s.CreateCall(t.Context(), in)
	wantErr(t, "a commit without an answer", err, store.ErrUnavailable)
	if n := len(box.all()); n != 0 {
		t.Fatalf("%d wakes of a call that nobody knows to be committed", n)
	}
	if n, err := s.TakeOver(t.Context()); n != 1 || err != nil {
		t.Fatalf("took %d, %v; want 1", n, err)
	}
	c, err := s.CreateCall(t.Context(), in) // as a backend repeats it
	if err != nil {
		t.Fatal(err)
	}
	w := box.of(t, c, "d1")
	if n := read[int](t, r, `SELECT count(*)::int FROM calls`); n != 1 || len(box.all()) != 1 {
		t.Errorf("%d calls, %d wakes", n, len(box.all()))
	}
	// The same with an outcome: told again, it counts once, and the wake goes on.
	p.swallow.Store(true)
	o := store.Outcome{Attempt: attempt(r, w), Next: store.WakeAgain}
	_, err = s.FinishAttempt(t.Context(), w, o)
	wantErr(t, "an outcome without an answer", err, store.ErrUnavailable)
	finish(t, s, w, o, false)
	if n, err := s.TakeOver(t.Context()); n != 1 || err != nil {
		t.Fatalf("took %d, %v; want 1", n, err)
	}
	w = box.of(t, c, "d1")
	finish(t, s, w, store.Outcome{Attempt: attempt(r, w), Next: store.WakeAccepted}, false)
	if l := legOf(t, look(t, r.Store, c.ID), "d1"); l.Status != call.LegHandedOver {
		t.Errorf("the leg: %+v", l)
	}
	// And with a step of a device: its repeat gets the same verdict.
	p.swallow.Store(true)
	_, err = s.ReportLeg(t.Context(), party(c, "d1"), []call.Report{said(1, call.ReportAnswered)})
	wantErr(t, "a report without an answer", err, store.ErrUnavailable)
	if out, err := s.ReportLeg(t.Context(), party(c, "d1"), []call.Report{said(1, call.ReportAnswered)}); err != nil || out.Leg.Status != call.LegAnswered {
		t.Errorf("its repeat: %+v, %v", out.Leg, err)
	}
}
