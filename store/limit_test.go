package store_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/store"
)

// TestIncomingLimit invites a hundred times at once to one device: three ring,
// over one process or two, written in one transaction at a time or many.
func TestIncomingLimit(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		stores int
		change func(*store.Config)
	}{
		"one process":        {1, func(*store.Config) {}},
		"two processes":      {2, func(*store.Config) {}},
		"batches of one":     {2, func(c *store.Config) { c.BatchSize, c.BeginWriters = 1, 4 }},
		"many small batches": {2, func(c *store.Config) { c.BatchSize, c.BeginWriters = 5, 4 }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, tc.change)
			phone(t, r.Store, "u2", "d1")
			calls := make([]call.Call, 100)
			var all sync.WaitGroup
			for i := range calls {
				all.Go(func() {
					c, err := r.either(i%tc.stores).CreateCall(t.Context(), invite("u2"))
					if err != nil {
						t.Error(err)
					}
					calls[i] = c
				})
			}
			all.Wait()
			got := map[string]int{}
			for _, c := range calls {
				for _, l := range c.Legs {
					got[fmt.Sprintf("%s/%s %s/%s", c.Status, c.EndReason, l.Status, l.Reason)]++
				}
			}
			want := map[string]int{"waking/ waking/": 3, "ended/busy skipped/incoming_limit": 97}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if n := read[int](t, r, `SELECT count(*)::int FROM legs WHERE ended_at IS NULL`); n != 3 {
				t.Errorf("%d legs alive in the database, want 3", n)
			}
		})
	}
}

// TestSlotFrees fills a device and ends one call in each way that a leg can end.
func TestSlotFrees(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*testing.T, *rig, call.Call){
		"canceled": func(t *testing.T, r *rig, c call.Call) { _, _ = r.other.CancelCall(t.Context(), app, c.ID) },
		"rejected": func(t *testing.T, r *rig, c call.Call) { report(t, r.other, c, "d1", call.ReportRejected) },
		"completed": func(t *testing.T, r *rig, c call.Call) {
			report(t, r.other, c, "d1", call.ReportActive, call.ReportDisconnected)
		},
		"elsewhere": func(t *testing.T, r *rig, c call.Call) { report(t, r.other, c, "d2", call.ReportAnswered) },
		"not woken": func(t *testing.T, r *rig, c call.Call) {
			if _, err := r.FinishAttempt(t.Context(), r.inbox.of(t, c, "d1"), store.Outcome{Next: store.WakeGivenUp, Reason: call.ReasonVendorRefused}); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			phone(t, r.Store, "u2", "d1")
			phone(t, r.Store, "u2", "d2")
			first := create(t, r.Store, invite("u2"))
			create(t, r.Store, invite("u2"))
			create(t, r.Store, invite("u2"))
			if c := create(t, r.Store, invite("u2")); c.EndReason != call.EndBusy {
				t.Fatalf("the fourth call: %+v", c)
			}
			end(t, r, first)
			if l := legOf(t, create(t, r.Store, invite("u2")), "d1"); l.Status != call.LegWaking {
				t.Errorf("the leg after the slot was freed: %s, %s", l.Status, l.Reason)
			}
			if l := legOf(t, create(t, r.Store, invite("u2")), "d1"); l.Reason != call.ReasonIncomingLimit {
				t.Errorf("the next one: %s, %s", l.Status, l.Reason)
			}
		})
	}
}

// TestNoWakeKeepsItsSlot: the mark is no end.
func TestNoWakeKeepsItsSlot(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	phone(t, r.Store, "u2", "d1")
	for range 3 {
		c := create(t, r.Store, invite("u2"))
		handOver(t, r, c, "d1")
	}
	r.pass(t, 15*time.Second)
	if n, err := r.SweepDeadlines(t.Context()); n != 3 || err != nil {
		t.Fatalf("swept %d, %v", n, err)
	}
	if c := create(t, r.Store, invite("u2")); c.EndReason != call.EndBusy {
		t.Errorf("a call to a device with three legs that did not wake: %+v", c)
	}
}

