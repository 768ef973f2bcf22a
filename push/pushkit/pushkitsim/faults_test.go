package pushkitsim_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pushwake/relay/push/pushkit/pushkitsim"
)

// wantBroken sends and expects the connection to end without an answer.
func (b *bench) wantBroken(r request) {
	b.Helper()
	status, body, err := b.try(r)
	if err == nil {
		b.Fatalf("answer %d %s, want a broken connection", status, body)
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		b.Fatalf("%v, want a broken connection", err)
	}
}

func TestScriptedAnswers(t *testing.T) {
	t.Parallel()
	b := start(t, pushkitsim.Options{})
	for _, c := range []struct {
		rule   string
		status int
		body   string
	}{
		{`{"status":503}`, 503, ""},
		{`{"body":"<html>Bad Gateway</html>"}`, 502, "<html>Bad Gateway</html>"},
		{`{"status":200,"body":"ok"}`, 200, "ok"},
		{`{"code":"81000001"}`, 500, `{"code":"81000001","msg":"Inner Error.","requestId":"R"}`},
		{`{"code":"80200005"}`, 401, jwtExpired},
		{`{"code":"80100022"}`, 400, `{"code":"80100022","msg":"Anti-Spam: image not verify.","requestId":"R"}`},
		{`{"code":"80600003","msg":"OAuth","status":500}`, 500, `{"code":"80600003","msg":"OAuth","requestId":"R"}`},
		{`{"code":"80399999"}`, 400, `{"code":"80399999","msg":"","requestId":"R"}`},
	} {
		b.control("PUT", "/sim/faults", c.rule, 200, nil)
		b.wantSend(b.build(), c.status, c.body)
		b.wantVerdict("fault", c.status)
	}
	b.wantDeliveries(token1, 0)
	b.control("DELETE", "/sim/faults", "", 204, nil)
	b.wantSend(b.build(), 200, accepted)
}

// TestFaultRules: the first rule that matches and has uses left applies, alone.
func TestFaultRules(t *testing.T) {
	t.Parallel()
	b := start(t, pushkitsim.Options{})
	b.control("PUT", "/sim/faults", `[
		{"token":"`+token2+`","status":502,"count":1},
		{"project":"1","status":500},
		{"status":503,"count":2},
		{"token":"`+token2+`","code":"80200001"}]`, 200, nil)
	b.wantSend(b.build(token1), 503, "")
	b.wantSend(b.build(token1, token2), 502, "")
	b.wantSend(b.build(token2), 503, "")
	b.wantSend(b.build(token2), 401, authFail)
	b.wantSend(b.build(token1), 200, accepted)
	r := b.build()
	r.path = "/v3/1/messages:send"
	b.wantSend(r, 500, "")
	var got struct {
		Faults []struct{ Used int }
	}
	b.control("GET", "/sim/faults", "", 200, &got)
	equal(t, got.Faults, []struct{ Used int }{{1}, {1}, {2}, {1}})
}

func TestReset(t *testing.T) {
	t.Parallel()
	b := start(t, pushkitsim.Options{})
	b.setFaults(pushkitsim.Fault{Reset: true, Count: 1})
	b.wantBroken(b.build())
	if n := len(b.sim.Messages("", 0)); n != 0 {
		t.Errorf("%d requests recorded, want none", n)
	}
	b.wantDeliveries(token1, 0)
	b.wantSend(b.build(), 200, accepted)
}

// TestLostAnswer: a message that was accepted and arrived, without an answer.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	b := start(t, pushkitsim.Options{})
	b.setFaults(pushkitsim.Fault{LoseAnswer: true})
	b.wantBroken(b.build())
	b.wantVerdict("lost_answer", 0)
	b.wantDeliveries(token1, 1)
	b.wantBroken(b.build("T1"))
	b.wantVerdict("rejected:80300007", 0)
	b.setFaults()
	b.wantSend(b.build(), 200, accepted) // the retry rings again, with another call id
	got := b.deliveries(token1)
	if len(got) != 2 || callID(t, got[0]) == callID(t, got[1]) {
		t.Errorf("deliveries %+v, want two with different call ids", got)
	}
}

