package store_test

import (
	"errors"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/store"
)

// refusedAt takes a refusal apart.
func refusedAt(err error) (index int, verdict error) {
	var refused *store.ReportError
	if !errors.As(err, &refused) {
		return -1, err
	}
	return refused.Index, refused.Err
}

func say(t testing.TB, s *store.Store, c call.Call, device string, reports ...call.Report) (store.Reported, error) {
	t.Helper()
	return s.ReportLeg(t.Context(), party(c, device), reports)
}

// TestReplay repeats reports that were taken and ones that were refused.
func TestReplay(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	phone(t, r.Store, "u2", "d1")
	phone(t, r.Store, "u2", "d2")
	c := create(t, r.Store, invite("u2"))
	if _, err := say(t, r.Store, c, "d1", said(1, call.ReportRinging), said(2, call.ReportAnswered)); err != nil {
		t.Fatal(err)
	}
	before := look(t, r.Store, c.ID)
	for i := range 4 {
		out, err := say(t, r.either(i), c, "d1", said(1, call.ReportRinging), said(2, call.ReportAnswered))
		if err != nil || out.LastSeq != 2 || out.Leg.Status != call.LegAnswered {
			t.Errorf("replay: %+v, %v", out, err)
		}
	}
	_, err := say(t, r.Store, c, "d2", said(1, call.ReportAnswered))
	wantErr(t, "the loser", err, call.ErrLostRace)
	if _, err := r.EndCall(t.Context(), app, c.ID); err != nil {
		t.Fatal(err)
	}
	// After the end a fresh answer is told call_ended; the replay still hears its first verdict.
	for i := range 2 {
		_, err = say(t, r.either(i), c, "d2", said(1, call.ReportAnswered))
		wantErr(t, "the loser's replay", err, call.ErrLostRace)
	}
	_, err = say(t, r.Store, c, "d2", said(2, call.ReportAnswered))
	wantErr(t, "a new answer", err, call.ErrEnded)
	_, err = say(t, r.Store, c, "d2", said(2, call.ReportAnswered))
	wantErr(t, "its replay", err, call.ErrEnded)
	if _, err = say(t, r.Store, c, "d2", said(3, call.ReportDisconnected)); err != nil {
		t.Errorf("an ending report on an ended call: %v", err)
	}
	now := look(t, r.Store, c.ID)
	if d := now.Seq - before.Seq; d != 2 { // the winner's leg and the call
		t.Errorf("%d events of an end and many replays, want 2", d)
	}
	if n := read[int](t, r, `SELECT count(*)::int FROM reports`); n != 5 {
		t.Errorf("%d reports kept, want 5", n)
	}
}

// TestSeqConflict uses a number twice for different things.
func TestSeqConflict(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	phone(t, r.Store, "u2", "d1")
	c := create(t, r.Store, invite("u2"))
	report(t, r.Store, c, "d1", call.ReportRinging)
	later, media, code := said(1, call.ReportRinging), said(1, call.ReportRinging), said(1, call.ReportRinging)
	later.At = later.At.AddDate(0, 0, 1)
	media.Media = call.Voice
	code.ErrorCode = 7
	for what, other := range map[string]call.Report{"another event": said(1, call.ReportRejected), "another time": later, "other media": media, "another code": code} {
		out, err := say(t, r.other, c, "d1", other, said(2, call.ReportRejected))
		if i, verdict := refusedAt(err); i != 0 || !errors.Is(verdict, call.ErrSeqConflict) {
			t.Errorf("%s: %+v, %v", what, out, err)
		}
	}
	// The same moment in another zone is the same report, and a conflict within one request counts too.
	same := said(1, call.ReportRinging)
	same.At = same.At.UTC()
	if _, err := say(t, r.Store, c, "d1", same); err != nil {
		t.Errorf("the same report: %v", err)
	}
	_, err := say(t, r.Store, c, "d1", said(5, call.ReportMuted), said(5, call.ReportUnmuted))
	if i, verdict := refusedAt(err); i != 1 || !errors.Is(verdict, call.ErrSeqConflict) {
		t.Errorf("a conflict within one request: %v", err)
	}
	if l := legOf(t, look(t, r.Store, c.ID), "d1"); l.Status != call.LegRinging || l.LastSeq != 5 {
		t.Errorf("the leg: %+v", l)
	}
}

