package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// actor is one simulated device.
type actor struct {
	*stage
	deviceFact
	index  int
	token  string // device JWT
	mu     sync.Mutex
	parts  map[string]*part // by call
	left   bool             // the run is over: it begins no more parts
	cursor string           // of its feed; "" before it has one
}

// part is what a device does in one call.
type part struct {
	*actor
	call    string
	plan    *plan
	r       *rand.Rand // of the one goroutine that plays
	wake    string     // the wake's own token, where a push brought one
	begins  time.Time  // of the call
	vendor  string     // the id under which the system has it
	seq     int
	stopped atomic.Bool
	awake   chan struct{}   // closed when the app runs
	heard   map[string]bool // push, connection
}

// news is what a push or the feed tells of a call.
type news struct {
	call, name, source, wake, vendor string
	expires                          time.Time
}

// hear begins the device's part in a call, or confirms the call once more where
// it comes over the other way too.
func (a *actor) hear(n news) {
	p := a.planOf(n.name)
	a.mu.Lock()
	defer a.mu.Unlock()
	if p == nil || a.left {
		return
	}
	known := a.parts[n.call]
	if known != nil {
		if twice := !known.heard[n.source]; twice {
			known.heard[n.source] = true
			if r := a.rand(4, p.number, a.index); r.IntN(3) == 0 {
				a.acting.Go(func() { known.again(r, n) })
			}
		}
		return
	}
	known = &part{actor: a, call: n.call, plan: p, r: a.rand(3, p.number, a.index), wake: n.wake, vendor: n.vendor, awake: make(chan struct{}), heard: map[string]bool{n.source: true}}
	if known.vendor == "" {
		known.vendor = fmt.Sprint("own-", p.number, "-", a.index)
	}
	known.begins = n.expires.Add(-time.Duration(p.ring) * time.Second)
	a.parts[n.call] = known
	a.acting.Go(func() { known.play(n.source) })
}

// stop is the feed's word that the device is to fall silent.
func (a *actor) stop(call string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if p := a.parts[call]; p != nil {
		p.stopped.Store(true)
	}
}

// again is a second wake of the same leg: half of them with the id of the first.
func (p *part) again(r *rand.Rand, n news) {
	select {
	case <-p.awake:
	case <-p.plan.over:
		return
	}
	p.pause(time.Duration(r.IntN(400)) * time.Millisecond)
	vendor := p.vendor
	if r.IntN(2) == 0 {
		vendor = fmt.Sprint("other-", r.IntN(1000))
	}
	// Two goroutines of one part share no randomness and no seq.
	twin := &part{actor: p.actor, call: p.call, plan: p.plan, r: r, wake: n.wake, vendor: vendor}
	twin.confirm(twin, n.source, vendor)
}

// until waits for a time since the call's beginning.
func (p *part) until(since time.Duration) bool { return p.pause(time.Until(p.begins.Add(since))) }

// play is a device's part from the wake to the last report.
func (p *part) play(source string) {
	r := p.r
	roll := r.IntN(100)
	switch p.kind() {
	case silent:
		if roll < 80 {
			return
		}
		p.until(16 * time.Second) // after the mark, before the end
	case missed:
		if roll < 30 {
			return
		}
	case late:
		p.wakeLate()
	default:
		if roll < 6 {
			p.wakeLate()
		} else if roll < 10 {
			return // the app was never started
		}
	}
	p.pause(time.Duration(r.IntN(120)) * time.Millisecond)
	close(p.awake)
	if skips := r.IntN(12) == 0; !skips { // else the first report implies the confirm
		got := p.confirm(p, source, p.vendor)
		if r.IntN(10) == 0 {
			p.confirm(p, source, p.vendor) // an app that was not sure
		}
		if got.Told.Verdict != "ring" && r.IntN(3) > 0 {
			return
		}
	}
	if p.kind() == busy || p.kind() == mixed && r.IntN(6) == 0 {
		p.report("not_reported", map[string]any{"error_reason": []string{"cellular_call_exists", "voip_call_exists", "invalid_call"}[r.IntN(3)]})
		return
	}
	if r.IntN(12) > 0 {
		p.report("ringing", nil)
		if r.IntN(6) == 0 {
			p.report("ringtone_muted", nil)
		}
	}
	p.decide()
}

// wakeLate waits until the call is over for the backend, and a while.
func (p *part) wakeLate() {
	select {
	case <-p.plan.over:
	case <-p.ctx.Done():
	}
	p.pause(time.Duration(p.r.IntN(300)) * time.Millisecond)
}

func (p *part) kind() kind { return p.plan.kind }

