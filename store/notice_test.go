package store_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/store"
)

// noticesOf are a call's notices as "device purpose", with why they were given up.
func noticesOf(t testing.TB, r *rig, c call.Call) (got []string) {
	t.Helper()
	text := read[string](t, r, `SELECT coalesce(string_agg(concat_ws(' ', device_id, purpose, reason), ',' ORDER BY device_id, purpose), '') FROM notices WHERE call_id = $1`, c.ID)
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}

func wantNotices(t testing.TB, r *rig, c call.Call, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, noticesOf(t, r, c)); diff != "" {
		t.Errorf("notices: %s", diff)
	}
}

// ringEnds lets a call's time come, and sweeps.
func ringEnds(t testing.TB, r *rig, s *store.Store, c call.Call) {
	t.Helper()
	r.exec(t, `WITH legs AS (UPDATE legs SET deadline_at = clock_timestamp() - interval '1 s' WHERE call_id = $1 AND deadline_at IS NOT NULL)
		UPDATE calls SET deadline_at = clock_timestamp() - interval '1 s' WHERE id = $1`, c.ID)
	if _, err := s.SweepDeadlines(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// notice waits until a box has a call's notice for a device.
func (b *inbox) notice(t testing.TB, c call.Call, device string) (w store.Wake) {
	t.Helper()
	eventually(t, "the notice of "+device, func() bool {
		all := b.allNotices()
		i := slices.IndexFunc(all, func(w store.Wake) bool { return w.CallID == c.ID && w.DeviceID == device })
		if i >= 0 {
			w = all[i]
		}
		return i >= 0
	})
	return w
}

func onAlert(r *store.Registration) { r.Device.CallUI = call.Alert }

// TestNotices plays calls to their ends: who is told, and who is not.
func TestNotices(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		play func(t *testing.T, r *rig, c call.Call)
		want []string
	}{
		"missed": {func(t *testing.T, r *rig, c call.Call) {
			handOver(t, r, c, "d1", "d2")
			confirm(t, r.Store, c, "d1")
			ringEnds(t, r, r.Store, c)
		}, []string{"d1 missed_call", "d2 missed_call"}},
		"rejected": {func(t *testing.T, r *rig, c call.Call) {
			handOver(t, r, c, "d1", "d2")
			report(t, r.Store, c, "d1", call.ReportRejected)
		}, nil},
		"answered": {func(t *testing.T, r *rig, c call.Call) {
			handOver(t, r, c, "d1", "d2")
			report(t, r.Store, c, "d1", call.ReportAnswered, call.ReportDisconnected)
		}, nil},
		"canceled": {func(t *testing.T, r *rig, c call.Call) {
			handOver(t, r, c, "d1", "d2")
			_, _ = r.CancelCall(t.Context(), app, c.ID)
		}, []string{"d1 missed_call", "d2 missed_call"}},
		"canceled while the wakes are under way": {func(t *testing.T, r *rig, c call.Call) {
			_, _ = r.CancelCall(t.Context(), app, c.ID)
			wantNotices(t, r, c) // or the vendor might take the wake after the notice
			handOver(t, r, c, "d1")
			wantNotices(t, r, c, "d1 missed_call")
			w := r.inbox.of(t, c, "d2")
			finish(t, r.Store, w, store.Outcome{Next: store.WakeGivenUp, Reason: call.ReasonVendorUnavailable}, false)
		}, []string{"d1 missed_call", "d2 missed_call"}},
		"nothing woke": {func(t *testing.T, r *rig, c call.Call) {
			for _, d := range []string{"d1", "d2"} {
				w := r.inbox.of(t, c, d)
				finish(t, r.Store, w, store.Outcome{Next: store.WakeGivenUp, Reason: call.ReasonVendorUnavailable}, false)
			}
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			phone(t, r.Store, "u2", "d1")
			phone(t, r.Store, "u2", "d2")
			phone(t, r.Store, "u2", "hk", inCountry(call.FromBackend, "HK"))
			c := create(t, r.Store, invite("u2"))
			tc.play(t, r, c)
			if now := look(t, r.Store, c.ID); now.Live() {
				t.Fatal("the call lives")
			}
			wantNotices(t, r, c, tc.want...)
			for _, want := range tc.want {
				device, _, _ := strings.Cut(want, " ")
				r.inbox.notice(t, c, device)
			}
			if got := len(r.inbox.allNotices()); got != len(tc.want) {
				t.Errorf("%d notices handed out, want %d", got, len(tc.want))
			}
		})
	}
}

// TestNoticeRejectOne: one phone rejects, the others ring out. The user has
// seen the call.
func TestNoticeRejectOne(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	makeApp(t, r.Store, app, func(p *call.Policy) { p.Reject = call.RejectOne })
	for _, d := range []string{"d1", "d2", "d3"} {
		phone(t, r.Store, "u2", d)
	}
	c := create(t, r.Store, invite("u2"))
	handOver(t, r, c, "d1", "d2", "d3")
	report(t, r.Store, c, "d3", call.ReportRejected)
	ringEnds(t, r, r.Store, c)
	if got := look(t, r.Store, c.ID); got.EndReason != call.EndMissed {
		t.Fatalf("the call ended as %s", got.EndReason)
	}
	wantNotices(t, r, c)
}

// TestNoticeAtLimit: a phone that has three calls is told of the fourth, which
// ended as it began.
func TestNoticeAtLimit(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	phone(t, r.Store, "u2", "d1", func(r *store.Registration) { r.Device.Locale = "zh-CN" })
	makeApp(t, r.Store, app, func(p *call.Policy) {
		p.Payload, p.NoticeTexts = call.PayloadMinimal, map[string]call.NoticeText{"zh": {Video: "您有未接视频来电"}}
	})
	for range 3 {
		create(t, r.Store, invite("u2"))
	}
	c := create(t, r.Store, invite("u2"))
	if c.EndReason != call.EndBusy {
		t.Fatalf("the fourth call: %+v", c)
	}
	wantNotices(t, r, c, "d1 missed_call")
	w := r.inbox.notice(t, c, "d1")
	if d := time.Until(w.RingEnd); d < 9*time.Minute || d > 10*time.Minute {
		t.Errorf("given up in %s", d)
	}
	w.RingEnd = time.Time{}
	want := store.Wake{
		Purpose: call.PurposeMissedCall, AppID: app, CallID: c.ID, LegID: legOf(t, c, "d1").ID, DeviceID: "d1", UserID: "u2",
		Channel: call.PushKitAlert, Token: "MAu2d10123456789", Environment: "production", Locale: "zh-CN", Number: 1, Text: "您有未接视频来电",
		Payload: call.WakePayload{
			Purpose: call.PurposeMissedCall, Call: c.ID, Leg: legOf(t, c, "d1").ID, Callee: "u2", Presentation: call.Alert, Media: call.Video,
			VoiceAnswer: true, ExpiresAt: c.ExpiresAt, Enterprise: true,
		},
	}
	if diff := cmp.Diff(want, w); diff != "" {
		t.Error(diff)
	}
	// A dry run owes nobody anything.
	if planned, _, err := r.PlanCall(t.Context(), invite("u2")); err != nil || planned.EndReason != call.EndBusy {
		t.Errorf("planned %s, %v", planned.EndReason, err)
	}
	if n := read[int](t, r, `SELECT count(*)::int FROM notices`); n != 1 {
		t.Errorf("%d notices after a dry run", n)
	}
}

// TestNoticeUnsent: what has changed about the device since its call is looked
// at, and why a notice was not sent is kept.
func TestNoticeUnsent(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	change := map[string]struct {
		do   func(device string)
		want string
	}{
		"alive":      {func(string) {}, ""},
		"newer":      {func(d string) { phone(t, r.Store, "u2", d, withToken("new")) }, ""},
		"none":       {func(d string) { phone(t, r.Store, "u2", d, withToken("")) }, "no_token"},
		"dead":       {func(d string) { r.exec(t, `UPDATE device_tokens SET state = 'dead' WHERE device_id = $1`, d) }, "token_dead"},
		"other-user": {func(d string) { phone(t, r.Store, "u3", d) }, "no_token"},
		"deleted":    {func(d string) { _ = r.DeleteDevice(t.Context(), app, d, "") }, "no_token"},
	}
	var devices []string
	for name := range change {
		phone(t, r.Store, "u2", name)
		devices = append(devices, name)
	}
	c := create(t, r.Store, invite("u2"))
	handOver(t, r, c, devices...)
	var want []string
	for name, tc := range change {
		tc.do(name)
		want = append(want, strings.TrimSpace(name+" missed_call "+tc.want))
	}
	slices.Sort(want)
	if _, err := r.CancelCall(t.Context(), app, c.ID); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the notices that cannot be sent", func() bool { return len(want) == len(noticesOf(t, r, c)) && slices.Equal(noticesOf(t, r, c), want) })
	r.inbox.notice(t, c, "alive")
	if w := r.inbox.notice(t, c, "newer"); w.Token != "new" {
		t.Errorf("the notice goes to %s", w.Token)
	}
	if n := len(r.inbox.allNotices()); n != 2 {
		t.Errorf("%d notices handed out", n)
	}
	_, entries, err := r.Timeline(t.Context(), app, c.ID)
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]call.Reason{}
	for _, e := range entries {
		if e.Notice != nil {
			told[e.DeviceID] = e.Notice.Reason
		}
	}
	if diff := cmp.Diff(map[string]call.Reason{"none": "no_token", "dead": "token_dead", "other-user": "no_token", "deleted": "no_token"}, told); diff != "" {
		t.Error(diff)
	}
}

