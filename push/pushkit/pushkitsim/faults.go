package pushkitsim

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
)

// maxFaultMS bounds what a rule may wait, in milliseconds.
const maxFaultMS = 600_000

// Fault is one rule of scripted misbehaviour. The first rule that matches a
// request to the vendor side and has uses left applies to it, alone.
//
// Reset, Stall, LoseAnswer and a scripted answer (Status, Code, Body) exclude
// each other. A scripted answer replaces all checks: nothing is accepted.
type Fault struct {
	// Project and Token, when set, narrow the rule to requests to that project,
	// and with that token among their tokens.
	Project string `json:"project,omitempty"`
	Token   string `json:"token,omitempty"`
	// Count is how many requests the rule applies to; 0 means until cleared.
	Count int `json:"count,omitempty"`

	// LatencyMS waits before the request is looked at, also when the sender has
	// given up meanwhile.
	LatencyMS int `json:"latency_ms,omitempty"`
	// Status is the scripted HTTP status. Alone, its body is empty; its default
	// is the code's own status, and 502 for a raw Body.
	Status int `json:"status,omitempty"`
	// Code answers an application code, with Msg or the code's documented text.
	Code string `json:"code,omitempty"`
	Msg  string `json:"msg,omitempty"`
	// Body answers these bytes, which need not be JSON.
	Body string `json:"body,omitempty"`
	// Reset closes the connection without an answer; the request is neither
	// recorded nor accepted.
	Reset bool `json:"reset,omitempty"`
	// Stall holds the request for StallMS without an answer, then closes the
	// connection; StallMS 0 holds it until the sender gives up. A StallMS alone
	// stalls too. Nothing is accepted.
	Stall   bool `json:"stall,omitempty"`
	StallMS int  `json:"stall_ms,omitempty"`
	// LoseAnswer does everything as usual, then closes the connection instead
	// of answering.
	LoseAnswer bool `json:"lose_answer,omitempty"`
	// BusinessStatus200 sends what would be a 400 with HTTP 200: a sender must
	// go by the code.
	BusinessStatus200 bool `json:"business_status_200,omitempty"`
	// DeliveryDelayMS holds an accepted message back from its devices.
	DeliveryDelayMS int `json:"delivery_delay_ms,omitempty"`
	// DropDelivery accepts a message and never delivers it; no receipt comes.
	DropDelivery bool `json:"drop_delivery,omitempty"`
}

func (f Fault) stalls() bool   { return f.Stall || f.StallMS > 0 }
func (f Fault) scripted() bool { return f.Status != 0 || f.Code != "" || f.Body != "" }

func (f Fault) check() error {
	exclusive := 0
	for _, on := range []bool{f.Reset, f.stalls(), f.LoseAnswer, f.scripted()} {
		if on {
			exclusive++
		}
	}
	for name, ms := range map[string]int{"latency_ms": f.LatencyMS, "stall_ms": f.StallMS, "delivery_delay_ms": f.DeliveryDelayMS} {
		if ms < 0 || ms > maxFaultMS {
			return fmt.Errorf("%s is not within 0 and %d", name, maxFaultMS)
		}
	}
	switch {
	case exclusive > 1:
		return errors.New("reset, stall, lose_answer and a scripted answer (status, code, body) exclude each other")
	case exclusive == 0 && f.LatencyMS == 0 && f.DeliveryDelayMS == 0 && !f.BusinessStatus200 && !f.DropDelivery:
		return errors.New("the rule does nothing")
	case f.Count < 0:
		return errors.New("count is negative")
	case f.Status != 0 && (f.Status < 200 || f.Status > 599):
		return errors.New("status is not within 200 and 599")
	case f.Code != "" && f.Body != "":
		return errors.New("code and body exclude each other")
	case f.Code == codeSuccess:
		return errors.New("code 80000000 without acceptance is not a thing the server does; drop_delivery loses an accepted message")
	case f.Msg != "" && f.Code == "":
		return errors.New("msg needs a code")
	}
	return nil
}

// answer is the scripted answer, or nil.
func (f Fault) answer() *answer {
	if !f.scripted() {
		return nil
	}
	a := &answer{status: f.Status, code: f.Code, msg: f.Msg, raw: f.Body, verdict: verdictFault}
	if f.Code != "" {
		d, known := documented[f.Code]
		if !known {
			d.status = http.StatusBadRequest
		}
		if a.status == 0 {
			a.status = d.status
		}
		if a.msg == "" {
			a.msg = d.msg
		}
	}
	if a.status == 0 {
		a.status = http.StatusBadGateway
	}
	return a
}

// activeFault is a rule with its uses so far.
type activeFault struct {
	Fault
	Used int `json:"used"`
}

type faults struct {
	any   atomic.Bool // spares the lock while there are no rules
	mu    sync.Mutex
	rules []activeFault
}

// SetFaults replaces all rules. None clears them.
func (s *Sim) SetFaults(rules ...Fault) error {
	active := make([]activeFault, len(rules))
	for i, r := range rules {
		if err := r.check(); err != nil {
			return fmt.Errorf("fault %d: %w", i+1, err)
		}
		active[i].Fault = r
	}
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.rules = active
	s.faults.any.Store(len(active) > 0)
	return nil
}

func (f *faults) list() []activeFault {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]activeFault{}, f.rules...)
}

// take finds the rule for a request and counts its use; without one it is the
// zero Fault.
func (f *faults) take(req *sendRequest) Fault {
	if !f.any.Load() {
		return Fault{}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.rules {
		r := &f.rules[i]
		if r.Count > 0 && r.Used >= r.Count ||
			r.Project != "" && r.Project != req.projectID ||
			r.Token != "" && !slices.Contains(req.envelope.tokens, r.Token) {
			continue
		}
		r.Used++
		return r.Fault
	}
	return Fault{}
}
