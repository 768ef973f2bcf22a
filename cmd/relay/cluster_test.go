package main_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pushwake/relay/push/pushkit/pushkitsim"
	"github.com/pushwake/relay/store/storetest"
)

// cluster is two relay processes on one database and one simulated Push Kit.
type cluster struct {
	sim       *pushkitsim.Sim
	processes [2]*process
	nodes     [2]caller // the app's backend, asking each
}

func newCluster(t testing.TB) *cluster {
	t.Helper()
	sim, simURL, keyFile := pushKit(t)
	s := setting{env: []string{"DATABASE_URL=" + storetest.Database(t), "RELAY_MASTER_KEY=" + newMasterKey(), "RELAY_PUSH_KIT_URL=" + simURL}}
	c := &cluster{sim: sim}
	s.must(t, "app", "put", "shop")
	s.must(t, "app", "credential", "shop", "push_kit", keyFile)
	key := strings.TrimSpace(s.must(t, "key", "create", "shop"))
	for i := range c.processes {
		p, url := s.serve(t)
		c.processes[i], c.nodes[i] = p, caller{url, key}
	}
	return c
}

// atOnce does n things at once and returns the first error.
func atOnce(n int, do func(i int) error) error {
	errs := make([]error, n)
	begin := make(chan struct{})
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			<-begin
			errs[i] = do(i)
		})
	}
	close(begin)
	all.Wait()
	return errors.Join(errs...)
}

