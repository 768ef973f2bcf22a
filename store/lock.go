package store

import (
	"context"
	"hash/fnv"
	"slices"

	"github.com/jackc/pgx/v5"
)

// lockKey names a thing for a transaction's advisory lock. Two things that
// share a key by chance only wait for each other.
func lockKey(kind string, parts ...string) int64 {
	h := fnv.New64a()
	h.Write([]byte(kind))
	for _, p := range parts {
		h.Write([]byte{0})
		h.Write([]byte(p))
	}
	return int64(h.Sum64())
}

// queueLocks takes advisory locks in one order for everybody, so that no two
// transactions wait for each other, and before anything gives the transaction
// an id, so that events of one call sort by (xid, seq) as they happened.
func queueLocks(b *pgx.Batch, keys []int64) {
	slices.Sort(keys)
	b.Queue(`SELECT pg_advisory_xact_lock(k) FROM unnest($1::bigint[]) AS k`, slices.Compact(keys))
}

// lock is queueLocks for a transaction that has nothing else to send yet.
func lock(ctx context.Context, tx pgx.Tx, keys ...int64) error {
	b := &pgx.Batch{}
	queueLocks(b, keys)
	return tx.SendBatch(ctx, b).Close()
}
