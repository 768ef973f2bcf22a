package pushkitsim

import (
	"context"
	"slices"
	"time"
)

// Kinds of callback (Push Kit client, PushType).
const (
	kindDefault    = "DEFAULT"
	kindVoIP       = "VoIP"
	kindBackground = "BACKGROUND"
)

// Delivery is one message as it reached one phone.
type Delivery struct {
	N         int64  `json:"n"` // counts all deliveries from 1, over all tokens
	Token     string `json:"token"`
	PushType  int    `json:"push_type"`
	AtMS      int64  `json:"at_ms"`
	Type      string `json:"type"` // PushPayload.type
	Data      string `json:"data"` // PushPayload.data: JSON text
	RequestID string `json:"request_id"`
	CallID    string `json:"-"` // the callId inside Data, when PushType is 10
}

// push is one accepted message on its way to one token.
type push struct {
	token     string
	project   string
	pkg       string
	pushType  int
	content   string
	requestID string
	biTag     string
	collapse  int64
	expires   time.Time
	due       time.Time // see Fault.DeliveryDelayMS
}

// push hands an accepted request to its good tokens, at once unless a fault
// says otherwise.
func (f *fleet) push(req *sendRequest, tokens []string, fault Fault) []receipt {
	if len(tokens) == 0 || fault.DropDelivery {
		return nil
	}
	delay := time.Duration(fault.DeliveryDelayMS) * time.Millisecond
	f.mu.Lock()
	defer f.mu.Unlock()
	out := f.settle(req.at)
	for _, token := range tokens {
		p := &push{
			token: token, project: req.project.id, pkg: req.project.pkg, pushType: req.pushType, content: req.content,
			requestID: req.requestID, biTag: req.options.biTag, collapse: req.options.collapse,
			expires: req.at.Add(time.Duration(req.options.ttl) * time.Second),
		}
		if delay > 0 {
			p.due = req.at.Add(delay)
			f.delay(p)
			continue
		}
		out = append(out, f.handOver(req.at, p)...)
	}
	return out
}

// handOver does with a push what its token's state says, and returns the
// receipts that follow.
func (f *fleet) handOver(now time.Time, p *push) []receipt {
	t := f.tokens[p.token]
	if t == nil {
		t = &told{Token: Token{State: Alive}}
	}
	switch t.State {
	case Dead:
		result := resultUninstalled
		if t.Receipt != nil {
			result = *t.Receipt
		}
		return []receipt{p.receipt(result, now)}
	case Offline:
		return f.cacheOffline(now, t, p)
	case Alive:
		if !now.Before(p.expires) {
			return nil // dropped; no receipt is documented for it
		}
		result := resultReached
		if t.Receipt != nil {
			result = *t.Receipt
		}
		if reachesApp(result) {
			f.deliver(now, p)
		}
		return []receipt{p.receipt(result, now)}
	}
	return nil // foreign or without the right since it was accepted
}

func (f *fleet) deliver(now time.Time, p *push) {
	f.lastN++
	d := &Delivery{N: f.lastN, Token: p.token, PushType: p.pushType, AtMS: now.UnixMilli(), RequestID: p.requestID}
	d.Type, d.Data, d.CallID = deviceData(p)
	f.deliveries.add(d)
	mine := f.byToken[p.token]
	if mine == nil {
		mine = &ring[*Delivery]{}
		f.byToken[p.token] = mine
	}
	mine.add(d)
	if d.CallID != "" {
		f.device(p.token).deliver(d.CallID, now)
	}
	if p.pushType == pushAlert {
		f.device(p.token).shade.arrive(d, now)
	}
	if f.deliveries.len() > f.keep {
		f.forget(f.deliveries.pop())
	}
	for _, key := range []string{p.token, ""} {
		for ch := range f.waiters[key] {
			select {
			case ch <- struct{}{}:
			default: // it was told already
			}
		}
	}
}

// forget drops the oldest delivery of all, which is the oldest of its token.
func (f *fleet) forget(d *Delivery) {
	f.dropped++
	mine := f.byToken[d.Token]
	mine.pop()
	if mine.len() == 0 {
		delete(f.byToken, d.Token)
	}
	dev := f.devices[d.Token]
	if dev == nil {
		return
	}
	if d.CallID != "" {
		dev.forget(d.CallID)
	}
	if d.PushType == pushAlert {
		dev.shade.forget()
	}
	if dev.idle() {
		delete(f.devices, d.Token)
	}
}

