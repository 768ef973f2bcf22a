package api_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/pushwake/relay/api"
	"github.com/pushwake/relay/push/pushkit/pushkitsim"
	"github.com/pushwake/relay/store/storetest"
)

// The devices of the scenario: a phone of u2 that rings and one that may not,
// a phone and a tablet of u3 that both ring, one whose user
// misses a call, and one that was installed anew.
const (
	phoneToken  = "MAMzLgIkAqEvXwR7uPq1phone1"
	abroadToken = "MAMzLgIkAqEvXwR7uPq1phone2"
	secondToken = "MAMzLgIkAqEvXwR7uPq1phone3"
	tabletToken = "MAMzLgIkAqEvXwR7uPq1tablet3"
	missedToken = "MAMzLgIkAqEvXwR7uPq1phone10"
	deadToken   = "MAMzLgIkAqEvXwR7uPq1phone7"
)

// scenario plays the API as those who call it would. An exchange behind show is
// an example in the document, under that name; of each refusal the first one
// is, under its code. All that the document promises has to happen here, but
// for what sweep does to every operation.
func (r *rig) scenario() {
	r.registers()
	r.answersAndHangsUp()
	r.refuses()
	r.doesNotRing()
	r.racesAndEnds()
	r.leavesNotices()
	r.hearsFromHuawei()
	r.dials()
	r.follows()
	r.hears()
	r.hooks()
	r.looksBack()
	r.explains()
	r.disturbsNobody()
	r.exports()
	r.crowds()
	r.speaksChinese()
	r.operates()
	r.logsOut()
}

func (r *rig) registers() {
	r.show("phone").ask(r.backend, "PUT", "/v1/devices/phone-1", `{"user_id": "u2", "platform": "harmonyos", "device_type": "phone", "system_version": "6.1.0(23)",
		"emulator": false, "environment": "production", "bundle_id": "com.example.voip", "locale": "zh-CN", "call_ui": "call_service_kit",
		"tokens": {"push_kit": "`+phoneToken+`"},
		"region": {"country": "CN", "sim_mcc": "460", "network_mcc": "460", "storefront": "CHN", "phone": "+8613800138000"}}`).want(200).has("push_kit_voip", "channel")
	r.show("abroad").ask(r.backend, "PUT", "/v1/devices/phone-2", `{"user_id": "u2", "platform": "harmonyos", "device_type": "phone", "system_version": "6.1.0(23)",
		"tokens": {"push_kit": "`+abroadToken+`"}, "region": {"sim_mcc": "454", "network_mcc": "454"}}`).want(200).has("region_not_supported", "reason")
	r.show("iphone").ask(r.backend, "PUT", "/v1/devices/iphone-4", `{"user_id": "u4", "platform": "ios", "device_type": "phone", "system_version": "17.4", "call_ui": "callkit",
		"tokens": {"apns_voip": "`+strings.Repeat("5f", 32)+`", "apns_alert": "`+strings.Repeat("a7", 32)+`"}, "region": {"storefront": "SGP"}}`).want(200)
	r.show("warned").ask(r.backend, "PUT", "/v1/devices/phone-5", `{"user_id": "u5", "platform": "harmonyos", "device_type": "phone", "system_version": "OpenHarmony-6.0.0.36",
		"region": {"sim_mcc": "46000", "network_mcc": 46000, "phone": "13800138000"}}`).want(200).has("/region/phone", "warnings", 0, "pointer")
	r.ask(r.backend, "PUT", "/v1/devices/phone-3", phone("u3", secondToken, object{"bundle_id": "com.example.voip"})).want(200)
	r.ask(r.backend, "PUT", "/v1/devices/tablet-3", phone("u3", tabletToken, object{"device_type": "tablet"})).want(200)
	r.show("phone").ask(r.backend, "GET", "/v1/devices/phone-1", nil).want(200)
	r.show("two").ask(r.backend, "GET", "/v1/users/u2/devices", nil).want(200).has("phone-2", "data", 1, "device_id")
	minted := r.show("minted").ask(r.backend, "POST", "/v1/device-tokens", `{"user_id": "u2", "device_id": "phone-1"}`).want(201).text("token")
	r.show("refreshed").ask(minted, "PUT", "/v1/device", `{"platform": "harmonyos", "device_type": "phone", "system_version": "6.1.0(23)", "live_calls": [],
		"tokens": {"push_kit": "`+phoneToken+`"}, "region": {"sim_mcc": "460"}}`).want(200).has("push_kit_voip", "channel")
}

