package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/store"
)

// TestCrowd calls a user with 300 devices: 20 are woken, those heard from last,
// and what is kept of the call does not grow with the others.
func TestCrowd(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const devices = 300
	for i := range devices {
		phone(t, r.Store, "u2", fmt.Sprintf("d%03d", (i+150)%devices)) // not in the order of their ids
	}
	latest := func(id string) bool { return id >= "d130" && id < "d150" }

	planned, wakes, err := r.PlanCall(t.Context(), invite("u2"))
	if err != nil || len(wakes) != call.DefaultMaxDevices || len(planned.Legs) != 40 || planned.MoreSkipped != 260 {
		t.Errorf("planned %d wakes, %d legs and %d more: %v", len(wakes), len(planned.Legs), planned.MoreSkipped, err)
	}
	in := invite("u2")
	in.Key = "k-1"
	c := create(t, r.Store, in)
	limited := 0
	for _, l := range c.Legs {
		switch {
		case l.Reason == call.ReasonDeviceLimit && l.Status == call.LegSkipped && l.DeviceID >= "d110" && l.DeviceID < "d130":
			limited++
		case !latest(l.DeviceID) || l.Status != call.LegWaking:
			t.Errorf("%s is %s, %q", l.DeviceID, l.Status, l.Reason)
		}
	}
	if c.Reachable() != 20 || limited != 20 || c.Devices() != devices {
		t.Errorf("of %d devices %d ring and %d are told to be over the limit", c.Devices(), c.Reachable(), limited)
	}
	for what, other := range map[string]call.Call{"read": look(t, r.Store, c.ID), "repeated": create(t, r.other, in)} {
		if other.ID != c.ID || other.MoreSkipped != 260 || len(other.Legs) != 40 {
			t.Errorf("%s: %d legs and %d more", what, len(other.Legs), other.MoreSkipped)
		}
	}

	near, more, err := r.Reachability(t.Context(), app, "u2")
	if err != nil || len(near) != 40 || more != 260 {
		t.Errorf("reachability of %d devices and %d more: %v", len(near), more, err)
	}
	all, err := r.UserDevices(t.Context(), app, "u2")
	if err != nil || len(all) != devices {
		t.Fatalf("%d devices: %v", len(all), err)
	}
	for _, d := range all {
		if want := !latest(d.ID); want != (d.Decision.Reason == call.ReasonDeviceLimit) {
			t.Errorf("%s is listed with %q", d.ID, d.Decision.Reason)
		}
	}
	for id, want := range map[string]call.Reason{"d140": "", "d150": call.ReasonDeviceLimit} {
		if d, err := r.Device(t.Context(), app, id); err != nil || d.Decision.Reason != want {
			t.Errorf("%s alone has %q, %v", id, d.Decision.Reason, err)
		}
	}

	for _, w := range r.inbox.all() {
		finish(t, r.Store, w, store.Outcome{Attempt: attempt(r, w), Next: store.WakeAccepted}, false)
	}
	confirm(t, r.Store, c, "d140")
	report(t, r.Store, c, "d140", call.ReportRinging, call.ReportAnswered)
	bytes := read[int](t, r, `SELECT sum(octet_length(data::text))::int FROM events WHERE call_id = $1`, c.ID)
	rows := read[int](t, r, `SELECT count(*)::int FROM events WHERE call_id = $1`, c.ID)
	t.Logf("a call to %d devices, answered: %d events of %d bytes in all", devices, rows, bytes)
	if bytes > 1<<20 {
		t.Errorf("the call wrote %d bytes of events", bytes)
	}

	// Whoever is heard from again is among those that ring.
	phone(t, r.Store, "u2", "d150")
	if l := legOf(t, create(t, r.Store, invite("u2")), "d150"); l.Status != call.LegWaking {
		t.Errorf("registered again, d150 is %s, %q", l.Status, l.Reason)
	}
	// Another limit is of the next call.
	p := call.DefaultPolicy()
	p.MaxDevices = 2
	if _, err := r.PutApp(t.Context(), app, p); err != nil {
		t.Fatal(err)
	}
	if c := create(t, r.Store, invite("u2")); c.Reachable() != 2 || len(c.Legs) != 22 || c.MoreSkipped != 278 {
		t.Errorf("with at most 2: %d of %d legs, %d more", c.Reachable(), len(c.Legs), c.MoreSkipped)
	}
}

// TestCrowdAtRest: where nobody of a crowd may ring, a call ends at once, for the
// reason that counts, and only what it kept is told of it.
func TestCrowdAtRest(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for i := range 60 {
		phone(t, r.Store, "u2", fmt.Sprintf("d%02d", i))
	}
	putDND(t, r.Store, "u2", quietFor(r.Store, time.Hour))
	c := create(t, r.Store, invite("u2"))
	if c.EndReason != call.EndUnreachable || len(c.Legs) != 20 || c.MoreSkipped != 40 {
		t.Errorf("it ended %q with %d legs and %d more", c.EndReason, len(c.Legs), c.MoreSkipped)
	}
	if n := read[int](t, r, `SELECT count(*)::int FROM notices WHERE call_id = $1`, c.ID); n != 20 {
		t.Errorf("%d notices", n)
	}
}
