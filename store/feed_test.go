package store_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/store"
	"github.com/pushwake/relay/store/storetest"
)

// watch is the registration of a wearable, which only its feed reaches.
func watch(r *store.Registration) {
	r.Device.Type, r.Tokens = call.Wearable, nil
}

func open(t testing.TB, s *store.Store, device, user string) *store.Feed {
	t.Helper()
	f, err := s.OpenFeed(t.Context(), app, device, user)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

// ends waits until a feed is told to end.
func ends(t testing.TB, f *store.Feed, why string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	for {
		changes, err := wait(ctx, f.Watch)
		if err != nil {
			t.Fatalf("waited in vain for the end: %s", why)
		}
		if changes.Ended != "" {
			if changes.Ended != why {
				t.Errorf("ended as %s, want %s", changes.Ended, why)
			}
			return
		}
	}
}

func (r *rig) connected(t testing.TB, device string) bool {
	t.Helper()
	d, err := r.other.Device(t.Context(), app, device)
	if err != nil {
		t.Fatal(err)
	}
	return d.Connected
}

// TestFeedConnects: a wearable rings only while its feed is open, at whichever
// process, and for a moment after, while the next request is on its way.
func TestFeedConnects(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	run(t, r.Store, r.other)
	phone(t, r.Store, "u2", "w1", watch)
	if c := create(t, r.other, invite("u2")); c.Legs[0].Reason != call.ReasonNotConnected {
		t.Errorf("without a feed: %+v", c.Legs[0])
	}
	f := open(t, r.Store, "w1", "u2")
	c := create(t, r.other, invite("u2"))
	if l := c.Legs[0]; l.Status != call.LegWaking || l.Channel != call.Connection {
		t.Errorf("with a feed: %s over %q, %s", l.Status, l.Channel, l.Reason)
	}
	hears(t, f.Watch, c, call.StatusWaking)
	confirmed, err := r.other.ConfirmLeg(t.Context(), party(c, "w1"), call.Confirmation{Source: call.SourceConnection})
	if err != nil || confirmed.Verdict != call.VerdictRing {
		t.Errorf("confirmed: %+v, %v", confirmed.Answer, err)
	}
	f.Close()
	eventually(t, "the end to be written", func() bool { return read[bool](t, r, `SELECT closed_at IS NOT NULL FROM feeds`) })
	if !r.connected(t, "w1") {
		t.Error("not connected a moment after its feed ended")
	}
	r.exec(t, `UPDATE feeds SET closed_at = closed_at - interval '5 s'`)
	if r.connected(t, "w1") {
		t.Error("connected long after its feed ended")
	}
}

// TestFeedOfDeadProcess: with its process the connection is gone.
func TestFeedOfDeadProcess(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	phone(t, r.Store, "u2", "w1", watch)
	open(t, r.Store, "w1", "u2")
	if !r.connected(t, "w1") {
		t.Error("not connected")
	}
	r.exec(t, `UPDATE processes SET beat_at = beat_at - interval '3 s' WHERE id = $1`, r.Process())
	if r.connected(t, "w1") {
		t.Error("connected to a process that fell silent")
	}
	r.exec(t, `UPDATE processes SET beat_at = beat_at - interval '2 min' WHERE id = $1`, r.Process())
	if err := r.other.CleanFeeds(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := read[int](t, r, `SELECT count(*)::int FROM feeds`); n != 0 {
		t.Errorf("%d feeds of a dead process are kept", n)
	}
}

// TestFeedRestored: a process that was silent for so long that others forgot its
// feeds enters them again, but for one whose device has gone elsewhere.
func TestFeedRestored(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	phone(t, r.Store, "u2", "w1", watch)
	phone(t, r.Store, "u2", "w2", watch)
	kept, left := open(t, r.Store, "w1", "u2"), open(t, r.Store, "w2", "u2")
	r.exec(t, `UPDATE processes SET beat_at = beat_at - interval '2 min' WHERE id = $1`, r.Process())
	if err := r.other.CleanFeeds(t.Context()); err != nil {
		t.Fatal(err)
	}
	open(t, r.other, "w2", "u2")
	if r.connected(t, "w1") {
		t.Fatal("connected to a process that is gone")
	}
	r.Silence()
	if err := r.Beat(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !r.connected(t, "w1") || !r.connected(t, "w2") {
		t.Error("a feed that is open does not count")
	}
	run(t, r.Store)
	ends(t, left, store.FeedReplaced)
	if c := kept.Take(); c.Ended != "" {
		t.Errorf("the other feed ended: %s", c.Ended)
	}
}

// TestOneFeed: of any number of feeds that a device opens at once, at two
// processes, one stays, and the others are told that they are replaced.
func TestOneFeed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	run(t, r.Store, r.other)
	phone(t, r.Store, "u2", "d1")
	phone(t, r.Store, "u2", "d2")
	neighbour := open(t, r.Store, "d2", "u2")
	feeds := make([]*store.Feed, 10)
	var all sync.WaitGroup
	for i := range feeds {
		all.Go(func() {
			f, err := r.either(i).OpenFeed(t.Context(), app, "d1", "u2")
			if err != nil {
				t.Error(err)
			}
			feeds[i] = f
		})
	}
	all.Wait()
	if t.Failed() {
		return
	}
	left := read[int](t, r, `SELECT count(*)::int FROM feeds WHERE device_id = 'd1' AND ended IS NULL`)
	if left != 1 {
		t.Fatalf("%d feeds are open", left)
	}
	var replaced int
	eventually(t, "the others to be told", func() bool {
		for _, f := range feeds {
			if f.Take().Ended == store.FeedReplaced {
				replaced++
				f.Close()
			}
		}
		return read[int](t, r, `SELECT count(*)::int FROM feeds WHERE device_id = 'd1'`) == 1
	})
	if c := neighbour.Take(); c.Ended != "" {
		t.Errorf("the feed of another device ended: %s", c.Ended)
	}
	for _, f := range feeds {
		f.Close()
	}
	if !r.connected(t, "d1") {
		t.Error("the device does not count as connected")
	}
}

// TestFeedLoggedOut: an install's feed ends with its user's claim on it.
func TestFeedLoggedOut(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	run(t, r.Store, r.other)
	phone(t, r.Store, "u2", "d1")
	f := open(t, r.Store, "d1", "u2")
	phone(t, r.other, "u2", "d1") // the same user's once more
	if c := f.Take(); c.Ended != "" {
		t.Errorf("a new registration ended the feed: %s", c.Ended)
	}
	phone(t, r.other, "u3", "d1")
	ends(t, f, store.FeedLoggedOut)
	if r.connected(t, "d1") {
		t.Error("connected by the feed of the last user")
	}
	f = open(t, r.Store, "d1", "u3")
	if err := r.other.DeleteDevice(t.Context(), app, "d1", "u3"); err != nil {
		t.Fatal(err)
	}
	ends(t, f, store.FeedLoggedOut)
}

// TestFeedCalls: a feed tells what is alive, what it told of before, and what
// began since it told last, and only of its own user's.
func TestFeedCalls(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	phone(t, r.Store, "u2", "d1")
	phone(t, r.Store, "u3", "d3")
	before := create(t, r.Store, invite("u2"))
	live := create(t, r.Store, invite("u2"))
	create(t, r.Store, invite("u3"))
	fed := func(told []uuid.UUID, since time.Time, want ...call.Call) time.Time {
		t.Helper()
		calls, now, err := r.FeedCalls(t.Context(), store.FeedQuestion{AppID: app, DeviceID: "d1", UserID: "u2", Told: told, Since: since})
		if err != nil {
			t.Fatal(err)
		}
		got := []uuid.UUID{}
		for _, c := range calls {
			got = append(got, c.ID)
			if c.LegOf("d1") == nil {
				t.Errorf("call %s has no leg of the device", c.ID)
			}
		}
		ids := []uuid.UUID{}
		for _, c := range want {
			ids = append(ids, c.ID)
		}
		if len(got) != len(ids) {
			t.Fatalf("fed %v, want %v", got, ids)
		}
		for i := range got {
			if got[i] != ids[i] {
				t.Errorf("fed %v, want %v", got, ids)
			}
		}
		return now
	}
	now := fed(nil, time.Time{}, before, live)
	cancelCall(t, r.Store, before)
	short := create(t, r.Store, invite("u2"))
	cancelCall(t, r.Store, short)
	fed(nil, time.Time{}, live)
	fed([]uuid.UUID{before.ID}, time.Time{}, before, live)
	fed(nil, now, live, short)
	fed([]uuid.UUID{before.ID}, now, before, live, short)
	// Nobody knows what a device was told that comes without a cursor.
	lately := func() (ids []uuid.UUID) {
		calls, _, err := r.FeedCalls(t.Context(), store.FeedQuestion{AppID: app, DeviceID: "d1", UserID: "u2", Lately: true})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range calls {
			ids = append(ids, c.ID)
		}
		return ids
	}
	woken := create(t, r.Store, invite("u2"))
	confirm(t, r.Store, woken, "d1")
	cancelCall(t, r.Store, woken)
	if diff := cmp.Diff([]uuid.UUID{live.ID, woken.ID}, lately()); diff != "" {
		t.Error(diff)
	}
	r.exec(t, `UPDATE legs SET ended_at = ended_at - interval '2 min' WHERE call_id = $1`, woken.ID)
	if diff := cmp.Diff([]uuid.UUID{live.ID}, lately()); diff != "" {
		t.Error(diff)
	}
	// A storm of calls that it was skipped for hides none that rings.
	r.exec(t, `INSERT INTO legs (app_id, call_id, id, direction, device_id, user_id, platform, device_type, status, reason, decision, enterprise, last_seq, wake_attempt, ended_at)
		SELECT $1, $2::uuid, gen_random_uuid(), 'incoming', 'd1', 'u2', 'harmonyos', 'phone', 'skipped', 'incoming_limit', '{}', false, 0, 0, now() FROM generate_series(1, 500)`,
		app, store.NewID(r.Now().Add(time.Second)))
	fed(nil, now, live, short, woken)
	r.exec(t, `DELETE FROM legs WHERE status = 'skipped'`)
	if calls, _, err := r.FeedCalls(t.Context(), store.FeedQuestion{AppID: app, DeviceID: "d1", UserID: "u3", Told: []uuid.UUID{before.ID, live.ID}, Since: now.Add(-time.Hour), Lately: true}); err != nil || len(calls) > 0 {
		t.Errorf("another user of the install is told of %d calls, %v", len(calls), err)
	}
}

// TestFeedUnwritten: a feed whose opening was not answered leaves nothing behind
// for good.
func TestFeedUnwritten(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	phone(t, r.Store, "u2", "d1")
	p := newProxy(t, r.url)
	s := storetest.Open(t, store.Config{URL: p.url})
	p.swallow.Store(true)
	if _, err := s.OpenFeed(t.Context(), app, "d1", "u2"); err == nil {
		t.Fatal("opened, though its commit was not answered")
	}
	eventually(t, "the feed to be closed", func() bool { return read[int](t, r, `SELECT count(*)::int FROM feeds WHERE closed_at IS NULL`) == 0 })
	r.exec(t, `UPDATE feeds SET closed_at = NULL, opened_at = opened_at - interval '2 min'`) // as where that was not written either
	if err := s.CleanFeeds(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := read[int](t, r, `SELECT count(*)::int FROM feeds`); n != 0 {
		t.Errorf("%d feeds are left", n)
	}
}
