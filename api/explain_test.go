package api_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pushwake/relay/api"
	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/push/apns/apnssim"
	"github.com/pushwake/relay/push/pushkit/pushkitsim"
)

// hexToken is an APNs token of the rig's own.
func (r *rig) hexToken(device string) string {
	var b strings.Builder
	for _, c := range []byte(r.name + device) {
		b.WriteString("0123456789abcdef"[c>>4:][:1] + "0123456789abcdef"[c&15:][:1])
	}
	return b.String() + strings.Repeat("0", 64)
}

// iPhone is the registration of one in Germany that shows CallKit.
func (r *rig) iPhone(user, device string, changes ...object) object {
	return phone(user, "", append([]object{{
		"platform": "ios", "system_version": "26.1", "call_ui": "callkit", "region": object{"country": "DE"},
		"tokens": object{"apns_voip": r.hexToken(device), "apns_alert": r.hexToken(device + "alert")},
	}}, changes...)...)
}

// TestTenCallsThatDidNotRing: the timeline alone tells a stranger why, in both
// languages.
func TestTenCallsThatDidNotRing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	put := func(r *rig, device string, about object) {
		r.t.Helper()
		r.ask(r.backend, "PUT", "/v1/devices/"+device, about).want(200)
	}
	pushKitToken := func(r *rig, device string, told pushkitsim.Token) {
		r.t.Helper()
		if err := r.vendor.sim.SetToken(r.token(device), told); err != nil {
			r.t.Fatal(err)
		}
	}
	apnsToken := func(r *rig, device string, told apnssim.Token) {
		r.t.Helper()
		if err := r.apple.sim.SetToken(r.hexToken(device), told); err != nil {
			r.t.Fatal(err)
		}
	}
	for name, test := range map[string]struct {
		prepare          func(r *rig, device string)
		ring             int
		english, chinese string // of the device's words
		advice           string
	}{
		"region": {func(r *rig, d string) {
			put(r, d, phone(d, r.token(d), object{"region": object{"sim_mcc": "454", "network_mcc": "454"}}))
		}, 45, "HK by network_mcc, sim_mcc", "HK（依据 network_mcc, sim_mcc）", "another way"},
		"emulator": {func(r *rig, d string) { put(r, d, phone(d, r.token(d), object{"emulator": true})) }, 45, "do not work on emulators", "模拟器", "real device"},
		"limit": {func(r *rig, d string) {
			put(r, d, phone(d, r.token(d)))
			for range 3 {
				r.ask(r.backend, "POST", "/v1/calls", invite(d)).want(201)
			}
		}, 45, "as many incoming calls as its system allows", "系统上限", "Call again"},
		"dead token": {func(r *rig, d string) {
			put(r, d, r.iPhone(d, d))
			apnsToken(r, d, apnssim.Token{State: apnssim.Dead, SinceMS: time.Now().Add(time.Hour).UnixMilli()})
		}, 45, "HTTP 410 Unregistered", "HTTP 410 Unregistered", "must register again"},
		"wrong topic": {func(r *rig, d string) {
			put(r, d, r.iPhone(d, d))
			apnsToken(r, d, apnssim.Token{State: apnssim.Foreign})
		}, 45, "DeviceTokenNotForTopic. The token belongs to another topic", "DeviceTokenNotForTopic", "bundle_id"},
		"wrong environment": {func(r *rig, d string) {
			put(r, d, r.iPhone(d, d))
			apnsToken(r, d, apnssim.Token{State: apnssim.Alive, Environment: apnssim.Sandbox})
		}, 45, "BadDeviceToken", "BadDeviceToken", "environment"},
		"missing entitlement": {func(r *rig, d string) {
			put(r, d, phone(d, r.token(d)))
			pushKitToken(r, d, pushkitsim.Token{Reason: "noPushTypeRight"})
		}, 45, "80300007/noPushTypeRight", "80300007/noPushTypeRight", "AppGallery Connect"},
		"throttled": {func(r *rig, d string) {
			put(r, d, r.iPhone(d, d))
			if err := r.apple.sim.AddFault(apnssim.Fault{Token: r.hexToken(d), Status: 429, Code: "TooManyRequests"}); err != nil {
				r.t.Fatal(err)
			}
		}, 45, "HTTP 429 TooManyRequests", "HTTP 429 TooManyRequests", "less often"},
		"vendor down": {func(r *rig, d string) {
			put(r, d, r.iPhone(d, d))
			if err := r.apple.sim.AddFault(apnssim.Fault{Token: r.hexToken(d), Status: 503, Code: "ServiceUnavailable"}); err != nil {
				r.t.Fatal(err)
			}
		}, 45, "HTTP 503 ServiceUnavailable", "HTTP 503 ServiceUnavailable", "system status"},
		"no confirm": {func(r *rig, d string) { put(r, d, phone(d, r.token(d))) }, 10, "the app never said that it is awake", "应用从未确认被唤醒", "receiveMessage"},
	} {
		device := strings.ReplaceAll(name, " ", "-")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := r.in(t)
			test.prepare(r, device)
			id := r.ask(r.backend, "POST", "/v1/calls", invite(device, object{"ring_timeout_seconds": test.ring})).want(201).text("id")
			eventually(t, "the call's end", func() bool { return r.ask(r.backend, "GET", "/v1/calls/"+id, nil).want(200).text("status") == "ended" })
			told := r.ask(r.backend, "GET", "/v1/calls/"+id+"/timeline", nil).want(200)
			if got := told.header.Get("Content-Language"); got != "en" {
				t.Errorf("the words are %s", got)
			}
			summary, text := told.text("summary"), told.text("legs", 0, "text")
			if !strings.HasPrefix(summary, "The call did not ring. ") || !strings.Contains(summary, device) || !strings.Contains(summary, test.english) || !strings.Contains(text, test.english) {
				t.Errorf("summary %q, leg %q; want %q", summary, text, test.english)
			}
			if advice := told.text("legs", 0, "advice"); !strings.Contains(advice, test.advice) {
				t.Errorf("advice %q, want %q", advice, test.advice)
			}
			for i := range told.get("data").([]any) {
				if told.text("data", i, "text") == "" {
					t.Errorf("entry %d has no words", i)
				}
			}
			t.Log(summary, "\n→ ", told.text("legs", 0, "advice"))
			zh := r.ask(r.backend, "GET", "/v1/calls/"+id+"/timeline", nil, "Accept-Language", "de, zh-CN;q=0.8").want(200)
			if got := zh.header.Get("Content-Language"); got != string(call.Chinese) {
				t.Errorf("the words are %s", got)
			}
			if got := zh.text("summary"); !strings.HasPrefix(got, "呼叫未振铃。") || !strings.Contains(got, test.chinese) {
				t.Errorf("summary %q, want %q", got, test.chinese)
			}
			t.Log(zh.text("summary"), "\n→ ", zh.text("legs", 0, "advice"))
		})
	}
}

