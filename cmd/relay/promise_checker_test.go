package main_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
	"time"
)

// The checker knows the contract and a recording, and nothing of relay's code.

// promise is one sentence of the contract, and what finds where it was broken.
type promise struct {
	name, text string
	check      func(e *evidence, broken func(format string, args ...any))
}

// promises are all that relay keeps. Each part of the contract has a file.
var promises = slices.Concat(callPromises, answerPromises, feedPromises, pushPromises, noticePromises, eventPromises)

// breach is where a promise was broken.
type breach struct{ promise, text string }

// breaches checks every promise.
func (r *recording) breaches() (found []breach) {
	e := newEvidence(r)
	for _, p := range promises {
		p.check(e, func(format string, args ...any) {
			found = append(found, breach{p.name, fmt.Sprintf(format, args...)})
		})
	}
	return found
}

// evidence is a recording, sorted.
type evidence struct {
	*recording
	ids    []string           // of the calls, the oldest first
	notes  map[string][]*note // by call, as they were answered
	pushes []*pushDoc
	pushed map[string][]*pushDoc // by leg
}

func newEvidence(r *recording) *evidence {
	e := &evidence{recording: r, notes: map[string][]*note{}, pushed: map[string][]*pushDoc{}}
	e.ids = slices.SortedFunc(maps.Keys(r.Calls), func(a, b string) int {
		return cmp.Or(r.Calls[a].CreatedAt.Compare(r.Calls[b].CreatedAt), strings.Compare(a, b))
	})
	diary := slices.Clone(r.Diary)
	sort.SliceStable(diary, func(i, j int) bool { return diary[i].Got < diary[j].Got })
	for _, n := range diary {
		id := n.Call
		if n.What == "invite" && n.Told.Call != nil {
			id = n.Told.Call.ID
		}
		e.notes[id] = append(e.notes[id], n)
	}
	e.readPushes()
	return e
}

// late is what something promised for a moment may be late by: on a machine that
// runs nothing in time, each of the steps that it takes is late.
func (e *evidence) late(by time.Duration) time.Duration { return by + 2*e.Stall }

// each goes through the calls.
func (e *evidence) each(do func(c *callDoc)) {
	for _, id := range e.ids {
		do(e.Calls[id])
	}
}

// at is a time of the diaries by the clock.
func (e *evidence) at(d time.Duration) time.Time { return e.Began.Add(d) }

// tick is what a time loses that is told in milliseconds.
const tick = time.Millisecond

var (
	callRank = map[string]int{"waking": 1, "ringing": 2, "answered": 3, "active": 4, "ended": 5}
	legRank  = map[string]int{"waking": 1, "handed_over": 2, "confirmed": 3, "ringing": 4, "answered": 5, "active": 6, "held": 6} // an end has none
)

func open(legStatus string) bool { return legRank[legStatus] > 0 }

// legMayBecome is the contract's table of a leg's steps.
func legMayBecome(from, to string) bool {
	switch {
	case !open(from) || to == "skipped":
		return false
	case open(to):
		return legRank[to] > legRank[from] || from == "held" && to == "active" || from == "active" && to == "held"
	case to == "no_wake":
		return legRank[from] < legRank["confirmed"]
	case to == "completed":
		return legRank[from] >= legRank["answered"]
	case to == "failed":
		return true
	}
	return legRank[from] < legRank["answered"]
}

var callPromises = []promise{
	{"one winner", "answered has exactly one winner", oneWinner},
	{"states", "later states imply the earlier ones; no backward or sideways step exists", states},
	{"ends", "a call and its legs end consistently, by the table of the ends", ends},
	{"nothing open", "nothing stays open: with its call, every leg has ended", nothingOpen},
	{"ringing", "ringing is told only after a device confirmed and reported that it rings", ringing},
	{"missed in time", "a ring ends as missed when its time is over, and neither early nor late", missedInTime},
	{"reject", "a call ends at the first reject, or with the last open leg, as its app wants", reject},
	{"three at a time", "at most 3 incoming calls are alive on one device", threeAtATime},
	{"limit is true", "incoming_limit is said only where 3 calls were alive", limitIsTrue},
}

