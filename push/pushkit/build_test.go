package pushkit_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/push"
	"github.com/pushwake/relay/push/pushkit"
)

// sent is the request body as the vendor reads it.
type sent struct {
	Payload struct {
		ExtraData    *string `json:"extraData"`
		Notification *struct {
			Category    string `json:"category"`
			Title       string `json:"title"`
			Body        string `json:"body"`
			ClickAction struct {
				ActionType int             `json:"actionType"`
				Data       json.RawMessage `json:"data"`
			} `json:"clickAction"`
			NotifyID     int64  `json:"notifyId"`
			AppMessageID string `json:"appMessageId"`
		} `json:"notification"`
	} `json:"payload"`
	Target struct {
		Token []string `json:"token"`
	} `json:"target"`
	Options struct {
		TTL   int    `json:"ttl"`
		BiTag string `json:"biTag"`
	} `json:"pushOptions"`
}

func decode(t testing.TB, body []byte) sent {
	t.Helper()
	var s sent
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return s
}

// wakeOf returns the wake inside a request, whichever channel it is for.
func wakeOf(t testing.TB, s sent) map[string]any {
	t.Helper()
	var text []byte
	switch {
	case s.Payload.ExtraData != nil:
		text = []byte(*s.Payload.ExtraData)
	case s.Payload.Notification != nil:
		text = s.Payload.Notification.ClickAction.Data
	}
	var wake map[string]any
	if err := json.Unmarshal(text, &wake); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	return wake
}

func build(t testing.TB, m push.Message) (pushkit.Request, sent) {
	t.Helper()
	r, err := pushkit.Build(m)
	if err != nil {
		t.Fatal(err)
	}
	return r, decode(t, r.Body)
}

func TestBuildVoIP(t *testing.T) {
	t.Parallel()
	m := message()
	r, s := build(t, m)
	if got := r.Header.Get("push-type"); got != "10" {
		t.Errorf("push-type %q", got)
	}
	if got := r.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type %q", got)
	}
	if s.Options.BiTag != m.Attempt.String() || s.Options.TTL != 45 || s.Payload.Notification != nil {
		t.Errorf("body %s", r.Body)
	}
	if diff := cmp.Diff([]string{testToken}, s.Target.Token); diff != "" {
		t.Error(diff)
	}
	wake := wakeOf(t, s)
	if wake["call"] != m.Payload.Call.String() || wake["leg"] != m.Payload.Leg.String() || wake["token"] != legToken || wake["media"] != "video" {
		t.Errorf("wake %v", wake)
	}
	caller, _ := wake["caller"].(map[string]any)
	if caller["name"] != "Li Na" || caller["avatar_url"] == nil || caller["enterprise"] == nil {
		t.Errorf("caller %v", caller)
	}
}

func TestBuildAlert(t *testing.T) {
	t.Parallel()
	tests := []struct {
		locale, name string
		media        call.Media
		title, body  string
	}{
		{"zh-CN", "Li Na", call.Video, "Li Na", "视频来电"},
		{"zh_Hans_CN", "", call.Voice, "来电", "语音来电"},
		{"ZH", "李娜", call.Voice, "李娜", "语音来电"},
		{"zha", "Li Na", call.Voice, "Li Na", "Incoming voice call"},
		{"en-GB", "  \n\t", call.Video, "Incoming call", "Incoming video call"},
		{"", "a\u202eb\nc\x00", call.Video, "a b c", "Incoming video call"},
		{"", strings.Repeat("好", 100), call.Video, strings.Repeat("好", 42), "Incoming video call"},
	}
	for _, tt := range tests {
		t.Run(tt.locale+"/"+tt.title, func(t *testing.T) {
			t.Parallel()
			m := message()
			m.Channel, m.Locale, m.Payload.Media, m.Payload.Caller.Name = call.PushKitAlert, tt.locale, tt.media, tt.name
			m.RingLeft = 119*time.Second + 999*time.Millisecond
			r, s := build(t, m)
			n := s.Payload.Notification
			if n == nil || s.Payload.ExtraData != nil || r.Header.Get("push-type") != "0" {
				t.Fatalf("push-type %q, body %s", r.Header.Get("push-type"), r.Body)
			}
			if n.Title != tt.title || n.Body != tt.body || n.Category != "VOIP" || n.ClickAction.ActionType != 0 {
				t.Errorf("notification %+v", n)
			}
			if n.AppMessageID != m.Payload.Call.String() || n.NotifyID < 0 || n.NotifyID > 2147483647 {
				t.Errorf("ids %q %d", n.AppMessageID, n.NotifyID)
			}
			if s.Options.TTL != 119 {
				t.Errorf("ttl %d: an alert lives to the end of the ring", s.Options.TTL)
			}
			if wake := wakeOf(t, s); wake["leg"] != m.Payload.Leg.String() || wake["token"] != legToken {
				t.Errorf("wake %v", wake)
			}
		})
	}
}

