package store

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/pushwake/relay/call"
)

// OwnedWebhook is an enabled endpoint that this process delivers to.
type OwnedWebhook struct {
	Webhook
	Secret       []byte
	OldSecret    []byte    // nil where there is none
	OldSecretEnd time.Time // until when it signs too
	Cursor       Cursor    // its place in the log
	Version      int64     // changes with what its process must hear of
	Unsealed     error     // why its secrets cannot be used; ErrWrongMasterKey, ErrNoMasterKey
}

// claimed bounds how many endpoints a process takes over at a time, so that
// several that start together share them.
const claimed = 50

// ClaimWebhooks takes over endpoints that no living process delivers to, and
// lists all that this process has.
//
// Errors: ErrUnavailable.
func (s *Store) ClaimWebhooks(ctx context.Context) ([]OwnedWebhook, error) {
	_, err := s.pool.Exec(ctx, `UPDATE webhooks w SET process = $1
		FROM (SELECT app_id, id FROM webhooks w
			WHERE w.status = 'enabled' AND NOT EXISTS (SELECT FROM processes p WHERE p.id = w.process AND p.beat_at >= clock_timestamp() - $2::interval)
			LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED) orphan
		WHERE w.app_id = orphan.app_id AND w.id = orphan.id`, s.process, s.config.SilentAfter, claimed)
	if err != nil {
		return nil, translate(err)
	}
	rows, err := s.pool.Query(ctx, ownedColumns+`WHERE w.process = $1 AND w.status = 'enabled'`, s.process)
	if err != nil {
		return nil, translate(err)
	}
	all, err := pgx.CollectRows(rows, s.scanOwned)
	return all, translate(err)
}

// OwnWebhook reads an endpoint of this process. Errors: ErrNotFound where it is
// another's, disabled or deleted; ErrUnavailable.
func (s *Store) OwnWebhook(ctx context.Context, appID string, id uuid.UUID) (OwnedWebhook, error) {
	rows, err := s.pool.Query(ctx, ownedColumns+`WHERE w.app_id = $1 AND w.id = $2 AND w.process = $3 AND w.status = 'enabled'`, appID, id, s.process)
	if err != nil {
		return OwnedWebhook{}, translate(err)
	}
	return one(pgx.CollectExactlyOneRow(rows, s.scanOwned))
}

const ownedColumns = `SELECT ` + webhookColumns + `, w.secret, w.old_secret, w.old_secret_end, w.log_cursor, w.version FROM webhooks w `

func (s *Store) scanOwned(row pgx.CollectableRow) (w OwnedWebhook, err error) {
	var secret, old []byte
	var cursor string
	if err = row.Scan(append(w.targets(), &secret, &old, when{&w.OldSecretEnd}, &cursor, &w.Version)...); err != nil {
		return w, err
	}
	w.Unsealed = s.openSecrets(&w, secret, old)
	w.Cursor, err = ParseCursor(cursor)
	return w, err
}

// PendingDeliveries reads all that waits for an endpoint, the oldest events first.
// Errors: ErrUnavailable.
func (s *Store) PendingDeliveries(ctx context.Context, appID string, id uuid.UUID) ([]Delivery, error) {
	rows, err := s.pool.Query(ctx, `SELECT `+deliveryTable.columns+` FROM webhook_deliveries d
		WHERE d.app_id = $1 AND d.webhook_id = $2 AND d.status = 'pending' ORDER BY d.event_id`, appID, id)
	if err != nil {
		return nil, translate(err)
	}
	all, err := pgx.CollectRows(rows, scanDelivery)
	return all, translate(err)
}

