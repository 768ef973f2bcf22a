package apnssim

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// Delivery is one push as it reached one device.
type Delivery struct {
	N        int64           `json:"n"` // counts all deliveries from 1, over all tokens
	AtMS     int64           `json:"at_ms"`
	Token    string          `json:"token"` // in lower case
	PushType string          `json:"push_type"`
	Topic    string          `json:"topic"`
	Payload  json.RawMessage `json:"payload"`
}

// storedKey is what Apple keeps one notification for: an app on a device.
type storedKey struct{ token, topic string }

type stored struct {
	delivery Delivery
	until    time.Time
}

// hand gives an accepted push to its device: at once, or when the device is
// back, unless apns-expiration is over by then. Without that header Apple keeps
// a push under a policy of its own, for up to 30 days.
func (s *Sim) hand(st *stream) {
	now := time.Now()
	d := Delivery{Token: st.token(), PushType: st.header["apns-push-type"], Topic: st.header["apns-topic"], Payload: st.recordedBody()}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tokens[d.Token].State != Offline {
		s.deliver(d, now)
		return
	}
	until := now.AddDate(0, 0, 30)
	if text, given := st.header["apns-expiration"]; given {
		seconds, _ := strconv.ParseInt(text, 10, 64) // verified before
		until = time.Unix(seconds, 0)
	}
	if until.After(now) {
		s.stored[storedKey{d.Token, d.Topic}] = stored{d, until} // in the place of an older one
	}
}

// reconnect delivers what was kept for a device. The caller holds s.mu.
func (s *Sim) reconnect(token string, now time.Time) {
	for k, kept := range s.stored {
		if k.token != token {
			continue
		}
		delete(s.stored, k)
		if now.Before(kept.until) {
			s.deliver(kept.delivery, now)
		}
	}
}

// deliver keeps the newest deliveries, as many as messages. The caller holds
// s.mu.
func (s *Sim) deliver(d Delivery, now time.Time) {
	s.delivered++
	d.N, d.AtMS = s.delivered, now.UnixMilli()
	s.deliveries = keepNewest(s.deliveries, d, s.options.Messages)
	close(s.arrived)
	s.arrived = make(chan struct{})
}

// Deliveries returns what reached any of the tokens after delivery N, oldest
// first; without tokens, what reached anyone. It waits up to wait for the first.
func (s *Sim) Deliveries(ctx context.Context, tokens []string, after int64, wait time.Duration) []Delivery {
	wanted := map[string]bool{}
	for _, t := range tokens {
		wanted[strings.ToLower(t)] = true
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		found := []Delivery{}
		s.mu.Lock()
		for _, d := range s.deliveries {
			if d.N > after && (len(wanted) == 0 || wanted[d.Token]) {
				found = append(found, d)
			}
		}
		arrived := s.arrived
		s.mu.Unlock()
		if len(found) > 0 || wait == 0 {
			return found
		}
		select {
		case <-arrived:
		case <-timer.C:
			return found
		case <-ctx.Done():
			return found
		case <-s.closing:
			return found
		}
	}
}
