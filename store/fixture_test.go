package store_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/store"
	"github.com/pushwake/relay/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

const app = "demo"

// rig is a database with the app demo, and two stores on it, as two relay
// processes would have.
type rig struct {
	*store.Store
	other *store.Store
	url   string
	db    *pgxpool.Pool // for what only SQL can do: to age rows, to hold locks
	inbox *inbox        // the wakes of the first store
}

// newRig makes one. A change is made to both stores' configurations.
func newRig(t testing.TB, changes ...func(*store.Config)) *rig {
	t.Helper()
	r := &rig{url: storetest.Database(t), inbox: &inbox{}}
	config := store.Config{URL: r.url, MaxConns: 8}
	for _, change := range changes {
		change(&config)
	}
	second := config
	config.OnWakes = r.inbox.take
	r.db = dial(t, r.url)
	r.Store, r.other = storetest.Open(t, config), storetest.Open(t, second)
	makeApp(t, r.Store, app)
	return r
}

// either is one store or the other, in turns.
func (r *rig) either(i int) *store.Store {
	if i%2 == 0 {
		return r.Store
	}
	return r.other
}

func dial(t testing.TB, url string) *pgxpool.Pool {
	t.Helper()
	db, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return db
}

// exec runs SQL that must touch at least one row.
func (r *rig) exec(t testing.TB, sql string, args ...any) {
	t.Helper()
	tag, err := r.db.Exec(t.Context(), sql, args...)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	if tag.RowsAffected() == 0 && !tag.Select() && (tag.Update() || tag.Delete() || tag.Insert()) {
		t.Fatalf("%s: no row", sql)
	}
}

// read reads one value.
func read[T any](t testing.TB, r *rig, sql string, args ...any) T {
	t.Helper()
	rows, err := r.db.Query(t.Context(), sql, args...)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	v, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[T])
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

// pass lets time go by for the calls that live: all that is due comes nearer.
func (r *rig) pass(t testing.TB, by time.Duration) {
	t.Helper()
	r.exec(t, `UPDATE calls SET expires_at = expires_at - $1::interval, deadline_at = deadline_at - $1::interval WHERE status <> 'ended'`, by)
	r.exec(t, `UPDATE legs SET handed_over_at = handed_over_at - $1::interval, confirm_due_at = confirm_due_at - $1::interval, deadline_at = deadline_at - $1::interval,
		escalated_at = escalated_at - $1::interval WHERE ended_at IS NULL`, by)
}

// hold takes advisory locks in a session of its own until release.
func (r *rig) hold(t testing.TB, keys ...int64) (release func()) {
	t.Helper()
	tx, err := r.db.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `SELECT pg_advisory_xact_lock(k) FROM unnest($1::bigint[]) AS k`, keys); err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	release = func() { once.Do(func() { _ = tx.Rollback(t.Context()) }) }
	t.Cleanup(release)
	return release
}

// oneBatch lets the writer of a store's begin lane wait, calls items at once,
// and lets it go when all of them wait: they are one batch.
func (r *rig) oneBatch(t testing.TB, s *store.Store, items ...func()) {
	t.Helper()
	release := r.hold(t, store.LockKey("user", app, "plug"))
	var all sync.WaitGroup
	all.Go(func() { _, _ = s.CreateCall(t.Context(), invite("plug")) })
	r.blocked(t, 1)
	for _, item := range items {
		all.Go(item)
	}
	eventually(t, "the items to wait", func() bool { n, _ := s.Waiting(); return n == len(items) })
	release()
	all.Wait()
}

// oneStepBatch is oneBatch for the step lane; plug is a call to stop it with.
func (r *rig) oneStepBatch(t testing.TB, s *store.Store, plug call.Call, items ...func()) {
	t.Helper()
	release := r.hold(t, store.LockKey("call", plug.ID.String()))
	var all sync.WaitGroup
	all.Go(func() { _, _ = s.CancelCall(t.Context(), app, plug.ID) })
	r.blocked(t, 1)
	for _, item := range items {
		all.Go(item)
	}
	eventually(t, "the items to wait", func() bool { _, n := s.Waiting(); return n == len(items) })
	release()
	all.Wait()
}

// blocked waits until that many sessions wait for an advisory lock.
func (r *rig) blocked(t testing.TB, sessions int) {
	t.Helper()
	eventually(t, "a session to wait for a lock", func() bool {
		return read[int](t, r, `SELECT count(*)::int FROM pg_locks
			WHERE locktype = 'advisory' AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`) == sessions
	})
}

// eventually waits until something is so; the time allowed is for a machine
// that is busy with other things.
func eventually(t testing.TB, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !so(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// inbox keeps the wakes that a store handed out, and apart from them the notices.
type inbox struct {
	mu      sync.Mutex
	wakes   []store.Wake
	notices []store.Wake
}

func (b *inbox) take(wakes []store.Wake) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, w := range wakes {
		if w.Purpose == call.PurposeRing {
			b.wakes = append(b.wakes, w)
		} else {
			b.notices = append(b.notices, w)
		}
	}
}

func (b *inbox) allNotices() []store.Wake {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]store.Wake(nil), b.notices...)
}