func oneWinner(e *evidence, broken func(string, ...any)) {
	e.each(func(c *callDoc) {
		won := map[string]bool{}
		for _, l := range c.Legs {
			if !l.AnsweredAt.IsZero() {
				won[l.DeviceID] = true
			}
		}
		for _, n := range e.notes[c.ID] {
			if n.What == "report" && (n.Event == "answered" || n.Event == "active") && n.Status == 200 {
				won[n.Who] = true
			}
		}
		events := 0
		for _, t := range e.Timelines[c.ID] {
			if t.Event != nil && t.Event.Type == "call.answered" {
				events++
			}
		}
		if c.AnsweredBy == "" && len(won)+events > 0 || c.AnsweredBy != "" && (len(won) != 1 || !won[c.AnsweredBy] || events != 1) {
			broken("call %s: answered by %q; won by %v, %d events", c.ID, c.AnsweredBy, won, events)
		}
	})
}

func states(e *evidence, broken func(string, ...any)) {
	e.each(func(c *callDoc) {
		seq, call, legs := 0, "", map[string]string{}
		var last time.Time
		for _, t := range e.Timelines[c.ID] {
			if t.At.Before(last) {
				broken("call %s: the timeline goes back to %v", c.ID, t.At)
			}
			last = t.At
			if t.Event == nil {
				continue
			}
			if seq++; t.Event.CallSeq != seq || (t.Event.Type == "call.created") != (seq == 1) {
				broken("call %s: event %d is %s, number %d", c.ID, seq, t.Event.Type, t.Event.CallSeq)
			}
			if call != "" && callRank[t.Event.Status] < callRank[call] || callRank[t.Event.Status] == 0 {
				broken("call %s: from %s to %s", c.ID, call, t.Event.Status)
			}
			call = t.Event.Status
			if t.Event.Type == "leg.updated" {
				from, to := cmp.Or(legs[t.DeviceID], "waking"), t.Event.LegStatus
				if from != to && !legMayBecome(from, to) {
					broken("call %s: leg of %s from %s to %s", c.ID, t.DeviceID, from, to)
				}
				legs[t.DeviceID] = to
			}
		}
		if call != c.Status {
			broken("call %s is %s, and its last event says %s", c.ID, c.Status, call)
		}
		for _, l := range c.Legs {
			if told, was := legs[l.DeviceID]; was && told != l.Status {
				broken("call %s: leg of %s is %s, and its last event says %s", c.ID, l.DeviceID, l.Status, told)
			}
		}
	})
}

func ends(e *evidence, broken func(string, ...any)) {
	// What legs may be in a call of each end, beside skipped ones.
	before := []string{"rejected", "busy", "failed"} // what any call may have had before it ended
	fits := map[string][]string{
		"completed": append([]string{"completed", "answered_elsewhere"}, before...),
		"rejected":  append([]string{"declined_elsewhere", "no_wake"}, before...),
		"canceled":  append([]string{"canceled", "no_wake"}, before...),
		"missed":    append([]string{"missed", "no_wake"}, before...),
		"busy":      {"busy", "failed"}, "failed": {"failed", "answered_elsewhere", "rejected", "busy"}, "unreachable": {"failed"},
	}
	// And what must be among them.
	needs := map[string][]string{"completed": {"completed"}, "rejected": {"rejected"}, "busy": {"busy", "skipped"}, "failed": {"failed"}}
	e.each(func(c *callDoc) {
		has := map[string]bool{}
		for _, l := range c.Legs {
			has[l.Status] = true
			if l.Status != "skipped" && !slices.Contains(fits[c.EndReason], l.Status) {
				broken("call %s ended %q with a leg %s", c.ID, c.EndReason, l.Status)
			}
		}
		if need := needs[c.EndReason]; need != nil && !slices.ContainsFunc(need, func(s string) bool { return has[s] }) {
			broken("call %s ended %s without a leg of %v", c.ID, c.EndReason, need)
		}
		if won := c.EndReason == "completed"; won && c.AnsweredBy == "" || !won && c.EndReason != "failed" && c.AnsweredBy != "" {
			broken("call %s ended %s, answered by %q", c.ID, c.EndReason, c.AnsweredBy)
		}
	})
}

func nothingOpen(e *evidence, broken func(string, ...any)) {
	e.each(func(c *callDoc) {
		if c.Status != "ended" || c.EndedAt.IsZero() {
			broken("call %s is %s", c.ID, c.Status)
		}
		for _, l := range c.Legs {
			if open(l.Status) || l.EndedAt.IsZero() || l.EndedAt.After(c.EndedAt) {
				broken("call %s, ended %v: leg of %s is %s, ended %v", c.ID, c.EndedAt, l.DeviceID, l.Status, l.EndedAt)
			}
		}
	})
}

