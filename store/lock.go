package store

import (
	"context"
	"hash/fnv"
	"slices"

	"github.com/jackc/pgx/v5"
)

// lockKey is the number of a thing's advisory lock. Where two things have the
// same number by chance, they only wait for each other.
func lockKey(kind string, parts ...string) int64 {
	h := fnv.New64a()
	h.Write([]byte(kind))
	for _, p := range parts {
		h.Write([]byte{0})
		h.Write([]byte(p))
	}
	return int64(h.Sum64())
}

// queueLocks takes advisory locks in the same order in every transaction, so
// that there is no deadlock, and before anything gives the transaction an id,
// so that (xid, seq) sorts the events of one call as they happened.
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
