package store_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/store"
)

func withToken(token string) func(*store.Registration) {
	return func(r *store.Registration) { r.Tokens = map[call.TokenName]string{call.TokenPushKit: token} }
}

func deviceOf(t testing.TB, r *rig, id string) store.Registered {
	t.Helper()
	d, err := r.Device(t.Context(), app, id)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestTokenMoves: a token is one device's at a time.
func TestTokenMoves(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	phone(t, r.Store, "u2", "d1", withToken("T1"))
	if d := phone(t, r.other, "u3", "d2", withToken("T1")); d.Decision.Reason != "" {
		t.Errorf("the new holder: %+v", d.Decision)
	}
	if d := deviceOf(t, r, "d1"); len(d.Tokens) != 0 || d.Decision.Reason != call.ReasonNoToken {
		t.Errorf("the old holder: %+v", d)
	}
	if c := create(t, r.Store, invite("u2")); c.EndReason != call.EndUnreachable {
		t.Errorf("a call to the old holder: %+v", c)
	}
	if c := create(t, r.Store, invite("u3")); r.inbox.of(t, c, "d2").Token != "T1" {
		t.Error("the new holder's wake has another token")
	}
	// Another app's devices have nothing to do with it.
	makeApp(t, r.Store, "second")
	phone(t, r.Store, "u3", "d2", withToken("T1"), func(r *store.Registration) { r.AppID = "second" })
	if d := deviceOf(t, r, "d2"); d.Tokens[call.TokenPushKit].Value != "T1" {
		t.Errorf("after another app's registration: %+v", d)
	}
}

// TestTokenAtOnce lets devices fight for tokens on two processes: nobody gets
// an error, and each token ends with one holder. Half of them swap tokens.
func TestTokenAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for round := range 10 {
		var all sync.WaitGroup
		put := func(i int, device, token string) {
			all.Go(func() {
				in := registration(fmt.Sprint("u", i), device)
				withToken(token)(&in)
				if _, err := r.either(i).PutDevice(t.Context(), in); err != nil {
					t.Errorf("round %d, %s: %v", round, device, err)
				}
			})
		}
		for i := range 4 {
			put(i, fmt.Sprint("same", i), fmt.Sprint("S", round))
			put(i, fmt.Sprint("swap", i), fmt.Sprint("W", (i+round)%4))
		}
		all.Wait()
	}
	got := read[string](t, r, `SELECT string_agg(token || ':' || n, ' ' ORDER BY token) FROM (
		SELECT token, count(*) AS n FROM device_tokens WHERE token = 'S9' OR token LIKE 'W%' GROUP BY token) q`)
	if got != "S9:1 W0:1 W1:1 W2:1 W3:1" {
		t.Errorf("holders: %s", got)
	}
}

