package call_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/pushwake/relay/call"
)

// within is a vendor's limit on the payload alone.
func within(limit int) func([]byte) bool {
	return func(b []byte) bool { return len(b) <= limit }
}

func wake(edit func(*call.WakePayload)) call.WakePayload {
	p := call.WakePayload{
		Call: uuid.UUID{15: 1}, Leg: uuid.UUID{15: 2}, Token: "tok", Callee: "u2", Presentation: call.CallServiceKit, Media: call.Video,
		VoiceAnswer: true, SentAt: start, ExpiresAt: start.Add(45 * time.Second), Enterprise: true,
		Caller: &call.Party{UserID: "u1", Name: "李娜", AvatarURL: "https://example.com/a.png", Enterprise: &call.Enterprise{Company: "Acme", EmployeeID: "7"}},
	}
	if edit != nil {
		edit(&p)
	}
	return p
}

func encode(t *testing.T, p call.WakePayload, limit int) map[string]any {
	t.Helper()
	b, err := p.Encode(within(limit))
	if err != nil {
		t.Fatalf("limit %d: %v", limit, err)
	}
	var got map[string]any
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestPayloadFields(t *testing.T) {
	t.Parallel()
	ms := float64(start.UnixMilli())
	caller := map[string]any{
		"user_id": "u1", "name": "李娜", "avatar_url": "https://example.com/a.png",
		"enterprise": map[string]any{"company": "Acme", "employee_id": "7"},
	}
	want := map[string]any{
		"v": 1.0, "call": "00000000-0000-0000-0000-000000000001", "leg": "00000000-0000-0000-0000-000000000002", "token": "tok", "callee": "u2",
		"presentation": "call_service_kit", "media": "video", "voice_answer": true, "conference": false,
		"sent_at": ms, "expires_at": ms + 45000, "expires_in_ms": 45000.0, "caller": caller,
	}
	if diff := cmp.Diff(want, encode(t, wake(nil), 4096)); diff != "" {
		t.Error(diff)
	}

	got := encode(t, wake(func(p *call.WakePayload) { p.Enterprise = false }), 4096)
	delete(caller, "enterprise")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("without the right to the enterprise:\n%s", diff)
	}

	got = encode(t, wake(func(p *call.WakePayload) { p.Caller = nil }), 4096)
	delete(want, "caller")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("minimal:\n%s", diff)
	}

	got = encode(t, wake(func(p *call.WakePayload) { p.SentAt = p.ExpiresAt.Add(time.Second) }), 4096)
	if got["expires_in_ms"] != 0.0 {
		t.Errorf("a wake sent too late expires in %v ms", got["expires_in_ms"])
	}
}

// TestPayloadDropOrder lowers the limit byte by byte: first the enterprise
// goes, then the avatar, then the name gets shorter, and no id ever goes.
func TestPayloadDropOrder(t *testing.T) {
	t.Parallel()
	p := wake(nil)
	full, err := p.Encode(within(1 << 20))
	if err != nil {
		t.Fatal(err)
	}
	stage, stages := 0, []string{}
	for limit := len(full); ; limit-- {
		b, err := p.Encode(within(limit))
		if errors.Is(err, call.ErrPayloadTooLarge) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(b) > limit {
			t.Fatalf("%d bytes within %d", len(b), limit)
		}
		var got struct {
			Call, Leg, Token, Callee string
			Caller                   struct {
				ID         string `json:"user_id"`
				Name       string
				Avatar     string `json:"avatar_url"`
				Enterprise map[string]string
			}
		}
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatal(err)
		}
		if got.Call != p.Call.String() || got.Leg != p.Leg.String() || got.Token != "tok" || got.Callee != "u2" || got.Caller.ID != "u1" {
			t.Fatalf("an id is gone within %d: %s", limit, b)
		}
		has := got.Caller.Name
		if got.Caller.Avatar != "" {
			has += " avatar"
		}
		if got.Caller.Enterprise != nil {
			has += " enterprise"
		}
		if len(stages) == 0 || stages[stage] != has {
			stages = append(stages, has)
			stage = len(stages) - 1
		}
		if next, err := p.Encode(within(len(b))); err != nil || string(next) != string(b) {
			t.Fatalf("%d bytes do not fit %d bytes: %v", len(b), len(b), err)
		}
	}
	want := []string{"李娜 avatar enterprise", "李娜 avatar", "李娜", "李", ""}
	if diff := cmp.Diff(want, stages); diff != "" {
		t.Error(diff)
	}
}