// TestIncomingLimit: a hundred invitations at once to one device, over both
// processes, wake it three times; of each of the others it is told once.
func TestIncomingLimit(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	register(t, c.nodes[0], "u2", "d1")
	calls := make([]callView, 100)
	err := atOnce(len(calls), func(i int) (err error) {
		calls[i], err = want[callView](t.Context(), c.nodes[i%2], http.StatusCreated, http.MethodPost, "/v1/calls", invitation("u2", 60, ""))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	waking, limited := 0, 0
	for _, one := range calls {
		switch leg := one.leg("d1"); {
		case one.Status == "waking" && leg.Status == "waking" && leg.Reason == "":
			waking++
		case one.Status == "ended" && one.EndReason == "busy" && leg.Status == "skipped" && leg.Reason == "incoming_limit":
			limited++
		default:
			t.Errorf("a call came out as %+v", one)
		}
	}
	if waking != 3 || limited != 97 {
		t.Errorf("%d waking and %d incoming_limit, want 3 and 97", waking, limited)
	}
	sent := func(pushType string) (n int) {
		for _, m := range c.sim.Messages(tokenOf("d1"), 0) {
			if m.Headers["push-type"] == pushType {
				n++
			}
		}
		return n
	}
	within(t, patience, "three wakes", func() bool { return sent("10") >= 3 })
	// A slot that gets free lets exactly one more in.
	for _, one := range calls {
		if one.Status == "waking" {
			must[any](t)(want[any](t.Context(), c.nodes[1], http.StatusOK, http.MethodPost, "/v1/calls/"+one.ID+"/cancel", nil))
			break
		}
	}
	for _, status := range []string{"waking", "ended"} {
		one := must[callView](t)(want[callView](t.Context(), c.nodes[0], http.StatusCreated, http.MethodPost, "/v1/calls", invitation("u2", 60, "")))
		if one.Status != status {
			t.Errorf("after a slot got free: %s, want %s", one.Status, status)
		}
	}
	const untaken = 97 + 2 // the one that was canceled, and the last
	within(t, patience, "the fourth wake and all notices", func() bool { return sent("10") >= 4 && sent("0") >= untaken })
	if rings, notices := sent("10"), sent("0"); rings != 4 || notices != untaken {
		t.Errorf("Push Kit got %d wakes and %d notices, want 4 and %d", rings, notices, untaken)
	}
}

// TestOneWinner: two devices answer at once, each on another process.
func TestOneWinner(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	const users, rounds = 20, 50
	devices := make([][2]caller, users) // each device asks one process
	for u := range users {
		for d := range 2 {
			id, user := fmt.Sprintf("d%d-%d", u, d), fmt.Sprint("u", u)
			register(t, c.nodes[d], user, id)
			token := must[struct{ Token string }](t)(want[struct{ Token string }](t.Context(), c.nodes[d], http.StatusCreated, http.MethodPost, "/v1/device-tokens",
				map[string]any{"user_id": user, "device_id": id}))
			devices[u][d] = caller{c.nodes[d].url, token.Token}
		}
	}
	var mu sync.Mutex
	var won [2]int
	err := atOnce(users, func(u int) error {
		for round := range rounds {
			winner, err := c.race(t.Context(), u, round, devices[u])
			if err != nil {
				return fmt.Errorf("user %d, round %d: %w", u, round, err)
			}
			mu.Lock()
			won[winner]++
			mu.Unlock()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("of %d calls the devices won %d and %d", users*rounds, won[0], won[1])
}

// race is one call that both devices of a user answer; it returns who won.
func (c *cluster) race(ctx context.Context, u, round int, devices [2]caller) (winner int, err error) {
	backend := c.nodes[round%2]
	one, err := want[callView](ctx, backend, http.StatusCreated, http.MethodPost, "/v1/calls", invitation(fmt.Sprint("u", u), 60, ""))
	if err != nil {
		return 0, err
	}
	path := "/v1/device/calls/" + one.ID
	for _, d := range devices {
		v, err := want[struct{ Verdict string }](ctx, d, http.StatusOK, http.MethodPost, path+"/confirm", map[string]any{"source": "push"})
		if err != nil || v.Verdict != "ring" {
			return 0, fmt.Errorf("the confirm: %q, %w", v.Verdict, err)
		}
	}
	report := func(seq int, event string) map[string]any {
		return map[string]any{"reports": []any{map[string]any{"seq": seq, "event": event, "at": time.Now().UTC().Format(time.RFC3339Nano)}}}
	}
	var status [2]int
	var answers [2][]byte
	if err := atOnce(2, func(d int) (err error) {
		status[d], answers[d], err = devices[d].ask(ctx, http.MethodPost, path+"/reports", report(1, "answered"))
		return err
	}); err != nil {
		return 0, err
	}
	if status[1] == http.StatusOK {
		winner = 1
	}
	var refusal struct{ Code string }
	if err := json.Unmarshal(answers[1-winner], &refusal); err != nil || status[winner] != http.StatusOK || status[1-winner] != http.StatusConflict || refusal.Code != "lost_race" {
		return 0, fmt.Errorf("the answers: %v, %s", status, answers)
	}
	if _, err := want[any](ctx, devices[winner], http.StatusOK, http.MethodPost, path+"/reports", report(2, "disconnected")); err != nil {
		return 0, err
	}
	one, err = want[callView](ctx, backend, http.StatusOK, http.MethodGet, "/v1/calls/"+one.ID, nil)
	names := [2]string{fmt.Sprintf("d%d-0", u), fmt.Sprintf("d%d-1", u)}
	if err == nil && (one.EndReason != "completed" || one.AnsweredBy != names[winner] || one.leg(names[winner]).Status != "completed" || one.leg(names[1-winner]).Status != "answered_elsewhere") {
		err = fmt.Errorf("device %d won, but the call is %+v", winner, one)
	}
	return winner, err
}

// TestIdempotency: one key, posted fifty times at once, makes one call and has
// one answer.
func TestIdempotency(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	register(t, c.nodes[0], "u2", "d1")
	for round := range 5 {
		ref := fmt.Sprint("once-", round)
		answers := make([]string, 50)
		if err := atOnce(len(answers), func(i int) error {
			status, answer, err := c.nodes[i%2].ask(t.Context(), http.MethodPost, "/v1/calls", invitation("u2", 60, ref), "Idempotency-Key", ref)
			if err == nil && status != http.StatusCreated {
				err = fmt.Errorf("HTTP %d: %s", status, answer)
			}
			answers[i] = string(answer)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		for _, a := range answers {
			if a != answers[0] {
				t.Fatalf("two answers to one key:\n%s\n%s", answers[0], a)
			}
		}
		if list := must[page](t)(want[page](t.Context(), c.nodes[1], http.StatusOK, http.MethodGet, "/v1/calls?ref="+ref, nil)); len(list.Data) != 1 {
			t.Errorf("one key made %d calls", len(list.Data))
		}
		if status, answer, err := c.nodes[1].ask(t.Context(), http.MethodPost, "/v1/calls", invitation("u3", 60, ref), "Idempotency-Key", ref); err != nil ||
			status != http.StatusUnprocessableEntity || !strings.Contains(string(answer), "idempotency_key_reused") {
			t.Errorf("the key with another body: HTTP %d, %s, %v", status, answer, err)
		}
	}
}

// lateness is how long after its ring a call was missed; a call that ended
// otherwise, too early or over 3 s late is an error.
func lateness(c callView) (time.Duration, error) {
	if c.Status != "ended" || c.EndReason != "missed" || c.EndedAt == nil {
		return 0, fmt.Errorf("call %s is %s, %s; want it missed", c.ID, c.Status, c.EndReason)
	}
	late := c.EndedAt.Sub(c.ExpiresAt)
	if late < 0 || late > 3*time.Second {
		return late, fmt.Errorf("call %s was missed %v after its ring's end", c.ID, late)
	}
	return late, nil
}

// TestMissedThoughKilled: the process that took a call is killed right after
// its 201; the other ends it in time.
func TestMissedThoughKilled(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	register(t, c.nodes[0], "u2", "d1")
	one := must[callView](t)(want[callView](t.Context(), c.nodes[0], http.StatusCreated, http.MethodPost, "/v1/calls", invitation("u2", 10, "")))
	c.processes[0].kill(t)
	within(t, patience, "the call's end", func() bool {
		asked := time.Now()
		one = must[callView](t)(want[callView](t.Context(), c.nodes[1], http.StatusOK, http.MethodGet, "/v1/calls/"+one.ID, nil))
		if one.Status != "ended" && asked.After(one.ExpiresAt.Add(3*time.Second)) {
			t.Fatalf("the call is %s %v after its ring's end", one.Status, asked.Sub(one.ExpiresAt))
		}
		return one.Status == "ended"
	})
	late, err := lateness(one)
	if err != nil {
		t.Error(err)
	}
	t.Logf("missed %v after the ring's end", late)
}

// TestTakeOverOfStalledWakes: a process dies while Push Kit does not answer it;
// the other wakes the phones.
func TestTakeOverOfStalledWakes(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	const phones = 5
	if err := c.sim.SetFaults(pushkitsim.Fault{Stall: true, Count: phones}); err != nil {
		t.Fatal(err)
	}
	calls := make([]callView, phones)
	for i := range calls {
		user, device := fmt.Sprint("u", i), fmt.Sprint("d", i)
		register(t, c.nodes[0], user, device)
		calls[i] = must[callView](t)(want[callView](t.Context(), c.nodes[0], http.StatusCreated, http.MethodPost, "/v1/calls", invitation(user, 60, "")))
	}
	within(t, patience, "the stalled requests", func() bool { return len(c.sim.Messages("", 0)) == phones })
	c.processes[0].kill(t)
	killed := time.Now()
	for i, one := range calls {
		device := fmt.Sprint("d", i)
		within(t, 5*time.Second-time.Since(killed), "the take-over of the wake", func() bool {
			one = must[callView](t)(want[callView](t.Context(), c.nodes[1], http.StatusOK, http.MethodGet, "/v1/calls/"+one.ID, nil))
			return one.leg(device).Status == "handed_over"
		})
		got := c.sim.Messages(tokenOf(device), 0)
		if len(got) != 2 || got[0].Verdict != "fault" || got[1].Verdict != "accepted" {
			t.Fatalf("Push Kit got for %s: %+v; want one stalled and one accepted", device, got)
		}
		took := time.UnixMilli(got[1].AtMS).Sub(killed)
		if took > 4*time.Second {
			t.Errorf("%s was woken %v after the kill", device, took)
		}
		t.Logf("%s was woken %v after the kill", device, took)
	}
}

// TestKillUnderLoad: what was answered 201 is there after the process that
// answered was killed, and ends.
func TestKillUnderLoad(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	const clients, phones = 32, 96
	for i := range phones {
		register(t, c.nodes[0], fmt.Sprint("u", i), fmt.Sprint("d", i))
	}
	taken := make([][]callView, clients)
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			for n := i; ; n += clients {
				one, err := want[callView](t.Context(), c.nodes[0], http.StatusCreated, http.MethodPost, "/v1/calls", invitation(fmt.Sprint("u", n%phones), 10, "load"))
				if err != nil {
					return // the process is gone; what it answered by then is what counts
				}
				taken[i] = append(taken[i], one)
			}
		})
	}
	load := time.NewTimer(3 * time.Second)
	defer load.Stop()
	select {
	case <-load.C:
	case <-c.processes[0].done:
		t.Error("the process ended under the load")
	}
	c.processes[0].kill(t)
	all.Wait()

	total, woken := 0, 0
	var worst time.Duration
	var mu sync.Mutex
	err := atOnce(clients, func(i int) error {
		for _, one := range taken[i] {
			found, err := want[callView](t.Context(), c.nodes[1], http.StatusOK, http.MethodGet, "/v1/calls/"+one.ID, nil)
			for err == nil && found.Status != "ended" && time.Now().Before(one.ExpiresAt.Add(4*time.Second)) {
				time.Sleep(50 * time.Millisecond)
				found, err = want[callView](t.Context(), c.nodes[1], http.StatusOK, http.MethodGet, "/v1/calls/"+one.ID, nil)
			}
			if err != nil {
				return fmt.Errorf("a call that was answered 201: %w", err)
			}
			late := time.Duration(0)
			if one.Status == "ended" {
				if found.Status != "ended" || found.EndReason != one.EndReason {
					return fmt.Errorf("the call was answered %+v and is %+v", one, found)
				}
			} else if late, err = lateness(found); err != nil {
				return err
			}
			mu.Lock()
			total, worst = total+1, max(worst, late)
			if one.Status == "waking" {
				woken++
			}
			mu.Unlock()
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if total < clients || woken < phones {
		t.Errorf("the load was %d calls, %d of them waking: too few to show anything", total, woken)
	}
	t.Logf("%d calls answered 201, %d of them waking; missed at most %v after the ring's end", total, woken, worst)
	// Those that were written and not answered end too.
	for _, status := range []string{"waking", "ringing"} {
		within(t, 5*time.Second, "the end of all calls", func() bool {
			list := must[page](t)(want[page](t.Context(), c.nodes[1], http.StatusOK, http.MethodGet, "/v1/calls?status="+status, nil))
			return len(list.Data) == 0
		})
	}
}
