package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

// Run keeps this process alive in the list of processes, takes over the wakes
// of silent ones, sweeps deadlines, follows the event log for its watches and
// feeds, tells other processes of its own commits, makes partitions ahead, and
// deletes old idempotency keys and feeds, until ctx ends. What fails is logged
// and tried again.
func (s *Store) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	every := func(interval time.Duration, what string, do func(context.Context) error) {
		g.Go(func() error {
			ticker := time.NewTicker(interval)
			defer ticker.Stop()
			for { // at once, since the process may have been silent between Open and Run
				if err := do(ctx); err != nil && ctx.Err() == nil {
					s.log.Warn("background work failed", "work", what, "error", err)
				}
				select {
				case <-ctx.Done():
					return nil
				case <-ticker.C:
				}
			}
		})
	}
	g.Go(func() error { return s.follow(ctx) })
	g.Go(func() error { return s.announce(ctx) })
	g.Go(func() error { return s.listen(ctx) })
	every(s.config.Heartbeat, "heartbeat", s.beat)
	every(s.config.Heartbeat, "take-over", func(ctx context.Context) error {
		n, err := s.TakeOver(ctx)
		if n > 0 {
			s.log.Info("wakes taken over", "count", n)
		}
		return err
	})
	every(s.config.Sweep, "deadlines", func(ctx context.Context) error {
		_, err := s.SweepDeadlines(ctx)
		return err
	})
	every(s.config.Sweep, "receipts", s.sweepReceipts)
	every(time.Second, "condemned tokens", s.sweepTokens)
	every(time.Hour, "forgotten calls", s.sweepForgotten)
	every(time.Hour, "partitions", s.MakePartitions)
	every(time.Hour, "retention", func(ctx context.Context) error { return s.sweepRetention(ctx, s.Now()) })
	every(10*time.Second, "feeds", s.cleanFeeds)
	every(analyzeEvery, "statistics", s.analyze)
	every(time.Minute, "cleaning", s.clean)
	return g.Wait()
}

// beat renews this process's heartbeat, and inserts it again where other
// processes have deleted it.
func (s *Store) beat(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.config.SilentAfter)
	defer cancel()
	started := time.Now()
	b := &pgx.Batch{}
	b.Queue(`INSERT INTO processes (id, host) VALUES ($1, '') ON CONFLICT (id) DO UPDATE SET beat_at = clock_timestamp()`, s.process)
	var now time.Time
	s.queueNow(b, &now)
	others := 0
	b.Queue(`SELECT count(*) FROM processes WHERE id <> $1 AND beat_at >= clock_timestamp() - $2::interval`, s.process, s.config.SilentAfter).
		QueryRow(func(row pgx.Row) error { return row.Scan(&others) })
	if err := s.pool.SendBatch(ctx, b).Close(); err != nil {
		return translate(err)
	}
	silent := !s.Alive()
	s.beaten(started)
	s.tail.setAlone(others == 0)
	if silent {
		return s.restoreFeeds(ctx)
	}
	return nil
}

func (s *Store) beaten(at time.Time) {
	s.beatMu.Lock()
	defer s.beatMu.Unlock()
	s.beatAt = at
}

// Alive reports whether this process's heartbeat is so recent that no other
// process can have taken its wakes over.
func (s *Store) Alive() bool {
	s.beatMu.Lock()
	defer s.beatMu.Unlock()
	return time.Since(s.beatAt) < s.config.SilentAfter
}

// clean deletes expired idempotency keys, and processes that have long been
// silent and own no wake.
func (s *Store) clean(ctx context.Context) error {
	_, err := s.pool.Exec(ctx, `DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY(
		SELECT ctid FROM idempotency_keys WHERE created_at < now() - $1::interval LIMIT 10000))`, idempotencyAge)
	if err != nil {
		return translate(err)
	}
	_, err = s.pool.Exec(ctx, `DELETE FROM token_alarms WHERE last_at < now() - interval '30 days'`)
	if err != nil {
		return translate(err)
	}
	_, err = s.pool.Exec(ctx, `DELETE FROM processes p WHERE beat_at < clock_timestamp() - interval '10 minutes'
		AND NOT EXISTS (SELECT FROM legs l WHERE l.wake_process = p.id)`)
	return translate(err)
}