func TestBusinessStatus200(t *testing.T) {
	t.Parallel()
	b := start(t, pushkitsim.Options{})
	b.setFaults(pushkitsim.Fault{BusinessStatus200: true})
	b.wantSend(b.build("T1"), 200, `{"code":"80300007","msg":"{\"failure\":1,\"illegalTokens\":{\"tokenFormatError\":[\"T1\"]}}","requestId":"R"}`)
	b.wantVerdict("rejected:80300007", 200)
	r := b.build()
	r.auth = ""
	b.wantSend(r, 401, authFail)
	b.wantSend(b.build(), 200, accepted)
}

func TestLatency(t *testing.T) {
	t.Parallel()
	b := start(t, pushkitsim.Options{})
	b.setFaults(pushkitsim.Fault{LatencyMS: 60, Count: 1})
	began := time.Now()
	b.wantSend(b.build(), 200, accepted)
	if took := time.Since(began); took < 60*time.Millisecond {
		t.Errorf("answered after %v, want 60 ms or more", took)
	}
	b.setFaults(pushkitsim.Fault{LatencyMS: 30, Status: 503})
	began = time.Now()
	b.wantSend(b.build(), 503, "")
	if took := time.Since(began); took < 30*time.Millisecond {
		t.Errorf("answered after %v, want 30 ms or more", took)
	}
}

func TestStall(t *testing.T) {
	t.Parallel()
	b := start(t, pushkitsim.Options{})
	b.setFaults(pushkitsim.Fault{StallMS: 60, Count: 1})
	began := time.Now()
	b.wantBroken(b.build())
	if took := time.Since(began); took < 60*time.Millisecond {
		t.Errorf("ended after %v, want 60 ms or more", took)
	}
	b.wantVerdict("fault", 0)
	b.wantDeliveries(token1, 0)

	// Without a time it lasts until the sender gives up.
	b.setFaults(pushkitsim.Fault{Stall: true})
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Millisecond)
	defer cancel()
	r := b.build()
	req, err := http.NewRequestWithContext(ctx, r.method, b.url+r.path, strings.NewReader(r.body))
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := http.DefaultClient.Do(req); !errors.Is(err, context.DeadlineExceeded) {
		if err == nil {
			_ = resp.Body.Close()
		}
		t.Errorf("error %v, want the sender's own deadline", err)
	}
}

// TestCloseEndsStalls: Close does not wait for those who would wait for ever.
func TestCloseEndsStalls(t *testing.T) {
	t.Parallel()
	b := start(t, pushkitsim.Options{})
	b.setFaults(pushkitsim.Fault{Stall: true})
	r, ended := b.build(), make(chan error, 1)
	go func() {
		_, _, err := b.try(r)
		ended <- err
	}()
	for len(b.sim.Messages("", 0)) == 0 { // recorded before it stalls
		time.Sleep(time.Millisecond)
	}
	if err := b.sim.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("the stalled request was answered")
	}
}

func TestDeliveryFaults(t *testing.T) {
	t.Parallel()
	b := start(t, pushkitsim.Options{})
	b.setFaults(pushkitsim.Fault{DropDelivery: true, Count: 1}, pushkitsim.Fault{DeliveryDelayMS: 5000, Count: 2})
	b.wantSend(b.build(), 200, accepted)
	b.wantVerdict("accepted", 200)
	b.wantSend(withTTL(b.build(), []string{token1}, 4), 200, accepted)
	b.wantSend(b.build(), 200, accepted)
	b.wantDeliveries(token1, 0)
	b.clock.Advance(4999 * time.Millisecond)
	b.wantDeliveries(token1, 0)
	b.clock.Advance(time.Millisecond)
	b.wantDeliveries(token1, 1) // the first was dropped, the ttl of the second ended
}

// TestDelayedDeliveryWakesPoll runs on the real clock.
func TestDelayedDeliveryWakesPoll(t *testing.T) {
	t.Parallel()
	b := start(t, pushkitsim.Options{Now: time.Now})
	now := time.Now()
	b.clock.Advance(now.Sub(b.clock.Now()))
	b.setFaults(pushkitsim.Fault{DeliveryDelayMS: 50})
	b.wantSend(b.build(), 200, accepted)
	got := b.sim.Deliveries(t.Context(), []string{token1}, 0, 20*time.Second)
	if len(got) != 1 || got[0].AtMS < now.UnixMilli()+50 {
		t.Errorf("deliveries %+v, want one after 50 ms", got)
	}
}