// now is this moment as an app would write it.
func now() string { return time.Now().UTC().Format(momentLayout) }

// reportOf is one report as a body; more of its fields follow the event.
func reportOf(seq int, event string) string {
	return fmt.Sprintf(`{"seq": %d, "event": "%s", "at": "%s"}`, seq, event, now())
}

// handedOver waits until the vendor has accepted a call's wake for a device,
// and returns what the app gets of it.
func (r *rig) handedOver(call, token string) (wake object) {
	r.t.Helper()
	eventually(r.t, "the wake", func() bool {
		legs, _ := r.ask(r.backend, "GET", "/v1/calls/"+call, nil).want(200).get("legs").([]any)
		for _, l := range legs {
			if l.(object)["status"] == "waking" {
				return false
			}
		}
		return true
	})
	for _, m := range r.vendor.sim.Messages(token, 0) {
		var body struct{ Payload struct{ ExtraData string } }
		if err := json.Unmarshal(m.Body, &body); err != nil {
			r.t.Fatal(err)
		}
		var found object
		if err := json.Unmarshal([]byte(body.Payload.ExtraData), &found); err == nil && found["call"] == call {
			wake = found
		}
	}
	if wake == nil {
		r.t.Fatalf("no wake of %s at %s", call, token)
	}
	return wake
}

const invitation = `{"ref": "sip-8f3a", "callee": {"user_id": "u2"},
	"caller": {"user_id": "u1", "name": "Li Na", "avatar_url": "https://example.com/a/55",
		"enterprise": {"company": "Example", "department": "Sales", "position": "Lead", "employee_id": "7"}},
	"media": "video", "voice_answer": true, "conference": false, "ring_timeout_seconds": 45, "custom": {"room": "r9"}}`

func (r *rig) answersAndHangsUp() {
	made := r.show("waking").ask(r.backend, "POST", "/v1/calls", invitation, "Idempotency-Key", "sip-8f3a-1").want(201).has("waking", "status")
	id := made.text("id")
	wake := r.handedOver(id, phoneToken)
	app, path := wake["token"].(string), "/v1/device/calls/"+id
	r.show("ringing").ask(r.jwt("u2", "phone-1"), "GET", "/v1/device/calls", nil).want(200).has("ring", "data", 0, "verdict")
	r.show("ring").ask(app, "POST", path+"/confirm", `{"source": "push", "vendor_call_id": "vc-7f31"}`).want(200).has("ring", "verdict")
	r.show("one").ask(app, "POST", path+"/reports", reportOf(1, "ringing")).want(200).has("ringing", "call", "status")
	r.show("duplicate").ask(app, "POST", path+"/confirm", `{"source": "connection", "vendor_call_id": "vc-90aa"}`).want(200).has("duplicate", "reason")
	r.ask(app, "POST", path+"/reports", reportOf(1, "held")).refused(409, api.CodeSeqConflict)
	r.show("ring").ask(app, "GET", path, nil).want(200).has("ring", "verdict")
	r.show("several").ask(app, "POST", path+"/reports", fmt.Sprintf(`{"reports": [{"seq": 2, "event": "answered", "media": "voice", "at": "%s"}, %s, %s]}`,
		now(), reportOf(3, "active"), reportOf(4, "muted"))).want(200).has("active", "call", "status")
	r.show("active").ask(r.backend, "GET", "/v1/calls/"+id, nil).want(200).has("phone-1", "answered_by")
	r.ask(r.backend, "POST", "/v1/calls/"+id+"/cancel", nil).refused(409, api.CodeCallAnswered)
	r.ask(app, "POST", path+"/reports", reportOf(5, "rejected")).refused(409, api.CodeCallAnswered)
	r.ask(app, "POST", path+"/reports", reportOf(6, "disconnected")).want(200).has("completed", "call", "end_reason")
	r.ask(app, "POST", path+"/reports", reportOf(7, "answered")).refused(409, api.CodeCallEnded)
	r.show("stop").ask(app, "GET", path, nil).want(200).has("stop", "verdict")
	r.show("completed").ask(r.backend, "GET", "/v1/calls/"+id+"/timeline", nil).want(200).has("completed", "call", "end_reason")
}

