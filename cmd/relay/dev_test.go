package main_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pushwake/relay/store/storetest"
)

// openFolder is a fresh folder that the user who runs Postgres can enter, also
// where a root's temporary folders are private.
func openFolder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "relay-dev-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// dataFolder is a folder for --data; Postgres must have left it when the test
// ends.
func dataFolder(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(openFolder(t), "data")
	t.Cleanup(func() {
		within(t, patience, "the end of Postgres", func() bool { return !postgresRuns(t, filepath.Join(dir, "postgres")) })
	})
	return dir
}

// postgresRuns tells whether any process of the cluster lives: each holds the
// lock of its folder.
func postgresRuns(t testing.TB, folder string) bool {
	t.Helper()
	f, err := os.Open(filepath.Join(folder, "server.lock"))
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	switch err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); {
	case err == nil:
		return false
	case errors.Is(err, syscall.EWOULDBLOCK):
		return true
	default:
		t.Fatal(err)
		return false
	}
}

// readyLine is what `relay dev --json` prints.
type readyLine struct {
	URL         string `json:"url"`
	APIKey      string `json:"api_key"`
	AdminKey    string `json:"admin_key"`
	AppID       string `json:"app_id"`
	DemoUser    string `json:"demo_user"`
	DatabaseURL string `json:"database_url"`
	PushKitSim  string `json:"pushkit_sim"`
	APNsSim     string `json:"apns_sim"`
}

func (r readyLine) backend() caller { return caller{r.URL, r.APIKey} }

// ready waits for the one line on standard output.
func (p *process) ready(t testing.TB) readyLine {
	t.Helper()
	var r readyLine
	p.line(t, &p.out, func(line string) bool {
		var keys map[string]any
		if err := json.Unmarshal([]byte(line), &keys); err != nil {
			t.Fatalf("standard output has %q: %v", line, err)
		}
		for _, key := range []string{"url", "api_key", "admin_key", "app_id", "demo_user", "database_url", "pushkit_sim", "apns_sim"} {
			if _, ok := keys[key]; !ok {
				t.Errorf("the line of JSON lacks %s", key)
			}
		}
		return json.Unmarshal([]byte(line), &r) == nil
	})
	return r
}

func startDev(t testing.TB, s setting, args ...string) *process {
	t.Helper()
	return s.start(t, append([]string{"dev", "--json", "--addr", "127.0.0.1:0"}, args...)...)
}

// stopGently tells a relay dev to stop and looks at how it does.
func stopGently(t testing.TB, p *process, postgres string) {
	t.Helper()
	started := time.Now()
	p.signal(t, syscall.SIGTERM)
	if code := p.exit(t, 10*time.Second); code != 0 {
		t.Errorf("after SIGTERM: exit code %d: %s", code, tail(p.err.String()))
	}
	t.Logf("stopped in %v", time.Since(started))
	if postgresRuns(t, postgres) {
		t.Error("Postgres outlived relay dev")
	}
	if n := strings.Count(p.out.String(), "\n"); n != 1 {
		t.Errorf("standard output has %d lines, want the one", n)
	}
}