// TestDryRun: what is previewed is what is sent, and a preview leaves nothing.
func TestDryRun(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ask(r.backend, "PUT", "/v1/devices/d1", phone("u2", r.token("d1"))).want(200)
	r.ask(r.backend, "PUT", "/v1/devices/d2", r.iPhone("u2", "d2")).want(200)
	r.ask(r.backend, "PUT", "/v1/devices/d3", phone("u2", r.token("d3"), object{"region": object{"country": "HK"}})).want(200)
	in := invite("u2", object{"custom": object{"room": "r9"}})
	plan := r.ask(r.backend, "POST", "/v1/calls?dry_run=true", in, "Idempotency-Key", "k1").want(200).has(2.0, "reachable").has("waking", "status").
		has("region_not_supported", "legs", 2, "reason").has("other", "legs", 2, "decision", "region", "area").has(nil, "legs", 2, "request")
	if text := string(plan.body); strings.Contains(text, r.token("d1")) || strings.Contains(text, r.hexToken("d2")) || strings.Contains(text, "eyJ") {
		t.Errorf("the plan shows a secret: %s", text)
	}
	if got := len(r.ask(r.backend, "GET", "/v1/calls", nil).want(200).get("data").([]any)); got != 0 {
		t.Errorf("a dry run left %d calls", got)
	}
	if n := len(r.vendor.sim.Messages(r.token("d1"), 0)) + len(r.apple.sim.Messages(r.hexToken("d2"), 0)); n != 0 {
		t.Errorf("a dry run sent %d pushes", n)
	}
	r.ask(r.backend, "POST", "/v1/calls", in, "Idempotency-Key", "k1").want(201) // nothing remembers the key
	r.wakeOf("d1")
	eventually(t, "the push to APNs", func() bool { return len(r.apple.sim.Messages(r.hexToken("d2"), 0)) == 1 })
	huawei, apple := r.vendor.sim.Messages(r.token("d1"), 0)[0], r.apple.sim.Messages(r.hexToken("d2"), 0)[0]
	for i, sent := range []struct {
		headers map[string]string
		body    []byte
	}{{huawei.Headers, huawei.Body}, {apple.Headers, apple.Body}} {
		request := plan.get("legs", i, "request").(object)
		if diff := cmp.Diff(steady(t, sent.body), steady(t, must(json.Marshal(request["body"])))); diff != "" {
			t.Errorf("body %d (-sent +previewed):\n%s", i, diff)
		}
		previewed := request["headers"].(object)
		for name, value := range sent.headers {
			switch name {
			case "authorization", "apns-id", ":authority", ":scheme", "host", "content-length", "accept-encoding":
				if name == "authorization" && !strings.HasSuffix(previewed[name].(string), " ***") {
					t.Errorf("authorization %q", previewed[name])
				}
				continue
			}
			if previewed[name] != value {
				t.Errorf("%s: previewed %q, sent %q", name, previewed[name], value)
			}
		}
	}
	// What cannot be sent is told, and is no failure of the question.
	r.ask(r.backend, "PUT", "/v1/devices/d4", r.iPhone("u4", "d4", object{"tokens": object{"apns_voip": "not hexadecimal"}})).want(200)
	if got := r.ask(r.backend, "POST", "/v1/calls?dry_run=true", invite("u4")).want(200).text("legs", 0, "problem"); !strings.Contains(got, "hexadecimal") {
		t.Errorf("problem %q", got)
	}
	// A token that is part of everything else, or that JSON escapes, is masked in its place alone.
	for _, token := range []string{`"`, `e`, `a\b<c>`} {
		r.ask(r.backend, "PUT", "/v1/devices/d5", phone("u5", token)).want(200)
		body := r.ask(r.backend, "POST", "/v1/calls?dry_run=true", invite("u5")).want(200).get("legs", 0, "request", "body").(object)
		if got := body["target"].(object)["token"]; !cmp.Equal(got, []any{"***"}) {
			t.Errorf("the token %q is shown as %v", token, got)
		}
		if wake := body["payload"].(object)["extraData"].(string); !strings.Contains(wake, `"callee":"u5"`) || !strings.Contains(wake, `"token":"***"`) {
			t.Errorf("with the token %q the wake is %s", token, wake)
		}
	}
	r.ask(r.backend, "POST", "/v1/calls?dry_run=true", invite("nobody")).want(200).has("ended", "status").has("unreachable", "end_reason")
	r.ask(r.backend, "POST", "/v1/calls?dry_run=maybe", in).refused(400, api.CodeMalformed)
	r.ask(r.backend, "POST", "/v1/calls?dry_run=true", invite("u2", object{"media": "x"})).refused(422, api.CodeInvalid)
	r.ask(r.backend, "POST", "/v1/calls?dry_run=false", in).want(201)
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

// steady is a vendor's body without what differs from push to push.
func steady(t testing.TB, body []byte) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	var walk func(v any) any
	walk = func(v any) any {
		switch v := v.(type) {
		case object:
			for name, field := range v {
				switch name {
				case "biTag", "call", "leg", "token", "sent_at", "expires_at", "expires_in_ms", "ttl":
					v[name] = "…"
				case "extraData":
					v[name] = steady(t, []byte(field.(string)))
				default:
					v[name] = walk(field)
				}
			}
		case []any:
			for i := range v {
				v[i] = walk(v[i])
			}
		}
		return v
	}
	return walk(v)
}

func TestReachability(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ask(r.backend, "GET", "/v1/users/u2/reachability", nil).want(200).has(0.0, "reachable").has("unreachable", "end_reason").has("u2", "user_id")
	r.ask(r.backend, "PUT", "/v1/devices/d1", phone("u2", r.token("d1"))).want(200)
	r.ask(r.backend, "PUT", "/v1/devices/d2", phone("u2", r.token("d2"), object{"region": object{}})).want(200)
	a := r.ask(r.backend, "GET", "/v1/users/u2/reachability", nil, "Accept-Language", "zh").want(200).has(1.0, "reachable").has(nil, "end_reason").
		has("push_kit_voip", "devices", 0, "channel").has("region_unknown", "devices", 1, "reason")
	if advice := a.text("devices", 1, "advice"); !strings.Contains(advice, "请") {
		t.Errorf("advice %q", advice)
	}
	for range 3 {
		r.ask(r.backend, "POST", "/v1/calls", invite("u2")).want(201)
	}
	r.ask(r.backend, "GET", "/v1/users/u2/reachability", nil).want(200).has(0.0, "reachable").has("busy", "end_reason")
	r.ask(r.foreign, "GET", "/v1/users/u2/reachability", nil).want(200).has(0.0, "reachable")
}
