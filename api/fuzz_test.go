package api_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/pushwake/relay/api"
	"github.com/pushwake/relay/call"
)

// check wants an error that a client's bad body may have: it cannot be read, or
// fields of it are wrong, each with a pointer into the body.
func check(t *testing.T, body []byte, err error) {
	t.Helper()
	if err == nil {
		return
	}
	code, pointers := api.ErrorCode(err)
	if code == api.CodeInvalid && len(pointers) > 0 {
		for _, p := range pointers {
			if p != "" && !strings.HasPrefix(p, "/") {
				t.Errorf("pointer %q", p)
			}
		}
		return
	}
	if code != api.CodeMalformed {
		t.Errorf("%s: %q is told as %s", body, err, code)
	}
}

func seed(f *testing.F, bodies ...string) {
	for _, b := range append(bodies, "", "{}", "null", "[]", "{", `{"a":1}`, `{"\u0000":"\u0000"}`) {
		f.Add([]byte(b))
	}
}

func FuzzDecodeInvite(f *testing.F) {
	seed(f, `{"ref": "sip-8f3", "callee": {"user_id": "u2"},
 "caller": {"user_id": "u1", "name": "Li Na", "avatar_url": "https://example.com/a", "enterprise": {"company": "c", "department": "d", "position": "p", "employee_id": "e"}},
 "media": "video", "voice_answer": true, "conference": false, "ring_timeout_seconds": 45, "custom": {"room": "r9"}}`,
		`{"callee": {"user_id": "u2"}, "caller": {"user_id": "u1"}, "media": "voice", "ring_timeout_seconds": 4.5e1}`)
	f.Fuzz(func(t *testing.T, body []byte) {
		in, err := api.DecodeInvite(body)
		check(t, body, err)
		if err == nil && (in.Callee.UserID == "" || in.Caller.UserID == "" || !slices.Contains(call.AllMedia, in.Media) || in.Ring < call.MinRing || in.Ring > call.MaxRing ||
			len(in.Custom) > call.MaxCustomBytes || strings.ContainsRune(in.Ref+in.Caller.Name, 0)) {
			t.Errorf("%s is taken for %+v", body, in)
		}
	})
}

func FuzzDecodeReports(f *testing.F) {
	seed(f, `{"reports": [{"seq": 1, "event": "ringing", "at": "2026-11-23T09:00:00.000Z"}, {"seq": 2, "event": "answered", "media": "voice", "at": "2026-11-23T09:00:00+08:00"}]}`,
		`{"seq": 3, "event": "not_reported", "at": "2026-11-23T09:00:00Z", "error_reason": "voip_call_exists", "error_code": 1007200003, "failure_cause": "route_busy"}`)
	f.Fuzz(func(t *testing.T, body []byte) {
		reports, _, err := api.DecodeReports(body)
		check(t, body, err)
		if err != nil {
			return
		}
		if len(reports) < 1 || len(reports) > 100 {
			t.Errorf("%d reports", len(reports))
		}
		for _, r := range reports {
			if r.Seq < 1 || !slices.Contains(call.ReportEvents, r.Event) || r.At.Year() < 1969 || r.Media != "" && r.Event != call.ReportAnswered {
				t.Errorf("%s is taken for %+v", body, r)
			}
		}
	})
}

func FuzzDecodeRegistration(f *testing.F) {
	seed(f, `{"user_id": "u2", "platform": "harmonyos", "device_type": "phone", "system_version": "6.1.0(23)", "emulator": false, "environment": "production",
 "bundle_id": "com.example.voip", "tokens": {"push_kit": "MA0"}, "locale": "zh-CN", "call_ui": "call_service_kit",
 "region": {"country": "CN", "sim_mcc": "460", "network_mcc": "460", "storefront": "CHN", "phone": "+8613800138000"}}`,
		`{"platform": "ios", "device_type": "tablet", "system_version": "17.4", "tokens": {"apns_voip": null, "apns_alert": "5F5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5F"}, "region": {"country": null, "sim_mcc": 46000, "network_mcc": "65535", "phone": "13800138000", "storefront": "143465"}, "live_calls": ["0192f0c4-7f6e-7b1a-9b52-3d1c5a0e7f11"]}`)
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, byBackend := range []bool{true, false} {
			in, err := api.DecodeRegistration(body, byBackend)
			check(t, body, err)
			for name, token := range in.Tokens {
				if normal, ok := name.Normal(token); err == nil && token != "" && (!ok || normal != token) {
					t.Errorf("%s is taken with the token %q", body, token)
				}
			}
			for source, country := range in.Region {
				if iso, ok := call.CountryOfISO(country); err == nil && country != "" && (!ok || iso != country) {
					t.Errorf("%s is taken with the %s %q", body, source, country)
				}
			}
			if err == nil && (byBackend != (in.Device.UserID != "") || !slices.Contains(call.Platforms, in.Device.Platform) || !slices.Contains(call.Presentations, in.Device.CallUI)) {
				t.Errorf("%s is taken for %+v", body, in)
			}
		}
	})
}

func FuzzDecodeConfirm(f *testing.F) {
	seed(f, `{"vendor_call_id": "pk-1", "source": "push"}`, `{"source": "connection"}`)
	f.Fuzz(func(t *testing.T, body []byte) {
		in, err := api.DecodeConfirm(body)
		check(t, body, err)
		if err == nil && !slices.Contains(call.Sources, in.Source) {
			t.Errorf("%s is taken for %+v", body, in)
		}
	})
}

func FuzzDecodeReceipts(f *testing.F) {
	seed(f, `{"statuses": [{"biTag": "0192f0c4-8a10-7c55-8d21-0b9f8e6a4c02", "pushType": 10, "appPackageName": "com.example.voip", "token": "MAMzLgFixtureToken0001",
		"requestId": "176120040012300000000701", "deliveryStatus": {"result": 0, "timestamp": 1761200401120}}]}`,
		`{"statuses": [{"formStatus": {"formId": "1", "result": 0, "timestamp": 1}}, null, 7, {"biTag": 7, "deliveryStatus": []}]}`)
	f.Fuzz(func(t *testing.T, body []byte) {
		receipts, err := api.DecodeReceipts(body)
		check(t, body, err)
		for _, r := range receipts {
			if r.Result < 0 || r.ToldAt.Year() > 9999 {
				t.Errorf("%s: %+v", body, r)
			}
		}
	})
}
