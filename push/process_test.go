package push_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/push/pushkit/pushkitsim"
)

// handOvers counts the steps of a call's leg to handed_over.
func (p *process) handOvers(c call.Call) (n int) {
	p.t.Helper()
	_, entries, err := p.Timeline(p.t.Context(), c.AppID, c.ID)
	if err != nil {
		p.t.Fatal(err)
	}
	before := call.LegWaking
	for _, e := range entries {
		if e.Leg == nil {
			continue
		}
		if e.Leg.Status == call.LegHandedOver && before != call.LegHandedOver {
			n++
		}
		before = e.Leg.Status
	}
	return n
}

// TestSilentProcess: a process that no longer beats sends nothing; what it
// took in, another one sends.
func TestSilentProcess(t *testing.T) {
	t.Parallel()
	r, p := one(t, func(s *settings) { s.noRun, s.store.SilentAfter = true, 300*time.Millisecond })
	eventually(t, func() string { return "the heartbeat to be old" }, func() bool { return !p.Alive() })
	c := p.invite(app, "u")
	eventually(t, func() string { return "the wake in hand" }, func() bool { return p.gauge("relay_wakes_in_hand") == 1 })
	if n := len(r.authorizations()); n != 0 {
		t.Fatalf("%d requests of a silent process", n)
	}
	heir := r.process(func(s *settings) { s.store.SilentAfter = 5 * time.Second })
	// By the heir's measure the other is silent some seconds later.
	heir.leg(c, call.LegHandedOver)
	p.idle()
	if diff := cmp.Diff([]string{"1 abandoned", "2 accepted"}, heir.outcomes(c)); diff != "" {
		t.Error(diff)
	}
	if n := len(r.sent("u")); n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
}

// TestProcessDies: its request is under way when it is given up for dead. The
// heir sends again; the late answer is kept and changes nothing.
func TestProcessDies(t *testing.T) {
	t.Parallel()
	const answerAfter = 4000 // ms
	r, p := one(t, func(s *settings) { s.noRun, s.push.AttemptTimeout = true, 20*time.Second })
	r.faults(pushkitsim.Fault{LatencyMS: answerAfter, Count: 1})
	heir := r.process(func(s *settings) { s.store.SilentAfter = 1500 * time.Millisecond })
	c := p.invite(app, "u")
	heir.leg(c, call.LegHandedOver)
	if n := len(r.sent("u")); n != 1 {
		t.Errorf("%d messages before the late one, want the heir's", n)
	}
	p.recorded(c, 3)
	p.idle()
	if diff := cmp.Diff([]string{"1 abandoned", "1 accepted", "2 accepted"}, heir.outcomes(c), cmpopts.SortSlices(func(a, b string) bool { return a < b })); diff != "" {
		t.Error(diff)
	}
	got := r.sent("u")
	if len(got) != 2 || got[0].leg != got[1].leg {
		t.Errorf("the vendor got %+v", got)
	}
	if n := heir.handOvers(c); n != 1 {
		t.Errorf("handed over %d times", n)
	}
}

// TestCloseWaiting: a wake that waits for a retry does not hold Close up, and
// goes to another process at once. So does one that waits for the breaker or
// the database.
func TestCloseWaiting(t *testing.T) {
	t.Parallel()
	r, p := one(t, backoff(times(4, 20*time.Second)...))
	r.faults(pushkitsim.Fault{Status: 503, Count: 1})
	c := p.invite(app, "u")
	p.recorded(c, 1)
	began := time.Now()
	p.stop()
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("closing took %s", took)
	}
	p.Enqueue(nil) // after Close it takes nothing and does not mind
	heir := r.process()
	heir.leg(c, call.LegHandedOver)
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("the heir sent after %s", took)
	}
	if diff := cmp.Diff([]string{"1 throttled vendor_throttled", "2 abandoned", "3 accepted"}, heir.outcomes(c)); diff != "" {
		t.Error(diff)
	}
	if n := len(r.sent("u")); n != 2 {
		t.Errorf("%d messages, want 2", n)
	}
}

// TestCloseUnsent: a wake that could not be sent yet, for want of a heartbeat
// here, is left to others by Close and not given up.
func TestCloseUnsent(t *testing.T) {
	t.Parallel()
	r, p := one(t, func(s *settings) { s.noRun, s.store.SilentAfter = true, 300*time.Millisecond }, backoff(10*time.Second))
	eventually(t, func() string { return "the heartbeat to be old" }, func() bool { return !p.Alive() })
	c := p.invite(app, "u")
	p.stop()
	heir := r.process()
	heir.leg(c, call.LegHandedOver)
	if n := len(r.sent("u")); n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
}

