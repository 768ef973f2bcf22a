package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/store"
	"github.com/pushwake/relay/store/storetest"
)

// TestBadInvite puts items that cannot be written among good ones: at the
// reading, at the writing, and an app's row that this program cannot read.
func TestBadInvite(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	makeApp(t, r.Store, "newer")
	r.exec(t, `UPDATE apps SET policy = '{"region_rules": "2099-01"}' WHERE id = 'newer'`)
	phone(t, r.Store, "u2", "d1")
	bad := map[string]store.Invite{"unreadable app": invite("u2"), "NUL in the user": invite("u\x00"), "NUL in ref": invite("u2"), "no UTF-8": invite("u2"), "NUL in the key": keyed("u2", "k\x00")}
	for what, in := range bad {
		switch what {
		case "unreadable app":
			in.AppID = "newer"
		case "NUL in ref":
			in.Ref = "a\x00b"
		case "no UTF-8":
			in.Ref = "a\xffb"
		}
		bad[what] = in
	}
	var items []func()
	for what, in := range bad {
		items = append(items, func() {
			if c, err := r.CreateCall(t.Context(), in); err == nil {
				t.Errorf("%s: %+v", what, c)
			}
		})
	}
	for i := range 10 {
		items = append(items, func() {
			if _, err := r.CreateCall(t.Context(), keyed(fmt.Sprint("n", i), fmt.Sprint("k", i))); err != nil {
				t.Errorf("a neighbour: %v", err)
			}
		})
	}
	items = append(items, func() {
		unknown := invite("u2")
		unknown.AppID = "nobody"
		_, err := r.CreateCall(t.Context(), unknown)
		wantErr(t, "an unknown app", err, store.ErrNotFound)
	}, func() {
		if c, err := r.CreateCall(t.Context(), invite("u2")); err != nil || c.Reachable() != 1 {
			t.Errorf("a neighbour that rings: %+v, %v", c, err)
		}
	})
	r.oneBatch(t, r.Store, items...)
	if n := len(r.inbox.all()); n != 1 {
		t.Errorf("%d wakes, want 1", n)
	}
}

// TestBadStep is the same for the steps.
func TestBadStep(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	phone(t, r.Store, "u2", "d1")
	for _, u := range []string{"u3", "u4"} {
		phone(t, r.Store, u, "of "+u)
	}
	plug, good, bad := create(t, r.Store, invite("u2")), create(t, r.Store, invite("u3")), create(t, r.Store, invite("u4"))
	r.oneStepBatch(t, r.Store, plug, func() {
		if _, err := r.ConfirmLeg(t.Context(), party(bad, "of u4"), call.Confirmation{VendorCallID: "a\x00b", Source: call.SourcePush}); err == nil {
			t.Error("a text with NUL was taken")
		}
	}, func() {
		if out, err := r.ConfirmLeg(t.Context(), party(good, "of u3"), call.Confirmation{Source: call.SourcePush}); err != nil || out.Verdict != call.VerdictRing {
			t.Errorf("a neighbour: %+v, %v", out, err)
		}
	}, func() {
		_, err := r.CancelCall(t.Context(), app, store.NewID(r.Now()))
		wantErr(t, "a neighbour without a call", err, store.ErrNotFound)
	})
	if l := legOf(t, look(t, r.Store, bad.ID), "of u4"); l.Status != call.LegWaking {
		t.Errorf("the leg of the bad step: %s", l.Status)
	}
}

// TestHeldCalls lets another session hold some calls for longer than anybody
// waits: steps of the others are made, and nobody waits for one after the other.
func TestHeldCalls(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *store.Config) { c.LockWait = 500 * time.Millisecond })
	var calls []call.Call
	var locks []int64
	for i := range 12 {
		phone(t, r.Store, fmt.Sprint("u", i), fmt.Sprint("d", i))
		calls = append(calls, create(t, r.Store, invite(fmt.Sprint("u", i))))
		if i >= 1 && i <= 4 {
			locks = append(locks, store.LockKey("call", calls[i].ID.String()))
		}
	}
	release := r.hold(t, locks...)
	var items []func()
	for i := 1; i < len(calls); i++ {
		items = append(items, func() {
			var want error
			if i <= 4 {
				want = store.ErrUnavailable
			}
			_, err := r.CancelCall(t.Context(), app, calls[i].ID)
			wantErr(t, fmt.Sprint("call ", i), err, want)
		})
	}
	start := time.Now()
	r.oneStepBatch(t, r.Store, calls[0], items...)
	if d := time.Since(start); d > 2*time.Second {
		t.Errorf("the batch took %s", d)
	}
	release()
	if c, err := r.CancelCall(t.Context(), app, calls[1].ID); err != nil || c.EndReason != call.EndCanceled {
		t.Errorf("afterwards: %+v, %v", c, err)
	}
}

// TestBusy fills a lane: the next item is refused at once.
func TestBusy(t *testing.T) {
	t.Parallel()
	full := false
	r := newRig(t, func(c *store.Config) { c.Waiting = 3; c.Full = func() bool { return full } })
	release := r.hold(t, store.LockKey("user", app, "plug"))
	var all sync.WaitGroup
	post := func() {
		all.Go(func() {
			if _, err := r.CreateCall(t.Context(), invite("plug")); err != nil {
				t.Error(err)
			}
		})
	}
	post()
	r.blocked(t, 1)
	for range 3 {
		post()
	}
	eventually(t, "the lane to fill", func() bool { n, _ := r.Waiting(); return n == 3 })
	_, err := r.CreateCall(t.Context(), invite("plug"))
	wantErr(t, "one more", err, store.ErrBusy)
	release()
	all.Wait()
	full = true
	_, err = r.CreateCall(t.Context(), invite("u2"))
	wantErr(t, "a full dispatcher", err, store.ErrBusy)
}

