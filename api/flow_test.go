package api_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/pushwake/relay/api"
	"github.com/pushwake/relay/push/pushkit/pushkitsim"
)

// wakeOf waits for a device's wake at Push Kit and returns what the app gets of it.
func (r *rig) wakeOf(device string) object {
	r.t.Helper()
	var found []pushkitsim.Message
	eventually(r.t, "the wake", func() bool { found = r.vendor.sim.Messages(r.token(device), 0); return len(found) > 0 })
	var body struct {
		Payload     struct{ ExtraData string }
		PushOptions struct{ TTL int }
	}
	if err := json.Unmarshal(found[0].Body, &body); err != nil {
		r.t.Fatal(err)
	}
	payload := object{}
	if err := json.Unmarshal([]byte(body.Payload.ExtraData), &payload); err != nil {
		r.t.Fatalf("%v in %s", err, found[0].Body)
	}
	if found[0].Headers["push-type"] != "10" {
		r.t.Errorf("push-type %q", found[0].Headers["push-type"])
	}
	if ttl := body.PushOptions.TTL; ttl < 1 || ttl > 45 {
		r.t.Errorf("ttl %d", ttl)
	}
	return payload
}

func TestInviteToHangUp(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ask(r.backend, "PUT", "/v1/devices/d1", phone("u2", r.token("d1"))).want(200).has("push_kit_voip", "channel").has("alive", "tokens", "push_kit", "state")
	r.ask(r.backend, "PUT", "/v1/devices/d2", phone("u2", r.token("d2"), object{"region": object{"country": "HK"}})).want(200).
		has("region_not_supported", "reason").has(nil, "channel")

	made := r.ask(r.backend, "POST", "/v1/calls", invite("u2", object{"ref": "sip-1", "custom": object{"room": "r9"}, "caller": object{
		"user_id": "u1", "name": "Li Na", "enterprise": object{"company": "Example"},
	}})).want(201).has("waking", "status").has("skipped", "legs", 1, "status").has("region_not_supported", "legs", 1, "reason").has(1.0, "reachable")
	id := made.text("id")
	if made.header.Get("Location") != "/v1/calls/"+id {
		t.Errorf("Location %q", made.header.Get("Location"))
	}

	wake := r.wakeOf("d1")
	if wake["call"] != id || wake["leg"] != made.get("legs", 0, "id") {
		t.Errorf("the wake is of %v", wake)
	}
	app := wake["token"].(string)
	path := "/v1/device/calls/" + id
	r.ask(app, "GET", path, nil).want(200).has("ring", "verdict")
	confirmed := r.ask(app, "POST", path+"/confirm", object{"source": "push", "vendor_call_id": "pk-1"}).want(200).
		has("ring", "verdict").has("r9", "call", "custom", "room").has("confirmed", "leg", "status").has("Example", "call", "caller", "enterprise", "company")
	if left := confirmed.get("expires_in_ms").(float64); left <= 0 || left > 45000 {
		t.Errorf("expires_in_ms %v", left)
	}
	r.ask(r.backend, "GET", "/v1/calls/"+id, nil).want(200).has("waking", "status")
	ringing := report(1, "ringing")
	r.ask(app, "POST", path+"/reports", object{"reports": []any{ringing}}).want(200).has("ringing", "call", "status").has(1.0, "last_seq")
	r.ask(app, "POST", path+"/reports", ringing).want(200).has(1.0, "last_seq")
	r.ask(app, "POST", path+"/reports", report(1, "held")).refused(409, api.CodeSeqConflict).has("", "errors", 0, "pointer")
	r.ask(app, "POST", path+"/reports", object{"reports": []any{ringing, report(1, "held")}}).refused(409, api.CodeSeqConflict).has("/reports/1", "errors", 0, "pointer")
	r.ask(app, "POST", path+"/confirm", object{"source": "connection", "vendor_call_id": "other"}).want(200).has("stop", "verdict").has("duplicate", "reason").has(0.0, "expires_in_ms")
	r.ask(app, "POST", path+"/reports", object{"reports": []any{report(2, "answered", object{"media": "voice"}), report(3, "active"), report(4, "muted")}}).
		want(200).has("active", "call", "status").has("d1", "call", "answered_by").has("voice", "leg", "media")
	r.ask(r.backend, "POST", "/v1/calls/"+id+"/cancel", nil).refused(409, api.CodeCallAnswered)
	r.ask(app, "POST", path+"/reports", report(5, "disconnected")).want(200).has("completed", "call", "end_reason")
	r.ask(r.backend, "POST", "/v1/calls/"+id+"/cancel", object{}).want(200).has("completed", "end_reason")
	r.ask(r.backend, "POST", "/v1/calls/"+id+"/end", nil).want(200).has("completed", "end_reason")
	r.ask(app, "POST", path+"/reports", report(6, "answered")).refused(409, api.CodeCallEnded)

	told := r.ask(r.backend, "GET", "/v1/calls/"+id+"/timeline", nil).want(200).has("completed", "call", "end_reason")
	kinds := map[string]int{}
	var events []string
	for i, e := range told.get("data").([]any) {
		kind := e.(object)["type"].(string)
		kinds[kind]++
		if kind == "event" && told.get("data", i, "event", "type") != "leg.updated" {
			events = append(events, told.text("data", i, "event", "type"))
		}
		if kind == "attempt" {
			told.has("accepted", "data", i, "attempt", "outcome").has("80000000", "data", i, "attempt", "code").has("d1", "data", i, "device_id")
		}
		if kind == "report" && told.get("data", i, "report", "seq") == 6.0 {
			told.has("call_ended", "data", i, "report", "refused")
		}
		if kind == "decision" && told.get("data", i, "device_id") == "d2" && told.get("data", i, "advice") == nil {
			t.Error("the skipped device has no advice")
		}
	}
	if kinds["decision"] != 2 || kinds["attempt"] != 1 || kinds["confirm"] != 2 || kinds["report"] != 6 {
		t.Errorf("the timeline has %v", kinds)
	}
	if got := strings.Join(events, " "); got != "call.created call.ringing call.answered call.active call.ended" {
		t.Errorf("steps: %s", got)
	}
	r.ask(r.admin, "GET", "/v1/admin/calls/"+id, nil).want(200).has("demo", "app_id")
	r.ask(r.admin, "GET", "/v1/admin/calls/"+id+"/timeline", nil).want(200).has("demo", "call", "app_id")
	r.ask(r.admin, "GET", "/v1/admin/calls?app_id=demo", nil).want(200).has(id, "data", 0, "id").has("demo", "data", 0, "app_id")
	if left := r.ask(r.admin, "GET", "/v1/admin/calls?app_id=other", nil).want(200).get("data").([]any); len(left) != 0 {
		t.Errorf("another app has %v", left)
	}
}