func (r *rig) refuses() {
	r.ask(r.backend, "POST", "/v1/calls", strings.Replace(invitation, "video", "voice", 1), "Idempotency-Key", "sip-8f3a-1").refused(422, api.CodeKeyReused)
	r.ask(r.backend, "POST", "/v1/calls", `{"callee": {"user_id": "u2"}, "caller": {"user_id": ""}, "media": "smell"}`).refused(422, api.CodeInvalid)
	r.ask(r.backend, "POST", "/v1/calls", `{"callee": {"user_id": "u2"}, "caller": {"user_id": "u1"}, "media": "smell"}`).refused(422, api.CodeInvalid)
	r.whileWritten(func() {
		r.ask(r.backend, "POST", "/v1/calls", invitation, "Idempotency-Key", "sip-8f3a-2").refused(409, api.CodeInProgress)
	})
}

// whileWritten does something while another process takes its time to write
// what came under an idempotency key.
func (r *rig) whileWritten(do func()) {
	release := storetest.Hold(r.t, r.db, `LOCK TABLE idempotency_keys IN ACCESS EXCLUSIVE MODE`)
	defer release()
	do()
}

// doesNotRing has one call for each way in which a device may fail to.
func (r *rig) doesNotRing() {
	invite := func(user string) string {
		return r.ask(r.backend, "POST", "/v1/calls", `{"callee": {"user_id": "`+user+`"}, "caller": {"user_id": "u1", "name": "Li Na"}, "media": "voice", "ring_timeout_seconds": 120}`).want(201).text("id")
	}
	r.show("unreachable").ask(r.backend, "POST", "/v1/calls", `{"callee": {"user_id": "u9"}, "caller": {"user_id": "u1"}, "media": "voice"}`).want(201).has("unreachable", "end_reason")

	// The system would not show it; another app did not wake in time.
	id := invite("u3")
	r.handedOver(id, secondToken)
	r.ask(r.jwt("u3", "phone-3"), "POST", "/v1/device/calls/"+id+"/reports", fmt.Sprintf(
		`{"seq": 1, "event": "not_reported", "at": "%s", "vendor_call_id": "vc-11", "error_reason": "invalid_call", "error_code": 1007200001, "failure_cause": "other"}`, now())).want(200)
	pass := func(seconds int) {
		storetest.Exec(r.t, r.db, fmt.Sprintf(`WITH by AS (SELECT interval '%d s' AS by), leg AS (
				UPDATE legs SET handed_over_at = handed_over_at - by, confirm_due_at = confirm_due_at - by, escalated_at = escalated_at - by, no_wake_at = no_wake_at - by, deadline_at = deadline_at - by
				FROM by WHERE confirm_due_at IS NOT NULL RETURNING call_id)
			UPDATE calls SET created_at = created_at - by, expires_at = expires_at - by, deadline_at = deadline_at - by FROM by, leg WHERE id = call_id`, seconds))
	}
	for _, moment := range []struct {
		seconds int
		told    string
	}{{8, "over push_kit_alert as well: Push Kit accepted"}, {7, "not confirmed within 15 seconds"}, {45, "another VoIP push followed, since Push Kit keeps none for longer: Push Kit accepted"}} {
		pass(moment.seconds)
		eventually(r.t, moment.told, func() bool {
			return strings.Contains(r.ask(r.backend, "GET", "/v1/calls/"+id+"/timeline", nil).want(200).text("legs", 1, "text"), moment.told)
		})
	}
	r.show("canceled").ask(r.backend, "POST", "/v1/calls/"+id+"/cancel", nil).want(200).has("no_wake", "legs", 1, "status")
	r.ask(r.backend, "GET", "/v1/calls/"+id+"/timeline", nil).want(200)

	// The phone crossed a border, or is nowhere that is known, while it rang.
	for _, border := range []struct {
		country any
		code    api.Code
	}{{"HK", api.CodeRegionNotSupported}, {nil, api.CodeRegionUnknown}} {
		id := invite("u3")
		r.ask(r.backend, "PUT", "/v1/devices/phone-3", phone("u3", secondToken, object{"region": object{"country": border.country}})).want(200)
		path := "/v1/device/calls/" + id
		r.ask(r.jwt("u3", "phone-3"), "POST", path+"/confirm", `{"source": "push"}`).refused(403, border.code)
		r.ask(r.jwt("u3", "phone-3"), "POST", path+"/reports", reportOf(1, "ringing")).refused(403, border.code)
		r.ask(r.backend, "GET", "/v1/calls/"+id+"/timeline", nil).want(200)
		r.ask(r.backend, "POST", "/v1/calls/"+id+"/cancel", nil).want(200)
		r.ask(r.backend, "PUT", "/v1/devices/phone-3", phone("u3", secondToken)).want(200)
	}

	// The app was installed anew and did not say so.
	r.ask(r.backend, "PUT", "/v1/devices/phone-7", phone("u7", deadToken)).want(200)
	if err := r.vendor.sim.SetToken(deadToken, pushkitsim.Token{State: pushkitsim.Foreign}); err != nil {
		r.t.Fatal(err)
	}
	id = invite("u7")
	eventually(r.t, "the end", func() bool { return r.ask(r.backend, "GET", "/v1/calls/"+id, nil).want(200).get("status") == "ended" })
	r.show("token_dead").ask(r.backend, "GET", "/v1/calls/"+id+"/timeline", nil).want(200).has("token_dead", "call", "legs", 0, "reason")
}

