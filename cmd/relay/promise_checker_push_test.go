package main_test

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What goes to the vendors.
var pushPromises = []promise{
	{"every leg is woken", "a leg that a push is to wake is pushed, and handed over when the vendor accepted", everyLegIsWoken},
	{"to its phone", "a wake goes to the token of its leg's device, and to no device that was skipped", toItsPhone},
	{"VoIP rings", "no VoIP push for anything but a ring", voipRings},
	{"attempts", "each message is an attempt of its own, and on record", attempts},
	{"expiration", "a wake is kept by its vendor as long as the contract says, and never longer than the ring", expiration},
	{"not too late", "nothing is sent with less than 3 s of the ring left, nor for a leg that ended", notTooLate},
	{"no wake", "a leg that did not confirm is marked 15 s after the vendor accepted, and a confirm clears the mark", noWake},
}

// pushDoc is one message to a vendor, read.
type pushDoc struct {
	*messageDoc
	purpose            string // ring, missed_call, revoke
	voip               bool
	token, attempt     string
	call, leg, callee  string
	wakeToken          string
	sentAt, expiresAt  time.Time // as its payload says
	at, until          time.Time // received; until when the vendor keeps it, zero for one try
	category, replaces string
	ttl                int
	notifyID           int // by which Push Kit's phones know a notification
}

type wakeDoc struct {
	V                        int
	Call, Leg, Token, Callee string
	SentAt                   int64 `json:"sent_at"`
	ExpiresAt                int64 `json:"expires_at"`
}

func (e *evidence) readPushes() {
	for i := range e.Messages {
		p := &pushDoc{messageDoc: &e.Messages[i], purpose: "ring", at: time.UnixMilli(e.Messages[i].AtMS)}
		var wake wakeDoc
		if p.Vendor == "push_kit" {
			wake = p.readPushKit()
		} else {
			wake = e.readAPNs(p)
		}
		if wake.Call != "" {
			p.call = wake.Call
		}
		p.leg, p.wakeToken, p.callee = wake.Leg, wake.Token, wake.Callee
		p.sentAt, p.expiresAt = time.UnixMilli(wake.SentAt), time.UnixMilli(wake.ExpiresAt)
		e.pushes = append(e.pushes, p)
		if p.purpose == "ring" {
			e.pushed[p.leg] = append(e.pushed[p.leg], p)
		}
	}
}

func (p *pushDoc) readPushKit() (wake wakeDoc) {
	var body struct {
		Payload struct {
			ExtraData    string
			Notification struct {
				Category     string
				AppMessageID string
				NotifyID     int
				ClickAction  struct{ Data json.RawMessage }
			}
		}
		Target      struct{ Token []string }
		Token       []string // of a revoke, and what it takes back
		NotifyID    int
		PushOptions struct {
			TTL   int
			BiTag string
		}
	}
	_ = json.Unmarshal(p.Body, &body) // what is unreadable has no leg, which is a breach
	p.voip, p.attempt, p.ttl, p.until = p.Headers["push-type"] == "10", body.PushOptions.BiTag, body.PushOptions.TTL, p.at.Add(time.Duration(body.PushOptions.TTL)*time.Second)
	p.notifyID = body.Payload.Notification.NotifyID + body.NotifyID
	p.category, p.replaces = body.Payload.Notification.Category, body.Payload.Notification.AppMessageID
	if tokens := slices.Concat(body.Target.Token, body.Token); len(tokens) == 1 {
		p.token = tokens[0]
	}
	if p.voip {
		_ = json.Unmarshal([]byte(body.Payload.ExtraData), &wake)
	} else {
		_ = json.Unmarshal(body.Payload.Notification.ClickAction.Data, &wake)
	}
	switch {
	case strings.HasSuffix(p.Path, ":revoke"):
		p.purpose = "revoke"
	case p.category == "MISS_CALL":
		p.purpose, p.call = "missed_call", strings.TrimPrefix(p.replaces, "missed-")
	}
	return wake
}