// TestEarlyLeaver: whoever leaves while waiting is not written; whoever leaves
// while being written is, and nobody else notices.
func TestEarlyLeaver(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	release := r.hold(t, store.LockKey("user", app, "plug"))
	ctx, leave := context.WithCancel(t.Context())
	var all sync.WaitGroup
	post := func(ctx context.Context, user string, want error) {
		all.Go(func() {
			_, err := r.CreateCall(ctx, invite(user))
			wantErr(t, user, err, want)
		})
	}
	post(ctx, "plug", context.Canceled)
	r.blocked(t, 1)
	post(ctx, "leaver", context.Canceled)
	post(t.Context(), "stayer", nil)
	eventually(t, "both to wait", func() bool { n, _ := r.Waiting(); return n == 2 })
	leave()
	release()
	all.Wait()
	if got := read[string](t, r, `SELECT string_agg(callee_id, ' ' ORDER BY callee_id) FROM calls`); got != "plug stayer" {
		t.Errorf("written: %s", got)
	}
}

// TestClose lets what waits be written and refuses what comes later.
func TestClose(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	release := r.hold(t, store.LockKey("user", app, "plug"))
	var all sync.WaitGroup
	post := func(user string) {
		all.Go(func() {
			if _, err := r.other.CreateCall(t.Context(), invite(user)); err != nil {
				t.Error(err)
			}
		})
	}
	post("plug")
	r.blocked(t, 1)
	for i := range 19 {
		post(fmt.Sprint("u", i))
	}
	eventually(t, "the items to wait", func() bool { n, _ := r.other.Waiting(); return n == 19 })
	all.Go(r.other.Close)
	eventually(t, "the lane to close", func() bool {
		ctx, leave := context.WithTimeout(t.Context(), 5*time.Millisecond) // until then it waits behind the others
		defer leave()
		_, err := r.other.CreateCall(ctx, store.Invite{AppID: "nobody"})
		return errors.Is(err, store.ErrUnavailable)
	})
	release()
	all.Wait()
	if n := read[int](t, r, `SELECT count(*)::int FROM calls`); n != 20 {
		t.Errorf("%d calls written, want 20", n)
	}
	_, err := r.other.CancelCall(t.Context(), app, store.NewID(r.Now()))
	wantErr(t, "a step after the close", err, store.ErrUnavailable)
	r.other.Close() // once more does no harm
}

// TestDatabaseAway: every verb says so, and fast; afterwards all is well again
// without anybody's help.
func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := newProxy(t, r.url)
	s := storetest.Open(t, store.Config{URL: p.url, MaxConns: 4})
	phone(t, s, "u2", "d1")
	c := create(t, s, invite("u2"))
	verbs := map[string]func() error{
		"invite":   func() error { _, err := s.CreateCall(t.Context(), invite("u2")); return err },
		"dial":     func() error { _, err := s.DialCall(t.Context(), outgoing("u2", "d1", "c")); return err },
		"cancel":   func() error { _, err := s.CancelCall(t.Context(), app, c.ID); return err },
		"report":   func() error { _, err := say(t, s, c, "d1", said(1, call.ReportRinging)); return err },
		"register": func() error { _, err := s.PutDevice(t.Context(), registration("u2", "d1")); return err },
		"delete":   func() error { return s.DeleteDevice(t.Context(), app, "d9", "") },
		"install":  func() error { return s.CheckInstall(t.Context(), app, "d1", "u2", time.Time{}) },
		"device":   func() error { _, err := s.Device(t.Context(), app, "d1"); return err },
		"call":     func() error { _, err := s.Call(t.Context(), app, c.ID); return err },
		"history":  func() error { _, _, err := s.Calls(t.Context(), store.Filter{AppID: app, Limit: 1}); return err },
		"live":     func() error { _, err := s.LiveCalls(t.Context(), app, "d1", "u2"); return err },
		"feed":     func() error { _, err := s.OpenFeed(t.Context(), app, "d1", "u2"); return err },
		"fed": func() error {
			_, _, err := s.FeedCalls(t.Context(), store.FeedQuestion{AppID: app, DeviceID: "d1", UserID: "u2"})
			return err
		},
		"timeline": func() error { _, _, err := s.Timeline(t.Context(), app, c.ID); return err },
		"events":   func() error { _, err := s.Events(t.Context(), store.EventQuery{AppID: app, Limit: 1}); return err },
		"key":      func() error { _, err := s.FindKey(t.Context(), "rk_x"); return err },
		"app":      func() error { _, err := s.App(t.Context(), app); return err },
		"secret":   func() error { _, err := s.Credential(t.Context(), app, call.PushKit); return err },
		"sweep":    func() error { _, err := s.SweepDeadlines(t.Context()); return err },
		"takeover": func() error { _, err := s.TakeOver(t.Context()); return err },
		"ready":    func() error { return s.Ready(t.Context()) },
	}
	p.away()
	for name, verb := range verbs {
		start := time.Now()
		wantErr(t, name, verb(), store.ErrUnavailable)
		if d := time.Since(start); d > 2*time.Second {
			t.Errorf("%s took %s to say so", name, d)
		}
	}
	p.back()
	for name, verb := range verbs {
		if err := verb(); errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s after the database is back: %v", name, err)
		}
	}
	// Sessions that the server ends, as in a restart.
	for range 3 {
		r.exec(t, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'relay'`)
		_, _ = s.CreateCall(t.Context(), invite("u5")) // may find the corpse
		if _, err := s.CreateCall(t.Context(), invite("u5")); err != nil {
			_, err = s.CreateCall(t.Context(), invite("u5"))
			wantErr(t, "an invitation soon after", err, nil)
		}
	}
}
