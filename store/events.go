package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/pushwake/relay/call"
)

// LoggedEvent is one entry of an app's event log.
type LoggedEvent struct {
	AppID    string
	ID       uuid.UUID
	Type     call.EventType
	At       time.Time
	CallID   uuid.UUID // zero for events of devices and webhooks
	CallSeq  int
	LegID    uuid.UUID
	Call     *call.Call      // as its step left it, with the legs that the step changed; nil for events of devices and webhooks
	Device   json.RawMessage // of events of devices
	Webhook  json.RawMessage // of events of webhooks
	Position Cursor

	record eventRecord
}

// EventQuery selects events of the log. A zero field selects all.
type EventQuery struct {
	AppID  string // "" for every app
	After  Cursor
	Types  []call.EventType
	UserID string // a side of the call, or the user of the device
	CallID uuid.UUID
	Limit  int // events of a page, at least 1
}

// EventPage is a part of the log.
type EventPage struct {
	Events []LoggedEvent
	Cursor Cursor // behind all that was looked at, also what was not selected
	More   bool   // there may be more to read at once
}

// eventsScanned bounds the events that one page of a filter looks at, so that a
// filter that finds little in a long log does not run into the time limit of
// statements.
const eventsScanned = 2000

// Events reads the log after a cursor, in order. A reader that follows it
// misses nothing and sees nothing twice, in whatever order transactions commit:
// It reads rows in the order of the pair (xid, seq), and only those of
// transactions below the snapshot's xmin, all of which have ended. Events of
// one call come in the order of its steps. Events of a call that retention has
// dropped are left out.
//
// Errors: ErrCursor, ErrUnavailable.
func (s *Store) Events(ctx context.Context, q EventQuery) (EventPage, error) {
	page := EventPage{Cursor: q.After}
	page.Cursor.Epoch = max(page.Cursor.Epoch, 1)
	for {
		last, err := s.readEvents(ctx, q, &page)
		if err != nil {
			return page, err
		}
		if len(page.Events) > 0 || page.More || page.Cursor.Epoch == last {
			page.More = page.More || page.Cursor.Epoch < last
			return page, s.completeEvents(ctx, &page)
		}
		page.Cursor = Cursor{Epoch: page.Cursor.Epoch + 1}
	}
}

// readEvents reads what follows the page's cursor in its epoch, and returns the
// number of the last epoch.
func (s *Store) readEvents(ctx context.Context, q EventQuery, page *EventPage) (last int, err error) {
	after, scanned := page.Cursor, q.Limit
	if len(q.Types) > 0 || q.UserID != "" {
		scanned = max(scanned, eventsScanned)
	}
	from, apps, oldest := `events`, `true`, after.oldestID()
	if q.AppID != "" {
		apps = `e.app_id = @app`
	}
	if q.CallID != uuid.Nil { // a few rows, found by their call and then sorted
		from = `(SELECT * FROM events WHERE app_id = ANY (CASE WHEN @app = '' THEN ARRAY(SELECT id FROM apps) ELSE ARRAY[@app] END)
			AND call_id = @call AND id >= @oldest OFFSET 0)`
		oldest = later(oldest, floorID(timeOf(q.CallID)))
	}
	types := make([]string, len(q.Types))
	for i, t := range q.Types {
		types[i] = string(t)
	}
	args := pgx.NamedArgs{
		"app": q.AppID, "call": q.CallID, "user": q.UserID, "types": types, "oldest": oldest, "scanned": scanned,
		"epoch": after.Epoch, "xid": strconv.FormatUint(after.XID, 10), "seq": after.Seq,
	}
	var xmax uint64
	rows := 0
	err = s.readTogether(ctx, func(b *pgx.Batch) {
		b.Queue(`SELECT max(epoch), pg_snapshot_xmax(pg_current_snapshot())::text::bigint FROM log_epochs`).QueryRow(func(row pgx.Row) error {
			return row.Scan(&last, &xmax)
		})
		b.Queue(`
			SELECT e.app_id, e.id, e.type, e.at, e.call_id, coalesce(e.call_seq, 0), e.leg_id, e.xid::text::bigint, e.seq,
				-- of what is not selected, only the position is read; a subquery that gives a value is run for each row, and never read whole
				CASE WHEN (cardinality(@types::text[]) = 0 OR e.type = ANY (@types))
				      AND (@user::text = '' OR CASE WHEN e.call_id IS NULL THEN e.data ->> 'user_id' = @user
					ELSE (SELECT @user IN (c.callee_id, c.caller_id) FROM calls c WHERE c.app_id = e.app_id AND c.id = e.call_id) END)
				THEN e.data END
			FROM `+from+` e
			WHERE `+apps+` AND e.id >= @oldest
			  AND e.xid >= @xid::text::xid8 AND (e.xid, e.seq) > (@xid::text::xid8, @seq::bigint)
			  AND (e.xid < pg_snapshot_xmin(pg_current_snapshot()) OR EXISTS (SELECT FROM log_epochs WHERE epoch = @epoch::integer + 1))
			  AND e.seq >= (SELECT first_seq FROM log_epochs WHERE epoch = @epoch::integer)
			  AND e.seq < coalesce((SELECT first_seq FROM log_epochs WHERE epoch = @epoch::integer + 1), 9223372036854775807)
			ORDER BY e.xid, e.seq -- not as numbers, which the index does not have
			LIMIT @scanned`, args).Query(func(found pgx.Rows) error {
			var row eventRow
			_, err := pgx.ForEachRow(found, row.targets(), func() error {
				rows++
				if len(page.Events) == q.Limit {
					return nil
				}
				e, err := row.event(after.Epoch)
				if err != nil {
					return err
				}
				if page.Cursor = e.Position; row.data != nil {
					page.Events = append(page.Events, e)
				}
				return nil
			})
			return err
		})
	})
	if err != nil {
		return last, err
	}
	if after.Epoch > last || after.Epoch == last && after.XID >= xmax {
		return last, ErrCursor
	}
	page.More = len(page.Events) == q.Limit || rows == scanned
	return last, nil
}