// callIDPrefix tells ids that Push Kit made from an app's own; its form is an
// assumption.
const callIDPrefix = "pk-"

// deviceData is what Push Kit hands to the app (Push Kit client, PushPayload).
// A VoIP message gets a call id that the sender never learns, a new one per
// delivered message. The shapes for other push types are an assumption.
func deviceData(p *push) (kind, data, callID string) {
	type header struct {
		Token string `json:"token"`
	}
	switch p.pushType {
	case pushVoIP:
		callID = callIDPrefix + newUUID()
		return kindVoIP, compactJSON(struct {
			Data   string `json:"data"`
			Header header `json:"header"`
			CallID string `json:"callId"`
		}{p.content, header{p.token}, callID}), callID
	case pushBackground:
		return kindBackground, compactJSON(struct {
			Data   string `json:"data"`
			Header header `json:"header"`
		}{p.content, header{p.token}}), ""
	}
	return kindDefault, p.content, ""
}

// settle hands over what was delayed and is due.
func (f *fleet) settle(now time.Time) []receipt {
	var out []receipt
	n := 0
	for n < len(f.delayed) && !now.Before(f.delayed[n].due) {
		out = append(out, f.handOver(now, f.delayed[n])...)
		n++
	}
	f.delayed = slices.Delete(f.delayed, 0, n)
	return out
}

// delay keeps a push until it is due; pushes due at one time keep their order.
func (f *fleet) delay(p *push) {
	i, _ := slices.BinarySearchFunc(f.delayed, p, func(q, p *push) int {
		if q.due.After(p.due) {
			return 1
		}
		return -1
	})
	f.delayed = slices.Insert(f.delayed, i, p)
}

// settleDue is settle for callers outside the fleet.
func (s *Sim) settleDue() {
	s.fleet.mu.Lock()
	out := s.fleet.settle(s.now())
	s.fleet.mu.Unlock()
	s.receipts.enqueue(out)
}

// Deliveries returns the deliveries to the tokens (to all, when none is given)
// whose N is greater than after, oldest first. When there are none it waits for
// the first, at most wait of real time or until ctx ends.
func (s *Sim) Deliveries(ctx context.Context, tokens []string, after int64, wait time.Duration) []Delivery {
	deadline := time.Now().Add(wait)
	woken := make(chan struct{}, 1)
	stop := s.fleet.wait(tokens, woken)
	defer stop()
	for {
		s.settleDue()
		if found := s.fleet.after(tokens, after); len(found) > 0 {
			return found
		}
		left := time.Until(deadline)
		if left <= 0 {
			return nil
		}
		t := time.NewTimer(left)
		select {
		case <-woken:
		case <-t.C:
		case <-ctx.Done():
		case <-s.closing:
		}
		t.Stop()
		if ctx.Err() != nil || s.closed() {
			return nil
		}
	}
}

func (s *Sim) closed() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}

// wait registers a waiter with its tokens until stop is called.
func (f *fleet) wait(tokens []string, woken chan struct{}) (stop func()) {
	if len(tokens) == 0 {
		tokens = []string{""}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, token := range tokens {
		if f.waiters[token] == nil {
			f.waiters[token] = map[chan struct{}]struct{}{}
		}
		f.waiters[token][woken] = struct{}{}
	}
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, token := range tokens {
			if delete(f.waiters[token], woken); len(f.waiters[token]) == 0 {
				delete(f.waiters, token)
			}
		}
	}
}

func (f *fleet) after(tokens []string, after int64) []Delivery {
	f.mu.Lock()
	defer f.mu.Unlock()
	var found []Delivery
	collect := func(r *ring[*Delivery]) {
		all := r.all()
		i, _ := slices.BinarySearchFunc(all, after+1, func(d *Delivery, n int64) int { return int(d.N - n) })
		for _, d := range all[i:] {
			found = append(found, *d)
		}
	}
	if len(tokens) == 0 {
		collect(&f.deliveries)
		return found
	}
	seen := map[string]bool{}
	for _, token := range tokens {
		if mine := f.byToken[token]; mine != nil && !seen[token] {
			seen[token] = true
			collect(mine)
		}
	}
	if len(seen) > 1 {
		slices.SortFunc(found, func(a, b Delivery) int { return int(a.N - b.N) })
	}
	return found
}