// TestDev is the life of one data folder: a call, a second owner, a stop, a
// kill, and what must still be there after each.
func TestDev(t *testing.T) {
	t.Parallel()
	data := dataFolder(t)
	first := startDev(t, setting{}, "--data", data)
	r := first.ready(t)
	id := demoCall(t, r)
	if broken := storetest.Broken(t.Context(), r.DatabaseURL); len(broken) > 0 {
		t.Errorf("promises of the store are broken: %v", broken)
	}

	policy := func(r readyLine, args ...string) string {
		return setting{env: []string{"DATABASE_URL=" + r.DatabaseURL}}.must(t, append([]string{"app", "put", "demo"}, args...)...)
	}
	policy(r, "--payload", "minimal")

	code, out, advice := setting{}.run(t, "dev", "--json", "--addr", "127.0.0.1:0", "--data", data)
	if code != 1 || out != "" || !strings.Contains(advice, "--data") || !strings.Contains(advice, strconv.Itoa(first.cmd.Process.Pid)) {
		t.Errorf("a second owner: exit code %d, %q, %q; want 1 and advice that names the process", code, out, advice)
	}
	stopGently(t, first, filepath.Join(data, "postgres"))

	second := startDev(t, setting{}, "--data", data)
	again := second.ready(t)
	if again.APIKey != r.APIKey || again.AdminKey != r.AdminKey {
		t.Error("the keys changed with a restart")
	}
	if text := policy(again); !strings.Contains(text, "payload: minimal") {
		t.Errorf("the app's policy changed with a restart: %s", text)
	}
	historyHas(t, again, id)
	invited := must[callView](t)(want[callView](t.Context(), again.backend(), http.StatusCreated, http.MethodPost, "/v1/calls", invitation(again.DemoUser, 30, "before the kill")))
	within(t, patience, "the answer", func() bool {
		return must[callView](t)(want[callView](t.Context(), again.backend(), http.StatusOK, http.MethodGet, "/v1/calls/"+invited.ID, nil)).Status == "active"
	})
	second.kill(t)

	third := startDev(t, setting{}, "--data", data)
	last := third.ready(t)
	historyHas(t, last, id)
	historyHas(t, last, invited.ID)
	// The phone that talked when relay dev was killed is not found busy for hours.
	if left := must[callView](t)(want[callView](t.Context(), last.backend(), http.StatusOK, http.MethodGet, "/v1/calls/"+invited.ID, nil)); left.Status != "ended" {
		t.Errorf("the call that was active at the kill is %s", left.Status)
	}
	stopGently(t, third, filepath.Join(data, "postgres"))
}

func historyHas(t testing.TB, r readyLine, id string) {
	t.Helper()
	for _, c := range []struct {
		caller
		path, app string
	}{{r.backend(), "/v1/calls", ""}, {caller{r.URL, r.AdminKey}, "/v1/admin/calls", r.AppID}} {
		list := must[page](t)(want[page](t.Context(), c.caller, http.StatusOK, http.MethodGet, c.path, nil))
		found := false
		for _, one := range list.Data {
			found = found || one.ID == id && one.AppID == c.app
		}
		if !found {
			t.Errorf("GET %s does not list call %s", c.path, id)
		}
	}
}

// demoCall invites the demo user and follows the call to its end; it returns
// the call's id.
func demoCall(t testing.TB, r readyLine) string {
	t.Helper()
	c := must[callView](t)(want[callView](t.Context(), r.backend(), http.StatusCreated, http.MethodPost, "/v1/calls", invitation(r.DemoUser, 45, "demo")))
	legs := map[string]legView{}
	for _, l := range c.Legs {
		legs[l.DeviceID] = l
	}
	wanted := map[string]legView{
		"phone-shanghai":  {"phone-shanghai", "push_kit_voip", "waking", ""},
		"tablet-shanghai": {"tablet-shanghai", "push_kit_voip", "waking", ""},
		"phone-hongkong":  {"phone-hongkong", "", "skipped", "region_not_supported"},
		"emulator":        {"emulator", "", "skipped", "emulator_not_supported"},
		"watch":           {"watch", "connection", "waking", ""},
		"pc":              {"pc", "", "skipped", "not_connected"},

		"iphone-shanghai":  {"iphone-shanghai", "apns_voip", "waking", ""},
		"iphone-beijing":   {"iphone-beijing", "apns_alert", "waking", ""},
		"iphone-berlin":    {"iphone-berlin", "apns_voip", "waking", ""},
		"iphone-somewhere": {"iphone-somewhere", "apns_alert", "waking", ""},
	}
	if diff := cmp.Diff(wanted, legs); diff != "" || c.Status != "waking" || c.Reachable != 7 {
		t.Errorf("the invite's answer: status %s, reachable %d, legs (-want +got):\n%s", c.Status, c.Reachable, diff)
	}
	within(t, patience, "the call's end", func() bool {
		c = must[callView](t)(want[callView](t.Context(), r.backend(), http.StatusOK, http.MethodGet, "/v1/calls/"+c.ID, nil))
		return c.Status == "ended"
	})
	if c.EndReason != "completed" || c.AnsweredBy != "phone-shanghai" || c.leg("phone-shanghai").Status != "completed" || c.leg("tablet-shanghai").Status != "answered_elsewhere" || c.leg("watch").Status != "answered_elsewhere" {
		t.Errorf("the call ended as %+v", c)
	}
	checkWakes(t, r)
	checkTimeline(t, r, c.ID)
	return c.ID
}

