package pushkitsim

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/pushwake/relay/push/simcontrol"
)

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
		simcontrol.WriteError(w, &simcontrol.Error{Status: status, Text: text})
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
	token := simcontrol.PathParam(r, "token")
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
	after, err := simcontrol.IntParam(r, "after", 1<<62)
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
	after, err := simcontrol.IntParam(r, "after", 1<<62)
	if err != nil {
		return nil, err
	}
	wait, err := simcontrol.IntParam(r, "wait", simcontrol.MaxWaitSeconds)
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
	rules, err := simcontrol.DecodeList[Fault](r)
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
	if err := simcontrol.Decode(r, &c); err != nil {
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
