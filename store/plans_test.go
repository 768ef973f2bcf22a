package store_test

import (
	"context"
	"fmt"
	"strings"
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

// TestPlansOutliveEmptyTables fills a fresh database through every verb of the
// store, while nothing analyzes its tables, and looks whether any statement
// reads more pages as they grow. A plan that was made on empty tables must not
// read whole ones later.
func TestPlansOutliveEmptyTables(t *testing.T) {
	t.Parallel()
	server, err := localpg.Start(t.Context(), localpg.Options{Settings: map[string]string{
		"shared_preload_libraries": "pg_stat_statements", "pg_stat_statements.max": "1000", "autovacuum": "off",
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop() }) // nothing in it is kept
	if err := server.CreateDatabase(t.Context(), "relay"); err != nil {
		t.Fatal(err)
	}
	url := server.URL("relay")
	if _, err := migrations.Up(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	db := dial(t, url)
	if _, err := db.Exec(t.Context(), `CREATE EXTENSION pg_stat_statements`); err != nil {
		t.Fatal(err)
	}
	u := &user{t: t, wakes: map[uuid.UUID][]store.Wake{}}
	// Few connections, so that each has made its plans before the tables grow.
	u.Store = storetest.Open(t, store.Config{URL: url, MaxConns: 2, OnWakes: u.take, MasterKeys: [][]byte{make([]byte, store.MasterKeyBytes)}})
	makeApp(t, u.Store, app)
	key, _, err := u.CreateKey(t.Context(), app, store.BackendKey, "k")
	if err != nil {
		t.Fatal(err)
	}
	u.key = key
	if u.hook, _, err = u.CreateWebhook(t.Context(), store.Webhook{AppID: app, URL: "https://example.com/"}); err != nil {
		t.Fatal(err)
	}
	started := time.Now()
	run(t, u.Store)
	u.live(0, 30)
	small := u.pages(db, 30, 60)
	u.live(60, 300)
	large := u.pages(db, 300, 330)
	t.Logf("%d statements; lived in %v", len(large), time.Since(started))
	if len(large) < 60 {
		t.Errorf("only %d statements were seen", len(large))
	}
	for statement, pages := range large {
		if strings.HasPrefix(statement, "ANALYZE ") {
			continue // reads a whole table, once it has doubled
		}
		if before, known := small[statement]; known && pages > 2*before+15 {
			t.Errorf("%.0f pages a time, %.0f in small tables: %.600s", pages, before, statement)
		}
	}
}

// user lives what users of the store live, again and again.
type user struct {
	*store.Store
	t     testing.TB
	key   string
	hook  store.Webhook
	hooks sync.Mutex // one delivers at a time
	mu    sync.Mutex
	wakes map[uuid.UUID][]store.Wake // by call
}

func (u *user) take(wakes []store.Wake) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, w := range wakes {
		u.wakes[w.CallID] = append(u.wakes[w.CallID], w)
	}
}

// wakesOf takes a call's wakes out of what was handed over.
func (u *user) wakesOf(c call.Call) []store.Wake {
	u.mu.Lock()
	defer u.mu.Unlock()
	wakes := u.wakes[c.ID]
	delete(u.wakes, c.ID)
	return wakes
}

// pages is how many pages each statement reads a time, while users from one
// number to another live.
func (u *user) pages(db *pgxpool.Pool, from, to int) map[string]float64 {
	u.t.Helper()
	if _, err := db.Exec(u.t.Context(), `SELECT pg_stat_statements_reset()`); err != nil {
		u.t.Fatal(err)
	}
	u.live(from, to)
	rows, err := db.Query(u.t.Context(), `SELECT query, sum(shared_blks_hit + shared_blks_read)::float / sum(calls) FROM pg_stat_statements
		WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) GROUP BY 1`)
	if err != nil {
		u.t.Fatal(err)
	}
	pages := map[string]float64{}
	var query string
	var n float64
	if _, err := pgx.ForEachRow(rows, []any{&query, &n}, func() error { pages[query] = n; return nil }); err != nil {
		u.t.Fatal(err)
	}
	return pages
}

// live has users live, several at a time.
func (u *user) live(from, to int) {
	u.t.Helper()
	var all sync.WaitGroup
	next := make(chan int)
	for range 4 {
		all.Go(func() {
			for n := range next {
				if err := u.day(u.t.Context(), n); err != nil {
					u.t.Errorf("user %d: %v", n, err)
				}
			}
		})
	}
	for n := from; n < to && !u.t.Failed(); n++ {
		next <- n
	}
	close(next)
	all.Wait()
}

// day is what happens to one user: the phone registers, rings, is answered, is
// missed, and moves on to the next account.
func (u *user) day(ctx context.Context, n int) error {
	name, first, second := fmt.Sprint("user-", n), fmt.Sprint("phone-", n), fmt.Sprint("tablet-", n)
	for _, device := range []string{first, second, first} {
		r := registration(name, device)
		r.Region = map[call.EvidenceSource]string{call.FromBackend: "CN", call.FromSIM: "CN", call.FromNetwork: "CN"}
		if _, err := u.PutDevice(ctx, r); err != nil {
			return err
		}
	}
	moved := registration(name, second)
	moved.Tokens = registration(name, first).Tokens // the same install under another id
	if _, err := u.PutDevice(ctx, moved); err != nil {
		return err
	}
	back := registration(name, first)
	if _, err := u.PutDevice(ctx, back); err != nil {
		return err
	}
	if _, err := u.PutDevice(ctx, registration(name, second)); err != nil {
		return err
	}
	feed, err := u.OpenFeed(ctx, app, first, name)
	if err != nil {
		return err
	}
	defer feed.Close()
	in := invite(name)
	in.Key, in.Ref = fmt.Sprint("key-", n), fmt.Sprint("ref-", n)
	answered, err := u.CreateCall(ctx, in)
	if err != nil {
		return err
	}
	if _, err := u.CreateCall(ctx, in); err != nil { // a repeat
		return err
	}
	if err := u.finish(ctx, answered, second); err != nil {
		return err
	}
	p := store.Party{AppID: app, CallID: answered.ID, DeviceID: first}
	if _, err := u.ConfirmLeg(ctx, p, call.Confirmation{VendorCallID: "v", Source: call.SourcePush}); err != nil {
		return err
	}
	if _, _, err := u.FeedCalls(ctx, store.FeedQuestion{AppID: app, DeviceID: first, UserID: name, Lately: true}); err != nil {
		return err
	}
	if _, err := u.LiveCalls(ctx, app, first, name); err != nil {
		return err
	}
	for seq, event := range []call.ReportEvent{call.ReportRinging, call.ReportAnswered, call.ReportActive, call.ReportDisconnected} {
		if _, err := u.ReportLeg(ctx, p, []call.Report{said(int64(seq)+1, event)}); err != nil {
			return err
		}
	}
	missed, err := u.CreateCall(ctx, invite(name))
	if err != nil {
		return err
	}
	if _, err := u.CancelCall(ctx, app, missed.ID); err != nil {
		return err
	}
	if err := u.finish(ctx, missed, ""); err != nil {
		return err
	}
	dialled, err := u.DialCall(ctx, outgoing(name, first, "c"))
	if err != nil {
		return err
	}
	if _, err := u.EndCall(ctx, app, dialled.ID); err != nil {
		return err
	}
	if _, err := u.PutDND(ctx, app, name, call.DND{Until: u.Now().Add(time.Hour)}); err != nil {
		return err
	}
	for _, f := range []store.Filter{{UserID: name}, {CallerID: name}, {DeviceID: first}, {Ref: in.Ref}, {UserID: name, Reason: call.ReasonTokenDead}} {
		f.AppID, f.Limit = app, 20
		if _, _, err := u.Calls(ctx, f); err != nil {
			return err
		}
	}
	if _, _, err := u.Timeline(ctx, app, answered.ID); err != nil {
		return err
	}
	if _, _, err := u.PlanCall(ctx, invite(name)); err != nil {
		return err
	}
	if _, _, err := u.Reachability(ctx, app, name); err != nil {
		return err
	}
	if _, err := u.Device(ctx, app, first); err != nil {
		return err
	}
	if _, err := u.FindKey(ctx, u.key); err != nil {
		return err
	}
	if err := u.CheckInstall(ctx, app, first, name, u.Now()); err != nil {
		return err
	}
	if _, err := u.DND(ctx, app, name); err != nil {
		return err
	}
	if err := u.LoseCalls(ctx, app, first, name, nil); err != nil {
		return err
	}
	if _, err := u.SweepDeadlines(ctx); err != nil {
		return err
	}
	if _, err := u.TakeOver(ctx); err != nil {
		return err
	}
	if err := u.Beat(ctx); err != nil {
		return err
	}
	alive := invite(name) // goes on: what looks for deadlines must not read all calls that live
	alive.Ring = 2 * time.Minute
	ringing, err := u.CreateCall(ctx, alive)
	if err != nil {
		return err
	}
	if err := u.finish(ctx, ringing, second); err != nil {
		return err
	}
	if _, err := u.ConfirmLeg(ctx, store.Party{AppID: app, CallID: ringing.ID, DeviceID: first}, call.Confirmation{VendorCallID: "w", Source: call.SourcePush}); err != nil {
		return err
	}
	if err := u.deliver(ctx); err != nil {
		return err
	}
	if n%10 == 0 { // one of ten leaves again
		return u.DeleteDevice(ctx, app, first, name)
	}
	return nil
}

// deliver has what happened taken by a webhook, but for some that have to wait.
func (u *user) deliver(ctx context.Context) error {
	u.hooks.Lock()
	defer u.hooks.Unlock()
	if _, err := u.ClaimWebhooks(ctx); err != nil {
		return err
	}
	own, err := u.OwnWebhook(ctx, app, u.hook.ID)
	if err != nil {
		return err
	}
	page, err := u.Events(ctx, store.EventQuery{AppID: app, After: own.Cursor, Limit: 20})
	if err != nil || len(page.Events) == 0 {
		return err
	}
	taken, err := u.TakeEvents(ctx, &own, page)
	if err != nil {
		return err
	}
	if _, err := u.DeliveryEvents(ctx, app, taken); err != nil {
		return err
	}
	if _, err := u.LiveAmong(ctx, app, []uuid.UUID{page.Events[0].CallID}); err != nil {
		return err
	}
	for i := range taken {
		d := &taken[i]
		d.Status, d.Attempts, d.NextAt, d.DoneAt, d.Attempt = store.DeliveryDelivered, 1, time.Time{}, u.Now(), store.DeliveryAttempt{At: u.Now(), Duration: time.Millisecond, Status: 204}
	}
	if _, err := u.FinishDeliveries(ctx, app, u.hook.ID, taken, false); err != nil {
		return err
	}
	for _, status := range []store.DeliveryStatus{"", store.DeliveryDelivered, store.DeliveryPending, store.DeliveryFailed} {
		if _, _, err := u.Deliveries(ctx, store.DeliveryFilter{AppID: app, WebhookID: u.hook.ID, Status: status, Limit: 20}); err != nil {
			return err
		}
	}
	again, err := u.Redeliver(ctx, app, u.hook.ID, taken[0].EventID)
	if err != nil {
		return err
	}
	if _, err := u.PendingDeliveries(ctx, app, u.hook.ID); err != nil {
		return err
	}
	again.Status, again.NextAt, again.DoneAt = store.DeliveryFailed, time.Time{}, u.Now()
	_, err = u.FinishDeliveries(ctx, app, u.hook.ID, []store.Delivery{again}, false)
	return err
}

// finish has a call's wakes accepted, but for one on a device whose token is
// dead.
func (u *user) finish(ctx context.Context, c call.Call, dead string) error {
	for _, w := range u.wakesOf(c) {
		if _, err := u.WakeWanted(ctx, w); err != nil {
			return err
		}
		o := store.Outcome{Attempt: &store.Attempt{ID: u.NewAttemptID(w.CallID), Number: w.Number, Channel: w.Channel, StartedAt: u.Now(), FinishedAt: u.Now(), Outcome: "accepted", Blame: "none"}, Next: store.WakeAccepted}
		if w.DeviceID == dead {
			o.Attempt.Outcome, o.Next, o.Reason, o.TokenState = "refused", store.WakeGivenUp, call.ReasonTokenDead, call.TokenDead
		}
		told := store.Receipt{Attempt: o.Attempt.ID, Result: 51, Action: call.ReceiptNone, Signed: true}
		if err := u.TakeReceipts(ctx, app, []store.Receipt{told}); err != nil { // it waits
			return err
		}
		if _, err := u.FinishAttempt(ctx, w, o); err != nil {
			return err
		}
		if w.DeviceID == dead { // with so many devices it dies in a minute; until then it is set aside
			if _, err := u.FinishAttempt(ctx, w, store.Outcome{Next: store.WakeGivenUp, Reason: call.ReasonTokenSuspended, TokenState: call.TokenSuspended}); err != nil {
				return err
			}
		}
		told.Result = 6
		if err := u.TakeReceipts(ctx, app, []store.Receipt{told}); err != nil {
			return err
		}
	}
	return nil
}
