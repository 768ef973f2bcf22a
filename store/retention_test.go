package store_test

import (
	"errors"
	"testing"
	"time"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/store"
	"github.com/pushwake/relay/store/storetest"
)

// everything is each table of what an app's calls leave behind.
var everything = []string{"calls", "legs", "plans", "attempts", "notices", "confirms", "reports", "receipts", "events", "webhook_deliveries"}

// rowsOf counts the rows of an app, by table.
func rowsOf(t testing.TB, r *rig, app string) map[string]int {
	t.Helper()
	rows := map[string]int{}
	for _, table := range everything {
		rows[table] = read[int](t, r, `SELECT count(*)::int FROM `+table+` WHERE app_id = $1`, app)
	}
	return rows
}

// leave makes calls of an app with one row or more in each table.
func leave(t testing.TB, r *rig, of string, calls int) (last call.Call) {
	t.Helper()
	user := "u-" + of
	p := registration(user, "d-"+of)
	p.AppID = of
	if _, err := r.PutDevice(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	for range calls {
		in := invite(user)
		in.AppID = of
		last = create(t, r.Store, in)
		party := store.Party{AppID: of, CallID: last.ID, DeviceID: "d-" + of}
		if _, err := r.ConfirmLeg(t.Context(), party, call.Confirmation{Source: call.SourcePush}); err != nil {
			t.Fatal(err)
		}
		if _, err := r.ReportLeg(t.Context(), party, []call.Report{said(1, call.ReportRinging)}); err != nil {
			t.Fatal(err)
		}
		if _, err := r.CancelCall(t.Context(), of, last.ID); err != nil {
			t.Fatal(err)
		}
	}
	r.exec(t, `INSERT INTO attempts (app_id, call_id, id, leg_id, number, channel, process, started_at, finished_at, outcome, blame, purpose)
		SELECT app_id, call_id, gen_random_uuid(), id, 1, 'push_kit_voip', gen_random_uuid(), now(), now(), 'accepted', 'none', 'ring' FROM legs WHERE app_id = $1`, of)
	r.exec(t, `INSERT INTO receipts (app_id, call_id, attempt_id, result, leg_id, signed, action, told_at, received_at)
		SELECT app_id, call_id, id, 0, leg_id, true, 'delivered', now(), now() FROM attempts WHERE app_id = $1`, of)
	r.exec(t, `INSERT INTO notices (app_id, call_id, leg_id, purpose, device_id, channel, process, attempt, created_at, done_at)
		SELECT app_id, call_id, id, 'missed_call', device_id, 'push_kit_alert', gen_random_uuid(), 1, now(), now() FROM legs WHERE app_id = $1`, of)
	r.exec(t, `INSERT INTO plans (app_id, call_id, decisions) SELECT app_id, id, '[]' FROM calls WHERE app_id = $1`, of) // as an earlier version left them
	r.exec(t, `INSERT INTO webhook_deliveries (app_id, webhook_id, event_id, type, call_id, call_seq, status, attempts, late, created_at, done_at)
		SELECT app_id, gen_random_uuid(), id, type, call_id, call_seq, 'delivered', 1, 0, at, now() FROM events WHERE app_id = $1`, of)
	return last
}

// TestRetention: what an app keeps for a month is gone when the whole week is
// older, and what another keeps for ever stays, in every table; once nobody
// keeps anything of the week, its partitions are gone.
func TestRetention(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	month := func(p *call.Policy) { p.Retention = 30 * 24 * time.Hour }
	makeApp(t, r.Store, "month", month)
	makeApp(t, r.Store, "ever")
	const calls = 12
	gone := leave(t, r, "month", calls)
	storetest.FillHistory(t, r.url, "month", 1200, time.Millisecond, r.Now()) // more than one batch
	leave(t, r, "ever", calls)
	before := rowsOf(t, r, "ever")
	for table, n := range before {
		if n == 0 {
			t.Fatalf("nothing is in %s", table)
		}
	}
	week := store.Monday(r.Now())
	sweep := func(after time.Duration) {
		t.Helper()
		if err := r.SweepRetention(t.Context(), week.Add(after)); err != nil {
			t.Fatal(err)
		}
	}
	const day = 24 * time.Hour
	sweep(37*day - time.Hour)
	if n := rowsOf(t, r, "month")["calls"]; n != 1200+calls {
		t.Errorf("%d calls are left too early", n)
	}
	sweep(37*day + time.Hour)
	for table, n := range rowsOf(t, r, "month") {
		if n > 0 {
			t.Errorf("%d rows are left in %s", n, table)
		}
	}
	for table, n := range rowsOf(t, r, "ever") {
		if n != before[table] {
			t.Errorf("%d of %d rows are left in %s of an app that keeps all", n, before[table], table)
		}
	}
	if _, err := r.Call(t.Context(), "month", gone.ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a call that is gone: %v", err)
	}
	if page, err := r.Events(t.Context(), store.EventQuery{AppID: "month", Limit: 10}); err != nil || len(page.Events) > 0 {
		t.Errorf("events that are gone: %+v, %v", page.Events, err)
	}
	partitions := func() int {
		return read[int](t, r, `SELECT count(*)::int FROM pg_class WHERE relname ~ $1 AND relkind = 'r'`, "_"+week.Format("20060102")+"$")
	}
	if n := partitions(); n < len(everything) {
		t.Errorf("%d partitions are left, though an app keeps its calls", n)
	}
	makeApp(t, r.Store, "ever", func(p *call.Policy) { p.Retention = 60 * 24 * time.Hour })
	sweep(67*day + time.Hour)
	if n := partitions(); n > 0 {
		t.Errorf("%d partitions of the week are left", n)
	}
	leave(t, r, "month", 1) // and the service goes on
}

// TestRetentionDoesNotWait: a slow reader of a table keeps its week, and nobody
// waits behind the sweep for long.
func TestRetentionDoesNotWait(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	makeApp(t, r.Store, "month", func(p *call.Policy) { p.Retention = 30 * 24 * time.Hour })
	leave(t, r, "month", 1)
	slow := r.writer(t)
	slow.do(`SELECT count(*) FROM events`)
	later, began := r.Now().Add(60*24*time.Hour), time.Now()
	if err := r.SweepRetention(t.Context(), later); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("beside a slow reader: %v", err)
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("others waited %v for it", took)
	}
	slow.commit()
	if err := r.SweepRetention(t.Context(), later); err != nil {
		t.Error(err)
	}
	if n := rowsOf(t, r, "month"); n["calls"]+n["events"] > 0 {
		t.Errorf("left: %v", n)
	}
}
