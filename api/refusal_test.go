package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pushwake/relay/api"
)

func TestBadBodies(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ask(r.backend, "PUT", "/v1/devices/d1", phone("u2", r.token("d1"))).want(200)
	id := r.ask(r.backend, "POST", "/v1/calls", invite("u2")).want(201).text("id")
	device := r.jwt("u2", "d1")
	confirm, reports := "/v1/device/calls/"+id+"/confirm", "/v1/device/calls/"+id+"/reports"
	long := func(n int) string { return strings.Repeat("界", n) }
	many := make([]any, 101)
	for i := range many {
		many[i] = report(i+1, "muted")
	}
	for _, test := range []struct {
		name, bearer, method, path string
		body                       any
		status                     int
		code                       api.Code
		pointer                    string
	}{
		{"empty", r.backend, "POST", "/v1/calls", "", 400, api.CodeMalformed, ""},
		{"cut off", r.backend, "POST", "/v1/calls", `{"media":`, 400, api.CodeMalformed, ""},
		{"two values", r.backend, "POST", "/v1/calls", `{}{}`, 400, api.CodeMalformed, ""},
		{"not UTF-8", r.backend, "POST", "/v1/calls", "{\"ref\":\"\xff\",\"callee\":{\"user_id\":\"u2\"},\"caller\":{\"user_id\":\"u1\"},\"media\":\"voice\"}", 400, api.CodeMalformed, ""},
		{"64 KiB and one", r.backend, "POST", "/v1/calls", `{"ref":"` + strings.Repeat("r", 64<<10+1-10) + `"}`, 413, api.CodeTooLarge, ""},
		{"64 KiB", r.backend, "POST", "/v1/calls", `{"ref":"` + strings.Repeat("r", 64<<10-10) + `"}`, 422, api.CodeInvalid, "/ref"},
		{"array", r.backend, "POST", "/v1/calls", `[]`, 422, api.CodeInvalid, ""},
		{"null", r.backend, "POST", "/v1/calls", `null`, 422, api.CodeInvalid, ""},
		{"unknown field", r.backend, "POST", "/v1/calls", invite("u2", object{"a/b~": 1}), 422, api.CodeInvalid, "/a~1b~0"},
		{"unknown field of the caller", r.backend, "POST", "/v1/calls", invite("u2", object{"caller": object{"user_id": "u1", "x": 1}}), 422, api.CodeInvalid, "/caller/x"},
		{"field in other case", r.backend, "POST", "/v1/calls", invite("u2", object{"Ref": "r"}), 422, api.CodeInvalid, "/Ref"},
		{"no callee", r.backend, "POST", "/v1/calls", object{"caller": object{"user_id": "u1"}, "media": "voice"}, 422, api.CodeInvalid, "/callee"},
		{"callee of another type", r.backend, "POST", "/v1/calls", invite("u2", object{"callee": "u2"}), 422, api.CodeInvalid, "/callee"},
		{"callee null", r.backend, "POST", "/v1/calls", invite("u2", object{"callee": nil}), 422, api.CodeInvalid, "/callee"},
		{"empty user", r.backend, "POST", "/v1/calls", invite(""), 422, api.CodeInvalid, "/callee/user_id"},
		{"long user", r.backend, "POST", "/v1/calls", invite(long(129)), 422, api.CodeInvalid, "/callee/user_id"},
		{"NUL", r.backend, "POST", "/v1/calls", invite("u2", object{"ref": "a\x00b"}), 422, api.CodeInvalid, "/ref"},
		{"media", r.backend, "POST", "/v1/calls", invite("u2", object{"media": "smell"}), 422, api.CodeInvalid, "/media"},
		{"flag null", r.backend, "POST", "/v1/calls", invite("u2", object{"conference": nil}), 422, api.CodeInvalid, "/conference"},
		{"short ring", r.backend, "POST", "/v1/calls", invite("u2", object{"ring_timeout_seconds": 9}), 422, api.CodeInvalid, "/ring_timeout_seconds"},
		{"broken ring", r.backend, "POST", "/v1/calls", invite("u2", object{"ring_timeout_seconds": 45.5}), 422, api.CodeInvalid, "/ring_timeout_seconds"},
		{"ring as text", r.backend, "POST", "/v1/calls", invite("u2", object{"ring_timeout_seconds": "45"}), 422, api.CodeInvalid, "/ring_timeout_seconds"},
		{"custom null", r.backend, "POST", "/v1/calls", invite("u2", object{"custom": nil}), 422, api.CodeInvalid, "/custom"},
		{"custom array", r.backend, "POST", "/v1/calls", invite("u2", object{"custom": []any{}}), 422, api.CodeInvalid, "/custom"},
		{"custom too long", r.backend, "POST", "/v1/calls", invite("u2", object{"custom": object{"a": strings.Repeat("x", 2048)}}), 422, api.CodeInvalid, "/custom"},
		{"avatar", r.backend, "POST", "/v1/calls", invite("u2", object{"caller": object{"user_id": "u1", "avatar_url": "ftp://x/y"}}), 422, api.CodeInvalid, "/caller/avatar_url"},
		{"cancel with fields", r.backend, "POST", "/v1/calls/" + id + "/cancel", object{"why": "x"}, 422, api.CodeInvalid, "/why"},
		{"end with an array", r.backend, "POST", "/v1/calls/" + id + "/end", `[]`, 422, api.CodeInvalid, ""},
		{"delete with fields", r.backend, "DELETE", "/v1/devices/d1", object{"x": 1}, 422, api.CodeInvalid, "/x"},
		{"device without user", r.backend, "PUT", "/v1/devices/d9", object{"platform": "ios", "device_type": "phone", "system_version": "17.4"}, 422, api.CodeInvalid, "/user_id"},
		{"own device with user", device, "PUT", "/v1/device", phone("u2", ""), 422, api.CodeInvalid, "/user_id"},
		{"token name", r.backend, "PUT", "/v1/devices/d9", phone("u2", "", object{"tokens": object{"fcm": "x"}}), 422, api.CodeInvalid, "/tokens/fcm"},
		{"empty token", r.backend, "PUT", "/v1/devices/d9", phone("u2", "", object{"tokens": object{"push_kit": ""}}), 422, api.CodeInvalid, "/tokens/push_kit"},
		{"token with a blank", r.backend, "PUT", "/v1/devices/d9", phone("u2", "MA 0"), 422, api.CodeInvalid, "/tokens/push_kit"},
		{"token in Chinese", device, "PUT", "/v1/device", object{"platform": "harmonyos", "device_type": "phone", "system_version": "6.1.0(23)", "tokens": object{"push_kit": "令牌"}}, 422, api.CodeInvalid, "/tokens/push_kit"},
		{"token no text", r.backend, "PUT", "/v1/devices/d9", phone("u2", "", object{"tokens": object{"push_kit": 7}}), 422, api.CodeInvalid, "/tokens/push_kit"},
		{"APNs token with a blank", r.backend, "PUT", "/v1/devices/d9", r.iPhone("u2", "d9", object{"tokens": object{"apns_voip": strings.Repeat("5f", 32) + " "}}), 422, api.CodeInvalid, "/tokens/apns_voip"},
		{"APNs token printed by NSData", r.backend, "PUT", "/v1/devices/d9", r.iPhone("u2", "d9", object{"tokens": object{"apns_alert": "<" + strings.Repeat("abcd1234 ", 7) + "abcd1234>"}}), 422, api.CodeInvalid, "/tokens/apns_alert"},
		{"short APNs token", r.backend, "PUT", "/v1/devices/d9", r.iPhone("u2", "d9", object{"tokens": object{"apns_alert": "abcd"}}), 422, api.CodeInvalid, "/tokens/apns_alert"},
		{"half a byte more", r.backend, "PUT", "/v1/devices/d9", r.iPhone("u2", "d9", object{"tokens": object{"apns_voip": strings.Repeat("5f", 32) + "5"}}), 422, api.CodeInvalid, "/tokens/apns_voip"},
		{"token with NUL", r.backend, "PUT", "/v1/devices/d9", phone("u2", "a\x00b"), 422, api.CodeInvalid, "/tokens/push_kit"},
		{"country no text", r.backend, "PUT", "/v1/devices/d9", phone("u2", "", object{"region": object{"country": true}}), 422, api.CodeInvalid, "/region/country"},
		{"SIM no text", device, "PUT", "/v1/device", object{"platform": "harmonyos", "device_type": "phone", "system_version": "6.1.0(23)", "region": object{"sim_mcc": []any{"460"}}}, 422, api.CodeInvalid, "/region/sim_mcc"},
		{"region field", r.backend, "PUT", "/v1/devices/d9", phone("u2", "", object{"region": object{"ip": "1.1.1.1"}}), 422, api.CodeInvalid, "/region/ip"},
		{"device token", r.backend, "POST", "/v1/device-tokens", object{"user_id": "u2"}, 422, api.CodeInvalid, "/device_id"},
		{"dial", device, "POST", "/v1/device/calls", object{"client_id": "c", "callee": object{}, "media": "voice"}, 422, api.CodeInvalid, "/callee/user_id"},
		{"confirm", device, "POST", confirm, object{"source": "rumour"}, 422, api.CodeInvalid, "/source"},
		{"confirm with a long id", device, "POST", confirm, object{"source": "push", "vendor_call_id": long(257)}, 422, api.CodeInvalid, "/vendor_call_id"},
		{"no reports", device, "POST", reports, object{"reports": []any{}}, 422, api.CodeInvalid, "/reports"},
		{"too many reports", device, "POST", reports, object{"reports": many}, 422, api.CodeInvalid, "/reports"},
		{"report of another type", device, "POST", reports, object{"reports": []any{report(1, "muted"), 7}}, 422, api.CodeInvalid, "/reports/1"},
		{"both forms", device, "POST", reports, report(1, "muted", object{"reports": []any{report(1, "muted")}}), 422, api.CodeInvalid, "/at"},
		{"seq 0", device, "POST", reports, report(0, "muted"), 422, api.CodeInvalid, "/seq"},
		{"seq too high", device, "POST", reports, report(1<<31, "muted"), 422, api.CodeInvalid, "/seq"},
		{"event", device, "POST", reports, report(1, "sneezed"), 422, api.CodeInvalid, "/event"},
		{"time with a comma", device, "POST", reports, report(1, "muted", object{"at": "2026-11-23T09:00:00,5Z"}), 422, api.CodeInvalid, "/at"},
		{"time of one digit", device, "POST", reports, report(1, "muted", object{"at": "2026-11-23T9:00:00Z"}), 422, api.CodeInvalid, "/at"},
		{"time long past", device, "POST", reports, report(1, "muted", object{"at": "1969-01-01T00:00:00Z"}), 422, api.CodeInvalid, "/at"},
		{"media of a mute", device, "POST", reports, report(1, "muted", object{"media": "voice"}), 422, api.CodeInvalid, "/media"},
		{"cause of a mute", device, "POST", reports, report(1, "muted", object{"failure_cause": "other"}), 422, api.CodeInvalid, "/failure_cause"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := r.in(t)
			a := r.ask(test.bearer, test.method, test.path, test.body).refused(test.status, test.code)
			if test.code == api.CodeInvalid {
				a.has(test.pointer, "errors", 0, "pointer")
			}
		})
	}
	for _, kind := range []string{"text/plain", "", "application/jsonp", "multipart/form-data; boundary=x"} {
		r.ask(r.backend, "POST", "/v1/calls", invite("u2"), "Content-Type", kind).refused(415, api.CodeUnsupportedMedia)
	}
	// Nothing of all that was kept.
	r.ask(r.backend, "GET", "/v1/calls", nil).want(200).has(id, "data", 0, "id").has(nil, "next_cursor").has("waking", "data", 0, "status")
	if got := len(r.ask(r.backend, "GET", "/v1/calls", nil).get("data").([]any)); got != 1 {
		t.Errorf("%d calls", got)
	}
	if got := len(r.ask(r.backend, "GET", "/v1/users/u2/devices", nil).want(200).get("data").([]any)); got != 1 {
		t.Errorf("%d devices", got)
	}
	for _, e := range r.ask(r.backend, "GET", "/v1/calls/"+id+"/timeline", nil).want(200).get("data").([]any) {
		if kind := e.(object)["type"]; kind == "report" || kind == "confirm" {
			t.Errorf("the timeline has a %s", kind)
		}
	}
	// What is unusual and good.
	r.ask(r.backend, "POST", "/v1/calls", invite(long(128), object{"ring_timeout_seconds": 45.0, "ref": ""}), "Content-Type", "Application/JSON; charset=utf-8").want(201)
}