// decide is what the user does while the device rings.
func (p *part) decide() {
	r := p.r
	act, at := "", p.plan.at
	switch p.kind() {
	case answered:
		if r.IntN(2) == 0 {
			act = "answered"
		}
		at = time.Duration(100+r.IntN(700)) * time.Millisecond
	case raced, duel:
		act = "answered"
	case rejected:
		if r.IntN(3) > 0 {
			act = "rejected"
		}
		at = time.Duration(50+r.IntN(600)) * time.Millisecond
	case canceled:
		if r.IntN(6) == 0 {
			act = "answered"
		}
		at = time.Duration(r.IntN(900)) * time.Millisecond
	case late, mixed:
		act = []string{"", "answered", "rejected", "disconnected", "active"}[r.IntN(5)]
		at = time.Duration(50+r.IntN(900)) * time.Millisecond
	}
	p.until(at)
	if act == "" || p.stopped.Load() && r.IntN(2) == 0 {
		return
	}
	var more map[string]any
	if act == "answered" && r.IntN(2) == 0 {
		more = map[string]any{"media": []string{"voice", "video"}[r.IntN(2)]}
	}
	if got := p.report(act, more); got.Status == http.StatusOK && (act == "answered" || act == "active") {
		p.talk()
	}
}

// talk is a call that this device won.
func (p *part) talk() {
	r := p.r
	for _, event := range []string{"active", "muted", "held", "active", "speaker_on", "unmuted"} {
		if r.IntN(3) == 0 {
			p.pause(time.Duration(r.IntN(80)) * time.Millisecond)
			p.report(event, nil)
		}
	}
	p.pause(time.Duration(r.IntN(400)) * time.Millisecond)
	if !p.plan.hangs {
		p.report("disconnected", nil)
	}
}

// confirm says that the app is awake, at a random process.
func (a *actor) confirm(p *part, source, vendor string) *note {
	token := a.token
	if p.wake != "" && p.r.IntN(2) == 0 {
		token = p.wake
	}
	body := map[string]any{"source": source}
	if vendor != "" {
		body["vendor_call_id"] = vendor
	}
	return a.insist(note{Who: a.ID, What: "confirm", App: a.App, Call: p.call, Node: p.r.IntN(2), Key: vendor, Event: source},
		request{http.MethodPost, "/v1/device/calls/" + p.call + "/confirm", token, body, nil})
}

// report tells relay what happened, some of it twice.
func (p *part) report(event string, more map[string]any) *note {
	p.seq++
	one := map[string]any{"seq": p.seq, "event": event, "at": time.Now().UTC().Format(time.RFC3339Nano)}
	for k, v := range more {
		one[k] = v
	}
	n := note{Who: p.ID, What: "report", App: p.App, Call: p.call, Node: p.r.IntN(2), Event: event, Seq: p.seq}
	if event == "answered" && p.kind() == raced {
		n.Node = p.index % 2 // through both
	}
	ask := request{http.MethodPost, "/v1/device/calls/" + p.call + "/reports", p.token, map[string]any{"reports": []any{one}}, nil}
	got := p.insist(n, ask)
	if p.r.IntN(10) == 0 {
		n.Node = 1 - n.Node
		p.insist(n, ask)
	}
	return got
}

// pushed reads what a simulator delivers to the devices, until ctx ends.
func (s *stage) pushed(ctx context.Context, vendor string) {
	byToken := map[string]*actor{}
	for _, a := range s.devices {
		for _, token := range a.Tokens {
			byToken[token] = a
		}
	}
	type payload struct {
		Call, Leg, Token string
		ExpiresAt        int64 `json:"expires_at"`
		Caller           struct{ Name string }
	}
	for after := int64(0); ctx.Err() == nil; {
		page, err := want[struct {
			Deliveries []struct {
				Token, Data string
				Payload     struct{ Wake payload }
			}
			After int64
		}](ctx, caller{url: s.vendors[vendor]}, http.StatusOK, http.MethodGet, fmt.Sprintf("/sim/deliveries?wait=5&after=%d", after), nil)
		if err != nil {
			if ctx.Err() == nil {
				s.complain("%v", err)
			}
			return
		}
		after = max(after, page.After)
		for _, d := range page.Deliveries {
			a, wake, vendorID := byToken[d.Token], d.Payload.Wake, ""
			if vendor == "push_kit" {
				var voip struct{ Data, CallID string }
				if json.Unmarshal([]byte(d.Data), &voip) == nil && voip.Data != "" {
					d.Data, vendorID = voip.Data, voip.CallID
				} else {
					var alert struct {
						ClickAction struct{ Data json.RawMessage }
					}
					_ = json.Unmarshal([]byte(d.Data), &alert) // what is no alert has no data
					d.Data = string(alert.ClickAction.Data)
				}
				if json.Unmarshal([]byte(d.Data), &wake) != nil {
					continue
				}
			}
			if a == nil || wake.Leg == "" || wake.Token == "" {
				continue // a notice starts no app
			}
			s.diary.keep(&note{Who: a.ID, What: "push", App: a.App, Call: wake.Call, Got: s.since(), Told: answerDoc{Leg: &legDoc{ID: wake.Leg}}})
			a.hear(news{wake.Call, wake.Caller.Name, "push", wake.Token, vendorID, time.UnixMilli(wake.ExpiresAt)})
		}
	}
}
