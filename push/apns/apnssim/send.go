package apnssim

import (
	"encoding/json"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"golang.org/x/net/http2"
)

// Verdicts of a recorded push. A refused one has Apple's reason after "rejected:".
const (
	verdictAccepted   = "accepted"
	verdictLostAnswer = "lost_answer" // accepted, and the sender was not told
	verdictFault      = "fault"       // a scripted answer, or none
	verdictRejected   = "rejected:"
)

// serve looks at one whole request and answers it.
func (c *conn) serve(st *stream) {
	id := st.header["apns-id"]
	if id == "" {
		id = uuid.NewString()
	}
	fault := c.sim.fault(st)
	if !c.pause(st, time.Duration(fault.LatencyMS)*time.Millisecond) {
		return
	}
	switch {
	case fault.Drop:
		c.sim.record(st, 0, verdictFault)
		c.drop()
		return
	case fault.Reset:
		c.sim.record(st, 0, verdictFault)
		_ = c.reset(st, http2.ErrCodeInternal)
		return
	case fault.Stall:
		c.sim.record(st, 0, verdictFault)
		select {
		case <-st.gone:
		case <-c.gone:
		}
		return
	case fault.scripted():
		c.sim.record(st, fault.status(), verdictFault)
		c.allow(1)
		c.answer(st, strconv.Itoa(fault.status()), [][2]string{{"apns-id", id}}, fault.body())
		return
	}
	if refused := c.verify(&st.request); refused != nil {
		c.sim.record(st, refused.status, verdictRejected+refused.reason)
		if refused.status != 410 { // which does not count as an error
			c.allow(1)
		}
		c.answer(st, strconv.Itoa(refused.status), [][2]string{{"apns-id", id}, {"content-type", "application/json"}}, refused.body())
		return
	}
	if fault.LoseAnswer {
		c.sim.record(st, 0, verdictLostAnswer)
		c.sim.hand(st)
		_ = c.reset(st, http2.ErrCodeInternal)
		return
	}
	if fault.GoAway {
		c.goAway(fault.Code)
	}
	c.sim.record(st, 200, verdictAccepted)
	c.sim.hand(st)
	header := [][2]string{{"apns-id", id}}
	if c.environment == Sandbox {
		header = append(header, [2]string{"apns-unique-id", uuid.NewString()})
	}
	c.answer(st, "200", header, nil)
	c.allow(c.sim.options.Streams)
}

// pause waits; false means that the stream or its connection ended first.
func (c *conn) pause(st *stream, d time.Duration) bool {
	if d == 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-st.gone:
	case <-c.gone:
	}
	return false
}

// Message is one push as it was received and answered.
type Message struct {
	N       int64             `json:"n"`     // counts all requests from 1
	AtMS    int64             `json:"at_ms"` // when its headers were received
	Path    string            `json:"path"`
	Headers map[string]string `json:"headers"` // names in lower case; without the provider token
	Body    json.RawMessage   `json:"body"`    // as sent; a JSON string where it is not JSON
	Status  int               `json:"status"`  // HTTP; 0 where none was answered
	Verdict string            `json:"verdict"` // accepted, lost_answer, fault, rejected:<reason>
}

// Token is the device token that the push was for, in lower case.
func (m Message) Token() string { return tokenOf(m.Path) }

func (r *request) token() string { return tokenOf(r.path) }

func tokenOf(path string) string {
	_, token, _ := strings.Cut(path, "/3/device/")
	return strings.ToLower(token)
}

// recordedBody is the body as JSON: a string where it is none.
func (r *request) recordedBody() json.RawMessage {
	if json.Valid(r.body) {
		return r.body
	}
	text, _ := json.Marshal(string(r.body)) // a string
	return text
}

func (s *Sim) record(st *stream, status int, verdict string) {
	headers := make(map[string]string, len(st.header))
	for name, value := range st.header {
		headers[name] = value
	}
	if _, given := headers["authorization"]; given {
		headers["authorization"] = "bearer …"
	}
	s.mu.Lock()
	s.last++
	s.messages = keepNewest(s.messages, Message{s.last, st.at.UnixMilli(), st.path, headers, st.recordedBody(), status, verdict}, s.options.Messages)
	s.mu.Unlock()
	s.options.Logger.Debug("push", slog.String("apns_id", headers["apns-id"]), slog.String("push_type", headers["apns-push-type"]),
		slog.Int("status", status), slog.String("verdict", verdict))
}

// Messages returns the kept pushes with N greater than after, oldest first; with
// a token, only those to it.
func (s *Sim) Messages(token string, after int64) []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := []Message{}
	for _, m := range s.messages {
		if m.N > after && (token == "" || m.Token() == strings.ToLower(token)) {
			found = append(found, m)
		}
	}
	return found
}

// ClearMessages forgets the kept pushes; N goes on.
func (s *Sim) ClearMessages() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages = nil
}

func (s *Sim) countRefused() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused++
}

// keepNewest adds to a list that holds so many at most.
func keepNewest[T any](list []T, added T, most int) []T {
	list = append(list, added)
	if len(list) > most {
		list = list[len(list)-most:]
	}
	return list
}
