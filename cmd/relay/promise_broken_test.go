package main_test

import (
	"bytes"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// forgeries break each promise at least once.
var forgeries = []struct {
	promise string
	break_  func(f forgery)
}{
	{"one winner", func(f forgery) {
		_, l := f.leg(func(c *callDoc, l *legDoc) bool { return l.Status == "answered_elsewhere" })
		l.AnsweredAt = l.EndedAt
	}},
	{"states", func(f forgery) { // two events change places
		var first, second int
		c := f.call(func(c *callDoc) bool {
			first, second = -1, -1
			for i, t := range f.Timelines[c.ID] {
				if t.Event != nil {
					first, second = second, i
				}
			}
			return first >= 0
		})
		line := f.line(c)
		line[first].Event, line[second].Event = line[second].Event, line[first].Event
	}},
	{"states", func(f forgery) {
		c, l := f.leg(func(c *callDoc, l *legDoc) bool { return l.Status == "completed" })
		for i, t := range f.line(c) {
			if t.Event != nil && t.DeviceID == l.DeviceID && t.Event.LegStatus != "completed" {
				step := *t.Event
				step.LegStatus = "missed"
				f.line(c)[i].Event = &step
			}
		}
	}},
	{"ends", func(f forgery) {
		f.call(func(c *callDoc) bool { return c.EndReason == "completed" }).EndReason = "canceled"
	}},
	{"nothing open", func(f forgery) {
		_, l := f.leg(func(c *callDoc, l *legDoc) bool { return l.Status == "canceled" })
		l.Status, l.EndedAt = "ringing", time.Time{}
	}},
	{"ringing", func(f forgery) {
		c := f.call(func(c *callDoc) bool { return !c.RingingAt.IsZero() })
		f.Timelines[c.ID] = slices.DeleteFunc(f.line(c), func(t entryDoc) bool { return t.Report != nil })
	}},
	{"ringing", func(f forgery) {
		n := f.note(func(n *note, c *callDoc) bool {
			return n.What == "read" && n.Told.Call.Status == "ringing" || n.What == "told" && n.Told.Call.Status == "ringing"
		})
		n.Got = f.Calls[n.Call].CreatedAt.Sub(f.Began)
	}},
	{"missed in time", func(f forgery) {
		c := f.call(func(c *callDoc) bool { return c.EndReason == "missed" })
		c.EndedAt = c.ExpiresAt.Add(f.MissedBy + 2*f.Stall + 10*time.Millisecond)
	}},
	{"missed in time", func(f forgery) {
		c := f.call(func(c *callDoc) bool { return c.EndReason == "missed" })
		c.EndedAt = c.ExpiresAt.Add(-10 * time.Millisecond)
	}},
	{"reject", func(f forgery) {
		c, l := f.leg(func(c *callDoc, l *legDoc) bool { return l.Status == "canceled" && f.Devices[l.DeviceID].App == "all" })
		l.Status, l.EndedAt = "rejected", c.EndedAt.Add(-time.Second)
	}},
	{"no wake", func(f forgery) {
		_, l := f.leg(func(c *callDoc, l *legDoc) bool { return !l.NoWakeAt.IsZero() })
		l.NoWakeAt = l.NoWakeAt.Add(-time.Second)
	}},
	{"three at a time", func(f forgery) {
		c := f.call(func(c *callDoc) bool { return c.EndReason == "missed" })
		for i := range 3 {
			again := *c
			again.ID = fmt.Sprint(c.ID, i)
			f.Calls[again.ID] = &again
		}
	}},
	{"limit is true", func(f forgery) {
		_, l := f.leg(func(*callDoc, *legDoc) bool { return true })
		l.Status, l.Reason = "skipped", "incoming_limit"
	}},
	{"all is answered", func(f forgery) {
		n := f.note(func(n *note, _ *callDoc) bool { return n.What == "confirm" })
		n.Status = 500
	}},
	{"idempotent", func(f forgery) {
		for _, n := range f.Diary {
			if n.What == "invite" && n.Status == 201 {
				f.more(n).Text += "."
				return
			}
		}
	}},
	{"idempotent", func(f forgery) {
		again := *f.call(func(*callDoc) bool { return true })
		again.ID += "2"
		f.Calls[again.ID] = &again
	}},
	{"history", func(f forgery) { f.Listed["all"] = f.Listed["all"][1:] }},
	{"told stays true", func(f forgery) {
		n := f.note(func(n *note, c *callDoc) bool { return n.What == "read" && n.Told.Call.Status == "ended" })
		f.more(n).Told.Call.Status = "ringing"
	}},
	{"race", func(f forgery) {
		n := f.note(func(n *note, c *callDoc) bool { return n.What == "report" && c.AnsweredBy == "" && c.leg(n.Who) != nil })
		n.Status, n.Told.Code = 409, "lost_race"
	}},
	{"withdraw", func(f forgery) {
		n := f.note(func(n *note, c *callDoc) bool { return n.What == "cancel" && n.Status == 200 })
		n.Told.Call.EndReason = "missed"
	}},
	{"winner stays", func(f forgery) {
		n := f.note(func(n *note, c *callDoc) bool {
			return n.What == "confirm" && n.Who == c.AnsweredBy && n.Told.Verdict == "ring"
		})
		n.Told.Verdict, n.Told.Reason = "stop", "canceled"
	}},
	{"late wake", func(f forgery) {
		n := f.note(func(n *note, c *callDoc) bool {
			return n.What == "confirm" && n.Told.Verdict == "stop" && n.Told.Reason == "canceled"
		})
		f.more(n).Told.Verdict = "ring"
	}},
	{"late wake", func(f forgery) {
		n := f.note(func(n *note, c *callDoc) bool {
			return n.What == "confirm" && n.Told.Verdict == "stop" && n.Told.Reason == "canceled"
		})
		n.Told.Reason = "missed"
	}},
	{"duplicate", func(f forgery) {
		n := f.note(func(n *note, c *callDoc) bool {
			return n.What == "confirm" && n.Told.Verdict == "ring" && !slices.ContainsFunc(f.Diary, func(o *note) bool {
				return o.What == "confirm" && o.Call == n.Call && o.Who == n.Who && o.Key != n.Key
			})
		})
		n = f.more(n)
		n.Told.Verdict, n.Told.Reason = "stop", "duplicate"
	}},
	{"same verdict", func(f forgery) {
		n := f.note(func(n *note, c *callDoc) bool { return n.What == "report" && n.Status == 200 })
		f.more(n).Status = 409
	}},
	{"leg ids", func(f forgery) {
		n := f.note(func(n *note, c *callDoc) bool { return n.What == "push" })
		n.Told.Leg.ID = "another"
	}},
	{"turned away", func(f forgery) {
		n := f.note(func(n *note, c *callDoc) bool { return n.What == "confirm" && n.Told.Verdict == "ring" })
		l := f.call(func(c *callDoc) bool { return c.ID == n.Call }).leg(n.Who)
		l.Status, l.Reason = "skipped", "region_not_supported"
	}},
	{"feed loses nothing", func(f forgery) {
		f.Diary = slices.DeleteFunc(f.Diary, func(n *note) bool { return n.Told.Verdict == "stop" && strings.HasSuffix(n.Who, "wearable") })
	}},
	{"feed stops once", func(f forgery) {
		n := f.note(func(n *note, c *callDoc) bool { return n.What == "told" && n.Told.Verdict == "stop" })
		f.more(n).Text += " "
	}},
	{"feed stops once", func(f forgery) {
		n := f.note(func(n *note, c *callDoc) bool { return n.What == "told" && n.Told.Verdict == "stop" })
		n.Told.Reason = "busy_elsewhere"
	}},
	{"feed repeats nothing", func(f forgery) {
		n := f.note(func(n *note, c *callDoc) bool { return n.What == "told" && n.Told.Verdict == "stop" })
		f.more(n)
	}},
	{"feed goes forward", func(f forgery) { // an earlier state comes after a later one
		n := f.note(func(n *note, c *callDoc) bool { return n.What == "told" && n.Told.Leg.Status == "waking" })
		last := f.more(n)
		f.more(n).Told.Leg.Status = "waking"
		last.Told.Leg.Status = "ringing"
	}},
	{"no ring after stop", func(f forgery) {
		n := f.note(func(n *note, c *callDoc) bool { return n.What == "told" && n.Told.Verdict == "stop" })
		f.more(n).Told.Verdict = "ring"
	}},
	{"feed is private", func(f forgery) {
		n := f.note(func(n *note, c *callDoc) bool { return n.What == "told" })
		n.Told.Call.Callee.UserID = "another"
	}},
	{"feed is prompt", func(f forgery) {
		for i, n := range f.Diary {
			if n.What == "told" && n.Told.Verdict == "stop" {
				f.Diary[i] = copied(n)
				f.Diary[i].Got += time.Minute
			}
		}
	}},
	{"every leg is woken", func(f forgery) {
		_, l := f.leg(func(c *callDoc, l *legDoc) bool { return !l.HandedOverAt.IsZero() })
		f.Messages = slices.DeleteFunc(f.Messages, func(m messageDoc) bool { return bytes.Contains(m.Body, []byte(l.ID)) })
	}},
	{"to its phone", func(f forgery) {
		m := f.wake(func(p *pushDoc) bool { return p.Vendor == "push_kit" })
		m.Body = bytes.Replace(m.Body, []byte(`"token":["`), []byte(`"token":["X`), 1)
	}},
	{"VoIP rings", func(f forgery) {
		m := f.wake(func(p *pushDoc) bool { return p.voip && p.Vendor == "push_kit" })
		m.Body = regexp.MustCompile(`"extraData":"(\\.|[^"\\])*"`).ReplaceAll(m.Body, []byte(`"extraData":"{\"canceled\":true}"`))
	}},
	{"attempts", func(f forgery) { f.Messages = append(f.Messages, *f.wake(func(p *pushDoc) bool { return true })) }},
	{"expiration", func(f forgery) {
		m := f.wake(func(p *pushDoc) bool { return p.Vendor == "push_kit" && p.voip })
		m.Body = regexp.MustCompile(`"ttl":\d+`).ReplaceAll(m.Body, []byte(`"ttl":3600`))
	}},
	{"expiration", func(f forgery) {
		m := f.wake(func(p *pushDoc) bool { return p.Vendor == "apns" })
		m.Headers = maps.Clone(m.Headers)
		m.Headers["apns-expiration"] = fmt.Sprint(m.AtMS/1000 + 3600)
	}},
	{"not too late", func(f forgery) {
		c := f.call(func(c *callDoc) bool {
			return slices.ContainsFunc(f.Timelines[c.ID], func(t entryDoc) bool {
				return t.Attempt != nil && t.Attempt.Number == 1 && !t.Attempt.StartedAt.After(c.EndedAt)
			})
		})
		for i, t := range f.line(c) {
			if t.Attempt != nil {
				late := *t.Attempt
				late.StartedAt = c.EndedAt.Add(time.Minute)
				f.line(c)[i].Attempt = &late
			}
		}
	}},
	{"one notice", func(f forgery) {
		c, l := f.leg(missedOn)
		f.notice(c, f.Devices[l.DeviceID].Tokens["push_kit"], day)
		f.notice(c, f.Devices[l.DeviceID].Tokens["push_kit"], day)
	}},
	{"notice to the right ones", func(f forgery) {
		c, l := f.leg(func(c *callDoc, l *legDoc) bool { return c.AnsweredBy != "" && phoned(l) })
		f.notice(c, f.Devices[l.DeviceID].Tokens["push_kit"], day)
	}},
	{"every notice", func(f forgery) {
		f.without("missed_call")
		c, l := f.leg(missedOn)
		f.notice(c, f.Devices[l.DeviceID].Tokens["push_kit"], day)
	}},
	{"notice form", func(f forgery) {
		c, l := f.leg(missedOn)
		f.notice(c, f.Devices[l.DeviceID].Tokens["push_kit"], 60)
	}},
	{"escalation", func(f forgery) { // at once
		m := *f.wake(func(p *pushDoc) bool { return p.Vendor == "apns" && p.voip })
		m.Headers = map[string]string{"apns-push-type": "alert", "apns-id": "forged"}
		f.Messages = append(f.Messages, m)
	}},
	{"revoke", func(f forgery) {
		_, l := f.leg(func(c *callDoc, l *legDoc) bool { return l.Channel == "push_kit_voip" })
		f.revoke(f.Devices[l.DeviceID].Tokens["push_kit"], 1)
	}},
	{"every revoke", func(f forgery) {
		f.without("revoke")
		f.revoke("another", 1)
	}},
	{"events lose nothing", func(f forgery) {
		f.heard(anyEvent, func(told []heardDoc, i int) []heardDoc { return slices.Delete(told, i, i+1) })
	}},
	{"events lose nothing", func(f forgery) {
		f.heard(anyEvent, func(told []heardDoc, i int) []heardDoc { return append(told, told[i]) })
	}},
	{"events in order", func(f forgery) {
		f.heard(anyEvent, func(told []heardDoc, i int) []heardDoc {
			return append(slices.Delete(slices.Clone(told), i, i+1), told[i])
		})
	}},
	{"events agree", func(f forgery) {
		f.heard(anyEvent, func(told []heardDoc, i int) []heardDoc { told[i], told[i+1] = told[i+1], told[i]; return told })
	}},
	{"events are true", func(f forgery) {
		f.heard(func(h *heardDoc) bool { return h.Call.AnsweredBy != "" && h.Call.Status == "ended" }, func(told []heardDoc, i int) []heardDoc {
			told[i].Call.AnsweredBy = "another"
			return told
		})
	}},
	{"events are true", func(f forgery) {
		f.heard(func(h *heardDoc) bool { return h.Type == "leg.updated" && h.Legs[0].Status == "missed" }, func(told []heardDoc, i int) []heardDoc {
			told[i].Legs[0].Status = "canceled"
			return told
		})
	}},
	{"events are private", func(f forgery) {
		f.heard(anyEvent, func(told []heardDoc, i int) []heardDoc { told[i].AppID = "another"; return told })
	}},
	{"events are prompt", func(f forgery) {
		f.heard(anyEvent, func(told []heardDoc, i int) []heardDoc { told[i].Got += time.Hour; return told })
	}},
}

func anyEvent(*heardDoc) bool { return true }
