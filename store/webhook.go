package store

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/pushwake/relay/call"
)

// WebhookStatus says whether events are delivered to an endpoint.
type WebhookStatus string

const (
	WebhookEnabled  WebhookStatus = "enabled"
	WebhookDisabled WebhookStatus = "disabled"
)

// WebhookStatuses lists them.
var WebhookStatuses = []WebhookStatus{WebhookEnabled, WebhookDisabled}

// DisabledReason says why relay disabled an endpoint.
type DisabledReason string

const (
	DisabledGone    DisabledReason = "gone"    // it answered 410
	DisabledFailing DisabledReason = "failing" // no request succeeded for FailingFor
)

// DisabledReasons lists them.
var DisabledReasons = []DisabledReason{DisabledGone, DisabledFailing}

// FailingFor is how long an endpoint may fail before it is disabled.
const FailingFor = 3 * 24 * time.Hour

// tellRecovered is how long an endpoint must have failed for its recovery to be
// an event.
const tellRecovered = 5 * time.Minute

// MaxWebhooks is how many endpoints an app may have.
const MaxWebhooks = 20

// Webhook is an endpoint to which an app's events are delivered.
type Webhook struct {
	AppID          string
	ID             uuid.UUID
	URL            string
	Types          []call.EventType // nil for all
	Description    string
	Status         WebhookStatus
	DisabledReason DisabledReason // "" where its owner disabled it, or nobody
	DisabledAt     time.Time
	FailingSince   time.Time // no request has succeeded since; zero while all is well
	CreatedAt      time.Time
	UpdatedAt      time.Time
}

// Wants reports whether an endpoint gets events of a type.
func (w *Webhook) Wants(t call.EventType) bool { return w.Types == nil || slices.Contains(w.Types, t) }

// webhookColumns are what scanWebhook reads.
const webhookColumns = `w.app_id, w.id, w.url, w.types, w.description, w.status, coalesce(w.disabled_reason, ''), w.disabled_at, w.failing_since, w.created_at, w.updated_at`

func (w *Webhook) targets() []any {
	return []any{
		&w.AppID, &w.ID, &w.URL, &w.Types, &w.Description, &w.Status, &w.DisabledReason, when{&w.DisabledAt}, when{&w.FailingSince},
		when{&w.CreatedAt}, when{&w.UpdatedAt},
	}
}

func scanWebhook(row pgx.CollectableRow) (Webhook, error) {
	var w Webhook
	err := row.Scan(w.targets()...)
	return w, err
}

// one turns the absence of a row into ErrNotFound.
func one[T any](v T, err error) (T, error) {
	if errors.Is(err, pgx.ErrNoRows) {
		err = ErrNotFound
	}
	return v, translate(err)
}

// CreateWebhook makes an endpoint, which gets the events that are committed from
// now on, and perhaps some that were committed a moment ago. It fills in the id,
// the status and the times, and returns the secret's text, which is shown once.
//
// Errors: ErrNotFound for an unknown app, ErrTooManyHooks, ErrNoMasterKey,
// ErrUnavailable.
func (s *Store) CreateWebhook(ctx context.Context, w Webhook) (Webhook, string, error) {
	w.ID, w.Status = newID(s.Now()), WebhookEnabled
	sealed, text, err := s.newSecret(w.AppID, w.ID)
	if err != nil {
		return w, "", err
	}
	end, err := s.EndOfLog(ctx)
	if err != nil {
		return w, "", err
	}
	err = s.inTransaction(ctx, func(tx pgx.Tx) error {
		// The lock in a statement of its own: the count must be of a later snapshot.
		tag, err := tx.Exec(ctx, `SELECT FROM apps WHERE id = $1 FOR NO KEY UPDATE`, w.AppID)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return ErrNotFound
		}
		var n int
		if err := tx.QueryRow(ctx, `SELECT count(*) FROM webhooks WHERE app_id = $1`, w.AppID).Scan(&n); err != nil {
			return err
		}
		if n >= MaxWebhooks {
			return ErrTooManyHooks
		}
		return tx.QueryRow(ctx, `INSERT INTO webhooks (app_id, id, url, types, description, status, secret, log_cursor, created_at, updated_at)
			SELECT $1, $2, $3, $4, $5, $6, $7, $8, now, now FROM clock_timestamp() AS now RETURNING created_at, updated_at`,
			w.AppID, w.ID, w.URL, w.Types, w.Description, w.Status, sealed, end.String()).Scan(when{&w.CreatedAt}, when{&w.UpdatedAt})
	})
	return w, text, translate(err)
}

// Webhooks lists an app's endpoints, newest first. Errors: ErrUnavailable.
func (s *Store) Webhooks(ctx context.Context, appID string) ([]Webhook, error) {
	rows, err := s.pool.Query(ctx, `SELECT `+webhookColumns+` FROM webhooks w WHERE w.app_id = $1 ORDER BY w.id DESC`, appID)
	if err != nil {
		return nil, translate(err)
	}
	all, err := pgx.CollectRows(rows, scanWebhook)
	return all, translate(err)
}

// Webhook reads one endpoint. Errors: ErrNotFound, ErrUnavailable.
func (s *Store) Webhook(ctx context.Context, appID string, id uuid.UUID) (Webhook, error) {
	rows, err := s.pool.Query(ctx, `SELECT `+webhookColumns+` FROM webhooks w WHERE w.app_id = $1 AND w.id = $2`, appID, id)
	if err != nil {
		return Webhook{}, translate(err)
	}
	return one(pgx.CollectExactlyOneRow(rows, scanWebhook))
}