// TestNoticeOutcomes: attempts are on record by their purpose, fenced by their
// number; the leg stays as it ended, and a refused token dies.
func TestNoticeOutcomes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	phone(t, r.Store, "u2", "d1")
	c := create(t, r.Store, invite("u2"))
	handOver(t, r, c, "d1")
	ringEnds(t, r, r.Store, c)
	ended := legOf(t, look(t, r.Store, c.ID), "d1")
	w := r.inbox.notice(t, c, "d1")
	wanted := func(s *store.Store, w store.Wake, want bool) {
		t.Helper()
		if got, err := s.WakeWanted(t.Context(), w); err != nil || got != want {
			t.Errorf("attempt %d wanted: %v, %v; want %v", w.Number, got, err, want)
		}
	}
	wanted(r.Store, w, true)
	wanted(r.other, w, false)
	refused := attempt(r, w)
	refused.Outcome, refused.Reason = "unavailable", call.ReasonVendorUnavailable
	finish(t, r.Store, w, store.Outcome{Attempt: refused, Next: store.WakeAgain}, true)
	wanted(r.Store, w, false)
	finish(t, r.Store, w, store.Outcome{Attempt: attempt(r, w), Next: store.WakeAccepted}, false) // the number is an old one
	w.Number = 2
	wanted(r.Store, w, true)
	finish(t, r.other, w, store.Outcome{Attempt: attempt(r, w), Next: store.WakeAccepted}, false) // not that process's
	wanted(r.Store, w, true)
	dead := attempt(r, w)
	dead.Outcome, dead.Reason = "token_refused", call.ReasonTokenDead
	finish(t, r.Store, w, store.Outcome{Attempt: dead, Next: store.WakeGivenUp, Reason: call.ReasonTokenDead, TokenState: call.TokenDead}, false)
	wanted(r.Store, w, false)
	wantNotices(t, r, c, "d1 missed_call token_dead")
	if diff := cmp.Diff([]string{"1 accepted", "1 unavailable", "1 accepted", "2 accepted", "2 token_refused"}, attemptsOf(t, r, c)); diff != "" {
		t.Error(diff)
	}
	_, entries, err := r.Timeline(t.Context(), app, c.ID)
	if err != nil {
		t.Fatal(err)
	}
	purposes := map[call.Purpose]int{}
	for _, e := range entries {
		if e.Attempt != nil {
			purposes[e.Attempt.Purpose]++
		}
	}
	if diff := cmp.Diff(map[call.Purpose]int{call.PurposeRing: 1, call.PurposeMissedCall: 4}, purposes); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(ended, legOf(t, look(t, r.Store, c.ID), "d1")); diff != "" {
		t.Errorf("a notice changed the leg: %s", diff)
	}
	if s := deviceOf(t, r, "d1").Tokens[call.TokenPushKit].State; s != call.TokenDead {
		t.Errorf("the token is %s", s)
	}
	if n, err := r.TakeOver(t.Context()); n != 0 || err != nil {
		t.Errorf("took over %d of its own, %v", n, err)
	}
}