// TakeEvents makes a page of the log, which was read from an endpoint's place, into
// deliveries, and moves its place behind the page.
//
// Errors: ErrNotFound where the endpoint is no longer this process's, or its place
// was moved; ErrUnavailable.
func (s *Store) TakeEvents(ctx context.Context, w *OwnedWebhook, page EventPage) ([]Delivery, error) {
	now := s.Now()
	rows := make([]Delivery, len(page.Events))
	for i, e := range page.Events {
		rows[i] = Delivery{
			AppID: w.AppID, WebhookID: w.ID, EventID: e.ID, Type: e.Type, CallID: e.CallID, CallSeq: e.CallSeq, Status: DeliveryPending, CreatedAt: now, NextAt: now,
		}
	}
	err := s.inTransaction(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE webhooks SET log_cursor = $4
			WHERE app_id = $1 AND id = $2 AND process = $3 AND status = 'enabled' AND log_cursor = $5`, w.AppID, w.ID, s.process, page.Cursor.String(), w.Cursor.String())
		if err == nil && tag.RowsAffected() == 0 {
			err = ErrNotFound
		}
		if err != nil || len(rows) == 0 {
			return err
		}
		b := &pgx.Batch{}
		deliveryTable.insert(b, rows)
		return tx.SendBatch(ctx, b).Close()
	})
	if err == nil {
		w.Cursor = page.Cursor
	}
	return rows, translate(err)
}

// FinishDeliveries records what attempts came to. gone says that the endpoint
// answered that it is there no more. The endpoint is disabled for that, and where
// no attempt has succeeded for FailingFor; disabled says so.
//
// Errors: ErrNotFound where the endpoint is no longer this process's;
// ErrUnavailable.
func (s *Store) FinishDeliveries(ctx context.Context, appID string, id uuid.UUID, done []Delivery, gone bool) (disabled bool, err error) {
	told := false
	err = s.inTransaction(ctx, func(tx pgx.Tx) error {
		disabled, told = false, false
		var w Webhook
		var recovering bool
		var now time.Time
		err := tx.QueryRow(ctx, `SELECT `+webhookColumns+`, w.recovering, clock_timestamp() FROM webhooks w
			WHERE w.app_id = $1 AND w.id = $2 AND w.process = $3 AND w.status = 'enabled' FOR NO KEY UPDATE`, appID, id, s.process).
			Scan(append(w.targets(), &recovering, &now)...)
		if err != nil {
			return err
		}
		b := &pgx.Batch{}
		for i := range done {
			a := &done[i].Attempt
			a.Body, a.Error = storable(a.Body), storable(a.Error)
		}
		deliveryTable.update(b, done)
		if err := tx.SendBatch(ctx, b).Close(); err != nil {
			return err
		}
		since := w.FailingSince
		switch {
		case slices.ContainsFunc(done, func(d Delivery) bool { return d.Status == DeliveryDelivered }):
			w.FailingSince = time.Time{}
			if recovering || !since.IsZero() && now.Sub(since) >= tellRecovered {
				recovering, told = false, true
				if err := tellOfWebhook(ctx, tx, call.EventWebhookRecovered, &w, now); err != nil {
					return err
				}
			}
		case since.IsZero():
			w.FailingSince = now
		}
		if !w.FailingSince.Equal(since) || told {
			_, err := tx.Exec(ctx, `UPDATE webhooks SET failing_since = $3, recovering = $4 WHERE app_id = $1 AND id = $2`, appID, id, orNull(w.FailingSince), recovering)
			if err != nil {
				return err
			}
		}
		reason := DisabledGone
		if !gone {
			if w.FailingSince.IsZero() || now.Sub(w.FailingSince) < FailingFor {
				return nil
			}
			reason = DisabledFailing
		}
		disabled, told = true, true
		return s.disableWebhook(ctx, tx, &w, reason)
	})
	if err == nil && told {
		s.tail.committed()
	}
	return one(disabled, err)
}

// DeliveryEvents reads the events of deliveries, by their ids. Of an event that
// retention has dropped there is none.
//
// Errors: ErrUnavailable.
func (s *Store) DeliveryEvents(ctx context.Context, appID string, deliveries []Delivery) (map[uuid.UUID]LoggedEvent, error) {
	found := map[uuid.UUID]LoggedEvent{}
	var calls, ids, others []uuid.UUID
	for _, d := range deliveries {
		switch {
		case d.data != nil:
			found[d.EventID] = d.event()
		case d.CallID != uuid.Nil:
			calls, ids = append(calls, d.CallID), append(ids, d.EventID)
		default:
			others = append(others, d.EventID)
		}
	}
	if len(ids)+len(others) == 0 {
		return found, nil
	}
	low, high := span(slices.Concat(ids, others))
	var page EventPage
	read := func(rows pgx.Rows) error {
		var row eventRow
		_, err := pgx.ForEachRow(rows, row.targets(), func() error {
			e, err := row.event(0)
			page.Events = append(page.Events, e)
			return err
		})
		return err
	}
	err := s.readTogether(ctx, func(b *pgx.Batch) {
		const columns = `SELECT e.app_id, e.id, e.type, e.at, e.call_id, coalesce(e.call_seq, 0), e.leg_id, e.xid::text::bigint, e.seq, e.data `
		b.Queue(columns+`FROM unnest($2::uuid[], $3::uuid[]) AS wanted (call_id, id) CROSS JOIN LATERAL (
				SELECT e.* FROM events e WHERE e.app_id = $1 AND e.call_id = wanted.call_id AND e.id = wanted.id AND e.id BETWEEN $4 AND $5 OFFSET 0) e`,
			appID, calls, ids, low, high).Query(read)
		b.Queue(columns+`FROM unnest($2::uuid[]) AS wanted (id) CROSS JOIN LATERAL (
				SELECT e.* FROM events e WHERE e.app_id = $1 AND e.call_id IS NULL AND e.id = wanted.id AND e.id BETWEEN $3 AND $4 OFFSET 0) e`,
			appID, others, low, high).Query(read)
	})
	if err != nil {
		return nil, err
	}
	if err := s.completeEvents(ctx, &page); err != nil {
		return nil, err
	}
	for _, e := range page.Events {
		found[e.ID] = e
	}
	return found, nil
}

// LiveAmong tells which of an app's calls are alive. Errors: ErrUnavailable.
func (s *Store) LiveAmong(ctx context.Context, appID string, ids []uuid.UUID) (map[uuid.UUID]bool, error) {
	live := map[uuid.UUID]bool{}
	if len(ids) == 0 {
		return live, nil
	}
	low, high := span(ids)
	err := s.readTogether(ctx, func(b *pgx.Batch) {
		b.Queue(`SELECT c.id FROM `+callsOf("ARRAY[$1]", "$2", "$3", "$4")+` WHERE c.status <> 'ended'`, appID, ids, low, high).Query(func(rows pgx.Rows) error {
			var id uuid.UUID
			_, err := pgx.ForEachRow(rows, []any{&id}, func() error { live[id] = true; return nil })
			return err
		})
	})
	return live, err
}
