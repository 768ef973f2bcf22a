package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pushwake/relay/call"
)

// Config tells a store where its database is and how to behave. Every zero
// value works but URL.
type Config struct {
	URL      string // of the database, as pgx reads it
	MaxConns int    // connections at most; 0 means 16

	// MasterKeys seal and open vendor credentials: the first seals, all open.
	// Each has 32 bytes. Without one, credentials cannot be used.
	MasterKeys [][]byte

	// OnWakes gets the wakes and notices that this process owns, after their
	// commit. It must not block.
	OnWakes func([]Wake)

	// Full reports whether new calls must be refused now; nil means never.
	Full func() bool

	BatchSize    int // items of one transaction at most; 0 means 256
	BeginWriters int // transactions that take in calls at a time; 0 means 1
	Waiting      int // items that may wait in a lane; 0 means 8192

	Heartbeat   time.Duration // between two of this process; 0 means 500 ms
	SilentAfter time.Duration // when a process has lost its wakes; 0 means 2 s
	Sweep       time.Duration // between two looks for deadlines; 0 means 100 ms
	LockWait    time.Duration // for another's lock; 0 means 5 s
	Poll        time.Duration // between two looks at the event log where nothing wakes its tail; 0 means 100 ms
	NoListen    bool          // poll only, as behind a pooler that shares sessions

	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

func (c *Config) setDefaults() {
	for _, d := range []struct {
		field *int
		value int
	}{{&c.MaxConns, 16}, {&c.BatchSize, 256}, {&c.BeginWriters, 1}, {&c.Waiting, 8192}} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{{&c.Heartbeat, 500 * time.Millisecond}, {&c.SilentAfter, 2 * time.Second}, {&c.Sweep, 100 * time.Millisecond}, {&c.LockWait, 5 * time.Second}, {&c.Poll, 100 * time.Millisecond}} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	if c.OnWakes == nil {
		c.OnWakes = func([]Wake) {}
	}
	if c.Full == nil {
		c.Full = func() bool { return false }
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Registerer == nil {
		c.Registerer = prometheus.NewRegistry()
	}
}

// Store gives one process access to the durable state.
type Store struct {
	config  Config
	pool    *pgxpool.Pool
	pooling Pooling
	local   []setting // what each transaction sets for itself, since its session is not ours alone
	process uuid.UUID // names this process as the owner of wakes
	clock   clock
	metrics *metrics
	log     *slog.Logger

	begins *lane[beginning, call.Call]
	steps  *lane[step, any]
	feeds  *lane[feedChange, struct{}]
	tail   *tail

	mu       sync.Mutex
	inFlight map[uuid.UUID]struct{} // legs whose wakes this process is sending
	notices  map[noticeKey]struct{} // notices that it is sending or about to
	pickUps  sync.WaitGroup         // those who read the tokens for notices

	openFeeds openFeeds

	takeOverMu sync.Mutex // one take-over at a time: the next would take again what one has just taken

	beatMu sync.Mutex
	beatAt time.Time // of the last heartbeat that committed, by this machine's clock
}

// Open connects to a database with an up-to-date schema and adds this process
// to the list of processes. Run keeps it alive there.
func Open(ctx context.Context, config Config) (*Store, error) {
	config.setDefaults()
	sessions, err := newSessions(ctx, &config)
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.NewWithConfig(ctx, sessions.config)
	if err != nil {
		return nil, translate(err)
	}
	s := &Store{
		config: config, pool: pool, local: sessions.local, pooling: sessions.pooling, metrics: newMetrics(config.Registerer), log: config.Logger, tail: newTail(),
		inFlight: map[uuid.UUID]struct{}{}, notices: map[noticeKey]struct{}{},
	}
	if err := s.enter(ctx); err != nil {
		pool.Close()
		return nil, err
	}
	s.begins = newLane(config.BeginWriters, config.BatchSize, config.Waiting, s.metrics.batch("begin"), s.writeBegins)
	s.steps = newLane(1, config.BatchSize, config.Waiting, s.metrics.batch("step"), s.writeSteps)
	s.feeds = newLane(1, config.BatchSize, config.Waiting, s.metrics.batch("feed"), s.writeFeeds)
	return s, nil
}

// enter gives this process an id by the database's time and makes the current
// partitions.
func (s *Store) enter(ctx context.Context) error {
	if err := s.clock.read(ctx, s.pool); err != nil {
		return translate(err)
	}
	s.process = newID(s.Now())
	host, _ := os.Hostname() // for people to read; may be empty
	_, err := s.pool.Exec(ctx, `INSERT INTO processes (id, host) VALUES ($1, $2)`, s.process, host)
	if err != nil {
		return translate(err)
	}
	s.beaten(time.Now())
	if err := s.beginTail(ctx); err != nil {
		return err
	}
	// A partition that cannot be made now is not needed yet: see makePartition.
	if err := s.MakePartitions(ctx); err != nil {
		s.log.Warn("partitions not made", "error", err)
	}
	return nil
}

// patience is how long a batch waits for locks. An item that is tried alone,
// after its batch failed, has waited already and gets less time, so that it
// does not delay the others again.
func (s *Store) patience(again bool) time.Duration {
	if again {
		return min(s.config.LockWait, 100*time.Millisecond)
	}
	return 0
}

// Process is the id under which this process owns wakes.
func (s *Store) Process() uuid.UUID { return s.process }

// Ready reports why the store cannot serve now; nil where it can.
func (s *Store) Ready(ctx context.Context) error {
	if err := s.checkWritable(ctx); err != nil {
		return translate(err)
	}
	if !s.Alive() {
		return errors.New("this process has not been heard of for too long")
	}
	return nil
}

// Close has the waiting items written, gives up this process's wakes for others
// to take, and disconnects.
func (s *Store) Close() {
	s.begins.stop()
	s.steps.stop()
	s.feeds.stop()
	s.pickUps.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	// An old heartbeat lets the others take the wakes at once, without waiting
	// for 2 s of silence.
	if _, err := s.pool.Exec(ctx, `UPDATE processes SET beat_at = '-infinity' WHERE id = $1`, s.process); err != nil {
		s.log.Warn("process not signed off", "error", err)
	}
	s.pool.Close()
}

// Now is the database's time, computed from its last reading and the time
// since.
func (s *Store) Now() time.Time { return s.clock.now() }

// ReadNow asks the database for its time. Use it to compare with times that the
// database has set: Now may be behind by the duration of a commit.
//
// Errors: ErrUnavailable.
func (s *Store) ReadNow(ctx context.Context) (now time.Time, err error) {
	err = s.pool.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&now)
	return now.UTC(), translate(err)
}

// clock computes the database's time between two readings by this machine's
// monotonic clock, so a wrong or stepped local time does not matter.
type clock struct {
	mu     sync.RWMutex
	at     time.Time // the database's, when last read
	readAt time.Time // this machine's, at that moment
}

func (c *clock) set(database time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at, c.readAt = database.UTC(), time.Now()
}

func (c *clock) now() time.Time {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.at.Add(time.Since(c.readAt))
}

func (c *clock) read(ctx context.Context, pool *pgxpool.Pool) error {
	var now time.Time
	if err := pool.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&now); err != nil {
		return err
	}
	c.set(now)
	return nil
}

