package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/store"
	"github.com/pushwake/relay/store/storetest"
)

// refs are the calls that a filter finds, page by page, newest first.
func refs(t testing.TB, s *store.Store, f store.Filter, between func()) string {
	t.Helper()
	var found []string
	for {
		calls, more, err := s.Calls(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range calls {
			found = append(found, c.Ref)
			if len(c.Legs) == 0 && c.Ref != "E" {
				t.Errorf("call %s came without its legs", c.Ref)
			}
			f.Before = c.ID
		}
		if len(calls) > f.Limit || more && len(calls) < f.Limit {
			t.Errorf("a page of %d of %d, more %v", len(calls), f.Limit, more)
		}
		if !more {
			return strings.Join(found, " ")
		}
		between()
	}
}

// pagesOf are the calls that CallPages yields for a filter.
func pagesOf(t testing.TB, s *store.Store, f store.Filter, between func()) string {
	t.Helper()
	var found []string
	for calls, err := range s.CallPages(t.Context(), f) {
		if err != nil {
			t.Fatal(err)
		}
		if len(calls) == 0 || len(calls) > f.Limit {
			t.Errorf("a page of %d of %d", len(calls), f.Limit)
		}
		for _, c := range calls {
			found = append(found, c.Ref)
		}
		between()
	}
	return strings.Join(found, " ")
}

// TestHistory filters by one thing and by many.
func TestHistory(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	phone(t, r.Store, "u2", "d1")
	phone(t, r.Store, "u2", "hk", inCountry(call.FromBackend, "HK"))
	phone(t, r.Store, "u3", "d3")
	makeApp(t, r.Store, "second")
	phone(t, r.Store, "u2", "d1", func(r *store.Registration) { r.AppID = "second" })
	post := func(ref, user string, change ...func(*store.Invite)) call.Call {
		t.Helper()
		in := invite(user)
		in.Ref = ref
		for _, c := range change {
			c(&in)
		}
		time.Sleep(time.Millisecond) // a moment of its own, which the filter by time tells apart
		return create(t, r.Store, in)
	}
	a := post("A", "u2")
	report(t, r.Store, a, "d1", call.ReportActive, call.ReportDisconnected)
	b := post("B", "u2", func(in *store.Invite) { in.Media = call.Voice })
	if _, err := r.CancelCall(t.Context(), app, b.ID); err != nil {
		t.Fatal(err)
	}
	c := post("C", "u3", func(in *store.Invite) { in.Caller.UserID = "u2" })
	post("D", "u3")
	post("E", "nobody")
	post("S", "u2", func(in *store.Invite) { in.AppID = "second" })
	out, err := r.DialCall(t.Context(), outgoing("u3", "d3", "c1"))
	if err != nil {
		t.Fatal(err)
	}
	r.exec(t, `UPDATE calls SET ref = 'O' WHERE id = $1`, out.ID)

	for _, tc := range []struct {
		filter store.Filter
		want   string
	}{
		{store.Filter{}, "O E D C B A"},
		{store.Filter{UserID: "u2"}, "C B A"},
		{store.Filter{UserID: "u3"}, "O D C"},
		{store.Filter{CallerID: "u2"}, "C"},
		{store.Filter{DeviceID: "d1"}, "B A"},
		{store.Filter{Ref: "D"}, "D"},
		{store.Filter{Status: call.StatusEnded}, "E B A"},
		{store.Filter{Status: call.StatusDialing}, "O"},
		{store.Filter{EndReason: call.EndCanceled}, "B"},
		{store.Filter{EndReason: call.EndUnreachable}, "E"},
		{store.Filter{Direction: call.Outgoing}, "O"},
		{store.Filter{Media: call.Voice}, "O B"},
		{store.Filter{Platform: call.HarmonyOS}, "O D C B A"},
		{store.Filter{Platform: call.IOS}, ""},
		{store.Filter{Region: "HK"}, "B A"},
		{store.Filter{Region: "CN"}, "O D C B A"},
		{store.Filter{Reason: call.ReasonRegionNotSupported}, "B A"},
		{store.Filter{Reason: call.ReasonNoToken}, ""},
		{store.Filter{From: c.CreatedAt}, "O E D C"},
		{store.Filter{To: c.CreatedAt}, "B A"},
		{store.Filter{From: b.CreatedAt, To: c.CreatedAt}, "B"},
		{store.Filter{From: b.CreatedAt, To: b.CreatedAt.Add(time.Microsecond)}, "B"}, // to the last digit
		{store.Filter{From: b.CreatedAt.Add(time.Microsecond), To: c.CreatedAt}, ""},
		{store.Filter{From: c.CreatedAt, To: b.CreatedAt}, ""},
		{store.Filter{From: c.CreatedAt.AddDate(1, 0, 0)}, ""},
		{store.Filter{From: c.CreatedAt.AddDate(-1, 0, 0), To: c.CreatedAt.AddDate(1, 0, 0), UserID: "u2", Media: call.Voice}, "B"},
		{store.Filter{DeviceID: "d1", Region: "HK"}, ""}, // both of one leg
		{store.Filter{DeviceID: "hk", Region: "HK", Reason: call.ReasonRegionNotSupported, UserID: "u2", EndReason: call.EndCompleted}, "A"},
		{store.Filter{UserID: "u2", CallerID: "caller", Status: call.StatusEnded, Media: call.Video, Direction: call.Incoming, To: c.CreatedAt}, "A"},
		{store.Filter{Platform: call.HarmonyOS, Region: "HK", Media: call.Video}, "A"},
		{store.Filter{Status: call.StatusEnded, EndReason: call.EndCanceled, Media: call.Video}, ""}, // each holds for another call
		{store.Filter{Before: c.ID, UserID: "u2"}, "B A"},
		{store.Filter{Ref: "' OR true --"}, ""},
	} {
		tc.filter.AppID = app
		for _, limit := range []int{1, 2, 50} {
			tc.filter.Limit = limit
			if got := refs(t, r.Store, tc.filter, func() {}); got != tc.want {
				t.Errorf("%+v: %q, want %q", tc.filter, got, tc.want)
			}
			if got := pagesOf(t, r.Store, tc.filter, func() {}); got != tc.want {
				t.Errorf("%+v in one go: %q, want %q", tc.filter, got, tc.want)
			}
		}
	}
	// Every app's, as an operator sees them.
	for _, limit := range []int{1, 3, 50} {
		for filter, want := range map[store.Filter]string{{}: "O S E D C B A", {UserID: "u2", Platform: call.HarmonyOS}: "S C B A", {CallerID: "u2"}: "C"} {
			filter.Limit = limit
			if got := refs(t, r.Store, filter, func() {}); got != want {
				t.Errorf("all apps, %+v: %q, want %q", filter, got, want)
			}
			if got := pagesOf(t, r.Store, filter, func() {}); got != want {
				t.Errorf("all apps in one go, %+v: %q, want %q", filter, got, want)
			}
		}
	}
	nobody := store.Filter{AppID: "nobody", Limit: 3}
	if got := refs(t, r.Store, nobody, func() {}) + pagesOf(t, r.Store, nobody, func() {}); got != "" {
		t.Errorf("an unknown app: %q", got)
	}
	// Calls that come while one turns the pages change none of them.
	n := 0
	if got := refs(t, r.Store, store.Filter{AppID: app, Limit: 2}, func() { n++; post(fmt.Sprint("new", n), "u3") }); got != "O E D C B A" {
		t.Errorf("while calls came: %q", got)
	}
	want := "new2 new1 O E D C B A"
	if got := pagesOf(t, r.Store, store.Filter{AppID: app, Limit: 3}, func() { n++; post(fmt.Sprint("new", n), "u3") }); got != want {
		t.Errorf("in one go while calls came: %q, want %q", got, want)
	}
}

// TestLongHistory reads calls of many weeks, whether the weeks have partitions
// or not, and of apps whose calls lie between each other's.
func TestLongHistory(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	makeApp(t, r.Store, "second")
	now := r.Now()
	until := map[string]time.Time{app: now, "second": now.Add(-50 * 24 * time.Hour)}
	for id, last := range until {
		storetest.FillHistory(t, r.url, id, 100, 11*time.Hour, last)
	}
	if err := r.MakePartitionsFrom(t.Context(), now.AddDate(0, 0, -20), 1); err != nil {
		t.Fatal(err)
	}
	for _, f := range []store.Filter{
		{AppID: app, Limit: 7}, {AppID: app, Limit: 200}, {Limit: 7}, {Limit: 200},
		{AppID: app, Limit: 3, Reason: call.ReasonTokenDead}, {Limit: 3, Platform: call.IOS}, {AppID: "second", Limit: 50, DeviceID: "user7-phone"},
		{Limit: 5, From: now.AddDate(0, 0, -60), To: now.AddDate(0, 0, -21)},
	} {
		want := read[string](t, r, `SELECT coalesce(string_agg(app_id || ' ' || ref, ', ' ORDER BY id DESC), '') FROM calls c
			WHERE ($1 = '' OR app_id = $1) AND ($2::timestamptz IS NULL OR created_at >= $2) AND ($3::timestamptz IS NULL OR created_at < $3)
			  AND ($4 || $5 || $6 = '' OR id IN (SELECT call_id FROM legs WHERE $4 IN ('', reason) AND $5 IN ('', platform) AND $6 IN ('', device_id)))`,
			f.AppID, pgtype.Timestamptz{Time: f.From, Valid: !f.From.IsZero()}, pgtype.Timestamptz{Time: f.To, Valid: !f.To.IsZero()}, string(f.Reason), string(f.Platform), f.DeviceID)
		var got []string
		for calls, err := range r.CallPages(t.Context(), f) {
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range calls {
				got = append(got, c.AppID+" "+c.Ref)
				if len(c.Legs) == 0 {
					t.Errorf("call %s came without its legs", c.Ref)
				}
			}
		}
		if want == "" || strings.Join(got, ", ") != want {
			t.Errorf("%+v:\n%s\nwant\n%s", f, strings.Join(got, ", "), want)
		}
	}
}

// TestHistoryOfManyDevices: pages are smaller where calls have many legs, and
// one call is read whatever it has.
func TestHistoryOfManyDevices(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	storetest.FillHistory(t, r.url, app, 100, time.Second, r.Now())
	r.exec(t, `INSERT INTO legs (app_id, call_id, id, direction, device_id, user_id, platform, device_type, status, decision, enterprise, last_seq, wake_attempt, ended_at)
		SELECT c.app_id, c.id, gen_random_uuid(), c.direction, 'more-' || n, c.callee_id, 'harmonyos', 'phone', 'skipped', '{}', false, 0, 0, c.ended_at
		FROM calls c, generate_series(1, CASE c.ref WHEN 'r50' THEN 3000 ELSE 90 END) AS n WHERE substr(c.ref, 2)::int BETWEEN 21 AND 80`)
	var got []string
	for calls, err := range r.CallPages(t.Context(), store.Filter{AppID: app, Limit: 100}) {
		if err != nil {
			t.Fatal(err)
		}
		legs := 0
		for _, c := range calls {
			got = append(got, fmt.Sprint(c.Ref, " ", len(c.Legs)))
			legs += len(c.Legs)
		}
		if legs > 2000 && len(calls) > 1 {
			t.Errorf("%d legs of %d calls at once", legs, len(calls))
		}
	}
	want := read[string](t, r, `SELECT string_agg(ref || ' ' || (SELECT count(*) FROM legs l WHERE l.call_id = c.id), ', ' ORDER BY id DESC) FROM calls c`)
	if strings.Join(got, ", ") != want {
		t.Errorf("got\n%v\nwant\n%v", got, want)
	}
}

// TestHistoryLetsGo: a reader who has enough, or who is gone, costs nothing more.
func TestHistoryLetsGo(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	storetest.FillHistory(t, r.url, app, 100, time.Second, r.Now())
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	seen := &statements{}
	if err := r.Trace(t.Context(), seen); err != nil {
		t.Fatal(err)
	}
	for range r.CallPages(ctx, store.Filter{AppID: app, Limit: 10}) {
		break
	}
	if n := len(seen.take()); n != 3 { // the oldest call, a page's calls, their legs
		t.Errorf("%d statements for one page", n)
	}
	pages := 0
	for calls, err := range r.CallPages(ctx, store.Filter{AppID: app, Limit: 10}) {
		if pages++; pages == 3 {
			leave()
		}
		if (err != nil) != (pages == 4) || err != nil && (!errors.Is(err, context.Canceled) || calls != nil) {
			t.Errorf("page %d: %d calls, %v", pages, len(calls), err)
		}
	}
	if pages != 4 {
		t.Errorf("%d pages after the reader had left with the third", pages)
	}
}

// TestOtherAppsCalls: a call is its app's alone, and an operator's.
func TestOtherAppsCalls(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	makeApp(t, r.Store, "second")
	phone(t, r.Store, "u2", "d1")
	c := create(t, r.Store, invite("u2"))
	for id, want := range map[uuid.UUID]error{c.ID: store.ErrNotFound, uuid.New(): store.ErrNotFound} {
		_, err := r.Call(t.Context(), "second", id)
		wantErr(t, "another app's call", err, want)
		_, _, err = r.Timeline(t.Context(), "second", id)
		wantErr(t, "another app's timeline", err, want)
	}
	if got, err := r.Call(t.Context(), "", c.ID); err != nil || got.AppID != app || len(got.Legs) != 1 {
		t.Errorf("an operator's look: %+v, %v", got, err)
	}
	if got, entries, err := r.Timeline(t.Context(), "", c.ID); err != nil || got.AppID != app || len(entries) != 2 {
		t.Errorf("an operator's timeline: %d entries, %v", len(entries), err)
	}
	_, err := r.Device(t.Context(), "second", "d1")
	wantErr(t, "another app's device", err, store.ErrNotFound)
	if live, err := r.LiveCalls(t.Context(), "second", "d1", "u2"); err != nil || len(live) != 0 {
		t.Errorf("another app's live calls: %v, %v", live, err)
	}
}

// TestLiveCalls are those alive on the device, for its user alone.
func TestLiveCalls(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	phone(t, r.Store, "u2", "d1")
	phone(t, r.Store, "u2", "d2")
	var calls []call.Call
	for i := range 3 {
		in := invite("u2")
		in.Ref = fmt.Sprint("c", i)
		calls = append(calls, create(t, r.Store, in))
		time.Sleep(time.Millisecond)
	}
	report(t, r.Store, calls[1], "d2", call.ReportAnswered)
	live := func(device, user string) (got string) {
		t.Helper()
		found, err := r.LiveCalls(t.Context(), app, device, user)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range found {
			got += c.Ref + " "
			legOf(t, c, device)
		}
		return got
	}
	if got := live("d1", "u2"); got != "c0 c2 " {
		t.Errorf("on d1: %s", got)
	}
	if got := live("d2", "u2"); got != "c0 c1 c2 " {
		t.Errorf("on d2: %s", got)
	}
	if got := live("d1", "u3"); got != "" {
		t.Errorf("for another user: %s", got)
	}
}

// TestTimeline tells why it did not ring: everything, in order.
func TestTimeline(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	phone(t, r.Store, "u2", "d1")
	phone(t, r.Store, "u2", "d2", inCountry(call.FromSIM, "HK"))
	c := create(t, r.Store, invite("u2"))
	w := r.inbox.of(t, c, "d1")
	again := attempt(r, w)
	again.Outcome, again.Status, again.Code, again.Message, again.RequestID, again.Blame, again.Reason = "unavailable", 503, "x", "try later", "r1", "vendor", call.ReasonVendorUnavailable
	finish(t, r.Store, w, store.Outcome{Attempt: again, Next: store.WakeAgain}, true)
	w.Number = 2
	finish(t, r.Store, w, store.Outcome{Attempt: attempt(r, w), Next: store.WakeAccepted}, false)
	confirm(t, r.Store, c, "d1")
	report(t, r.Store, c, "d1", call.ReportRinging, call.ReportAnswered)
	late := said(2, call.ReportMuted)
	_, err := say(t, r.Store, c, "d1", late)
	wantErr(t, "a conflict", err, call.ErrSeqConflict)
	report(t, r.Store, c, "d1", call.ReportDisconnected)
	_, err = say(t, r.Store, c, "d1", said(9, call.ReportActive))
	wantErr(t, "a report after the end", err, call.ErrEnded)

	now, entries, err := r.Timeline(t.Context(), app, c.ID)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	seq := 0
	for i, e := range entries {
		line := e.DeviceID + " "
		parts := 0
		if d := e.Decision; d != nil {
			parts++
			line += fmt.Sprintf("decision %s%s of %d signals by %s", d.Channel, d.Reason, len(d.Region.Signals), d.RulesVersion)
		}
		if a := e.Attempt; a != nil {
			parts++
			line += fmt.Sprintf("attempt %d %s %d", a.Number, a.Outcome, a.Status)
		}
		if f := e.Confirm; f != nil {
			parts++
			line += fmt.Sprintf("confirm %s %s in %s", f.VendorCallID, f.Verdict, f.Gate.Region.Country)
		}
		if p := e.Report; p != nil {
			parts++
			line += fmt.Sprintf("report %d %s %s", p.Seq, p.Event, p.Refused)
		}
		if v := e.Event; v != nil {
			parts++
			if v.Seq != seq+1 || e.Call == nil || (e.Leg != nil) != (v.Type == call.EventLegUpdated) {
				t.Errorf("event %d after %d: %+v", v.Seq, seq, e)
			}
			seq = v.Seq
			line += string(v.Type)
			if e.Leg != nil {
				line += " " + string(e.Leg.Status)
			}
		}
		if parts != 1 {
			t.Errorf("an entry of %d parts: %+v", parts, e)
		}
		if i > 0 && e.At.Before(entries[i-1].At) {
			t.Errorf("entry %d is older than the one before", i)
		}
		got = append(got, strings.TrimSpace(line))
	}
	want := []string{
		"call.created",
		"d1 decision push_kit_voip of 1 signals by 2026-11", "d2 decision region_not_supported of 1 signals by 2026-11",
		"d1 attempt 1 unavailable 503", "d1 attempt 2 accepted 200", "d1 leg.updated handed_over",
		"d1 confirm pk-d1 ring in CN", "d1 leg.updated confirmed",
		"d1 report 1 ringing", "d1 report 2 answered", "d1 leg.updated answered", "call.ringing", "d1 leg.updated answered", "call.answered",
		"d1 report 3 disconnected", "d1 leg.updated completed", "call.ended", "d1 report 9 active call_ended",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if now.EndReason != call.EndCompleted {
		t.Errorf("the call: %+v", now)
	}
}
