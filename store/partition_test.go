package store_test

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/store"
)

var partitionedTables = []string{"calls", "legs", "attempts", "confirms", "reports", "events"}

// dropWeek takes the partitions of this week away, as if nobody had made them.
func dropWeek(t testing.TB, r *rig) {
	t.Helper()
	for _, table := range partitionedTables {
		r.exec(t, `DROP TABLE `+table+`_`+store.Monday(r.Now()).Format("20060102"))
	}
}

// inDefault counts the rows that lie in default partitions.
func inDefault(t testing.TB, r *rig) (rows int) {
	t.Helper()
	for _, table := range partitionedTables {
		rows += read[int](t, r, `SELECT count(*)::int FROM ONLY `+table+`_default`)
	}
	return rows
}

// TestMissingPartition: calls are taken in without a partition, and while two
// processes make it; then all rows lie in it, and nothing is lost.
func TestMissingPartition(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const users = 8
	for u := range users {
		phone(t, r.Store, fmt.Sprint("u", u), fmt.Sprint("d", u))
	}
	dropWeek(t, r)
	first := create(t, r.Store, invite("u0"))
	confirm(t, r.Store, first, "d0")
	report(t, r.Store, first, "d0", call.ReportRinging)
	handOver(t, r, first, "d0")
	before := look(t, r.Store, first.ID)
	if n := inDefault(t, r); n < 6 {
		t.Fatalf("%d rows in the default partitions", n)
	}
	stop := make(chan struct{})
	var writers, makers sync.WaitGroup
	for u := range users {
		writers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				c, err := r.either(u).CreateCall(t.Context(), invite(fmt.Sprint("u", u)))
				if err == nil {
					_, err = r.either(u).PutDevice(t.Context(), registration(fmt.Sprint("u", u), fmt.Sprint("d", u)))
				}
				if err == nil {
					_, err = r.either(u+1).EndCall(t.Context(), app, c.ID)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range 2 {
		makers.Go(func() {
			// Busy tables may make it give up; it is tried again.
			eventually(t, "the partitions", func() bool { return r.either(i).MakePartitions(t.Context()) == nil })
		})
	}
	makers.Wait()
	close(stop)
	writers.Wait()
	if n := inDefault(t, r); n != 0 {
		t.Errorf("%d rows are left in the default partitions", n)
	}
	if diff := cmp.Diff(before, look(t, r.other, first.ID), cmp.AllowUnexported(call.Call{})); diff != "" {
		t.Errorf("a call that moved: %s", diff)
	}
	if _, entries, err := r.Timeline(t.Context(), app, first.ID); err != nil || len(entries) < 6 {
		t.Errorf("its timeline has %d entries, %v", len(entries), err)
	}
}

// TestPartitionInUse: a long reading neither stops a process from starting nor
// makes the others wait for long.
func TestPartitionInUse(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	dropWeek(t, r)
	tx, err := r.db.BeginTx(t.Context(), pgx.TxOptions{AccessMode: pgx.ReadOnly})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	if _, err := tx.Exec(t.Context(), `SELECT count(*) FROM calls`); err != nil {
		t.Fatal(err)
	}
	late, _ := r.joining(t, r.url) // it opens all the same
	start := time.Now()
	if c := create(t, late, invite("u2")); c.EndReason != call.EndUnreachable {
		t.Errorf("a call meanwhile: %+v", c)
	}
	if d := time.Since(start); d > 3*time.Second {
		t.Errorf("it took %s", d)
	}
}

// TestWeeks: a week begins on Monday in UTC, also at the turn of a year.
func TestWeeks(t *testing.T) {
	t.Parallel()
	for day, want := range map[string]string{
		"2026-12-27T23:59:59.999Z": "2026-12-21", "2026-12-28T00:00:00Z": "2026-12-28", "2027-01-01T12:00:00Z": "2026-12-28",
		"2027-01-03T23:59:59Z": "2026-12-28", "2027-01-04T00:00:00Z": "2027-01-04", "2027-01-04T07:00:00+08:00": "2026-12-28", "2028-02-29T10:00:00Z": "2028-02-28",
	} {
		at, err := time.Parse(time.RFC3339Nano, day)
		if err != nil {
			t.Fatal(err)
		}
		if got := store.Monday(at).Format(time.RFC3339); got != want+"T00:00:00Z" {
			t.Errorf("the week of %s begins on %s, want %s", day, got, want)
		}
	}
	r := newRig(t)
	if err := r.MakePartitionsFrom(t.Context(), time.Date(2030, 12, 25, 0, 0, 0, 0, time.UTC), 3); err != nil {
		t.Fatal(err)
	}
	// The edges lie where they belong: the last id of a week, and the first of the next.
	edge := time.Date(2030, 12, 30, 0, 0, 0, 0, time.UTC)
	for _, at := range []time.Time{edge.Add(-time.Millisecond), edge, edge.AddDate(0, 0, 7).Add(-time.Millisecond), edge.AddDate(0, 0, 7)} {
		for i, id := range []any{store.FloorID(at), store.CeilingID(at), store.NewID(at)} {
			r.exec(t, `INSERT INTO events (app_id, id, type, at, data) VALUES ($1, $2, 'device.registered', clock_timestamp(), '{}')`, fmt.Sprint(app, i), id)
		}
	}
	got := read[string](t, r, `SELECT string_agg(t || ' ' || n, ', ' ORDER BY t) FROM (SELECT tableoid::regclass::text AS t, count(*) AS n FROM events WHERE app_id LIKE 'demo_' GROUP BY 1) q`)
	if want := "events_20301223 3, events_20301230 6, events_20310106 3"; got != want {
		t.Errorf("rows: %s, want %s", got, want)
	}
}

// statements are those that a store has sent, with their arguments.
type statements struct {
	mu   sync.Mutex
	sent []pgx.TraceQueryStartData
}

func (s *statements) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = append(s.sent, q)
	return ctx
}
func (s *statements) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}
func (s *statements) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return ctx
}
func (s *statements) TraceBatchQuery(_ context.Context, _ *pgx.Conn, q pgx.TraceBatchQueryData) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = append(s.sent, pgx.TraceQueryStartData{SQL: q.SQL, Args: q.Args})
}
func (s *statements) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

