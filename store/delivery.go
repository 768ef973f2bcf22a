package store

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/pushwake/relay/call"
)

// DeliveryStatus says how far the delivery of an event has come.
type DeliveryStatus string

const (
	DeliveryPending   DeliveryStatus = "pending"
	DeliveryDelivered DeliveryStatus = "delivered" // the endpoint took it
	DeliveryFailed    DeliveryStatus = "failed"    // given up
)

// DeliveryStatuses lists them.
var DeliveryStatuses = []DeliveryStatus{DeliveryPending, DeliveryDelivered, DeliveryFailed}

// WebhookTest is the type of a test, which is no event of the log.
const WebhookTest call.EventType = "webhook.test"

// MaxResponseBody is how many bytes of an endpoint's answer are kept.
const MaxResponseBody = 1024

// Delivery is one event on its way to one endpoint, and what came of it.
type Delivery struct {
	AppID     string
	WebhookID uuid.UUID
	EventID   uuid.UUID // names the delivery among those of its endpoint; a test has one of its own
	Type      call.EventType
	CallID    uuid.UUID // zero for what is not of a call
	CallSeq   int
	Status    DeliveryStatus
	Attempts  int // since it was last asked for
	Late      int // pauses of the slow lane so far
	CreatedAt time.Time
	NextAt    time.Time // of the next attempt, while it waits
	Attempt   DeliveryAttempt
	DoneAt    time.Time

	data []byte // of a test
}

// DeliveryAttempt is the last request of a delivery.
type DeliveryAttempt struct {
	At       time.Time // zero where there was none yet
	Duration time.Duration
	Status   int    // HTTP; 0 where no answer came
	Body     string // the answer's beginning, as text
	Error    string // why there was no answer, or why it does not count
}

var deliveryTable = describe("webhook_deliveries", "d", "event_id", `
	-- a replay: what is done begins anew, what waits stays as it is
	ON CONFLICT (app_id, webhook_id, event_id) DO UPDATE
	SET status = excluded.status, attempts = 0, late = 0, next_at = excluded.next_at, done_at = NULL WHERE webhook_deliveries.status <> 'pending'`,
	text("app_id", func(r *Delivery) *string { return &r.AppID }).key(),
	id("webhook_id", func(r *Delivery) *uuid.UUID { return &r.WebhookID }).key(),
	id("event_id", func(r *Delivery) *uuid.UUID { return &r.EventID }).key(),
	text("type", func(r *Delivery) *call.EventType { return &r.Type }),
	idOrZero("call_id", func(r *Delivery) *uuid.UUID { return &r.CallID }),
	integerOrNone("call_seq", func(r *Delivery) *int { return &r.CallSeq }),
	testData(),
	text("status", func(r *Delivery) *DeliveryStatus { return &r.Status }).changes(),
	integer("attempts", func(r *Delivery) *int { return &r.Attempts }).changes(),
	integer("late", func(r *Delivery) *int { return &r.Late }).changes(),
	moment("created_at", func(r *Delivery) *time.Time { return &r.CreatedAt }),
	moment("next_at", func(r *Delivery) *time.Time { return &r.NextAt }).changes(),
	moment("attempted_at", func(r *Delivery) *time.Time { return &r.Attempt.At }).changes(),
	milliseconds("duration_ms", func(r *Delivery) *time.Duration { return &r.Attempt.Duration }).changes(),
	integerOrNone("response_status", func(r *Delivery) *int { return &r.Attempt.Status }).changes(),
	orNone("response_body", func(r *Delivery) *string { return &r.Attempt.Body }).changes(),
	orNone("error", func(r *Delivery) *string { return &r.Attempt.Error }).changes(),
	moment("done_at", func(r *Delivery) *time.Time { return &r.DoneAt }).changes(),
)

// testData is of what a test says of its endpoint.
func testData() field[Delivery] {
	f := asJSON("data", func(r *Delivery) *[]byte { return &r.data })
	f.target = func(r *Delivery) any { return &r.data }
	return f
}

// idOrZero is of an id that may be absent: zero here, null there.
func idOrZero[R any](name string, at func(*R) *uuid.UUID) field[R] {
	f := id(name, at)
	f.value, f.read = "nullif(%s, '00000000-0000-0000-0000-000000000000')", "coalesce(%s, '00000000-0000-0000-0000-000000000000')"
	return f
}

// milliseconds is of a duration, which is null where it is zero.
func milliseconds[R any](name string, at func(*R) *time.Duration) field[R] {
	f := of(name, "integer", at, func(d time.Duration) int32 { return int32(d / time.Millisecond) }, func(d *time.Duration) any { return inMilliseconds{d} })
	f.value, f.read = "nullif(%s, 0)", "coalesce(%s, 0)"
	return f
}

// inMilliseconds reads a number of milliseconds.
type inMilliseconds struct{ d *time.Duration }

func (m inMilliseconds) ScanInt64(v pgtype.Int8) error {
	*m.d = time.Duration(v.Int64) * time.Millisecond
	return nil
}

func scanDelivery(row pgx.CollectableRow) (Delivery, error) {
	var d Delivery
	err := deliveryTable.scan(row, &d)
	return d, err
}

// DeliveryFilter selects deliveries to one endpoint.
type DeliveryFilter struct {
	AppID     string
	WebhookID uuid.UUID
	Status    DeliveryStatus // "" for every one
	Before    uuid.UUID      // the last one of the page before
	Limit     int            // of a page, at least 1
}