// eventRow is what readEvents reads of an event.
type eventRow struct {
	LoggedEvent
	callID, legID *uuid.UUID
	data          []byte
}

func (r *eventRow) targets() []any {
	return []any{&r.AppID, &r.ID, &r.Type, &r.At, &r.callID, &r.CallSeq, &r.legID, &r.Position.XID, &r.Position.Seq, &r.data}
}

func (r *eventRow) event(epoch int) (e LoggedEvent, err error) {
	e = r.LoggedEvent
	e.At = e.At.UTC()
	e.Position.Epoch, e.Position.MS = epoch, timeOf(e.ID).UnixMilli()
	if r.legID != nil {
		e.LegID = *r.legID
	}
	switch {
	case r.callID == nil && strings.HasPrefix(string(e.Type), "webhook."):
		e.Webhook = r.data
		return e, nil
	case r.callID == nil:
		e.Device = r.data
		return e, nil
	case r.data == nil:
		return e, nil
	}
	e.CallID = *r.callID
	if e.record, err = readEvent(r.data, call.Event{Type: e.Type, Seq: e.CallSeq, Time: e.At, Leg: e.LegID}); err != nil {
		err = fmt.Errorf("event %s: %w", e.ID, err)
	}
	return e, err
}

// completeEvents gives a page's events what never changes of their calls and legs.
func (s *Store) completeEvents(ctx context.Context, page *EventPage) error {
	if err := s.joinSteps(ctx, page.Events); err != nil {
		return err
	}
	var apps []string
	var callIDs, legCalls, legIDs []uuid.UUID
	for i := range page.Events {
		e := &page.Events[i]
		if e.CallID == uuid.Nil {
			continue
		}
		callIDs = append(callIDs, e.CallID)
		if !slices.Contains(apps, e.AppID) {
			apps = append(apps, e.AppID)
		}
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
		b.Queue(`SELECT `+callTable.columns+` FROM `+callsOf("$1", "$2", "$3", "$4"), apps, callIDs, low, high).Query(func(rows pgx.Rows) error {
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
				SELECT l.* FROM legs l WHERE l.app_id = ANY ($1) AND l.call_id = wanted.call_id AND l.id = wanted.id AND l.call_id BETWEEN $4 AND $5 OFFSET 0) l`,
			apps, legCalls, legIDs, low, high).Query(func(rows pgx.Rows) error {
			found, err := pgx.CollectRows(rows, scanLeg)
			for _, l := range found {
				legs[l.ID] = l.Leg
			}
			return err
		})
	})
	if err != nil {
		return err
	}
	page.Events = slices.DeleteFunc(page.Events, func(e LoggedEvent) bool {
		_, there := calls[e.CallID]
		return e.CallID != uuid.Nil && !there
	})
	for i := range page.Events {
		e := &page.Events[i]
		if e.CallID == uuid.Nil {
			continue
		}
		c := calls[e.CallID]
		for _, l := range e.record.Legs {
			if leg, ok := legs[l.ID]; ok {
				c.Legs = append(c.Legs, leg)
			}
		}
		e.record.onto(&c)
		e.Call = &c
	}
	return nil
}
