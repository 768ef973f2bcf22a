package store_test

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/store"
)

// readWhenWoken follows a log as its readers do, until it has that many events.
func readWhenWoken(t *testing.T, s *store.Store, w *store.LogWatch, f *reader, n int) {
	t.Helper()
	for deadline := time.After(15 * time.Second); len(f.follow(t)) < n; {
		select {
		case <-w.Woken():
		case <-deadline:
			t.Fatalf("waited in vain for event %d; seen: %q", n, f.seen)
		}
	}
}

// TestLogWatch: a reader hears of an event that another process wrote, also
// where a transaction that began before holds the log back: both if the reader
// waits already, and if it comes when the event has been written.
func TestLogWatch(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	run(t, r.Store, r.other)
	for _, of := range []string{app, ""} {
		t.Run("of "+of, func(t *testing.T) {
			f := &reader{s: r.other, page: 10}
			f.follow(t)
			early := r.other.WatchLog(of)
			defer early.Close()
			seen := len(f.follow(t))
			device := r.other.WatchCall(app, uuid.New()) // the tail looks also where no log is read
			defer device.Close()

			phone(t, r.Store, "u1", "d1")
			readWhenWoken(t, r.other, early, f, seen+1)

			slow := r.writer(t)
			slow.do(`SELECT pg_current_xact_id()`)
			phone(t, r.Store, "u2", "d2")
			eventually(t, "the reader to find nothing yet", func() bool { return len(f.follow(t)) == seen+1 })
			late := r.other.WatchLog(of)
			defer late.Close()
			g := &reader{s: r.other, page: 10, after: f.after}
			if g.follow(t); len(g.seen) > 0 {
				t.Errorf("read past a running transaction: %q", g.seen)
			}
			slow.commit()
			readWhenWoken(t, r.other, early, f, seen+2)
			readWhenWoken(t, r.other, late, g, 1)
		})
	}
}

// TestLogWatchIsPrompt: a reader does not wait for the next poll when the
// transaction ends that held the log back.
func TestLogWatchIsPrompt(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *store.Config) { c.Poll = time.Minute })
	run(t, r.Store)
	w := r.WatchLog(app)
	defer w.Close()
	device := r.WatchCall(app, uuid.New())
	defer device.Close()
	f := &reader{s: r.Store, page: 10}
	f.follow(t)
	phone(t, r.Store, "u0", "d0") // from here on the tail follows
	slow := r.writer(t)
	slow.do(`SELECT pg_current_xact_id()`)
	phone(t, r.Store, "u1", "d1")
	committed := make(chan error, 1)
	time.AfterFunc(200*time.Millisecond, func() { committed <- slow.tx.Commit(t.Context()) })
	readWhenWoken(t, r.Store, w, f, 2)
	if err := <-committed; err != nil {
		t.Error(err)
	}
}

// TestEventFilters: a reader with a filter gets what it asks for, in pages of
// any size, and its cursor moves on where there is nothing for it.
func TestEventFilters(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for u := range 3 {
		phone(t, r.Store, fmt.Sprint("u", u), fmt.Sprint("d", u))
	}
	var calls []call.Call
	for u := range 3 {
		c := create(t, r.Store, invite(fmt.Sprint("u", u)))
		cancelCall(t, r.Store, c)
		calls = append(calls, c)
	}
	elsewhere := invite("u1")
	elsewhere.AppID = "other"
	makeApp(t, r.Store, "other")
	foreign := create(t, r.Store, elsewhere)

	of := func(c call.Call, types ...string) []string {
		var out []string
		for _, e := range types {
			out = append(out, c.ID.String()+" "+e)
		}
		return out
	}
	whole := []string{"call.created", "leg.updated", "call.ended"}
	for name, tc := range map[string]struct {
		q    store.EventQuery
		want []string
	}{
		"one call":          {store.EventQuery{AppID: app, CallID: calls[1].ID}, of(calls[1], whole...)},
		"another app's":     {store.EventQuery{AppID: app, CallID: foreign.ID}, nil},
		"callee":            {store.EventQuery{AppID: app, UserID: "u2"}, append([]string{"device.registered"}, of(calls[2], whole...)...)},
		"callee and type":   {store.EventQuery{AppID: app, UserID: "u2", Types: []call.EventType{call.EventCallEnded}}, of(calls[2], "call.ended")},
		"types":             {store.EventQuery{AppID: app, Types: []call.EventType{call.EventCallCreated, call.EventDeviceRegistered}}, append([]string{"device.registered", "device.registered", "device.registered"}, append(of(calls[0], "call.created"), append(of(calls[1], "call.created"), of(calls[2], "call.created")...)...)...)},
		"nobody":            {store.EventQuery{AppID: app, UserID: "nobody"}, nil},
		"call and type":     {store.EventQuery{CallID: calls[0].ID, Types: []call.EventType{call.EventCallEnded}}, of(calls[0], "call.ended")},
		"caller, every app": {store.EventQuery{UserID: "u1", Types: []call.EventType{call.EventCallCreated}}, append(of(calls[1], "call.created"), of(foreign, "call.created")...)},
	} {
		for _, limit := range []int{1, 2, 100} {
			q, seen := tc.q, []string(nil)
			q.Limit = limit
			eventually(t, name+" to be there", func() bool {
				for {
					page, err := r.Events(t.Context(), q)
					if err != nil {
						t.Fatal(err)
					}
					for _, e := range page.Events {
						what := string(e.Type)
						if e.Call != nil {
							what = e.Call.ID.String() + " " + what
						}
						seen = append(seen, what)
					}
					q.After = page.Cursor
					if !page.More {
						return len(seen) >= len(tc.want)
					}
				}
			})
			if diff := cmp.Diff(tc.want, seen); diff != "" {
				t.Errorf("%s, %d a page: %s", name, limit, diff)
			}
			if end, err := r.EndOfLog(t.Context()); tc.q.CallID == uuid.Nil && (err != nil || q.After.XID == 0 || q.After.XID > end.XID) {
				t.Errorf("%s: the cursor is %v at the end, the log's end is %v, %v", name, q.After, end, err)
			}
		}
	}
}

