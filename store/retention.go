package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

const day = 24 * time.Hour

// How much one transaction of sweepRetention deletes, so that it is short: a
// long one would hold back the readers of the log.
const (
	callsAtOnce  = 500
	eventsAtOnce = 5000
)

// sweepRetention deletes the calls and events that their apps no longer keep: a
// week at a time, once the whole week is older than the app's retention. Where
// no app keeps anything of the week, its partitions are dropped; otherwise the
// rows of the apps that do not are deleted. One process at a time does it.
func (s *Store) sweepRetention(ctx context.Context, now time.Time) error {
	apps, err := s.Apps(ctx)
	if err != nil {
		return err
	}
	shortest := time.Duration(0)
	for _, a := range apps {
		if r := a.Policy.Retention; r > 0 && (shortest == 0 || r < shortest) {
			shortest = r
		}
	}
	if shortest == 0 {
		return nil
	}
	weeks, err := s.weeks(ctx)
	if err != nil {
		return err
	}
	for _, w := range weeks {
		end := w.begin.AddDate(0, 0, 7)
		if end.After(now.Add(-shortest)) {
			return nil // the weeks come in order
		}
		var expired, kept []string
		for _, a := range apps {
			if r := a.Policy.Retention; r > 0 && !end.After(now.Add(-r)) {
				expired = append(expired, a.ID)
			} else {
				kept = append(kept, a.ID)
			}
		}
		if err := s.expire(ctx, w, expired, kept); err != nil {
			return fmt.Errorf("the week of %s: %w", w.begin.Format(time.DateOnly), translate(err))
		}
	}
	return nil
}

// keptWeek is a week with the partitions that it has.
type keptWeek struct {
	begin      time.Time
	partitions map[string]string // by table
}

// partitionOf is the name of a table's partition for a week.
func partitionOf(table string, week time.Time) string {
	return table + "_" + week.Format("20060102")
}

// weeks lists the weeks that have partitions, the oldest first.
func (s *Store) weeks(ctx context.Context) ([]keptWeek, error) {
	tables := make([]string, len(partitioned))
	for i, p := range partitioned {
		tables[i] = p.table
	}
	rows, err := s.pool.Query(ctx, `SELECT c.relname::text, i.inhparent::regclass::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
		WHERE i.inhparent = ANY (ARRAY(SELECT t::regclass FROM unnest($1::text[]) AS t)) AND c.relname !~ '_default$'`, tables)
	if err != nil {
		return nil, translate(err)
	}
	byWeek := map[string]keptWeek{}
	var name, table string
	_, err = pgx.ForEachRow(rows, []any{&name, &table}, func() error {
		text := strings.TrimPrefix(name, table+"_")
		begin, err := time.Parse("20060102", text)
		if err != nil {
			return fmt.Errorf("partition %s: %w", name, err)
		}
		if _, there := byWeek[text]; !there {
			byWeek[text] = keptWeek{begin, map[string]string{}}
		}
		byWeek[text].partitions[table] = name
		return nil
	})
	weeks := slices.Collect(maps.Values(byWeek))
	slices.SortFunc(weeks, func(a, b keptWeek) int { return a.begin.Compare(b.begin) })
	return weeks, translate(err)
}

// expire deletes what the expired apps have of a week.
func (s *Store) expire(ctx context.Context, w keptWeek, expired, kept []string) error {
	needed, err := s.anyOf(ctx, w, kept)
	if err != nil {
		return err
	}
	if !needed {
		if err := s.dropWeek(ctx, w); err != nil {
			return err
		}
		s.log.Info("week dropped", "week", w.begin.Format(time.DateOnly))
		return nil
	}
	for _, app := range expired {
		for n := callsAtOnce; n == callsAtOnce; {
			if n, err = s.deleteCalls(ctx, w, app); err != nil {
				return err
			}
		}
		for n := eventsAtOnce; n == eventsAtOnce; {
			if n, err = s.deleteEvents(ctx, w, app); err != nil {
				return err
			}
		}
	}
	return nil
}

// anyOf reports whether apps have calls or events of a week.
func (s *Store) anyOf(ctx context.Context, w keptWeek, apps []string) (there bool, err error) {
	for _, table := range []string{"calls", "events"} {
		name := w.partitions[table]
		if name == "" || there {
			continue
		}
		// By an index, which begins with the app.
		err = s.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM unnest($1::text[]) AS a (id) WHERE EXISTS (SELECT FROM `+name+` r WHERE r.app_id = a.id))`, apps).Scan(&there)
		if err != nil {
			return false, err
		}
	}
	return there, nil
}

// dropWeek drops the partitions of a week. It does not wait long for a slow
// reader, since all others would wait behind it: it is tried again later.
func (s *Store) dropWeek(ctx context.Context, w keptWeek) error {
	return s.inTransaction(ctx, func(tx pgx.Tx) error {
		if err := lock(ctx, tx, lockKey("retention")); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `SELECT set_config('lock_timeout', $1, true)`, fmt.Sprint(partitionPatience.Milliseconds())); err != nil {
			return err
		}
		for _, p := range partitioned { // all locks first, as long as nothing has been done
			if _, err := tx.Exec(ctx, `LOCK TABLE ONLY `+p.table+` IN ACCESS EXCLUSIVE MODE`); err != nil {
				return err
			}
		}
		for _, name := range w.partitions {
			if _, err := tx.Exec(ctx, `DROP TABLE IF EXISTS `+name); err != nil {
				return err
			}
		}
		return nil
	})
}

// deleteCalls deletes some of an app's calls of a week, each with all that
// belongs to it, and returns how many.
func (s *Store) deleteCalls(ctx context.Context, w keptWeek, app string) (n int, err error) {
	if w.partitions["calls"] == "" {
		return 0, nil
	}
	err = s.inTransaction(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT id FROM `+w.partitions["calls"]+` WHERE app_id = $1 LIMIT $2 FOR UPDATE SKIP LOCKED`, app, callsAtOnce)
		if err != nil {
			return err
		}
		ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
		if n = len(ids); n == 0 || err != nil {
			return err
		}
		b := &pgx.Batch{}
		for _, p := range partitioned {
			if name := w.partitions[p.table]; p.ofCalls && name != "" {
				b.Queue(`DELETE FROM `+name+` WHERE app_id = $1 AND `+p.key+` = ANY ($2)`, app, ids)
			}
		}
		return tx.SendBatch(ctx, b).Close()
	})
	return n, err
}

// deleteEvents deletes some of an app's rows of a week that are found by their
// own id, and returns how many at most of a table.
func (s *Store) deleteEvents(ctx context.Context, w keptWeek, app string) (n int, err error) {
	for _, p := range partitioned {
		name := w.partitions[p.table]
		if p.ofCalls || name == "" {
			continue
		}
		tag, err := s.pool.Exec(ctx, `DELETE FROM `+name+` WHERE ctid = ANY (ARRAY(SELECT ctid FROM `+name+` WHERE app_id = $1 LIMIT $2))`, app, eventsAtOnce)
		if err != nil {
			return n, err
		}
		n = max(n, int(tag.RowsAffected()))
	}
	return n, nil
}
