package main_test

import (
	"slices"
	"time"
)

// What a device's feed tells.
var feedPromises = []promise{
	{"feed loses nothing", "a feed tells every call, whatever was cut, and last how it ended for the device", feedLosesNothing},
	{"feed stops once", "a call that a device must no longer ring for comes once with stop and the right reason", feedStopsOnce},
	{"feed repeats nothing", "a feed never tells the same state twice", feedRepeatsNothing},
	{"feed goes forward", "a feed never tells an earlier state after a later one, nor an end as ring", feedGoesForward},
	{"no ring after stop", "a device never hears ring after stop for one leg", noRingAfterStop},
	{"feed is private", "a feed tells a device of its own user's calls only", feedIsPrivate},
	{"feed is prompt", "an open feed tells an end at once", feedIsPrompt},
}

// told is what each device's feed told of each call, in order.
func (e *evidence) told(do func(d deviceFact, call string, items []*note)) {
	type key struct{ device, call string }
	told := map[key][]*note{}
	var order []key
	for _, n := range e.Diary {
		if n.What == "told" {
			k := key{n.Who, n.Call}
			if told[k] == nil {
				order = append(order, k)
			}
			told[k] = append(told[k], n)
		}
	}
	for _, k := range order {
		do(e.Devices[k.device], k.call, told[k])
	}
}

func feedLosesNothing(e *evidence, broken func(string, ...any)) {
	since := map[string]time.Duration{} // when a device first had its feed
	for _, n := range e.Diary {
		if n.What == "open" && n.Status == 200 && since[n.Who] == 0 {
			since[n.Who] = n.Got
		}
	}
	last := map[string]map[string]*note{}
	e.told(func(d deviceFact, call string, items []*note) {
		if last[call] == nil {
			last[call] = map[string]*note{}
		}
		last[call][d.ID] = items[len(items)-1]
	})
	e.each(func(c *callDoc) {
		for _, l := range c.Legs {
			if l.Status == "skipped" || since[l.DeviceID] == 0 || c.CreatedAt.Before(e.at(since[l.DeviceID])) {
				continue
			}
			n := last[c.ID][l.DeviceID]
			if n == nil {
				broken("call %s: the feed of %s never told it", c.ID, l.DeviceID)
			} else if n.Told.Verdict != "stop" {
				broken("call %s: the last word of the feed of %s is %s, and its leg ended %s", c.ID, l.DeviceID, n.Told.Leg.Status, l.Status)
			}
		}
	})
}

func feedStopsOnce(e *evidence, broken func(string, ...any)) {
	e.told(func(d deviceFact, call string, items []*note) {
		c := e.Calls[call]
		if c == nil || c.leg(d.ID) == nil {
			return // that is another promise's
		}
		var why []string
		for _, n := range items {
			if n.Told.Verdict == "stop" {
				why = append(why, n.Told.Reason)
			}
		}
		if right := stopReason(c, c.leg(d.ID)); len(why) > 1 || len(why) == 1 && why[0] != right {
			broken("call %s: %s was told to stop for %q, want once %s", call, d.ID, why, right)
		}
	})
}

func feedRepeatsNothing(e *evidence, broken func(string, ...any)) {
	e.told(func(d deviceFact, call string, items []*note) {
		for i := 1; i < len(items); i++ {
			if items[i].Text == items[i-1].Text {
				broken("call %s: %s was told twice %s", call, d.ID, items[i].Text)
			}
		}
	})
}

func feedGoesForward(e *evidence, broken func(string, ...any)) {
	e.told(func(d deviceFact, call string, items []*note) {
		for i, n := range items {
			now := n.Told
			if (now.Verdict == "ring") != open(now.Leg.Status) || now.Verdict == "ring" && (!now.Leg.EndedAt.IsZero() || now.Call.Status == "ended" || now.Reason != "") {
				broken("call %s: %s was told %s %s of a leg %s", call, d.ID, now.Verdict, now.Reason, now.Leg.Status)
			}
			if i == 0 {
				continue
			}
			if was := items[i-1].Told; callRank[now.Call.Status] < callRank[was.Call.Status] || open(now.Leg.Status) && legRank[now.Leg.Status] < legRank[was.Leg.Status] {
				broken("call %s: %s was told %s, leg %s, after %s, leg %s", call, d.ID, now.Call.Status, now.Leg.Status, was.Call.Status, was.Leg.Status)
			}
		}
	})
}

func noRingAfterStop(e *evidence, broken func(string, ...any)) {
	e.each(func(c *callDoc) {
		stopped := map[string]time.Duration{}
		for _, n := range e.notes[c.ID] {
			if n.Told.Verdict == "stop" && n.Told.Reason != "duplicate" && stopped[n.Who] == 0 {
				stopped[n.Who] = n.Got
			}
			asked := n.Sent // of a confirm; what a feed tells follows what it told before
			if n.What == "told" {
				asked = n.Got
			}
			if by := stopped[n.Who]; n.Told.Verdict == "ring" && by > 0 && asked > by {
				if n.What == "confirm" || slices.ContainsFunc(e.notes[c.ID], func(s *note) bool { // of one feed
					return s.What == "told" && s.Who == n.Who && s.Told.Verdict == "stop" && s.Got < n.Got
				}) {
					broken("call %s: %s was told to ring by its %s after it was told to stop", c.ID, n.Who, n.What)
				}
			}
		}
	})
}

func feedIsPrivate(e *evidence, broken func(string, ...any)) {
	for _, n := range e.Diary {
		if n.What != "told" {
			continue
		}
		d, c := e.Devices[n.Who], e.Calls[n.Call]
		if c == nil || c.Callee.UserID != d.User || n.Told.Call.Callee.UserID != d.User || n.Told.Leg.DeviceID != d.ID || len(n.Told.Call.Legs) > 0 {
			broken("%s was told of %s", d.ID, n.Text)
		}
	}
}

// delays is how long after each leg's end its device was told, where its feed
// was open all the while.
func (e *evidence) delays() (delays []time.Duration) {
	opened := map[string]time.Duration{}
	for _, n := range e.Diary {
		switch n.What {
		case "open":
			opened[n.Who] = n.Got
		case "told":
			l := n.Told.Leg
			if n.Told.Verdict == "stop" && !l.EndedAt.IsZero() && e.at(opened[n.Who]).Before(l.EndedAt) {
				delays = append(delays, e.at(n.Got).Sub(l.EndedAt))
			}
		}
	}
	slices.Sort(delays)
	return delays
}

func feedIsPrompt(e *evidence, broken func(string, ...any)) {
	const prompt = 2 * time.Second
	if e.Killed {
		return // a connection to a process that is gone is open until its device notices
	}
	delays := e.delays()
	if n := len(delays); n > 0 && delays[n-1] > e.late(prompt) {
		broken("an end was told %v late", delays[n-1])
	}
}
