package call_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/pushwake/relay/call"
)

var gates = []call.Reason{
	"", "", "", "", call.ReasonRegionNotSupported, call.ReasonRegionUnknown, call.ReasonDeviceNotSupported,
}

// TestRandomCalls drives random calls by random steps and checks after each
// step everything that the package promises.
func TestRandomCalls(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		w.check(t, nil, "", nil)
		t.Repeat(map[string]func(*rapid.T){
			"hand over":    w.handOver,
			"fail wake":    w.failWake,
			"mark no wake": w.markNoWake,
			"wake again":   w.wakeAgain,
			"confirm":      w.confirm,
			"report":       w.report,
			"progress":     w.progress,
			"cancel":       w.cancel,
			"end":          w.end,
			"lose":         w.lose,
			"leave":        w.leave,
			"expire":       w.expire,
		})
	})
}

// world is one random call and what was seen of it.
type world struct {
	c      *call.Call
	now    time.Time
	before *call.Call // as of the last step
	taken  int
	told   map[call.EventType]int
}

func newWorld(t *rapid.T) *world {
	c := blank()
	c.RejectPolicy = rapid.SampledFrom(call.RejectPolicies).Draw(t, "reject")
	c.Media = rapid.SampledFrom(call.AllMedia).Draw(t, "media")
	c.VoiceAnswer = rapid.Bool().Draw(t, "voice answer")
	c.MaxDuration = rapid.SampledFrom([]time.Duration{time.Second, time.Minute, call.DefaultMaxDuration}).Draw(t, "max duration")
	w := &world{c: c, now: start, told: map[call.EventType]int{}}
	if rapid.IntRange(0, 3).Draw(t, "direction") == 0 {
		c.Dial(decide("d0", ""), w.now, counter())
		return w
	}
	skips := append([]call.Reason{"", "", "", "", "", ""}, call.Reasons...)
	var plan []call.Decision
	for i := range rapid.IntRange(1, 6).Draw(t, "legs") {
		plan = append(plan, decide(fmt.Sprintf("d%d", i), rapid.SampledFrom(skips).Draw(t, "gate")))
	}
	c.Invite(plan, rapid.SampledFrom([]time.Duration{call.MinRing, call.DefaultRing, call.MaxRing}).Draw(t, "ring"), w.now, counter())
	return w
}

// step lets time pass and picks a leg.
func (w *world) step(t *rapid.T) *call.Leg {
	w.before = clone(w.c)
	w.now = w.now.Add(time.Duration(rapid.IntRange(0, 4000).Draw(t, "ms")) * time.Millisecond)
	if rapid.IntRange(0, 9).Draw(t, "idle") == 0 { // long enough for what waits for a confirm
		w.now = w.now.Add(call.NoWakeAfter)
	}
	return &w.c.Legs[rapid.IntRange(0, len(w.c.Legs)-1).Draw(t, "leg")]
}

func (w *world) handOver(t *rapid.T) {
	l := w.step(t)
	was := l.Status
	if got := w.c.HandOver(l.ID, w.now); got != (was == call.LegWaking) {
		t.Fatalf("hand over in %s: %v", was, got)
	}
	w.check(t, l, "", nil)
}

func (w *world) failWake(t *rapid.T) {
	l := w.step(t)
	was := l.Status
	w.c.FailWake(l.ID, rapid.SampledFrom(call.Reasons).Draw(t, "reason"), w.now)
	if was == call.LegWaking && l.Status != call.LegFailed || was != call.LegWaking && l.Status != was {
		t.Fatalf("a failed wake took the leg from %s to %s", was, l.Status)
	}
	w.check(t, l, "", nil)
}

func (w *world) markNoWake(t *rapid.T) {
	l := w.step(t)
	was := l.Status
	if w.c.MarkNoWake(l.ID, w.now); l.Status != was {
		t.Fatalf("a mark took the leg from %s to %s", was, l.Status)
	}
	w.check(t, l, "", nil)
}

// wakeAgain: never before its time, nor with too little of the ring left, nor
// twice; and the leg stays what it is.
func (w *world) wakeAgain(t *rapid.T) {
	l := w.step(t)
	was := *l
	token := rapid.SampledFrom([]call.TokenState{call.TokenAlive, call.TokenAlive, call.TokenDead}).Draw(t, "token")
	device := call.Device{ID: l.DeviceID, UserID: l.UserID, Tokens: map[call.TokenName]call.Token{call.TokenPushKit: {Value: "T", State: token}}}
	policy, configured := call.DefaultPolicy(), map[call.Channel]bool{call.PushKitVoIP: true, call.PushKitAlert: true}
	channel := w.c.WakeAgain(l.ID, policy, device, configured, w.now)
	waited := w.now.Sub(was.HandedOverAt)
	switch {
	case channel == "" && (l.WakeChannel != was.WakeChannel || !l.EscalatedAt.Equal(was.EscalatedAt) || !l.RewokenAt.Equal(was.RewokenAt)):
		t.Fatalf("no wake, and the leg went from %+v to %+v", was, *l)
	case channel == "":
	case was.Status != call.LegHandedOver || l.Status != was.Status || w.c.ExpiresAt.Sub(w.now) <= call.WakeMargin || token != call.TokenAlive:
		t.Fatalf("woken again over %s in %s, token %s, %s after the acceptance", channel, was.Status, token, waited)
	case channel == call.PushKitAlert && (waited < call.EscalateAfter || !was.EscalatedAt.IsZero() || !l.EscalatedAt.Equal(w.now)):
		t.Fatalf("escalated after %s, before that at %v, now at %v", waited, was.EscalatedAt, l.EscalatedAt)
	case channel == call.PushKitVoIP && (waited < call.RewakeAfter || !was.RewokenAt.IsZero() || !l.RewokenAt.Equal(w.now)):
		t.Fatalf("woken once more after %s, before that at %v, now at %v", waited, was.RewokenAt, l.RewokenAt)
	}
	if next := w.c.NextLook(l.ID, policy, w.now); !next.IsZero() && (!next.After(w.now) || l.Status != call.LegHandedOver) {
		t.Fatalf("the next look at a leg that is %s is at %v, now is %v", l.Status, next, w.now)
	}
	w.check(t, l, "", nil)
}