// checkWakes looks at what the vendors got for the one call so far.
func checkWakes(t testing.TB, r readyLine) {
	t.Helper()
	type record struct {
		Messages []struct {
			Headers map[string]string `json:"headers"`
			Body    struct {
				PushOptions struct {
					TTL int `json:"ttl"`
				} `json:"pushOptions"`
				Wake struct {
					Presentation string `json:"presentation"`
				} `json:"wake"`
			} `json:"body"`
			Verdict string `json:"verdict"`
		} `json:"messages"`
	}
	huawei := must[record](t)(want[record](t.Context(), caller{url: r.PushKitSim}, http.StatusOK, http.MethodGet, "/sim/messages", nil))
	if len(huawei.Messages) != 2 {
		t.Errorf("Push Kit got %d messages, want 2", len(huawei.Messages))
	}
	for _, m := range huawei.Messages {
		if m.Headers["push-type"] != "10" || m.Body.PushOptions.TTL < 1 || m.Body.PushOptions.TTL > 45 || m.Verdict != "accepted" {
			t.Errorf("Push Kit got %+v; want push-type 10, ttl 1 to 45, accepted", m)
		}
	}
	apple := must[record](t)(want[record](t.Context(), caller{url: r.APNsSim}, http.StatusOK, http.MethodGet, "/sim/messages", nil))
	got := map[string]int{}
	for _, m := range apple.Messages {
		kind := m.Headers["apns-push-type"] + " " + m.Headers["apns-topic"] + " " + m.Body.Wake.Presentation + " " + m.Verdict
		if m.Headers["apns-push-type"] == "voip" {
			kind += " expiration " + m.Headers["apns-expiration"]
		}
		got[kind]++
	}
	wanted := map[string]int{
		"voip com.example.demo.voip lck accepted expiration 0": 1, "voip com.example.demo.voip callkit accepted expiration 0": 1,
		"alert com.example.demo alert accepted": 2,
	}
	if diff := cmp.Diff(wanted, got); diff != "" {
		t.Errorf("APNs (-want +got):\n%s", diff)
	}
}

// checkTimeline looks for each kind of entry.
func checkTimeline(t testing.TB, r readyLine, id string) {
	t.Helper()
	type timeline struct {
		Data []struct {
			Type     string `json:"type"`
			DeviceID string `json:"device_id"`
			Advice   string `json:"advice"`
			Decision struct {
				Reason string `json:"reason"`
				Region struct {
					Area    string           `json:"area"`
					Signals []map[string]any `json:"signals"`
				} `json:"region"`
			} `json:"decision"`
			Attempt struct {
				Outcome string `json:"outcome"`
			} `json:"attempt"`
			Confirm struct {
				Verdict string `json:"verdict"`
			} `json:"confirm"`
			Report struct {
				Event string `json:"event"`
			} `json:"report"`
			Receipt struct {
				Result int  `json:"result"`
				Signed bool `json:"signed"`
			} `json:"receipt"`
		} `json:"data"`
	}
	got := must[timeline](t)(want[timeline](t.Context(), r.backend(), http.StatusOK, http.MethodGet, "/v1/calls/"+id+"/timeline", nil))
	seen := map[string]bool{}
	for _, e := range got.Data {
		switch what := e.DeviceID + " " + e.Type; e.Type {
		case "decision":
			seen[what] = true
			if e.DeviceID == "phone-hongkong" && (e.Decision.Reason != "region_not_supported" || e.Advice == "") {
				t.Errorf("the decision on phone-hongkong: %+v", e)
			}
			if len(e.Decision.Region.Signals) == 0 || e.Decision.Region.Area == "" {
				t.Errorf("the decision on %s shows no evidence of its region", e.DeviceID)
			}
		case "attempt":
			seen[what+" "+e.Attempt.Outcome] = true
		case "confirm":
			seen[what+" "+e.Confirm.Verdict] = true
		case "report":
			seen[what+" "+e.Report.Event] = true
		case "receipt":
			seen[fmt.Sprint(what, " ", e.Receipt.Result, " ", e.Receipt.Signed)] = true
		}
	}
	for _, what := range []string{
		"phone-shanghai decision", "tablet-shanghai decision", "phone-hongkong decision", "emulator decision", "watch decision", "pc decision",
		"watch confirm ring", "watch report ringing",
		"phone-shanghai attempt accepted", "tablet-shanghai attempt accepted", "phone-shanghai confirm ring", "tablet-shanghai confirm ring",
		"phone-shanghai report ringing", "phone-shanghai report answered", "phone-shanghai report disconnected", "tablet-shanghai report ringing",
		"iphone-shanghai attempt accepted", "iphone-shanghai report ringing", "iphone-berlin report ringing", "iphone-beijing attempt accepted",
		"phone-shanghai receipt 0 true", "tablet-shanghai receipt 0 true",
	} {
		if !seen[what] {
			t.Errorf("the timeline lacks %q; it has %v", what, seen)
		}
	}
}

