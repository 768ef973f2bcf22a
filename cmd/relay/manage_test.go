package main_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/pushwake/relay/push/apns/apnssim"
	"github.com/pushwake/relay/store/storetest"
)

// TestAppPut changes an app's policy flag by flag: each changes what it names,
// prints what was and what is, and leaves all else as it was.
func TestAppPut(t *testing.T) {
	t.Parallel()
	s := setting{env: []string{"DATABASE_URL=" + storetest.Database(t)}}
	policy := map[string]string{
		"apns-voip-expiration-seconds": "0", "escalation harmonyos": "push_kit_voip,push_kit_alert", "escalation ios": "apns_voip,apns_alert",
		"max-call-seconds": "14400", "max-devices": "20", "retention-days": "0", "payload": "full", "region-rules": "the latest", "reject": "all",
	}
	check := func(args ...string) {
		t.Helper()
		out := s.must(t, append([]string{"app", "put", "shop"}, args...)...)
		head, rest, _ := strings.Cut(out, "\n")
		rest, _, _ = strings.Cut(rest, "Next: ")
		if want := map[bool]string{true: "is as it was", false: "changed"}[len(args) == 0]; !strings.Contains(head, want) {
			t.Fatalf("relay app put shop %q: %s", args, out)
		}
		told := map[string]string{}
		for line := range strings.Lines(rest) {
			name, value, ok := strings.Cut(strings.TrimSpace(line), ": ")
			if !ok {
				t.Fatalf("not a setting: %q", line)
			}
			told[name] = value
		}
		for name, value := range told {
			if was, is, changed := strings.Cut(value, " → "); changed {
				if (policy[name] != was && (policy[name] != "" || was != "none")) || was == is {
					t.Errorf("%q: %s was %q, and %q is told", args, name, policy[name], value)
				}
				policy[name] = is
			} else if policy[name] != value {
				t.Errorf("%s is %q, want %q", name, value, policy[name])
			}
		}
		if len(args) == 0 && len(told) != len(policy) {
			t.Errorf("told: %v\nwant %v", told, policy)
		}
	}
	if out := s.must(t, "app", "put", "shop"); !strings.Contains(out, "made, with the default policy.") || !strings.Contains(out, "Next: ") {
		t.Errorf("made: %s", out)
	}
	check()
	for _, change := range []struct{ flag, value, setting, want string }{
		{"--reject", "one", "reject", "one"},
		{"--payload", "minimal", "payload", "minimal"},
		{"--max-call-seconds", "600", "max-call-seconds", "600"},
		{"--max-devices", "5", "max-devices", "5"},
		{"--retention-days", "30", "retention-days", "30"},
		{"--region-rules", "2026-11", "region-rules", "2026-11"},
		{"--apns-voip-expiration-seconds", "30", "apns-voip-expiration-seconds", "30"},
		{"--escalation", "ios=", "escalation ios", "none"},
		{"--escalation", "harmonyos=push_kit_alert, push_kit_voip", "escalation harmonyos", "push_kit_alert,push_kit_voip"},
		{"--notice-voice", "zh-CN=您有未接来电", "notice-voice zh-CN", `"您有未接来电"`},
		{"--notice-video", "en=Missed", "notice-video en", `"Missed"`},
		{"--notice-video", "zh-CN=未接视频", "notice-video zh-CN", `"未接视频"`},
		{"--max-call-seconds", "14400", "max-call-seconds", "14400"}, // the default, given
		{"--apns-voip-expiration-seconds", "0", "apns-voip-expiration-seconds", "0"},
		{"--region-rules", "", "region-rules", "the latest"},
	} {
		before := len(policy)
		check(change.flag, change.value)
		if policy[change.setting] != change.want || len(policy) > before+1 {
			t.Errorf("%s %s: %s is %q", change.flag, change.value, change.setting, policy[change.setting])
		}
		check() // and nothing else
	}
	if out := s.must(t, "app", "put", "shop", "--payload", "minimal"); !strings.Contains(out, "is as it was") {
		t.Errorf("what it was already: %s", out)
	}
	check("--default", "escalation,payload", "--payload", "full", "--max-devices", "6")
	check("--default", "notice_texts,reject,max-devices")
	if policy["reject"] != "all" || policy["max-devices"] != "20" || policy["escalation ios"] != "apns_voip,apns_alert" || policy["notice-video en"] != "none" {
		t.Errorf("back to the default: %v", policy)
	}

	if code, _, err := s.run(t, "app", "put", "shop", "--reject", "none", "--payload", "half", "--max-devices", "101", "--retention-days", "6", "--apns-voip-expiration-seconds", "31", "--default", "rules"); code != 1 ||
		!strings.Contains(err, "--reject") || !strings.Contains(err, "--payload") || !strings.Contains(err, "from 1 to 100") || !strings.Contains(err, "from 0 to 30") || !strings.Contains(err, "region_rules") {
		t.Errorf("exit code %d, %q", code, err)
	}

	// Two at once: neither undoes what the other does.
	var both sync.WaitGroup
	both.Go(func() { s.must(t, "app", "put", "shop", "--reject", "one") })
	both.Go(func() { s.must(t, "app", "put", "shop", "--max-devices", "3") })
	both.Wait()
	if out := s.must(t, "app", "put", "shop"); !strings.Contains(out, "reject: one") || !strings.Contains(out, "max-devices: 3") {
		t.Errorf("after two at once: %s", out)
	}
	if out := s.must(t, "app", "put", "other", "--payload", "minimal"); !strings.Contains(out, "made") || !strings.Contains(out, "payload: full → minimal") || strings.Contains(out, "reject") {
		t.Errorf("made with a setting of its own: %s", out)
	}
}

