// Package storetest gives each test a fresh, migrated database of its own on a
// real Postgres, and looks after the test whether what the store promises still
// holds in it. One private server serves a test binary; a database is cloned
// from a migrated template in some tens of milliseconds.
package storetest

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pushwake/relay/migrations"
	"github.com/pushwake/relay/store"
	"github.com/pushwake/relay/store/localpg"
)

// Main runs a package's tests and then stops the server that they used:
//
//	func TestMain(m *testing.M) { storetest.Main(m) }
func Main(m *testing.M) { os.Exit(Run(m)) }

// Run is Main for a package that has something of its own to clear away: it
// returns the exit code.
func Run(m *testing.M) int {
	code := m.Run()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.server != nil {
		if err := shared.server.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "storetest:", err)
			code = max(code, 1)
		}
	}
	return code
}

var shared struct {
	mu     sync.Mutex
	server *localpg.Server
	err    error
	names  atomic.Int64
}

const template = "relay_template"

// server starts the binary's one server, with a migrated template.
func server() (*localpg.Server, error) {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.server != nil || shared.err != nil {
		return shared.server, shared.err
	}
	ctx := context.Background()
	shared.server, shared.err = localpg.Start(ctx, localpg.Options{})
	if shared.err != nil {
		return nil, shared.err
	}
	shared.err = makeTemplate(ctx, shared.server)
	return shared.server, shared.err
}

// makeTemplate migrates the database that tests clone and makes its first
// partitions, which would take each test longer than the clone.
func makeTemplate(ctx context.Context, s *localpg.Server) error {
	if err := admin(ctx, s, "postgres", "CREATE DATABASE "+template); err != nil {
		return err
	}
	if _, err := migrations.Up(ctx, s.URL(template)); err != nil {
		return err
	}
	first, err := store.Open(ctx, store.Config{URL: s.URL(template)})
	if err != nil {
		return err
	}
	err = first.MakePartitions(ctx)
	first.Close()
	if err != nil {
		return err
	}
	return admin(ctx, s, template, "DELETE FROM processes")
}

func admin(ctx context.Context, s *localpg.Server, database, sql string) error {
	return run(ctx, s.URL(database), sql)
}

func run(ctx context.Context, url, sql string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, sql)
	return err
}

// Database makes a fresh, migrated database and returns its URL. When the test
// has passed, the database must still keep the store's promises; then it is
// dropped. A missing Postgres fails the test.
func Database(t testing.TB) string {
	t.Helper()
	s, err := server()
	if err != nil {
		t.Fatalf("a Postgres for tests: %v", err)
	}
	name := fmt.Sprintf("relay_test_%d", shared.names.Add(1))
	if err := admin(t.Context(), s, "postgres", "CREATE DATABASE "+name+" TEMPLATE "+template); err != nil {
		t.Fatalf("a database for the test: %v", err)
	}
	url := s.URL(name)
	t.Cleanup(func() {
		if !t.Failed() {
			for _, broken := range Broken(context.Background(), url) {
				t.Errorf("a promise of the store is broken: %s", broken)
			}
		}
		if err := admin(context.Background(), s, "postgres", "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Errorf("dropping the test's database: %v", err)
		}
	})
	return url
}

