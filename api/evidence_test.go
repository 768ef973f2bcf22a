package api_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pushwake/relay/api"
)

// TestEvidenceAsPlatformsGiveIt: what names a country is read, what says nothing
// is passed over, and the rest is told; none keeps the phone from ringing.
func TestEvidenceAsPlatformsGiveIt(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	signals := func(a answer) map[string]string {
		got := map[string]string{}
		for _, s := range a.get("region", "signals").([]any) {
			got[s.(object)["source"].(string)] = s.(object)["country"].(string)
		}
		return got
	}
	for i, c := range []struct {
		region, want object
		warnings     []string
	}{
		{object{"sim_mcc": "46000", "network_mcc": "46001"}, object{"sim_mcc": "CN", "network_mcc": "CN"}, nil},
		{object{"sim_mcc": 460, "network_mcc": 46000}, object{"sim_mcc": "CN", "network_mcc": "CN"}, nil},
		{object{"sim_mcc": "", "network_mcc": "65535", "storefront": "--"}, object{}, nil},
		{object{"storefront": "CHN"}, object{"storefront": "CN"}, nil},
		{object{"storefront": "143465"}, object{"storefront": "CN"}, nil},
		{object{"storefront": "143465-19,29"}, object{"storefront": "CN"}, nil},
		{object{"storefront": 143441}, object{"storefront": "US"}, nil},
		{object{"phone": "13800138000", "sim_mcc": "460"}, object{"sim_mcc": "CN"}, []string{"/region/phone"}},
		{object{"phone": 13800138000, "sim_mcc": "000", "network_mcc": "CMCC", "storefront": "143999"}, object{}, []string{"/region/storefront", "/region/phone", "/region/sim_mcc", "/region/network_mcc"}},
		{object{"country": "China", "sim_mcc": "460"}, object{"sim_mcc": "CN"}, []string{"/region/country"}},
	} {
		a := r.ask(r.backend, "PUT", fmt.Sprintf("/v1/devices/e%d", i), phone("u2", "", object{"region": c.region})).want(200)
		want := map[string]string{}
		for source, country := range c.want {
			want[source] = country.(string)
		}
		if diff := cmp.Diff(want, signals(a)); diff != "" {
			t.Errorf("%v: %s", c.region, diff)
		}
		var warned []string
		if list, ok := a.object["warnings"].([]any); ok {
			for _, w := range list {
				warned = append(warned, w.(object)["pointer"].(string))
			}
		}
		if diff := cmp.Diff(c.warnings, warned); diff != "" {
			t.Errorf("%v: warnings %s", c.region, diff)
		}
	}
	// What was known before is removed by null alone.
	r.ask(r.backend, "PUT", "/v1/devices/d1", phone("u2", r.token("d1"), object{"region": object{"sim_mcc": "460"}})).want(200)
	for _, said := range []any{"", "65535", "nonsense"} {
		a := r.ask(r.backend, "PUT", "/v1/devices/d1", phone("u2", r.token("d1"), object{"region": object{"sim_mcc": said}})).want(200).has("push_kit_voip", "channel")
		if diff := cmp.Diff(map[string]string{"sim_mcc": "CN"}, signals(a)); diff != "" {
			t.Errorf("after %q: %s", said, diff)
		}
	}
	a := r.ask(r.backend, "PUT", "/v1/devices/d1", phone("u2", r.token("d1"), object{"region": object{"sim_mcc": nil}})).want(200)
	if got := signals(a); len(got) != 0 {
		t.Errorf("after null: %v", got)
	}
}

// TestVersionsAsDevicesWriteThem: a version that cannot be read is told as such,
// and not as a device that is too old.
func TestVersionsAsDevicesWriteThem(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, version := range []string{"OpenHarmony-6.0.0.36", "HarmonyOS 6.0", "ALN-AL00 5.0.0.102(C00E100R4P17)", "6.1.0(23)Release", "NEXT 5.0", "26.0.0(26)"} {
		r.ask(r.backend, "PUT", "/v1/devices/d1", phone("u2", r.token("d1"), object{"system_version": version})).want(200).has("push_kit_voip", "channel")
	}
	for _, version := range []string{"20", "C00E100R4P17", "unknown"} {
		a := r.ask(r.backend, "PUT", "/v1/devices/d1", phone("u2", r.token("d1"), object{"system_version": version})).want(200).
			has("device_not_supported", "reason").has("/system_version", "warnings", 0, "pointer")
		if text, advice := a.text("text"), a.text("advice"); !strings.Contains(text, `the version "`+version+`" could not be read`) || !strings.Contains(advice, "6.1.0(23)") {
			t.Errorf("%s: %q, %q", version, text, advice)
		}
	}
	old := r.ask(r.backend, "PUT", "/v1/devices/d1", phone("u2", r.token("d1"), object{"system_version": "4.2.0"})).want(200).has("device_not_supported", "reason")
	if text := old.text("text"); !strings.Contains(text, "harmonyos") && !strings.Contains(text, "HarmonyOS 4.2.0 cannot show calls") {
		t.Errorf("%q", text)
	}
}

// TestTokensThatCannotBe: what no vendor gives is refused, and the two spellings
// of a hexadecimal token are one token.
func TestTokensThatCannotBe(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	hex := strings.Repeat("aB12", 16)
	for name, tokens := range map[string][]string{
		"apns_voip":  {strings.Repeat("z", 64), "<" + hex + ">", hex + " ", hex[:63], hex[:62], hex[:32] + " " + hex[32:]},
		"apns_alert": {"not hexadecimal"},
		"push_kit":   {"MA0123456789 abcdef", "令牌令牌令牌令牌令牌令牌令牌令牌", " MA0123456789abcdef", "MA0123456789abcdef\n", "short"},
	} {
		for _, token := range tokens {
			a := r.ask(r.backend, "PUT", "/v1/devices/d1", phone("u2", "", object{"tokens": object{name: token}})).refused(422, api.CodeInvalid).
				has("/tokens/"+name, "errors", 0, "pointer")
			if detail := a.text("errors", 0, "detail"); !strings.Contains(detail, "must be") {
				t.Errorf("%q: %s", token, detail)
			}
		}
	}
	r.ask(r.backend, "PUT", "/v1/devices/long", r.iPhone("u3", "long", object{"tokens": object{"apns_voip": strings.Repeat("5f", 80)}})).want(200).has("alive", "tokens", "apns_voip", "state")
	r.ask(r.backend, "PUT", "/v1/devices/d1", r.iPhone("u2", "d1", object{"tokens": object{"apns_voip": strings.ToUpper(hex)}})).want(200)
	r.ask(r.backend, "PUT", "/v1/devices/d2", r.iPhone("u2", "d2", object{"tokens": object{"apns_voip": strings.ToLower(hex)}})).want(200)
	r.ask(r.backend, "GET", "/v1/devices/d1", nil).want(200).has(nil, "tokens", "apns_voip") // it moved
}
