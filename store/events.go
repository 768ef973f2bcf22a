package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/pushwake/relay/call"
)

// Cursor is a position in the event log, behind the event with that transaction
// id and sequence. The zero Cursor is the log's beginning.
type Cursor struct {
	XID uint64
	Seq int64
}

// String encodes the cursor for a reader to keep.
func (c Cursor) String() string {
	return strconv.FormatUint(c.XID, 36) + "." + strconv.FormatInt(c.Seq, 36)
}

// ParseCursor reads what String wrote; "" is the beginning.
func ParseCursor(text string) (Cursor, error) {
	if text == "" {
		return Cursor{}, nil
	}
	x, s, _ := strings.Cut(text, ".")
	xid, err := strconv.ParseUint(x, 36, 64)
	if err != nil {
		return Cursor{}, fmt.Errorf("cursor %q is not one of ours", text)
	}
	seq, err := strconv.ParseInt(s, 36, 64)
	if err != nil || seq < 0 {
		return Cursor{}, fmt.Errorf("cursor %q is not one of ours", text)
	}
	return Cursor{XID: xid, Seq: seq}, nil
}

// LoggedEvent is one entry of an app's event log.
type LoggedEvent struct {
	ID       uuid.UUID
	Type     call.EventType
	At       time.Time
	CallID   uuid.UUID // zero for events of devices
	CallSeq  int
	LegID    uuid.UUID
	Call     *call.Call      // as its step left it, with the legs that the step changed; nil for events of devices
	Device   json.RawMessage // of events of devices
	Position Cursor

	record eventRecord
}

// Events reads an app's log after a cursor, in order. A reader that follows it
// misses nothing and sees nothing twice, in whatever order transactions commit:
// It reads rows in the order of the pair (xid, seq), and only those of
// transactions below the snapshot's xmin, all of which have ended. Events of
// one call come in the order of its steps.
func (s *Store) Events(ctx context.Context, appID string, after Cursor, limit int) ([]LoggedEvent, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT e.id, e.type, e.at, e.call_id, coalesce(e.call_seq, 0), e.leg_id, e.data, e.xid::text, e.seq FROM events e
		WHERE e.app_id = $1
		  AND (e.xid, e.seq) > ($2::text::xid8, $3)
		  AND e.xid < pg_snapshot_xmin(pg_current_snapshot())
		ORDER BY e.xid, e.seq -- not the xid as text, which the bare name would be
		LIMIT $4`, appID, strconv.FormatUint(after.XID, 10), after.Seq, limit)
	if err != nil {
		return nil, translate(err)
	}
	events, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (LoggedEvent, error) {
		var e LoggedEvent
		var callID, legID *uuid.UUID
		var data []byte
		var xid string
		if err := row.Scan(&e.ID, &e.Type, &e.At, &callID, &e.CallSeq, &legID, &data, &xid, &e.Position.Seq); err != nil {
			return e, err
		}
		var err error
		if e.Position.XID, err = strconv.ParseUint(xid, 10, 64); err != nil {
			return e, err
		}
		e.At = e.At.UTC()
		if legID != nil {
			e.LegID = *legID
		}
		if callID == nil {
			e.Device = data
			return e, nil
		}
		e.CallID = *callID
		if e.record, err = readEvent(data, e.LegID); err != nil {
			return e, fmt.Errorf("event %s: %w", e.ID, err)
		}
		return e, nil
	})
	if err != nil {
		return nil, translate(err)
	}
	return events, s.completeEvents(ctx, appID, events)
}

// completeEvents gives events what never changes of their calls and legs. Of a
// call that retention has dropped before its last events, they tell what they hold.
func (s *Store) completeEvents(ctx context.Context, appID string, events []LoggedEvent) error {
	var callIDs, legCalls, legIDs []uuid.UUID
	for i := range events {
		e := &events[i]
		if e.CallID == uuid.Nil {
			continue
		}
		callIDs = append(callIDs, e.CallID)
		for _, l := range e.record.Legs {
			legCalls, legIDs = append(legCalls, e.CallID), append(legIDs, l.ID)
		}
	}
	if len(callIDs) == 0 {
		return nil
	}
	low, high := span(callIDs)
	calls, legs := map[uuid.UUID]call.Call{}, map[uuid.UUID]call.Leg{}
	err := s.readTogether(ctx, func(b *pgx.Batch) {
		b.Queue(`SELECT `+callTable.columns+` FROM `+callsOf("ARRAY[$1]", "$2", "$3", "$4"), appID, callIDs, low, high).Query(func(rows pgx.Rows) error {
			found, err := pgx.CollectRows(rows, scanCall)
			for _, c := range found {
				calls[c.ID] = c
			}
			return err
		})
		if len(legIDs) == 0 {
			return
		}
		b.Queue(`SELECT `+legTable.columns+`
			FROM (SELECT DISTINCT call_id, id FROM unnest($2::uuid[], $3::uuid[]) AS u (call_id, id)) AS wanted CROSS JOIN LATERAL (
				SELECT l.* FROM legs l WHERE l.app_id = $1 AND l.call_id = wanted.call_id AND l.id = wanted.id AND l.call_id BETWEEN $4 AND $5 OFFSET 0) l`,
			appID, legCalls, legIDs, low, high).Query(func(rows pgx.Rows) error {
			found, err := pgx.CollectRows(rows, scanLeg)
			for _, l := range found {
				legs[l.ID] = l.Leg
			}
			return err
		})
	})
	if err != nil {
		return translate(err)
	}
	for i := range events {
		e := &events[i]
		if e.CallID == uuid.Nil {
			continue
		}
		c, ok := calls[e.CallID]
		if !ok {
			c = call.Call{AppID: appID, ID: e.CallID}
		}
		for _, l := range e.record.Legs {
			leg, ok := legs[l.ID]
			if !ok {
				leg = call.Leg{ID: l.ID}
			}
			c.Legs = append(c.Legs, leg)
		}
		e.record.onto(&c)
		e.Call = &c
	}
	return nil
}