// TestRestored: a database restored into another server counts its transactions
// from a lower number. Relay notices, and with a new epoch its readers miss
// nothing of what was there or of what comes.
func TestRestored(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	makeApp(t, r.Store, "old")
	const future = "9000000000"
	for n := range 4 {
		r.exec(t, `INSERT INTO events (app_id, id, type, at, xid, data) VALUES ($1, $2, 'device.registered', clock_timestamp(), $3::text::xid8, json_build_object('name', $4::text))`,
			app, newID(t), future, fmt.Sprint("before ", n+1))
	}
	if err := r.CheckLog(t.Context()); !errors.Is(err, store.ErrRestored) {
		t.Fatalf("nothing was noticed: %v", err)
	}
	stop := run(t, r.other)
	eventually(t, "a process to be seen", func() bool {
		_, err := r.BeginEpoch(t.Context())
		if err != nil && !errors.Is(err, store.ErrRunning) {
			t.Fatal(err)
		}
		return errors.Is(err, store.ErrRunning)
	})
	stop()
	r.exec(t, `DELETE FROM processes WHERE id <> $1`, r.Process())
	before := read[int](t, r, `SELECT max(epoch) FROM log_epochs`)
	epoch, err := r.BeginEpoch(t.Context())
	if err != nil || epoch != before+1 {
		t.Fatalf("epoch %d, %v", epoch, err)
	}
	if err := r.CheckLog(t.Context()); err != nil {
		t.Errorf("after the new epoch: %v", err)
	}
	w := r.writer(t)
	w.note("after 1")
	w.note("after 2")
	w.commit()
	for page := range 7 {
		f := &reader{s: r.Store, page: page + 1}
		f.wants(t, "before 1", "before 2", "before 3", "before 4", "after 1", "after 2")
	}
	// One that had read a part of it, and one that has a cursor which the backup did not know.
	f := &reader{s: r.Store, page: 2}
	first, err := r.Events(t.Context(), store.EventQuery{AppID: app, Limit: 3})
	if err != nil {
		t.Fatal(err)
	}
	f.after = first.Cursor
	f.wants(t, "before 4", "after 1", "after 2")
	f = &reader{s: r.Store, page: 2, after: store.Cursor{Epoch: 1, XID: 9_000_000_100, Seq: 100, MS: r.Now().UnixMilli()}}
	f.wants(t, "after 1", "after 2")
	end, err := r.EndOfLog(t.Context())
	if err != nil || end.Epoch != epoch {
		t.Errorf("the end is %v, %v", end, err)
	}
	for _, bad := range []store.Cursor{{Epoch: epoch, XID: 8_000_000_000}, {Epoch: epoch + 1}, {Epoch: epoch, XID: math.MaxUint64}} {
		if _, err := r.Events(t.Context(), store.EventQuery{AppID: app, After: bad, Limit: 1}); !errors.Is(err, store.ErrCursor) {
			t.Errorf("%v: %v", bad, err)
		}
	}
}
