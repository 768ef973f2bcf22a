package main_test

import (
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pushwake/relay/store/storetest"
)

// TestWebhookCommands does by command what an operator does with a webhook, beside
// a relay that delivers.
func TestWebhookCommands(t *testing.T) {
	t.Parallel()
	s := setting{env: []string{"DATABASE_URL=" + storetest.Database(t), "RELAY_MASTER_KEY=" + newMasterKey()}}
	inside := setting{env: append(s.env[:2:2], "RELAY_WEBHOOK_ALLOW=127.0.0.0/8")}
	s.must(t, "app", "put", "shop")
	r := newReceiver(t)
	url := "http://" + r.addr + "/hooks"
	for args, want := range map[string]string{
		"add shop " + url: "public address", "add shop http://example.com/": "https address", "add shop https://10.0.0.1/": "public address", "add shop https://2130706433/": "a name, or an address",
		"add market https://example.com/":                "relay app put market",
		"add shop https://example.com/ --type call.rang": "no event type",
		"enable shop 7": "no webhook's id",
		"remove shop 00000000-0000-7000-8000-000000000000": "has no webhook",
		"replay shop 00000000-0000-7000-8000-000000000000": "--from",
		"listen": "give --secret", "listen --secret whsec_abc": "24 to 64 bytes",
	} {
		if code, _, err := s.run(t, append([]string{"webhook"}, strings.Fields(args)...)...); code == 0 || !strings.Contains(err, want) {
			t.Errorf("relay webhook %s: exit code %d, %s; want %q", args, code, err, want)
		}
	}
	if code, _, err := s.run(t, "serve", "--webhook-allow", "10.0.0.0", "--webhook-retries", "0s"); code == 0 || !strings.Contains(err, "is not a network") || !strings.Contains(err, "is no pause") {
		t.Errorf("settings that are wrong: exit code %d, %s", code, err)
	}
	words := strings.Fields(inside.must(t, "webhook", "add", "shop", url, "--type", "call.ended", "--description", "billing"))
	if len(words) != 2 || !strings.HasPrefix(words[1], "whsec_") {
		t.Fatalf("add prints %q", words)
	}
	id := words[0]
	hook := func(command string, args ...string) string {
		t.Helper()
		return s.must(t, append([]string{"webhook", command, "shop", id}, args...)...)
	}
	if out := s.must(t, "webhook", "list", "shop"); !strings.Contains(out, id) || !strings.Contains(out, "billing") || !strings.Contains(out, "[call.ended]") || strings.Contains(out, "whsec_") {
		t.Errorf("list: %s", out)
	}
	_, api := inside.serve(t)
	backend := caller{api, strings.TrimSpace(s.must(t, "key", "create", "shop"))}
	secret := strings.TrimSpace(hook("rotate-secret"))
	r.trust(secret) // the new one; the old one signs too
	if out := hook("test"); !strings.Contains(out, "took the test with 204") {
		t.Errorf("test: %s", out)
	}
	must[callView](t)(want[callView](t.Context(), backend, http.StatusCreated, http.MethodPost, "/v1/calls", invitation("u9", 60, "")))
	within(t, patience, "the call's end", func() bool { return len(r.all()) == 2 })
	ended := r.all()[1]
	within(t, patience, "the outcome", func() bool { return strings.Count(hook("deliveries", "--status", "delivered"), "\n") == 3 })
	if out := hook("deliveries", "--limit", "1"); !strings.Contains(out, ended.ID) || !strings.Contains(out, ended.Call.ID) || !strings.Contains(out, "204") || strings.Contains(out, "webhook.test") {
		t.Errorf("deliveries: %s", out)
	}
	hook("redeliver", ended.ID)
	double := func(n int) {
		t.Helper()
		within(t, patience, "it once more", func() bool { r.mu.Lock(); defer r.mu.Unlock(); return r.doubles == n })
	}
	double(1)
	within(t, patience, "the outcome", func() bool { return strings.Count(hook("deliveries", "--status", "delivered"), "\n") == 3 })
	hook("replay", "--from", "10m")
	double(2)
	hook("disable")
	if out := s.must(t, "webhook", "list", "shop"); !strings.Contains(out, "disabled") {
		t.Errorf("list: %s", out)
	}
	if code, _, err := s.run(t, "webhook", "test", "shop", id); code == 0 || !strings.Contains(err, "enable it first") {
		t.Errorf("a test of a disabled webhook: %s", err)
	}
	hook("enable")
	r.end()
	if code, _, err := s.run(t, "webhook", "test", "shop", id); code == 0 || !strings.Contains(err, "refused") {
		t.Errorf("a test of an endpoint that is away: %s", err)
	}
	hook("remove")
	if out := s.must(t, "webhook", "list", "shop"); strings.Contains(out, id) {
		t.Errorf("list: %s", out)
	}
}