// racesAndEnds: two devices answer one call, and backends end theirs.
func (r *rig) racesAndEnds() {
	id := r.ask(r.backend, "POST", "/v1/calls", invite("u3")).want(201).text("id")
	r.handedOver(id, secondToken)
	path := "/v1/device/calls/" + id
	r.ask(r.jwt("u3", "phone-3"), "POST", path+"/reports", reportOf(1, "answered")).want(200)
	r.ask(r.jwt("u3", "tablet-3"), "POST", path+"/reports", reportOf(1, "answered")).refused(409, api.CodeLostRace)
	r.ask(r.backend, "GET", "/v1/calls/"+id+"/timeline", nil).want(200) // reports that were the first to ask the gate
	r.show("completed").ask(r.backend, "POST", "/v1/calls/"+id+"/end", nil).want(200).has("completed", "end_reason")
}

// leavesNotices: a user who missed a call is told of it, where the device still
// can be.
func (r *rig) leavesNotices() {
	const device = "/v1/devices/phone-10"
	for _, can := range []bool{true, false} {
		r.ask(r.backend, "PUT", device, phone("u10", missedToken)).want(200)
		id := r.ask(r.backend, "POST", "/v1/calls", invite("u10")).want(201).text("id")
		r.handedOver(id, missedToken)
		show := "missed"
		if !can {
			show = ""
			r.ask(r.backend, "PUT", device, phone("u10", "", object{"tokens": object{"push_kit": nil}})).want(200)
		}
		r.ask(r.backend, "POST", "/v1/calls/"+id+"/cancel", nil).want(200)
		eventually(r.t, "what became of the notice", func() bool {
			told := r.ask(r.backend, "GET", "/v1/calls/"+id+"/timeline", nil).want(200)
			return told.get("data", len(told.get("data").([]any))-1, "type") != "event"
		})
		r.show(show).ask(r.backend, "GET", "/v1/calls/"+id+"/timeline", nil).want(200)
	}
}

// hearsFromHuawei: Push Kit tells what became of a push.
func (r *rig) hearsFromHuawei() {
	r.signsReceipts(callback)
	r.ask(r.backend, "PUT", "/v1/devices/phone-10", phone("u10", missedToken)).want(200)
	id := r.ask(r.backend, "POST", "/v1/calls", invite("u10")).want(201).text("id")
	r.handedOver(id, missedToken)
	locked := `{"statuses": [{"biTag": "` + r.attempts(id)[0] + `", "pushType": 10, "appPackageName": "com.example.voip", "token": "` + missedToken + `",
		"requestId": "176120040012300000000701", "deliveryStatus": {"result": 51, "timestamp": 1761200401120}}]}`
	r.show("locked").ask("", "POST", receiptsPath, locked, callbackHeader, signature(time.Now())).want(200).has("success", "message")
	r.show("locked").ask(r.backend, "GET", "/v1/calls/"+id+"/timeline", nil).want(200)
	removed := status(r.attempts(id)[0], missedToken, 2)
	removed["deliveryStatus"].(object)["timestamp"] = time.Now().UnixMilli()
	r.ask("", "POST", receiptsPath, statuses(removed), callbackHeader, signature(time.Now())).want(200)
	r.ask(r.backend, "GET", "/v1/devices/phone-10", nil).want(200).has("token_dead", "reason")
	r.ask(r.backend, "POST", "/v1/calls/"+id+"/cancel", nil).want(200)
}