func TestOneWinner(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, d := range []string{"d1", "d2"} {
		r.ask(r.backend, "PUT", "/v1/devices/"+d, phone("u2", r.token(d))).want(200)
	}
	id := r.ask(r.backend, "POST", "/v1/calls", invite("u2")).want(201).text("id")
	path := "/v1/device/calls/" + id
	answered := func(device string) answer {
		return r.ask(r.jwt("u2", device), "POST", path+"/reports", report(1, "answered"))
	}
	answered("d1").want(200).has("answered", "call", "status")
	answered("d2").refused(409, api.CodeLostRace)
	answered("d2").refused(409, api.CodeLostRace)
	r.ask(r.jwt("u2", "d2"), "POST", path+"/confirm", object{"source": "push"}).want(200).has("stop", "verdict").has("answered_elsewhere", "reason")
	r.ask(r.backend, "POST", "/v1/calls/"+id+"/end", nil).want(200).has("completed", "end_reason")
	r.ask(r.backend, "POST", "/v1/calls", invite("nobody")).want(201).has("ended", "status").has("unreachable", "end_reason")

	id = r.ask(r.backend, "POST", "/v1/calls", invite("u2", object{"media": "voice"})).want(201).text("id")
	r.ask(r.jwt("u2", "d1"), "POST", "/v1/device/calls/"+id+"/reports", report(1, "answered", object{"media": "video"})).refused(422, api.CodeInvalid)
	r.ask(r.jwt("u2", "d1"), "GET", "/v1/device/calls", nil).want(200).has(id, "data", 0, "call", "id").has("ring", "data", 0, "verdict")
	r.ask(r.backend, "POST", "/v1/calls/"+id+"/cancel", nil).want(200).has("canceled", "end_reason")
	r.ask(r.backend, "POST", "/v1/calls/"+id+"/end", nil).want(200).has("canceled", "end_reason")
	answered = func(device string) answer {
		return r.ask(r.jwt("u2", device), "POST", "/v1/device/calls/"+id+"/reports", report(2, "answered"))
	}
	answered("d2").refused(409, api.CodeCallEnded)
}

