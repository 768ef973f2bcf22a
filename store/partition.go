package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// partitioned names the tables in partitions, the column that ranges, whether
// that is the call's id, and how many percent of a page new rows may fill. The rest is for the newer versions
// of rows that change: there they take the place of older ones, and many need no
// new entries in the indexes.
var partitioned = []struct {
	table, key string
	ofCalls    bool
	fill       int
}{
	{"calls", "id", true, 50}, {"legs", "call_id", true, 50}, {"notices", "call_id", true, 100},
	{"plans", "call_id", true, 100}, {"attempts", "call_id", true, 100}, {"confirms", "call_id", true, 100}, {"reports", "call_id", true, 100}, {"receipts", "call_id", true, 100},
	{"events", "id", false, 100},
	{"webhook_deliveries", "event_id", false, 50},
}

// weeksAhead is how many weeks' partitions are made before they are needed.
const weeksAhead = 4

// partitionPatience is how long making a partition waits for the lock on its
// table.
const partitionPatience = 500 * time.Millisecond

// MakePartitions makes the partitions of this week and of those to come.
func (s *Store) MakePartitions(ctx context.Context) error {
	return s.makePartitions(ctx, s.Now(), weeksAhead)
}

func (s *Store) makePartitions(ctx context.Context, from time.Time, ahead int) error {
	week := monday(from)
	for range ahead + 1 {
		for _, p := range partitioned {
			if err := s.makePartition(ctx, p.table, p.key, p.fill, week); err != nil {
				return fmt.Errorf("partition of %s for the week of %s: %w", p.table, week.Format(time.DateOnly), translate(err))
			}
		}
		week = week.AddDate(0, 0, 7)
	}
	return nil
}

// monday is the beginning of a time's week, in UTC.
func monday(t time.Time) time.Time {
	t = t.UTC().Truncate(24 * time.Hour)
	return t.AddDate(0, 0, -(int(t.Weekday())+6)%7)
}

// makePartition makes one partition where it is missing. Rows of its range that
// came before it lie in the default partition and move over in the same
// transaction. One process at a time does it.
func (s *Store) makePartition(ctx context.Context, table, key string, fill int, week time.Time) error {
	name := partitionOf(table, week)
	var there bool
	if err := s.pool.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL`, name).Scan(&there); err != nil || there {
		return err
	}
	from, to := floorID(week), floorID(week.AddDate(0, 0, 7))
	// Identifiers come from the list above and a date: nothing to quote.
	attach := fmt.Sprintf(`ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM ('%s') TO ('%s')`, table, name, from, to)
	inRange := fmt.Sprintf(`%s >= '%s' AND %[1]s < '%[3]s'`, key, from, to)
	return s.inTransaction(ctx, func(tx pgx.Tx) error {
		if err := lock(ctx, tx, lockKey("partition", name)); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL`, name).Scan(&there); err != nil || there {
			return err
		}
		// Nobody may use the table meanwhile. A statement planned before the
		// move and run after it would look for its rows where they were: one
		// that reads would miss them, one that changes them would change
		// nothing, and new rows would be refused. It does not wait long for a
		// slow reader, since all others would wait behind this lock: it is
		// tried again later.
		_, err := tx.Exec(ctx, `SELECT set_config('lock_timeout', $1, true)`, fmt.Sprint(partitionPatience.Milliseconds()))
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, fmt.Sprintf(`LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE`, table)); err != nil {
			return err
		}
		// With this constraint ATTACH need not read the rows.
		_, err = tx.Exec(ctx, fmt.Sprintf(`CREATE TABLE %s (LIKE %s INCLUDING DEFAULTS, CONSTRAINT %[1]s_range CHECK (%[3]s)) WITH (fillfactor = %d)`, name, table, inRange, fill))
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, fmt.Sprintf(`WITH moved AS (DELETE FROM %s_default WHERE %s RETURNING *) INSERT INTO %s SELECT * FROM moved`, table, inRange, name))
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, attach)
		return err
	})
}