func (r *rig) dials() {
	const dialed = `{"client_id": "c-17", "callee": {"user_id": "u9", "name": "Wang Wei"}, "media": "voice"}`
	app := r.jwt("u2", "phone-1")
	id := r.show("dialing").ask(app, "POST", "/v1/device/calls", dialed).want(201).has("dialing", "call", "status").text("call", "id")
	r.ask(app, "POST", "/v1/device/calls", strings.Replace(dialed, "voice", "video", 1)).refused(422, api.CodeKeyReused)
	r.ask(app, "POST", "/v1/device/calls", strings.Replace(dialed, "c-17", "c-18", 1)).refused(409, api.CodeOutgoingLimit)
	r.ask(app, "POST", "/v1/device/calls/"+id+"/reports", reportOf(1, "active")).want(200).has("active", "call", "status")
	r.ask(app, "POST", "/v1/device/calls/"+id+"/reports", reportOf(2, "disconnected")).want(200).has("completed", "call", "end_reason")
	r.whileWritten(func() {
		r.ask(app, "POST", "/v1/device/calls", strings.Replace(dialed, "c-17", "c-19", 1)).refused(409, api.CodeInProgress)
	})
	for _, device := range []struct {
		name  string
		about object
		code  api.Code
	}{
		{"abroad", object{"region": object{"country": "HK"}}, api.CodeRegionNotSupported},
		{"nowhere", object{"region": object{}}, api.CodeRegionUnknown},
		{"emulator", object{"emulator": true}, api.CodeForbidden},
	} {
		r.ask(r.backend, "PUT", "/v1/devices/"+device.name, phone("u5", "", device.about)).want(200)
		r.ask(r.jwt("u5", device.name), "POST", "/v1/device/calls", dialed).refused(403, device.code)
	}
}

// follows is a tablet that keeps a feed open, by polls and as a stream.
func (r *rig) follows() {
	app := r.jwt("u6", "watch")
	r.ask(r.backend, "PUT", "/v1/devices/watch", phone("u6", "", object{"device_type": "wearable"})).want(200)
	cursor := r.ask(app, "GET", "/v1/device/calls", nil).want(200).text("cursor")
	r.show("nothing").ask(app, "GET", "/v1/device/calls?wait=0&after="+cursor, nil).want(200)
	feed := r.follow(app, "", "Last-Event-ID", cursor)
	id := r.ask(r.backend, "POST", "/v1/calls", invite("u6")).want(201).has("connection", "legs", 0, "channel").text("id")
	feed.next(id, "ring", "")
	r.ask(r.backend, "POST", "/v1/calls", invite("u9"), "Prefer", "wait=8").want(201)
	r.ask(r.backend, "POST", "/v1/calls/"+id+"/cancel", nil).want(200)
	feed.next(id, "stop", "canceled")
	second := r.follow(app, "after="+cursor)
	feed.closed("replaced")
	second.next(id, "stop", "canceled")
	second.stop()
	r.show("stop").ask(app, "GET", "/v1/device/calls?wait=25&after="+cursor, nil).want(200).has("stop", "data", 0, "verdict")
}