func TestHistory(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var made []string
	for i := range 7 {
		made = append(made, r.ask(r.backend, "POST", "/v1/calls", invite("h"+strconv.Itoa(i%2), object{"ref": "r" + strconv.Itoa(i)})).want(201).text("id"))
	}
	slices.Reverse(made)
	var read []string
	for cursor := ""; ; {
		page := r.ask(r.backend, "GET", "/v1/calls?limit=3"+cursor, nil).want(200)
		for i := range page.get("data").([]any) {
			read = append(read, page.text("data", i, "id"))
		}
		if page.get("next_cursor") == nil {
			break
		}
		cursor = "&cursor=" + page.text("next_cursor")
	}
	if !slices.Equal(made, read) {
		t.Errorf("pages give %v, want %v", read, made)
	}
	for query, want := range map[string]int{
		"user_id=h0": 4, "caller_id=u1": 7, "caller_id=u9": 0, "ref=r3": 1, "status=ended": 7, "status=waking": 0, "end_reason=unreachable": 7,
		"direction=outgoing": 0, "media=video": 7, "device_id=x": 0, "platform=ios": 0, "reason=no_token": 0, "region=CN": 0,
		"from=2020-01-01T00:00:00Z": 7, "to=2020-01-01T00:00:00Z": 0, "user_id=h1&ref=r1": 1,
	} {
		if got := len(r.ask(r.backend, "GET", "/v1/calls?"+query, nil).want(200).get("data").([]any)); got != want {
			t.Errorf("%s: %d calls, want %d", query, got, want)
		}
	}
}

func TestIdempotencyAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ask(r.backend, "PUT", "/v1/devices/d1", phone("u2", r.token("d1"))).want(200)
	body, err := json.Marshal(invite("u2"))
	if err != nil {
		t.Fatal(err)
	}
	answers := make([]answer, 50)
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() { answers[i] = r.ask(r.backend, "POST", "/v1/calls", body, "Idempotency-Key", "k-1") })
	}
	all.Wait()
	for _, a := range answers {
		if a.want(201); string(a.body) != string(answers[0].body) {
			t.Fatalf("answers differ:\n%s\n%s", answers[0].body, a.body)
		}
	}
	r.ask(r.backend, "POST", "/v1/calls", invite("u3"), "Idempotency-Key", "k-1").refused(422, api.CodeKeyReused)
	if got := len(r.ask(r.backend, "GET", "/v1/calls", nil).want(200).get("data").([]any)); got != 1 {
		t.Errorf("%d calls", got)
	}
	r.ask(r.foreign, "POST", "/v1/calls", invite("u3"), "Idempotency-Key", "k-1").want(201)
	r.ask(r.backend, "POST", "/v1/calls", body, "Idempotency-Key", "").refused(400, api.CodeMalformed)
	r.ask(r.backend, "POST", "/v1/calls", body, "Idempotency-Key", strings.Repeat("k", 256)).refused(400, api.CodeMalformed)
}