func TestBuildAlertOfMinimalPolicyNamesNobody(t *testing.T) {
	t.Parallel()
	m := message()
	m.Channel, m.Payload.Caller = call.PushKitAlert, nil
	r, s := build(t, m)
	if s.Payload.Notification.Title != "来电" || bytes.Contains(r.Body, []byte("Li Na")) {
		t.Errorf("body %s", r.Body)
	}
}

func TestBuildAlertNotifyIDIsTheCalls(t *testing.T) {
	t.Parallel()
	first := message()
	first.Channel = call.PushKitAlert
	second, other := first, first
	second.Attempt, second.Payload.Leg = uuid.New(), uuid.New()
	other.Payload.Call = uuid.MustParse("0192f0c4-7f6e-7b1a-9b52-3d1c5a0e7fff")
	id := func(m push.Message) int64 {
		_, s := build(t, m)
		return s.Payload.Notification.NotifyID
	}
	if id(first) != id(second) || id(first) == id(other) {
		t.Errorf("notifyId %d, %d of a second attempt, %d of another call", id(first), id(second), id(other))
	}
}

func TestBuildTTL(t *testing.T) {
	t.Parallel()
	tests := []struct {
		left        time.Duration
		voip, alert int
	}{
		{-time.Minute, 1, 1},
		{0, 1, 1},
		{999 * time.Millisecond, 1, 1},
		{1999 * time.Millisecond, 1, 1},
		{3 * time.Second, 3, 3},
		{59*time.Second + 999*time.Millisecond, 59, 59},
		{60 * time.Second, 60, 60},
		{61 * time.Second, 60, 61},
		{2 * time.Minute, 60, 120},
		{1 << 62, 60, 1296000},
	}
	for _, tt := range tests {
		m := message()
		m.RingLeft = tt.left
		if _, s := build(t, m); s.Options.TTL != tt.voip {
			t.Errorf("%v left: ttl %d, want %d", tt.left, s.Options.TTL, tt.voip)
		}
		m.Channel = call.PushKitAlert
		if _, s := build(t, m); s.Options.TTL != tt.alert {
			t.Errorf("alert, %v left: ttl %d, want %d", tt.left, s.Options.TTL, tt.alert)
		}
	}
}

func TestBuildKeepsTheLimit(t *testing.T) {
	t.Parallel()
	for _, channel := range []call.Channel{call.PushKitVoIP, call.PushKitAlert} {
		m := message()
		m.Channel = channel
		m.Token = strings.Repeat("M", 5000) // not counted
		m.Payload.Caller.Enterprise.Company = strings.Repeat("c", 4000)
		_, s := build(t, m)
		caller := wakeOf(t, s)["caller"].(map[string]any)
		if caller["enterprise"] != nil || caller["avatar_url"] == nil || caller["name"] != "Li Na" {
			t.Errorf("%s: enterprise goes first, alone: %v", channel, caller)
		}
		m.Payload.Caller.AvatarURL = strings.Repeat("a", 4000)
		_, s = build(t, m)
		if caller = wakeOf(t, s)["caller"].(map[string]any); caller["avatar_url"] != nil || caller["name"] != "Li Na" {
			t.Errorf("%s: the avatar goes next: %v", channel, caller)
		}
		m.Payload.Caller.Name = strings.Repeat("娜", 4000)
		r, s := build(t, m)
		name, _ := wakeOf(t, s)["caller"].(map[string]any)["name"].(string)
		if size := len(r.Body) - len(m.Token) - 2; size > pushkit.MaxBody || size < pushkit.MaxBody-8 || !utf8.ValidString(name) {
			t.Errorf("%s: %d bytes counted, a name of %d", channel, size, len(name))
		}
		m.Payload.Callee = strings.Repeat("u", 4000)
		if _, err := pushkit.Build(m); !errors.Is(err, call.ErrPayloadTooLarge) {
			t.Errorf("%s: got %v where the ids alone do not fit", channel, err)
		}
	}
}