func (b *inbox) all() []store.Wake {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]store.Wake(nil), b.wakes...)
}

// of is the last wake of a call's device.
func (b *inbox) of(t testing.TB, c call.Call, device string) store.Wake {
	t.Helper()
	all := b.all()
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].CallID == c.ID && all[i].DeviceID == device {
			return all[i]
		}
	}
	t.Fatalf("no wake of %s among %d", device, len(all))
	return store.Wake{}
}

func makeApp(t testing.TB, s *store.Store, id string, change ...func(*call.Policy)) {
	t.Helper()
	p := call.DefaultPolicy()
	for _, c := range change {
		c(&p)
	}
	if _, err := s.PutApp(t.Context(), id, p); err != nil {
		t.Fatal(err)
	}
	err := s.PutCredential(t.Context(), store.Credential{AppID: id, Vendor: call.PushKit, Secret: []byte("{}"), About: map[string]string{"key_id": "k"}})
	if err != nil {
		t.Fatal(err)
	}
}

// registration is of a HarmonyOS phone in mainland China.
func registration(user, device string) store.Registration {
	return store.Registration{
		AppID: app,
		Device: call.Device{
			ID: device, UserID: user, Platform: call.HarmonyOS, Type: call.Phone, SystemVersion: "6.1.0(23)",
			Environment: "production", CallUI: call.CallServiceKit,
		},
		Tokens: map[call.TokenName]string{call.TokenPushKit: fmt.Sprintf("MA%s%s0123456789", user, device)},
		Region: map[call.EvidenceSource]string{call.FromBackend: "CN"},
	}
}

func phone(t testing.TB, s *store.Store, user, device string, change ...func(*store.Registration)) store.Registered {
	t.Helper()
	r := registration(user, device)
	for _, c := range change {
		c(&r)
	}
	d, err := s.PutDevice(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func invite(user string) store.Invite {
	return store.Invite{
		AppID: app, Caller: call.Party{UserID: "caller", Name: "Li Na"}, Callee: call.Party{UserID: user},
		Media: call.Video, VoiceAnswer: true, Ring: 45 * time.Second,
	}
}

func create(t testing.TB, s *store.Store, in store.Invite) call.Call {
	t.Helper()
	c, err := s.CreateCall(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func outgoing(user, device, client string) store.Dial {
	return store.Dial{AppID: app, UserID: user, DeviceID: device, ClientID: client, Callee: call.Party{UserID: "far"}, Media: call.Voice}
}

func party(c call.Call, device string) store.Party {
	return store.Party{AppID: app, CallID: c.ID, DeviceID: device}
}

func confirm(t testing.TB, s *store.Store, c call.Call, device string) store.Confirmed {
	t.Helper()
	out, err := s.ConfirmLeg(t.Context(), party(c, device), call.Confirmation{VendorCallID: "pk-" + device, Source: call.SourcePush})
	if err != nil {
		t.Fatalf("confirm of %s: %v", device, err)
	}
	return out
}

// said is a report as a device makes it.
func said(seq int64, event call.ReportEvent) call.Report {
	return call.Report{Seq: seq, Event: event, At: time.Unix(1_700_000_000, 0)}
}

// report reports events with the next numbers of the leg.
func report(t testing.TB, s *store.Store, c call.Call, device string, events ...call.ReportEvent) store.Reported {
	t.Helper()
	seq := legOf(t, look(t, s, c.ID), device).LastSeq
	reports := make([]call.Report, len(events))
	for i, e := range events {
		reports[i] = said(seq+int64(i)+1, e)
	}
	out, err := s.ReportLeg(t.Context(), party(c, device), reports)
	if err != nil {
		t.Fatalf("reports of %s: %v", device, err)
	}
	return out
}

func look(t testing.TB, s *store.Store, id uuid.UUID) call.Call {
	t.Helper()
	c, err := s.Call(t.Context(), app, id)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func legOf(t testing.TB, c call.Call, device string) call.Leg {
	t.Helper()
	l := c.LegOf(device)
	if l == nil {
		t.Fatalf("no leg of %s in %+v", device, c)
	}
	return *l
}

func wantErr(t testing.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

// legStatuses is each device's leg, for comparing.
func legStatuses(c call.Call) map[string]call.LegStatus {
	m := map[string]call.LegStatus{}
	for i := range c.Legs {
		m[c.Legs[i].DeviceID] = c.Legs[i].Status
	}
	return m
}

// reasons are those for which legs were skipped or failed.
func reasons(legs []call.Leg) (all []string) {
	for _, l := range legs {
		if l.Reason != "" {
			all = append(all, string(l.Reason))
		}
	}
	return all
}
