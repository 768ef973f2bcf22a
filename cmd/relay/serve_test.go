package main_test

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pushwake/relay/push/apns/apnssim"
	"github.com/pushwake/relay/push/pushkit/pushkitsim"
	"github.com/pushwake/relay/store/localpg"
	"github.com/pushwake/relay/store/storetest"
)

const project = "736430079244623999"

func newMasterKey() string {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails, by its documentation
	return base64.StdEncoding.EncodeToString(key)
}

// secretFile writes a file as an orchestrator mounts it.
func secretFile(t testing.TB, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(content+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// serve starts `relay serve` and returns when it listens.
func (s setting) serve(t testing.TB, args ...string) (p *process, url string) {
	t.Helper()
	p = s.start(t, append([]string{"serve", "--addr", "127.0.0.1:0"}, args...)...)
	p.line(t, &p.err, func(line string) bool {
		var entry struct{ Msg, URL string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Errorf("a line of the log is not JSON: %q", line)
		}
		url = entry.URL
		return entry.Msg == "serving"
	})
	return p, url
}

func isReady(t testing.TB, url string) {
	t.Helper()
	if status, answer, err := (caller{url: url}).ask(t.Context(), http.MethodGet, "/readyz", nil); err != nil || status != http.StatusOK {
		t.Errorf("readyz: HTTP %d, %s, %v", status, answer, err)
	}
}

// pushKit starts a simulator with one project and returns it, its URL and the
// path of the project's key file.
func pushKit(t testing.TB) (sim *pushkitsim.Sim, url, keyFile string) {
	t.Helper()
	sim = pushkitsim.New(pushkitsim.Options{})
	url, err := sim.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	content, err := sim.NewServiceAccount(project)
	if err != nil {
		t.Fatal(err)
	}
	return sim, url, secretFile(t, string(content))
}

// TestAPNsCredential stores a key as Apple gives it out, and has both
// environments of a simulator take a wake over it.
func TestAPNsCredential(t *testing.T) {
	t.Parallel()
	sim, err := apnssim.New(apnssim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	urls, err := sim.Start(apnssim.Addresses{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	made, err := sim.NewKey(apnssim.KeyOptions{TeamID: "TEAM123456"})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "AuthKey_"+made.KeyID+".p8")
	if err := os.WriteFile(file, []byte(made.P8), 0o600); err != nil {
		t.Fatal(err)
	}
	s := setting{env: []string{
		"DATABASE_URL=" + storetest.Database(t), "RELAY_MASTER_KEY=" + newMasterKey(), "RELAY_APNS_URL=" + urls.Production,
		"RELAY_APNS_SANDBOX_URL=" + urls.Sandbox, "RELAY_APNS_CA_FILE=" + secretFile(t, string(sim.RootPEM())),
	}}
	s.must(t, "app", "put", "shop", "--apns-voip-expiration-seconds", "5")
	for _, tc := range []struct {
		args []string
		says string
	}{
		{[]string{file}, "team id"},
		{[]string{secretFile(t, made.P8), "--team-id", "TEAM123456"}, "key id"},
		{[]string{secretFile(t, "x"), "--team-id", "TEAM123456", "--key-id", made.KeyID}, "not PEM"},
	} {
		if code, _, err := s.run(t, append([]string{"app", "credential", "shop", "apns"}, tc.args...)...); code != 1 || !strings.Contains(err, tc.says) {
			t.Errorf("%v: exit code %d, %q; want 1 and %q", tc.args, code, err, tc.says)
		}
	}
	out := s.must(t, "app", "credential", "shop", "apns", file, "--team-id", "TEAM123456", "--bundle-id", "com.example.shop")
	if !strings.Contains(out, made.KeyID) || strings.Contains(out, "PRIVATE") {
		t.Errorf("app credential: %q", out)
	}
	key := strings.TrimSpace(s.must(t, "key", "create", "shop"))
	_, url := s.serve(t)
	backend := caller{url, key}
	for environment, digit := range map[string]string{"production": "a", "sandbox": "b"} {
		token := strings.Repeat(digit, 64)
		err := sim.SetToken(token, apnssim.Token{State: apnssim.Alive, Environment: apnssim.Environment(environment)})
		if err != nil {
			t.Fatal(err)
		}
		must[any](t)(want[any](t.Context(), backend, http.StatusOK, http.MethodPut, "/v1/devices/"+environment, map[string]any{
			"user_id": "u2", "platform": "ios", "device_type": "phone", "system_version": "26.1", "environment": environment, "call_ui": "callkit",
			"tokens": map[string]any{"apns_voip": token}, "region": map[string]any{"country": "DE"},
		}))
	}
	c := must[callView](t)(want[callView](t.Context(), backend, http.StatusCreated, http.MethodPost, "/v1/calls", invitation("u2", 30, "")))
	if c.Reachable != 2 {
		t.Fatalf("%+v", c)
	}
	within(t, patience, "the wakes at APNs", func() bool { return len(sim.Messages("", 0)) == 2 })
	for _, m := range sim.Messages("", 0) {
		if m.Verdict != "accepted" || m.Headers["apns-topic"] != "com.example.shop.voip" || m.Headers["apns-expiration"] == "0" {
			t.Errorf("%+v", m)
		}
	}
}

// TestSchema: an old schema is refused with advice, and there are two ways out.
func TestSchema(t *testing.T) {
	t.Parallel()
	pg, err := localpg.Start(t.Context(), localpg.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pg.Stop(); err != nil {
			t.Error(err)
		}
	})
	for _, name := range []string{"by_command", "by_flag"} {
		if err := pg.CreateDatabase(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	key := "RELAY_MASTER_KEY=" + newMasterKey()
	byCommand := setting{env: []string{"DATABASE_URL=" + pg.URL("by_command"), key}}
	for _, args := range [][]string{{"serve", "--addr", "127.0.0.1:0"}, {"app", "list"}, {"key", "create", "--admin"}} {
		if code, _, err := byCommand.run(t, args...); code != 1 || !strings.Contains(err, "relay migrate") {
			t.Errorf("relay %v on an old schema: exit code %d, %q; want 1 and advice", args, code, err)
		}
	}
	if out := byCommand.must(t, "migrate"); !strings.Contains(out, "applied 00001_calls.sql") {
		t.Errorf("migrate: %q", out)
	}
	if out := byCommand.must(t, "migrate"); !strings.Contains(out, "up to date") {
		t.Errorf("migrate again: %q", out)
	}
	storetest.Exec(t, pg.URL("by_command"), "INSERT INTO events (app_id, id, xid, type, at, data) VALUES ('shop', gen_random_uuid(), '9000000000', 'device.registered', now(), '{}')")
	if code, _, err := byCommand.run(t, "serve", "--addr", "127.0.0.1:0"); code != 1 || !strings.Contains(err, "relay migrate --restored") {
		t.Errorf("serve on a restored database: exit code %d, %q; want 1 and advice", code, err)
	}
	if out := byCommand.must(t, "migrate", "--restored"); !strings.Contains(out, "epoch 2") {
		t.Errorf("migrate --restored: %q", out)
	}
	_, url := byCommand.serve(t)
	isReady(t, url)
	if code, _, err := byCommand.run(t, "migrate", "--restored"); code != 1 || !strings.Contains(err, "stop them first") {
		t.Errorf("migrate --restored beside a process: exit code %d, %q; want 1 and advice", code, err)
	}
	_, url = setting{env: []string{"DATABASE_URL=" + pg.URL("by_flag"), key}}.serve(t, "--migrate")
	isReady(t, url)
}

// TestConfigurationProblems: all are reported at once.
func TestConfigurationProblems(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		env   []string
		wants []string
	}{
		{nil, []string{"DATABASE_URL is not set", "RELAY_MASTER_KEY is not set"}},
		{
			[]string{"RELAY_MASTER_KEY=short", "RELAY_TRUSTED_PROXIES=10.0.0.0/8,here", "RELAY_MAX_CONNS=1", "RELAY_APNS_CA_FILE=/no/such/ca"},
			[]string{"DATABASE_URL is not set", "openssl rand", `"here" is not a network`, "RELAY_MAX_CONNS", "/no/such/ca"},
		},
		{
			[]string{"DATABASE_URL=postgres:///a", "DATABASE_URL_FILE=/b", "RELAY_MASTER_KEY_FILE=/no/such/file"},
			[]string{"DATABASE_URL and DATABASE_URL_FILE are both set", "/no/such/file"},
		},
		{
			[]string{"DATABASE_URL_FILE=" + secretFile(t, ""), "RELAY_MASTER_KEY=" + newMasterKey() + ",bad"},
			[]string{"is empty", "master key 2"},
		},
	} {
		code, _, err := setting{env: tc.env}.run(t, "serve", "--addr", "127.0.0.1:0")
		if code != 1 {
			t.Errorf("%v: exit code %d, want 1", tc.env, code)
		}
		for _, text := range tc.wants {
			if !strings.Contains(err, text) {
				t.Errorf("%v: %q does not say %q", tc.env, err, text)
			}
		}
	}
}

// TestDrain: SIGTERM ends a relay within 10 s and well, though a vendor is
// silent and a client never ends its request.
func TestDrain(t *testing.T) {
	t.Parallel()
	sim, simURL, keyFile := pushKit(t)
	s := setting{env: []string{"DATABASE_URL=" + storetest.Database(t), "RELAY_MASTER_KEY=" + newMasterKey(), "RELAY_PUSH_KIT_URL=" + simURL}}
	s.must(t, "app", "put", "shop")
	s.must(t, "app", "credential", "shop", "push_kit", keyFile)
	key := strings.TrimSpace(s.must(t, "key", "create", "shop"))
	p, url := s.serve(t)
	register(t, caller{url, key}, "u2", "d1")
	if err := sim.SetFaults(pushkitsim.Fault{Stall: true}); err != nil {
		t.Fatal(err)
	}
	body, hold := io.Pipe()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/v1/calls", body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+key)
	r.Header.Set("Content-Type", "application/json")
	cut := make(chan error, 1)
	go func() {
		resp, err := httpClient.Do(r)
		if err == nil {
			resp.Body.Close()
		}
		cut <- err
	}()
	if _, err := hold.Write([]byte(`{`)); err != nil { // taken once the request is under way
		t.Fatal(err)
	}
	must[callView](t)(want[callView](t.Context(), caller{url, key}, http.StatusCreated, http.MethodPost, "/v1/calls", invitation("u2", 60, "")))
	within(t, patience, "the wake at Push Kit", func() bool { return len(sim.Messages(tokenOf("d1"), 0)) > 0 })
	told := time.Now()
	p.signal(t, syscall.SIGTERM)
	if code := p.exit(t, patience); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if took := time.Since(told); took > 10*time.Second {
		t.Errorf("the end took %v", took)
	}
	_ = hold.Close() // the client waits for its own body to end
	if err := <-cut; err == nil {
		t.Error("the request that never ended was answered")
	}
}

// TestManagement makes an app, its credential and its keys while a relay serves,
// with the secrets in files.
func TestManagement(t *testing.T) {
	t.Parallel()
	sim, simURL, keyFile := pushKit(t)
	s := setting{env: []string{
		"DATABASE_URL_FILE=" + secretFile(t, storetest.Database(t)), "RELAY_MASTER_KEY_FILE=" + secretFile(t, newMasterKey()), "RELAY_PUSH_KIT_URL=" + simURL,
	}}
	_, url := s.serve(t)
	for _, tc := range []struct {
		args []string
		says []string
	}{
		{[]string{"app", "put", "Shop!", "--max-call-seconds", "1", "--region-rules", "none", "--escalation", "harmonyos=push_kit_voip,apns_alert;web=sms", "--escalation", "ios=apns_voip,apns_voip"},
			[]string{"no id for an app", "--max-call-seconds", "region rules", `"harmonyos": "apns_alert" does not wake`, `"web": no push`, `"apns_voip" is named twice`}},
		{[]string{"app", "put", "shop", "--notice-voice", "zh CN=x", "--notice-video", "en="}, []string{"no locale", "1 to 256 bytes"}},
		{[]string{"app", "credential", "shop", "push_kit", keyFile}, []string{"relay app put shop"}},
		{[]string{"app", "credential", "shop", "push_kit", keyFile, "--client-id", "a/b"}, []string{"client_id"}},
		{[]string{"app", "credential", "shop", "apns", keyFile, "--client-id", "104"}, []string{"belongs to push_kit"}},
		{[]string{"key", "create", "shop"}, []string{"relay app put shop"}},
		{[]string{"key", "create"}, []string{"--admin"}},
		{[]string{"key", "revoke", "x"}, []string{"relay key list"}},
		{[]string{"key", "revoke", "0192f0c4-0000-7000-8000-000000000000"}, []string{"no key"}},
	} {
		code, _, err := s.run(t, tc.args...)
		for _, text := range tc.says {
			if code != 1 || !strings.Contains(err, text) {
				t.Errorf("relay %v: exit code %d, %q; want 1 and %q", tc.args, code, err, text)
			}
		}
	}
	if out := s.must(t, "app", "put", "shop"); !strings.Contains(out, "made") {
		t.Errorf("app put: %q", out)
	}
	if out := s.must(t, "app", "put", "shop", "--reject", "one", "--escalation", "ios="); !strings.Contains(out, "changed") {
		t.Errorf("app put again: %q", out)
	}
	if out := s.must(t, "app", "credential", "shop", "push_kit", keyFile); !strings.Contains(out, project) {
		t.Errorf("app credential: %q", out)
	}
	if out := s.must(t, "app", "list"); !strings.Contains(out, "shop") || !strings.Contains(out, "one") || !strings.Contains(out, "push_kit") {
		t.Errorf("app list: %q", out)
	}
	key := strings.TrimSpace(s.must(t, "key", "create", "shop", "--label", "backend-1"))
	admin := strings.TrimSpace(s.must(t, "key", "create", "--admin"))
	backend := caller{url, key}
	register(t, backend, "u2", "d1")
	c := must[callView](t)(want[callView](t.Context(), backend, http.StatusCreated, http.MethodPost, "/v1/calls", invitation("u2", 30, "")))
	within(t, patience, "the wake at Push Kit", func() bool {
		got := sim.Messages(tokenOf("d1"), 0)
		return len(got) == 1 && got[0].Verdict == "accepted"
	})
	must[any](t)(want[any](t.Context(), caller{url, admin}, http.StatusOK, http.MethodGet, "/v1/admin/calls/"+c.ID, nil))
	must[any](t)(want[any](t.Context(), caller{url, admin}, http.StatusUnauthorized, http.MethodGet, "/v1/calls", nil))
	must[any](t)(want[any](t.Context(), backend, http.StatusUnauthorized, http.MethodGet, "/v1/admin/calls", nil))

	list := s.must(t, "key", "list")
	if strings.Contains(list, key) {
		t.Error("key list shows a key's text")
	}
	id := ""
	for line := range strings.Lines(list) {
		if strings.Contains(line, "backend-1") {
			id, _, _ = strings.Cut(line, " ")
		}
	}
	s.must(t, "key", "revoke", id)
	revoked := time.Now()
	within(t, 6*time.Second, "the revoked key's refusal", func() bool {
		status, answer, err := backend.ask(t.Context(), http.MethodGet, "/v1/calls/"+c.ID, nil)
		if err != nil || status != http.StatusOK && status != http.StatusUnauthorized {
			t.Fatalf("HTTP %d, %s, %v", status, answer, err)
		}
		return status == http.StatusUnauthorized
	})
	t.Logf("the revoked key was refused after %v", time.Since(revoked))
	for line := range strings.Lines(s.must(t, "key", "list")) {
		if strings.HasPrefix(line, id) && !strings.Contains(line, time.Now().UTC().Format("2006-")) {
			t.Errorf("key list does not show when the key was revoked: %q", line)
		}
	}
}

// tokenOf is the Push Kit token of a test's device.
func tokenOf(device string) string { return "MAendToEnd0token0" + device }

// register makes a phone in mainland China.
func register(t testing.TB, backend caller, user, device string) {
	t.Helper()
	must[any](t)(want[any](t.Context(), backend, http.StatusOK, http.MethodPut, "/v1/devices/"+device, map[string]any{
		"user_id": user, "platform": "harmonyos", "device_type": "phone", "system_version": "6.1.0(23)",
		"tokens": map[string]any{"push_kit": tokenOf(device)}, "region": map[string]any{"country": "CN"},
	}))
}
