package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// Postgres chooses a plan by statistics, which autovacuum gathers a minute or
// more after a table has filled. Without any it takes a partial index for a tiny
// one (DEFAULT_UNK_SEL: IS NULL holds for one row in 200), reads all of an app's
// devices to find one, and slows down with each row. A fresh database meets
// that, and so does each new week's partition. So this process has a table
// analyzed as soon as it has doubled, while it is small; ANALYZE also makes
// every session plan its statements anew.

// analyzeEvery is the time between two looks at the sizes of the tables.
const analyzeEvery = time.Second

// analyzePages is the size, in pages of 8 KiB, beyond which autovacuum is left
// alone with a table: it is large enough to be planned for by its size.
const analyzePages = 20000

// analyze has the tables analyzed that have grown to twice what they had when
// they were analyzed last. One process at a time does a table, and the others pass it over.
func (s *Store) analyze(ctx context.Context) error {
	rows, err := s.pool.Query(ctx, `SELECT c.oid::regclass::text FROM pg_class c
		WHERE c.relnamespace = to_regnamespace(current_schema()) AND c.relkind = 'r'
		  AND pg_has_role(c.relowner, 'USAGE') -- ANALYZE passes over others' tables
		  AND pg_relation_size(c.oid) / current_setting('block_size')::bigint BETWEEN 2 * greatest(c.relpages, 0) + 1 AND $1`, analyzePages)
	if err != nil {
		return translate(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return translate(err)
	}
	for _, table := range tables { // each by itself: its lock stands in the way of a new partition
		err := s.inTransaction(ctx, func(tx pgx.Tx) error {
			var mine bool
			if err := tx.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock($1)`, lockKey("analyze", table)).Scan(&mine); err != nil || !mine {
				return err
			}
			_, err := tx.Exec(ctx, `ANALYZE `+table) // a regclass is quoted where it must be
			return err
		})
		if err != nil {
			return translate(err)
		}
	}
	return nil
}
