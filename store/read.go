package store

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/pushwake/relay/call"
)

// Call reads one call with its legs. An empty appID looks in every app, as an
// operator may.
//
// Errors: ErrNotFound, ErrUnavailable.
func (s *Store) Call(ctx context.Context, appID string, id uuid.UUID) (call.Call, error) {
	rows, err := s.pool.Query(ctx, `SELECT `+callColumns+` FROM calls c
		WHERE c.id = $1 AND c.app_id = ANY (CASE WHEN $2 = '' THEN ARRAY(SELECT a.id FROM apps a) ELSE ARRAY[$2] END)`, id, appID)
	if err != nil {
		return call.Call{}, translate(err)
	}
	c, err := pgx.CollectExactlyOneRow(rows, scanCall)
	if errors.Is(err, pgx.ErrNoRows) {
		return call.Call{}, ErrNotFound
	}
	if err != nil {
		return call.Call{}, translate(err)
	}
	calls := []call.Call{c}
	err = s.readLegs(ctx, calls, legColumns)
	return calls[0], err
}

// readLegs reads the legs of calls, by legColumns or briefLegColumns.
func (s *Store) readLegs(ctx context.Context, calls []call.Call, columns string) error {
	_, err := s.readFewLegs(ctx, calls, columns, math.MaxInt)
	return err
}

// readFewLegs is readLegs where the calls have at most that many legs; else it
// reads none of them.
func (s *Store) readFewLegs(ctx context.Context, calls []call.Call, columns string, most int) (few bool, err error) {
	if len(calls) == 0 {
		return true, nil
	}
	byID := make(map[uuid.UUID]*call.Call, len(calls))
	ids := make([]uuid.UUID, len(calls))
	apps := make([]string, len(calls))
	for i := range calls {
		byID[calls[i].ID], ids[i], apps[i] = &calls[i], calls[i].ID, calls[i].AppID
	}
	low, high := span(ids)
	rows, err := s.pool.Query(ctx, `SELECT `+columns+` FROM legs l
		WHERE l.app_id = ANY($1) AND l.call_id = ANY($2) AND l.call_id BETWEEN $3 AND $4
		ORDER BY l.call_id, l.device_id COLLATE "C"`, apps, ids, low, high)
	if err != nil {
		return false, translate(err)
	}
	defer rows.Close()
	for n := 1; rows.Next(); n++ {
		if n > most {
			for i := range calls {
				calls[i].Legs = nil
			}
			return false, nil
		}
		l, err := scanLeg(rows)
		if err != nil {
			return false, translate(err)
		}
		if c := byID[l.callID]; c != nil {
			c.Legs = append(c.Legs, l.Leg)
		}
	}
	return true, translate(rows.Err())
}

// LiveCalls reads the calls that are alive on a device for its user, oldest
// first, and the database's time.
func (s *Store) LiveCalls(ctx context.Context, appID, deviceID, userID string) ([]call.Call, error) {
	rows, err := s.pool.Query(ctx, `SELECT `+callColumns+` FROM calls c
		WHERE c.app_id = $1 AND c.id IN (
			SELECT l.call_id FROM legs l
			WHERE l.app_id = $1 AND l.device_id = $2 AND l.user_id = $3 AND l.ended_at IS NULL AND l.call_id >= $4)
		  AND c.id >= $4
		ORDER BY c.id`, appID, deviceID, userID, floorID(s.Now().Add(-longestCall-time.Hour)))
	if err != nil {
		return nil, translate(err)
	}
	calls, err := pgx.CollectRows(rows, scanCall)
	if err != nil {
		return nil, translate(err)
	}
	return calls, s.readLegs(ctx, calls, legColumns)
}

// queueCalls reads calls with their legs, without the legs' decisions, oldest
// first. ids is a query for their ids; its arguments name their @apps, and @low
// and @high between which the ids are.
func queueCalls(b *pgx.Batch, calls *[]call.Call, ids string, args pgx.NamedArgs) {
	byID := map[uuid.UUID]int{}
	b.Queue(`SELECT `+callColumns+` FROM calls c
		WHERE c.app_id = ANY (@apps) AND c.id = ANY (ARRAY(`+ids+`)) AND c.id BETWEEN @low AND @high ORDER BY c.id`, args).Query(func(rows pgx.Rows) (err error) {
		*calls, err = pgx.CollectRows(rows, scanCall)
		for i, c := range *calls {
			byID[c.ID] = i
		}
		return err
	})
	b.Queue(`SELECT `+briefLegColumns+` FROM legs l
		WHERE l.app_id = ANY (@apps) AND l.call_id = ANY (ARRAY(`+ids+`)) AND l.call_id BETWEEN @low AND @high
		ORDER BY l.call_id, l.device_id COLLATE "C"`, args).Query(func(rows pgx.Rows) error {
		legs, err := pgx.CollectRows(rows, scanLeg)
		for _, l := range legs {
			if i, ok := byID[l.callID]; ok {
				(*calls)[i].Legs = append((*calls)[i].Legs, l.Leg)
			}
		}
		return err
	})
}
