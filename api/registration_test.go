package api_test

import (
	"strings"
	"testing"
)

// TestOneTokenInBothCases: upper and lower case of an APNs token are one token,
// which moves to whom registers it last, and long ones are kept.
func TestOneTokenInBothCases(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	long := strings.Repeat("0a1b2c3d4e", 16) // 160 digits
	tokens := func(of func(string) string) object {
		return object{"tokens": object{"apns_voip": of(r.hexToken("one")), "apns_alert": of(long)}}
	}
	r.ask(r.backend, "PUT", "/v1/devices/d1", r.iPhone("u1", "d1", tokens(strings.ToUpper))).want(200).has("apns_voip", "channel")
	r.ask(r.backend, "PUT", "/v1/devices/d2", r.iPhone("u2", "d2", tokens(strings.ToLower))).want(200).has("apns_voip", "channel")
	r.ask(r.backend, "GET", "/v1/devices/d1", nil).want(200).has("no_token", "reason").has(nil, "tokens", "apns_alert")
	r.ask(r.backend, "PUT", "/v1/devices/d1", r.iPhone("u1", "d1", tokens(strings.ToUpper))).want(200).has("apns_voip", "channel")
	r.ask(r.backend, "GET", "/v1/devices/d2", nil).want(200).has("no_token", "reason").has(nil, "tokens", "apns_alert")
}

// TestVersionThatCannotBeRead: the registration says so in both languages, and
// not that the device were too old.
func TestVersionThatCannotBeRead(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	register := func(version, language string) answer {
		return r.ask(r.backend, "PUT", "/v1/devices/d1", phone("u1", r.token("d1"), object{"system_version": version}), "Accept-Language", language).want(200)
	}
	for _, version := range []string{"OpenHarmony-6.0.0.36", "ALN-AL00 5.0.0.102(C00E100R4P17)", "6.1.0(23)Release", "NEXT 5.0", "26.0.0(26)"} {
		register(version, "en").has(nil, "reason").has("push_kit_voip", "channel").has(version, "system_version")
	}
	for _, c := range []struct{ version, language, text, advice string }{
		{"20", "en", `d1 would be skipped: the version of its system could not be read from "20".`, "an API level alone is no version"},
		{"20", "zh-CN", `无法从 "20" 中识别其系统版本`, "只有 API 级别不能作为版本号"},
		{"4.2.0", "en", "a phone with HarmonyOS 4.2.0 cannot show calls", "Ask the user to update the system"},
	} {
		a := register(c.version, c.language).has("device_not_supported", "reason")
		if text, advice := a.text("text"), a.text("advice"); !strings.Contains(text, c.text) || !strings.Contains(advice, c.advice) {
			t.Errorf("%s, %s: %q, %q", c.version, c.language, text, advice)
		}
	}
	register("20", "en")
	id := r.ask(r.backend, "POST", "/v1/calls", invite("u1")).want(201).has("device_not_supported", "legs", 0, "reason").text("id")
	told := string(r.ask(r.backend, "GET", "/v1/calls/"+id+"/timeline", nil).want(200).body)
	if !strings.Contains(told, `d1 was skipped: the version of its system could not be read from \"20\".`) || !strings.Contains(told, "an API level alone is no version") {
		t.Errorf("the timeline says %s", told)
	}
}