// TestChangeOfUser: once PutDevice has returned, no call that is taken in wakes
// the phone for its old user, though invitations to both come all the time. It
// is the same whether the install or only its token goes to the new user.
func TestChangeOfUser(t *testing.T) {
	t.Parallel()
	for name, device := range map[string]func(int) string{
		"the install": func(int) string { return "d" },
		"the token":   func(i int) string { return fmt.Sprint("d", i%2) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			users := []string{"even", "odd"}
			phone(t, r.Store, "even", device(0), withToken("T"))
			stop := make(chan struct{})
			var all sync.WaitGroup
			for i := range 4 {
				all.Go(func() {
					for n := 0; ; n++ {
						select {
						case <-stop:
							return
						default:
						}
						c, err := r.either(i).CreateCall(t.Context(), invite(users[n%2]))
						if err == nil {
							_, err = r.either(i).CancelCall(t.Context(), app, c.ID)
						}
						if err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			var moved []time.Time
			for i := 1; i <= 30; i++ {
				phone(t, r.either(i/2), users[i%2], device(i), withToken("T"))
				moved = append(moved, read[time.Time](t, r, `SELECT clock_timestamp()`)) // the move is over by then
			}
			close(stop)
			all.Wait()
			// After the move i, and before the next began to move it back, the other user's calls have no leg that was woken.
			woken := 0
			for i := range moved {
				until := r.Now()
				if i+1 < len(moved) {
					until = moved[i+1]
				}
				old := users[i%2]
				rows := read[int](t, r, `SELECT count(*)::int FROM legs l JOIN calls c ON c.app_id = l.app_id AND c.id = l.call_id
					JOIN events e ON e.call_id = c.id AND e.call_seq = 1
					WHERE c.callee_id = $1 AND l.status <> 'skipped' AND l.device_id = $2 AND c.created_at > $3 AND c.created_at < (
						SELECT coalesce(min(at), $4) FROM events WHERE type = 'device.registered' AND at > $3)`, old, device(i), moved[i], until)
				if rows > 0 {
					t.Errorf("%d legs woken for %s after move %d", rows, old, i+1)
				}
				woken += read[int](t, r, `SELECT count(*)::int FROM calls WHERE callee_id <> $1 AND end_reason = 'canceled' AND created_at BETWEEN $2 AND $3`, old, moved[i], until)
			}
			if woken == 0 {
				t.Error("no call was ever woken for the new user: the test has seen nothing")
			}
		})
	}
}

// TestHolderLocked is the same without luck: while an invitation to the
// token's old user is being written, the token cannot move.
func TestHolderLocked(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	phone(t, r.Store, "old", "d1", withToken("T"))
	release := r.hold(t, store.LockKey("user", app, "old"))
	done := make(chan struct{})
	go func() {
		defer close(done)
		in := registration("new", "d2")
		withToken("T")(&in)
		if _, err := r.PutDevice(t.Context(), in); err != nil {
			t.Error(err)
		}
	}()
	r.blocked(t, 1)
	release()
	<-done
	if d := deviceOf(t, r, "d2"); d.Tokens[call.TokenPushKit].Value != "T" {
		t.Errorf("the new holder: %+v", d)
	}
}

// TestInstallJWT: whose JWT speaks for an install, and since when.
func TestInstallJWT(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	check := func(user string, issued time.Time) error { return r.CheckInstall(t.Context(), app, "d1", user, issued) }
	register := func(user string, issued time.Time) error {
		in := registration(user, "d1")
		in.ByDevice, in.TokenIssuedAt, in.Region = true, issued, map[call.EvidenceSource]string{call.FromSIM: "CN"}
		_, err := r.PutDevice(t.Context(), in)
		return err
	}
	early := r.Now().Add(-time.Hour)
	wantErr(t, "an install never seen", check("u2", early), nil)
	wantErr(t, "its first registration", register("u2", early), nil)
	wantErr(t, "its owner", check("u2", early), nil)
	wantErr(t, "another user", check("u3", r.Now()), store.ErrForeignDevice)
	wantErr(t, "another user's older JWT registers", register("u3", early), store.ErrForeignDevice)
	if d := deviceOf(t, r, "d1"); d.UserID != "u2" {
		t.Errorf("a refused registration changed the owner to %s", d.UserID)
	}

	phone(t, r.Store, "u3", "d1") // the backend may move it
	wantErr(t, "the owner before", check("u2", r.Now()), store.ErrForeignDevice)
	wantErr(t, "the owner before registers", register("u2", early), store.ErrForeignDevice)

	// The phone changed accounts: a JWT newer than the owner's claim takes it over.
	wantErr(t, "a newer JWT of another user", register("u2", r.Now().Add(time.Second)), nil)
	wantErr(t, "the account before", check("u3", r.Now()), store.ErrForeignDevice)
	phone(t, r.Store, "u3", "d1")

	wantErr(t, "a stranger deletes", r.DeleteDevice(t.Context(), app, "d1", "u2"), store.ErrNotFound)
	wantErr(t, "the owner deletes", r.DeleteDevice(t.Context(), app, "d1", "u3"), nil)
	wantErr(t, "and again", r.DeleteDevice(t.Context(), app, "d1", "u3"), store.ErrNotFound)
	_, err := r.Device(t.Context(), app, "d1")
	wantErr(t, "a deleted device", err, store.ErrNotFound)
	for _, user := range []string{"u2", "u3"} {
		wantErr(t, "a JWT from before the log-out", check(user, early), store.ErrForeignDevice)
		wantErr(t, "a registration by it", register(user, early), store.ErrForeignDevice)
		wantErr(t, "a JWT from after it", check(user, r.Now().Add(time.Second)), nil)
	}
	if n := read[int](t, r, `SELECT (SELECT count(*) FROM device_tokens)::int + (SELECT count(*) FROM device_regions)::int`); n != 0 {
		t.Errorf("%d tokens and evidence of a deleted device", n)
	}
	wantErr(t, "a new log-in", register("u2", r.Now().Add(time.Second)), nil)
	wantErr(t, "its JWT", check("u2", early), nil)
	if c := create(t, r.Store, invite("u2")); c.Reachable() != 1 {
		t.Errorf("a call after the new log-in: %+v", c)
	}
	if c := create(t, r.Store, invite("u3")); len(c.Legs) != 0 {
		t.Errorf("a call to the user before: %+v", c)
	}
}

// TestRegistration merges what is given with what is there.
func TestRegistration(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	put := func(tokens map[call.TokenName]string, region map[call.EvidenceSource]string) (got string) {
		t.Helper()
		d := phone(t, r.Store, "u2", "d1", func(r *store.Registration) { r.Tokens, r.Region = tokens, region })
		for _, name := range call.TokenNames {
			if token, ok := d.Tokens[name]; ok {
				got += fmt.Sprintf("%s=%s(%s) ", name, token.Value, token.State)
			}
		}
		for _, e := range d.Region {
			got += fmt.Sprintf("%s=%s ", e.Source, e.Country)
		}
		return got
	}
	type tokens = map[call.TokenName]string
	type region = map[call.EvidenceSource]string
	for i, step := range []struct {
		tokens tokens
		region region
		want   string
	}{
		{tokens{"push_kit": "A", "apns_voip": "B"}, region{call.FromSIM: "CN", call.FromPhone: "HK"}, "push_kit=A(alive) apns_voip=B(alive) phone=HK sim_mcc=CN "},
		{nil, nil, "push_kit=A(alive) apns_voip=B(alive) phone=HK sim_mcc=CN "},
		{tokens{"apns_voip": ""}, region{call.FromPhone: ""}, "push_kit=A(alive) sim_mcc=CN "},
		{tokens{"push_kit": "C"}, region{call.FromSIM: "JP"}, "push_kit=C(alive) sim_mcc=JP "},
		{tokens{"push_kit": "", "apns_alert": ""}, region{call.FromSIM: "", call.FromBackend: ""}, ""},
	} {
		if got := put(step.tokens, step.region); got != step.want {
			t.Errorf("step %d: %q, want %q", i, got, step.want)
		}
	}
	first := deviceOf(t, r, "d1")
	again := phone(t, r.Store, "u2", "d1", func(r *store.Registration) { r.Device.SystemVersion, r.Device.Locale = "6.1.1(24)", "zh-CN" })
	if !again.CreatedAt.Equal(first.CreatedAt) || !again.UpdatedAt.After(first.UpdatedAt) || again.SystemVersion != "6.1.1(24)" || again.Locale != "zh-CN" {
		t.Errorf("refreshed: %+v", again)
	}
	if diff := cmp.Diff(again, deviceOf(t, r, "d1"), cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".Age" }, cmp.Ignore())); diff != "" {
		t.Errorf("what was answered is not what is stored: %s", diff)
	}
	// A new account: what was said for the old one is no evidence for it.
	if d := phone(t, r.Store, "u3", "d1", func(r *store.Registration) { r.Region = nil }); len(d.Region) != 0 || d.Decision.Reason != call.ReasonRegionUnknown {
		t.Errorf("under a new account: %+v", d)
	}
	in := registration("u2", "d1")
	in.AppID = "nobody"
	_, err := r.PutDevice(t.Context(), in)
	wantErr(t, "an unknown app", err, store.ErrNotFound)
}
