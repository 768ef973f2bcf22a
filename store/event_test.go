package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/store"
)

// writer is a transaction that notes events in the app's log, by hand.
type writer struct {
	t  *testing.T
	tx pgx.Tx
}

func (r *rig) writer(t *testing.T) writer {
	t.Helper()
	tx, err := r.db.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
	return writer{t, tx}
}

func (w writer) do(sql string, args ...any) {
	w.t.Helper()
	if _, err := w.tx.Exec(w.t.Context(), sql, args...); err != nil {
		w.t.Fatal(err)
	}
}

// note adds an event of a device, which needs no call.
func (w writer) note(name string) {
	w.t.Helper()
	w.do(`INSERT INTO events (app_id, id, type, at, data) VALUES ($1, $3, 'device.registered', clock_timestamp(), json_build_object('name', $2::text))`, app, name, newID(w.t))
}

func (w writer) commit() {
	w.t.Helper()
	if err := w.tx.Commit(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

func newID(t testing.TB) uuid.UUID {
	t.Helper()
	id, err := uuid.NewV7()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// reader follows a log in pages.
type reader struct {
	s     *store.Store
	page  int
	after store.Cursor
	seen  []string
}

// follow reads all that there is, with the cursor as it would be kept by a reader.
func (f *reader) follow(t testing.TB) []string {
	t.Helper()
	for {
		page, err := f.s.Events(t.Context(), store.EventQuery{AppID: app, After: f.after, Limit: f.page})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Events {
			f.seen = append(f.seen, string(e.Device))
		}
		if n := len(page.Events); n > 0 && page.Cursor != page.Events[n-1].Position {
			t.Errorf("the page ends at %v, its last event is at %v", page.Cursor, page.Events[n-1].Position)
		}
		if f.after, err = store.ParseCursor(page.Cursor.String()); err != nil {
			t.Fatal(err)
		}
		if !page.More {
			return f.seen
		}
	}
}

// wants follows until that many events are there. Transactions of other tests
// on the same server may hold the log back for a moment.
func (f *reader) wants(t testing.TB, names ...string) {
	t.Helper()
	eventually(t, fmt.Sprint("the events ", names), func() bool { return len(f.follow(t)) >= len(names) })
	want := make([]string, len(names))
	for i, n := range names {
		want[i] = fmt.Sprintf(`{"name" : %q}`, n)
	}
	if diff := cmp.Diff(want, append([]string{}, f.seen...)); diff != "" {
		t.Errorf("seen: %s", diff)
	}
}

// TestSlowWriter: a writer that began first and commits last is not lost.
func TestSlowWriter(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	f := &reader{s: r.Store, page: 10}
	slow, fast := r.writer(t), r.writer(t)
	slow.note("slow 1")
	fast.note("fast 2")
	fast.commit()
	f.wants(t) // a reader that went on to fast here would never see slow
	slow.commit()
	f.wants(t, "slow 1", "fast 2")
}

// TestOlderTransactionLaterSequence: the transaction that began first takes the
// later sequence; only rows of the other are there when the log is read.
func TestOlderTransactionLaterSequence(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	f := &reader{s: r.Store, page: 1}
	older, newer, third := r.writer(t), r.writer(t), r.writer(t)
	older.do(`SELECT pg_current_xact_id()`)
	newer.note("newer 1")
	third.note("third 2")
	older.note("older 3")
	third.commit()
	f.wants(t)
	older.commit()
	f.wants(t, "older 3") // third waits for newer, which is older than it
	newer.commit()
	f.wants(t, "older 3", "newer 1", "third 2")
}

// TestPairIsTheCursor: sequences of two transactions interleave, and each page
// ends in the middle of one. A cursor of the sequence alone would leave out or
// repeat some.
func TestPairIsTheCursor(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	one, two := r.writer(t), r.writer(t)
	one.do(`SELECT pg_current_xact_id()`)
	two.note("two a")
	one.note("one a")
	two.note("two b")
	one.note("one b")
	two.note("two c")
	one.commit()
	two.commit()
	for page := range 6 {
		f := &reader{s: r.either(page), page: page + 1}
		f.wants(t, "one a", "one b", "two a", "two b", "two c")
	}
}

// TestNumberOfDigits: transactions 9, 10 and 100 come in this order.
func TestNumberOfDigits(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, xid := range []string{"100", "9", "10"} {
		for n := range 2 {
			r.exec(t, `INSERT INTO events (app_id, id, type, at, xid, data)
				SELECT $1, $4, 'device.registered', clock_timestamp(), $2::text::xid8, json_build_object('name', $2::text || ' ' || $3::int)`, app, xid, n+1, newID(t))
		}
	}
	for page := range 4 {
		f := &reader{s: r.Store, page: page + 1}
		f.wants(t, "9 1", "9 2", "10 1", "10 2", "100 1", "100 2")
	}
}

// TestBatchThatWaits: a batch of steps has to wait for one of its calls, in the
// middle of its list. It must not have an id yet, or its event of that call
// would sort before the event that it waited for.
func TestBatchThatWaits(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var calls []call.Call
	for i := range 6 {
		phone(t, r.Store, fmt.Sprint("u", i), fmt.Sprint("d", i))
		calls = append(calls, create(t, r.Store, invite(fmt.Sprint("u", i))))
	}
	held := calls[3]
	other := r.writer(t)
	other.do(`SELECT pg_advisory_xact_lock($1)`, store.LockKey("call", held.ID.String()))

	var all sync.WaitGroup
	items := make([]func(), 5)
	for i := range items {
		c := calls[i+1]
		items[i] = func() { report(t, r.Store, c, c.Legs[0].DeviceID, call.ReportRinging) }
	}
	done := make(chan struct{})
	all.Go(func() {
		defer close(done)
		r.oneStepBatch(t, r.Store, calls[0], items...)
	})
	eventually(t, "the batch to wait for the held call", func() bool {
		return read[int](t, r, `SELECT count(*)::int FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
			AND (classid::bigint << 32) | objid::bigint = $1`, store.LockKey("call", held.ID.String())) == 1
	})
	if n := read[int](t, r, `SELECT count(*)::int FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory' AND backend_xid IS NOT NULL`); n != 0 {
		t.Errorf("%d transactions that wait for a call have an id", n)
	}
	// The other one's step on the held call: one more event, like the last.
	other.do(`UPDATE calls SET seq = seq + 1 WHERE id = $1`, held.ID)
	other.do(`INSERT INTO events (app_id, id, type, at, call_id, call_seq, data)
		SELECT app_id, $2, 'leg.updated', clock_timestamp(), call_id, call_seq + 1, data FROM events WHERE call_id = $1`, held.ID, newID(t))
	other.commit()
	<-done
	all.Wait()
	order(t, r, 1)
}

// order follows the log and wants each event once and those of each call in its order.
func order(t *testing.T, r *rig, page int) {
	t.Helper()
	want := read[int](t, r, `SELECT coalesce(sum(seq), 0)::int FROM calls`)
	f := follower{last: map[uuid.UUID]int{}}
	eventually(t, "all events", func() bool {
		f.read(t, r.Store, page)
		return f.calls >= want
	})
	if f.calls != want {
		t.Errorf("%d events of calls read, %d noted", f.calls, want)
	}
}

// follower checks as it reads.
type follower struct {
	after store.Cursor
	last  map[uuid.UUID]int // each call's last number
	calls int
}

func (f *follower) read(t testing.TB, s *store.Store, page int) {
	for {
		got, err := s.Events(t.Context(), store.EventQuery{AppID: app, After: f.after, Limit: page})
		if err != nil {
			t.Error(err)
			return
		}
		f.after = got.Cursor
		for _, e := range got.Events {
			if e.CallID == uuid.Nil {
				continue
			}
			f.calls++
			if e.CallSeq != f.last[e.CallID]+1 {
				t.Errorf("call %s: event %d after %d", e.CallID, e.CallSeq, f.last[e.CallID])
			}
			f.last[e.CallID] = e.CallSeq
			if e.Call == nil || e.Call.ID != e.CallID {
				t.Errorf("an event of a call without the call: %+v", e)
			}
		}
		if !got.More {
			return
		}
	}
}

// TestFollowWhileWritten reads the log while two processes write it, at random.
func TestFollowWhileWritten(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *store.Config) { c.BatchSize, c.BeginWriters = 7, 3 })
	const users = 12
	for u := range users {
		for _, d := range []string{"a", "b"} {
			phone(t, r.Store, fmt.Sprint("u", u), fmt.Sprint(d, u))
		}
	}
	written := make(chan struct{})
	var writers, readers sync.WaitGroup
	for u := range users {
		writers.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(u), 7))
			for range 12 {
				c, err := r.either(rng.IntN(2)).CreateCall(t.Context(), invite(fmt.Sprint("u", u)))
				if err != nil {
					t.Error(err)
					return
				}
				var both sync.WaitGroup
				for _, d := range []string{"a", "b"} {
					s, last := r.either(rng.IntN(2)), rng.IntN(4)
					both.Go(func() {
						for i, e := range []call.ReportEvent{call.ReportRinging, call.ReportAnswered, call.ReportActive, call.ReportDisconnected}[:last+1] {
							_, _ = s.ReportLeg(t.Context(), party(c, fmt.Sprint(d, u)), []call.Report{said(int64(i+1), e)}) // many are refused
						}
					})
				}
				both.Wait()
				if _, err := r.either(rng.IntN(2)).EndCall(t.Context(), app, c.ID); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range 2 {
		readers.Go(func() {
			f := follower{last: map[uuid.UUID]int{}}
			for done := false; !done; {
				select {
				case <-written:
					done = true
				default:
				}
				f.read(t, r.either(i), 3+4*i)
			}
			want := read[int](t, r, `SELECT sum(seq)::int FROM calls`)
			eventually(t, "the last events", func() bool { f.read(t, r.either(i), 5); return f.calls >= want })
			if f.calls != want {
				t.Errorf("%d events read, %d noted", f.calls, want)
			}
		})
	}
	writers.Wait()
	close(written)
	readers.Wait()
}

func TestCursor(t *testing.T) {
	t.Parallel()
	for _, c := range []store.Cursor{{}, {XID: 1}, {Epoch: 1<<31 - 1, XID: 1<<64 - 1, Seq: 1<<63 - 1, MS: 1<<63 - 1}} {
		if got, err := store.ParseCursor(c.String()); err != nil || got != c {
			t.Errorf("%v came back as %v, %v", c, got, err)
		}
	}
	if c, err := store.ParseCursor(""); err != nil || c != (store.Cursor{}) {
		t.Errorf("the beginning: %v, %v", c, err)
	}
	for _, bad := range []string{"-", "1", "1-1-1", "1-1-1-", "-1-1-1", "1-1-1-1-1", "1--1-1", "1-x!-1-1", "1-1-1-1 ", "+1-1-1-1", "1-zzzzzzzzzzzzzzzz-1-1", "1-1-zzzzzzzzzzzzz-1", "zzzzzzzzz-1-1-1"} {
		if c, err := store.ParseCursor(bad); !errors.Is(err, store.ErrCursor) {
			t.Errorf("%q is %v, %v", bad, c, err)
		}
	}
}