// TestLateReport sends a lower number after a higher one.
func TestLateReport(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	phone(t, r.Store, "u2", "d1")
	c := create(t, r.Store, invite("u2"))
	if _, err := say(t, r.Store, c, "d1", said(5, call.ReportActive)); err != nil {
		t.Fatal(err)
	}
	out, err := say(t, r.other, c, "d1", said(3, call.ReportDisconnected))
	if err != nil || out.LastSeq != 5 || out.Call.Status != call.StatusActive {
		t.Errorf("a late report: %+v, %v", out, err)
	}
	_, err = say(t, r.Store, c, "d1", said(3, call.ReportMuted))
	wantErr(t, "its number again", err, call.ErrSeqConflict)
	if got := read[string](t, r, `SELECT string_agg(seq::text, ' ' ORDER BY seq) FROM reports`); got != "3 5" {
		t.Errorf("kept: %s", got)
	}
}

// TestRefusedInTheMiddle: what comes before a refused report stands, what comes
// after it is not applied, in all ways that lead there.
func TestRefusedInTheMiddle(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	phone(t, r.Store, "u2", "d1")
	wrong := said(2, call.ReportAnswered)
	wrong.Media = call.Video
	voice := invite("u2")
	voice.Media = call.Voice
	c := create(t, r.Store, voice)
	request := []call.Report{said(1, call.ReportRinging), wrong, said(3, call.ReportRejected)}
	for i := range 3 { // the whole request may be repeated
		_, err := say(t, r.either(i), c, "d1", request...)
		if at, verdict := refusedAt(err); at != 1 || !errors.Is(verdict, call.ErrMedia) {
			t.Fatalf("request %d: %v", i, err)
		}
	}
	now := look(t, r.Store, c.ID)
	if l := legOf(t, now, "d1"); l.Status != call.LegRinging || l.LastSeq != 2 || now.Status != call.StatusRinging {
		t.Errorf("after the refusal: %+v", now)
	}
	if _, err := say(t, r.Store, c, "d1", request[2]); err != nil {
		t.Errorf("the rest, sent alone: %v", err)
	}
	if now = look(t, r.Store, c.ID); now.EndReason != call.EndRejected {
		t.Errorf("after the rest: %+v", now)
	}
}

// TestReplaysAtOnce sends one answer fifty times at once, in one batch and over
// two processes: each gets the first verdict, and it counts once.
func TestReplaysAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	phone(t, r.Store, "u2", "d1")
	plug, c := create(t, r.Store, invite("u2")), create(t, r.Store, invite("u2"))
	answer := func(i int) func() {
		return func() {
			out, err := r.either(i).ReportLeg(t.Context(), party(c, "d1"), []call.Report{said(1, call.ReportRinging), said(2, call.ReportAnswered)})
			if err != nil || out.Leg.Status != call.LegAnswered || out.LastSeq != 2 {
				t.Errorf("%+v, %v", out.Leg, err)
			}
		}
	}
	var items []func()
	for range 20 {
		items = append(items, answer(0))
	}
	r.oneStepBatch(t, r.Store, plug, items...)
	var all sync.WaitGroup
	for i := range 30 {
		all.Go(answer(i))
	}
	all.Wait()
	if n := read[int](t, r, `SELECT count(*)::int FROM reports`); n != 2 {
		t.Errorf("%d reports kept, want 2", n)
	}
}

// TestDuplicateWake: push and connection bring the same call by design.
func TestDuplicateWake(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	phone(t, r.Store, "u2", "d1")
	c := create(t, r.Store, invite("u2"))
	confirm(t, r.Store, c, "d1")
	report(t, r.Store, c, "d1", call.ReportRinging)
	ask := func(id string, source call.Source) call.Answer {
		t.Helper()
		out, err := r.other.ConfirmLeg(t.Context(), party(c, "d1"), call.Confirmation{VendorCallID: id, Source: source})
		if err != nil {
			t.Fatal(err)
		}
		return out.Answer
	}
	if a := ask("pk-d1", call.SourcePush); a.Verdict != call.VerdictRing {
		t.Errorf("the same wake again: %+v", a)
	}
	if diff := cmp.Diff(call.Answer{Verdict: call.VerdictStop, Reason: string(call.ReasonDuplicate)}, ask("other", call.SourceConnection)); diff != "" {
		t.Error(diff)
	}
	busy := said(9, call.ReportNotReported)
	busy.FailureCause = call.CauseRouteBusy
	if out, err := say(t, r.Store, c, "d1", busy); err != nil || out.Leg.Status != call.LegRinging {
		t.Errorf("route_busy for it: %+v, %v", out.Leg, err)
	}
	if _, err := r.CancelCall(t.Context(), app, c.ID); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(call.Answer{Verdict: call.VerdictStop, Reason: "canceled"}, ask("pk-d1", call.SourcePush)); diff != "" {
		t.Errorf("a late wake: %s", diff)
	}
}
