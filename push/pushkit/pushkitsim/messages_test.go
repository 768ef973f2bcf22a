package pushkitsim_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/pushwake/relay/push/pushkit/pushkitsim"
)

type recorded struct {
	Messages []struct {
		N       int64
		AtMS    int64 `json:"at_ms"`
		Path    string
		Headers map[string]string
		Body    any
		Status  int
		Verdict string
	}
}

func TestMessages(t *testing.T) {
	t.Parallel()
	b := start(t, pushkitsim.Options{})
	good, broken, noAuth, lost := b.build(token1, token2), b.build(), b.build(), b.build()
	broken.body = "{ not <JSON>"
	noAuth.auth = ""
	lost.path = "/v9/x"
	for _, r := range []request{good, broken, noAuth, lost} {
		b.send(r)
	}
	var got recorded
	b.control("GET", "/sim/messages", "", 200, &got)
	if len(got.Messages) != 4 {
		t.Fatalf("%d messages, want 4", len(got.Messages))
	}
	for i, want := range []struct {
		status  int
		verdict string
	}{{200, "accepted"}, {400, "rejected:80100001"}, {401, "rejected:80200001"}, {404, "rejected:404"}} {
		if m := got.Messages[i]; m.N != int64(i+1) || m.Status != want.status || m.Verdict != want.verdict || m.AtMS != b.clock.Now().UnixMilli() {
			t.Errorf("message %d: %+v, want %+v", i+1, m, want)
		}
	}
	first := got.Messages[0]
	equal(t, first.Path, good.path)
	equal(t, first.Headers["push-type"], "10")
	equal(t, first.Headers["content-type"], "application/json")
	var body any
	if err := json.Unmarshal([]byte(good.body), &body); err != nil {
		t.Fatal(err)
	}
	equal(t, first.Body, body)
	equal(t, got.Messages[1].Body, any("{ not <JSON>"))

	// The JWT shows its header and claims, and cannot be used.
	auth := first.Headers["authorization"]
	parts := strings.Split(strings.TrimPrefix(auth, "Bearer "), ".")
	if len(parts) != 3 || parts[2] != "***" {
		t.Fatalf("authorization %q", auth)
	}
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || !strings.Contains(string(claims), subAccount) {
		t.Errorf("claims %s, %v", claims, err)
	}
	if _, ok := got.Messages[2].Headers["authorization"]; ok {
		t.Error("a header that was not sent is recorded")
	}

	// The second had no readable tokens.
	for query, want := range map[string]string{
		"token=" + token1:              "[1 3 4]",
		"token=" + token2:              "[1]",
		"after=2":                      "[3 4]",
		"token=" + token1 + "&after=1": "[3 4]",
		"after=4":                      "[]",
		"after=99":                     "[]",
	} {
		b.control("GET", "/sim/messages?"+query, "", 200, &got)
		ns := []int64{}
		for _, m := range got.Messages {
			ns = append(ns, m.N)
		}
		if fmt.Sprint(ns) != want {
			t.Errorf("%s: messages %v, want %s", query, ns, want)
		}
	}

	b.control("DELETE", "/sim/messages", "", 204, nil)
	b.control("GET", "/sim/messages", "", 200, &got)
	if got.Messages == nil || len(got.Messages) != 0 {
		t.Errorf("after clearing: %v, want an empty list", got.Messages)
	}
	b.send(good)
	if n := b.sim.Messages("", 0)[0].N; n != 5 {
		t.Errorf("the next message has n %d, want 5", n)
	}
}

func TestOtherCredentialsAreMasked(t *testing.T) {
	t.Parallel()
	b := start(t, pushkitsim.Options{})
	for _, auth := range []string{"Bearer secret", "secret", "Basic a.b.c"} {
		r := b.build()
		r.auth = auth
		b.wantSend(r, 401, authFail)
	}
	var got []string
	for _, m := range b.sim.Messages("", 0) {
		got = append(got, m.Headers["authorization"])
	}
	equal(t, got, []string{"Bearer ***", "***", "Basic ***"})
}

func TestMessagesAreBounded(t *testing.T) {
	t.Parallel()
	one := int64(len(voipBody([]string{token1}, `{"ttl":45}`)))
	for name, limits := range map[string]pushkitsim.Limits{"count": {Messages: 2}, "bytes": {MessageBytes: 2*one + 1}} {
		b := start(t, pushkitsim.Options{Limits: limits})
		for range 200 {
			b.send(b.build())
		}
		got := b.sim.Messages("", 0)
		if len(got) != 2 || got[0].N != 199 || got[1].N != 200 {
			t.Errorf("%s: %d kept, want the last two", name, len(got))
		}
		if tail := b.sim.Messages("", 199); len(tail) != 1 {
			t.Errorf("%s: %d after 199, want 1", name, len(tail))
		}
		var health map[string]any
		b.control("GET", "/sim/healthz", "", 200, &health)
		equal(t, health["dropped_messages"], any(198.0))
	}
}
