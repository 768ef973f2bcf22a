package main_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"
)

// What a backend hears.
var eventPromises = []promise{
	{"events lose nothing", "a reader of the events, however it was cut, hears each event of each call once", eventsLoseNothing},
	{"events in order", "the events of a call come in their order", eventsInOrder},
	{"events agree", "all readers of an app's log hear the same events in the same order", eventsAgree},
	{"events are true", "an event tells its call and its legs as the step left them", eventsAreTrue},
	{"events are private", "an app hears of its own calls alone", eventsArePrivate},
	{"events are prompt", "an event is heard at once", eventsArePrompt},
}

// hears goes through the readers, with the events of calls that each heard.
func (e *evidence) hears(do func(app, reader string, heard []heardDoc)) {
	for _, app := range slices.Sorted(maps.Keys(e.Heard)) {
		for _, reader := range slices.Sorted(maps.Keys(e.Heard[app])) {
			do(app, reader, slices.DeleteFunc(slices.Clone(e.Heard[app][reader]), func(h heardDoc) bool { return h.Call == nil }))
		}
	}
}

func eventsLoseNothing(e *evidence, broken func(string, ...any)) {
	e.hears(func(app, reader string, heard []heardDoc) {
		times := map[string]map[int]int{}
		ids := map[string]bool{}
		for _, h := range heard {
			if times[h.Call.ID] == nil {
				times[h.Call.ID] = map[int]int{}
			}
			times[h.Call.ID][h.CallSeq]++
			if ids[h.ID] {
				broken("%s of %s: the event %s came twice", reader, app, h.ID)
			}
			ids[h.ID] = true
		}
		e.each(func(c *callDoc) {
			if e.appOf(c) != app {
				return
			}
			for _, t := range e.Timelines[c.ID] {
				if t.Event != nil && times[c.ID][t.Event.CallSeq] != 1 {
					broken("%s of %s: event %d of call %s came %d times", reader, app, t.Event.CallSeq, c.ID, times[c.ID][t.Event.CallSeq])
				}
			}
		})
	})
}

func eventsInOrder(e *evidence, broken func(string, ...any)) {
	e.hears(func(app, reader string, heard []heardDoc) {
		last := map[string]int{}
		for _, h := range heard {
			if h.CallSeq <= last[h.Call.ID] {
				broken("%s of %s: event %d of call %s came after %d", reader, app, h.CallSeq, h.Call.ID, last[h.Call.ID])
			}
			last[h.Call.ID] = h.CallSeq
		}
	})
}

func eventsAgree(e *evidence, broken func(string, ...any)) {
	first := map[string][]heardDoc{}
	e.hears(func(app, reader string, heard []heardDoc) {
		if reader == "webhook" {
			return // which has an order for each call alone
		}
		if first[app] == nil {
			first[app] = heard
			return
		}
		for i := range min(len(heard), len(first[app])) {
			if heard[i].Text != first[app][i].Text {
				broken("%s of %s: its event %d is %s, another reader's %s", reader, app, i, heard[i].Text, first[app][i].Text)
				return
			}
		}
	})
}

func eventsAreTrue(e *evidence, broken func(string, ...any)) {
	e.hears(func(app, reader string, heard []heardDoc) {
		for _, h := range heard {
			c := e.Calls[h.Call.ID]
			if c == nil {
				continue // that is another promise's
			}
			i := slices.IndexFunc(e.Timelines[c.ID], func(t entryDoc) bool { return t.Event != nil && t.Event.CallSeq == h.CallSeq })
			if i < 0 {
				broken("%s: event %d of call %s is not in its timeline", reader, h.CallSeq, c.ID)
				continue
			}
			t := e.Timelines[c.ID][i]
			if t.Event.Type != h.Type || t.Event.Status != h.Call.Status || !t.At.Equal(h.Time) {
				broken("%s: event %d of call %s is %s, %s at %v; its timeline has %s, %s at %v", reader, h.CallSeq, c.ID, h.Type, h.Call.Status, h.Time, t.Event.Type, t.Event.Status, t.At)
			}
			if h.Call.Ref != c.Ref || h.Call.Callee != c.Callee || h.Call.Caller != c.Caller || !h.Call.CreatedAt.Equal(c.CreatedAt) || len(h.Call.Legs) > 0 {
				broken("%s: event %d of call %s tells of another call: %s", reader, h.CallSeq, c.ID, h.Text)
			}
			whole := *h.Call
			if whole.Legs = c.Legs; h.Call.Status == "ended" && !same(whole, *c) {
				broken("%s: an event of call %s tells its end as %s", reader, c.ID, h.Text)
			}
			if h.Type == "call.created" && len(h.Legs) != len(c.Legs) {
				broken("%s: call.created of %s has %d of %d legs", reader, c.ID, len(h.Legs), len(c.Legs))
			}
			if h.Type == "leg.updated" && (len(h.Legs) != 1 || h.Legs[0].DeviceID != t.DeviceID || h.Legs[0].Status != t.Event.LegStatus) {
				broken("%s: event %d of call %s tells of the legs %v, its timeline that %s is %s", reader, h.CallSeq, c.ID, h.Legs, t.DeviceID, t.Event.LegStatus)
			}
			for _, l := range h.Legs {
				if now := c.leg(l.DeviceID); now == nil || now.ID != l.ID || !open(l.Status) && !same(l, *now) {
					broken("%s: event %d of call %s tells the leg of %s as %s", reader, h.CallSeq, c.ID, l.DeviceID, h.Text)
				}
			}
		}
	})
}

// same compares what two documents tell.
func same(a, b any) bool {
	one, _ := json.Marshal(a) // of texts and times
	other, _ := json.Marshal(b)
	return string(one) == string(other)
}

func eventsArePrivate(e *evidence, broken func(string, ...any)) {
	e.hears(func(app, reader string, heard []heardDoc) {
		for _, h := range heard {
			if c := e.Calls[h.Call.ID]; h.AppID != app || c == nil || e.appOf(c) != app {
				broken("%s of %s heard of %s", reader, app, h.Text)
			}
		}
	})
	for app, readers := range e.Heard {
		for reader, heard := range readers {
			for _, h := range heard {
				if h.Device != nil && (h.AppID != app || e.Devices[h.Device.DeviceID].App != app) {
					broken("%s of %s heard of %s", reader, app, strings.TrimSpace(h.Text))
				}
			}
		}
	}
}

func eventsArePrompt(e *evidence, broken func(string, ...any)) {
	const prompt = 2 * time.Second
	if e.Killed {
		return // a reader may be on its way from a process that is gone
	}
	e.hears(func(app, reader string, heard []heardDoc) {
		if reader == "webhook" {
			return // an event that an endpoint refused is tried again, and others of its call wait
		}
		for _, h := range heard {
			if late := e.at(h.Got).Sub(h.Time); late > e.late(prompt) {
				broken("%s of %s heard event %d of call %s %v late", reader, app, h.CallSeq, h.Call.ID, late)
				return
			}
		}
	})
}
