package main_test

import (
	"slices"
	"time"
)

// What relay answers to backends and devices.
var answerPromises = []promise{
	{"all is answered", "no request gets a 5xx, and each gets an answer", allIsAnswered},
	{"idempotent", "a repeat of an invitation gets the same answer, and makes no second call", idempotent},
	{"history", "every call that was answered 201 is in the history, once, newest first, and as it is", history},
	{"told stays true", "what was told of a call, at whichever process, is never taken back", toldStaysTrue},
	{"race", "the loser of a race gets 409 lost_race, and whoever is too late call_ended", race},
	{"withdraw", "a cancel before the answer ends the call, one after it gets 409 call_answered, and an ended call stays as it ended", withdraw},
	{"winner stays", "the winner is never told to stop before the call's end", winnerStays},
	{"late wake", "a device that confirms after its end is told to stop, and why", lateWake},
	{"duplicate", "a confirm with another vendor_call_id on a leg that rings gets stop, duplicate; the same one rings on", duplicate},
	{"same verdict", "a replay of a report gets its first verdict", sameVerdict},
	{"leg ids", "push, feed, confirm and call speak of one leg", legIDs},
	{"turned away", "a device that was skipped is told so when it asks", turnedAway},
}

func allIsAnswered(e *evidence, broken func(string, ...any)) {
	allowed := map[string][]int{
		"invite": {201}, "read": {200}, "cancel": {200, 409}, "end": {200}, "confirm": {200, 403}, "report": {200, 403, 409}, "open": {200}, "told": {0}, "closed": {0}, "push": {0},
	}
	for _, n := range e.Diary {
		if !slices.Contains(allowed[n.What], n.Status) && !(e.Killed && (n.Status == 0 || n.Status == 503)) {
			broken("%s: %s of call %s at process %d was answered %d %s", n.Who, n.What, n.Call, n.Node, n.Status, n.Told.Code)
		}
	}
}

func idempotent(e *evidence, broken func(string, ...any)) {
	first := map[string]string{}
	for _, n := range e.Diary {
		if n.What != "invite" || n.Status != 201 {
			continue
		}
		if first[n.Key] == "" {
			first[n.Key] = n.Text
		}
		if n.Text != first[n.Key] {
			broken("two answers to one key:\n%s%s", first[n.Key], n.Text)
		}
	}
	refs := map[string]string{}
	e.each(func(c *callDoc) {
		if refs[c.Ref] != "" {
			broken("calls %s and %s are of one invitation", refs[c.Ref], c.ID)
		}
		refs[c.Ref] = c.ID
	})
}

func history(e *evidence, broken func(string, ...any)) {
	listed := map[string]int{}
	for app, calls := range e.Listed {
		for i := range calls {
			c := &calls[i]
			listed[c.ID]++
			if i > 0 && c.ID >= calls[i-1].ID {
				broken("app %s: call %s comes after %s", app, c.ID, calls[i-1].ID)
			}
			if alone := e.Calls[c.ID]; alone == nil || alone.Status != c.Status || alone.EndReason != c.EndReason || alone.AnsweredBy != c.AnsweredBy || !alone.EndedAt.Equal(c.EndedAt) {
				broken("call %s is listed as %+v and is %+v", c.ID, *c, alone)
			}
		}
	}
	for _, n := range e.Diary {
		if n.What == "invite" && n.Status == 201 && listed[n.Told.Call.ID] != 1 {
			broken("call %s, answered 201, is %d times in the history", n.Told.Call.ID, listed[n.Told.Call.ID])
		}
	}
}

func toldStaysTrue(e *evidence, broken func(string, ...any)) {
	e.each(func(c *callDoc) {
		notes := e.notes[c.ID] // in the order of their answers
		// What was known by a time: the highest state of all that was answered by then.
		type known struct {
			by   time.Duration
			rank int
			note *note
		}
		var highest []known
		for _, n := range notes {
			told := n.Told.Call
			if told == nil || n.What == "invite" { // a repeat tells what was
				continue
			}
			rank := callRank[told.Status]
			if asked := n.What != "told" && n.What != "push"; asked { // what a feed sends was read at a time that nobody knows
				i, _ := slices.BinarySearchFunc(highest, n.Sent, func(k known, t time.Duration) int {
					if k.by < t {
						return -1
					}
					return 1
				})
				if i > 0 && highest[i-1].rank > rank {
					broken("call %s: %s was told %s, though %s had been told %s before it asked", c.ID, n.Who, told.Status, highest[i-1].note.Who, highest[i-1].note.Told.Call.Status)
				}
			}
			if told.Status == "ended" && (told.EndReason != c.EndReason || !told.EndedAt.Equal(c.EndedAt)) || told.AnsweredBy != "" && told.AnsweredBy != c.AnsweredBy {
				broken("call %s: %s was told %s %s by %q, and it is %s by %q", c.ID, n.Who, told.Status, told.EndReason, told.AnsweredBy, c.EndReason, c.AnsweredBy)
			}
			if len(highest) == 0 || rank > highest[len(highest)-1].rank {
				highest = append(highest, known{n.Got, rank, n})
			}
		}
	})
}