// hears is a backend, and an operator, that follow what happens.
func (r *rig) hears() {
	r.ask(r.backend, "GET", "/v1/events?after=now", nil).want(200)
	start := r.cursor()
	operator := r.stream(r.admin, "/v1/admin/events?app_id=demo&type=call.created&after="+start)
	id := r.ask(r.backend, "POST", "/v1/calls", invite("u6")).want(201).text("id")
	r.show("created").ask(r.backend, "GET", "/v1/events?wait=25&limit=1&after="+start, nil).want(200).has(id, "data", 0, "call", "id")
	stream := r.stream(r.backend, "/v1/events", "Last-Event-ID", start)
	r.ask(r.backend, "POST", "/v1/calls/"+id+"/cancel", nil).want(200)
	told := stream.types("call.ended")
	if want := "call.created leg.updated call.ended"; strings.Join(told, " ") != want {
		r.t.Errorf("the stream tells %v, want %s", told, want)
	}
	stream.stop()
	filters := "type=call.ended&type=call.canceled&user_id=u6&call_id=" + id + "&after=" + start
	r.ask(r.backend, "GET", "/v1/events?"+filters, nil).refused(400, api.CodeMalformed)
	filters = strings.Replace(filters, "call.canceled", "device.registered", 1)
	page := r.show("canceled").ask(r.backend, "GET", "/v1/events?"+filters, nil).want(200).has("canceled", "data", 0, "call", "end_reason")
	r.show("nothing").ask(r.backend, "GET", "/v1/events?user_id=u6&after="+page.text("cursor"), nil).want(200)
	r.show("registered").ask(r.backend, "GET", "/v1/events?limit=1", nil).want(200).has("device.registered", "data", 0, "type")
	r.ask(r.backend, "GET", "/v1/events?after=1-zzzzzzz-0-0", nil).refused(400, api.CodeMalformed)
	if e, ok := operator.take(); !ok || e.data["call"].(object)["id"] != id {
		r.t.Errorf("an operator hears %v", e)
	}
	operator.stop()
	r.show("dead").ask(r.admin, "GET", "/v1/admin/events?app_id=demo&type=device.token_dead", nil).want(200).has("demo", "data", 0, "app_id")
	r.show("dead").ask(r.admin, "GET", "/v1/admin/events?user_id=u6&limit=1&wait=1&call_id="+id, nil).want(200).has("call.created", "data", 0, "type")
	operator = r.stream(r.admin, "/v1/admin/events", "Last-Event-ID", start)
	operator.types("call.ended")
	operator.stop()
}

// drains is the end of a stream when the process stops.
func (r *rig) drains() {
	r.t.Helper()
	stream := r.stream(r.backend, "/v1/events?after=now")
	close(r.drain)
	stream.closed("draining")
	stream.stop()
}

const historyFilters = "user_id=u2&caller_id=u1&device_id=phone-2&ref=sip-8f3a&status=ended&end_reason=completed&direction=incoming&media=video" +
	"&platform=harmonyos&reason=region_not_supported&region=HK&from=2026-11-23T00:00:00%2B08:00&to=2126-11-24T00:00:00Z"

// looksBack reads the history, by each of its filters.
func (r *rig) looksBack() {
	const filters = historyFilters + "&limit=1"
	last := func(show, bearer, path, query string) answer {
		return r.show(show).ask(bearer, "GET", path+"?"+query, nil).want(200)
	}
	id := last("found", r.backend, "/v1/calls", filters).text("data", 0, "id")
	r.ask(r.backend, "GET", "/v1/calls?status=asleep", nil).refused(400, api.CodeMalformed)
	next := last("page", r.backend, "/v1/calls", "limit=1").text("next_cursor")
	last("", r.backend, "/v1/calls", "limit=1&cursor="+next)
	last("found", r.admin, "/v1/admin/calls", "app_id=demo&"+filters).has(id, "data", 0, "id")
	next = last("page", r.admin, "/v1/admin/calls", "limit=1").text("next_cursor")
	last("", r.admin, "/v1/admin/calls", "limit=1&cursor="+next)
	r.show("completed").ask(r.admin, "GET", "/v1/admin/calls/"+id, nil).want(200).has("demo", "app_id")
	other := r.ask(r.foreign, "POST", "/v1/calls", invite("u9")).want(201).text("id")
	r.show("unreachable").ask(r.admin, "GET", "/v1/admin/calls/"+other+"/timeline", nil).want(200).has("other", "call", "app_id")
}

// explains asks what would ring, and what would be sent.
func (r *rig) explains() {
	r.show("one").ask(r.backend, "GET", "/v1/users/u2/reachability", nil).want(200).has(1.0, "reachable")
	r.ask(r.backend, "GET", "/v1/users/u9/reachability", nil).want(200).has("unreachable", "end_reason")
	r.show("plan").ask(r.backend, "POST", "/v1/calls?dry_run=true", invitation).want(200).has(1.0, "reachable")
	r.ask(r.backend, "POST", "/v1/calls?dry_run=true", invite("u9")).want(200).has("unreachable", "end_reason")
	r.oldIPhone("u8", "iphone-8")
	r.ask(r.backend, "POST", "/v1/calls?dry_run=true", invite("u8")).want(200).has(nil, "legs", 0, "request")
}