// Deliveries reads a page of an endpoint's deliveries, those of the newest events
// first. more says that there is another page.
//
// Errors: ErrNotFound for an unknown endpoint, ErrUnavailable.
func (s *Store) Deliveries(ctx context.Context, f DeliveryFilter) (page []Delivery, more bool, err error) {
	if _, err := s.Webhook(ctx, f.AppID, f.WebhookID); err != nil {
		return nil, false, err
	}
	before, status := uuid.Max, `true`
	if f.Before != uuid.Nil {
		before = f.Before
	}
	if slices.Contains(DeliveryStatuses, f.Status) { // written out, so that its index serves
		status = `d.status = '` + string(f.Status) + `'`
	}
	rows, err := s.pool.Query(ctx, `SELECT `+deliveryTable.columns+` FROM webhook_deliveries d
		WHERE d.app_id = @app AND d.webhook_id = @webhook AND d.event_id < @before AND `+status+`
		ORDER BY d.event_id DESC LIMIT @limit`,
		pgx.NamedArgs{"app": f.AppID, "webhook": f.WebhookID, "before": before, "limit": f.Limit + 1})
	if err != nil {
		return nil, false, translate(err)
	}
	page, err = pgx.CollectRows(rows, scanDelivery)
	if len(page) > f.Limit {
		page, more = page[:f.Limit], true
	}
	return page, more, translate(err)
}

// Delivery reads one. Errors: ErrNotFound, ErrUnavailable.
func (s *Store) Delivery(ctx context.Context, appID string, webhookID, eventID uuid.UUID) (Delivery, error) {
	rows, err := s.pool.Query(ctx, `SELECT `+deliveryTable.columns+` FROM webhook_deliveries d
		WHERE d.app_id = $1 AND d.webhook_id = $2 AND d.event_id = $3`, appID, webhookID, eventID)
	if err != nil {
		return Delivery{}, translate(err)
	}
	return one(pgx.CollectExactlyOneRow(rows, scanDelivery))
}

// Redeliver sends an event to an endpoint once more, whatever became of it. What
// waits for its next attempt need not wait longer.
//
// Errors: ErrNotFound for an unknown endpoint or delivery, ErrHookDisabled,
// ErrUnavailable.
func (s *Store) Redeliver(ctx context.Context, appID string, webhookID, eventID uuid.UUID) (Delivery, error) {
	var d Delivery
	err := s.ask(ctx, appID, webhookID, func(tx pgx.Tx, _ *Webhook) error {
		rows, err := tx.Query(ctx, `UPDATE webhook_deliveries d
			SET status = 'pending', attempts = 0, late = 0, next_at = clock_timestamp(), done_at = NULL
			WHERE d.app_id = $1 AND d.webhook_id = $2 AND d.event_id = $3 RETURNING `+deliveryTable.columns, appID, webhookID, eventID)
		if err != nil {
			return err
		}
		d, err = pgx.CollectExactlyOneRow(rows, scanDelivery)
		return err
	})
	return one(d, err)
}

// TestWebhook sends a test to an endpoint. Errors: ErrNotFound, ErrHookDisabled,
// ErrUnavailable.
func (s *Store) TestWebhook(ctx context.Context, appID string, id uuid.UUID) (Delivery, error) {
	now := s.Now()
	d := Delivery{AppID: appID, WebhookID: id, EventID: newID(now), Type: WebhookTest, Status: DeliveryPending, CreatedAt: now, NextAt: now}
	err := s.ask(ctx, appID, id, func(tx pgx.Tx, w *Webhook) error {
		d.data = recordWebhook(w)
		b := &pgx.Batch{}
		deliveryTable.insert(b, []Delivery{d})
		return tx.SendBatch(ctx, b).Close()
	})
	return one(d, err)
}

// ask does something for the process of an enabled endpoint to hear of.
func (s *Store) ask(ctx context.Context, appID string, id uuid.UUID, do func(pgx.Tx, *Webhook) error) error {
	return s.inTransaction(ctx, func(tx pgx.Tx) error {
		w, err := lockWebhook(ctx, tx, appID, id)
		if err != nil {
			return err
		}
		if w.Status == WebhookDisabled {
			return ErrHookDisabled
		}
		if _, err := tx.Exec(ctx, `UPDATE webhooks SET version = version + 1 WHERE app_id = $1 AND id = $2`, appID, id); err != nil {
			return err
		}
		return do(tx, &w)
	})
}

// ReplayWebhook sends all events since a time to an endpoint once more: its place
// in the log is set back, so what comes now follows after them.
//
// Errors: ErrNotFound, ErrHookDisabled, ErrUnavailable.
func (s *Store) ReplayWebhook(ctx context.Context, appID string, id uuid.UUID, from time.Time) (Webhook, error) {
	at, err := s.EndOfLog(ctx)
	if err == nil && from.Before(s.Now()) {
		at, err = s.cursorAt(ctx, appID, from)
	}
	if err != nil {
		return Webhook{}, err
	}
	var w Webhook
	err = s.ask(ctx, appID, id, func(tx pgx.Tx, locked *Webhook) error {
		w = *locked
		_, err := tx.Exec(ctx, `UPDATE webhooks SET log_cursor = $3 WHERE app_id = $1 AND id = $2`, appID, id, at.String())
		return err
	})
	return one(w, err)
}

// event makes the event of a test.
func (d *Delivery) event() LoggedEvent {
	return LoggedEvent{AppID: d.AppID, ID: d.EventID, Type: d.Type, At: d.CreatedAt, Webhook: d.data}
}