// TestCredentialRenewed: a new key file in the place of an older one keeps what it
// cannot say itself, as long as it is of the same project or team.
func TestCredentialRenewed(t *testing.T) {
	t.Parallel()
	_, _, keyFile := pushKit(t)
	s := setting{env: []string{"DATABASE_URL=" + storetest.Database(t), "RELAY_MASTER_KEY=" + newMasterKey()}}
	s.must(t, "app", "put", "shop")
	put := func(says []string, args ...string) {
		t.Helper()
		out := s.must(t, append([]string{"app", "credential", "shop"}, args...)...)
		for _, text := range says {
			if !strings.Contains(out, text) {
				t.Errorf("relay app credential %q: %s; want %q", args, out, text)
			}
		}
	}
	var fields map[string]string
	data, err := os.ReadFile(keyFile)
	if err == nil {
		err = json.Unmarshal(data, &fields)
	}
	if err != nil {
		t.Fatal(err)
	}
	as := func(changes ...string) string {
		file := map[string]string{}
		for name, value := range fields {
			file[name] = value
		}
		for i := 0; i < len(changes); i += 2 {
			file[changes[i]] = changes[i+1]
		}
		data, _ := json.Marshal(file)
		return secretFile(t, string(data))
	}
	put(nil, "push_kit", keyFile, "--client-id", "104")
	put([]string{"client_id: 104, as before", "key_id: " + fields["key_id"] + " → k2"}, "push_kit", as("key_id", "k2"))
	put([]string{"callback_user: none → relay", "client_id: 104, as before"}, "push_kit", keyFile, "--callback-user", "relay", "--callback-secret-file", secretFile(t, "s3cr3t\n"))
	put([]string{"callback_user: relay, as before"}, "push_kit", keyFile)
	if out := s.must(t, "app", "credential", "shop", "push_kit", keyFile, "--callback-user", ""); !strings.Contains(out, "callback_user: relay → none") || strings.Contains(out, "s3cr3t") {
		t.Errorf("the callback's secret taken away: %s", out)
	}
	if code, _, err := s.run(t, "app", "credential", "shop", "push_kit", keyFile, "--callback-user", "relay"); code != 1 || !strings.Contains(err, "RELAY_CALLBACK_SECRET is not set") {
		t.Errorf("a callback without its secret: exit code %d, %q", code, err)
	}
	put([]string{"client_id: 104 → 105"}, "push_kit", keyFile, "--client-id", "105")
	put([]string{"client_id: 105 → none", "project_id: " + fields["project_id"] + " → p2"}, "push_kit", as("project_id", "p2"))
	put([]string{"client_id: none → 106"}, "push_kit", as("project_id", "p2", "client_id", "106"))
	put([]string{"client_id: 106 → none"}, "push_kit", as("project_id", "p2"), "--client-id", "")

	sim, err := apnssim.New(apnssim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	key := func() (path, id string) {
		made, err := sim.NewKey(apnssim.KeyOptions{TeamID: "TEAM123456"})
		if err != nil {
			t.Fatal(err)
		}
		path = filepath.Join(t.TempDir(), "AuthKey_"+made.KeyID+".p8")
		if err := os.WriteFile(path, []byte(made.P8), 0o600); err != nil {
			t.Fatal(err)
		}
		return path, made.KeyID
	}
	first, firstID := key()
	second, secondID := key()
	put(nil, "apns", first, "--team-id", "TEAM123456", "--bundle-id", "com.example.shop")
	put([]string{"team_id: TEAM123456, as before", "bundle_id: com.example.shop, as before", "key_id: " + firstID + " → " + secondID}, "apns", second)
	put([]string{"bundle_id: com.example.shop → none"}, "apns", second, "--team-id", "TEAM654321")
}