func (e *evidence) readAPNs(p *pushDoc) wakeDoc {
	var body struct{ Wake wakeDoc }
	_ = json.Unmarshal(p.Body, &body)
	p.voip, p.attempt, p.replaces = p.Headers["apns-push-type"] == "voip", p.Headers["apns-id"], p.Headers["apns-collapse-id"]
	p.token = p.Path[strings.LastIndex(p.Path, "/")+1:]
	if n, err := strconv.ParseInt(p.Headers["apns-expiration"], 10, 64); err == nil && n > 0 {
		p.until = time.Unix(n, 0)
	}
	// What is kept for longer than any ring is a notice.
	if c := e.Calls[p.replaces]; !p.voip && c != nil && p.until.After(c.ExpiresAt.Add(time.Hour)) {
		p.purpose, p.call = "missed_call", c.ID
	}
	return body.Wake
}

// rings goes through the wakes with their legs.
func (e *evidence) rings(broken func(string, ...any), do func(p *pushDoc, c *callDoc, l *legDoc)) {
	for _, p := range e.pushes {
		if p.purpose != "ring" {
			continue
		}
		if c := e.Calls[p.call]; c != nil {
			for i := range c.Legs {
				if c.Legs[i].ID == p.leg {
					do(p, c, &c.Legs[i])
				}
			}
		}
	}
}

// shortly is what a message may take from relay to its vendor.
const shortly = time.Second

func everyLegIsWoken(e *evidence, broken func(string, ...any)) {
	patience := 2 * time.Second
	if e.Killed {
		patience = 6 * time.Second // a process that is silent for 2 s is gone
	}
	e.each(func(c *callDoc) {
		for _, l := range c.Legs {
			if l.Channel == "" || l.Channel == "connection" || l.Status == "skipped" {
				continue
			}
			took := slices.ContainsFunc(e.pushed[l.ID], func(p *pushDoc) bool { return p.Verdict == "accepted" || p.Verdict == "lost_answer" })
			if gaveUp := l.Status == "failed" && strings.HasPrefix(l.Reason, "vendor_"); gaveUp {
				continue
			}
			if !took && (!l.HandedOverAt.IsZero() || l.ConfirmedAt.IsZero() && l.EndedAt.Sub(c.CreatedAt) > e.late(patience)) {
				broken("call %s: %s is %s, handed over at %v, and was not pushed", c.ID, l.DeviceID, l.Status, l.HandedOverAt)
			}
		}
	})
}

func toItsPhone(e *evidence, broken func(string, ...any)) {
	known := 0
	e.rings(broken, func(p *pushDoc, c *callDoc, l *legDoc) {
		known++
		d, mine := e.Devices[l.DeviceID], false
		for name, token := range d.Tokens {
			mine = mine || token == p.token && (name == "apns_voip") == (p.voip && p.Vendor == "apns")
		}
		if !mine || l.Status == "skipped" || p.callee != d.User || c.Callee.UserID != d.User {
			broken("call %s: the wake of %s, %s, went to the token %s of %q", c.ID, l.DeviceID, l.Status, p.token, p.callee)
		}
	})
	rings := 0
	for _, p := range e.pushes {
		if p.purpose == "ring" {
			rings++
		}
	}
	if rings != known {
		broken("%d wakes are of no leg", rings-known)
	}
}

func voipRings(e *evidence, broken func(string, ...any)) {
	for _, p := range e.pushes {
		if !p.voip {
			continue
		}
		c := e.Calls[p.call]
		if p.purpose != "ring" || c == nil || p.leg == "" || p.wakeToken == "" || p.expiresAt.Sub(c.ExpiresAt).Abs() > tick || p.sentAt.After(p.expiresAt) || p.category != "" {
			broken("a VoIP push that is no ring: %s %s", p.Path, p.Body)
		}
	}
}

