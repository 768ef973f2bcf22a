package main_test

import (
	"slices"
	"strings"
	"time"
)

// What is sent beside the wakes. A part of relay that sends none of a kind has
// nothing to be checked of it.
var noticePromises = []promise{
	{"one notice", "a missed call is told a device at most once", oneNotice},
	{"notice to the right ones", "no notice goes to a user who answered or rejected, nor of a call that is alive", noticeToTheRight},
	{"every notice", "each device that missed a call is told", everyNotice},
	{"notice form", "a notice is kept for 24 hours, and its id names the call", noticeForm},
	{"escalation", "a wake over another channel comes once, 8 s after the vendor accepted, while nothing confirmed", escalation},
	{"revoke", "an alert is withdrawn once, when its leg confirmed or ended, and no notice with it", revoke},
	{"every revoke", "an alert that no notice replaces is withdrawn", everyRevoke},
}

// sent goes through what was sent for a purpose and accepted.
func (e *evidence) sent(purpose string) (found []*pushDoc) {
	for _, p := range e.pushes {
		if p.purpose == purpose && p.Verdict == "accepted" {
			found = append(found, p)
		}
	}
	return found
}

// deviceOf is whose token it is.
func (e *evidence) deviceOf(token string) deviceFact {
	for _, d := range e.Devices {
		for _, t := range d.Tokens {
			if t == token {
				return d
			}
		}
	}
	return deviceFact{}
}

func oneNotice(e *evidence, broken func(string, ...any)) {
	seen := map[string]int{}
	for _, p := range e.sent("missed_call") {
		if seen[p.call+p.token]++; seen[p.call+p.token] == 2 && !e.Killed { // whose process was killed may have sent it
			broken("call %s: %s was told twice that it missed it", p.call, e.deviceOf(p.token).ID)
		}
	}
}

// untold says whether a call's end is one that its callee hears of.
func untold(c *callDoc) bool {
	return c.AnsweredBy == "" && !slices.ContainsFunc(c.Legs, func(l legDoc) bool { return l.Status == "rejected" })
}

// dueNotice says whether a leg is to get a notice.
func dueNotice(c *callDoc, l *legDoc) bool {
	skipped := l.Status == "skipped"
	wished := skipped && (l.Reason == "incoming_limit" || l.Reason == "dnd")
	return untold(c) && !strings.HasPrefix(l.Reason, "region_") && (wished || !skipped && (c.EndReason == "missed" || c.EndReason == "canceled"))
}

func noticeToTheRight(e *evidence, broken func(string, ...any)) {
	for _, p := range e.sent("missed_call") {
		c := e.Calls[p.call]
		if c == nil {
			broken("a notice of no call: %s", p.Body)
			continue
		}
		l := c.leg(e.deviceOf(p.token).ID)
		if l == nil || !dueNotice(c, l) || p.at.Before(c.EndedAt.Add(-tick)) {
			broken("call %s, ended %s at %v, answered by %q: a notice at %v to the leg %+v", c.ID, c.EndReason, c.EndedAt, c.AnsweredBy, p.at, l)
		}
	}
}

func everyNotice(e *evidence, broken func(string, ...any)) {
	told := map[string]bool{}
	for _, p := range e.pushes {
		if p.purpose == "missed_call" { // accepted or not: that is the vendor's
			told[p.call+p.token] = true
		}
	}
	if len(told) == 0 {
		return
	}
	e.each(func(c *callDoc) {
		for i := range c.Legs {
			l := &c.Legs[i]
			d := e.Devices[l.DeviceID]
			token := d.Tokens["push_kit"] + d.Tokens["apns_alert"]
			if token != "" && dueNotice(c, l) && !told[c.ID+token] {
				broken("call %s ended %s, and %s, %s, was told nothing", c.ID, c.EndReason, d.ID, l.Status)
			}
		}
	})
}

func noticeForm(e *evidence, broken func(string, ...any)) {
	const day = 24 * time.Hour
	for _, p := range e.sent("missed_call") {
		kept := p.until.Sub(p.at)
		if p.voip || p.Vendor == "push_kit" && (p.ttl != int(day.Seconds()) || p.replaces != "missed-"+p.call || p.Headers["push-type"] != "0") ||
			p.Vendor == "apns" && ((kept-day).Abs() > time.Minute || p.replaces != p.call) {
			broken("call %s: a notice that is kept %v, id %s, VoIP %t", p.call, kept, p.replaces, p.voip)
		}
	}
}