// disturbsNobody: a user wants quiet, gets it, and is there for others again.
func (r *rig) disturbsNobody() {
	const wish = "/v1/users/u2/dnd"
	until := time.Now().Add(8 * time.Hour).UTC().Format(momentLayout)
	r.show("until").ask(r.backend, "PUT", wish, `{"until": "`+until+`"}`).want(200).has(true, "active")
	r.show("nights").ask(r.backend, "PUT", wish, `{"windows": [{"days": ["mon", "tue", "wed", "thu", "fri"], "from": "22:00", "to": "07:00"},
		{"days": ["sat", "sun"], "from": "00:00", "to": "24:00"}], "time_zone": "Asia/Shanghai", "until": "`+until+`"}`).want(200).has("22:00", "windows", 0, "from")
	r.show("nights").ask(r.backend, "GET", wish, nil).want(200).has(true, "active")
	r.ask(r.backend, "GET", "/v1/users/u2/reachability", nil).want(200).has("dnd", "devices", 0, "reason")
	id := r.ask(r.backend, "POST", "/v1/calls", invite("u2")).want(201).has("dnd", "legs", 0, "reason").text("id")
	r.ask(r.backend, "GET", "/v1/calls/"+id+"/timeline", nil).want(200)
	r.ask(r.backend, "DELETE", wish, nil).want(204)
	r.ask(r.backend, "DELETE", wish, nil).refused(404, api.CodeNotFound)
	r.ask(r.backend, "GET", wish, nil).refused(404, api.CodeNotFound)
}

// exports takes the history home.
func (r *rig) exports() {
	for bearer, path := range map[string]string{r.backend: "/v1/calls/export?", r.admin: "/v1/admin/calls/export?app_id=demo&"} {
		r.show("line").ask(bearer, "GET", path+historyFilters+"&format=ndjson", nil).want(200)
		r.ask(bearer, "GET", path+historyFilters+"&format=csv", nil).want(200)
		r.ask(bearer, "GET", path+historyFilters+"&format=csv&bom=false", nil).want(200)
	}
}

// speaksChinese asks for everything that is said in words.
func (r *rig) speaksChinese() {
	const language = "Accept-Language"
	id := r.ask(r.backend, "GET", "/v1/calls?limit=1", nil).want(200).text("data", 0, "id")
	r.ask(r.backend, "GET", "/v1/calls/"+id+"/timeline", nil, language, "zh-CN").want(200)
	r.ask(r.admin, "GET", "/v1/admin/calls/"+id+"/timeline", nil, language, "zh-CN").want(200)
	for _, path := range []string{"/v1/devices/phone-2", "/v1/users/u2/devices", "/v1/users/u2/reachability"} {
		r.ask(r.backend, "GET", path, nil, language, "zh-Hant, en;q=0.1").want(200)
	}
	r.ask(r.backend, "PUT", "/v1/devices/phone-9", phone("u9", ""), language, "zh").want(200)
	own := phone("", "")
	delete(own, "user_id")
	r.ask(r.jwt("u9", "phone-9"), "PUT", "/v1/device", own, language, "zh").want(200)
	r.ask(r.backend, "POST", "/v1/calls?dry_run=true", invite("u9"), language, "zh").want(200)
}

func (r *rig) operates() {
	r.show("alive").ask("", "GET", "/healthz", nil).want(200)
	r.show("ready").ask("", "GET", "/readyz", nil).want(200)
	r.ask("", "GET", "/metrics", nil).want(200)
	r.ask("", "GET", "/openapi.yaml", nil).want(200)
}

func (r *rig) logsOut() {
	r.ask(r.jwt("u9", "unknown"), "DELETE", "/v1/device", nil).refused(404, api.CodeNotFound)
	for _, device := range []string{"one", "two"} {
		r.ask(r.backend, "PUT", "/v1/devices/"+device, phone("u6", "")).want(200)
	}
	r.ask(r.jwt("u6", "one"), "DELETE", "/v1/device", nil).want(204)
	r.ask(r.backend, "DELETE", "/v1/devices/two", nil).want(204)
}
