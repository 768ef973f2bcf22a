package call_test

import (
	"errors"
	"reflect"
	"slices"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/pushwake/relay/call"
)

func clone(c *call.Call) *call.Call {
	copied := *c
	copied.Legs = slices.Clone(c.Legs)
	return &copied
}

// check holds the call against every promise, after a step on a leg (nil for a
// step on the call) that ended with err.
func (w *world) check(t *rapid.T, stepped *call.Leg, gate call.Reason, err error) {
	w.checkEvents(t)
	w.checkCall(t)
	for i := range w.c.Legs {
		w.checkLeg(t, &w.c.Legs[i])
	}
	w.checkWinner(t)
	if w.before == nil {
		return
	}
	if b := w.before.Status; b != w.c.Status && !b.CanBecome(w.c.Status) {
		t.Fatalf("the call went from %s to %s", b, w.c.Status)
	}
	if !w.before.Live() {
		w.unchanged(t, stepped, "a step on an ended call")
	}
	if err != nil {
		w.checkRefusal(t, stepped, gate, err)
	}
}

// unchanged compares with the call before the step; of the stepped leg the
// last seq may differ.
func (w *world) unchanged(t *rapid.T, stepped *call.Leg, what string) {
	want := clone(w.before)
	if stepped != nil {
		want.Leg(stepped.ID).LastSeq = stepped.LastSeq
	}
	if !reflect.DeepEqual(want, w.c) { // cmp is too slow to be asked at every step
		t.Fatalf("%s changed the call (-before +after):\n%s", what, cmp.Diff(want, w.c, cmpopts.IgnoreUnexported(call.Call{})))
	}
}

// checkRefusal: an error changes nothing, but a refusal by the region closes
// the leg, where it was open and not yet admitted.
func (w *world) checkRefusal(t *rapid.T, stepped *call.Leg, gate call.Reason, err error) {
	region := errors.Is(err, call.ErrRegionNot) || errors.Is(err, call.ErrRegionUnsure)
	if !region || !w.before.Leg(stepped.ID).Status.Open() {
		w.unchanged(t, stepped, err.Error())
		return
	}
	if was := w.before.Leg(stepped.ID); !was.ConfirmedAt.IsZero() {
		t.Fatal("an admitted leg was refused for its region")
	}
	if stepped.Status != call.LegFailed || stepped.Reason != gate || !gate.Region() {
		t.Fatalf("refused by %q, and the leg is %s %q", gate, stepped.Status, stepped.Reason)
	}
	for _, l := range w.before.Legs {
		if l.ID != stepped.ID && w.c.Leg(l.ID).Status != l.Status {
			t.Fatalf("refusing %s moved %s", stepped.DeviceID, l.DeviceID)
		}
	}
}

func (w *world) checkEvents(t *rapid.T) {
	events := w.c.TakeEvents()
	legs := map[string]int{}
	for _, e := range events {
		w.taken++
		if e.Seq != w.taken || !e.Time.Equal(w.now) {
			t.Fatalf("event %+v, want seq %d at %v", e, w.taken, w.now)
		}
		w.told[e.Type]++
		if l := w.c.Leg(e.Leg); (l != nil) != (e.Type == call.EventLegUpdated) {
			t.Fatalf("event %+v with leg %v", e, l)
		} else if l != nil {
			legs[l.DeviceID]++
		}
	}
	if w.c.Seq != w.taken {
		t.Fatalf("seq %d after %d events", w.c.Seq, w.taken)
	}
	once := map[call.EventType]bool{
		call.EventCallCreated: true, call.EventCallRinging: !w.c.RingingAt.IsZero(), call.EventCallActive: !w.c.ActiveAt.IsZero(),
		call.EventCallAnswered: !w.c.AnsweredAt.IsZero() && w.c.Direction == call.Incoming, call.EventCallEnded: !w.c.Live(),
	}
	for event, happened := range once {
		if (w.told[event] == 1) != happened || w.told[event] > 1 {
			t.Fatalf("%s was told %d times, it happened: %v", event, w.told[event], happened)
		}
	}
	if n := len(events); n > 0 && !w.c.Live() && events[n-1].Type != call.EventCallEnded {
		t.Fatalf("the last event of the call is %s", events[n-1].Type)
	}
	if w.before == nil {
		return
	}
	for _, was := range w.before.Legs {
		l := w.c.Leg(was.ID)
		changed := was.Status != l.Status || !was.NoWakeAt.Equal(l.NoWakeAt) || !was.EscalatedAt.Equal(l.EscalatedAt) || !was.RewokenAt.Equal(l.RewokenAt)
		if changed != (legs[l.DeviceID] > 0) {
			t.Fatalf("%s went from %s to %s with %d events", l.DeviceID, was.Status, l.Status, legs[l.DeviceID])
		}
	}
}

