package api_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pushwake/relay/api"
	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/store"
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

// oldIPhone is one that was registered when any text was taken for a token.
func (r *rig) oldIPhone(user, device string) {
	r.t.Helper()
	_, err := r.store.PutDevice(r.t.Context(), store.Registration{
		AppID:  app,
		Device: call.Device{ID: device, UserID: user, Platform: call.IOS, Type: call.Phone, SystemVersion: "26.1", Environment: "production", CallUI: call.CallKit},
		Tokens: map[call.TokenName]string{call.TokenAPNsVoIP: "not hexadecimal", call.TokenAPNsAlert: "not hexadecimal either"},
		Region: map[call.EvidenceSource]string{call.FromBackend: "DE"},
	})
	if err != nil {
		r.t.Fatal(err)
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
	r.oldIPhone("u4", "d4")
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
