package store_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/store"
	"github.com/pushwake/relay/store/storetest"
)

// wait takes what a watch is told next.
func wait(ctx context.Context, w *store.Watch) (store.Changes, error) {
	select {
	case <-w.Woken():
		return w.Take(), nil
	case <-ctx.Done():
		return store.Changes{}, ctx.Err()
	}
}

// hears waits until a watch tells that a call has come so far.
func hears(t testing.TB, w *store.Watch, c call.Call, status call.Status) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	for {
		changes, err := wait(ctx, w)
		if err != nil {
			t.Fatalf("waited in vain to hear of %s", status)
		}
		for _, got := range changes.Calls {
			if got.ID == c.ID && got.Status == status {
				return
			}
		}
	}
}

// quiet makes sure that a watch was told nothing.
func quiet(t testing.TB, w *store.Watch) {
	t.Helper()
	if c := w.Take(); len(c.Calls) > 0 || c.Lost {
		t.Errorf("told of %+v", c)
	}
}

func cancelCall(t testing.TB, s *store.Store, c call.Call) {
	t.Helper()
	if _, err := s.CancelCall(t.Context(), app, c.ID); err != nil {
		t.Fatal(err)
	}
}

// TestTail: who waits at one process is told of what another commits, with
// LISTEN, without it, and while its connection is lost.
func TestTail(t *testing.T) {
	t.Parallel()
	listeners := func(t *testing.T, r *rig) int {
		return read[int](t, r, `SELECT count(*)::int FROM pg_stat_activity WHERE datname = current_database() AND query = 'LISTEN relay_events'`)
	}
	for name, noListen := range map[string]bool{"notified": false, "polling": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(c *store.Config) { c.NoListen = noListen })
			run(t, r.Store, r.other)
			phone(t, r.Store, "u2", "d1")
			c := create(t, r.Store, invite("u2"))
			there, here := r.other.WatchCall(app, c.ID), r.WatchCall(app, c.ID)
			defer there.Close()
			defer here.Close()
			other := r.other.WatchCall(app, uuid.New())
			defer other.Close()
			if noListen {
				if n := listeners(t, r); n > 0 {
					t.Errorf("%d sessions listen", n)
				}
			} else {
				eventually(t, "both to listen", func() bool { return listeners(t, r) == 2 })
				if n := read[int](t, r, `SELECT count(CASE WHEN datname = current_database() AND query = 'LISTEN relay_events' THEN pg_terminate_backend(pid) END)::int FROM pg_stat_activity`); n != 2 {
					t.Fatalf("%d listeners ended", n)
				}
			}
			report(t, r.Store, c, "d1", call.ReportRinging)
			for _, w := range []*store.Watch{there, here} {
				hears(t, w, c, call.StatusRinging)
			}
			if !noListen {
				eventually(t, "both to listen again", func() bool { return listeners(t, r) == 2 })
			}
			cancelCall(t, r.other, c)
			for _, w := range []*store.Watch{there, here} {
				hears(t, w, c, call.StatusEnded)
			}
			quiet(t, other)
		})
	}
}

// TestTailLateCommit: a transaction that began first and commits last is told
// of when it commits, does not hold back what others commit meanwhile, and
// brings nothing twice.
func TestTailLateCommit(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	run(t, r.Store)
	phone(t, r.Store, "u2", "d1")
	late, prompt := create(t, r.Store, invite("u2")), create(t, r.Store, invite("u2"))
	slow := r.writer(t)
	slow.do(`INSERT INTO events (app_id, id, type, at, call_id, call_seq, data) VALUES ($1, $2, 'leg.updated', clock_timestamp(), $3, 90, '{}')`,
		app, store.NewID(r.Now()), late.ID)
	a, b := r.WatchCall(app, late.ID), r.WatchCall(app, prompt.ID)
	defer a.Close()
	defer b.Close()
	report(t, r.Store, prompt, "d1", call.ReportRinging)
	hears(t, b, prompt, call.StatusRinging)
	cancelCall(t, r.Store, prompt)
	hears(t, b, prompt, call.StatusEnded)
	a.Take() // it may have been told of what was before it, and the look that did so is over
	third := create(t, r.Store, invite("u2"))
	c := r.WatchCall(app, third.ID)
	defer c.Close()
	cancelCall(t, r.Store, third)
	hears(t, c, third, call.StatusEnded)
	quiet(t, a)
	slow.commit()
	hears(t, a, late, call.StatusWaking)
	for range 3 { // the xmin moves on over what was read ahead of it
		next := create(t, r.Store, invite("u2"))
		w := r.WatchCall(app, next.ID)
		cancelCall(t, r.Store, next)
		hears(t, w, next, call.StatusEnded)
		w.Close()
	}
	quiet(t, a)
	quiet(t, b)
	r.exec(t, `DELETE FROM events WHERE call_seq = 90`) // it is not of the call, and the log is judged afterwards
}

// TestTailMissesNothing: whoever watches and then reads knows of an end that
// comes at any moment, also where nobody watched before.
func TestTailMissesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *store.Config) { c.Poll = time.Millisecond })
	run(t, r.Store, r.other)
	var all sync.WaitGroup
	for i := range 100 {
		user := fmt.Sprint("u", i)
		phone(t, r.Store, user, "of "+user)
		c := create(t, r.Store, invite(user))
		all.Go(func() { cancelCall(t, r.either(i), c) })
		w := r.other.WatchCall(app, c.ID)
		if now := look(t, r.other, c.ID); now.Live() {
			hears(t, w, c, call.StatusEnded)
		}
		w.Close() // the next one finds a tail that keeps up for nobody
	}
	all.Wait()
}

// TestTailAfterOutage: what was committed while the database could not be
// reached is told afterwards.
func TestTailAfterOutage(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	run(t, r.Store)
	p := newProxy(t, r.url)
	cut := storetest.Open(t, store.Config{URL: p.url})
	run(t, cut)
	phone(t, r.Store, "u2", "d1")
	c := create(t, r.Store, invite("u2"))
	w := cut.WatchCall(app, c.ID)
	defer w.Close()
	report(t, r.Store, c, "d1", call.ReportRinging)
	hears(t, w, c, call.StatusRinging)
	p.away()
	cancelCall(t, r.Store, c)
	p.back()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	for ended, lost := false, false; !ended || !lost; { // the server that is back may be another one, so who waits reads anew
		changes, err := wait(ctx, w)
		if err != nil {
			t.Fatalf("heard of the end: %v, that something may be lost: %v", ended, lost)
		}
		lost = lost || changes.Lost
		for _, now := range changes.Calls {
			ended = ended || now.EndReason == call.EndCanceled
		}
	}
}
