package main_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// kind is what a call is to become; what devices do in it follows from it.
type kind string

const (
	answered kind = "answered" // one device answers
	raced    kind = "raced"    // all answer at one moment
	rejected kind = "rejected"
	canceled kind = "canceled" // by the caller, while devices ring, and some may answer
	duel     kind = "duel"     // canceled and answered at one moment
	busy     kind = "busy"     // the systems of the devices refuse it
	late     kind = "late"     // canceled before anything woke
	mixed    kind = "mixed"    // each device does what it likes
	missed   kind = "missed"   // nobody does anything in time
	silent   kind = "silent"   // for so long that devices count as not woken
)

// often is how many of a hundred calls are of a kind; missed and silent ones are
// few and begin together, since they take their time.
var often = []struct {
	kind
	of int
}{{answered, 27}, {raced, 16}, {rejected, 15}, {canceled, 13}, {duel, 8}, {busy, 5}, {late, 6}, {mixed, 10}}

// lanes is how many calls a user gets at a time: as many as a device may have.
const lanes = 3

// plan is what the backend does about one call.
type plan struct {
	number, user int
	kind
	ring     int           // seconds
	at       time.Duration // since the call's beginning: when it is canceled, and when devices race
	ends     bool          // by end instead of cancel
	crowd    bool          // the next call does not wait for this one
	repeats  int           // of the invitation, at once
	again    bool          // one more repeat when the call is over
	hangs    bool          // the backend hangs up, not the device
	over     chan struct{} // closed when the backend knows that the call ended
	sequence *rand.Rand
}

// plot decides about all calls of a run.
func (s *stage) plot(calls int) {
	for n := range calls {
		r := s.rand(1, n)
		p := &plan{
			number: n, user: n % users, kind: s.draw(n, r), ring: 20 + r.IntN(100), at: time.Duration(20+r.IntN(700)) * time.Millisecond, ends: r.IntN(4) == 0,
			crowd: r.IntN(25) == 0, again: r.IntN(6) == 0, hangs: r.IntN(3) == 0, over: make(chan struct{}), sequence: r,
		}
		switch {
		case p.kind == missed:
			p.ring = 10
		case p.kind == silent:
			p.ring = 19
		case p.kind == late:
			p.at = time.Duration(r.IntN(30)) * time.Millisecond
		}
		if r.IntN(8) == 0 {
			p.repeats = 1 + r.IntN(3)
		}
		s.plans = append(s.plans, p)
	}
}

// draw chooses a kind. Of a user's first three calls two ring to the end.
func (s *stage) draw(n int, r *rand.Rand) kind {
	switch {
	case n < users:
		return missed
	case n < 2*users:
		return silent
	}
	roll := r.IntN(100)
	for _, o := range often {
		if roll -= o.of; roll < 0 {
			return o.kind
		}
	}
	return mixed
}

// play plays all calls to their ends.
func (s *stage) play() {
	var all sync.WaitGroup
	for user := range users {
		queue := make(chan *plan, len(s.plans))
		for _, p := range s.plans {
			if p.user == user {
				queue <- p
			}
		}
		close(queue)
		for range lanes {
			all.Go(func() {
				for p := range queue {
					if p.crowd {
						all.Go(func() { s.conduct(p) })
						continue
					}
					if began := time.Now(); s.conduct(p) == "busy" && time.Since(began) < time.Second {
						s.pause(300 * time.Millisecond) // as all of a user's slots are taken
					}
				}
			})
		}
	}
	all.Wait()
	for _, a := range s.devices {
		a.mu.Lock()
		a.left = true
		a.mu.Unlock()
	}
	s.acting.Wait()
}

// conduct is the backend's part of one call, from its invitation to its end, whose
// reason it returns.
func (s *stage) conduct(p *plan) (endReason string) {
	defer close(p.over)
	user := fmt.Sprint("u", p.user)
	a := s.tenantOf(user)
	r := p.sequence
	body := invitation(user, p.ring, fmt.Sprint("c", p.number))
	body["caller"] = map[string]any{"user_id": "caller", "name": fmt.Sprint("c", p.number)}
	body["voice_answer"] = true
	key := fmt.Sprintf("%d-%d", s.seed, p.number)
	invite := func(node int) *note {
		return s.insist(note{Who: "backend", What: "invite", App: a.id, Node: node, Key: key}, request{http.MethodPost, "/v1/calls", a.key, body, []string{"Idempotency-Key", key}})
	}
	var repeats sync.WaitGroup
	for i := range p.repeats {
		repeats.Go(func() { invite(i % 2) })
	}
	first := invite(r.IntN(2))
	repeats.Wait()
	c := first.Told.Call
	if first.Status != http.StatusCreated {
		s.complain("call %d was answered %d %s", p.number, first.Status, first.Told.Code)
		return ""
	}
	s.turnedAway(p, c)
	path := "/v1/calls/" + c.ID
	about := func(what string) note {
		return note{Who: "backend", What: what, App: a.id, Call: c.ID, Node: r.IntN(2)}
	}
	withdraws := p.kind == canceled || p.kind == duel || p.kind == late
	patience := time.Duration(1000+r.IntN(1000)) * time.Millisecond // before the backend ends what nobody else does
	if p.kind == missed || p.kind == silent {
		patience = time.Duration(p.ring+15) * time.Second
	}
	for c.Status != "ended" {
		age := time.Since(c.CreatedAt)
		switch {
		case withdraws && age >= p.at:
			withdraws = false
			what := "cancel"
			if p.ends {
				what = "end"
			}
			s.insist(about(what), request{http.MethodPost, path + "/" + what, a.key, nil, nil})
		case age >= patience, p.hangs && !c.AnsweredAt.IsZero() && r.IntN(2) == 0:
			s.insist(about("end"), request{http.MethodPost, path + "/end", a.key, nil, nil})
		case withdraws:
			s.pause(p.at - age)
			continue
		default:
			s.pause(time.Duration(100+r.IntN(150)) * time.Millisecond)
		}
		if got := s.insist(about("read"), request{http.MethodGet, path, a.key, nil, nil}); got.Status == http.StatusOK {
			c = got.Told.Call
		} else {
			s.complain("call %d cannot be read: %d %s", p.number, got.Status, got.Told.Code)
			return ""
		}
	}
	if r.IntN(5) == 0 {
		what := []string{"cancel", "end"}[r.IntN(2)]
		s.insist(about(what), request{http.MethodPost, path + "/" + what, a.key, nil, nil})
	}
	if p.again {
		invite(r.IntN(2))
	}
	return c.EndReason
}

// turnedAway has a device that was skipped ask for the call all the same.
func (s *stage) turnedAway(p *plan, c *callDoc) {
	for i := range c.Legs {
		if c.Legs[i].Status != "skipped" || p.sequence.IntN(4) > 0 {
			continue
		}
		for _, a := range s.devices {
			if a.ID == c.Legs[i].DeviceID {
				a.confirm(&part{actor: a, call: c.ID, plan: p, r: s.rand(2, p.number, a.index)}, "connection", "")
			}
		}
	}
}

// planOf finds a call's plan by the caller's name, which any wake brings.
func (s *stage) planOf(name string) *plan {
	if len(name) < 2 {
		return nil
	}
	n, err := strconv.Atoi(name[1:])
	if err != nil || n < 0 || n >= len(s.plans) {
		return nil
	}
	return s.plans[n]
}