func race(e *evidence, broken func(string, ...any)) {
	e.each(func(c *callDoc) {
		for _, n := range e.notes[c.ID] {
			l := c.leg(n.Who)
			if n.What != "report" || n.Status != 409 || l == nil {
				continue
			}
			ok := false
			switch n.Told.Code {
			case "lost_race":
				ok = c.AnsweredBy != "" && c.AnsweredBy != n.Who
			case "call_ended":
				ok = !l.EndedAt.After(e.at(n.Got))
			case "call_answered":
				ok = n.Event == "rejected" && c.AnsweredBy == n.Who
			}
			if !ok {
				broken("call %s, answered by %q, ended %v: %s reported %s and got %s", c.ID, c.AnsweredBy, c.EndedAt, n.Who, n.Event, n.Told.Code)
			}
		}
	})
}

func withdraw(e *evidence, broken func(string, ...any)) {
	e.each(func(c *callDoc) {
		for _, n := range e.notes[c.ID] {
			if n.What != "cancel" && n.What != "end" || n.Status == 0 {
				continue
			}
			switch {
			case n.Status == 200 && (n.Told.Call.Status != "ended" || n.Told.Call.EndReason != c.EndReason):
				broken("call %s: %s was told %s %s, and the call ended %s", c.ID, n.What, n.Told.Call.Status, n.Told.Call.EndReason, c.EndReason)
			case n.Status == 409 && (n.Told.Code != "call_answered" || c.AnsweredBy == "" || c.AnsweredAt.After(e.at(n.Got)) || c.EndedAt.Before(e.at(n.Sent))):
				broken("call %s: cancel got %s, answered at %v, ended at %v", c.ID, n.Told.Code, c.AnsweredAt, c.EndedAt)
			case n.Status == 200 && c.EndReason == "canceled" && c.AnsweredBy != "":
				broken("call %s was canceled, though %s had answered", c.ID, c.AnsweredBy)
			}
		}
	})
}

func winnerStays(e *evidence, broken func(string, ...any)) {
	e.each(func(c *callDoc) {
		if c.AnsweredBy == "" {
			return
		}
		for _, n := range e.notes[c.ID] {
			if n.Who != c.AnsweredBy || n.Told.Verdict != "stop" || n.Told.Reason == "duplicate" {
				continue
			}
			if n.Told.Reason != "completed" && n.Told.Reason != "failed" || n.Told.Call.Status != "ended" || c.EndedAt.After(e.at(n.Got).Add(tick)) {
				broken("call %s: its winner %s was told to stop, %s, while the call was %s", c.ID, n.Who, n.Told.Reason, n.Told.Call.Status)
			}
		}
	})
}

// stopReason is why a device is to stop, by how its leg ended.
func stopReason(c *callDoc, l *legDoc) string {
	switch {
	case l.Status == "no_wake":
		return c.EndReason
	case (l.Status == "skipped" || l.Status == "failed") && l.Reason != "":
		return l.Reason
	}
	return l.Status
}

func lateWake(e *evidence, broken func(string, ...any)) {
	e.each(func(c *callDoc) {
		known := time.Duration(-1) // when anybody first knew of the end
		for _, n := range e.notes[c.ID] {
			if n.Told.Call != nil && n.Told.Call.Status == "ended" && (known < 0 || n.Got < known) {
				known = n.Got
			}
		}
		for _, n := range e.notes[c.ID] {
			l := c.leg(n.Who)
			if n.What != "confirm" || n.Status != 200 || l == nil {
				continue
			}
			switch {
			case n.Told.Verdict == "ring" && (known >= 0 && n.Sent > known || n.Told.ServerTime.After(l.EndedAt)):
				broken("call %s: %s was told to ring at %v, and its leg had ended %v", c.ID, n.Who, n.Told.ServerTime, l.EndedAt)
			case n.Told.Verdict == "stop" && n.Told.Reason != "duplicate" && n.Told.Reason != stopReason(c, l):
				broken("call %s: %s was told to stop, %s, and its leg is %s, %s", c.ID, n.Who, n.Told.Reason, l.Status, l.Reason)
			}
		}
	})
}

