package api_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
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

// TestUselessEvidence: what names no country does not refuse a device, is told
// where it says something that was not understood, and leaves what is known.
func TestUselessEvidence(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	minted := r.ask(r.backend, "POST", "/v1/device-tokens", object{"user_id": "u1", "device_id": "own"}).want(201).text("token")
	own := func(region object, headers ...string) answer {
		o := phone("", r.token("own"), object{"region": region})
		delete(o, "user_id")
		return r.ask(minted, "PUT", "/v1/device", o, headers...).want(200)
	}
	backend := func(region object, headers ...string) answer {
		return r.ask(r.backend, "PUT", "/v1/devices/d1", phone("u1", r.token("d1"), object{"region": region}), headers...).want(200)
	}
	for _, c := range []struct {
		name    string
		region  object
		country any      // that is known then
		warned  []string // of which fields
	}{
		{"operators' numbers", object{"sim_mcc": "46000", "network_mcc": 46001}, "CN", nil},
		{"a number", object{"sim_mcc": 460}, "CN", nil},
		{"no SIM", object{"sim_mcc": "", "network_mcc": ""}, "CN", nil}, // what was known before stays
		{"iOS 16.4", object{"sim_mcc": "65535", "network_mcc": "--"}, "CN", nil},
		{"a phone without its country", object{"phone": "13800138000"}, "CN", []string{"/region/phone"}},
		{"nonsense", object{"sim_mcc": "46", "network_mcc": 1.5, "storefront": "Mars", "country": "\x00"}, "CN",
			[]string{"/region/country", "/region/storefront", "/region/sim_mcc", "/region/network_mcc"}},
		{"removed", object{"sim_mcc": nil, "network_mcc": nil}, nil, nil},
		{"an old storefront", object{"storefront": "143465"}, "CN", nil},
		{"that as a number", object{"storefront": 143463}, "HK", nil},
	} {
		for _, put := range []func(object, ...string) answer{own, backend} {
			a := put(c.region).has(c.country, "region", "country")
			warned := []string(nil)
			for i := range a.get("warnings").([]any) {
				warned = append(warned, a.text("warnings", i, "pointer"))
				if a.text("warnings", i, "detail") == "" {
					t.Errorf("%s: a warning without words: %s", c.name, a.body)
				}
			}
			if diff := cmp.Diff(c.warned, warned); diff != "" {
				t.Errorf("%s (-want +warned):\n%s", c.name, diff)
			}
		}
	}
	a := own(object{"phone": "13800138000"}, "Accept-Language", "zh-CN")
	if got := a.text("warnings", 0, "detail"); got != "已忽略：无法从中识别国家或地区，应为带加号的 E.164 手机号" || strings.Contains(string(a.body), "13800138000") {
		t.Errorf("in Chinese: %s", a.body)
	}
	r.ask(r.backend, "GET", "/v1/devices/d1", nil).want(200).has(nil, "warnings")
	backend(object{"country": "XQ", "storefront": nil}).has("region_unknown", "reason").has("/region/country", "warnings", 0, "pointer")
	backend(object{"country": "CN"}).has("push_kit_voip", "channel")
	backend(object{"country": "XQ"}).has("push_kit_voip", "channel").has("/region/country", "warnings", 0, "pointer")
}
