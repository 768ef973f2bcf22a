package store_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pushwake/relay/migrations"
	"github.com/pushwake/relay/store"
	"github.com/pushwake/relay/store/localpg"
	"github.com/pushwake/relay/store/storetest"
)

const (
	benchUsers  = 10_000 // with one phone each; a device takes three calls a round
	benchRounds = 5
	benchRound  = 1500 * time.Millisecond
	benchAlone  = 4 * time.Second        // of one caller, whose rate a shared machine moves more
	benchWarmUp = 500 * time.Millisecond // before it: each connection plans its statements anew
)

// BenchmarkInvite measures invitations a second on a Postgres that syncs every
// commit to its disk, from 64 callers at once and from one alone, written in
// natural batches and one a transaction. The latter has its fair chance: 16
// transactions at a time, each on a connection of its own. Rounds of all take
// turns on one server, each on tables emptied before; the medians are told.
func BenchmarkInvite(b *testing.B) {
	server, err := localpg.Start(b.Context(), localpg.Options{Durable: true, Settings: map[string]string{"max_wal_size": "4GB", "checkpoint_timeout": "30min"}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := server.Stop(); err != nil {
			b.Error(err)
		}
	})
	natural := newContender(b, server, "natural", store.Config{})
	single := newContender(b, server, "single", store.Config{BatchSize: 1, BeginWriters: 16, MaxConns: 20})
	for b.Loop() {
		rates := map[string][]float64{}
		for round := range benchRounds + 1 {
			for _, callers := range []int{64, 1} {
				order := []*contender{natural, single}
				if round%2 == 1 {
					slices.Reverse(order)
				}
				for _, c := range order {
					rate := c.round(b, callers)
					if round > 0 { // the first one warms caches up
						name := fmt.Sprintf("%s_%d", c.name, callers)
						rates[name] = append(rates[name], rate)
					}
				}
			}
		}
		for name, all := range rates {
			b.Logf("%s: %.0f a second", name, all)
		}
		for _, callers := range []int{64, 1} {
			n, s := median(rates[fmt.Sprintf("natural_%d", callers)]), median(rates[fmt.Sprintf("single_%d", callers)])
			b.ReportMetric(n, fmt.Sprintf("natural_%d/s", callers))
			b.ReportMetric(s, fmt.Sprintf("single_%d/s", callers))
			b.ReportMetric(n/s, fmt.Sprintf("ratio_%d", callers))
		}
		b.ReportMetric(0, "ns/op") // an operation is a whole comparison: nothing to be told by its time
	}
}

func median(of []float64) float64 {
	slices.Sort(of)
	return of[len(of)/2]
}

// contender is a store with a way of writing, on a database of its own.
type contender struct {
	name  string
	store *store.Store
	db    *pgxpool.Pool
}

func newContender(b *testing.B, server *localpg.Server, name string, config store.Config) *contender {
	db := dial(b, server.URL("postgres"))
	if _, err := db.Exec(b.Context(), "CREATE DATABASE bench_"+name); err != nil {
		b.Fatal(err)
	}
	config.URL = server.URL("bench_" + name)
	if _, err := migrations.Up(b.Context(), config.URL); err != nil {
		b.Fatal(err)
	}
	config.MasterKeys = [][]byte{make([]byte, store.MasterKeyBytes)}
	s, err := store.Open(b.Context(), config)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(s.Close)
	c := &contender{name: name, store: s, db: dial(b, config.URL)}
	makeApp(b, s, app)
	for _, sql := range []string{
		fmt.Sprintf(`INSERT INTO devices (app_id, device_id, user_id, platform, device_type, system_version, emulator, environment, bundle_id, locale, call_ui,
				created_at, updated_at, owned_since)
			SELECT 'demo', 'd' || n, 'u' || n, 'harmonyos', 'phone', '6.1.0(23)', false, 'production', 'com.example.voip', 'zh-CN', 'call_service_kit',
				now(), now(), now()
			FROM generate_series(0, %d) AS n`, benchUsers-1),
		`INSERT INTO device_tokens SELECT app_id, device_id, 'push_kit', 'MA0123456789abcdef' || device_id, 'alive', now() FROM devices`,
		`INSERT INTO device_regions SELECT app_id, device_id, 'backend', 'CN', now() FROM devices`,
		`VACUUM ANALYZE`,
	} {
		if _, err := c.db.Exec(b.Context(), sql); err != nil {
			b.Fatal(err)
		}
	}
	return c
}

// round is the rate of one round, in invitations a second.
func (c *contender) round(b *testing.B, callers int) float64 {
	if _, err := c.db.Exec(b.Context(), `TRUNCATE calls, legs, events, idempotency_keys`); err != nil {
		b.Fatal(err)
	}
	if _, err := c.db.Exec(b.Context(), `CHECKPOINT`); err != nil {
		b.Fatal(err)
	}
	var next, done atomic.Int64
	var all sync.WaitGroup
	length := benchRound
	if callers == 1 {
		length = benchAlone
	}
	start := time.Now()
	for range callers {
		all.Go(func() {
			for time.Since(start) < benchWarmUp+length {
				warm := time.Since(start) >= benchWarmUp
				n := next.Add(1)
				in := invite(fmt.Sprint("u", n%benchUsers))
				in.Key, in.BodyHash[0], in.Ref = fmt.Sprint("key-", n), 1, fmt.Sprint("sip-", n)
				in.Custom = []byte(`{"room":"r9"}`)
				got, err := c.store.CreateCall(b.Context(), in)
				if err != nil {
					b.Error(err)
					return
				}
				if got.Reachable() != 1 {
					b.Errorf("a callee could not be woken: %s", strings.Join(reasons(got.Legs), ", "))
					return
				}
				if warm {
					done.Add(1)
				}
			}
		})
	}
	all.Wait()
	return float64(done.Load()) / (time.Since(start) - benchWarmUp).Seconds()
}

// BenchmarkRegister registers devices in a fresh database, 2,000 at a time from
// 32 callers, and prints how many a second each time.
func BenchmarkRegister(b *testing.B) {
	for b.Loop() {
		url := storetest.Database(b)
		s := storetest.Open(b, store.Config{URL: url})
		makeApp(b, s, app)
		run(b, s)
		for round := range 5 {
			started := time.Now()
			var all sync.WaitGroup
			next := make(chan int)
			for range 32 {
				all.Go(func() {
					for n := range next {
						if _, err := s.PutDevice(b.Context(), registration(fmt.Sprint("u", n), fmt.Sprint("d", n))); err != nil {
							b.Error(err)
						}
					}
				})
			}
			for n := range 2000 {
				next <- 2000*round + n
			}
			close(next)
			all.Wait()
			b.ReportMetric(2000/time.Since(started).Seconds(), fmt.Sprintf("to_%d/s", 2000*(round+1)))
		}
	}
}
