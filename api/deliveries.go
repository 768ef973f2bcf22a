package api

import (
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/store"
)

// deliveryJSON is an event on its way to an endpoint.
type deliveryJSON struct {
	ID        uuid.UUID            `json:"id"` // the event's, and the header webhook-id
	Type      call.EventType       `json:"type"`
	CallID    *uuid.UUID           `json:"call_id"`
	Status    store.DeliveryStatus `json:"status"`
	Attempts  int                  `json:"attempts"`
	CreatedAt moment               `json:"created_at"`
	NextAt    moment               `json:"next_at"`
	DoneAt    moment               `json:"done_at"`
	Attempt   *deliveryAttemptJSON `json:"attempt"` // the last one
}

type deliveryAttemptJSON struct {
	At         moment  `json:"at"`
	DurationMS int64   `json:"duration_ms"`
	Status     *int    `json:"status"` // null where no answer came
	Body       *string `json:"body"`   // the answer's beginning
	Error      *string `json:"error"`
}

func renderDelivery(d store.Delivery) deliveryJSON {
	out := deliveryJSON{
		ID: d.EventID, Type: d.Type, Status: d.Status, Attempts: d.Attempts, CreatedAt: moment(d.CreatedAt), NextAt: moment(d.NextAt), DoneAt: moment(d.DoneAt),
	}
	if d.CallID != uuid.Nil {
		out.CallID = &d.CallID
	}
	if a := d.Attempt; !a.At.IsZero() {
		out.Attempt = &deliveryAttemptJSON{At: moment(a.At), DurationMS: a.Duration.Milliseconds(), Body: orNull(a.Body), Error: orNull(a.Error)}
		if a.Status != 0 {
			out.Attempt.Status = &a.Status
		}
	}
	return out
}

// listDeliveries is GET /v1/webhooks/{webhook_id}/deliveries.
func (s *server) listDeliveries(w http.ResponseWriter, r *http.Request, p Backend) error {
	id, err := pathUUID(r, "webhook_id")
	if err != nil {
		return err
	}
	q := queryOf(r)
	f := store.DeliveryFilter{AppID: p.AppID, WebhookID: id, Status: chosen(q, "status", store.DeliveryStatuses), Limit: q.limit()}
	if cursor := q.cursor(); cursor != nil {
		if f.Before, err = uuid.FromBytes(cursor); err != nil {
			q.fail("cursor", "is not one that this service gave")
		}
	}
	if err := q.done(); err != nil {
		return err
	}
	page, more, err := s.Store.Deliveries(r.Context(), f)
	if err != nil {
		return err
	}
	out := listJSON[deliveryJSON]{Data: make([]deliveryJSON, len(page))}
	for i, d := range page {
		out.Data[i] = renderDelivery(d)
	}
	if more {
		out.NextCursor = cursorOf(page[len(page)-1].EventID[:])
	}
	return write(w, http.StatusOK, out)
}

// redeliver is POST /v1/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver.
func (s *server) redeliver(w http.ResponseWriter, r *http.Request, p Backend) error {
	id, err := pathUUID(r, "webhook_id")
	if err != nil {
		return err
	}
	event, err := pathUUID(r, "delivery_id")
	if err != nil {
		return err
	}
	if err := noBody(w, r); err != nil {
		return err
	}
	d, err := s.Store.Redeliver(r.Context(), p.AppID, id, event)
	if err != nil {
		return err
	}
	return write(w, http.StatusAccepted, renderDelivery(d))
}

// testWebhook is POST /v1/webhooks/{webhook_id}/test.
func (s *server) testWebhook(w http.ResponseWriter, r *http.Request, p Backend) error {
	id, err := pathUUID(r, "webhook_id")
	if err != nil {
		return err
	}
	if err := noBody(w, r); err != nil {
		return err
	}
	d, err := s.Store.TestWebhook(r.Context(), p.AppID, id)
	if err != nil {
		return err
	}
	return write(w, http.StatusAccepted, renderDelivery(d))
}

// replayWebhook is POST /v1/webhooks/{webhook_id}/replay.
func (s *server) replayWebhook(w http.ResponseWriter, r *http.Request, p Backend) error {
	id, err := pathUUID(r, "webhook_id")
	if err != nil {
		return err
	}
	body, err := bodyOf(w, r)
	if err != nil {
		return err
	}
	f, err := decode(body)
	if err != nil {
		return err
	}
	from := f.moment("from")
	if err := f.done(); err != nil {
		return err
	}
	if _, err := s.Store.ReplayWebhook(r.Context(), p.AppID, id, from); err != nil {
		return err
	}
	return write(w, http.StatusAccepted, struct {
		From moment `json:"from"`
	}{moment(from.Truncate(time.Millisecond))})
}