func (w *world) confirm(t *rapid.T) {
	l := w.step(t)
	gate := rapid.SampledFrom(gates).Draw(t, "gate")
	in := call.Confirmation{
		VendorCallID: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "vendor call id"),
		Source:       rapid.SampledFrom(call.Sources).Draw(t, "source"),
	}
	a, err := w.c.Confirm(l.ID, in, gate, w.now)
	switch {
	case err != nil && a != (call.Answer{}):
		t.Fatalf("an error and an answer: %+v, %v", a, err)
	case err == nil && a.Verdict == call.VerdictRing && !l.Status.Open():
		t.Fatalf("told to ring in %s", l.Status)
	case err == nil && a.Verdict == call.VerdictStop && a.Reason == "":
		t.Fatalf("told to stop in %s without a reason", l.Status)
	case err == nil && a.Verdict == call.VerdictStop && l.Status.Open() && a.Reason != string(call.ReasonDuplicate):
		t.Fatalf("told to stop in %s for %s", l.Status, a.Reason)
	}
	w.check(t, l, gate, err)
}

func (w *world) report(t *rapid.T) {
	l := w.step(t)
	seq := max(1, l.LastSeq+int64(rapid.IntRange(-2, 3).Draw(t, "seq from last")))
	w.send(t, l, call.Report{
		Seq: seq, Event: rapid.SampledFrom(call.ReportEvents).Draw(t, "event"), At: w.now,
		Media:        rapid.SampledFrom([]call.Media{"", call.Voice, call.Video}).Draw(t, "media"),
		VendorCallID: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "vendor call id"),
		ErrorReason:  rapid.SampledFrom(append([]call.ErrorReason{""}, call.ErrorReasons...)).Draw(t, "error reason"),
		FailureCause: rapid.SampledFrom(append([]call.FailureCause{""}, call.FailureCauses...)).Draw(t, "failure cause"),
	}, rapid.SampledFrom(gates).Draw(t, "gate"))
}

// progress is a report of a well behaved app, so that calls come far.
func (w *world) progress(t *rapid.T) {
	l := w.step(t)
	event := rapid.SampledFrom([]call.ReportEvent{call.ReportRinging, call.ReportAnswered, call.ReportActive, call.ReportHeld}).Draw(t, "event")
	w.send(t, l, call.Report{Seq: l.LastSeq + 1, Event: event, Media: w.c.Media}, "")
}

func (w *world) send(t *rapid.T, l *call.Leg, r call.Report, gate call.Reason) {
	last := l.LastSeq
	err := w.c.Report(l.ID, r, gate, w.now)
	if want := max(last, r.Seq); l.LastSeq != want {
		t.Fatalf("last seq %d after %d and %d", l.LastSeq, last, r.Seq)
	}
	if r.Seq <= last {
		if err != nil && !l.Reason.Region() {
			t.Fatalf("a late seq is refused: %v", err)
		}
		w.unchanged(t, nil, "a late seq")
	}
	w.check(t, l, gate, err)
}

func (w *world) cancel(t *rapid.T) {
	w.step(t)
	err := w.c.Cancel(w.now)
	up := w.before.Status == call.StatusAnswered || w.before.Status == call.StatusActive
	if up != errors.Is(err, call.ErrAnswered) {
		t.Fatalf("cancel in %s: %v", w.before.Status, err)
	}
	w.check(t, nil, "", err)
}

func (w *world) end(t *rapid.T) {
	if rapid.IntRange(0, 3).Draw(t, "rarely") > 0 {
		t.Skip("calls that end at once show little")
	}
	w.step(t)
	w.c.End(w.now)
	if w.c.Live() {
		t.Fatal("still live after its end")
	}
	w.check(t, nil, "", nil)
}

func (w *world) lose(t *rapid.T) {
	l := w.step(t)
	could := l.Status.Open() && !l.ConfirmedAt.IsZero() && w.now.Sub(l.ConfirmedAt) >= call.LostAfter
	if got := w.c.LoseLeg(l.ID, w.now); got != could {
		t.Fatalf("lost in %s: %v", w.before.Status, got)
	}
	w.check(t, l, "", nil)
}

func (w *world) leave(t *rapid.T) {
	l := w.step(t)
	could := l.Status.Open() && l.AnsweredAt.IsZero()
	if got := w.c.LeaveCall(l.ID, w.now); got != could {
		t.Fatalf("left in %s: %v", w.before.Status, got)
	}
	w.check(t, l, "", nil)
}

func (w *world) expire(t *rapid.T) {
	w.step(t)
	due := w.c.Live() && !w.now.Before(w.c.DeadlineAt)
	if got := w.c.Expire(w.now); got != due {
		t.Fatalf("expired %v at %v, the deadline is %v", got, w.now, w.before.DeadlineAt)
	}
	w.check(t, nil, "", nil)
}
