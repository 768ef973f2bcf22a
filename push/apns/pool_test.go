package apns_test

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/push"
	"github.com/pushwake/relay/push/apns"
	"github.com/pushwake/relay/push/apns/apnssim"
)

// TestGoneAwayStaysOpen: connections that the server took leave of while they
// were idle, and keeps open, do not take the places of new ones.
func TestGoneAwayStaysOpen(t *testing.T) {
	t.Parallel()
	b := newBench(t, apnssim.Options{Linger: time.Minute}, apnssim.KeyOptions{})
	for n := range 8 { // twice what a pool may hold
		began := time.Now()
		if a := b.client.Send(t.Context(), message(call.APNsVoIP, token(n))); a.Outcome != push.Accepted || time.Since(began) > 2*time.Second {
			t.Fatalf("push %d after %v: %+v", n, time.Since(began), a)
		}
		b.sim.GoAway("")
		time.Sleep(50 * time.Millisecond) // for the idle client to read it; one that is slower meets nothing, and nothing fails by chance
	}
}

// TestFailedDial: while a connection is silent before its first answer, one
// failed dial is not the last.
func TestFailedDial(t *testing.T) {
	t.Parallel()
	b := newBench(t, apnssim.Options{}, apnssim.KeyOptions{})
	way := doors(t, strings.TrimPrefix(b.urls.Production, "https://"), 2)
	pools, err := apns.NewPools(apns.PoolsConfig{ProductionURL: "https://" + way, RootCAs: b.sim.Roots()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pools.Close)
	client := b.newClient(t, pools)
	set(t, b.sim, apnssim.Fault{Stall: true, Count: 1})
	first := make(chan push.Answer, 1)
	go func() { first <- client.Send(context.WithoutCancel(t.Context()), message(call.APNsVoIP, token(0))) }()
	until(t, "the silent push", func() bool { return len(b.sim.Messages("", 0)) == 1 })
	if a := client.Send(t.Context(), message(call.APNsVoIP, token(1))); a.Outcome != push.Accepted {
		t.Errorf("%+v", a)
	}
	if a := <-first; a.Outcome != push.Unavailable {
		t.Errorf("the silent push: %+v", a)
	}
}

// doors forwards connections to an address, but for the one of that number,
// which it closes.
func doors(t *testing.T, to string, closed int) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for n := 1; ; n++ {
			in, err := l.Accept()
			if err != nil {
				return
			}
			if n == closed {
				_ = in.Close()
				continue
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
				go func() {
					_, _ = io.Copy(way[1], way[0])
					_ = way[1].Close()
				}()
			}
		}
	}()
	return l.Addr().String()
}
