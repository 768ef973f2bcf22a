package store_test

import (
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/store"
)

// quietFor is a wish for some time from now on, and for every night.
func quietFor(s *store.Store, d time.Duration) call.DND {
	shanghai, err := time.LoadLocation("Asia/Shanghai")
	if err != nil {
		panic(err)
	}
	return call.DND{
		Windows: []call.Window{{Days: []call.Day{call.Monday, call.Sunday}, From: 22 * 60, To: 7 * 60}, {From: 12 * 60, To: 12*60 + 1}},
		Zone:    shanghai, Until: s.Now().Add(d).Truncate(time.Microsecond),
	}
}

func putDND(t testing.TB, s *store.Store, user string, wish call.DND) store.DND {
	t.Helper()
	kept, err := s.PutDND(t.Context(), app, user, wish)
	if err != nil {
		t.Fatal(err)
	}
	return kept
}

var sameZone = cmp.Comparer(func(a, b *time.Location) bool { return a == b || a != nil && b != nil && a.String() == b.String() })

// TestDNDIsKept: the wish of one process is another's, of a user who need not
// have a device, and of nobody else.
func TestDNDIsKept(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	makeApp(t, r.Store, "another")
	wish := quietFor(r.Store, time.Hour)
	first := putDND(t, r.Store, "u2", wish)
	if diff := cmp.Diff(wish, first.DND, sameZone); diff != "" || !first.Active || first.UpdatedAt.IsZero() {
		t.Errorf("kept as %+v\n%s", first, diff)
	}
	got, err := r.other.DND(t.Context(), app, "u2")
	if diff := cmp.Diff(first, got, sameZone); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	second := putDND(t, r.other, "u2", call.DND{Until: r.Now().Add(-time.Hour)})
	if got, err = r.DND(t.Context(), app, "u2"); err != nil || got.Active || len(got.Windows) != 0 || got.Zone != nil || !got.UpdatedAt.Equal(second.UpdatedAt) || !got.UpdatedAt.After(first.UpdatedAt) {
		t.Errorf("replaced by %+v, %v", got, err)
	}
	for _, other := range []struct{ app, user string }{{app, "u3"}, {"another", "u2"}, {"none", "u2"}} {
		_, err := r.DND(t.Context(), other.app, other.user)
		wantErr(t, other.user+" of "+other.app, err, store.ErrNotFound)
		wantErr(t, "forgotten", r.DeleteDND(t.Context(), other.app, other.user), store.ErrNotFound)
	}
	_, err = r.PutDND(t.Context(), "none", "u2", wish)
	wantErr(t, "an app that is not there", err, store.ErrNotFound)
	if err := r.other.DeleteDND(t.Context(), app, "u2"); err != nil {
		t.Fatal(err)
	}
	_, err = r.DND(t.Context(), app, "u2")
	wantErr(t, "after it was forgotten", err, store.ErrNotFound)
	wantErr(t, "forgotten twice", r.DeleteDND(t.Context(), app, "u2"), store.ErrNotFound)
}

// TestDNDAtAnInvitation: whoever could be rung otherwise is not, for as long as
// the wish holds, and every way to ask beforehand says so.
func TestDNDAtAnInvitation(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	phone(t, r.Store, "u2", "d1")
	phone(t, r.Store, "u2", "d2", inCountry(call.FromBackend, "HK"))
	phone(t, r.Store, "u3", "d3")
	alive := create(t, r.Store, invite("u2"))
	putDND(t, r.other, "u2", quietFor(r.Store, time.Hour))

	c := create(t, r.Store, invite("u2"))
	want := map[string]call.Reason{"d1": call.ReasonDND, "d2": call.ReasonRegionNotSupported}
	seen := func(legs []call.Leg) map[string]call.Reason {
		m := map[string]call.Reason{}
		for _, l := range legs {
			m[l.DeviceID] = l.Reason
		}
		return m
	}
	if diff := cmp.Diff(want, seen(c.Legs)); diff != "" || c.EndReason != call.EndUnreachable {
		t.Errorf("the call ended %q\n%s", c.EndReason, diff)
	}
	planned, wakes, err := r.other.PlanCall(t.Context(), invite("u2"))
	if diff := cmp.Diff(want, seen(planned.Legs)); err != nil || diff != "" || len(wakes) != 0 {
		t.Errorf("planned with %d wakes, %v\n%s", len(wakes), err, diff)
	}
	devices, err := r.other.UserDevices(t.Context(), app, "u2")
	if err != nil || len(devices) != 2 || devices[0].Decision.Reason != call.ReasonDND || devices[1].Decision.Reason != call.ReasonRegionNotSupported {
		t.Errorf("the devices: %+v, %v", devices, err)
	}
	if d := phone(t, r.Store, "u2", "d1"); d.Decision.Reason != call.ReasonDND {
		t.Errorf("registered: %q", d.Decision.Reason)
	}
	// What rang before goes on, others are rung, and the user may call.
	confirm(t, r.Store, alive, "d1")
	if c := create(t, r.Store, invite("u3")); c.Status != call.StatusWaking {
		t.Errorf("another user's call: %+v", c)
	}
	if _, err := r.DialCall(t.Context(), outgoing("u2", "d1", "c-1")); err != nil {
		t.Errorf("an outgoing call: %v", err)
	}
	// A leg that was not to disturb is told to stop, should its app hear of it.
	if out := confirm(t, r.other, c, "d1"); out.Verdict != call.VerdictStop {
		t.Errorf("its confirm: %+v", out.Answer)
	}

	for name, over := range map[string]func() error{
		"its time is over": func() error {
			_, err := r.PutDND(t.Context(), app, "u2", call.DND{Until: r.Now().Add(-time.Second)})
			return err
		},
		"it was forgotten": func() error { return r.DeleteDND(t.Context(), app, "u2") },
	} {
		if err := over(); err != nil {
			t.Fatal(err)
		}
		if l := legOf(t, create(t, r.other, invite("u2")), "d1"); l.Status != call.LegWaking {
			t.Errorf("%s, and the leg is %s for %q", name, l.Status, l.Reason)
		}
		putDND(t, r.Store, "u2", quietFor(r.Store, time.Hour))
	}
}

