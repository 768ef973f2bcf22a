package store_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/store"
)

// told is what a backend is told of a call: the answer whose every repeat must
// be the same to the byte.
func told(t testing.TB, c call.Call) string {
	t.Helper()
	type leg struct {
		ID, Device, User             string
		Platform, Type               string
		Channel, Presentation        string
		Status, Reason               string
		HandedOver, Confirmed, Ended time.Time
	}
	legs := make([]leg, len(c.Legs))
	for i, l := range c.Legs {
		legs[i] = leg{
			l.ID.String(), l.DeviceID, l.UserID, string(l.Platform), string(l.DeviceType), string(l.Channel), string(l.Presentation),
			string(l.Status), string(l.Reason), l.HandedOverAt, l.ConfirmedAt, l.EndedAt,
		}
	}
	b, err := json.Marshal(map[string]any{
		"id": c.ID, "app": c.AppID, "ref": c.Ref, "client_id": c.ClientID, "direction": c.Direction, "status": c.Status, "end_reason": c.EndReason,
		"media": c.Media, "voice_answer": c.VoiceAnswer, "conference": c.Conference, "caller": c.Caller, "callee": c.Callee, "custom": string(c.Custom),
		"created_at": c.CreatedAt, "expires_at": c.ExpiresAt, "ringing_at": c.RingingAt, "answered_at": c.AnsweredAt, "active_at": c.ActiveAt,
		"ended_at": c.EndedAt, "answered_by": c.AnsweredBy, "seq": c.Seq, "reachable": c.Reachable(), "legs": legs,
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func keyed(user, key string) store.Invite {
	in := invite(user)
	in.Key, in.BodyHash = key, [32]byte{1}
	in.Ref, in.Custom = "sip-1", []byte(`{"room" : "<r9>",  "n": 1.50}`)
	in.Caller.Enterprise = &call.Enterprise{Company: "A & B"}
	return in
}

// TestOneKey posts one key fifty times at once through two processes.
func TestOneKey(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(*testing.T, *rig){
		"reachable": func(t *testing.T, r *rig) {
			phone(t, r.Store, "u2", "d1")
			phone(t, r.Store, "u2", "d2", func(r *store.Registration) { r.Region[call.FromBackend] = "HK" })
		},
		"ended at once": func(*testing.T, *rig) {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			prepare(t, r)
			answers := make([]string, 50)
			var all sync.WaitGroup
			for i := range answers {
				all.Go(func() {
					c, err := r.either(i).CreateCall(t.Context(), keyed("u2", "k1"))
					if err != nil {
						t.Error(err)
						return
					}
					answers[i] = told(t, c)
				})
			}
			all.Wait()
			for _, a := range answers {
				if diff := cmp.Diff(answers[0], a); diff != "" {
					t.Fatal(diff)
				}
			}
			if n := read[int](t, r, `SELECT count(*)::int FROM calls`); n != 1 {
				t.Fatalf("%d calls of one key", n)
			}
			// The answer stays what it was, whatever became of the call.
			id := read[[16]byte](t, r, `SELECT id FROM calls`)
			if name == "reachable" {
				c := look(t, r.Store, id)
				confirm(t, r.Store, c, "d1")
				report(t, r.Store, c, "d1", call.ReportActive, call.ReportDisconnected)
			}
			c, err := r.other.CreateCall(t.Context(), keyed("u2", "k1"))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(answers[0], told(t, c)); diff != "" {
				t.Error(diff)
			}
			if len(r.inbox.all()) > 1 {
				t.Errorf("%d wakes of one call", len(r.inbox.all()))
			}
		})
	}
}

// TestKeyReused sends another body under a key, in a later batch and in the same.
func TestKeyReused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	create(t, r.Store, keyed("u2", "k1"))
	other := keyed("u2", "k1")
	other.BodyHash[0] = 2
	_, err := r.other.CreateCall(t.Context(), other)
	wantErr(t, "another body", err, store.ErrKeyReused)

	var mu sync.Mutex
	verdicts := map[bool]int{}
	post := func(hash byte) func() {
		return func() {
			in := keyed("u3", "k2")
			in.BodyHash[0] = hash
			_, err := r.CreateCall(t.Context(), in)
			if err != nil && !errors.Is(err, store.ErrKeyReused) {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			verdicts[err == nil]++
		}
	}
	r.oneBatch(t, r.Store, post(1), post(2))
	if diff := cmp.Diff(map[bool]int{true: 1, false: 1}, verdicts); diff != "" {
		t.Errorf("two bodies in one batch: %s", diff)
	}

	// A key is one app's and one way's own.
	makeApp(t, r.Store, "second")
	in := keyed("u2", "k1")
	in.AppID = "second"
	create(t, r.Store, in)
	phone(t, r.Store, "u2", "d1")
	if _, err := r.DialCall(t.Context(), outgoing("u2", "d1", "k1")); err != nil {
		t.Errorf("a device's id that equals a backend's key: %v", err)
	}
}

// TestDialByAnotherAccount: an install that changed accounts is not answered
// with the last one's call.
func TestDialByAnotherAccount(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	phone(t, r.Store, "u2", "d1")
	first, err := r.DialCall(t.Context(), outgoing("u2", "d1", "same"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.EndCall(t.Context(), app, first.ID); err != nil {
		t.Fatal(err)
	}
	phone(t, r.Store, "u3", "d1")
	second, err := r.DialCall(t.Context(), outgoing("u3", "d1", "same"))
	if err != nil || second.ID == first.ID || second.Caller.UserID != "u3" {
		t.Errorf("call %s of %s, %v", second.ID, second.Caller.UserID, err)
	}
}

// TestOldKey: after 24 h a key means another call, and the row goes some time.
func TestOldKey(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	first := create(t, r.Store, keyed("u2", "k1"))
	r.exec(t, `UPDATE idempotency_keys SET created_at = created_at - interval '23 h 59 min'`)
	if c := create(t, r.Store, keyed("u2", "k1")); c.ID != first.ID {
		t.Error("a key was forgotten before its time")
	}
	r.exec(t, `UPDATE idempotency_keys SET created_at = created_at - interval '2 min'`)
	in := keyed("u2", "k1")
	in.BodyHash[0] = 2
	second := create(t, r.Store, in)
	if second.ID == first.ID {
		t.Error("a key is remembered for too long")
	}
	if c := create(t, r.other, in); c.ID != second.ID {
		t.Error("a key that was used anew is not remembered")
	}
	create(t, r.Store, keyed("u2", "k2"))
	r.exec(t, `UPDATE idempotency_keys SET created_at = created_at - interval '25 h' WHERE key = 'k1'`)
	if err := r.Clean(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := read[string](t, r, `SELECT string_agg(key, ' ') FROM idempotency_keys`); got != "k2" {
		t.Errorf("keys left: %s", got)
	}
}

// TestKeyInProgress lets another session hold some keys' locks for longer than
// anybody waits: those requests are refused, the others of their batch are not,
// and nobody waits for one after the other.
func TestKeyInProgress(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *store.Config) { c.LockWait = 500 * time.Millisecond })
	phone(t, r.Store, "u2", "d1")
	release := r.hold(t, store.LockKey("idempotency", app, "backend", "k1"), store.LockKey("idempotency", app, "backend", "k2"),
		store.LockKey("idempotency", app, "backend", "k3"), store.LockKey("idempotency", app, "backend", "k4"))
	_, err := r.other.CreateCall(t.Context(), keyed("u2", "k1"))
	wantErr(t, "alone", err, store.ErrInProgress)

	errs := make([]error, 21)
	var items []func()
	for i := range errs {
		items = append(items, func() {
			in := keyed("u2", fmt.Sprint("k", i))
			_, errs[i] = r.CreateCall(t.Context(), in)
		})
	}
	start := time.Now()
	r.oneBatch(t, r.Store, items...)
	if d := time.Since(start); d > 2*time.Second {
		t.Errorf("the batch took %s", d)
	}
	for i, err := range errs {
		if i >= 1 && i <= 4 {
			wantErr(t, "in a batch", err, store.ErrInProgress)
		} else if err != nil {
			t.Errorf("a neighbour: %v", err)
		}
	}
	release()
	create(t, r.Store, keyed("u2", "k1"))
}
