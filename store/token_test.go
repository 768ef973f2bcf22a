package store_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/store"
	"github.com/pushwake/relay/store/storetest"
)

// manyPhones registers the phones d1 to dn, each of a user of its own.
func manyPhones(t testing.TB, r *rig, n int) {
	t.Helper()
	r.exec(t, `INSERT INTO devices (app_id, device_id, user_id, platform, device_type, system_version, emulator, environment, bundle_id, locale, call_ui, created_at, updated_at, owned_since)
		SELECT $1, 'd' || n, 'u' || n, 'harmonyos', 'phone', '6.1.0(23)', false, 'production', '', '', 'call_service_kit', now(), now(), now() FROM generate_series(1, $2::int) n`, app, n)
	r.exec(t, `INSERT INTO device_tokens (app_id, device_id, name, token, state, registered_at)
		SELECT $1, 'd' || n, 'push_kit', 'T-d' || n, 'alive', now() - interval '1 hour' FROM generate_series(1, $2::int) n`, app, n)
}

// refused has the vendor say of the phones from one number to another that their
// tokens are dead, on both processes in turns.
func refused(t testing.TB, r *rig, w store.Wake, from, to int) {
	t.Helper()
	var all sync.WaitGroup
	for n := from; n <= to; n++ {
		all.Go(func() {
			w := w
			w.DeviceID, w.UserID, w.Token = fmt.Sprint("d", n), fmt.Sprint("u", n), fmt.Sprint("T-d", n)
			if _, err := r.either(n).FinishAttempt(t.Context(), w, store.Outcome{Next: store.WakeGivenUp, Reason: call.ReasonTokenDead, TokenState: call.TokenDead}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// anyWake is the wake of a call to a phone that is none of the many.
func anyWake(t testing.TB, r *rig) store.Wake {
	t.Helper()
	phone(t, r.Store, "u0", "d0")
	return r.inbox.of(t, create(t, r.Store, invite("u0")), "d0")
}

func dead(t testing.TB, r *rig) int {
	t.Helper()
	n := read[int](t, r, `SELECT count(*)::int FROM device_tokens WHERE state = 'dead'`)
	if told := read[int](t, r, `SELECT count(*)::int FROM events WHERE type = 'device.token_dead'`); told != n {
		t.Errorf("%d tokens are dead, and %d events tell of it", n, told)
	}
	return n
}

// judge has both processes look at once.
func (r *rig) judge(t testing.TB) {
	t.Helper()
	var both sync.WaitGroup
	for i := range 4 {
		both.Go(func() { wantErr(t, "the sweep", r.either(i).SweepTokens(t.Context()), nil) })
	}
	both.Wait()
}

// wait lets time pass for the tokens that are condemned, and for the alarms.
func (r *rig) wait(t testing.TB, by time.Duration) {
	t.Helper()
	if _, err := r.db.Exec(t.Context(), `UPDATE condemned_tokens SET condemned_at = condemned_at - $1::interval`, by); err != nil {
		t.Fatal(err)
	}
	if _, err := r.db.Exec(t.Context(), `UPDATE token_alarms SET last_at = last_at - $1::interval, raised_at = raised_at - $1::interval`, by); err != nil {
		t.Fatal(err)
	}
}

// TestTokenStorm: where more than half of an app's tokens would die within a
// minute, and twenty or more, none does, and one alarm is raised.
func TestTokenStorm(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name       string
		tokens     int
		dying      []int // so many, half a minute apart
		dead       int
		alarms     int
		afterwards int // of 19 more that die a while later
	}{
		{"25 of 40", 40, []int{25}, 0, 1, 15},
		{"25 of 1000", 1000, []int{25}, 25, 0, 44},
		{"20 of 40", 39, []int{20}, 20, 0, 39}, // with d0: half, and not more
		{"21 of 40", 39, []int{21}, 0, 1, 18},
		{"30 of 40, in two halves", 40, []int{15, 15}, 0, 1, 10},
		{"30 of 40, over a minute and a half", 40, []int{10, 10, 0, 10}, 30, 0, 40},
		{"40 of 40, and some come late", 40, []int{25, 15}, 0, 1, 0},
		{"40 of 40, some of them when the alarm is raised", 40, []int{20, 5, 15}, 0, 1, 0},
		{"19 of 19, which are too few for a storm", 18, []int{18}, 18, 0, 18},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			w := anyWake(t, r)
			manyPhones(t, r, tc.tokens)
			n := 0
			for i, dying := range tc.dying {
				if i > 0 {
					r.wait(t, 30*time.Second)
					r.judge(t)
				}
				refused(t, r, w, n+1, n+dying)
				n += dying
			}
			r.wait(t, time.Minute)
			r.judge(t)
			if got := dead(t, r); got != tc.dead {
				t.Errorf("%d tokens are dead, want %d", got, tc.dead)
			}
			alarms, err := r.TokenAlarms(t.Context(), time.Now().Add(-time.Hour))
			if err != nil || len(alarms) != tc.alarms {
				t.Fatalf("alarms: %+v, %v; want %d", alarms, err, tc.alarms)
			}
			for _, a := range alarms {
				if a.AppID != app || a.Name != call.TokenPushKit || a.Spared != n || a.Alive != tc.tokens+1 {
					t.Errorf("the alarm tells %+v; want %d of %d", a, n, tc.tokens+1)
				}
			}
			// What comes after the storm is judged by itself.
			r.wait(t, 10*time.Minute)
			refused(t, r, w, n+1, min(n+19, tc.tokens))
			r.judge(t)
			r.wait(t, time.Minute)
			r.judge(t)
			if got := dead(t, r); got != tc.afterwards && tc.afterwards != 0 {
				t.Errorf("%d tokens are dead afterwards, want %d", got, tc.afterwards)
			}
			if left := read[int](t, r, `SELECT count(*)::int FROM condemned_tokens`); left != 0 {
				t.Errorf("%d tokens wait for ever", left)
			}
		})
	}
}

// TestCondemnedTokenLives: a token that is registered again while it waits, or
// replaced, or moved, or whose device is deleted, does not die afterwards.
func TestCondemnedTokenLives(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	w := anyWake(t, r)
	manyPhones(t, r, 60)
	refused(t, r, w, 1, 5)
	if got := dead(t, r); got != 0 {
		t.Fatalf("%d tokens died at once", got)
	}
	refused(t, r, w, 1, 5) // the next push says the same
	phone(t, r.Store, "u1", "d1", withToken("T-d1"))
	phone(t, r.Store, "u2", "d2", withToken("T-new"))
	phone(t, r.Store, "u3", "other", withToken("T-d3"))
	if err := r.DeleteDevice(t.Context(), app, "d4", ""); err != nil {
		t.Fatal(err)
	}
	r.wait(t, time.Minute)
	r.judge(t)
	if got := read[[]string](t, r, `SELECT array_agg(device_id ORDER BY device_id) FROM device_tokens WHERE state = 'dead'`); cmp.Diff([]string{"d5"}, got) != "" || dead(t, r) != 1 {
		t.Errorf("dead: %v", got)
	}
}

// TestTokenEvidence: the event tells why a token is dead, and not which it is.
func TestTokenEvidence(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	last := func(device string) map[string]any {
		t.Helper()
		var got map[string]any
		data := read[string](t, r, `SELECT data::text FROM events WHERE type = 'device.token_dead' AND data->>'device_id' = $1`, device)
		if err := json.Unmarshal([]byte(data), &got); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(data, tokenOf(device, device)) {
			t.Errorf("the event tells the token: %s", data)
		}
		return got
	}
	begin := func(device string) store.Wake {
		phone(t, r.Store, device, device)
		return r.inbox.of(t, create(t, r.Store, invite(device)), device)
	}
	at := r.Now().Add(time.Second).Truncate(time.Millisecond)
	w := begin("answered")
	a := attempt(r, w)
	a.Code = "80300007/tokenFormatError"
	finish(t, r.Store, w, store.Outcome{Attempt: a, Next: store.WakeGivenUp, Reason: call.ReasonTokenDead, TokenState: call.TokenDead, DeadSince: at}, false)
	want := map[string]any{"device_id": "answered", "user_id": "answered", "token": "push_kit", "evidence": map[string]any{
		"source": "answer", "vendor": "push_kit", "code": "80300007/tokenFormatError", "attempt_id": a.ID.String(), "vendor_time": at.Format("2006-01-02T15:04:05.000Z"),
	}}
	if diff := cmp.Diff(want, last("answered")); diff != "" {
		t.Errorf("an answer (-want +got):\n%s", diff)
	}

	sent := r.accepted(t, begin("removed"))
	told := receipt(sent, 2, call.ReceiptDropToken)
	told.Token = tokenOf("removed", "removed")
	r.receives(t, r.Store, told)
	want = map[string]any{"device_id": "removed", "user_id": "removed", "token": "push_kit", "evidence": map[string]any{
		"source": "receipt", "vendor": "push_kit", "code": "2", "attempt_id": sent.String(), "vendor_time": nil,
	}}
	if diff := cmp.Diff(want, last("removed")); diff != "" {
		t.Errorf("a receipt (-want +got):\n%s", diff)
	}
}

// TestTokenStormByReceipts: receipts are evidence like answers, and one storm
// may be of both. The metrics tell of it.
func TestTokenStormByReceipts(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	r := newRig(t)
	judge := storetest.Open(t, store.Config{URL: r.url, MaxConns: 2, Registerer: registry})
	w := anyWake(t, r)
	var receipts []store.Receipt
	for i := range 15 {
		device := fmt.Sprint("r", i)
		phone(t, r.Store, device, device)
		told := receipt(uuid.Nil, 5, call.ReceiptDropToken)
		told.Token, told.Attempt = tokenOf(device, device), r.accepted(t, r.inbox.of(t, create(t, r.Store, invite(device)), device))
		receipts = append(receipts, told)
	}
	manyPhones(t, r, 10)
	r.receives(t, r.Store, receipts...)
	refused(t, r, w, 1, 10)
	r.judge(t) // too early
	r.wait(t, time.Minute)
	wantErr(t, "the sweep", judge.SweepTokens(t.Context()), nil)
	if got := dead(t, r); got != 0 {
		t.Errorf("%d tokens are dead", got)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "relay_token") {
			got[f.GetName()] = f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	if diff := cmp.Diff(map[string]float64{"relay_token_alarms_total": 1, "relay_tokens_spared_total": 25}, got); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
}
