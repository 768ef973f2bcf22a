package main_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pushwake/relay/push/apns/apnssim"
	"github.com/pushwake/relay/push/pushkit/pushkitsim"
	"github.com/pushwake/relay/store/storetest"
)

// stage is where a run is played: two processes, one database, both simulators
// and the simulated devices.
type stage struct {
	t       *testing.T
	seed    uint64
	began   time.Time
	ctx     context.Context // of what the actors ask; ends with the test
	setting setting
	nodes   [2]*process
	urls    [2]string
	vendors map[string]string // the simulators' control sides
	tenants []*playTenant
	devices []*actor
	plans   []*plan
	ears    []*ear
	diary   diary
	killed  bool
	stall   time.Duration
	acting  sync.WaitGroup // devices in the middle of a call
}

type playTenant struct {
	id, key string
	tenantFact
}

// cast is who plays: users with one to four devices each. Even users belong to
// the app that ends a call at the first reject, odd ones to the other.
var cast = []deviceFact{
	{User: "u0", Platform: "harmonyos", Type: "phone", Version: "6.1.0(23)", Country: "CN", Habit: "both"},
	{User: "u0", Platform: "harmonyos", Type: "tablet", Version: "6.0.0(20)", Country: "CN", Habit: "sse"},
	{User: "u0", Platform: "harmonyos", Type: "wearable", Version: "6.0.0(20)", Country: "CN", Habit: "sse"},
	{User: "u0", Platform: "harmonyos", Type: "pc", Version: "6.1.1(24)", Country: "CN", Habit: "poll"},
	{User: "u1", Platform: "harmonyos", Type: "phone", Version: "6.1.0(23)", Country: "CN", Habit: "none"},
	{User: "u1", Platform: "ios", Type: "phone", Version: "26.1", UI: "callkit", Country: "DE", Habit: "sse"},
	{User: "u1", Platform: "ios", Type: "phone", Version: "26.1", UI: "lck", Country: "CN", Habit: "poll"},
	{User: "u2", Platform: "harmonyos", Type: "phone", Version: "6.1.0(23)", Country: "CN", Habit: "poll"},
	{User: "u2", Platform: "ios", Type: "tablet", Version: "26.1", UI: "callkit", Country: "CN", Habit: "both"}, // which gets alerts
	{User: "u2", Platform: "harmonyos", Type: "wearable", Version: "6.0.0(20)", Country: "CN", Habit: "both"},
	{User: "u3", Platform: "harmonyos", Type: "phone", Version: "6.1.0(23)", Country: "CN", Habit: "sse"},
	{User: "u3", Platform: "harmonyos", Type: "lite_wearable", Version: "6.1.0(23)", Country: "CN", Habit: "none"},
	{User: "u3", Platform: "harmonyos", Type: "pc", Version: "6.1.1(24)", Country: "CN", Habit: "sse"},
	{User: "u4", Platform: "ios", Type: "phone", Version: "26.1", UI: "callkit", Country: "DE", Habit: "both"},
	{User: "u5", Platform: "harmonyos", Type: "phone", Version: "6.1.0(23)", Country: "CN", Habit: "both"},
	{User: "u5", Platform: "harmonyos", Type: "wearable", Version: "6.0.0(20)", Country: "CN", Habit: "poll"},
	{User: "u6", Platform: "harmonyos", Type: "phone", Version: "6.1.0(23)", UI: "alert", Country: "CN", Habit: "sse"},
	{User: "u6", Platform: "ios", Type: "phone", Version: "26.1", UI: "alert", Country: "DE", Habit: "none"},
	{User: "u7", Platform: "harmonyos", Type: "phone", Version: "6.1.0(23)", Country: "CN", Habit: "poll"},
	{User: "u7", Platform: "harmonyos", Type: "phone", Version: "6.1.0(23)", Country: "HK", Habit: "sse"}, // which is never to ring
}

// users is how many the cast has.
const users = 8