// TestCloseUnderWay: what is under way may end within Drain, and no later.
func TestCloseUnderWay(t *testing.T) {
	t.Parallel()
	t.Run("ends", func(t *testing.T) {
		t.Parallel()
		r, p := one(t)
		r.faults(pushkitsim.Fault{LatencyMS: 400})
		c := p.invite(app, "u")
		eventually(t, func() string { return "the request" }, func() bool { return len(r.authorizations()) == 1 })
		p.stop()
		p = r.process()
		if l := p.look(c).Legs[0]; l.Status != call.LegHandedOver || len(p.attempts(c)) != 1 {
			t.Errorf("after the drain the leg is %s, with %d attempts", l.Status, len(p.attempts(c)))
		}
	})
	t.Run("stalls", func(t *testing.T) {
		t.Parallel()
		const drain = 300 * time.Millisecond
		r, p := one(t, func(s *settings) { s.push.AttemptTimeout, s.push.Drain = 20*time.Second, drain })
		r.faults(pushkitsim.Fault{Stall: true, Count: 1})
		c := p.invite(app, "u")
		eventually(t, func() string { return "the request" }, func() bool { return len(r.sent("u")) == 1 })
		began := time.Now()
		p.Dispatcher.Close()
		if took := time.Since(began); took < drain || took > drain+2*time.Second {
			t.Errorf("closing took %s", took)
		}
		p.stop()
		heir := r.process()
		heir.leg(c, call.LegHandedOver)
		if n := len(r.sent("u")); n != 2 || heir.handOvers(c) != 1 {
			t.Errorf("%d messages, %d hand-overs", n, heir.handOvers(c))
		}
	})
}

// TestDatabaseAway: an answer that comes while the database is away is kept
// until it is back.
func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	r, p := one(t)
	r.faults(pushkitsim.Fault{LatencyMS: 500, Count: 1})
	c := p.invite(app, "u")
	eventually(t, func() string { return "the request" }, func() bool { return len(r.authorizations()) == 1 })
	r.sql("postgres", fmt.Sprintf("ALTER DATABASE %s ALLOW_CONNECTIONS false", r.database()))
	r.sql("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", r.database())
	eventually(t, func() string { return "the answer" }, func() bool { return p.gauge("relay_push_attempts_total") == 1 })
	time.Sleep(300 * time.Millisecond) // several tries to record it must have failed
	if p.gauge("relay_wakes_in_hand") != 1 {
		t.Error("the outcome is no longer in hand, and cannot be on record")
	}
	r.sql("postgres", fmt.Sprintf("ALTER DATABASE %s ALLOW_CONNECTIONS true", r.database()))
	p.idle()
	p.leg(c, call.LegHandedOver)
	if diff := cmp.Diff([]string{"1 accepted"}, p.outcomes(c)); diff != "" {
		t.Error(diff)
	}
	if n := len(r.sent("u")); n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
}

// TestMany: 2,000 wakes, some of them throttled once, all finish.
func TestMany(t *testing.T) {
	t.Parallel()
	const many, throttled = 2000, 300
	r, p := one(t)
	var faults []pushkitsim.Fault // one for each of some phones, so that no wake meets more of them than it may
	for i := range throttled {
		faults = append(faults, pushkitsim.Fault{Status: 503, Count: 1, Token: token(fmt.Sprint("m", i))})
	}
	r.faults(faults...)
	users := make(chan int)
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			for i := range users {
				user := fmt.Sprint("m", i)
				p.phone(app, user)
				if _, err := p.tryInvite(app, user, 2*time.Minute); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range many {
		users <- i
	}
	close(users)
	all.Wait()
	p.idle()
	legs := map[string]int{}
	for i := range many {
		got := r.sent(fmt.Sprint("m", i))
		if len(got) == 0 {
			t.Fatalf("nothing was sent to user %d", i)
		}
		legs[got[len(got)-1].verdict]++
	}
	if n := len(r.authorizations()); n != many+throttled || legs["accepted"] != many {
		t.Errorf("%d requests, the last ones %v", n, legs)
	}
	r.sql("", `DO $$ BEGIN IF (SELECT count(*) FROM legs WHERE status = 'handed_over' AND wake_process IS NULL) <> 2000 THEN RAISE 'not all are handed over'; END IF; END $$`)
}