func ringing(e *evidence, broken func(string, ...any)) {
	e.each(func(c *callDoc) {
		reported := false
		for _, t := range e.Timelines[c.ID] {
			if t.Report != nil && t.Report.Refused == "" && slices.Contains([]string{"ringing", "answered", "active", "held"}, t.Report.Event) {
				reported = true
			}
			if t.Event != nil && t.Event.Type == "call.ringing" && !reported {
				broken("call %s rang before any device said so", c.ID)
			}
		}
		first := time.Duration(-1) // when a device first said so
		for _, n := range e.notes[c.ID] {
			if n.What == "report" && legRank[n.Event] >= legRank["ringing"] && (first < 0 || n.Sent < first) {
				first = n.Sent
			}
		}
		for _, n := range e.notes[c.ID] {
			if told := n.Told.Call; told != nil && slices.Contains([]string{"ringing", "answered", "active"}, told.Status) && (first < 0 || n.Got < first) {
				broken("call %s: %s was told %s before any device said that it rings", c.ID, n.Who, told.Status)
			}
		}
		for _, l := range c.Legs {
			if !l.RingingAt.IsZero() && (l.ConfirmedAt.IsZero() || l.RingingAt.Before(l.ConfirmedAt)) {
				broken("call %s: leg of %s rang at %v, confirmed at %v", c.ID, l.DeviceID, l.RingingAt, l.ConfirmedAt)
			}
		}
	})
}

func missedInTime(e *evidence, broken func(string, ...any)) {
	e.each(func(c *callDoc) {
		over := c.EndedAt.Sub(c.ExpiresAt)
		if c.EndReason == "missed" && over < -tick || c.AnsweredBy == "" && over > e.late(e.MissedBy)+tick {
			broken("call %s ended %s %v after its ring's end", c.ID, c.EndReason, over)
		}
	})
}

func reject(e *evidence, broken func(string, ...any)) {
	e.each(func(c *callDoc) {
		all := e.Tenants[e.appOf(c)].Reject == "all"
		for _, l := range c.Legs {
			if l.Status == "rejected" && all && (c.EndReason != "rejected" || !l.EndedAt.Equal(c.EndedAt)) {
				broken("call %s went on after %s rejected it", c.ID, l.DeviceID)
			}
			if l.Status == "declined_elsewhere" && !all {
				broken("call %s was taken from %s by another's reject", c.ID, l.DeviceID)
			}
		}
	})
}

// appOf is whose a call is.
func (e *evidence) appOf(c *callDoc) string {
	for _, d := range e.Devices {
		if d.User == c.Callee.UserID {
			return d.App
		}
	}
	return ""
}

type span struct{ from, to time.Time }

// alive are the calls that held a slot of a device, the oldest first.
func (e *evidence) alive() map[string][]span {
	alive := map[string][]span{}
	e.each(func(c *callDoc) {
		for _, l := range c.Legs {
			if l.Status != "skipped" {
				alive[l.DeviceID] = append(alive[l.DeviceID], span{c.CreatedAt, l.EndedAt})
			}
		}
	})
	return alive
}

func threeAtATime(e *evidence, broken func(string, ...any)) {
	for device, spans := range e.alive() {
		for i, s := range spans {
			n := 1
			for _, other := range spans[:i] {
				if other.to.After(s.from) {
					n++
				}
			}
			if n > 3 {
				broken("%d calls were alive on %s at %v", n, device, s.from)
			}
		}
	}
}

func limitIsTrue(e *evidence, broken func(string, ...any)) {
	alive := e.alive()
	e.each(func(c *callDoc) {
		for _, l := range c.Legs {
			if l.Reason != "incoming_limit" {
				continue
			}
			n := 0
			for _, s := range alive[l.DeviceID] { // an end counts from its commit on
				if !s.from.After(c.CreatedAt) && s.to.After(c.CreatedAt.Add(-time.Second)) {
					n++
				}
			}
			if n < 3 {
				broken("call %s was refused by the limit with %d alive on %s", c.ID, n, l.DeviceID)
			}
		}
	})
}
