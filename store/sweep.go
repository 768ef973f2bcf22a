package store

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/pushwake/relay/call"
)

// sweepMost is how many due rows one sweep handles.
const sweepMost = 1000

// due is a call whose deadline has passed, or a leg on which something is due.
type due struct {
	AppID    string
	CallID   uuid.UUID
	LegID    uuid.UUID
	DeviceID string
}

// SweepDeadlines ends the calls whose deadline has passed, and wakes again or
// marks the legs that have not confirmed in time. It returns how many it found.
// This process owns the second wakes, which go to Config.OnWakes. Any number of
// processes may sweep at once: each change is made under its call's lock, and a
// change that another process made is not repeated.
func (s *Store) SweepDeadlines(ctx context.Context) (int, error) {
	return s.sweep(ctx, floorID(s.Now().Add(-longestCall-time.Hour)))
}

// sweepForgotten ends calls older than a day, which SweepDeadlines no longer
// finds, for instance after all processes were down. It reads every partition,
// so it runs seldom.
func (s *Store) sweepForgotten(ctx context.Context) error {
	for {
		n, err := s.sweep(ctx, uuid.Nil)
		if err != nil || n < sweepMost {
			return err
		}
	}
}

func (s *Store) sweep(ctx context.Context, recent uuid.UUID) (int, error) {
	calls, callsErr := s.query(ctx, `
		SELECT app_id, call_id, id AS leg_id, device_id FROM legs
		WHERE deadline_at <= now() AND call_id >= $1 -- an index cannot be searched by clock_timestamp(), which is volatile
		ORDER BY deadline_at LIMIT $2`, recent, sweepMost)
	legs, legsErr := s.query(ctx, `
		SELECT app_id, call_id, id AS leg_id, device_id FROM legs
		WHERE confirm_due_at <= now() AND call_id >= $1
		ORDER BY confirm_due_at LIMIT $2`, recent, sweepMost)
	lookErr := eachAtOnce(legs, func(d due) error { return s.lookAgain(ctx, d) })
	endErr := eachAtOnce(calls, func(d due) error {
		// The step itself does nothing: a call whose deadline has passed ends
		// before any step.
		_, err := s.change(ctx, step{appID: d.AppID, callID: d.CallID, apply: func(*underLock) (any, error) { return nil, nil }})
		return err
	})
	return len(calls) + len(legs), errors.Join(callsErr, legsErr, lookErr, endErr)
}

// placeDeadline puts a live call's deadline to its first open leg, where the
// sweep finds it. The rows of calls have no index of what changes, so that a call
// that ends needs no new entries in theirs.
func placeDeadline(c *call.Call, rows []legRow) {
	deadline := c.DeadlineAt
	for i := range rows {
		rows[i].deadlineAt = time.Time{}
		if c.Legs[i].Status.Open() {
			rows[i].deadlineAt, deadline = deadline, time.Time{}
		}
	}
}

func (s *Store) query(ctx context.Context, sql string, args ...any) ([]due, error) {
	rows, err := s.pool.Query(ctx, sql, args...)
	if err != nil {
		return nil, translate(err)
	}
	found, err := collect[due](rows)
	return found, translate(err)
}

// collect reads rows into structs by their columns' names.
func collect[T any](rows pgx.Rows) ([]T, error) {
	return pgx.CollectRows(rows, pgx.RowToStructByName[T])
}

// eachAtOnce calls do for all things concurrently, so that their changes share
// batches, and returns the first error. A failure does not stop the others.
func eachAtOnce[T any](things []T, do func(T) error) error {
	var g errgroup.Group
	g.SetLimit(256)
	for _, thing := range things {
		g.Go(func() error { return do(thing) })
	}
	return g.Wait()
}