func TestBadRequests(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const nobody = "/v1/calls/0192f0c4-7f6e-7b1a-9b52-3d1c5a0e7f11"
	for _, query := range []string{
		"x=1", "limit=0", "limit=201", "limit=ten", "limit=", "limit=5&limit=6", "status=lost", "end_reason=x", "direction=up", "media=x", "platform=x", "reason=x",
		"region=XQ", "from=yesterday", "from=2026-11-23T9:00:00Z", "to=1969-01-01T00:00:00Z", "cursor=x", "cursor=" + strings.Repeat("A", 22) + "AA", "ref=%00",
		"ref=%ff", "ref=%zz", "user_id=" + strings.Repeat("u", 513),
	} {
		t.Run(query[:min(len(query), 20)], func(t *testing.T) {
			r := r.in(t)
			r.ask(r.backend, "GET", "/v1/calls?"+query, nil).refused(400, api.CodeMalformed)
			r.ask(r.admin, "GET", "/v1/admin/calls?"+query, nil).refused(400, api.CodeMalformed)
		})
	}
	r.ask(r.backend, "GET", "/v1/calls?app_id=demo", nil).refused(400, api.CodeMalformed)
	r.ask(r.backend, "POST", "/v1/calls?wait=5", invite("u2")).refused(400, api.CodeMalformed)
	r.ask(r.jwt("u2", "d1"), "GET", "/v1/device/calls?limit=25", nil).refused(400, api.CodeMalformed)
	for _, path := range []string{nobody, "/v1/calls/7", "/v1/calls/%7B0192f0c4-7f6e-7b1a-9b52-3d1c5a0e7f11%7D", "/v1/calls/0192f0c47f6e7b1a9b523d1c5a0e7f11", "/v1/nothing", "/v1", "/v1/calls/"} {
		r.ask(r.backend, "GET", path, nil).refused(404, api.CodeNotFound)
	}
	r.ask(r.jwt("u2", "d1"), "GET", "/v1/device/calls/7", nil).refused(404, api.CodeNotFound)
	r.ask("", "GET", "/v1/device/calls/7", nil).refused(401, api.CodeUnauthenticated)
	for request, allow := range map[string]string{
		"DELETE /v1/calls": "GET, HEAD, POST", "PATCH /v1/devices/d1": "DELETE, GET, HEAD, PUT", "GET /v1/device": "DELETE, PUT", "POST " + nobody: "GET, HEAD",
		"PATCH /v1/devices/a%2Fb": "DELETE, GET, HEAD, PUT", "POST /healthz": "GET, HEAD", "POST /": "GET, HEAD", "TRACE /v1/device-tokens": "POST",
	} {
		method, path, _ := strings.Cut(request, " ")
		if got := r.ask(r.backend, method, path, nil).refused(405, api.CodeMethodNotAllowed).header.Get("Allow"); got != allow {
			t.Errorf("%s: Allow %q, want %q", request, got, allow)
		}
	}
	r.ask(r.backend, "GET", "/v1/calls", nil, "Accept", "text/html").refused(406, api.CodeNotAcceptable)
	r.ask(r.backend, "GET", "/v1/calls", nil, "Accept", "text/html, application/*;q=0.1").want(200)
	if got := r.ask("", "GET", "/healthz", nil, "X-Request-Id", "mine-1").want(200).header.Get("X-Request-Id"); got != "mine-1" {
		t.Errorf("X-Request-Id %q", got)
	}
	if got := r.ask("", "GET", "/healthz", nil, "X-Request-Id", "not mine").want(200).header.Get("X-Request-Id"); got == "not mine" {
		t.Error("any X-Request-Id is taken")
	}
	r.ask("", "GET", "/readyz", nil, "Accept", "text/html").want(200)
	r.ask("", "GET", "/metrics", nil).want(200)
	if got := r.ask("", "GET", "/openapi.yaml", nil).want(200).body; !strings.HasPrefix(string(got), "openapi: 3.1.0\n") {
		t.Errorf("the document begins %.20q", got)
	}
}