// TestPayloadLimit takes the longest name that fits, to the byte.
func TestPayloadLimit(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{4096, 5120} { // Push Kit and APNs alerts; APNs VoIP
		p := wake(func(p *call.WakePayload) { p.Caller = &call.Party{UserID: "u1", Name: strings.Repeat("x", 2*limit)} })
		b, err := p.Encode(within(limit))
		if err != nil || len(b) != limit {
			t.Errorf("%d bytes within %d, %v", len(b), limit, err)
		}
		p.Caller.Name = strings.Repeat("娜", limit)
		if b, err = p.Encode(within(limit)); err != nil || len(b) > limit || len(b) <= limit-len("娜") || strings.ContainsRune(string(b), utf8.RuneError) {
			t.Errorf("%d bytes within %d, %v", len(b), limit, err)
		}
	}
	if _, err := wake(nil).Encode(within(100)); !errors.Is(err, call.ErrPayloadTooLarge) {
		t.Errorf("ids that do not fit: %v", err)
	}
	if _, err := wake(func(p *call.WakePayload) { p.Caller = nil }).Encode(within(100)); !errors.Is(err, call.ErrPayloadTooLarge) {
		t.Errorf("ids that do not fit, minimal: %v", err)
	}
	if p := wake(nil); p.Caller.Name != "李娜" || p.Caller.Enterprise == nil {
		t.Error("encoding changed the caller")
	}
}

func FuzzEncode(f *testing.F) {
	f.Add("李娜", "https://example.com/a.png", 4096, true)
	f.Add("", "", 330, false)
	f.Add("a\xffb\xc3", "\x00", 340, true)
	f.Add("👩‍👩‍👧‍👦<&>\u2028\"\\", strings.Repeat("a", 300), 420, true)
	f.Add(strings.Repeat("名", 400), strings.Repeat("u", 4000), 1000, false)
	f.Fuzz(func(t *testing.T, name, avatar string, limit int, enterprise bool) {
		p := wake(func(p *call.WakePayload) { p.Enterprise, p.Caller.Name, p.Caller.AvatarURL = enterprise, name, avatar })
		b, err := p.Encode(within(limit))
		smallest, floor := wake(func(p *call.WakePayload) { p.Caller = &call.Party{UserID: "u1"} }).Encode(within(1 << 20))
		if floor != nil {
			t.Fatal(floor)
		}
		if fits := len(smallest) <= limit; fits != (err == nil) {
			t.Fatalf("limit %d, the ids need %d: %v", limit, len(smallest), err)
		}
		if err != nil {
			return
		}
		if len(b) > limit || !utf8.Valid(b) {
			t.Fatalf("%d bytes within %d, valid %v", len(b), limit, utf8.Valid(b))
		}
		var got struct {
			Call, Leg uuid.UUID
			Caller    struct {
				ID   string `json:"user_id"`
				Name string
			}
		}
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatal(err)
		}
		if got.Call != p.Call || got.Leg != p.Leg || got.Caller.ID != "u1" {
			t.Fatalf("an id is gone: %s", b)
		}
		// json writes each byte that is no UTF-8 as one U+FFFD
		if valid := string([]rune(name)); !strings.HasPrefix(valid, got.Caller.Name) {
			t.Fatalf("%q became %q", name, got.Caller.Name)
		}
	})
}
