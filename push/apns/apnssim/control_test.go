package apnssim_test

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pushwake/relay/push/apns/apnssim"
)

type messages struct {
	Messages []apnssim.Message
}

type deliveries struct {
	Deliveries []apnssim.Delivery
	After      int64
}

func TestRecord(t *testing.T) {
	t.Parallel()
	r := newRig(t, apnssim.Options{Messages: 3}, apnssim.KeyOptions{})
	q := r.good(0)
	for n := range 5 {
		q.path = "/3/device/" + token(n%2)
		r.send(q)
	}
	var all, after, one messages
	r.control("GET", "/sim/messages", "", 200, &all)
	r.control("GET", "/sim/messages?after=4", "", 200, &after)
	r.control("GET", "/sim/messages?token="+token(1), "", 200, &one)
	if len(all.Messages) != 3 || all.Messages[0].N != 3 || len(after.Messages) != 1 || len(one.Messages) != 1 || one.Messages[0].N != 4 {
		t.Fatalf("%+v, %+v, %+v", all, after, one)
	}
	m := all.Messages[2]
	if m.Status != 200 || m.Verdict != "accepted" || m.Headers["apns-push-type"] != "voip" || m.Headers["authorization"] != "bearer …" || string(m.Body) != `{"aps":{}}` || m.AtMS == 0 {
		t.Errorf("%+v", m)
	}
	q.header["apns-topic"] = "x"
	r.send(q)
	r.control("DELETE", "/sim/messages", "", 204, nil)
	r.send(q)
	r.control("GET", "/sim/messages", "", 200, &all)
	if len(all.Messages) != 1 || all.Messages[0].N != 7 || all.Messages[0].Verdict != "rejected:BadTopic" {
		t.Errorf("%+v", all)
	}
}

