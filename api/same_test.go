package api_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/pushwake/relay/api"
	"github.com/pushwake/relay/store/storetest"
)

// saidBy is the hash of a JSON text.
func saidBy(t testing.TB, text string) [32]byte {
	t.Helper()
	h, err := api.SaidBy([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return h
}

// TestSaidBy has groups of texts: those of one say the same, and no two groups do.
func TestSaidBy(t *testing.T) {
	t.Parallel()
	groups := [][]string{
		{`{"a":1,"b":[true,null]}`, "{ \"b\" : [ true, null ],\n\t\"a\":1 }", `{"\u0061":1,"b":[true,null]}`, `{"b":[true,null],"a":1.0}`, `{"a":2,"b":[true,null],"a":1}`},
		{`{"a":1,"b":[null,true]}`},
		{`{"a":1,"b":["true",null]}`},
		{`{"a":"1","b":[true,null]}`},
		{`{"a":1,"b":[true]}`},
		{`{"a":1}`},
		{`{"A":1}`},
		{`{"a":[1]}`},
		{`{"a":{"b":1},"c":2}`, `{"c":2,"a":{"b":1}}`},
		{`{"a":{"b":1,"c":2}}`},
		{`[]`}, {`[[]]`}, {`{}`}, {`[{}]`}, {`[null]`}, {`[false]`}, {`[true]`}, {`[""]`}, {`["",""]`}, {`["s0:"]`},
		{`["é"]`, `["\u00e9"]`, `["\u00E9"]`}, {`["e\u0301"]`}, // composed or not is a difference
		{`["😀"]`, `["\ud83d\ude00"]`},
		{`["/"]`, `["\/"]`}, {`["\\/"]`}, {`["\n"]`, `["\u000a"]`},
		{`["<&>"]`, `["\u003c\u0026\u003e"]`},
		{`[0]`, `[-0]`, `[0.0]`, `[0e5]`, `[-0.000E+10]`},
		{`[45]`, `[45.0]`, `[4.5e1]`, `[4.5E+1]`, `[450e-1]`, `[0.045e3]`, `[45e0]`, `[4.5e01]`, `[4.5e+0000000000000000000000001]`},
		{`[-45]`, `[-4.5e1]`}, {`[450]`, `[45e1]`}, {`[4.5]`}, {`[0.45]`, `[45e-2]`}, {`["45"]`},
		{`[9007199254740992]`}, {`[9007199254740993]`, `[9007199254740993.0]`}, // one float64
		{`[0.1]`}, {`[0.1000000000000000055511151231257827]`}, // so are these
		{`[1e400]`, `[10e399]`}, {`[1e401]`}, {`[1e-400]`}, {`[1e99999999999999999999]`, `[10e99999999999999999998]`}, {`[1e99999999999999999998]`},
	}
	seen := map[[32]byte]string{}
	for _, group := range groups {
		first := saidBy(t, group[0])
		if other, taken := seen[first]; taken {
			t.Errorf("%s and %s are taken for the same", other, group[0])
		}
		seen[first] = group[0]
		for _, text := range group[1:] {
			if saidBy(t, text) != first {
				t.Errorf("%s and %s are taken for different", group[0], text)
			}
		}
	}
}

// FuzzSaidBy serializes what it gets anew, in two ways: all say the same, and a
// change says something else.
func FuzzSaidBy(f *testing.F) {
	seed(f, `{"b": [1.50, -0, 1e3], "a": {"\u00e9": "\ud83d\ude00", "": null}}`, `[1e99999, 12345678901234567890]`)
	f.Fuzz(func(t *testing.T, body []byte) {
		decoder := json.NewDecoder(bytes.NewReader(body))
		decoder.UseNumber()
		var v any
		if !json.Valid(body) || decoder.Decode(&v) != nil {
			return
		}
		anew, err := json.Marshal(v) // sorted, compact, with other escapes
		if err != nil {
			return
		}
		var wide bytes.Buffer
		if err := json.Indent(&wide, body, " ", "\t"); err != nil {
			t.Fatal(err)
		}
		said := saidBy(t, string(body))
		if saidBy(t, string(anew)) != said || saidBy(t, wide.String()) != said {
			t.Errorf("%s is not what %s says", anew, body)
		}
		if saidBy(t, "["+string(body)+"]") == said {
			t.Errorf("a list of %s is taken for it", body)
		}
	})
}

// TestRepeatsSpelledAnew: a client that serializes its request anew gets the
// answer to the first one, to the byte.
func TestRepeatsSpelledAnew(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ask(r.backend, "PUT", "/v1/devices/d1", phone("u1", r.token("d1"))).want(200)
	device := r.jwt("u1", "d1")
	for _, test := range []struct {
		name, bearer, path string
		same, other        []string
	}{
		{"invite", r.backend, "/v1/calls", []string{
			`{"ref": "sip-1", "callee": {"user_id": "u2"}, "caller": {"user_id": "u1", "name": "李娜"}, "media": "voice", "ring_timeout_seconds": 45, "custom": {"n": 1.50, "m": 9007199254740993}}`,
			`{"custom":{"m":9007199254740993,"n":1.5},"ring_timeout_seconds":4.5e1,"media":"voice","caller":{"name":"\u674e\u5a1c","user_id":"u1"},"callee":{"user_id":"u2"},"ref":"sip\u002d1"}`,
		}, []string{
			`{"ref": "sip-1", "callee": {"user_id": "u2"}, "caller": {"user_id": "u1", "name": "李娜"}, "media": "voice", "ring_timeout_seconds": 45, "custom": {"n": 1.50, "m": 9007199254740992}}`,
			`{"ref": "sip-1", "callee": {"user_id": "u2"}, "caller": {"user_id": "u1", "name": "李娜"}, "media": "voice", "ring_timeout_seconds": 46, "custom": {"n": 1.50, "m": 9007199254740993}}`,
		}},
		{"dial", device, "/v1/device/calls", []string{
			`{"client_id": "c1", "callee": {"user_id": "u2", "name": "李娜"}, "media": "voice"}`,
			` {"media":"voice","callee":{"name":"\u674E\u5A1C","user_id":"u2"},"client_id":"c\u0031"} `,
		}, []string{
			`{"client_id": "c1", "callee": {"user_id": "u2", "name": "李娜"}, "media": "video"}`,
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := r.in(t)
			ask := func(body string) answer { return r.ask(test.bearer, "POST", test.path, body, "Idempotency-Key", "k1") }
			first := ask(test.same[0]).want(201)
			asBefore := func() {
				t.Helper()
				for _, body := range test.same {
					if again := ask(body).want(201); !bytes.Equal(again.body, first.body) {
						t.Errorf("%s gets %s, not %s", body, again.body, first.body)
					}
				}
				for _, body := range test.other {
					ask(body).refused(422, api.CodeKeyReused)
				}
			}
			asBefore()

			// A key that an earlier version remembered, by the bytes: the same bytes are
			// a repeat, and what differs is refused as it was.
			id, _ := first.object["id"].(string)
			if id == "" {
				id = first.text("call", "id")
			}
			storetest.Exec(t, r.db, `UPDATE idempotency_keys SET body_hash = sha256(convert_to($$`+test.same[0]+`$$, 'UTF8')) WHERE call_id = '`+id+`'`)
			if again := ask(test.same[0]).want(201); !bytes.Equal(again.body, first.body) {
				t.Errorf("by its bytes it gets %s, not %s", again.body, first.body)
			}
			for _, body := range slices.Concat(test.same[1:], test.other) {
				ask(body).refused(422, api.CodeKeyReused)
			}
		})
	}
}

// TestSaidByLongNumbers has one number fill a body.
func TestSaidByLongNumbers(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("9", 60<<10)
	a, b := saidBy(t, "[1e"+long+"]"), saidBy(t, "[10e"+long+"]")
	if a == b {
		t.Error("powers of ten that differ by one are taken for the same")
	}
	if saidBy(t, "["+long+"0]") != saidBy(t, "["+long+"e1]") {
		t.Error("a long number is not the same in another spelling")
	}
}