// TestNoticeTakeOver: the process that ended the calls dies before it sent the
// notices. Two others take them, each once, and its late outcome changes nothing.
func TestNoticeTakeOver(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	patient := func(c *store.Config) { c.SilentAfter = 30 * time.Second } // these two do not beat, and must not take each other's
	second, box2 := r.joining(t, r.url, patient)
	third, box3 := r.joining(t, r.url, patient)
	var calls []call.Call
	for i := range 20 {
		user, device := fmt.Sprint("u", i), fmt.Sprint("d", i)
		phone(t, r.Store, user, device)
		c := create(t, r.Store, invite(user))
		handOver(t, r, c, device)
		if _, err := r.CancelCall(t.Context(), app, c.ID); err != nil {
			t.Fatal(err)
		}
		calls = append(calls, c)
	}
	late := r.inbox.notice(t, calls[0], "d0")
	done := r.inbox.notice(t, calls[1], "d1")
	finish(t, r.Store, done, store.Outcome{Attempt: attempt(r, done), Next: store.WakeAccepted}, false)
	eventually(t, "all notices", func() bool { return len(r.inbox.allNotices()) == 20 })
	if n, err := second.TakeOver(t.Context()); n != 0 || err != nil {
		t.Fatalf("took %d of a living process, %v", n, err)
	}
	silence(t, r, r.Store)
	var all sync.WaitGroup
	for _, s := range []*store.Store{second, third, second, third} {
		all.Go(func() {
			if _, err := s.TakeOver(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	seen := map[string]int{}
	for box, s := range map[*inbox]*store.Store{box2: second, box3: third} {
		for _, w := range box.allNotices() {
			seen[w.DeviceID]++
			if w.Number != 2 || w.Token == "" || w.Purpose != call.PurposeMissedCall {
				t.Errorf("a notice taken over: %+v", w)
			}
			finish(t, s, w, store.Outcome{Attempt: attempt(r, w), Next: store.WakeAccepted}, false)
		}
	}
	for i := range 20 {
		want := 1
		if i == 1 { // it was sent
			want = 0
		}
		if got := seen[fmt.Sprint("d", i)]; got != want {
			t.Errorf("the notice of d%d was taken %d times, want %d", i, got, want)
		}
	}
	finish(t, r.Store, late, store.Outcome{Attempt: attempt(r, late), Next: store.WakeAgain}, false)
	if diff := cmp.Diff([]string{"1 accepted", "1 abandoned", "2 accepted", "1 accepted"}, attemptsOf(t, r, calls[0])); diff != "" {
		t.Error(diff)
	}
	if n := read[int](t, r, `SELECT count(*)::int FROM notices WHERE done_at IS NULL OR reason IS NOT NULL`); n != 0 {
		t.Errorf("%d notices not sent", n)
	}
}

// TestNoticeLostCommit: the answer to the commit that ended a call is lost. Its
// notice is found again by the process that wrote it.
func TestNoticeLostCommit(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	phone(t, r.Store, "u2", "d1")
	p := newProxy(t, r.url)
	s, box := r.joining(t, p.url)
	c := create(t, r.Store, invite("u2"))
	handOver(t, r, c, "d1")
	p.swallow.Store(true)
	_, err := s.CancelCall(t.Context(), app, c.ID)
	wantErr(t, "a commit without an answer", err, store.ErrUnavailable)
	if n := len(box.allNotices()); n != 0 {
		t.Fatalf("%d notices of a call that nobody knows to have ended", n)
	}
	if n, err := s.TakeOver(t.Context()); n != 1 || err != nil {
		t.Fatalf("took %d, %v; want 1", n, err)
	}
	w := box.notice(t, c, "d1")
	// The same with its outcome: told again, it counts once.
	p.swallow.Store(true)
	o := store.Outcome{Attempt: attempt(r, w), Next: store.WakeAccepted}
	_, err = s.FinishAttempt(t.Context(), w, o)
	wantErr(t, "an outcome without an answer", err, store.ErrUnavailable)
	finish(t, s, w, o, false)
	got := attemptsOf(t, r, c) // those of one moment in any order
	slices.Sort(got)
	if diff := cmp.Diff([]string{"1 abandoned", "1 accepted", "2 accepted"}, got); diff != "" {
		t.Error(diff)
	}
	if n, err := s.TakeOver(t.Context()); n != 0 || err != nil {
		t.Errorf("took %d of what is sent, %v", n, err)
	}
}

// TestNoticesOfManyAtOnce: two processes sweep a hundred calls whose time has
// come. Each leg gets one notice, from one of them.
func TestNoticesOfManyAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	second, box2 := r.joining(t, r.url)
	var all sync.WaitGroup
	for i := range 100 {
		user := fmt.Sprint("u", i)
		phone(t, r.Store, user, "a-"+user)
		phone(t, r.Store, user, "b-"+user)
		handOver(t, r, create(t, r.Store, invite(user)), "a-"+user, "b-"+user)
	}
	r.exec(t, `UPDATE calls SET deadline_at = clock_timestamp() - interval '1 s'`)
	r.exec(t, `UPDATE legs SET deadline_at = clock_timestamp() - interval '1 s' WHERE deadline_at IS NOT NULL`)
	for _, s := range []*store.Store{r.Store, second, r.Store, second} {
		all.Go(func() {
			if _, err := s.SweepDeadlines(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	eventually(t, "all notices", func() bool { return len(r.inbox.allNotices())+len(box2.allNotices()) >= 200 })
	seen := map[string]int{}
	for _, w := range append(r.inbox.allNotices(), box2.allNotices()...) {
		seen[w.DeviceID]++
		if w.Number != 1 {
			t.Errorf("attempt %d", w.Number)
		}
	}
	for device, n := range seen {
		if n != 1 {
			t.Errorf("%s is told %d times", device, n)
		}
	}
	if n := read[int](t, r, `SELECT count(*)::int FROM notices`); n != 200 || len(seen) != 200 {
		t.Errorf("%d notices for %d devices, want 200", n, len(seen))
	}
}

// TestRevokes: a notification of a call is taken back once it was accepted and
// is not true any more, unless a missed call's notice takes its place.
func TestRevokes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	phone(t, r.Store, "u2", "d1")
	phone(t, r.Store, "u2", "a1", onAlert)
	phone(t, r.Store, "u2", "a2", onAlert)
	ring := func() call.Call {
		t.Helper()
		c := create(t, r.Store, invite("u2"))
		handOver(t, r, c, "d1", "a1")
		return c
	}
	c := ring()
	wantNotices(t, r, c)
	confirm(t, r.Store, c, "a1")
	wantNotices(t, r, c, "a1 revoke")
	if w := r.inbox.notice(t, c, "a1"); w.Purpose != call.PurposeRevoke || w.Channel != call.PushKitAlert || w.Text != "" {
		t.Errorf("the revoke: %+v", w)
	}
	report(t, r.Store, c, "d1", call.ReportAnswered)
	wantNotices(t, r, c, "a1 revoke") // what was not accepted is not taken back
	handOver(t, r, c, "a2")
	wantNotices(t, r, c, "a1 revoke", "a2 revoke") // the vendor's answer came after the end
	report(t, r.Store, c, "d1", call.ReportDisconnected)

	// The user opened the app and let it ring out: the notice must stay, so the
	// revoke that is under way is not to come after it.
	c = ring()
	handOver(t, r, c, "a2")
	confirm(t, r.Store, c, "a1")
	w := r.inbox.notice(t, c, "a1")
	ringEnds(t, r, r.Store, c)
	wantNotices(t, r, c, "a1 missed_call", "a1 revoke", "a2 missed_call", "d1 missed_call")
	if wanted, err := r.WakeWanted(t.Context(), w); wanted || err != nil {
		t.Errorf("a revoke that would take the notice away is wanted: %v, %v", wanted, err)
	}
	finish(t, r.Store, w, store.Outcome{Attempt: attempt(r, w), Next: store.WakeAgain}, false)
}
