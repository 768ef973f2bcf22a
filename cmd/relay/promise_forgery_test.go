package main_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// sample is the first calls of a recording, to be broken: what is changed in it
// is copied first.
func (r *recording) sample(calls int) *recording {
	e := newEvidence(r)
	s := *r
	s.Calls, s.Timelines, s.Listed, s.Messages, s.Diary = map[string]*callDoc{}, map[string][]entryDoc{}, map[string][]callDoc{}, nil, nil
	for _, id := range e.ids[:min(calls, len(e.ids))] {
		s.Calls[id], s.Timelines[id] = r.Calls[id], r.Timelines[id]
	}
	for app, list := range r.Listed {
		s.Listed[app] = slices.DeleteFunc(slices.Clone(list), func(c callDoc) bool { return s.Calls[c.ID] == nil })
	}
	alerts := e.alerts()
	for _, p := range e.pushes {
		if alert := alerts[notification{p.token, p.notifyID}]; p.purpose == "revoke" && len(alert) > 0 {
			p.call = alert[0].call
		}
		if s.Calls[p.call] != nil {
			s.Messages = append(s.Messages, *p.messageDoc)
		}
	}
	for _, n := range r.Diary {
		id := n.Call
		if n.What == "invite" && n.Told.Call != nil {
			id = n.Told.Call.ID
		}
		if id == "" || s.Calls[id] != nil {
			s.Diary = append(s.Diary, n)
		}
	}
	s.Heard = map[string]map[string][]heardDoc{}
	for app, readers := range r.Heard {
		s.Heard[app] = map[string][]heardDoc{}
		for reader, heard := range readers {
			s.Heard[app][reader] = slices.DeleteFunc(slices.Clone(heard), func(h heardDoc) bool { return h.Call != nil && s.Calls[h.Call.ID] == nil })
		}
	}
	return &s
}

// forgery is a copy of a sample in which one thing is made wrong.
type forgery struct {
	*testing.T
	*recording
}

func (r *recording) forge(t *testing.T) forgery {
	c := *r
	c.Calls, c.Timelines, c.Listed = maps.Clone(r.Calls), maps.Clone(r.Timelines), maps.Clone(r.Listed)
	c.Messages, c.Diary = slices.Clone(r.Messages), slices.Clone(r.Diary)
	c.Heard = map[string]map[string][]heardDoc{}
	for app, readers := range r.Heard {
		c.Heard[app] = maps.Clone(readers)
	}
	return forgery{t, &c}
}

// call is the first call of a kind, to be changed.
func (f forgery) call(is func(c *callDoc) bool) *callDoc {
	f.Helper()
	for _, id := range newEvidence(f.recording).ids {
		if is(f.Calls[id]) {
			c := *f.Calls[id]
			c.Legs = slices.Clone(c.Legs)
			f.Calls[id] = &c
			return &c
		}
	}
	f.Fatal("no such call in the sample")
	return nil
}

// leg is the first leg of a kind, to be changed.
func (f forgery) leg(is func(c *callDoc, l *legDoc) bool) (c *callDoc, l *legDoc) {
	f.Helper()
	c = f.call(func(c *callDoc) bool {
		return slices.ContainsFunc(c.Legs, func(l legDoc) bool { return is(c, &l) })
	})
	return c, &c.Legs[slices.IndexFunc(c.Legs, func(l legDoc) bool { return is(c, &l) })]
}

// note is the first note of a kind, to be changed.
func (f forgery) note(is func(n *note, c *callDoc) bool) *note {
	f.Helper()
	for i, n := range f.Diary {
		if c := f.Calls[n.Call]; c != nil && is(n, c) {
			n = copied(n)
			f.Diary[i] = n
			return n
		}
	}
	f.Fatal("no such note in the sample")
	return nil
}

func copied(n *note) *note {
	c := *n
	if n.Told.Call != nil {
		call := *n.Told.Call
		c.Told.Call = &call
	}
	if n.Told.Leg != nil {
		leg := *n.Told.Leg
		c.Told.Leg = &leg
	}
	return &c
}

// more adds a note after all others.
func (f forgery) more(n *note) *note {
	n = copied(n)
	n.Sent += time.Hour
	n.Got += time.Hour
	f.Diary = append(f.Diary, n)
	return n
}