// pointPlans makes Postgres plan each statement of a transaction once, and by
// indexes. The statements all look rows up by key: planning them for each batch
// takes longer than running them, and a plan made while the tables were empty
// must not read whole tables later.
const pointPlans = `SELECT set_config('plan_cache_mode', 'force_generic_plan', true),
	set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)`

// queueSettings queues what a transaction sets for itself.
func (s *Store) queueSettings(b *pgx.Batch) {
	if len(s.local) > 0 {
		sql, texts := settle(s.local, true)
		args := make([]any, len(texts))
		for i, text := range texts {
			args[i] = string(text)
		}
		b.Queue(sql, args...)
	}
	b.Queue(pointPlans)
}

// inTransaction runs do in a transaction of its own, and again where another
// transaction was in the way. do looks rows up by key.
func (s *Store) inTransaction(ctx context.Context, do func(pgx.Tx) error) error {
	begin := `BEGIN ISOLATION LEVEL READ COMMITTED; ` + pointPlans // one round trip
	for _, set := range s.local {
		begin += fmt.Sprintf(`; SET LOCAL %s = '%s'`, set.name, set.value) // names and values of our own: nothing to quote
	}
	var err error
	for range 1 + raceTries {
		err = pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{BeginQuery: begin}, do)
		if !lostRace(err) {
			return err
		}
	}
	return err
}

// readTogether runs several statements on one snapshot, in one round trip. They
// look rows up by key.
func (s *Store) readTogether(ctx context.Context, read func(*pgx.Batch)) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return translate(err)
	}
	defer conn.Release() // a connection left in a transaction is closed by the pool
	b := &pgx.Batch{}
	b.Queue(`BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY`)
	s.queueSettings(b)
	read(b)
	b.Queue(`COMMIT`)
	return translate(conn.SendBatch(ctx, b).Close())
}

// transact runs one transaction in two round trips: load queues the locks and
// then the reads; write is called with their results in memory and queues the
// writes. If it queues none, nothing is written. patience, if not zero,
// replaces Config.LockWait.
func (s *Store) transact(ctx context.Context, patience time.Duration, load func(*pgx.Batch), write func(*pgx.Batch) error) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release() // a connection left in a transaction is closed by the pool
	b := &pgx.Batch{}
	// The locks come first and the reads must see what their last holder
	// committed: with one snapshot for the transaction, as a database may have
	// it by default, they would not.
	b.Queue(`BEGIN ISOLATION LEVEL READ COMMITTED`)
	s.queueSettings(b)
	if patience > 0 {
		b.Queue(`SELECT set_config('lock_timeout', $1, true)`, fmt.Sprint(patience.Milliseconds()))
	}
	load(b)
	if err = conn.SendBatch(ctx, b).Close(); err == nil {
		b = &pgx.Batch{}
		if err = write(b); err == nil && b.Len() > 0 {
			b.Queue(`COMMIT`)
			return conn.SendBatch(ctx, b).Close()
		}
	}
	if conn.Conn().PgConn().TxStatus() != 'I' {
		if _, rollback := conn.Exec(ctx, `ROLLBACK`); rollback != nil && err == nil {
			err = rollback
		}
	}
	return err
}