// TestWebhookListen receives what a relay delivers, and says whose it is.
func TestWebhookListen(t *testing.T) {
	t.Parallel()
	s := setting{env: []string{"DATABASE_URL=" + storetest.Database(t), "RELAY_MASTER_KEY=" + newMasterKey(), "RELAY_WEBHOOK_ALLOW=127.0.0.0/8", "RELAY_WEBHOOK_RETRIES=100ms,100ms"}}
	s.must(t, "app", "put", "shop")
	key := strings.TrimSpace(s.must(t, "key", "create", "shop"))
	_, url := s.serve(t)
	listener := s.start(t, "webhook", "listen", "--url", url, "--key", key, "--type", "call.ended")
	listener.line(t, &listener.err, func(line string) bool { return strings.HasPrefix(line, "Listening on ") })
	one := must[callView](t)(want[callView](t.Context(), caller{url, key}, http.StatusCreated, http.MethodPost, "/v1/calls", invitation("u9", 60, "")))
	listener.line(t, &listener.out, func(line string) bool {
		return strings.Contains(line, "call.ended") && strings.Contains(line, one.ID) && strings.Contains(line, `"unreachable"`) && strings.HasSuffix(line, "signature ok")
	})

	// One that has another secret, and whoever knocks.
	words := strings.Fields(s.must(t, "webhook", "list", "shop"))
	var address string
	for _, w := range words {
		if strings.HasPrefix(w, "http://127.0.0.1:") {
			address = w
		}
	}
	added := strings.Fields(s.must(t, "webhook", "add", "shop", address))
	if code, _, err := s.run(t, "webhook", "test", "shop", added[0]); code == 0 || !strings.Contains(err, "401") {
		t.Errorf("a test with another secret: exit code %d, %s", code, err)
	}
	listener.line(t, &listener.out, func(line string) bool {
		return strings.Contains(line, "webhook.test") && strings.Contains(line, "NOT VERIFIED")
	})
	resp, err := http.Post(address, "text/plain", strings.NewReader("hello\n"))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("whoever knocks gets %d", resp.StatusCode)
	}
	listener.line(t, &listener.out, func(line string) bool { return strings.Contains(line, "not a delivery of relay") })

	listener.signal(t, syscall.SIGTERM)
	if code := listener.exit(t, 10*time.Second); code != 0 {
		t.Errorf("exit code %d: %s", code, listener.err.String())
	}
	if out := s.must(t, "webhook", "list", "shop"); strings.Count(out, "http://") != 1 {
		t.Errorf("the webhook that it made is still there: %s", out)
	}
	second := s.start(t, "webhook", "listen", "--addr", strings.TrimPrefix(address, "http://"), "--secret", added[1])
	second.line(t, &second.err, func(line string) bool { return strings.HasPrefix(line, "Listening on ") })
	if out := s.must(t, "webhook", "test", "shop", added[0]); !strings.Contains(out, "204") {
		t.Errorf("test: %s", out)
	}
	second.line(t, &second.out, func(line string) bool {
		return strings.Contains(line, "webhook.test") && strings.HasSuffix(line, "signature ok")
	})
}