func TestDevices(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	token := r.token("d1")
	r.ask(r.backend, "PUT", "/v1/devices/a%2Fb", phone("u2", token)).want(200).has("a/b", "device_id").has("call_service_kit", "call_ui")
	r.ask(r.backend, "PUT", "/v1/devices/d2", phone("u2", token)).want(200)
	r.ask(r.backend, "GET", "/v1/devices/a%2Fb", nil).want(200).has("no_token", "reason").has(nil, "tokens", "push_kit") // the token moved
	r.ask(r.backend, "GET", "/v1/users/u2/devices", nil).want(200).has("a/b", "data", 0, "device_id").has("d2", "data", 1, "device_id").has(nil, "next_cursor")
	r.ask(r.backend, "PUT", "/v1/devices/d2", phone("u2", "", object{"tokens": object{"push_kit": nil}, "region": object{"country": nil}})).want(200).
		has("region_unknown", "reason").has(nil, "tokens", "push_kit")
	r.ask(r.foreign, "GET", "/v1/devices/d2", nil).refused(404, api.CodeNotFound)
	r.ask(r.foreign, "DELETE", "/v1/devices/d2", nil).refused(404, api.CodeNotFound)
	r.ask(r.backend, "DELETE", "/v1/devices/d2", object{}).want(204)
	r.ask(r.backend, "DELETE", "/v1/devices/d2", nil).refused(404, api.CodeNotFound)
	r.ask(r.backend, "GET", "/v1/devices/d2", nil).refused(404, api.CodeNotFound)
	r.ask(r.backend, "PUT", "/v1/devices/"+strings.Repeat("d", 129), phone("u2", "")).refused(422, api.CodeInvalid)
	r.ask(r.backend, "GET", "/v1/devices/%00", nil).refused(404, api.CodeNotFound)
	if got := len(r.ask(r.backend, "GET", "/v1/users/u2/devices", nil).want(200).get("data").([]any)); got != 1 {
		t.Errorf("%d devices", got)
	}
	for ui, platform := range map[string]string{"callkit": "harmonyos", "lck": "android", "call_service_kit": "ios"} {
		r.ask(r.backend, "PUT", "/v1/devices/d3", phone("u2", "", object{"call_ui": ui, "platform": platform})).refused(422, api.CodeInvalid).has("/call_ui", "errors", 0, "pointer")
	}
	r.ask(r.backend, "PUT", "/v1/devices/d3", phone("u2", "", object{"region": object{"sim_mcc": true, "phone": object{}, "country": []any{"CN"}}})).refused(422, api.CodeInvalid)
	r.ask(r.backend, "GET", "/v1/devices/d3", nil).refused(404, api.CodeNotFound)
}

func TestOwnDevice(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	own := phone("", r.token("d1"), object{"region": object{"sim_mcc": "460"}})
	delete(own, "user_id")
	first := r.ask(r.backend, "POST", "/v1/device-tokens", object{"user_id": "u2", "device_id": "d1"}).want(201).text("token")
	renewed := r.ask(first, "PUT", "/v1/device", own).want(200).has("push_kit_voip", "channel").has("u2", "user_id").text("token")
	r.ask(renewed, "GET", "/v1/device/calls", nil).want(200)
	// The phone changes accounts: the newer JWT takes the install over by
	// registering, and the old one has nothing more to say.
	next := r.ask(r.backend, "POST", "/v1/device-tokens", object{"user_id": "u3", "device_id": "d1"}).want(201).text("token")
	r.ask(next, "GET", "/v1/device/calls", nil).refused(401, api.CodeUnauthenticated)
	r.ask(next, "PUT", "/v1/device", own).want(200).has("u3", "user_id")
	r.ask(renewed, "GET", "/v1/device/calls", nil).refused(401, api.CodeUnauthenticated)
	r.ask(renewed, "DELETE", "/v1/device", nil).refused(401, api.CodeUnauthenticated)
	r.ask(first, "PUT", "/v1/device", own).refused(401, api.CodeUnauthenticated)
	r.ask(next, "GET", "/v1/device/calls", nil).want(200)
	r.ask(next, "DELETE", "/v1/device", nil).want(204)
	r.ask(next, "GET", "/v1/device/calls", nil).refused(401, api.CodeUnauthenticated)
	r.ask(next, "PUT", "/v1/device", own).refused(401, api.CodeUnauthenticated)
	eventually(t, "a new log-in to be newer than the log-out", func() bool { return r.ask(r.jwt("u3", "d1"), "PUT", "/v1/device", own).status == 200 })
}

