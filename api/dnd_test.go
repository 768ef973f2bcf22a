package api_test

import (
	"strings"
	"testing"
	"time"

	"github.com/pushwake/relay/api"
	"github.com/pushwake/relay/call"
)

const allDay = `{"windows": [{"from": "00:00", "to": "24:00"}], "time_zone": "Asia/Shanghai"}`

// TestDND: a wish holds from its answer on, wherever it is asked for, and for
// its user alone.
func TestDND(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const wish = "/v1/users/u2/dnd"
	r.ask(r.backend, "GET", wish, nil).refused(404, api.CodeNotFound)
	r.ask(r.backend, "DELETE", wish, nil).refused(404, api.CodeNotFound)
	r.ask(r.backend, "PUT", wish, allDay).want(200).has("u2", "user_id").has("00:00", "windows", 0, "from").has("24:00", "windows", 0, "to").
		has("Asia/Shanghai", "time_zone").has(nil, "until").has(true, "active") // before there is a device
	if days := r.ask(r.backend, "GET", wish, nil).want(200).get("windows", 0, "days"); len(days.([]any)) != 0 {
		t.Errorf("every day is %v", days)
	}
	r.ask(r.foreign, "GET", wish, nil).refused(404, api.CodeNotFound)
	r.ask(r.foreign, "DELETE", wish, nil).refused(404, api.CodeNotFound)

	r.ask(r.backend, "PUT", "/v1/devices/d1", phone("u2", r.token("d1"))).want(200).has("dnd", "reason").
		has("d1 would be skipped. The user asked not to be disturbed at this time.", "text")
	r.ask(r.backend, "GET", "/v1/devices/d1", nil).want(200).has("dnd", "reason").has(nil, "channel")
	r.ask(r.backend, "GET", "/v1/users/u2/reachability", nil).want(200).has(0.0, "reachable").has("unreachable", "end_reason").has("dnd", "devices", 0, "reason")
	r.ask(r.backend, "POST", "/v1/calls?dry_run=true", invite("u2")).want(200).has("dnd", "legs", 0, "reason").has(nil, "legs", 0, "request").has("unreachable", "end_reason")
	made := r.ask(r.backend, "POST", "/v1/calls", invite("u2")).want(201).has("ended", "status").has("unreachable", "end_reason").has("skipped", "legs", 0, "status").
		has("dnd", "legs", 0, "reason")
	eventually(t, "the notice", func() bool { // which does not disturb like a ring
		told := r.ask(r.backend, "GET", "/v1/calls/"+made.text("id")+"/timeline", nil).want(200).has("Call again later, or leave a message.", "legs", 0, "advice")
		return told.text("summary") == "It did not ring. d1 was skipped. The user asked not to be disturbed at this time. A notice of the missed call was sent to d1."
	})
	r.ask(r.backend, "GET", "/v1/calls?reason=dnd", nil).want(200).has(made.text("id"), "data", 0, "id")
	r.ask(r.jwt("u2", "d1"), "POST", "/v1/device/calls", object{"client_id": "c1", "callee": object{"user_id": "u3"}, "media": "voice"}).want(201)

	r.ask(r.backend, "PUT", wish, object{"until": "2026-01-01T08:00:00.5+08:00"}).want(200).has(false, "active").has("2026-01-01T00:00:00.500Z", "until").has(nil, "time_zone")
	r.ask(r.backend, "GET", "/v1/users/u2/reachability", nil).want(200).has(1.0, "reachable")
	later := time.Now().Add(time.Hour).UTC().Format(momentLayout)
	r.ask(r.backend, "PUT", wish, object{"windows": []any{}, "until": later}).want(200).has(true, "active").has(later, "until")
	r.ask(r.backend, "DELETE", wish, nil).want(204)
	r.ask(r.backend, "POST", "/v1/calls", invite("u2")).want(201).has("waking", "legs", 0, "status")
}