// WebhookChange is what is to be changed of an endpoint; nil leaves it.
type WebhookChange struct {
	URL         *string
	Types       *[]call.EventType // of nil for all
	Description *string
	Status      *WebhookStatus
}

// ChangeWebhook changes an endpoint. Its process hears of it within half a second.
// Disabling gives up what waits to be delivered; enabling begins with the events
// that are committed from then on.
//
// Errors: ErrNotFound, ErrUnavailable.
func (s *Store) ChangeWebhook(ctx context.Context, appID string, id uuid.UUID, change WebhookChange) (Webhook, error) {
	end, err := s.EndOfLog(ctx)
	if err != nil {
		return Webhook{}, err
	}
	var w Webhook
	err = s.inTransaction(ctx, func(tx pgx.Tx) error {
		if w, err = lockWebhook(ctx, tx, appID, id); err != nil {
			return err
		}
		if change.URL != nil {
			w.URL = *change.URL
		}
		if change.Types != nil {
			w.Types = *change.Types
		}
		if change.Description != nil {
			w.Description = *change.Description
		}
		enables := change.Status != nil && *change.Status == WebhookEnabled && w.Status == WebhookDisabled
		if enables {
			w.Status, w.DisabledReason, w.DisabledAt, w.FailingSince = WebhookEnabled, "", time.Time{}, time.Time{}
		}
		err := tx.QueryRow(ctx, `UPDATE webhooks w SET url = $3, types = $4, description = $5, status = $6, disabled_reason = nullif($7, ''), disabled_at = $8,
				failing_since = $9, log_cursor = CASE WHEN $10 THEN $11 ELSE log_cursor END, version = version + 1, updated_at = clock_timestamp()
			WHERE app_id = $1 AND id = $2 RETURNING updated_at`,
			appID, id, w.URL, w.Types, w.Description, w.Status, w.DisabledReason, orNull(w.DisabledAt), orNull(w.FailingSince), enables, end.String()).Scan(when{&w.UpdatedAt})
		if err == nil && change.Status != nil && *change.Status == WebhookDisabled && w.Status == WebhookEnabled {
			err = s.disableWebhook(ctx, tx, &w, "")
		}
		return err
	})
	return one(w, err)
}

// lockWebhook reads an endpoint's row and locks it.
func lockWebhook(ctx context.Context, tx pgx.Tx, appID string, id uuid.UUID) (Webhook, error) {
	rows, err := tx.Query(ctx, `SELECT `+webhookColumns+` FROM webhooks w WHERE w.app_id = $1 AND w.id = $2 FOR NO KEY UPDATE`, appID, id)
	if err != nil {
		return Webhook{}, err
	}
	return pgx.CollectExactlyOneRow(rows, scanWebhook)
}

// disableWebhook disables an endpoint whose row is locked, gives up what waits
// for it, and tells of it where there is a reason. tail.committed must follow.
func (s *Store) disableWebhook(ctx context.Context, tx pgx.Tx, w *Webhook, reason DisabledReason) error {
	w.Status, w.DisabledReason = WebhookDisabled, reason
	err := tx.QueryRow(ctx, `UPDATE webhooks w SET status = $3, disabled_reason = nullif($4, ''), disabled_at = clock_timestamp(), process = NULL,
			recovering = recovering OR $4 <> '', version = version + 1
		WHERE app_id = $1 AND id = $2 RETURNING disabled_at`, w.AppID, w.ID, w.Status, reason).Scan(when{&w.DisabledAt})
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE webhook_deliveries d SET status = 'failed', error = 'the webhook was disabled', next_at = NULL, done_at = $3
		WHERE app_id = $1 AND webhook_id = $2 AND status = 'pending'`, w.AppID, w.ID, w.DisabledAt)
	if err != nil || reason == "" {
		return err
	}
	return tellOfWebhook(ctx, tx, call.EventWebhookDisabled, w, w.DisabledAt)
}

// webhookRecord is an endpoint in its events.
type webhookRecord struct {
	ID             uuid.UUID      `json:"id"`
	URL            string         `json:"url"`
	Description    string         `json:"description"`
	Status         WebhookStatus  `json:"status"`
	DisabledReason DisabledReason `json:"disabled_reason,omitempty"`
}

func recordWebhook(w *Webhook) json.RawMessage {
	data, _ := json.Marshal(webhookRecord{w.ID, w.URL, w.Description, w.Status, w.DisabledReason}) // texts cannot fail
	return data
}

// tellOfWebhook writes an event about an endpoint.
func tellOfWebhook(ctx context.Context, tx pgx.Tx, t call.EventType, w *Webhook, at time.Time) error {
	_, err := tx.Exec(ctx, `INSERT INTO events (app_id, id, type, at, data) VALUES ($1, $2, $3, $4, $5)`, w.AppID, newID(at), t, at, recordWebhook(w))
	return err
}

// DeleteWebhook deletes an endpoint; what was not delivered never will be.
// Errors: ErrNotFound, ErrUnavailable.
func (s *Store) DeleteWebhook(ctx context.Context, appID string, id uuid.UUID) error {
	tag, err := s.pool.Exec(ctx, `DELETE FROM webhooks WHERE app_id = $1 AND id = $2`, appID, id)
	if err == nil && tag.RowsAffected() == 0 {
		return ErrNotFound
	}
	return translate(err)
}