func (s *statements) take() []pgx.TraceQueryStartData {
	s.mu.Lock()
	defer s.mu.Unlock()
	sent := s.sent
	s.sent = nil
	return sent
}

// TestFewPartitions: with a year of history, no verb reads more of it than it
// needs. Each statement that a verb sent is explained as it was sent.
func TestFewPartitions(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if err := r.MakePartitionsFrom(t.Context(), r.Now().AddDate(0, 0, -20*7), 20); err != nil {
		t.Fatal(err)
	}
	phone(t, r.Store, "u2", "d1")
	old := create(t, r.Store, keyed("u2", "k"))
	other := create(t, r.Store, invite("u2"))
	seen := &statements{}
	if err := r.Trace(t.Context(), seen); err != nil {
		t.Fatal(err)
	}
	const point, recent = 1, 8                                                                             // this week's; from yesterday's to the ones made ahead, and the default
	name := regexp.MustCompile(`on ((?:calls|legs|attempts|confirms|reports|events)_(?:\d{8}|default))\s`) // not their indexes
	for what, tc := range map[string]struct {
		most int
		do   func() error
	}{
		"invite": {recent, func() error { _, err := r.CreateCall(t.Context(), invite("u2")); return err }},
		"repeat": {recent, func() error { _, err := r.CreateCall(t.Context(), keyed("u2", "k")); return err }},
		"confirm": {recent, func() error {
			_, err := r.ConfirmLeg(t.Context(), party(old, "d1"), call.Confirmation{Source: call.SourcePush})
			return err
		}},
		"report":   {recent, func() error { _, err := say(t, r.Store, old, "d1", said(1, call.ReportRinging)); return err }},
		"look":     {point, func() error { _, err := r.Call(t.Context(), app, old.ID); return err }},
		"live":     {recent, func() error { _, err := r.LiveCalls(t.Context(), app, "d1", "u2"); return err }},
		"sweep":    {recent, func() error { _, err := r.SweepDeadlines(t.Context()); return err }},
		"takeover": {recent, func() error { _, err := r.TakeOver(t.Context()); return err }},
		"timeline": {recent, func() error { _, _, err := r.Timeline(t.Context(), app, old.ID); return err }},
		"history": {recent, func() error {
			for _, err := range r.CallPages(t.Context(), store.Filter{AppID: app, Limit: 1, Region: "CN", From: r.Now().AddDate(0, 0, -1)}) {
				if err != nil {
					return err
				}
			}
			return nil
		}},
		"events": {recent, func() error {
			_, err := r.Events(t.Context(), store.EventQuery{AppID: app, After: store.Cursor{Epoch: 1, XID: 1, MS: r.Now().UnixMilli()}, Limit: 10})
			return err
		}},
		"events of a call": {recent, func() error {
			_, err := r.Events(t.Context(), store.EventQuery{AppID: app, CallID: old.ID, Limit: 10})
			return err
		}},
		"cancel": {point, func() error { _, err := r.CancelCall(t.Context(), app, other.ID); return err }},
	} {
		seen.take()
		if err := tc.do(); err != nil && what != "report" {
			t.Errorf("%s: %v", what, err)
		}
		explained := 0
		for _, q := range seen.take() {
			head := strings.ToUpper(strings.TrimSpace(q.SQL))
			if !strings.HasPrefix(head, "SELECT") && !strings.HasPrefix(head, "UPDATE") || strings.Contains(q.SQL, "set_config") {
				continue
			}
			args := slices.DeleteFunc(slices.Clone(q.Args), func(a any) bool { _, mode := a.(pgx.QueryExecMode); return mode })
			rows, err := r.db.Query(t.Context(), "EXPLAIN "+q.SQL, args...)
			if err != nil {
				t.Fatal(err)
			}
			plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if err != nil {
				t.Fatalf("%s: %v\n%s", what, err, q.SQL)
			}
			tables := map[string]map[string]bool{}
			for _, m := range name.FindAllStringSubmatch(strings.Join(plan, "\n"), -1) {
				table, _, _ := strings.Cut(m[1], "_")
				if tables[table] == nil {
					tables[table] = map[string]bool{}
				}
				tables[table][m[1]] = true
				explained++
			}
			for table, partitions := range tables {
				if len(partitions) > tc.most {
					t.Errorf("%s reads %d partitions of %s:\n%s\n%s", what, len(partitions), table, q.SQL, strings.Join(plan, "\n"))
				}
			}
		}
		if explained == 0 {
			t.Errorf("%s: no statement on partitions was seen", what)
		}
	}
}