func attempts(e *evidence, broken func(string, ...any)) {
	onRecord := map[string]bool{}
	e.each(func(c *callDoc) {
		numbers := map[string][]int{}
		for _, t := range e.Timelines[c.ID] {
			if t.Attempt == nil {
				continue
			}
			onRecord[t.Attempt.ID] = true
			key := t.DeviceID + t.Attempt.Purpose
			numbers[key] = append(numbers[key], t.Attempt.Number)
		}
		for device, n := range numbers {
			slices.Sort(n)
			for i := range n {
				if n[i] != i+1 {
					broken("call %s: the attempts of %s are numbered %v", c.ID, device, n)
					break
				}
			}
		}
	})
	seen := map[string]bool{}
	for _, p := range e.pushes {
		if p.purpose == "revoke" {
			continue // which has no id of its own
		}
		if p.attempt == "" || seen[p.attempt] {
			broken("two messages have the id %q: %s", p.attempt, p.Path)
		}
		if seen[p.attempt] = true; !onRecord[p.attempt] && !e.Killed {
			broken("message %s, to %s of call %s, is no attempt on record", p.attempt, p.token, p.call)
		}
	}
}

func expiration(e *evidence, broken func(string, ...any)) {
	const second = time.Second
	e.rings(broken, func(p *pushDoc, c *callDoc, l *legDoc) {
		left, shortly := c.ExpiresAt.Sub(p.sentAt), e.late(shortly) // when it was built
		ttl := p.until.Sub(p.at)
		keep := min(e.Tenants[e.appOf(c)].KeepVoIP, left)
		ok := false
		switch {
		case p.Vendor == "push_kit" && p.voip:
			ok = ttl <= min(left, 60*second)+tick && ttl > min(left, 60*second)-second-shortly
		case p.Vendor == "push_kit":
			ok = ttl <= left+tick && ttl > left-second-shortly
		case p.voip && keep == 0:
			ok = p.Headers["apns-expiration"] == "0"
		case p.voip:
			ok = p.until.Sub(p.sentAt.Add(keep)).Abs() <= second
		default:
			ok = p.until.Equal(c.ExpiresAt.Truncate(second))
		}
		if !ok {
			broken("call %s: %v of its ring were left, and %s keeps the wake of %s, %s, until %v", c.ID, left, p.Vendor, l.DeviceID, p.at.Format(time.TimeOnly), p.until.Sub(p.at))
		}
	})
}

func notTooLate(e *evidence, broken func(string, ...any)) {
	const margin, underWay = 3 * time.Second, 250 * time.Millisecond
	e.each(func(c *callDoc) {
		for _, t := range e.Timelines[c.ID] {
			l := c.leg(t.DeviceID)
			if t.Attempt == nil || t.Attempt.Purpose != "" && t.Attempt.Purpose != "ring" || t.Attempt.Outcome == "abandoned" || l == nil {
				continue
			}
			if left := c.ExpiresAt.Sub(t.Attempt.StartedAt); left < margin-e.late(underWay) {
				broken("call %s: %s was pushed with %v of the ring left", c.ID, l.DeviceID, left)
			}
			if over := t.Attempt.StartedAt.Sub(l.EndedAt); over > e.late(underWay) {
				broken("call %s: %s was pushed %v after its leg's end", c.ID, l.DeviceID, over)
			}
		}
	})
}

func noWake(e *evidence, broken func(string, ...any)) {
	const mark = 15 * time.Second
	e.each(func(c *callDoc) {
		for _, l := range c.Legs {
			due := !l.HandedOverAt.IsZero() && strings.HasSuffix(l.Channel, "_voip") && l.ConfirmedAt.IsZero() && l.EndedAt.Sub(l.HandedOverAt) > mark+e.late(e.MissedBy)
			after := l.NoWakeAt.Sub(l.HandedOverAt)
			switch {
			case due && l.NoWakeAt.IsZero():
				broken("call %s: leg of %s was never marked", c.ID, l.DeviceID)
			case !l.NoWakeAt.IsZero() && (after < mark-tick || after > mark+e.late(e.MissedBy) || !l.ConfirmedAt.IsZero()):
				broken("call %s: leg of %s, marked after %v, confirmed at %v", c.ID, l.DeviceID, after, l.ConfirmedAt)
			case l.Status == "no_wake" && l.NoWakeAt.IsZero():
				broken("call %s: leg of %s ended no_wake without the mark", c.ID, l.DeviceID)
			}
		}
	})
}
