package pushkitsim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
)

const (
	maxControlBody = 1 << 20 // bytes
	maxWaitSeconds = 60
)

// controlError is a refusal with a status of its own; any other error is a 400.
type controlError struct {
	status int
	text   string
}

func (e *controlError) Error() string { return e.text }

// control adapts a handler of the control side: a nil answer is a 204, an error
// becomes {"error": "..."}.
func (s *Sim) control(h func(r *http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := h(r)
		switch {
		case err != nil:
			writeError(w, err)
		case v == nil:
			w.WriteHeader(http.StatusNoContent)
		default:
			writeJSON(w, http.StatusOK, v)
		}
	}
}

func writeError(w http.ResponseWriter, err error) {
	status := http.StatusBadRequest
	var own *controlError
	if errors.As(err, &own) {
		status = own.status
	}
	writeJSON(w, status, map[string]string{"error": err.Error()})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // fails only when the reader is gone
}

// unknownRoute answers a wrong path, and records it on the vendor side.
func (s *Sim) unknownRoute(w http.ResponseWriter, r *http.Request) {
	s.refuseRoute(w, r, http.StatusNotFound, "no such path")
}

// unknownMethod answers a wrong method: on the vendor side like a wrong path.
func (s *Sim) unknownMethod(w http.ResponseWriter, r *http.Request) {
	s.refuseRoute(w, r, http.StatusMethodNotAllowed, "no such method here")
}

func (s *Sim) refuseRoute(w http.ResponseWriter, r *http.Request, status int, text string) {
	if strings.HasPrefix(r.URL.Path, "/sim/") || r.URL.Path == "/sim" {
		writeError(w, &controlError{status, text})
		return
	}
	req, ok := s.readRequest(r, "")
	if !ok {
		panic(http.ErrAbortHandler)
	}
	a := refuseStatus(http.StatusNotFound)
	s.record(req, a)
	a.write(w, req.requestID)
}

// decode reads one JSON value and refuses unknown fields and anything after it.
func decode(r *http.Request, v any) error {
	body, err := controlBody(r)
	if err != nil {
		return err
	}
	return decodeStrict(body, v)
}

func controlBody(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxControlBody+1))
	if err != nil {
		return nil, fmt.Errorf("reading the body: %w", err)
	}
	if len(body) > maxControlBody {
		return nil, &controlError{http.StatusRequestEntityTooLarge, "the body is over 1 MiB"}
	}
	return body, nil
}

func decodeStrict(body []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return plainJSONError(err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("there is more after the JSON value")
	}
	return nil
}

// plainJSONError takes the package's prefix off a decoding error.
func plainJSONError(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the body is not complete JSON")
	}
	return errors.New(strings.TrimPrefix(err.Error(), "json: "))
}

// pathParam is one unescaped part of the path. The router gives the escaped
// text exactly when the path needed one of its own.
func pathParam(r *http.Request, name string) string {
	v := chi.URLParam(r, name)
	if r.URL.RawPath == "" {
		return v
	}
	if plain, err := url.PathUnescape(v); err == nil {
		return plain
	}
	return v
}

// queryTokens are the tokens of a query. A bare "+" reads as a blank there, and
// no token holds a blank.
func queryTokens(r *http.Request) []string {
	tokens := r.URL.Query()["token"]
	for i := range tokens {
		tokens[i] = strings.ReplaceAll(tokens[i], " ", "+")
	}
	return tokens
}

// tokenParam is the one token of a request, from the path or the query.
func tokenParam(r *http.Request) (string, error) {
	token := pathParam(r, "token")
	if token == "" {
		if q := queryTokens(r); len(q) == 1 {
			token = q[0]
		}
	}
	if !tokenForm.MatchString(token) {
		return "", errTokenForm
	}
	return token, nil
}

// intParam is a whole number of the query within 0 and high, 0 when absent.
func intParam(r *http.Request, name string, high int64) (int64, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > high {
		return 0, fmt.Errorf("%s is not a whole number within 0 and %d", name, high)
	}
	return n, nil
}

func (s *Sim) getHealth(*http.Request) (any, error) {
	s.messages.mu.Lock()
	kept, last, dropped := s.messages.kept.len(), s.messages.last, s.messages.dropped
	s.messages.mu.Unlock()
	s.fleet.mu.Lock()
	delivered, droppedDeliveries := s.fleet.lastN, s.fleet.dropped
	s.fleet.mu.Unlock()
	return map[string]any{
		"status": "ok", "requests": last, "messages": kept, "dropped_messages": dropped,
		"deliveries": delivered, "dropped_deliveries": droppedDeliveries,
	}, nil
}

func (s *Sim) getMessages(r *http.Request) (any, error) {
	after, err := intParam(r, "after", 1<<62)
	if err != nil {
		return nil, err
	}
	tokens := queryTokens(r)
	if len(tokens) > 1 {
		return nil, errors.New("token is given more than once")
	}
	return map[string]any{"messages": s.Messages(strings.Join(tokens, ""), after)}, nil
}

func (s *Sim) deleteMessages(*http.Request) (any, error) {
	s.ClearMessages()
	return nil, nil
}

// getDeliveries answers {"deliveries": [...], "after": n}: n is what to ask
// after next.
func (s *Sim) getDeliveries(r *http.Request) (any, error) {
	after, err := intParam(r, "after", 1<<62)
	if err != nil {
		return nil, err
	}
	wait, err := intParam(r, "wait", maxWaitSeconds)
	if err != nil {
		return nil, err
	}
	found := s.Deliveries(r.Context(), queryTokens(r), after, time.Duration(wait)*time.Second)
	if n := len(found); n > 0 {
		after = found[n-1].N
	}
	return map[string]any{"deliveries": append([]Delivery{}, found...), "after": after}, nil
}

func (s *Sim) putFaults(r *http.Request) (any, error) {
	body, err := controlBody(r)
	if err != nil {
		return nil, err
	}
	var rules []Fault
	if bytes.HasPrefix(bytes.TrimSpace(body), []byte("[")) {
		err = decodeStrict(body, &rules)
	} else {
		rules = make([]Fault, 1)
		err = decodeStrict(body, &rules[0])
	}
	if err != nil {
		return nil, err
	}
	if err := s.SetFaults(rules...); err != nil {
		return nil, err
	}
	return s.getFaults(r)
}

func (s *Sim) getFaults(*http.Request) (any, error) {
	return map[string]any{"faults": s.faults.list()}, nil
}

func (s *Sim) deleteFaults(*http.Request) (any, error) { return nil, s.SetFaults() }

func (s *Sim) putReceipts(r *http.Request) (any, error) {
	var c ReceiptConfig
	if err := decode(r, &c); err != nil {
		return nil, err
	}
	if c.URL == "" {
		return nil, errors.New("url is missing; DELETE switches receipts off")
	}
	if err := s.SetReceipts(c); err != nil {
		return nil, err
	}
	return s.getReceipts(r)
}

func (s *Sim) getReceipts(*http.Request) (any, error) { return s.ReceiptStats(), nil }

func (s *Sim) deleteReceipts(*http.Request) (any, error) { return nil, s.SetReceipts(ReceiptConfig{}) }
