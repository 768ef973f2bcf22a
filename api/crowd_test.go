package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// crowd registers devices of a user one after another and reports their ids.
func (r *rig) crowd(user string, n int, tokens bool) (ids []string) {
	for i := range n {
		ids = append(ids, fmt.Sprintf("%s-%03d", user, i))
		token := ""
		if tokens {
			token = r.token(ids[i])
		}
		r.ask(r.backend, "PUT", "/v1/devices/"+ids[i], phone(user, token)).want(200)
	}
	return ids
}

// crowds calls a user with more devices than a call keeps.
func (r *rig) crowds() {
	r.crowd("crowd", 22, false)
	r.ask(r.backend, "POST", "/v1/calls?dry_run=true", invite("crowd")).want(200).has(2.0, "more_skipped")
	id := r.ask(r.backend, "POST", "/v1/calls", invite("crowd")).want(201).has(2.0, "more_skipped").text("id")
	r.ask(r.admin, "GET", "/v1/admin/calls/"+id, nil).want(200).has(2.0, "more_skipped")
	r.ask(r.backend, "GET", "/v1/users/crowd/reachability", nil).want(200).has(2.0, "more_skipped")
	next := r.ask(r.backend, "GET", "/v1/users/crowd/devices?limit=20", nil).want(200).text("next_cursor")
	r.ask(r.backend, "GET", "/v1/users/crowd/devices?limit=2&cursor="+next, nil).want(200).has(nil, "next_cursor").has("crowd-021", "data", 1, "device_id")
}

// TestCrowd calls a user with 45 devices that could all ring: what is answered,
// told and listed of it is of no more devices than 20 and 20.
func TestCrowd(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ids := r.crowd("u2", 45, true)
	list := func(a answer, at ...any) (all []object) {
		for _, v := range a.get(at...).([]any) {
			all = append(all, v.(object))
		}
		return all
	}
	check := func(what string, devices []object) {
		t.Helper()
		var got []string
		for _, d := range devices {
			if d["reason"] != nil {
				got = append(got, fmt.Sprint(d["device_id"], " ", d["reason"]))
			} else {
				got = append(got, fmt.Sprint(d["device_id"]))
			}
		}
		var want []string
		for i, id := range ids[5:] {
			if i < 20 {
				id += " device_limit"
			}
			want = append(want, id)
		}
		if g, w := strings.Join(got, ", "), strings.Join(want, ", "); g != w {
			t.Errorf("%s: %s\nwant %s", what, g, w)
		}
	}
	plan := r.ask(r.backend, "POST", "/v1/calls?dry_run=true", invite("u2")).want(200).has(20.0, "reachable").has(5.0, "more_skipped")
	check("planned", list(plan, "legs"))
	if text := plan.text("legs", 0, "advice"); !strings.Contains(text, "--max-devices") {
		t.Errorf("advice: %s", text)
	}
	reach := r.ask(r.backend, "GET", "/v1/users/u2/reachability", nil, "Accept-Language", "zh").want(200).has(20.0, "reachable").has(5.0, "more_skipped")
	check("reachable", list(reach, "devices"))
	if text := reach.text("devices", 0, "text"); !strings.Contains(text, "不会被唤醒") || !strings.Contains(text, "上限") {
		t.Errorf("in Chinese: %s", text)
	}
	made := r.ask(r.backend, "POST", "/v1/calls", invite("u2")).want(201).has(20.0, "reachable").has(5.0, "more_skipped")
	check("called", list(made, "legs"))
	id := made.text("id")
	check("found", list(r.ask(r.backend, "GET", "/v1/calls?reason=device_limit", nil).want(200).has(id, "data", 0, "id"), "data", 0, "legs"))

	// A device without a leg has no part in the call; one with a skipped leg is told to stop.
	r.ask(r.jwt("u2", ids[0]), "POST", "/v1/device/calls/"+id+"/confirm", object{"source": "push"}).want(http.StatusNotFound)
	r.ask(r.jwt("u2", ids[5]), "POST", "/v1/device/calls/"+id+"/confirm", object{"source": "push"}).want(200).has("stop", "verdict").has("device_limit", "reason")

	r.ask(r.backend, "POST", "/v1/calls/"+id+"/cancel", nil).want(200).has(5.0, "more_skipped")
	told := r.ask(r.backend, "GET", "/v1/calls/"+id+"/timeline", nil).want(200)
	if text := told.text("data", 0, "text"); text != "The call was created. Devices that can be woken: 20 of 45. Of the skipped ones, 5 are not listed." {
		t.Errorf("the timeline begins: %s", text)
	}
	if text := told.text("summary"); !strings.Contains(text, "42 more did not ring") {
		t.Errorf("the summary: %s", text)
	}

	// The list of devices has them all, page by page.
	var all []string
	for page := ""; ; {
		a := r.ask(r.backend, "GET", "/v1/users/u2/devices?limit=20"+page, nil).want(200)
		for _, d := range list(a, "data") {
			all = append(all, fmt.Sprint(d["device_id"]))
		}
		if a.get("next_cursor") == nil {
			break
		}
		page = "&cursor=" + a.text("next_cursor")
	}
	if strings.Join(all, " ") != strings.Join(ids, " ") {
		t.Errorf("listed: %v", all)
	}
	r.ask(r.backend, "GET", "/v1/users/u2/devices?cursor=%25", nil).want(400)
	r.ask(r.backend, "GET", "/v1/users/u2/devices?limit=0", nil).want(400)
}