func (w *world) checkCall(t *rapid.T) {
	c := w.c
	open := 0
	for _, l := range c.Legs {
		if l.Status.Open() {
			open++
		}
	}
	if c.Live() != (open > 0) || c.Live() != (c.EndReason == "") || c.Live() != c.EndedAt.IsZero() || c.Live() == c.DeadlineAt.IsZero() {
		t.Fatalf("%s %q with %d open legs, ended %v, deadline %v", c.Status, c.EndReason, open, c.EndedAt, c.DeadlineAt)
	}
	if !c.Live() && !slices.Contains(call.EndReasons, c.EndReason) {
		t.Fatalf("unknown end reason %q", c.EndReason)
	}
	if c.Live() {
		want := c.ExpiresAt
		if !c.AnsweredAt.IsZero() {
			want = c.AnsweredAt.Add(c.MaxDuration)
		}
		if !c.DeadlineAt.Equal(want) {
			t.Fatalf("deadline %v in %s, want %v", c.DeadlineAt, c.Status, want)
		}
	}
	rising(t, "call", c.CreatedAt, c.RingingAt, c.AnsweredAt, c.ActiveAt, c.EndedAt, w.now)
	reached := map[call.Status]time.Time{call.StatusRinging: c.RingingAt, call.StatusAnswered: c.AnsweredAt, call.StatusActive: c.ActiveAt}
	if at, ok := reached[c.Status]; ok && at.IsZero() {
		t.Fatalf("the call is %s since never", c.Status)
	}
	answered := !c.AnsweredAt.IsZero()
	switch c.EndReason {
	case call.EndCompleted:
		if !answered {
			t.Fatal("completed without an answer")
		}
	case call.EndRejected, call.EndBusy, call.EndCanceled, call.EndMissed, call.EndUnreachable:
		if answered {
			t.Fatalf("%s after an answer", c.EndReason)
		}
	}
	if b := w.before; b != nil {
		kept(t, "created", b.CreatedAt, c.CreatedAt)
		kept(t, "expires", b.ExpiresAt, c.ExpiresAt)
		kept(t, "ringing", b.RingingAt, c.RingingAt)
		kept(t, "answered", b.AnsweredAt, c.AnsweredAt)
		kept(t, "active", b.ActiveAt, c.ActiveAt)
	}
}