func TestOutgoing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ask(r.backend, "PUT", "/v1/devices/d1", phone("u2", "")).want(200)
	r.ask(r.backend, "PUT", "/v1/devices/hk", phone("u2", "", object{"region": object{"country": "HK"}})).want(200)
	r.ask(r.backend, "PUT", "/v1/devices/where", phone("u2", "", object{"region": object{}})).want(200)
	r.ask(r.backend, "PUT", "/v1/devices/emulator", phone("u2", "", object{"emulator": true})).want(200)
	dial := func(device, client string, changes ...object) answer {
		body := object{"client_id": client, "callee": object{"user_id": "u9", "name": "Wang Wei"}, "media": "voice"}
		for _, c := range changes {
			for k, v := range c {
				body[k] = v
			}
		}
		return r.ask(r.jwt("u2", device), "POST", "/v1/device/calls", body)
	}
	first := dial("d1", "c-1").want(201).has("dialing", "call", "status").has("c-1", "call", "client_id")
	id := first.text("call", "id")
	if first.header.Get("Location") != "/v1/device/calls/"+id {
		t.Errorf("Location %q", first.header.Get("Location"))
	}
	dial("d1", "c-1").want(201).has(id, "call", "id")
	dial("d1", "c-1", object{"media": "video"}).refused(422, api.CodeKeyReused)
	dial("d1", "c-2").refused(409, api.CodeOutgoingLimit)
	dial("hk", "c-1").refused(403, api.CodeRegionNotSupported)
	dial("where", "c-1").refused(403, api.CodeRegionUnknown)
	dial("emulator", "c-1").refused(403, api.CodeForbidden)
	dial("unregistered", "c-1").refused(401, api.CodeUnauthenticated)
	r.ask(r.jwt("u2", "d1"), "POST", "/v1/device/calls/"+id+"/reports", report(1, "active")).want(200).has("active", "call", "status")
	r.ask(r.jwt("u2", "d1"), "POST", "/v1/device/calls/"+id+"/reports", report(2, "disconnected")).want(200).has("completed", "call", "end_reason")
	dial("d1", "c-2").want(201)
}

func TestForeignAppsCallsAreNotFound(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ask(r.backend, "PUT", "/v1/devices/d1", phone("u2", r.token("d1"))).want(200)
	id := r.ask(r.backend, "POST", "/v1/calls", invite("u2")).want(201).text("id")
	for _, p := range []string{"GET /v1/calls/%s", "GET /v1/calls/%s/timeline", "POST /v1/calls/%s/cancel", "POST /v1/calls/%s/end"} {
		method, path, _ := strings.Cut(fmt.Sprintf(p, id), " ")
		r.ask(r.foreign, method, path, nil).refused(404, api.CodeNotFound)
		r.ask(r.admin, method, path, nil).refused(401, api.CodeUnauthenticated)
	}
	if got := r.ask(r.foreign, "GET", "/v1/calls", nil).want(200).get("data").([]any); len(got) != 0 {
		t.Errorf("another app sees %v", got)
	}
	r.ask(r.backend, "GET", "/v1/admin/calls", nil).refused(401, api.CodeUnauthenticated)
	stranger := r.jwt("u7", "d7")
	r.ask(stranger, "GET", "/v1/device/calls/"+id, nil).refused(404, api.CodeNotFound)
	r.ask(stranger, "POST", "/v1/device/calls/"+id+"/confirm", object{"source": "push"}).refused(404, api.CodeNotFound)
	r.ask(stranger, "POST", "/v1/device/calls/"+id+"/reports", report(1, "ringing")).refused(404, api.CodeNotFound)
	r.ask(r.backend, "GET", "/v1/calls/"+id, nil).want(200).has("waking", "status")
}

func TestRegionAtConfirm(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ask(r.backend, "PUT", "/v1/devices/d1", phone("u2", r.token("d1"))).want(200)
	id := r.ask(r.backend, "POST", "/v1/calls", invite("u2")).want(201).text("id")
	r.ask(r.backend, "PUT", "/v1/devices/d1", phone("u2", "", object{"region": object{"country": "HK"}})).want(200).has("region_not_supported", "reason")
	r.ask(r.jwt("u2", "d1"), "POST", "/v1/device/calls/"+id+"/confirm", object{"source": "push"}).refused(403, api.CodeRegionNotSupported)
	r.ask(r.jwt("u2", "d1"), "POST", "/v1/device/calls/"+id+"/reports", report(1, "ringing")).refused(403, api.CodeRegionNotSupported)
	r.ask(r.backend, "GET", "/v1/calls/"+id, nil).want(200).has("ended", "status").has("region_not_supported", "legs", 0, "reason")
}

// TestTokenAfterLogOut: a token minted after a log-out is newer than it, however
// soon it comes.
func TestTokenAfterLogOut(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	own := phone("", "")
	delete(own, "user_id")
	for range 100 {
		token := r.ask(r.backend, "POST", "/v1/device-tokens", object{"user_id": "u2", "device_id": "d1"}).want(201).text("token")
		r.ask(token, "PUT", "/v1/device", own).want(200)
		r.ask(token, "DELETE", "/v1/device", nil).want(204)
	}
}
