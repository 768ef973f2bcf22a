package apns_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/push"
	"github.com/pushwake/relay/push/apns/apnssim"
)

// sender delivers one push as the relay would have it: attempts of
// attemptTimeout each, one repeat. It reports whether the push was accepted.
type sender func(ctx context.Context, m push.Message) bool

const attemptTimeout = 3 * time.Second

// played is what came of a case.
type played struct {
	took        time.Duration
	longest     time.Duration // of one push
	failed      int           // of those that the server would have taken
	connections int           // opened in all
}

// cases are those in which clients of HTTP/2 fail against the rules that APNs
// has for streams and connections.
var cases = []struct {
	name string
	play func(t testing.TB, b *bench, send sender) played
}{
	{"cold burst", func(t testing.TB, b *bench, send sender) played {
		return burst(b, send, 100, 100, nil)
	}},
	{"limit 10", func(t testing.TB, b *bench, send sender) played {
		set(t, b.sim, apnssim.Fault{StreamLimit: 10})
		return burst(b, send, 100, 100, nil)
	}},
	{"limit 1", func(t testing.TB, b *bench, send sender) played {
		set(t, b.sim, apnssim.Fault{StreamLimit: 1})
		return burst(b, send, 100, 100, nil)
	}},
	// Each refusal takes the limit down to 1 until the next push is accepted.
	{"rejected tokens", func(t testing.TB, b *bench, send sender) played {
		if err := b.sim.SetToken(token(-1), apnssim.Token{State: apnssim.Foreign}); err != nil {
			t.Fatal(err)
		}
		return burst(b, send, 2000, 100, func(n int) bool { return n%50 == 49 })
	}},
	{"frozen connection", func(t testing.TB, b *bench, send sender) played {
		send(t.Context(), message(call.APNsVoIP, token(0)))
		b.sim.Freeze()
		return burst(b, send, 1, 1, nil)
	}},
	// Counted and not timed: on a busy machine connections would else go before
	// they were of any use.
	{"GOAWAY", func(t testing.TB, b *bench, send sender) played {
		var accepted atomic.Int64
		return burst(b, func(ctx context.Context, m push.Message) bool {
			ok := send(ctx, m)
			if ok && accepted.Add(1)%50 == 0 {
				b.sim.GoAway("")
			}
			return ok
		}, 2000, 100, nil)
	}},
}

func set(t testing.TB, sim *apnssim.Sim, faults ...apnssim.Fault) {
	t.Helper()
	if err := sim.SetFaults(faults...); err != nil {
		t.Fatal(err)
	}
}

// burst sends pushes through so many workers; those that bad names go to a
// token that the server refuses.
func burst(b *bench, send sender, pushes, workers int, bad func(n int) bool) played {
	var (
		next, failed atomic.Int64
		longest      atomic.Int64
		work         sync.WaitGroup
	)
	began := time.Now()
	for range workers {
		work.Go(func() {
			for {
				n := int(next.Add(1)) - 1
				if n >= pushes {
					return
				}
				refused := bad != nil && bad(n)
				to := token(n)
				if refused {
					to = token(-1)
				}
				started := time.Now()
				if accepted := send(context.Background(), message(call.APNsVoIP, to)); accepted == refused {
					failed.Add(1)
				}
				for took := int64(time.Since(started)); ; {
					if before := longest.Load(); took <= before || longest.CompareAndSwap(before, took) {
						break
					}
				}
			}
		})
	}
	work.Wait()
	return played{time.Since(began), time.Duration(longest.Load()), int(failed.Load()), b.sim.Connections().Opened}
}

// ours sends through the package.
func ours(b *bench) sender {
	return func(ctx context.Context, m push.Message) bool {
		return deliver(ctx, b.client, m).Outcome == push.Accepted
	}
}

// TestCases holds that no push fails which the server could have taken, on a
// handful of connections.
func TestCases(t *testing.T) {
	t.Parallel()
	most := map[string]int{"frozen connection": 2, "GOAWAY": 100}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, apnssim.Options{}, apnssim.KeyOptions{})
			p := c.play(t, b, ours(b))
			if p.failed > 0 || p.longest > attemptTimeout+time.Second {
				t.Errorf("%d pushes failed; the longest took %v", p.failed, p.longest)
			}
			if limit := max(most[c.name], 4); p.connections > limit {
				t.Errorf("%d connections, want %d at most", p.connections, limit)
			}
		})
	}
}