func (w *world) checkLeg(t *rapid.T, l *call.Leg) {
	if !slices.Contains(call.LegStatuses, l.Status) || l.Status.Open() != l.EndedAt.IsZero() {
		t.Fatalf("%s is %s, ended %v", l.DeviceID, l.Status, l.EndedAt)
	}
	rising(t, l.DeviceID, w.c.CreatedAt, l.ConfirmedAt, l.RingingAt, l.AnsweredAt, l.EndedAt, w.now)
	rising(t, l.DeviceID, w.c.CreatedAt, l.HandedOverAt, l.NoWakeAt, l.EndedAt, w.now)
	rising(t, l.DeviceID, l.HandedOverAt, l.EscalatedAt, l.RewokenAt, l.EndedAt, w.now)
	if !l.NoWakeAt.IsZero() && (!l.ConfirmedAt.IsZero() || l.HandedOverAt.IsZero()) {
		t.Fatalf("%s is marked, confirmed %v, handed over %v", l.DeviceID, l.ConfirmedAt, l.HandedOverAt)
	}
	if l.Status == call.LegNoWake && (l.NoWakeAt.IsZero() || w.c.Live()) {
		t.Fatalf("%s ended as no_wake, marked %v, in a call that is %s", l.DeviceID, l.NoWakeAt, w.c.Status)
	}
	implied := map[call.LegStatus][]time.Time{
		call.LegHandedOver: {l.HandedOverAt},
		call.LegConfirmed:  {l.ConfirmedAt},
		call.LegRinging:    {l.ConfirmedAt, l.RingingAt},
		call.LegAnswered:   {l.ConfirmedAt, l.RingingAt, l.AnsweredAt},
		call.LegActive:     {l.ConfirmedAt, l.RingingAt, l.AnsweredAt},
		call.LegHeld:       {l.ConfirmedAt, l.RingingAt, l.AnsweredAt},
		call.LegCompleted:  {l.ConfirmedAt, l.RingingAt, l.AnsweredAt},
	}
	for _, at := range implied[l.Status] {
		if at.IsZero() {
			t.Fatalf("%s is %s without having been before: %+v", l.DeviceID, l.Status, l)
		}
	}
	if w.before == nil {
		return
	}
	was := w.before.Leg(l.ID)
	if was.Status != l.Status && !was.Status.CanBecome(l.Status) {
		t.Fatalf("%s went from %s to %s", l.DeviceID, was.Status, l.Status)
	}
	kept(t, "confirmed", was.ConfirmedAt, l.ConfirmedAt)
	kept(t, "handed over", was.HandedOverAt, l.HandedOverAt)
	kept(t, "ringing", was.RingingAt, l.RingingAt)
	kept(t, "answered", was.AnsweredAt, l.AnsweredAt)
	kept(t, "escalated", was.EscalatedAt, l.EscalatedAt)
	kept(t, "rewoken", was.RewokenAt, l.RewokenAt)
	kept(t, "ended", was.EndedAt, l.EndedAt)
	if l.LastSeq < was.LastSeq {
		t.Fatalf("last seq fell from %d to %d", was.LastSeq, l.LastSeq)
	}
}

// checkWinner: at most one, for good, and never canceled or missed.
func (w *world) checkWinner(t *rapid.T) {
	if w.before != nil && w.before.AnsweredBy != "" && w.c.AnsweredBy != w.before.AnsweredBy {
		t.Fatalf("the winner changed from %q to %q", w.before.AnsweredBy, w.c.AnsweredBy)
	}
	for _, l := range w.c.Legs {
		took := !l.AnsweredAt.IsZero()
		if w.c.Direction == call.Incoming && took != (l.DeviceID == w.c.AnsweredBy) {
			t.Fatalf("%s answered: %v, the winner is %q", l.DeviceID, took, w.c.AnsweredBy)
		}
		if !took {
			continue
		}
		if !slices.Contains([]call.LegStatus{call.LegAnswered, call.LegActive, call.LegHeld, call.LegCompleted, call.LegFailed}, l.Status) {
			t.Fatalf("the winner %s is %s", l.DeviceID, l.Status)
		}
		if w.c.Direction == call.Incoming && (l.Media == call.Video && w.c.Media == call.Voice || l.Media == "" ||
			l.Media == call.Voice && w.c.Media == call.Video && !w.c.VoiceAnswer) {
			t.Fatalf("a %s call (voice answer %v) was answered with %q", w.c.Media, w.c.VoiceAnswer, l.Media)
		}
	}
	if w.c.Direction == call.Incoming && (w.c.AnsweredBy != "") != !w.c.AnsweredAt.IsZero() {
		t.Fatalf("answered by %q at %v", w.c.AnsweredBy, w.c.AnsweredAt)
	}
}

// rising: the times that were reached come in this order.
func rising(t *rapid.T, what string, times ...time.Time) {
	var last time.Time
	for i, at := range times {
		if at.IsZero() {
			continue
		}
		if at.Before(last) {
			t.Fatalf("%s: time %d of %v is before an earlier state's", what, i, times)
		}
		last = at
	}
}

func kept(t *rapid.T, what string, before, after time.Time) {
	if !before.IsZero() && !after.Equal(before) {
		t.Fatalf("the time %s moved from %v to %v", what, before, after)
	}
}