func duplicate(e *evidence, broken func(string, ...any)) {
	e.each(func(c *callDoc) {
		used := map[string]map[string]int{} // by device, how often each id was said
		for _, n := range e.notes[c.ID] {
			if n.What == "confirm" && n.Status != 0 {
				if used[n.Who] == nil {
					used[n.Who] = map[string]int{}
				}
				used[n.Who][n.Key]++
			}
		}
		rang := map[string]time.Duration{}  // when a device knew that relay knew
		first := map[string]time.Duration{} // when it was first told to ring
		for _, n := range e.notes[c.ID] {
			if n.What == "report" && n.Status == 200 && n.Event == "ringing" && rang[n.Who] == 0 {
				rang[n.Who] = n.Got
			}
			if n.What == "confirm" && n.Told.Verdict == "ring" && first[n.Who] == 0 {
				first[n.Who] = n.Got
			}
		}
		for _, n := range e.notes[c.ID] {
			if n.What != "confirm" || n.Status != 200 || n.Told.Leg == nil {
				continue
			}
			said := n.Told.Verdict == "stop" && n.Told.Reason == "duplicate"
			ids := used[n.Who]
			switch known := rang[n.Who] > 0 && n.Sent > rang[n.Who]; {
			case said && len(ids) == 1 && first[n.Who] > 0 && n.Sent > first[n.Who]:
				broken("call %s: %s said one id, and was told that it is a duplicate", c.ID, n.Who)
			case !said && known && open(n.Told.Leg.Status) && ids[n.Key] == 1 && len(ids) > 1:
				broken("call %s: %s said %q of a leg that rang under another id, and was told %s", c.ID, n.Who, n.Key, n.Told.Verdict)
			}
		}
	})
}

func sameVerdict(e *evidence, broken func(string, ...any)) {
	type report struct {
		call, device string
		seq          int
	}
	first := map[report]*note{}
	for _, n := range e.Diary {
		if n.What != "report" || n.Status == 0 || n.Status == 503 {
			continue
		}
		key := report{n.Call, n.Who, n.Seq}
		if first[key] == nil {
			first[key] = n
		}
		if f := first[key]; f.Status != n.Status || f.Told.Code != n.Told.Code {
			broken("call %s: report %d of %s, %s, got %d %s and then %d %s", n.Call, n.Seq, n.Who, n.Event, f.Status, f.Told.Code, n.Status, n.Told.Code)
		}
	}
}

func legIDs(e *evidence, broken func(string, ...any)) {
	e.each(func(c *callDoc) {
		for _, n := range e.notes[c.ID] {
			l := c.leg(n.Who)
			if n.Who == "backend" && n.Told.Call != nil {
				for _, told := range n.Told.Call.Legs {
					if l := c.leg(told.DeviceID); l == nil || l.ID != told.ID {
						broken("call %s: the backend was told of leg %s of %s", c.ID, told.ID, told.DeviceID)
					}
				}
			}
			if n.Who != "backend" && (l == nil || n.Told.Leg != nil && n.Told.Leg.ID != l.ID) {
				broken("call %s: %s was told of leg %+v by %s, its own is %+v", c.ID, n.Who, n.Told.Leg, n.What, l)
			}
		}
	})
}

func turnedAway(e *evidence, broken func(string, ...any)) {
	e.each(func(c *callDoc) {
		for _, n := range e.notes[c.ID] {
			l := c.leg(n.Who)
			if n.What != "confirm" || n.Status == 0 || n.Status == 503 || l == nil {
				continue
			}
			region := l.Status == "skipped" && (l.Reason == "region_not_supported" || l.Reason == "region_unknown")
			if l.Status == "skipped" && !region && n.Told.Verdict != "stop" || region && (n.Status != 403 || n.Told.Code != l.Reason) || !region && n.Status != 200 {
				broken("call %s: %s, skipped for %s, was answered %d %s %s", c.ID, n.Who, l.Reason, n.Status, n.Told.Verdict, n.Told.Code)
			}
		}
	})
}
