package apnssim

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

const maxFaultMS = 600_000

// Fault is one rule of scripted misbehaviour. The first rule that matches a
// push and has uses left applies to it, alone.
//
// Drop, Reset, Stall, LoseAnswer, GoAway, StreamLimit and a scripted answer
// (Status, Code, Body) exclude each other, but for GoAway's Code. A scripted
// answer replaces all checks: nothing is accepted.
type Fault struct {
	Token      string `json:"token,omitempty"`       // narrows the rule to pushes to it
	Count      int    `json:"count,omitempty"`       // pushes it applies to; 0 means until cleared
	LatencyMS  int    `json:"latency_ms,omitempty"`  // waits before the push is looked at
	Status     int    `json:"status,omitempty"`      // answers this HTTP status, by default 503
	Code       string `json:"code,omitempty"`        // with this reason
	Body       string `json:"body,omitempty"`        // or with these bytes, which need not be JSON
	Drop       bool   `json:"drop,omitempty"`        // closes the connection without an answer
	Reset      bool   `json:"reset,omitempty"`       // resets the stream without an answer
	Stall      bool   `json:"stall,omitempty"`       // never answers the stream
	LoseAnswer bool   `json:"lose_answer,omitempty"` // accepts, then resets the stream
	GoAway     bool   `json:"goaway,omitempty"`      // sends GOAWAY with Code as its reason, and takes no more on the connection
	// StreamLimit limits the streams of every connection. It does not apply to
	// a single push, so Token and Count cannot be set with it.
	StreamLimit uint32 `json:"stream_limit,omitempty"`
}

func (f Fault) scripted() bool {
	return f.Status != 0 || f.Code != "" && !f.GoAway || f.Body != ""
}

func (f Fault) status() int {
	if f.Status == 0 {
		return 503
	}
	return f.Status
}

func (f Fault) body() []byte {
	switch {
	case f.Body != "":
		return []byte(f.Body)
	case f.Code != "":
		return refuse(f.status(), f.Code).body()
	}
	return nil
}

func (f Fault) check() error {
	exclusive := 0
	for _, on := range []bool{f.Drop, f.Reset, f.Stall, f.LoseAnswer, f.GoAway, f.StreamLimit > 0, f.scripted()} {
		if on {
			exclusive++
		}
	}
	switch {
	case exclusive > 1:
		return errors.New("drop, reset, stall, lose_answer, goaway, stream_limit and a scripted answer (status, code, body) exclude each other")
	case exclusive == 0 && f.LatencyMS == 0:
		return errors.New("the rule does nothing")
	case f.StreamLimit > 0 && (f.Token != "" || f.Count != 0 || f.LatencyMS != 0):
		return errors.New("stream_limit is about connections: token, count and latency_ms do not go with it")
	case f.LatencyMS < 0 || f.LatencyMS > maxFaultMS:
		return fmt.Errorf("latency_ms is not within 0 and %d", maxFaultMS)
	case f.Count < 0:
		return errors.New("count is negative")
	case f.Status != 0 && (f.Status < 200 || f.Status > 599):
		return errors.New("status is not within 200 and 599")
	case f.Code != "" && f.Body != "":
		return errors.New("code and body exclude each other")
	}
	return nil
}

// SetFaults replaces all faults; without any it clears them.
func (s *Sim) SetFaults(rules ...Fault) error {
	for i, f := range rules {
		if err := f.check(); err != nil {
			return fmt.Errorf("fault %d: %w", i, err)
		}
	}
	s.mu.Lock()
	s.faults = slices.Clone(rules)
	s.mu.Unlock()
	return nil
}

// fault finds the rule for a push and counts one use.
func (s *Sim) fault(st *stream) Fault {
	_, token, _ := strings.Cut(st.path, "/3/device/")
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range s.faults {
		if f.StreamLimit > 0 || f.Token != "" && !strings.EqualFold(f.Token, token) {
			continue
		}
		if f.Count == 1 {
			s.faults = slices.Delete(s.faults, i, i+1)
		} else if f.Count > 1 {
			s.faults[i].Count--
		}
		return f
	}
	return Fault{}
}

// streamLimit is limit, or what a fault holds connections at.
func (s *Sim) streamLimit(limit uint32) uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.faults {
		if f.StreamLimit > 0 {
			return f.StreamLimit
		}
	}
	return limit
}

// Freeze makes the open connections silent: they stay open, and nothing is read
// or answered on them, pings included.
func (s *Sim) Freeze() {
	for _, c := range s.open() {
		c.stop()
	}
}

// GoAway sends GOAWAY(NO_ERROR) on the open connections, with Apple's JSON for a
// reason unless that is "". Each ends when its streams are answered.
func (s *Sim) GoAway(reason string) {
	for _, c := range s.open() {
		c.goAway(reason)
	}
}

// SetToken sets the state of a token. Pushes that were kept for an offline
// device reach it once its token is alive again.
func (s *Sim) SetToken(token string, t Token) error {
	if !tokenForm.MatchString(token) || len(token) < minTokenText {
		return errors.New("the token is not an even number of hexadecimal digits, 64 or more")
	}
	if !slices.Contains(tokenStates, t.State) {
		return fmt.Errorf("state must be one of %v", tokenStates)
	}
	if err := t.Environment.check(); err != nil {
		return err
	}
	now := time.Now()
	if t.SinceMS == 0 {
		t.SinceMS = now.UnixMilli()
	}
	token = strings.ToLower(token)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens[token] = t
	if t.State == Alive {
		s.reconnect(token, now)
	}
	return nil
}