func TestBadTokens(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	stranger, err := api.NewTokens([][]byte{[]byte("another master key of 32 bytes..")})
	if err != nil {
		t.Fatal(err)
	}
	now := r.store.Now()
	other, _, err := stranger.Device(app, "u2", "d1", now)
	if err != nil {
		t.Fatal(err)
	}
	expired, _, err := r.tokens.Device(app, "u2", "d1", now.Add(-api.DeviceTokenFor-time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	none, err := jwt.NewWithClaims(jwt.SigningMethodNone, jwt.MapClaims{"aud": "device", "exp": now.Add(time.Hour).Unix(), "app": app, "usr": "u2", "dev": "d1"}).
		SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		t.Fatal(err)
	}
	r.ask(r.backend, "PUT", "/v1/devices/d1", phone("u2", r.token("d1"))).want(200)
	id := r.ask(r.backend, "POST", "/v1/calls", invite("u2")).want(201).text("id")
	second := r.ask(r.backend, "POST", "/v1/calls", invite("u2")).want(201).text("id")
	wake := r.wakeOf("d1")
	good := r.jwt("u2", "d1")
	bad := map[string]string{
		"none": "", "alg none": none, "other key": other, "expired": expired, "wake's": wake["token"].(string), "cut": good[:len(good)-3], "a key": r.backend, "nonsense": "x.y.z",
	}
	for name, token := range bad {
		t.Run(name, func(t *testing.T) {
			r := r.in(t)
			a := r.ask(token, "GET", "/v1/device/calls", nil).refused(401, api.CodeUnauthenticated)
			if a.header.Get("WWW-Authenticate") != "Bearer" {
				t.Errorf("WWW-Authenticate %q", a.header.Get("WWW-Authenticate"))
			}
			if name != "wake's" {
				r.ask(token, "POST", "/v1/device/calls/"+id+"/confirm", object{"source": "push"}).refused(401, api.CodeUnauthenticated)
				r.ask(token, "PUT", "/v1/device", object{}).refused(401, api.CodeUnauthenticated)
			}
			if name != "a key" {
				r.ask(token, "GET", "/v1/calls", nil).refused(401, api.CodeUnauthenticated)
			}
			r.ask(token, "GET", "/v1/admin/calls", nil).refused(401, api.CodeUnauthenticated)
		})
	}
	// A wake's token is for its own call alone.
	path := map[bool]string{true: second, false: id}[wake["call"] == id]
	r.ask(wake["token"].(string), "GET", "/v1/device/calls/"+path, nil).refused(404, api.CodeNotFound)
	r.ask(good, "GET", "/v1/device/calls", nil).want(200)
	r.ask("rk_unknown", "GET", "/v1/calls", nil).refused(401, api.CodeUnauthenticated)
	for _, header := range []string{"Basic dTpw", "Bearer", r.backend} {
		r.ask("", "GET", "/v1/calls", nil, "Authorization", header).refused(401, api.CodeUnauthenticated)
	}
	r.ask("", "GET", "/v1/calls", nil, "Authorization", fmt.Sprint("bearer ", r.backend)).want(http.StatusOK)
}