// over is the channel of a wake.
func (p *pushDoc) over() string {
	if p.voip {
		return p.Vendor + "_voip"
	}
	return p.Vendor + "_alert"
}

func escalation(e *evidence, broken func(string, ...any)) {
	const after, margin = 8 * time.Second, 3 * time.Second
	shortly := e.late(shortly)
	tried, took := map[string]int{}, map[string]int{} // by leg
	e.rings(broken, func(p *pushDoc, c *callDoc, l *legDoc) {
		if p.over() == l.Channel {
			return
		}
		if tried[l.ID]++; p.Verdict == "accepted" {
			took[l.ID]++
		}
		if wait := p.at.Sub(l.HandedOverAt); !strings.HasSuffix(l.Channel, "_voip") || p.voip || l.HandedOverAt.IsZero() || wait < after-tick || !l.ConfirmedAt.IsZero() && l.ConfirmedAt.Add(shortly).Before(p.at) {
			broken("call %s: %s, channel %s, was woken over %s %v after it was handed over at %v, confirmed at %v", c.ID, l.DeviceID, l.Channel, p.over(), wait, l.HandedOverAt, l.ConfirmedAt)
		}
	})
	if len(tried) == 0 {
		return
	}
	e.each(func(c *callDoc) {
		for _, l := range c.Legs {
			due := l.HandedOverAt.Add(after)
			isDue := strings.HasSuffix(l.Channel, "_voip") && !l.HandedOverAt.IsZero() && (l.ConfirmedAt.IsZero() || l.ConfirmedAt.After(due.Add(shortly))) &&
				l.EndedAt.After(due.Add(shortly)) && c.ExpiresAt.Sub(due) > margin+shortly
			if took[l.ID] > 1 && !e.Killed || tried[l.ID] == 0 && isDue {
				broken("call %s: %s, handed over at %v, was woken %d times over another channel", c.ID, l.DeviceID, l.HandedOverAt, took[l.ID])
			}
		}
	})
}

// notification is what a phone of Push Kit shows.
type notification struct {
	token string
	id    int
}

// alerts are the wakes that were shown as notifications.
func (e *evidence) alerts() map[notification][]*pushDoc {
	alerts := map[notification][]*pushDoc{}
	for _, p := range e.sent("ring") {
		if p.over() == "push_kit_alert" {
			n := notification{p.token, p.notifyID}
			alerts[n] = append(alerts[n], p)
		}
	}
	return alerts
}

func revoke(e *evidence, broken func(string, ...any)) {
	const underWay = 3 * time.Second // one request
	alerts, seen, notices := e.alerts(), map[notification]int{}, map[notification]*pushDoc{}
	for _, p := range e.sent("missed_call") {
		notices[notification{p.token, p.notifyID}] = p
	}
	for _, p := range e.sent("revoke") {
		n := notification{p.token, p.notifyID}
		if seen[n]++; seen[n] > 1 && !e.Killed {
			broken("one alert was withdrawn twice: %s", p.Body)
		}
		if notice := notices[n]; notice != nil && p.at.Sub(notice.at) > e.late(underWay) {
			broken("call %s: its notice was withdrawn from %s", notice.call, e.deviceOf(p.token).ID)
		}
		if !slices.ContainsFunc(alerts[n], func(ring *pushDoc) bool {
			c := e.Calls[ring.call]
			if c == nil || c.leg(e.deviceOf(p.token).ID) == nil {
				return false
			}
			l := c.leg(e.deviceOf(p.token).ID)
			over := !l.ConfirmedAt.IsZero() && !l.ConfirmedAt.After(p.at.Add(tick)) || !l.EndedAt.After(p.at.Add(tick))
			return over && ring.at.Before(p.at)
		}) {
			broken("an alert was withdrawn that was not sent, or while its leg rang: %s", p.Body)
		}
	}
}

func everyRevoke(e *evidence, broken func(string, ...any)) {
	tried := map[notification]bool{}
	for _, p := range e.pushes {
		if p.purpose == "revoke" {
			tried[notification{p.token, p.notifyID}] = true
		}
	}
	if len(tried) == 0 || e.Killed { // whose process was killed may not have heard that the vendor took it
		return
	}
	for n, alerts := range e.alerts() {
		c := e.Calls[alerts[0].call]
		if c == nil {
			continue
		}
		if l := c.leg(e.deviceOf(n.token).ID); l != nil && !dueNotice(c, l) && !tried[n] {
			broken("call %s: the alert on %s was not withdrawn", c.ID, l.DeviceID)
		}
	}
}