func TestBadDND(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const wish = "/v1/users/u2/dnd"
	of := func(window object) object { return object{"windows": []any{window}, "time_zone": "UTC"} }
	evening := object{"from": "22:00", "to": "07:00"}
	windows := func(n int) (all []any) {
		for range n {
			all = append(all, evening)
		}
		return all
	}
	for _, test := range []struct {
		name    string
		body    any
		pointer string
		detail  string
	}{
		{"nothing", object{}, "", "must have a window with a time_zone, or until; DELETE forgets what was set"},
		{"no window", object{"windows": []any{}, "time_zone": "UTC"}, "", "must have a window with a time_zone, or until; DELETE forgets what was set"},
		{"no time zone", object{"windows": windows(1)}, "/time_zone", "is required with windows"},
		{"too many windows", object{"windows": windows(33), "time_zone": "UTC"}, "/windows", "must have 0 to 32 items"},
		{"windows null", object{"windows": nil, "until": now()}, "/windows", "must be an array"},
		{"a window of another type", object{"windows": []any{"22:00-07:00"}, "time_zone": "UTC"}, "/windows/0", "must be an object"},
		{"an unknown field", object{"until": now(), "untill": now()}, "/untill", "there is no such field"},
		{"an unknown field of a window", of(object{"from": "22:00", "to": "07:00", "day": "mon"}), "/windows/0/day", "there is no such field"},
		{"no beginning", of(object{"to": "07:00"}), "/windows/0/from", "is required"},
		{"no end", of(object{"from": "22:00"}), "/windows/0/to", "is required"},
		{"it ends when it begins", of(object{"from": "22:00", "to": "22:00"}), "/windows/0/to", "must differ from `from`; a whole day is from 00:00 to 24:00"},
		{"it begins at the end of the day", of(object{"from": "24:00", "to": "07:00"}), "/windows/0/from", "must be a time such as 07:30"},
		{"an hour of one digit", of(object{"from": "7:00", "to": "08:00"}), "/windows/0/from", "must be a time such as 07:30"},
		{"no hour", of(object{"from": "25:00", "to": "08:00"}), "/windows/0/from", "must be a time such as 07:30"},
		{"no minute", of(object{"from": "22:00", "to": "23:60"}), "/windows/0/to", "must be a time such as 07:30"},
		{"past the day's end", of(object{"from": "22:00", "to": "24:01"}), "/windows/0/to", "must be a time such as 07:30"},
		{"minutes as a number", of(object{"from": 1320, "to": "07:00"}), "/windows/0/from", "must be a string"},
		{"no such day", of(object{"from": "22:00", "to": "07:00", "days": []any{"mon", "Tue"}}), "/windows/0/days", "must be an array of mon, tue, wed, thu, fri, sat, sun, none of them twice"},
		{"a day twice", of(object{"from": "22:00", "to": "07:00", "days": []any{"mon", "mon"}}), "/windows/0/days", "must be an array of mon, tue, wed, thu, fri, sat, sun, none of them twice"},
		{"days null", of(object{"from": "22:00", "to": "07:00", "days": nil}), "/windows/0/days", "must be an array of mon, tue, wed, thu, fri, sat, sun, none of them twice"},
		{"a day null", of(object{"from": "22:00", "to": "07:00", "days": []any{nil}}), "/windows/0/days", "must be an array of mon, tue, wed, thu, fri, sat, sun, none of them twice"},
		{"until without a zone", object{"until": "2026-11-25T08:00:00"}, "/until", "must be a time as in RFC 3339, such as 2026-11-23T09:00:00.000Z"},
		{"until in the year 10000 of UTC", object{"until": "9999-12-31T23:59:59-01:00"}, "/until", "must be a time as in RFC 3339, such as 2026-11-23T09:00:00.000Z"},
		{"until null", object{"until": nil}, "/until", "must be a string"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := r.in(t)
			r.ask(r.backend, "PUT", wish, test.body).refused(422, api.CodeInvalid).has(test.pointer, "errors", 0, "pointer").has(test.detail, "errors", 0, "detail")
		})
	}
	for _, name := range []string{"Asia", "Asia/Peking", "CST+8", "+08:00", "", "Local", "localtime", "posixrules", "posix/Asia/Shanghai", "right/Asia/Shanghai", "Asia//Shanghai", "Asia/./Shanghai", "./UTC", "../zoneinfo/UTC", "/etc/localtime", "a\x00b", strings.Repeat("A", 65)} {
		r.ask(r.backend, "PUT", wish, object{"windows": windows(1), "time_zone": name}).refused(422, api.CodeInvalid).has("/time_zone", "errors", 0, "pointer")
	}
	r.ask(r.backend, "GET", wish, nil).refused(404, api.CodeNotFound) // nothing of all that was kept
	for _, zone := range []string{"Asia/Shanghai", "America/Argentina/Buenos_Aires", "Etc/GMT+8", "UTC"} {
		r.ask(r.backend, "PUT", wish, object{"windows": windows(32), "time_zone": zone}).want(200).has(zone, "time_zone")
	}
	r.ask(r.backend, "PUT", "/v1/users/"+strings.Repeat("u", 129)+"/dnd", allDay).refused(422, api.CodeInvalid).has("", "errors", 0, "pointer")
	r.ask(r.backend, "PUT", "/v1/users/a%2Fb%20%E7%95%8C/dnd", allDay).want(200).has("a/b 界", "user_id")
	r.ask(r.jwt("u2", "d1"), "PUT", wish, allDay).refused(401, api.CodeUnauthenticated)
}

func FuzzDecodeDND(f *testing.F) {
	seed(f, allDay, `{"windows": [{"days": ["mon", "sun"], "from": "22:00", "to": "07:00"}], "time_zone": "Europe/Berlin", "until": "2026-11-25T08:00:00Z"}`, `{"until": "2026-11-25T08:00:00+08:00"}`)
	f.Fuzz(func(t *testing.T, body []byte) {
		wish, err := api.DecodeDND(body)
		check(t, body, err)
		if err != nil {
			return
		}
		if len(wish.Windows) == 0 && wish.Until.IsZero() || len(wish.Windows) > call.MaxWindows || len(wish.Windows) > 0 && wish.Zone == nil {
			t.Errorf("%s is taken for %+v", body, wish)
		}
		for _, w := range wish.Windows {
			if w.From < 0 || w.From >= call.EndOfDay || w.To < 0 || w.To > call.EndOfDay || w.From == w.To || len(w.Days) > len(call.Days) {
				t.Errorf("%s is taken for %+v", body, w)
			}
		}
		wish.Active(wish.Until)
	})
}
