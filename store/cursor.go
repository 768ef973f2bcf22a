package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Cursor is a position in the event log, behind the event with that transaction
// id and sequence. The zero Cursor is the log's beginning.
type Cursor struct {
	Epoch int    // see BeginEpoch
	XID   uint64 // the transaction id
	Seq   int64
	MS    int64 // when the event got its id, in Unix ms; 0 where it is not known
}

// ErrCursor means that a cursor is not one of this log: it is damaged, or it
// lies behind the log's end, as one does that was given before a restore.
var ErrCursor = errors.New("the cursor is not one that this service gave for this event log")

// String encodes the cursor for a reader to keep.
func (c Cursor) String() string {
	parts := make([]string, 0, 4)
	for _, n := range []uint64{uint64(c.Epoch), c.XID, uint64(c.Seq), uint64(c.MS)} {
		parts = append(parts, strconv.FormatUint(n, 36))
	}
	return strings.Join(parts, "-")
}

// ParseCursor reads what String wrote; "" is the beginning. It returns ErrCursor
// for other texts.
func ParseCursor(text string) (Cursor, error) {
	if text == "" {
		return Cursor{}, nil
	}
	parts := strings.Split(text, "-")
	most := []uint64{math.MaxInt32, math.MaxUint64, math.MaxInt64, math.MaxInt64}
	if len(parts) != len(most) {
		return Cursor{}, fmt.Errorf("%w: %q", ErrCursor, text)
	}
	var n [4]uint64
	for i, part := range parts {
		var err error
		if n[i], err = strconv.ParseUint(part, 36, 64); err != nil || n[i] > most[i] {
			return Cursor{}, fmt.Errorf("%w: %q", ErrCursor, text)
		}
	}
	return Cursor{int(n[0]), n[1], int64(n[2]), int64(n[3])}, nil
}

// cursorReach is how long before a cursor's event a later event may have got its
// id. It is longer than any transaction of relay lasts.
const cursorReach = time.Minute

// oldestID is the smallest id that an event behind the cursor can have, so that
// older partitions are not searched.
func (c Cursor) oldestID() uuid.UUID {
	if c.MS == 0 {
		return uuid.Nil
	}
	return floorID(time.UnixMilli(c.MS).Add(-cursorReach))
}

// EndOfLog is the cursor of a reader who wants only what comes from now on.
//
// Errors: ErrUnavailable.
func (s *Store) EndOfLog(ctx context.Context) (c Cursor, err error) {
	var xmin string
	err = s.pool.QueryRow(ctx, `SELECT max(epoch), pg_snapshot_xmin(pg_current_snapshot())::text FROM log_epochs`).Scan(&c.Epoch, &xmin)
	if err != nil {
		return c, translate(err)
	}
	if c.XID, err = strconv.ParseUint(xmin, 10, 64); err != nil {
		return c, err
	}
	c.XID, c.Seq, c.MS = c.XID-1, math.MaxInt64, s.Now().UnixMilli()
	return c, nil
}

// cursorAt is a cursor behind which an app's events lie that got their ids at a
// time or later, and no others. The log is sorted by transactions, which have no
// time: the place is found by halves.
func (s *Store) cursorAt(ctx context.Context, appID string, from time.Time) (Cursor, error) {
	// Transactions and ids are in the same order but for a minute or so.
	target := from.Add(-2 * cursorReach)
	c := Cursor{Seq: math.MaxInt64, MS: from.Add(cursorReach).UnixMilli()}
	var first, next int64
	err := s.pool.QueryRow(ctx, `SELECT e.epoch, e.first_seq, coalesce((SELECT first_seq FROM log_epochs n WHERE n.epoch = e.epoch + 1), $2)
		FROM log_epochs e WHERE e.epoch = (SELECT coalesce(max(epoch) FILTER (WHERE begun_at <= $1), 1) FROM log_epochs)`, target, int64(math.MaxInt64)).
		Scan(&c.Epoch, &first, &next)
	if err != nil {
		return c, translate(err)
	}
	low, high := uint64(1), uint64(math.MaxInt64)
	for low < high {
		middle := low + (high-low)/2
		var id uuid.UUID
		var xid uint64
		err := s.pool.QueryRow(ctx, `SELECT e.id, e.xid::text::bigint FROM events e
			WHERE e.app_id = $1 AND e.xid >= $2::text::xid8 AND e.seq >= $3 AND e.seq < $4
			ORDER BY e.xid LIMIT 1`, appID, strconv.FormatUint(middle, 10), first, next).Scan(&id, &xid)
		switch {
		case err != nil && !errors.Is(err, pgx.ErrNoRows):
			return c, translate(err)
		case err == nil && timeOf(id).Before(target):
			low = xid + 1
		default:
			high = middle
		}
	}
	c.XID = low - 1
	return c, nil
}

// ErrRestored means that the database was restored, and that nobody has said so
// to the event log.
var ErrRestored = errors.New("the event log has transactions that this database has not come to: it was restored into another server. " +
	"Run `relay migrate --restored`, or readers of events would miss what comes now")

// CheckLog returns ErrRestored where the log's newest epoch has events of
// transactions that lie in the database's future.
//
// Errors: ErrRestored, ErrUnavailable.
func (s *Store) CheckLog(ctx context.Context) error {
	var future bool
	err := s.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM events WHERE xid >= pg_snapshot_xmax(pg_current_snapshot())
		AND seq >= (SELECT max(first_seq) FROM log_epochs))`).Scan(&future)
	if err == nil && future {
		return ErrRestored
	}
	return translate(err)
}

// ErrRunning means that relay processes are alive where none may be.
var ErrRunning = errors.New("relay processes are running on this database; stop them first")

// BeginEpoch begins a new epoch of the event log. It must be called after a
// restore, before a process serves: the restored database may count its
// transactions from a lower number than the events' and the readers' cursors,
// which would then be behind what is yet to come.
//
// Errors: ErrRunning, ErrUnavailable.
func (s *Store) BeginEpoch(ctx context.Context) (epoch int, err error) {
	err = s.inTransaction(ctx, func(tx pgx.Tx) error {
		if err := lock(ctx, tx, lockKey("epoch")); err != nil {
			return err
		}
		var running bool
		err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM processes WHERE id <> $1 AND beat_at >= clock_timestamp() - $2::interval)`, s.process, s.config.SilentAfter).Scan(&running)
		if err != nil {
			return err
		}
		if running {
			return ErrRunning
		}
		// A copy by logical replication does not bring the sequence along.
		_, err = tx.Exec(ctx, `SELECT setval('events_seq', greatest(nextval('events_seq'), (SELECT max(seq) FROM events)))`)
		if err != nil {
			return err
		}
		return tx.QueryRow(ctx, `INSERT INTO log_epochs (epoch, first_seq) SELECT max(epoch) + 1, nextval('events_seq') FROM log_epochs RETURNING epoch`).Scan(&epoch)
	})
	return epoch, translate(err)
}
