package store_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/migrations"
	"github.com/pushwake/relay/store"
	"github.com/pushwake/relay/store/localpg"
	"github.com/pushwake/relay/store/storetest"
)

// bytesRing lets the mark of a leg that did not confirm, after 15 s, fall into the ring.
const bytesRing = 17 * time.Second

// BenchmarkBytes tells how many bytes a call takes on disk, with its indexes and
// its dead rows, and how many it writes to the WAL, by the number of devices:
// one that nobody answers, whose devices are told that it was missed, and one
// that a device answers and ends. The WAL is without full-page images, whose
// number depends on the checkpoints.
func BenchmarkBytes(b *testing.B) {
	server, err := localpg.Start(b.Context(), localpg.Options{Settings: map[string]string{"full_page_writes": "off", "checkpoint_timeout": "30min"}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = server.Stop() }) // nothing in it is kept
	for _, devices := range []int{1, 3, 10, 50} {
		for _, answered := range []bool{false, true} {
			kind := map[bool]string{false: "missed", true: "answered"}[answered]
			b.Run(fmt.Sprintf("%s_%d", kind, devices), func(b *testing.B) {
				for b.Loop() {
					measureBytes(b, server, fmt.Sprintf("%s_%d", kind, devices), devices, answered)
				}
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

func measureBytes(b *testing.B, server *localpg.Server, name string, devices int, answered bool) {
	if err := server.CreateDatabase(b.Context(), name); err != nil {
		b.Fatal(err)
	}
	url := server.URL(name)
	if _, err := migrations.Up(b.Context(), url); err != nil {
		b.Fatal(err)
	}
	db := dial(b, url)
	u := &user{t: b, wakes: map[uuid.UUID][]store.Wake{}}
	u.Store = storetest.Open(b, store.Config{URL: url, OnWakes: u.take})
	makeApp(b, u.Store, app, func(p *call.Policy) { p.MaxDevices = 100 })
	calls := 12_000 / devices // Postgres makes a growing table larger by up to 64 pages at once
	inParallel(calls, func(n int) {
		for d := range devices {
			r := registration(fmt.Sprint("user-", n), fmt.Sprintf("phone-%d-%d", n, d))
			r.Region = map[call.EvidenceSource]string{call.FromBackend: "CN", call.FromSIM: "CN", call.FromNetwork: "CN"}
			if _, err := u.PutDevice(b.Context(), r); err != nil {
				b.Error(err)
			}
		}
	})
	// The pages that Postgres has added ahead while devices registered would be the calls'.
	if _, err := db.Exec(b.Context(), `VACUUM events`); err != nil {
		b.Fatal(err)
	}
	run(b, u.Store)
	before := sizes(b, db)
	begun := make([]call.Call, calls)
	inParallel(calls, func(n int) {
		var err error
		if begun[n], err = u.called(b.Context(), n, answered); err != nil {
			b.Errorf("call %d: %v", n, err)
		}
	})
	for live, deadline := 1, time.Now().Add(time.Minute); live > 0; time.Sleep(100 * time.Millisecond) {
		if err := db.QueryRow(b.Context(), `SELECT count(*) FROM calls WHERE status <> 'ended'`).Scan(&live); err != nil || time.Now().After(deadline) {
			b.Fatal(live, err)
		}
	}
	time.Sleep(500 * time.Millisecond) // the notices are handed over after the commit
	inParallel(calls, func(n int) {
		if err := u.finish(b.Context(), begun[n], ""); err != nil {
			b.Errorf("notices of call %d: %v", n, err)
		}
	})
	after := sizes(b, db)
	total := int64(0)
	for _, table := range tablesOfCalls {
		total += after[table] - before[table]
		fmt.Printf("%-16s %7d  %s\n", table, (after[table]-before[table])/int64(calls), name)
		printParts(b, db, table, calls)
	}
	b.ReportMetric(float64(total)/float64(calls), "disk_B/call")
	b.ReportMetric(float64(after["WAL"]-before["WAL"])/float64(calls), "WAL_B/call")
}

// called is a call to one user. An app confirms, rings, answers and hangs up on
// the first device, or nobody does.
func (u *user) called(ctx context.Context, n int, answered bool) (call.Call, error) {
	in := invite(fmt.Sprint("user-", n))
	in.Ring, in.Key, in.Ref, in.Custom = bytesRing, fmt.Sprint("key-", n), fmt.Sprint("sip-", n), []byte(`{"room":"r9"}`)
	c, err := u.CreateCall(ctx, in)
	if err != nil {
		return c, err
	}
	if err := u.finish(ctx, c, ""); err != nil || !answered {
		return c, err
	}
	p := store.Party{AppID: app, CallID: c.ID, DeviceID: c.Legs[0].DeviceID}
	if _, err := u.ConfirmLeg(ctx, p, call.Confirmation{VendorCallID: "v", Source: call.SourcePush}); err != nil {
		return c, err
	}
	for seq, event := range []call.ReportEvent{call.ReportRinging, call.ReportAnswered, call.ReportActive, call.ReportDisconnected} {
		if _, err := u.ReportLeg(ctx, p, []call.Report{said(int64(seq)+1, event)}); err != nil {
			return c, err
		}
	}
	return c, nil
}

// tablesOfCalls are those that grow with the calls.
var tablesOfCalls = []string{"calls", "legs", "plans", "attempts", "confirms", "reports", "events", "notices", "idempotency_keys"}

// inParallel calls f for each number, 64 at a time.
func inParallel(n int, f func(int)) {
	var all sync.WaitGroup
	next := make(chan int)
	for range 64 {
		all.Go(func() {
			for i := range next {
				f(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	all.Wait()
}

// printParts tells where a table's bytes lie: how many rows a call has there and
// how wide they are, and the bytes a call of the heap and of each index. The
// benchmark's own log would keep ten lines of it.
func printParts(b *testing.B, db *pgxpool.Pool, table string, calls int) {
	b.Helper()
	var rows, width, heap float64
	err := db.QueryRow(b.Context(), fmt.Sprintf(`SELECT count(*), coalesce(avg(pg_column_size(t.*)), 0), coalesce((SELECT sum(pg_table_size(p.relid)) FROM pg_partition_tree('%s') p), pg_table_size('%[1]s'))::float FROM %[1]s t`, table)).Scan(&rows, &width, &heap)
	if err != nil {
		b.Fatal(err)
	}
	fmt.Printf("%16s         %4.1f rows of %.0f bytes, heap %.0f\n", "", rows/float64(calls), width, heap/float64(calls))
	// A partition's index has a name of its own; its columns are those of the table's.
	parts, err := db.Query(b.Context(), `SELECT substring(pg_get_indexdef(i.indexrelid) FROM 'USING .*'), sum(pg_relation_size(i.indexrelid))::float
		FROM pg_index i WHERE i.indrelid = to_regclass($1) OR i.indrelid IN (SELECT relid FROM pg_partition_tree(to_regclass($1))) GROUP BY 1 ORDER BY 2 DESC`, table)
	if err != nil {
		b.Fatal(err)
	}
	var index string
	var bytes float64
	if _, err := pgx.ForEachRow(parts, []any{&index, &bytes}, func() error {
		fmt.Printf("%16s         index %5.0f %s\n", "", bytes/float64(calls), index)
		return nil
	}); err != nil {
		b.Fatal(err)
	}
}

// sizes are the bytes of each table that grows with the calls, with its indexes, and of the WAL.
func sizes(b *testing.B, db *pgxpool.Pool) map[string]int64 {
	b.Helper()
	sizes := map[string]int64{}
	rows, err := db.Query(b.Context(), `SELECT 'WAL', pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint
		UNION ALL SELECT t, coalesce((SELECT sum(pg_total_relation_size(p.relid)) FROM pg_partition_tree(to_regclass(t)) p), pg_total_relation_size(to_regclass(t)), 0)::bigint
		FROM unnest($1::text[]) AS t`, tablesOfCalls)
	if err != nil {
		b.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		var n int64
		if err := rows.Scan(&name, &n); err != nil {
			b.Fatal(err)
		}
		sizes[name] = n
	}
	if rows.Err() != nil {
		b.Fatal(rows.Err())
	}
	return sizes
}
