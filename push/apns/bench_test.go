package apns_test

//lint:file-ignore SA1019 the transport that apns2 comes with is what is measured

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/sideshow/apns2"
	apnstoken "github.com/sideshow/apns2/token"
	"golang.org/x/net/http2"

	"github.com/pushwake/relay/push"
	"github.com/pushwake/relay/push/apns"
	"github.com/pushwake/relay/push/apns/apnssim"
)

// columns are the ways to send that are compared: this package, and apns2 over
// its own transport and over others that people put under it.
var columns = []struct {
	name string
	open func(t testing.TB, b *bench) sender
}{
	{"relay", func(_ testing.TB, b *bench) sender { return ours(b) }},
	{"apns2 as it comes", func(t testing.TB, b *bench) sender {
		c := apns2Client(t, b)
		c.HTTPClient.Transport.(*http2.Transport).TLSClientConfig = &tls.Config{RootCAs: b.sim.Roots()}
		return through(c)
	}},
	{"x/net, strict", func(t testing.TB, b *bench) sender {
		c := apns2Client(t, b)
		c.HTTPClient.Transport = &http2.Transport{TLSClientConfig: &tls.Config{RootCAs: b.sim.Roots()}, StrictMaxConcurrentStreams: true}
		return through(c)
	}},
	{"net/http", func(t testing.TB, b *bench) sender {
		c := apns2Client(t, b)
		c.HTTPClient.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: b.sim.Roots()}, ForceAttemptHTTP2: true}
		return through(c)
	}},
	{"net/http, 2 conns", func(t testing.TB, b *bench) sender {
		c := apns2Client(t, b)
		c.HTTPClient.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: b.sim.Roots()}, ForceAttemptHTTP2: true, MaxConnsPerHost: 2}
		return through(c)
	}},
}

func apns2Client(t testing.TB, b *bench) *apns2.Client {
	t.Helper()
	key, err := apnstoken.AuthKeyFromBytes([]byte(b.key.P8))
	if err != nil {
		t.Fatal(err)
	}
	c := apns2.NewTokenClient(&apnstoken.Token{AuthKey: key, KeyID: b.key.KeyID, TeamID: b.key.TeamID})
	c.Host = b.urls.Production
	return c
}

// through sends with apns2, under the same deadlines and with the same repeat.
func through(c *apns2.Client) sender {
	return func(ctx context.Context, m push.Message) bool {
		r, err := apns.Build(m, bundle)
		if err != nil {
			return false
		}
		n := r.Notification
		n.Expiration = time.Unix(1, 0) // the nearest that apns2 can send to 0
		for range 2 {
			attempt, cancel := context.WithTimeout(ctx, attemptTimeout)
			response, err := c.PushWithContext(attempt, &n)
			cancel()
			if err == nil && response.StatusCode > 0 && response.StatusCode < 500 {
				return response.Sent()
			}
		}
		return false
	}
}

// rounds is how often each case is played by each column; the median counts.
const rounds = 3

// BenchmarkCases plays the cases with every column in one run and prints them
// side by side. It fails where this package loses a push, or takes over twice as
// long as the fastest column that lost none.
func BenchmarkCases(b *testing.B) {
	for range b.N {
		fmt.Printf("%-18s %-18s %10s %10s %7s %6s\n", "case", "sender", "time", "longest", "failed", "conns")
		for _, c := range cases {
			all := make([][]played, len(columns))
			for range rounds {
				for i, column := range columns {
					bench := newBench(b, apnssim.Options{}, apnssim.KeyOptions{})
					all[i] = append(all[i], c.play(b, bench, column.open(b, bench)))
					_ = bench.sim.Close()
				}
			}
			var mine, best time.Duration
			for i, column := range columns {
				p := median(all[i])
				fmt.Printf("%-18s %-18s %10s %10s %7d %6d\n", c.name, column.name, round(p.took), round(p.longest), p.failed, p.connections)
				if i == 0 {
					mine = p.took
					if p.failed > 0 {
						b.Errorf("%s: %d pushes failed", c.name, p.failed)
					}
				}
				if p.failed == 0 && (best == 0 || p.took < best) {
					best = p.took
				}
			}
			ratio := float64(mine) / float64(best)
			fmt.Printf("%-18s relay takes %.2f of the fastest\n", c.name, ratio)
			if ratio > 2 {
				b.Errorf("%s: %v, and the fastest %v", c.name, mine, best)
			}
		}
	}
}

// median is the round of middle length, with the worst of what went wrong.
func median(all []played) played {
	slices.SortFunc(all, func(a, b played) int { return cmp.Compare(a.took, b.took) })
	p := all[len(all)/2]
	for _, one := range all {
		p.failed, p.longest, p.connections = max(p.failed, one.failed), max(p.longest, one.longest), max(p.connections, one.connections)
	}
	return p
}

func round(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) }