// TestOutgoingLimit starts fifty calls at once on one device.
func TestOutgoingLimit(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	phone(t, r.Store, "u2", "d1")
	var mu sync.Mutex
	var alive []call.Call
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			c, err := r.either(i).DialCall(t.Context(), outgoing("u2", "d1", fmt.Sprint("c", i)))
			if errors.Is(err, store.ErrOutgoingLimit) {
				return
			}
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			alive = append(alive, c)
		})
	}
	all.Wait()
	if len(alive) != 1 || alive[0].Status != call.StatusDialing || alive[0].Legs[0].Status != call.LegConfirmed {
		t.Fatalf("alive: %+v", alive)
	}
	// It does not take an incoming call's slot, and the next one may come when it is over.
	if c := create(t, r.Store, invite("u2")); c.Status != call.StatusWaking {
		t.Errorf("an invitation meanwhile: %+v", c)
	}
	report(t, r.Store, alive[0], "d1", call.ReportActive, call.ReportDisconnected)
	if _, err := r.DialCall(t.Context(), outgoing("u2", "d1", "next")); err != nil {
		t.Errorf("the next outgoing call: %v", err)
	}
}

// TestSameClientID reports one outgoing call fifty times.
func TestSameClientID(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	phone(t, r.Store, "u2", "d1")
	phone(t, r.Store, "u2", "d2")
	var all sync.WaitGroup
	ids := make([]call.Call, 50)
	for i := range ids {
		all.Go(func() {
			var err error
			if ids[i], err = r.either(i).DialCall(t.Context(), outgoing("u2", "d1", "c1")); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, c := range ids {
		if c.ID != ids[0].ID || c.Status != call.StatusDialing || c.ClientID != "c1" {
			t.Fatalf("%s and %s", c.ID, ids[0].ID)
		}
	}
	if other, err := r.DialCall(t.Context(), outgoing("u2", "d2", "c1")); err != nil || other.ID == ids[0].ID {
		t.Errorf("another device's call of that id: %s, %v", other.ID, err)
	}
	wrong := outgoing("u2", "d1", "c1")
	wrong.BodyHash[0] = 1
	_, err := r.DialCall(t.Context(), wrong)
	wantErr(t, "that id for another call", err, store.ErrKeyReused)
}

// TestDialRefused: an outgoing call is gated like an incoming one.
func TestDialRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for what, tc := range map[string]struct {
		change func(*store.Registration)
		user   string
		want   error
	}{
		"hong kong":    {func(r *store.Registration) { r.Region[call.FromBackend] = "HK" }, "u2", call.ErrRegionNot},
		"nowhere":      {func(r *store.Registration) { r.Region = nil }, "u2", call.ErrRegionUnsure},
		"emulator":     {func(r *store.Registration) { r.Device.Emulator = true }, "u2", store.ErrDeviceRefused},
		"another user": {func(*store.Registration) {}, "u3", store.ErrForeignDevice},
	} {
		phone(t, r.Store, "u2", what, tc.change)
		_, err := r.DialCall(t.Context(), outgoing(tc.user, what, "c"))
		wantErr(t, what, err, tc.want)
	}
	_, err := r.DialCall(t.Context(), outgoing("u2", "never seen", "c"))
	wantErr(t, "an unknown device", err, store.ErrForeignDevice)
	if n := read[int](t, r, `SELECT count(*)::int FROM calls`); n != 0 {
		t.Errorf("%d calls of refused devices", n)
	}
}

// handOver lets the vendor accept the wakes of devices.
func handOver(t testing.TB, r *rig, c call.Call, devices ...string) {
	t.Helper()
	for _, d := range devices {
		w := r.inbox.of(t, c, d)
		more, err := r.FinishAttempt(t.Context(), w, store.Outcome{Attempt: attempt(r, w), Next: store.WakeAccepted})
		if err != nil || more {
			t.Fatalf("hand over: %v, %v", more, err)
		}
	}
}

func attempt(r *rig, w store.Wake) *store.Attempt {
	now := r.Now()
	return &store.Attempt{ID: r.NewAttemptID(w.CallID), Number: w.Number, Channel: w.Channel, StartedAt: now, FinishedAt: now, Outcome: "accepted", Blame: "nobody", Status: 200}
}