// TestDevTwoAtOnce: two folders, two relays, which know nothing of each other.
func TestDevTwoAtOnce(t *testing.T) {
	t.Parallel()
	var all []*process
	for range 2 {
		all = append(all, startDev(t, setting{}, "--no-devices", "--data", dataFolder(t)))
	}
	a, b := all[0].ready(t), all[1].ready(t)
	if a.URL == b.URL || a.DatabaseURL == b.DatabaseURL || a.APIKey == b.APIKey || a.PushKitSim == b.PushKitSim {
		t.Errorf("two folders share something: %+v, %+v", a, b)
	}
	if status, _, err := b.backend().ask(t.Context(), http.MethodGet, "/v1/calls", nil, "Authorization", "Bearer "+a.APIKey); err != nil || status != http.StatusUnauthorized {
		t.Errorf("the other's key: HTTP %d, %v; want 401", status, err)
	}
	for _, callee := range []string{"nobody", a.DemoUser} {
		c := must[callView](t)(want[callView](t.Context(), a.backend(), http.StatusCreated, http.MethodPost, "/v1/calls", invitation(callee, 45, "")))
		if c.Status != "ended" || c.EndReason != "unreachable" || len(c.Legs) != 0 || c.EndedAt == nil {
			t.Errorf("a call to %s, who has no devices: %+v", callee, c)
		}
	}
	if list := must[page](t)(want[page](t.Context(), b.backend(), http.StatusOK, http.MethodGet, "/v1/calls", nil)); len(list.Data) != 0 {
		t.Errorf("the other relay lists %d calls", len(list.Data))
	}
}

// TestDevTells: what is printed for people leads to the documentation.
func TestDevTells(t *testing.T) {
	t.Parallel()
	p := setting{}.start(t, "dev", "--addr", "127.0.0.1:0", "--no-devices", "--data", dataFolder(t))
	var docs string
	p.line(t, &p.out, func(line string) bool {
		what, url, _ := strings.Cut(strings.TrimSpace(line), " ")
		docs = strings.TrimSpace(url)
		return what == "documentation"
	})
	resp, err := http.Get(docs)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if kind := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || !strings.HasPrefix(kind, "text/html") {
		t.Errorf("%s: HTTP %d, %s", docs, resp.StatusCode, kind)
	}
}

// TestDevInPrivateFolder: a checkout that only its owner can enter works with
// the default data folder, also for root, whose Postgres runs as another user.
func TestDevInPrivateFolder(t *testing.T) {
	t.Parallel()
	private, temporary := filepath.Join(openFolder(t), "private"), openFolder(t)
	checkout := filepath.Join(private, "checkout")
	if err := errors.Join(os.Mkdir(private, 0o700), os.Mkdir(checkout, 0o755)); err != nil {
		t.Fatal(err)
	}
	// What stands in for the data folder lies in a temporary folder of the test.
	p := startDev(t, setting{dir: checkout, env: []string{"TMPDIR=" + temporary}}, "--no-devices")
	r := p.ready(t)
	if status, answer, err := r.backend().ask(context.Background(), http.MethodGet, "/readyz", nil); err != nil || status != http.StatusOK {
		t.Errorf("readyz: HTTP %d, %s, %v", status, answer, err)
	}
	if _, err := os.Stat(filepath.Join(checkout, ".relay", "dev.json")); err != nil {
		t.Error(err)
	}
	postgres := filepath.Join(checkout, ".relay", "postgres")
	if os.Geteuid() == 0 {
		found, err := filepath.Glob(filepath.Join(temporary, "relay-pg-*", "postgres"))
		if err != nil || len(found) != 1 {
			t.Fatalf("the folders that stand in: %v, %v; want one", found, err)
		}
		postgres = found[0]
	}
	if !postgresRuns(t, postgres) {
		t.Fatalf("no Postgres runs in %s", postgres)
	}
	stopGently(t, p, postgres)
}