// TestOffline keeps the newest push of a topic for a device that is away, for
// as long as its expiration says; 0 is one try.
func TestOffline(t *testing.T) {
	t.Parallel()
	r := newRig(t, apnssim.Options{}, apnssim.KeyOptions{})
	r.control("PUT", "/sim/tokens/"+token(0), `{"state": "offline"}`, 204, nil)
	q := r.good(0)
	if a := r.send(q); a.status != 200 {
		t.Fatalf("%+v", a)
	}
	q.header["apns-push-type"], q.header["apns-topic"] = "alert", bundle
	for _, body := range []string{`{"aps":{},"n":1}`, `{"aps":{},"n":2}`} {
		q.header["apns-expiration"], q.body = strconv.FormatInt(time.Now().Add(time.Minute).Unix(), 10), body
		r.send(q)
	}
	var got deliveries
	r.control("GET", "/sim/deliveries", "", 200, &got)
	if len(got.Deliveries) != 0 {
		t.Fatalf("%+v", got)
	}
	r.control("PUT", "/sim/tokens/"+token(0), `{"state": "alive"}`, 204, nil)
	r.control("GET", "/sim/deliveries?token="+token(0)+"&token="+token(1), "", 200, &got)
	if len(got.Deliveries) != 1 || string(got.Deliveries[0].Payload) != `{"aps":{},"n":2}` || got.Deliveries[0].PushType != "alert" || got.After != 1 {
		t.Fatalf("%+v", got)
	}
	var waited sync.WaitGroup
	var next []apnssim.Delivery
	waited.Go(func() { next = r.sim.Deliveries(t.Context(), []string{token(0)}, got.After, 10*time.Second) })
	r.send(q)
	waited.Wait()
	if len(next) != 1 || next[0].N != 2 {
		t.Errorf("%+v", next)
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	r := newRig(t, apnssim.Options{}, apnssim.KeyOptions{})
	q := r.good(0)
	r.control("PUT", "/sim/faults", `{"code": "ServiceUnavailable", "count": 1}`, 204, nil)
	if a := r.send(q); a.status != 503 || a.Reason != "ServiceUnavailable" {
		t.Errorf("%+v", a)
	}
	if a := r.send(q); a.status != 200 {
		t.Errorf("%+v", a)
	}
	r.control("PUT", "/sim/faults", `[{"status": 429, "code": "TooManyRequests", "token": "`+token(7)+`"}, {"latency_ms": 30}]`, 204, nil)
	began := time.Now()
	if a := r.send(q); a.status != 200 || time.Since(began) < 30*time.Millisecond {
		t.Errorf("%+v after %v", a, time.Since(began))
	}
	q.path = "/3/device/" + token(7)
	if a := r.send(q); a.status != 429 {
		t.Errorf("%+v", a)
	}
	for _, fault := range []string{`{"reset": true}`, `{"lose_answer": true}`, `{"drop": true}`, `{"stall": true}`} {
		r.control("PUT", "/sim/faults", fault, 204, nil)
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		if a, err := r.try(ctx, q); err == nil {
			t.Errorf("%s: %+v", fault, a)
		}
		cancel()
	}
	r.control("DELETE", "/sim/faults", "", 204, nil)
	r.send(q)
	r.control("PUT", "/sim/faults", `{"goaway": true, "code": "Shutdown", "count": 1}`, 204, nil)
	before := r.sim.Connections().Opened
	for range 2 {
		if a := r.send(q); a.status != 200 {
			t.Errorf("%+v", a)
		}
	}
	if opened := r.sim.Connections().Opened - before; opened != 1 {
		t.Errorf("%d new connections for two pushes around a GOAWAY", opened)
	}
	if delivered := len(r.sim.Deliveries(t.Context(), []string{token(7)}, 0, 0)); delivered != 4 {
		t.Errorf("%d were delivered, want the one whose answer was lost and three", delivered)
	}
	for _, bad := range []string{
		`{}`, `{"x": 1}`, `[{"x": 1}]`, `{"reset": true, "stall": true}`, `{"latency_ms": -1}`, `{"count": 2}`, `{"status": 99}`, `{"code": "A", "body": "b"}`,
		`{"stream_limit": 1, "count": 1}`, `7`, `{"reset": true}{}`, `[{"reset": true}] 1`,
	} {
		r.control("PUT", "/sim/faults", bad, 400, nil)
	}
}

// TestStreamLimit holds the limit of streams on a connection: 1 before the first
// accepted push and after a refused one.
func TestStreamLimit(t *testing.T) {
	t.Parallel()
	r := newRig(t, apnssim.Options{Streams: 50}, apnssim.KeyOptions{})
	q := r.good(0)
	r.control("PUT", "/sim/faults", `{"latency_ms": 50}`, 204, nil)
	burst := func(r *rig) (crowded bool) { // streams were refused, or went to more connections
		before := r.sim.Connections()
		var all sync.WaitGroup
		for range 5 {
			all.Go(func() {
				if a, err := r.try(context.Background(), q); err != nil || a.status != 200 {
					t.Errorf("%+v, %v", a, err)
				}
			})
		}
		all.Wait()
		after := r.sim.Connections()
		return after.Refused > before.Refused || after.Opened > before.Opened+1
	}
	if !burst(r) {
		t.Error("a new connection took five streams at once")
	}
	primed := r.fresh(t)
	primed.send(q)
	primed.send(q) // answered after the new limit, which follows the first answer
	if burst(primed) {
		t.Error("a connection that has accepted a push did not take five streams at once")
	}
	bad := q
	bad.path = "/3/device/abcd"
	if a := primed.send(bad); a.Reason != "BadDeviceToken" {
		t.Fatalf("%+v", a)
	}
	if !burst(primed) {
		t.Error("after a refused push five streams were taken at once")
	}
}

func TestControlRefuses(t *testing.T) {
	t.Parallel()
	r := newRig(t, apnssim.Options{}, apnssim.KeyOptions{})
	for what, body := range map[string]string{
		"PUT /sim/tokens/abcd": `{"state": "alive"}`, "PUT /sim/tokens/" + token(0): `{"state": "tired"}`, "POST /sim/keys": `{"team_id": "x"}`,
		"GET /sim/messages?after=x": "", "GET /sim/deliveries?wait=61": "",
	} {
		method, path, _ := strings.Cut(what, " ")
		r.control(method, path, body, 400, nil)
	}
	var key apnssim.SigningKey
	r.control("POST", "/sim/keys", `{"team_id": "TEAM999999", "environment": "sandbox"}`, 200, &key)
	if key.TeamID != "TEAM999999" || len(key.KeyID) != 10 || key.P8 == "" {
		t.Errorf("%+v", key)
	}
	r.control("DELETE", "/sim/keys/"+key.KeyID, "", 204, nil)
}

func TestControlHead(t *testing.T) {
	t.Parallel()
	r := newRig(t, apnssim.Options{}, apnssim.KeyOptions{})
	r.control("HEAD", "/sim/healthz", "", 200, nil)
	r.control("HEAD", "/sim/nothing", "", 404, nil)
}