func TestBuildAlertGivesUpItsTitleBeforeAnID(t *testing.T) {
	t.Parallel()
	m := message()
	m.Channel, m.Locale = call.PushKitAlert, ""
	m.Payload.Caller.Name = strings.Repeat("n", 128)
	fallback := 0
	for n := 3000; n < 4096; n++ {
		m.Payload.Callee = strings.Repeat("u", n)
		r, err := pushkit.Build(m)
		if err != nil {
			break
		}
		if decode(t, r.Body).Payload.Notification.Title == "Incoming call" {
			fallback++
		}
	}
	if fallback < 100 {
		t.Errorf("the title gave way for %d sizes only", fallback)
	}
}

func TestBuildRefuses(t *testing.T) {
	t.Parallel()
	m := message()
	m.Token = ""
	if _, err := pushkit.Build(m); !errors.Is(err, pushkit.ErrNoToken) {
		t.Errorf("got %v", err)
	}
	for _, channel := range []call.Channel{call.APNsVoIP, call.APNsAlert, call.Connection, ""} {
		m := message()
		m.Channel = channel
		if _, err := pushkit.Build(m); !errors.Is(err, pushkit.ErrChannel) {
			t.Errorf("%q: got %v", channel, err)
		}
	}
}

// FuzzBuild: whatever the texts are, the body is JSON within the limit with all
// ids in it, or the ids themselves are too long.
func FuzzBuild(f *testing.F) {
	f.Add("Li Na", "https://example.com/a/55", "Example", "acct-8841", testToken, "zh-CN", true, false, int64(45e9))
	f.Add("", "", "", "", "M", "", false, true, int64(-1))
	f.Add("\x00\xff\u2028<&>\"\\", "\\\"", strings.Repeat("\x01", 700), "u\x00", "a/b+c\"", "zh_TW", true, true, int64(1))
	f.Add(strings.Repeat("👩‍👧", 900), strings.Repeat("\xff", 900), "", strings.Repeat("<", 400), testToken, "en", false, true, int64(1)<<62)
	f.Add(strings.Repeat("\"", 5000), "", "", "u", testToken, "", true, false, int64(60e9))
	f.Fuzz(func(t *testing.T, name, avatar, company, callee, token, locale string, video, alert bool, left int64) {
		m := message()
		m.Token, m.Locale, m.RingLeft, m.Payload.Callee = token, locale, time.Duration(left), callee
		m.Payload.Caller.Name, m.Payload.Caller.AvatarURL, m.Payload.Caller.Enterprise.Company = name, avatar, company
		if !video {
			m.Payload.Media = call.Voice
		}
		if alert {
			m.Channel = call.PushKitAlert
		}
		r, err := pushkit.Build(m)
		if err != nil {
			// A byte takes seven at most, inside JSON inside JSON.
			tooLong := errors.Is(err, call.ErrPayloadTooLarge) && len(callee) > 300
			if !tooLong && !(errors.Is(err, pushkit.ErrNoToken) && token == "") {
				t.Fatalf("callee of %d bytes: %v", len(callee), err)
			}
			return
		}
		if !json.Valid(r.Body) || !utf8.Valid(r.Body) {
			t.Fatalf("not JSON: %q", r.Body)
		}
		list := bytes.Index(r.Body, []byte(`"target":{"token":[`))
		end := bytes.LastIndex(r.Body, []byte(`]},"pushOptions":`))
		if list < 0 || end < list {
			t.Fatalf("no token list: %q", r.Body)
		}
		if size := len(r.Body) - (end - list - len(`"target":{"token":[`)); size > 4096 {
			t.Fatalf("%d bytes without the token", size)
		}
		s := decode(t, r.Body)
		if len(s.Target.Token) != 1 || utf8.ValidString(token) && s.Target.Token[0] != token {
			t.Fatalf("token %q became %q", token, s.Target.Token)
		}
		if s.Options.BiTag != m.Attempt.String() || s.Options.TTL < 1 {
			t.Fatalf("options %+v", s.Options)
		}
		wake := wakeOf(t, s)
		if wake["call"] != m.Payload.Call.String() || wake["leg"] != m.Payload.Leg.String() || wake["token"] != legToken {
			t.Fatalf("an id is missing: %v", wake)
		}
		if n := s.Payload.Notification; alert && (n == nil || n.Title == "" || n.Body == "" || n.AppMessageID != m.Payload.Call.String()) {
			t.Fatalf("notification %+v", n)
		}
	})
}
