package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/pushwake/relay/store"
)

// outcome is what one request came to, for metrics and logs.
type outcome string

const (
	delivered   outcome = "delivered"
	refused     outcome = "refused"     // another status than 2xx
	gone        outcome = "gone"        // 410
	unavailable outcome = "unavailable" // no answer
	forbidden   outcome = "forbidden"   // an address that Guard refuses
	dropped     outcome = "dropped"     // the event cannot be told any more
	aborted     outcome = "aborted"     // this process stops; it counts as not made
)

// blame says whose fault an outcome is.
type blame string

const (
	blameNone    blame = "none"
	blameBackend blame = "backend"
	blameUs      blame = "us"
)

// request is what is sent of a delivery, as its endpoint then is.
type request struct {
	url     string
	secrets [][]byte
	event   store.LoggedEvent
}

// result is what one request came to.
type result struct {
	item    *item
	outcome outcome
	blame   blame
	attempt store.DeliveryAttempt
	retry   time.Duration // how long the endpoint asks this delivery to wait
	hold    time.Duration // how long it asks everything to wait
}

// drained is how much of an answer is read so that its connection can be used
// again.
const drained = 16 << 10

// send makes one request.
func (d *Deliverer) send(q request, it *item) result {
	began := time.Now()
	r := result{item: it, attempt: store.DeliveryAttempt{At: d.config.Store.Now()}}
	d.post(q, &r)
	r.attempt.Duration = max(time.Since(began), time.Millisecond)
	if r.outcome == aborted {
		return r
	}
	d.metrics.attempt(r)
	d.config.Logger.Info("delivery", "app_id", it.AppID, "webhook_id", it.WebhookID, "event_id", it.EventID, "type", it.Type, "call_id", it.CallID,
		"attempt", it.Attempts+1, "outcome", r.outcome, "blame", r.blame, "status", r.attempt.Status, "duration", r.attempt.Duration)
	return r
}

func (d *Deliverer) post(q request, r *result) {
	body, err := d.body(q.event)
	if err != nil {
		r.outcome, r.blame, r.attempt.Error = dropped, blameUs, "the event cannot be told: "+err.Error()
		return
	}
	ctx, cancel := context.WithTimeout(d.sends, d.config.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, q.url, bytes.NewReader(body))
	if err != nil {
		r.outcome, r.blame, r.attempt.Error = forbidden, blameBackend, err.Error()
		return
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", d.config.UserAgent)
	// Not sent: it tells the transport that the request may be made again on a new
	// connection where the endpoint had just closed an idle one.
	req.Header["Idempotency-Key"] = nil
	sign(req.Header, q.event.ID.String(), d.config.Store.Now(), body, q.secrets)
	resp, err := d.client.Do(req)
	if err != nil {
		r.outcome, r.blame, r.attempt.Error = unavailable, blameBackend, d.reason(err)
		switch {
		case d.sends.Err() != nil:
			r.outcome = aborted
		case errors.Is(err, ErrAddress):
			r.outcome = forbidden
		}
		return
	}
	defer resp.Body.Close()
	r.attempt.Status = resp.StatusCode
	// The status counts, also where the rest of the answer never comes.
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, store.MaxResponseBody))
	_, _ = io.CopyN(io.Discard, resp.Body, drained)
	r.attempt.Body = string(answer)
	switch s := resp.StatusCode; {
	case s >= 200 && s < 300:
		r.outcome, r.blame = delivered, blameNone
	case s == http.StatusGone:
		r.outcome, r.blame, r.attempt.Error = gone, blameBackend, "410: the endpoint is gone"
	default:
		r.outcome, r.blame, r.attempt.Error = refused, blameBackend, fmt.Sprintf("the answer is %d, not 2xx", s)
		if s >= 300 && s < 400 {
			r.attempt.Error += "; redirects are not followed"
		}
		r.retry = retryAfter(resp.Header, time.Now())
		if s == http.StatusTooManyRequests || s == http.StatusServiceUnavailable {
			r.hold = min(r.retry, mostHold)
		}
	}
}

// body is what is sent: the event in the envelope of Standard Webhooks.
func (d *Deliverer) body(e store.LoggedEvent) ([]byte, error) {
	event, err := d.config.Render(e)
	if err != nil {
		return nil, err
	}
	return json.Marshal(struct {
		Type      string          `json:"type"`
		Timestamp string          `json:"timestamp"`
		Data      json.RawMessage `json:"data"`
	}{string(e.Type), e.At.UTC().Format("2006-01-02T15:04:05.000Z"), event})
}

// reason says why there was no answer, without the URL, which may hold a secret.
func (d *Deliverer) reason(err error) string {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	var timeout net.Error
	var dial *net.OpError
	switch {
	case errors.Is(err, ErrAddress):
		return "its name leads to an address that relay does not deliver to"
	case errors.As(err, &timeout) && timeout.Timeout():
		if errors.As(err, &dial) && dial.Op == "dial" {
			return "no connection in time"
		}
		return fmt.Sprintf("no answer within %v", d.config.Timeout)
	}
	return err.Error()
}

// judge is what becomes of a delivery after a request; live says whether its call
// is alive.
func (s Schedule) judge(r result, live bool, now time.Time) store.Delivery {
	row := r.item.Delivery
	row.Attempts, row.Attempt = row.Attempts+1, r.attempt
	row.Status, row.NextAt, row.DoneAt = store.DeliveryFailed, time.Time{}, now
	switch r.outcome {
	case delivered:
		row.Status = store.DeliveryDelivered
	case gone, dropped:
	default:
		if pause, late, ok := s.pause(row.Attempts, row.Late, live); ok {
			row.Status, row.Late, row.NextAt, row.DoneAt = store.DeliveryPending, late, now.Add(max(pause, r.retry)), time.Time{}
		}
	}
	return row
}
