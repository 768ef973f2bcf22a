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

// Call reads one call with its legs, without the gate's decisions. An empty
// appID looks in every app, as an operator may.
//
// Errors: ErrNotFound, ErrUnavailable.
func (s *Store) Call(ctx context.Context, appID string, id uuid.UUID) (call.Call, error) {
	rows, err := s.pool.Query(ctx, `SELECT `+callTable.columns+` FROM calls c
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
	err = s.readLegs(ctx, calls)
	return calls[0], err
}

// readLegs reads the legs of calls, without the gate's decisions.
func (s *Store) readLegs(ctx context.Context, calls []call.Call) error {
	_, err := s.readFewLegs(ctx, calls, math.MaxInt)
	return err
}

// readFewLegs is readLegs where the calls have at most that many legs; else it
// reads none of them.
func (s *Store) readFewLegs(ctx context.Context, calls []call.Call, most int) (few bool, err error) {
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
	rows, err := s.pool.Query(ctx, `SELECT `+legTable.columns+` FROM `+legsOf("$1", "$2", "$3", "$4")+`
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
	const ids = `ARRAY(SELECT l.call_id FROM legs l
		WHERE l.app_id = $1 AND l.device_id = $2 AND l.user_id = $3 AND l.ended_at IS NULL AND l.call_id >= $4)`
	rows, err := s.pool.Query(ctx, `SELECT `+callTable.columns+` FROM `+callsOf("ARRAY[$1]", ids, "$4", "$5")+` ORDER BY c.id`,
		appID, deviceID, userID, floorID(s.Now().Add(-longestCall-time.Hour)), uuid.Max)
	if err != nil {
		return nil, translate(err)
	}
	calls, err := pgx.CollectRows(rows, scanCall)
	if err != nil {
		return nil, translate(err)
	}
	return calls, s.readLegs(ctx, calls)
}

// callsOf is the part of a FROM clause that gives, as c, the calls with these
// ids, which lie between low and high. Each id is looked up by itself (OFFSET
// keeps the planner to that). Of id = ANY (…) beside a range, the planner may
// take the range alone for the index, and then reads every call of a day.
func callsOf(apps, ids, low, high string) string {
	return `(SELECT DISTINCT unnest(` + ids + `::uuid[])) AS wanted (id) CROSS JOIN LATERAL (
		SELECT c.* FROM calls c WHERE c.app_id = ANY (` + apps + `) AND c.id = wanted.id AND c.id BETWEEN ` + low + ` AND ` + high + ` OFFSET 0) c`
}

// legsOf is the same for the legs of calls, as l.
func legsOf(apps, ids, low, high string) string {
	return `(SELECT DISTINCT unnest(` + ids + `::uuid[])) AS wanted (id) CROSS JOIN LATERAL (
		SELECT l.* FROM legs l WHERE l.app_id = ANY (` + apps + `) AND l.call_id = wanted.id AND l.call_id BETWEEN ` + low + ` AND ` + high + ` OFFSET 0) l`
}

// queueCalls reads calls with their legs, oldest first. ids is a query for their
// ids; its arguments name their @apps, and @low and @high between which the ids are.
func queueCalls(b *pgx.Batch, calls *[]call.Call, ids string, args pgx.NamedArgs) {
	byID := map[uuid.UUID]int{}
	b.Queue(`SELECT `+callTable.columns+` FROM `+callsOf("@apps", "ARRAY("+ids+")", "@low", "@high")+` ORDER BY c.id`, args).Query(func(rows pgx.Rows) (err error) {
		*calls, err = pgx.CollectRows(rows, scanCall)
		for i, c := range *calls {
			byID[c.ID] = i
		}
		return err
	})
	b.Queue(`SELECT `+legTable.columns+` FROM `+legsOf("@apps", "ARRAY("+ids+")", "@low", "@high")+`
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