func newStage(t *testing.T, seed uint64) *stage {
	t.Helper()
	_, pushKitURL, keyFile := pushKit(t)
	apple, err := apnssim.New(apnssim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	urls, err := apple.Start(apnssim.Addresses{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = apple.Close() })
	made, err := apple.NewKey(apnssim.KeyOptions{TeamID: "TEAM123456"})
	if err != nil {
		t.Fatal(err)
	}
	p8 := filepath.Join(t.TempDir(), "AuthKey_"+made.KeyID+".p8")
	if err := os.WriteFile(p8, []byte(made.P8), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &stage{t: t, seed: seed, vendors: map[string]string{"push_kit": pushKitURL, "apns": urls.Control}, setting: setting{env: []string{
		"DATABASE_URL=" + storetest.Database(t), "RELAY_MASTER_KEY=" + newMasterKey(), "RELAY_PUSH_KIT_URL=" + pushKitURL, "RELAY_APNS_URL=" + urls.Production,
		"RELAY_APNS_SANDBOX_URL=" + urls.Sandbox, "RELAY_APNS_CA_FILE=" + secretFile(t, string(apple.RootPEM())),
		"RELAY_WEBHOOK_ALLOW=127.0.0.0/8", "RELAY_WEBHOOK_RETRIES=" + strings.Repeat("500ms,", 20) + "1s",
	}}}
	for _, a := range []*playTenant{{id: "all", tenantFact: tenantFact{Reject: "all"}}, {id: "one", tenantFact: tenantFact{Reject: "one", KeepVoIP: 20 * time.Second}}} {
		s.setting.must(t, "app", "put", a.id, "--reject", a.Reject, "--apns-voip-expiration-seconds", fmt.Sprint(int(a.KeepVoIP.Seconds())))
		s.setting.must(t, "app", "credential", a.id, "push_kit", keyFile, "--client-id", pushkitsim.ClientID(project))
		s.setting.must(t, "app", "credential", a.id, "apns", p8, "--team-id", "TEAM123456", "--bundle-id", "com.example.shop")
		a.key = strings.TrimSpace(s.setting.must(t, "key", "create", a.id))
		s.tenants = append(s.tenants, a)
	}
	var stop context.CancelFunc
	s.ctx, stop = context.WithCancel(context.WithoutCancel(t.Context()))
	t.Cleanup(stop)
	for i := range s.nodes {
		s.nodes[i], s.urls[i] = s.setting.serve(t)
	}
	s.began = time.Now()
	for i, d := range cast {
		s.enter(i, d)
	}
	return s
}

// enter registers one device of the cast.
func (s *stage) enter(i int, d deviceFact) {
	s.t.Helper()
	a := s.tenantOf(d.User)
	d.App, d.ID = a.id, fmt.Sprintf("%s-%d-%s", d.User, i, d.Type)
	switch {
	case d.Platform == "ios":
		d.Tokens = map[string]string{"apns_voip": fmt.Sprintf("%064x", 0xa00+i), "apns_alert": fmt.Sprintf("%064x", 0xb00+i)}
	case d.Type != "wearable" && d.Type != "pc":
		d.Tokens = map[string]string{"push_kit": tokenOf(d.ID[3:])}
	}
	body := map[string]any{
		"user_id": d.User, "platform": d.Platform, "device_type": d.Type, "system_version": d.Version, "region": map[string]any{"country": d.Country},
	}
	if d.Tokens != nil {
		body["tokens"] = d.Tokens
	}
	if d.UI != "" {
		body["call_ui"] = d.UI
	}
	backend := caller{s.urls[i%2], a.key}
	must[any](s.t)(want[any](s.t.Context(), backend, http.StatusOK, http.MethodPut, "/v1/devices/"+d.ID, body))
	token := must[struct{ Token string }](s.t)(want[struct{ Token string }](s.t.Context(), backend, http.StatusCreated, http.MethodPost, "/v1/device-tokens",
		map[string]any{"user_id": d.User, "device_id": d.ID}))
	s.devices = append(s.devices, &actor{stage: s, index: i, deviceFact: d, token: token.Token, parts: map[string]*part{}})
}

func (s *stage) tenantOf(user string) *playTenant { return s.tenants[int(user[1]-'0')%2] }

func (s *stage) since() time.Duration { return time.Since(s.began) }

// rand is the source of what one actor does in one matter: the same for the same
// seed, whatever the others do meanwhile.
func (s *stage) rand(stream ...int) *rand.Rand {
	n := uint64(0)
	for _, part := range stream {
		n = n*1_000_003 + uint64(part) + 1
	}
	return rand.New(rand.NewPCG(s.seed, n))
}

// request is what an actor asks.
type request struct {
	method, path, token string
	body                any
	header              []string
}

// ask sends a request to a process and writes down what came of it.
func (s *stage) ask(n note, r request) *note {
	n.Sent = s.since()
	status, answer, err := caller{s.urls[n.Node], r.token}.ask(s.ctx, r.method, r.path, r.body, r.header...)
	n.Got = s.since()
	if err == nil {
		if err := n.read(status, answer); err != nil {
			s.complain("%v", err)
		}
	}
	s.diary.keep(&n)
	return &n
}

// insist asks the processes in turn until one of them answers, as an app does
// that lost its connection.
func (s *stage) insist(n note, r request) *note {
	for try := 0; ; try++ {
		got := s.ask(n, r)
		if got.Status != 0 && got.Status != http.StatusServiceUnavailable || try == 50 || !s.pause(100*time.Millisecond) {
			return got
		}
		n.Node = 1 - n.Node
	}
}

// pause waits, and reports false when the test ended before.
func (s *stage) pause(d time.Duration) bool {
	if d <= 0 {
		return s.ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.ctx.Done():
		return false
	}
}

// tick looks how late this machine runs what is due, until ctx ends.
func (s *stage) tick(ctx context.Context) {
	const every = 5 * time.Millisecond
	for ctx.Err() == nil {
		due := time.Now().Add(every)
		time.Sleep(every)
		s.stall = max(s.stall, time.Since(due))
	}
}

// trouble has the vendors fail now and then, until ctx ends.
func (s *stage) trouble(ctx context.Context) {
	r := s.rand(6)
	for ctx.Err() == nil {
		fault := []map[string]any{{"status": 503}, {"lose_answer": true}, {"reset": true}, {"latency_ms": 100 + r.IntN(500)}}[r.IntN(4)]
		fault["count"] = 1 + r.IntN(4)
		s.faults([]string{"push_kit", "apns"}[r.IntN(2)], http.MethodPut, fault)
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(300+r.IntN(2000)) * time.Millisecond):
		}
	}
	for vendor := range s.vendors {
		s.faults(vendor, http.MethodDelete, nil)
	}
}

func (s *stage) faults(vendor, method string, fault any) {
	s.t.Helper()
	if status, answer, err := (caller{url: s.vendors[vendor]}).ask(s.ctx, method, "/sim/faults", fault); err != nil || status >= 300 {
		s.t.Errorf("faults of %s: %d %s %v", vendor, status, answer, err)
	}
}

// kill kills one process in the middle of its wakes, and starts another in its
// place after a while.
func (s *stage) kill(node int, after, away time.Duration) {
	s.pause(after - time.Second)
	s.faults("push_kit", http.MethodPut, map[string]any{"latency_ms": 600})
	s.pause(time.Second)
	s.killed = true
	s.nodes[node].kill(s.t)
	s.faults("push_kit", http.MethodDelete, nil)
	s.pause(away)
	s.nodes[node], _ = s.setting.serve(s.t, "--addr", strings.TrimPrefix(s.urls[node], "http://"))
}

// complain reports what went wrong, but for what the end of the test breaks off.
func (s *stage) complain(format string, args ...any) {
	if s.ctx.Err() == nil {
		s.t.Errorf(format, args...)
	}
}
