package store

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Doors that only this package's tests may use.

var (
	LockKey   = lockKey
	NewID     = newID
	FloorID   = floorID
	CeilingID = ceilingID
	Monday    = monday
)

// Waiting is how many items wait in the lanes, without those being written.
func (s *Store) Waiting() (begins, steps int) { return len(s.begins.queue), len(s.steps.queue) }

// InHand reports whether this process thinks that it is sending a leg's wake.
func (s *Store) InHand(leg uuid.UUID) bool { return s.inHand(leg) }

// Beat renews the heartbeat once.
func (s *Store) Beat(ctx context.Context) error { return s.beat(ctx) }

// SweepForgotten ends what was forgotten.
func (s *Store) SweepForgotten(ctx context.Context) error { return s.sweepForgotten(ctx) }

// Clean forgets what is old.
func (s *Store) Clean(ctx context.Context) error { return s.clean(ctx) }

// Silence makes this process think that its heartbeat is old.
func (s *Store) Silence() { s.beaten(time.Time{}) }

// CleanFeeds forgets feeds that are over.
func (s *Store) CleanFeeds(ctx context.Context) error { return s.cleanFeeds(ctx) }

// MakePartitionsFrom makes the partitions of a time's week and of those after it.
func (s *Store) MakePartitionsFrom(ctx context.Context, from time.Time, ahead int) error {
	return s.makePartitions(ctx, from, ahead)
}

// SweepRetention deletes what is no longer kept, as of a time.
func (s *Store) SweepRetention(ctx context.Context, now time.Time) error {
	return s.sweepRetention(ctx, now)
}

// Trace lets a tracer see every statement from now on.
func (s *Store) Trace(ctx context.Context, tracer pgx.QueryTracer) error {
	config := s.pool.Config()
	config.ConnConfig.Tracer = tracer
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return err
	}
	s.pool.Close()
	s.pool = pool
	return nil
}

// Own makes this process think that it is sending these wakes.
func (s *Store) Own(wakes []Wake) { s.own(wakes) }

// SweepReceipts takes the receipts that wait and can be taken.
func (s *Store) SweepReceipts(ctx context.Context) error { return s.sweepReceipts(ctx) }

// SweepTokens judges the tokens that are condemned.
func (s *Store) SweepTokens(ctx context.Context) error { return s.sweepTokens(ctx) }
