package main_test

import (
	"net/http"
	"strings"
	"testing"
)

func TestHelp(t *testing.T) {
	t.Parallel()
	out := setting{}.must(t, "--help")
	for _, command := range []string{"dev", "serve", "migrate", "app put", "app credential", "key create", "key revoke", "sim push-kit", "sim apns", "version"} {
		if !strings.Contains(out, command) {
			t.Errorf("the help does not name %q", command)
		}
	}
	if out = (setting{}).must(t, "serve", "--help"); !strings.Contains(out, "DATABASE_URL") || !strings.Contains(out, "RELAY_MASTER_KEY_FILE") {
		t.Errorf("the help of serve does not name its environment:\n%s", out)
	}
}

func TestWrongCommandLines(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"ring"}, {}, {"serve", "--no-such-flag"}, {"app", "put"}, {"serve", "--max-conns", "many"}} {
		code, out, err := setting{}.run(t, args...)
		if code != 2 || !strings.Contains(err, "relay --help") {
			t.Errorf("relay %v: exit code %d, %q, %q; want 2 and a hint", args, code, out, err)
		}
	}
}

func TestSimPushKit(t *testing.T) {
	t.Parallel()
	p := setting{}.start(t, "sim", "push-kit", "--addr", "127.0.0.1:0")
	var url string
	p.line(t, &p.out, func(line string) bool {
		_, after, ok := strings.Cut(line, "Push Kit simulator: ")
		url = strings.TrimSpace(after)
		return ok
	})
	health := must[map[string]any](t)(want[map[string]any](t.Context(), caller{url: url}, http.StatusOK, http.MethodGet, "/sim/healthz", nil))
	if health["status"] != "ok" {
		t.Errorf("health: %v", health)
	}
	key := must[map[string]any](t)(want[map[string]any](t.Context(), caller{url: url}, http.StatusOK, http.MethodPost, "/sim/projects/736430079244623999/service-accounts", nil))
	if key["private_key"] == nil {
		t.Error("the key file has no private key")
	}
}

func TestSimAPNs(t *testing.T) {
	t.Parallel()
	p := setting{}.start(t, "sim", "apns", "--addr", "127.0.0.1:0", "--sandbox-addr", "127.0.0.1:0", "--control-addr", "127.0.0.1:0")
	var url string
	p.line(t, &p.out, func(line string) bool {
		_, after, ok := strings.Cut(line, "curl http")
		url = "http" + strings.TrimSuffix(after, "/sim/messages")
		return ok && strings.HasSuffix(after, "/sim/messages")
	})
	health := must[map[string]any](t)(want[map[string]any](t.Context(), caller{url: url}, http.StatusOK, http.MethodGet, "/sim/healthz", nil))
	if health["status"] != "ok" {
		t.Errorf("health: %v", health)
	}
	key := must[map[string]any](t)(want[map[string]any](t.Context(), caller{url: url}, http.StatusOK, http.MethodPost, "/sim/keys", map[string]any{"team_id": "TEAM123456"}))
	if key["p8"] == nil {
		t.Error("the key has no p8")
	}
}