// TestDNDHoldsAtOnce: an invitation that came after a wish was kept, in any
// process, is decided by it: also where it waits for what was there before.
func TestDNDHoldsAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	phone(t, r.Store, "u2", "d1")
	var first, second call.Call
	release := r.hold(t, store.LockKey("user", app, "u2"))
	var all sync.WaitGroup
	begin := func(s *store.Store, into *call.Call, key string) {
		in := invite("u2")
		in.Key = key
		all.Go(func() { *into, _ = s.CreateCall(t.Context(), in) })
	}
	begin(r.Store, &first, "k1") // it is in its transaction already
	r.blocked(t, 1)
	putDND(t, r.other, "u2", quietFor(r.Store, time.Hour))
	begin(r.Store, &second, "k2")
	release()
	all.Wait()
	for _, c := range []call.Call{first, second} {
		if l := legOf(t, c, "d1"); l.Reason != call.ReasonDND {
			t.Errorf("the leg is %s for %q", l.Status, l.Reason)
		}
	}
	for i := range 20 { // one process keeps, the other is asked
		putDND(t, r.either(i), "u2", quietFor(r.Store, time.Hour))
		if l := legOf(t, create(t, r.either(i+1), invite("u2")), "d1"); l.Reason != call.ReasonDND {
			t.Fatalf("round %d: the leg is %s for %q", i, l.Status, l.Reason)
		}
		if err := r.either(i).DeleteDND(t.Context(), app, "u2"); err != nil {
			t.Fatal(err)
		}
		c := create(t, r.either(i+1), invite("u2"))
		if l := legOf(t, c, "d1"); l.Status != call.LegWaking {
			t.Fatalf("round %d, forgotten: the leg is %s for %q", i, l.Status, l.Reason)
		}
		if _, err := r.CancelCall(t.Context(), app, c.ID); err != nil {
			t.Fatal(err)
		}
	}
	// A repeat gets the answer that the first had, whatever was wished since.
	in := invite("u2")
	in.Key = "k1"
	if l := legOf(t, create(t, r.other, in), "d1"); l.Reason != call.ReasonDND {
		t.Errorf("the repeat's leg is %s for %q", l.Status, l.Reason)
	}
}

// TestDNDOfABatch: the wishes of users whose calls are one batch do not mix.
func TestDNDOfABatch(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, user := range []string{"u1", "u2", "u3"} {
		phone(t, r.Store, user, "of-"+user)
	}
	putDND(t, r.Store, "u2", quietFor(r.Store, time.Hour))
	var calls [4]call.Call
	items := make([]func(), len(calls))
	for i, user := range []string{"u1", "u2", "u3", "u2"} {
		items[i] = func() { calls[i], _ = r.CreateCall(t.Context(), invite(user)) }
	}
	r.oneBatch(t, r.Store, items...)
	for i, want := range []call.Reason{"", call.ReasonDND, "", call.ReasonDND} {
		if len(calls[i].Legs) != 1 || calls[i].Legs[0].Reason != want {
			t.Errorf("call %d: %+v, want %q", i, calls[i].Legs, want)
		}
	}
}

// TestDNDOfAnUnknownZone: a zone that only another machine knew keeps no call
// from its callee, nor from anybody in its batch.
func TestDNDOfAnUnknownZone(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	phone(t, r.Store, "u2", "d1")
	putDND(t, r.Store, "u2", call.DND{Windows: []call.Window{{From: 0, To: call.EndOfDay}}, Zone: time.UTC})
	if l := legOf(t, create(t, r.Store, invite("u2")), "d1"); l.Reason != call.ReasonDND {
		t.Errorf("the whole day: %s for %q", l.Status, l.Reason)
	}
	r.exec(t, `UPDATE dnd SET wish = replace(wish::text, 'UTC', 'Moon/Tranquility')::json`)
	if l := legOf(t, create(t, r.Store, invite("u2")), "d1"); l.Status != call.LegWaking {
		t.Errorf("the leg is %s for %q", l.Status, l.Reason)
	}
}