// heard changes what the stream of an app told, at the first event of a kind.
func (f forgery) heard(is func(h *heardDoc) bool, change func(told []heardDoc, i int) []heardDoc) {
	f.Helper()
	for _, readers := range f.Heard {
		told := slices.Clone(readers["stream"])
		if i := slices.IndexFunc(told, func(h heardDoc) bool { return h.Call != nil && is(&h) }); i >= 0 {
			call := *told[i].Call
			told[i].Call, told[i].Legs = &call, slices.Clone(told[i].Legs)
			readers["stream"] = change(told, i)
			return
		}
	}
	f.Fatal("no such event in the sample")
}

// line is a call's timeline, to be changed.
func (f forgery) line(c *callDoc) []entryDoc {
	f.Timelines[c.ID] = slices.Clone(f.Timelines[c.ID])
	return f.Timelines[c.ID]
}

// wake is the first wake of a kind, to be changed.
func (f forgery) wake(is func(p *pushDoc) bool) *messageDoc {
	f.Helper()
	for i, p := range newEvidence(f.recording).pushes {
		if p.purpose == "ring" && is(p) {
			return &f.Messages[i]
		}
	}
	f.Fatal("no such wake in the sample")
	return nil
}

// notice adds one about a missed call.
func (f forgery) notice(c *callDoc, token string, ttl int) {
	body, _ := json.Marshal(map[string]any{ // of strings and numbers alone
		"payload":     map[string]any{"notification": map[string]any{"category": "MISS_CALL", "appMessageId": "missed-" + c.ID}},
		"target":      map[string]any{"token": []string{token}},
		"pushOptions": map[string]any{"ttl": ttl, "biTag": fmt.Sprint("forged-", len(f.Messages))},
	})
	f.Messages = append(f.Messages, messageDoc{
		Vendor: "push_kit", AtMS: c.EndedAt.Add(time.Second).UnixMilli(), Path: "/v3/p/messages:send", Headers: map[string]string{"push-type": "0"}, Body: body, Verdict: "accepted",
	})
}

// revoke takes back a notification, whichever it is.
func (f forgery) revoke(token string, id int) {
	body := fmt.Sprintf(`{"notifyId":%d,"token":[%q]}`, id, token)
	f.Messages = append(f.Messages, messageDoc{
		Vendor: "push_kit", AtMS: f.Began.UnixMilli(), Path: "/v1/1/messages:revoke", Headers: map[string]string{"push-type": "0"}, Body: []byte(body), Verdict: "accepted",
	})
}

// without takes out what was sent for a purpose.
func (f forgery) without(purpose string) {
	e := newEvidence(f.recording)
	f.Messages = nil
	for _, p := range e.pushes {
		if p.purpose != purpose {
			f.Messages = append(f.Messages, *p.messageDoc)
		}
	}
}

const day = 86400 // seconds

// phoned reports whether a leg is one that Push Kit wakes.
func phoned(l *legDoc) bool { return strings.HasPrefix(l.Channel, "push_kit") }

func missedOn(c *callDoc, l *legDoc) bool { return c.EndReason == "missed" && phoned(l) && untold(c) }

// noticesForgeries holds the checker to its word: each promise is broken in a
// sample that keeps them all.
func noticesForgeries(t *testing.T, clean *recording) {
	for _, b := range clean.breaches() {
		t.Fatalf("the sample is broken as it is: %s: %s", b.promise, b.text)
	}
	tried := map[string]bool{}
	for _, f := range forgeries {
		tried[f.promise] = true
		t.Run(strings.ReplaceAll(f.promise, " ", "_"), func(t *testing.T) {
			forged := clean.forge(t)
			f.break_(forged)
			i := slices.IndexFunc(promises, func(p promise) bool { return p.name == f.promise })
			if i < 0 {
				t.Fatal("no such promise")
			}
			noticed := 0
			promises[i].check(newEvidence(forged.recording), func(string, ...any) { noticed++ })
			if noticed == 0 {
				t.Errorf("not noticed: %s", promises[i].text)
			}
		})
	}
	for _, p := range promises {
		if !tried[p.name] {
			t.Errorf("nothing breaks %q", p.name)
		}
	}
}