// Exec runs SQL on a test's database: for what no store would do to it.
func Exec(t testing.TB, url, sql string) {
	t.Helper()
	if err := run(t.Context(), url, sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// Hold runs SQL and keeps the locks that it took until they are released.
func Hold(t testing.TB, url, sql string) (release func()) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err == nil {
		_, err = conn.Exec(t.Context(), "BEGIN; "+sql)
	}
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return func() { _ = conn.Close(context.Background()) } // which rolls back
}

// Open opens a store on a database, as one relay process would; it is closed
// before the database is dropped. A configuration's URL is the test's to give.
func Open(t testing.TB, config store.Config) *store.Store {
	t.Helper()
	if config.MasterKeys == nil {
		config.MasterKeys = [][]byte{masterKey}
	}
	s, err := store.Open(t.Context(), config)
	if err != nil {
		t.Fatalf("opening the store: %v", err)
	}
	t.Cleanup(s.Close)
	return s
}

// New opens a store on a fresh database.
func New(t testing.TB) *store.Store {
	t.Helper()
	return Open(t, store.Config{URL: Database(t)})
}

var masterKey = func() []byte {
	key := make([]byte, store.MasterKeyBytes)
	_, _ = rand.Read(key)
	return key
}()

// promises are queries that find what must not be. Events have short names, and
// long ones where an earlier version wrote them; see eventRecord.
var promises = []struct{ what, query string }{
	{"a call's events are not numbered 1 to its seq", `
		SELECT c.id FROM calls c LEFT JOIN events e ON e.app_id = c.app_id AND e.call_id = c.id
		GROUP BY c.app_id, c.id, c.seq HAVING count(e.id) <> c.seq OR max(e.call_seq) <> c.seq OR count(DISTINCT e.call_seq) <> c.seq`},
	{"a call's state differs from its last event's", `
		SELECT c.id FROM calls c JOIN events e ON e.app_id = c.app_id AND e.call_id = c.id AND e.call_seq = c.seq
		WHERE coalesce(e.data->>'s', e.data->>'status', 'waking') <> c.status OR coalesce(e.data->>'e', e.data->>'end_reason', '') <> coalesce(c.end_reason, '')`},
	{"a leg's state differs from the last event that names it", `
		SELECT l.id FROM legs l JOIN (
			SELECT DISTINCT ON (1, 2, 3) e.app_id, e.call_id, coalesce(coalesce(x->>'i', x->>'id')::uuid, e.leg_id) AS id, coalesce(x->>'s', x->>'status', 'handed_over') AS status
			FROM events e, json_array_elements(coalesce(e.data->'l', e.data->'legs')) AS x WHERE e.call_id IS NOT NULL
			ORDER BY 1, 2, 3, e.call_seq DESC) told USING (app_id, call_id, id)
		WHERE l.status <> told.status`},
	{"a leg is missing from the event of its call's creation", `
		SELECT l.id FROM legs l JOIN events e ON e.app_id = l.app_id AND e.call_id = l.call_id AND e.call_seq = 1
		WHERE NOT EXISTS (SELECT FROM json_array_elements(coalesce(e.data->'l', e.data->'legs')) AS x WHERE coalesce(x->>'i', x->>'id')::uuid = l.id)`},
	{"a leg has no decision", `
		SELECT l.id FROM legs l LEFT JOIN plans p ON p.app_id = l.app_id AND p.call_id = l.call_id
		WHERE l.decision IS NULL AND NOT EXISTS (SELECT FROM json_array_elements(p.decisions) AS x WHERE (x->>'leg')::uuid = l.id)
		AND NOT EXISTS (SELECT FROM events e WHERE e.app_id = l.app_id AND e.call_id = l.call_id AND e.call_seq = 1
			AND json_array_length(e.data->'p') = json_array_length(e.data->'l'))`},
	{"an ended call has a leg that is alive", `
		SELECT l.id FROM legs l JOIN calls c ON c.app_id = l.app_id AND c.id = l.call_id WHERE c.status = 'ended' AND l.ended_at IS NULL`},
	{"a live call has no leg alive", `
		SELECT c.id FROM calls c WHERE c.status <> 'ended'
		AND NOT EXISTS (SELECT FROM legs l WHERE l.app_id = c.app_id AND l.call_id = c.id AND l.ended_at IS NULL)`},
	{"a call has two winners", `
		SELECT call_id FROM legs WHERE direction = 'incoming' AND answered_at IS NOT NULL GROUP BY call_id HAVING count(*) > 1`},
	{"a winner was canceled", `
		SELECT l.id FROM legs l JOIN calls c ON c.app_id = l.app_id AND c.id = l.call_id AND c.answered_by = l.device_id
		WHERE l.status NOT IN ('answered', 'active', 'held', 'completed', 'failed')`},
	{"a leg's end and its status disagree", `
		SELECT id FROM legs WHERE (ended_at IS NULL) <> (status IN ('waking', 'handed_over', 'confirmed', 'ringing', 'answered', 'active', 'held'))`},
	{"an answered call does not name its winner", `
		SELECT c.id FROM calls c JOIN legs l ON l.app_id = c.app_id AND l.call_id = c.id AND l.answered_at IS NOT NULL
		WHERE c.direction = 'incoming' AND c.answered_by IS DISTINCT FROM l.device_id`},
	{"a live call has no deadline, or an ended one has", `
		SELECT id FROM calls WHERE (status = 'ended') <> (deadline_at IS NULL) OR (status = 'ended') <> (ended_at IS NOT NULL)`},
	{"a live call's deadline cannot be found", `
		SELECT c.id FROM calls c WHERE c.deadline_at IS DISTINCT FROM (SELECT min(l.deadline_at) FROM legs l WHERE l.app_id = c.app_id AND l.call_id = c.id)`},
	{"a device is over its limit", `
		SELECT device_id FROM legs WHERE ended_at IS NULL GROUP BY app_id, device_id, direction
		HAVING count(*) > CASE direction WHEN 'incoming' THEN 3 ELSE 1 END`},
	{"events of a call are out of order in the log", `
		SELECT id FROM (SELECT id, call_seq, lag(call_seq) OVER (PARTITION BY app_id, call_id ORDER BY xid, seq) AS before FROM events WHERE call_id IS NOT NULL) e
		WHERE before IS NOT NULL AND before >= call_seq`},
	{"a wake is owned that nobody wants", `
		SELECT id FROM legs WHERE wake_process IS NOT NULL AND status = 'skipped'`},
	{"a leg was woken again that no vendor had accepted, or after its app confirmed", `
		SELECT id FROM legs WHERE (escalated_at IS NOT NULL OR rewoken_at IS NOT NULL)
		AND (handed_over_at IS NULL OR least(escalated_at, rewoken_at) < handed_over_at OR greatest(escalated_at, rewoken_at) > confirmed_at)`},
	{"a receipt is about no attempt of its call", `
		SELECT r.attempt_id FROM receipts r LEFT JOIN attempts a ON a.app_id = r.app_id AND a.call_id = r.call_id AND a.id = r.attempt_id AND a.leg_id = r.leg_id
		WHERE a.id IS NULL`},
	{"something follows from a receipt that is not signed", `
		SELECT attempt_id FROM receipts WHERE NOT signed AND action NOT IN ('none', 'delivered')`},
	{"a user is told of a call that nobody missed", `
		SELECT n.leg_id FROM notices n LEFT JOIN calls c ON c.app_id = n.app_id AND c.id = n.call_id
		WHERE n.purpose = 'missed_call' AND (c.status IS DISTINCT FROM 'ended' OR c.answered_at IS NOT NULL
			OR EXISTS (SELECT FROM legs l WHERE l.app_id = n.app_id AND l.call_id = n.call_id AND l.status = 'rejected'))`},
	{"a disabled webhook has an owner, or a delivery that waits", `
		SELECT w.id FROM webhooks w WHERE w.status = 'disabled'
		AND (w.process IS NOT NULL OR EXISTS (SELECT FROM webhook_deliveries d WHERE d.app_id = w.app_id AND d.webhook_id = w.id AND d.status = 'pending'))`},
	{"a delivery both waits and is done, or neither", `
		SELECT event_id FROM webhook_deliveries WHERE (status = 'pending') <> (done_at IS NULL) OR (status = 'pending') <> (next_at IS NOT NULL)`},
	{"an attempt is recorded twice", `
		SELECT id FROM attempts GROUP BY call_id, id HAVING count(*) > 1`},
	{"a device is due the same notice twice", `
		SELECT leg_id FROM notices GROUP BY call_id, leg_id, purpose HAVING count(*) > 1`},
}

// Broken looks for broken promises in a database and describes each.
func Broken(ctx context.Context, url string) []string {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return []string{"the database cannot be looked at: " + err.Error()}
	}
	defer conn.Close(ctx)
	var broken []string
	for _, p := range promises {
		rows, err := conn.Query(ctx, "SELECT array_agg(q.* ORDER BY 1) FILTER (WHERE n <= 5)::text, count(*) FROM (SELECT x.*::text AS q, row_number() OVER () AS n FROM ("+p.query+") x) q")
		if err != nil {
			return append(broken, p.what+": "+err.Error())
		}
		var some *string
		var n int
		_, err = pgx.ForEachRow(rows, []any{&some, &n}, func() error { return nil })
		switch {
		case err != nil:
			broken = append(broken, p.what+": "+err.Error())
		case n > 0:
			broken = append(broken, fmt.Sprintf("%s: %d, such as %s", p.what, n, strings.TrimSpace(*some)))
		}
	}
	return broken
}
