package store_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/store"
	"github.com/pushwake/relay/store/storetest"
)

func TestFindPooling(t *testing.T) {
	t.Parallel()
	direct := storetest.Database(t)
	for want, url := range map[store.Pooling]string{
		store.Direct: direct, store.SessionPooling: storetest.Pooler(t, direct, "session"), store.TransactionPooling: storetest.Pooler(t, direct, "transaction"),
	} {
		for range 20 {
			if got, err := store.FindPooling(t.Context(), url); got != want || err != nil {
				t.Errorf("%q, %v, want %q", got, err, want)
			}
		}
	}
}

// TestFindPoolingInUse: other clients of the pooler make a busy one no direct
// one, nor one in session mode.
func TestFindPoolingInUse(t *testing.T) {
	t.Parallel()
	direct := storetest.Database(t)
	for _, want := range []store.Pooling{store.SessionPooling, store.TransactionPooling} {
		url := storetest.Pooler(t, direct, string(want))
		var stop atomic.Bool
		var others sync.WaitGroup
		for range 4 {
			others.Go(func() {
				config, err := pgx.ParseConfig(url)
				if err != nil {
					t.Error(err)
					return
				}
				config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
				conn, err := pgx.ConnectConfig(t.Context(), config)
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close(t.Context())
				for !stop.Load() {
					if _, err := conn.Exec(t.Context(), `BEGIN; SELECT 1; COMMIT`); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		for range 10 {
			if got, err := store.FindPooling(t.Context(), url); got != want || err != nil {
				t.Errorf("%q, %v, want %q", got, err, want)
			}
		}
		stop.Store(true)
		others.Wait()
	}
}

// TestThroughPooler: two processes work through PgBouncer as it comes, in either
// mode: invitations, limits, confirms, reports, deadlines and what tells the
// other process of changes.
func TestThroughPooler(t *testing.T) {
	t.Parallel()
	for _, mode := range []store.Pooling{store.SessionPooling, store.TransactionPooling} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(c *store.Config) {
				c.URL, c.MaxConns = storetest.Pooler(t, c.URL, string(mode)), 4 // default_pool_size is 20
			})
			for i, s := range []*store.Store{r.Store, r.other} {
				if server, err := s.Server(t.Context()); err != nil || server.Pooling != mode {
					t.Fatalf("process %d: %q, %v, want %q", i, server.Pooling, err, mode)
				}
				run(t, s)
			}
			for _, device := range []string{"d1", "d2"} {
				phone(t, r.Store, "u2", device)
				phone(t, r.other, "u2", device) // what was prepared before is used again
			}
			feed := open(t, r.other, "d2", "u2")
			defer feed.Close()
			calls := make([]call.Call, 40)
			var all sync.WaitGroup
			for i := range calls {
				all.Go(func() {
					c, err := r.either(i).CreateCall(t.Context(), invite("u2"))
					if err != nil {
						t.Error(err)
					}
					calls[i] = c
				})
			}
			all.Wait()
			var rings []call.Call
			for _, c := range calls {
				if c.Status == call.StatusWaking {
					rings = append(rings, c)
				}
			}
			if len(rings) != 3 {
				t.Fatalf("%d of 40 calls ring, want 3", len(rings))
			}
			confirm(t, r.Store, rings[0], "d1")
			report(t, r.other, rings[0], "d1", call.ReportRinging, call.ReportAnswered)
			hears(t, feed.Watch, rings[0], call.StatusAnswered)
			if c := look(t, r.other, rings[0].ID); c.AnsweredBy != "d1" {
				t.Errorf("answered by %q", c.AnsweredBy)
			}
			r.pass(t, time.Minute)
			for _, c := range rings[1:] {
				eventually(t, "the other calls to be missed", func() bool { return look(t, r.Store, c.ID).EndReason == call.EndMissed })
			}
			if err := r.Ready(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestPoolerKeepsNothing: what relay does leaves nothing in the connections that
// it shares with others.
func TestPoolerKeepsNothing(t *testing.T) {
	t.Parallel()
	var through string
	r := newRig(t, func(c *store.Config) {
		if through == "" {
			through = storetest.Pooler(t, c.URL, "transaction")
		}
		c.URL = through
	})
	phone(t, r.Store, "u2", "d1")
	create(t, r.Store, invite("u2"))
	if _, _, err := r.Calls(t.Context(), store.Filter{AppID: app, Limit: 10}); err != nil {
		t.Fatal(err)
	}
	config, err := pgx.ParseConfig(through)
	if err != nil {
		t.Fatal(err)
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	for range 10 {
		conn, err := pgx.ConnectConfig(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		var prepared int
		var jit, plans, locks string
		err = conn.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM pg_prepared_statements), current_setting('jit'), current_setting('plan_cache_mode'), current_setting('lock_timeout')`).
			Scan(&prepared, &jit, &plans, &locks)
		if err != nil || prepared != 0 || jit != "on" || plans != "auto" || locks != "0" {
			t.Errorf("%v: %d prepared statements, jit %s, plan_cache_mode %s, lock_timeout %s", err, prepared, jit, plans, locks)
		}
		_ = conn.Close(t.Context())
	}
}
