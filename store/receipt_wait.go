package store

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// wait keeps receipts of attempts that may still be recorded. Those of older
// attempts are dropped: the app never made one of that id.
func (s *Store) wait(ctx context.Context, appID string, receipts []Receipt) error {
	now := s.Now()
	early := slices.DeleteFunc(slices.Clone(receipts), func(r Receipt) bool {
		age := now.Sub(timeOf(r.Attempt))
		return age > receiptPatience || age < -receiptPatience
	})
	for _, r := range receipts {
		if !slices.ContainsFunc(early, func(e Receipt) bool { return e.key() == r.key() }) {
			s.metrics.receipts.WithLabelValues(string(r.Action), "unknown").Inc()
		}
	}
	if len(early) == 0 {
		return nil
	}
	_, err := s.pool.Exec(ctx, `INSERT INTO receipts_waiting (app_id, attempt_id, result, signed, action, token, told_at, received_at, request_id)
		SELECT $1, q.attempt_id, q.result, q.signed, q.action, q.token, q.told_at, clock_timestamp(), nullif(q.request_id, '')
		FROM unnest($2::uuid[], $3::bigint[], $4::boolean[], $5::text[], $6::text[], $7::timestamptz[], $8::text[]) AS q (attempt_id, result, signed, action, token, told_at, request_id)
		WHERE q.signed OR (SELECT count(*) FROM (SELECT FROM receipts_waiting w WHERE w.app_id = $1 AND NOT w.signed LIMIT $9) w) < $9
		ON CONFLICT DO NOTHING`,
		appID, column(early, func(r *Receipt) uuid.UUID { return r.Attempt }), column(early, func(r *Receipt) int64 { return r.Result }),
		column(early, func(r *Receipt) bool { return r.Signed }), column(early, func(r *Receipt) string { return string(r.Action) }),
		column(early, func(r *Receipt) string { return r.Token }), column(early, func(r *Receipt) time.Time { return r.ToldAt }),
		column(early, func(r *Receipt) string { return r.RequestID }), mostWaiting)
	return translate(err)
}

// sweepReceipts takes the receipts whose attempts have been recorded meanwhile,
// and drops those that have waited for too long. Any number of processes may do
// it at once: a receipt has its effect once, under its call's lock.
func (s *Store) sweepReceipts(ctx context.Context) error {
	rows, err := s.pool.Query(ctx, `SELECT app_id, attempt_id, result, signed, action, token, told_at, coalesce(request_id, ''),
			received_at < now() - $1::interval
		FROM receipts_waiting ORDER BY signed DESC, received_at LIMIT $2`, receiptPatience, sweepMost)
	if err != nil {
		return translate(err)
	}
	var apps []string
	var waiting []Receipt
	var late []receiptKey
	var lateApps []string
	var app string
	var r Receipt
	var old bool
	_, err = pgx.ForEachRow(rows, []any{&app, &r.Attempt, &r.Result, &r.Signed, &r.Action, &r.Token, when{&r.ToldAt}, &r.RequestID, &old}, func() error {
		apps, waiting = append(apps, app), append(waiting, r)
		if old {
			lateApps, late = append(lateApps, app), append(late, r.key())
		}
		return nil
	})
	if err != nil || len(waiting) == 0 {
		return translate(err)
	}
	found, err := s.attemptsOf(ctx, apps, waiting)
	if err != nil {
		return err
	}
	for i := range found {
		found[i].waiting = true
	}
	if err := s.receive(ctx, found); err != nil || len(late) == 0 {
		return err
	}
	_, err = s.pool.Exec(ctx, deleteWaiting, lateApps, column(late, func(k *receiptKey) uuid.UUID { return k.attempt }), column(late, func(k *receiptKey) int64 { return k.result }))
	return translate(err)
}

const deleteWaiting = `DELETE FROM receipts_waiting w USING unnest($1::text[], $2::uuid[], $3::bigint[]) AS q (app_id, attempt_id, result)
	WHERE w.app_id = q.app_id AND w.attempt_id = q.attempt_id AND w.result = q.result`

// queueArrived removes receipts from those that wait, with the step that they
// had been waiting for.
func (w *writes) queueArrived(b *pgx.Batch) {
	if len(w.arrived) > 0 {
		b.Queue(deleteWaiting, column(w.arrived, func(f *foundReceipt) string { return f.appID }),
			column(w.arrived, func(f *foundReceipt) uuid.UUID { return f.Attempt }), column(w.arrived, func(f *foundReceipt) int64 { return f.Result }))
	}
}
