package apns_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/push"
	"github.com/pushwake/relay/push/apns"
	"github.com/pushwake/relay/push/apns/apnssim"
)

const (
	team   = "TEAM123456"
	bundle = "com.example.voip"
)

// bench is a simulator for production and a client of it.
type bench struct {
	sim    *apnssim.Sim
	urls   apnssim.URLs
	pools  *apns.Pools
	client *apns.Client
	key    apnssim.SigningKey
}

func newBench(t testing.TB, o apnssim.Options, k apnssim.KeyOptions) *bench {
	t.Helper()
	sim, err := apnssim.New(o)
	if err != nil {
		t.Fatal(err)
	}
	urls, err := sim.Start(apnssim.Addresses{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	if k.TeamID == "" {
		k.TeamID = team
	}
	key, err := sim.NewKey(k)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{sim: sim, urls: urls, key: key}
	b.pools = newPools(t, b, time.Now)
	b.client = b.newClient(t, b.pools)
	return b
}

func newPools(t testing.TB, b *bench, now func() time.Time) *apns.Pools {
	t.Helper()
	pools, err := apns.NewPools(apns.PoolsConfig{ProductionURL: b.urls.Production, SandboxURL: b.urls.Sandbox, RootCAs: b.sim.Roots(), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pools.Close)
	return pools
}

func (b *bench) newClient(t testing.TB, pools *apns.Pools) *apns.Client {
	t.Helper()
	credential, err := apns.Credential{TeamID: b.key.TeamID, KeyID: b.key.KeyID, P8: b.key.P8, BundleID: bundle}.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	client, err := apns.New(apns.Config{Credential: credential, Pools: pools})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// token is a well-formed device token of its own for each n.
func token(n int) string { return fmt.Sprintf("%064x", n+1) }

func message(channel call.Channel, token string) push.Message {
	now := time.Now()
	return push.Message{
		Attempt: uuid.Must(uuid.NewV7()), Channel: channel, Token: token, Environment: apns.Production, Locale: "zh-CN", RingLeft: 45 * time.Second,
		Payload: call.WakePayload{
			Call: uuid.Must(uuid.NewV7()), Leg: uuid.Must(uuid.NewV7()), Token: "leg-token", Callee: "u2", Presentation: call.CallKit, Media: call.Video,
			SentAt: now, ExpiresAt: now.Add(45 * time.Second), Caller: &call.Party{UserID: "u1", Name: "李娜"},
		},
	}
}

// deliver sends a message as the dispatcher does: what the answer says to try
// once more is tried once more, and a push that was surely not sent until the
// ring ends.
func deliver(ctx context.Context, s push.Sender, m push.Message) push.Answer {
	again := false
	for {
		a := s.Send(ctx, m)
		switch {
		case a.Retry == push.RetryOnce && !again:
			again = true
		case a.Retry == push.RetryLater && ctx.Err() == nil:
			time.Sleep(50 * time.Millisecond)
		default:
			return a
		}
	}
}

// until polls until what is true holds.
func until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !holds(); {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

func sentTo(t testing.TB, sim *apnssim.Sim, token string) apnssim.Message {
	t.Helper()
	found := sim.Messages(token, 0)
	if len(found) != 1 {
		t.Fatalf("%d pushes to the token", len(found))
	}
	return found[0]
}

var long = strings.Repeat("长", 3000)
