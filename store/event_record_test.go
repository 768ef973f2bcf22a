package store_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/store"
)

// logged reads a call's events.
func logged(t testing.TB, r *rig, c call.Call, n int) []store.LoggedEvent {
	t.Helper()
	var events []store.LoggedEvent
	eventually(t, fmt.Sprint(n, " events"), func() bool {
		page, err := r.Events(t.Context(), store.EventQuery{AppID: app, CallID: c.ID, Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		events = page.Events
		return len(events) >= n
	})
	return events
}

// TestEventsHoldWhatChanged reads an event of every step and finds the call as
// the step left it, with what never changes, and the legs that the step changed.
func TestEventsHoldWhatChanged(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, device := range []string{"d1", "d2", "d3"} {
		phone(t, r.Store, "u2", device)
	}
	phone(t, r.Store, "u2", "hk", func(r *store.Registration) { r.Region[call.FromBackend] = "HK" })
	in := invite("u2")
	in.Ref, in.Custom = "sip-1", []byte(`{"room":"r9"}`)
	c := create(t, r.Store, in)
	confirm(t, r.Store, c, "d1")
	report(t, r.Store, c, "d1", call.ReportAnswered)
	report(t, r.Store, c, "d1", call.ReportDisconnected)

	type told struct {
		Type   call.EventType
		Seq    int
		Status call.Status
		Legs   map[string]call.LegStatus
	}
	legs := func(of ...any) map[string]call.LegStatus {
		m := map[string]call.LegStatus{}
		for i := 0; i < len(of); i += 2 {
			m[of[i].(string)] = of[i+1].(call.LegStatus)
		}
		return m
	}
	elsewhere := legs("d1", call.LegAnswered, "d2", call.LegAnsweredElsewhere, "d3", call.LegAnsweredElsewhere)
	want := []told{
		{call.EventCallCreated, 1, call.StatusWaking, legs("d1", call.LegWaking, "d2", call.LegWaking, "d3", call.LegWaking, "hk", call.LegSkipped)},
		{call.EventLegUpdated, 2, call.StatusWaking, legs("d1", call.LegConfirmed)},
		{call.EventLegUpdated, 3, call.StatusAnswered, legs("d1", call.LegAnswered)},
		{call.EventCallRinging, 4, call.StatusAnswered, elsewhere},
		{call.EventLegUpdated, 5, call.StatusAnswered, legs("d1", call.LegAnswered)},
		{call.EventLegUpdated, 6, call.StatusAnswered, legs("d2", call.LegAnsweredElsewhere)},
		{call.EventLegUpdated, 7, call.StatusAnswered, legs("d3", call.LegAnsweredElsewhere)},
		{call.EventCallAnswered, 8, call.StatusAnswered, elsewhere},
		{call.EventLegUpdated, 9, call.StatusEnded, legs("d1", call.LegCompleted)},
		{call.EventCallEnded, 10, call.StatusEnded, legs("d1", call.LegCompleted)},
	}
	var got []told
	for _, e := range logged(t, r, c, len(want)) {
		got = append(got, told{e.Type, e.CallSeq, e.Call.Status, legStatuses(*e.Call)})
		if e.Call.Ref != "sip-1" || string(e.Call.Custom) != `{"room":"r9"}` || e.Call.Caller.Name != "Li Na" || !e.Call.ExpiresAt.Equal(c.ExpiresAt) {
			t.Errorf("event %d lacks what never changes: %+v", e.CallSeq, e.Call)
		}
		for _, l := range e.Call.Legs {
			first := legOf(t, c, l.DeviceID)
			if l.ID != first.ID || l.Platform != first.Platform || l.Channel != first.Channel || l.Presentation != first.Presentation {
				t.Errorf("event %d: leg %+v, want of %+v", e.CallSeq, l, first)
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if ended := logged(t, r, c, len(want))[len(want)-1].Call; ended.EndReason != call.EndCompleted || ended.AnsweredBy != "d1" || ended.EndedAt.IsZero() || ended.RingingAt.IsZero() {
		t.Errorf("the end: %+v", ended)
	}
}

// TestEventsOfEarlierVersions reads a log in which each event held the whole
// call, and decisions that were kept with their legs.
func TestEventsOfEarlierVersions(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	phone(t, r.Store, "u2", "d1")
	phone(t, r.Store, "u2", "d2")
	in := keyed("u2", "k1")
	in.Custom = []byte(`{"room": "r9"}`)
	c := create(t, r.Store, in)
	first := told(t, c)
	confirm(t, r.Store, c, "d1")
	if _, err := r.CancelCall(t.Context(), app, c.ID); err != nil {
		t.Fatal(err)
	}
	before, entries, err := r.Timeline(t.Context(), app, c.ID)
	if err != nil {
		t.Fatal(err)
	}
	n := before.Seq
	log := logged(t, r, c, n)

	// Every event as a version before this one wrote it.
	then := c
	for _, e := range log {
		for _, l := range e.Call.Legs {
			*then.Leg(l.ID) = l
		}
		legs := make([]map[string]any, len(then.Legs))
		for i, l := range then.Legs {
			legs[i] = map[string]any{
				"id": l.ID, "device_id": l.DeviceID, "user_id": l.UserID, "platform": l.Platform, "device_type": l.DeviceType, "channel": l.Channel,
				"presentation": l.Presentation, "status": l.Status, "reason": l.Reason, "wake_channel": l.WakeChannel,
			}
			for name, at := range map[string]any{"confirmed_at": l.ConfirmedAt, "ended_at": l.EndedAt} {
				legs[i][name] = at
			}
		}
		data, err := json.Marshal(map[string]any{
			"id": c.ID, "direction": c.Direction, "status": e.Call.Status, "end_reason": e.Call.EndReason, "media": c.Media, "voice_answer": true, "conference": false,
			"caller": map[string]string{"user_id": "caller", "name": "Li Na"}, "callee": map[string]string{"user_id": "u2"}, "custom": json.RawMessage(in.Custom),
			"created_at": c.CreatedAt, "expires_at": c.ExpiresAt, "ended_at": e.Call.EndedAt, "seq": e.Call.Seq, "legs": legs,
		})
		if err != nil {
			t.Fatal(err)
		}
		r.exec(t, `UPDATE events SET data = $1 WHERE id = $2`, data, e.ID)
	}
	for _, e := range entries {
		if e.Decision != nil {
			r.exec(t, `UPDATE legs SET decision = $1 WHERE id = $2`, longDecision(t, *e.Decision), e.LegID)
		}
	}
	readAsBefore := func() {
		t.Helper()
		if diff := cmp.Diff(statuses(log), statuses(logged(t, r, c, n))); diff != "" {
			t.Errorf("the log: %s", diff)
		}
		after, again, err := r.Timeline(t.Context(), app, c.ID)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(before, after, cmp.AllowUnexported(call.Call{})); diff != "" {
			t.Errorf("the call: %s", diff)
		}
		if len(entries) != len(again) {
			t.Fatalf("%d entries, were %d", len(again), len(entries))
		}
		for i := range entries {
			if diff := cmp.Diff(entries[i].Decision, again[i].Decision); diff != "" || (entries[i].Call == nil) != (again[i].Call == nil) {
				t.Errorf("entry %d: %s", i, diff)
			}
			if a, b := entries[i].Call, again[i].Call; a != nil && (a.Status != b.Status || !cmp.Equal(legStatuses(*a), legStatuses(*b))) {
				t.Errorf("entry %d: %s %v, was %s %v", i, b.Status, legStatuses(*b), a.Status, legStatuses(*a))
			}
		}
		repeat, err := r.other.CreateCall(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(first, told(t, repeat)); diff != "" {
			t.Errorf("the repeat: %s", diff)
		}
	}
	readAsBefore()

	// And as the one after it did: what the step changed, with names in full.
	for _, e := range log {
		legs := []map[string]any{}
		for _, l := range e.Call.Legs {
			leg := map[string]any{"status": l.Status, "reason": l.Reason, "wake_channel": l.WakeChannel}
			if e.LegID == uuid.Nil {
				leg["id"] = l.ID
			}
			for name, at := range map[string]time.Time{"confirmed_at": l.ConfirmedAt, "ended_at": l.EndedAt} {
				if !at.IsZero() {
					leg[name] = at.UnixMicro()
				}
			}
			legs = append(legs, leg)
		}
		event := map[string]any{"status": e.Call.Status, "end_reason": e.Call.EndReason, "seq": e.Call.Seq, "legs": legs}
		if !e.Call.EndedAt.IsZero() {
			event["ended_at"] = e.Call.EndedAt.UnixMicro()
		}
		r.exec(t, `UPDATE events SET data = $1 WHERE id = $2`, event, e.ID)
	}
	plan := []map[string]any{}
	for _, e := range entries {
		if e.Decision != nil {
			decision := longDecision(t, *e.Decision)
			decision["leg"] = e.LegID
			plan = append(plan, decision)
		}
	}
	r.exec(t, `INSERT INTO plans (app_id, call_id, decisions) VALUES ($1, $2, $3)`, app, c.ID, plan)
	r.exec(t, `UPDATE legs SET decision = NULL`)
	readAsBefore()
}

// longDecision is a decision as earlier versions wrote it.
func longDecision(t *testing.T, d call.Decision) map[string]any {
	t.Helper()
	signals := []map[string]any{}
	for _, s := range d.Region.Signals {
		signals = append(signals, map[string]any{"source": s.Source, "country": s.Country, "age_ms": s.Age.Milliseconds(), "use": s.Use})
	}
	tokens := map[call.TokenName]call.TokenState{}
	for name, token := range d.Device.Tokens {
		tokens[name] = token.State
	}
	return map[string]any{
		"channel": d.Channel, "presentation": d.Presentation, "reason": d.Reason, "rules": d.RulesVersion,
		"region":         map[string]any{"area": d.Region.Area, "country": d.Region.Country, "signals": signals},
		"system_version": d.Device.SystemVersion, "emulator": d.Device.Emulator, "call_ui": d.Device.CallUI, "environment": d.Device.Environment,
		"bundle_id": d.Device.BundleID, "locale": d.Device.Locale, "tokens": tokens, "connected": d.Device.Connected, "heard_at": d.Device.HeardAt.UnixMicro(),
		"alive_incoming": d.Device.AliveIncoming, "alive_outgoing": d.Device.AliveOutgoing,
	}
}

// statuses tells events in brief: their legs are those that their types name,
// since an event of an earlier version does not say what its step changed.
func statuses(events []store.LoggedEvent) []string {
	all := make([]string, len(events))
	for i, e := range events {
		all[i] = fmt.Sprintf("%d %s %s %s", e.CallSeq, e.Type, e.Call.Status, e.Call.EndReason)
		if e.LegID != uuid.Nil {
			all[i] += fmt.Sprint(legStatuses(*e.Call))
		}
	}
	return all
}

// TestEventsGrowLinearly: what all events of a call take together grows with its
// devices, not with the square of their number.
func TestEventsGrowLinearly(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	makeApp(t, r.Store, app, func(p *call.Policy) { p.MaxDevices = 100 })
	bytes := func(user string, devices int) int {
		for d := range devices {
			phone(t, r.Store, user, fmt.Sprint(user, "-", d))
		}
		c := create(t, r.Store, invite(user))
		for _, l := range c.Legs {
			confirm(t, r.Store, c, l.DeviceID)
			report(t, r.Store, c, l.DeviceID, call.ReportRinging)
		}
		if _, err := r.CancelCall(t.Context(), app, c.ID); err != nil {
			t.Fatal(err)
		}
		return read[int](t, r, `SELECT sum(length(data::text))::int FROM events WHERE call_id = $1`, c.ID)
	}
	few, many := bytes("few", 5), bytes("many", 50)
	if ratio := float64(many) / float64(few); ratio > 11 {
		t.Errorf("ten times the devices, %.1f times the bytes: %d and %d", ratio, few, many)
	}
}
