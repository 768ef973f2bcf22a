package pushkitsim

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// Verdicts of a recorded request. A refused one has the application code, or
// the HTTP status where there is no code, after "rejected:".
const (
	verdictAccepted   = "accepted"
	verdictPartial    = "partial" // accepted for some of the tokens
	verdictLostAnswer = "lost_answer"
	verdictFault      = "fault" // a scripted answer, or none
	verdictRejected   = "rejected:"
)

// Message is one request to the vendor side as it was received and answered.
type Message struct {
	N       int64             `json:"n"`     // counts all requests from 1
	AtMS    int64             `json:"at_ms"` // when it was received
	Path    string            `json:"path"`
	Headers map[string]string `json:"headers"` // names in lower case; the JWT without its signature
	Body    json.RawMessage   `json:"body"`    // as sent; a JSON string when it is not JSON
	Status  int               `json:"status"`  // HTTP status answered; 0 when no answer was sent
	Verdict string            `json:"verdict"` // accepted, partial, lost_answer, fault, rejected:<code>
	// RequestID is the one answered; receipts and deliveries carry it too.
	RequestID string `json:"request_id"`
}

// message is a Message before its body is rendered.
type message struct {
	Message
	body   []byte
	tokens []string
}

type messages struct {
	mu      sync.Mutex
	kept    ring[*message]
	bytes   int64
	last    int64 // n of the newest
	dropped int64
}

// record keeps a request and its verdict.
func (s *Sim) record(req *sendRequest, a *answer) {
	m := &message{body: req.body, tokens: req.envelope.tokens, Message: Message{
		AtMS: req.at.UnixMilli(), Path: req.path, Headers: req.headers, Status: a.status, Verdict: a.verdict, RequestID: req.requestID,
	}}
	s.messages.add(m, s.limits)
	s.log.Debug("send", slog.String("request_id", req.requestID), slog.String("project", req.projectID), slog.String("push_type", req.pushTypeText),
		slog.Int("tokens", len(m.tokens)), slog.Int("status", a.status), slog.String("verdict", a.verdict))
}

func (ms *messages) add(m *message, limits Limits) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	ms.last++
	m.N = ms.last
	ms.kept.add(m)
	ms.bytes += int64(len(m.body))
	for ms.kept.len() > limits.Messages || ms.bytes > limits.MessageBytes && ms.kept.len() > 1 {
		ms.bytes -= int64(len(ms.kept.pop().body))
		ms.dropped++
	}
}

// Messages returns the kept requests with N greater than after, oldest first;
// with a token, only those that named it as a target.
func (s *Sim) Messages(token string, after int64) []Message {
	found := s.messages.after(after)
	out := make([]Message, 0, len(found))
	for _, m := range found {
		if token != "" && !slices.Contains(m.tokens, token) {
			continue
		}
		v := m.Message
		v.Body = m.body
		if !json.Valid(m.body) {
			v.Body = json.RawMessage(compactJSON(string(m.body)))
		}
		out = append(out, v)
	}
	return out
}

func (ms *messages) after(n int64) []*message {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	if ms.kept.len() == 0 {
		return nil
	}
	// The kept ones are numbered without gaps.
	skip := min(max(n+1-ms.kept.at(0).N, 0), int64(ms.kept.len()))
	return slices.Clone(ms.kept.all()[skip:])
}

// ClearMessages forgets what was recorded. The numbering goes on.
func (s *Sim) ClearMessages() {
	s.messages.mu.Lock()
	defer s.messages.mu.Unlock()
	s.messages.kept.clear()
	s.messages.bytes = 0
}

// recordedHeaders are the request's headers under lower-case names.
func recordedHeaders(r *http.Request) map[string]string {
	out := make(map[string]string, len(r.Header)+1)
	for name, values := range r.Header {
		out[strings.ToLower(name)] = strings.Join(values, ", ")
	}
	if v, ok := out["authorization"]; ok {
		out["authorization"] = maskAuthorization(v)
	}
	out["host"] = r.Host
	return out
}