// TestInIndexOrder: a page of the log or of the history is read off an index,
// however much there is.
func TestInIndexOrder(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	phone(t, r.Store, "u2", "d1")
	create(t, r.Store, invite("u2"))
	seen := &statements{}
	if err := r.Trace(t.Context(), seen); err != nil {
		t.Fatal(err)
	}
	for what, do := range map[string]func() error{
		"events": func() error {
			_, err := r.Events(t.Context(), store.EventQuery{AppID: app, After: store.Cursor{Epoch: 1, XID: 5, Seq: 3}, Limit: 10})
			return err
		},
		"history": func() error { _, _, err := r.Calls(t.Context(), store.Filter{AppID: app, Limit: 10}); return err },
		"of a user": func() error {
			_, _, err := r.Calls(t.Context(), store.Filter{AppID: app, CallerID: "caller", Limit: 10})
			return err
		},
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
		sent := seen.take()
		q := sent[slices.IndexFunc(sent, func(q pgx.TraceQueryStartData) bool { return strings.Contains(q.SQL, "ORDER BY") })]
		args := slices.DeleteFunc(slices.Clone(q.Args), func(a any) bool { _, mode := a.(pgx.QueryExecMode); return mode })
		err := pgx.BeginFunc(t.Context(), r.db, func(tx pgx.Tx) error {
			// The tables are small: what the planner would do with large ones.
			if _, err := tx.Exec(t.Context(), `SET LOCAL enable_sort = off; SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off`); err != nil {
				return err
			}
			rows, err := tx.Query(t.Context(), "EXPLAIN "+q.SQL, args...)
			if err != nil {
				return err
			}
			plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
			for _, line := range plan {
				if strings.HasPrefix(strings.TrimLeft(line, " ->"), "Sort  (") {
					t.Errorf("%s are sorted:\n%s", what, strings.Join(plan, "\n"))
					break
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
