package pushkit_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/push"
	"github.com/pushwake/relay/push/pushkit"
	"github.com/pushwake/relay/push/pushkit/pushkitsim"
)

// notice is the message of a missed call, or of what takes a notification back.
func notice(p call.Purpose) push.Message {
	m := message()
	m.Attempt, m.Purpose, m.Channel, m.Payload.Purpose = uuid.New(), p, call.PushKitAlert, p
	m.RingLeft = time.Minute // it says nothing here
	return m
}

func TestBuildMissedCall(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		locale, name, text string
		media              call.Media
		title, body        string
	}{
		{"zh-CN", "Li Na", "", call.Video, "Li Na", "未接视频来电"},
		{"zh-CN", "", "", call.Voice, "未接来电", "未接语音来电"},
		{"de", "Li Na", "", call.Voice, "Li Na", "Missed voice call"},
		{"", "", "", call.Video, "Missed call", "Missed video call"},
		{"de", "Li Na", "Verpasster\nAnruf", call.Voice, "Li Na", "Verpasster Anruf"},
	} {
		m := notice(call.PurposeMissedCall)
		m.Locale, m.Text, m.Payload.Media, m.Payload.Caller.Name = tt.locale, tt.text, tt.media, tt.name
		r, s := build(t, m)
		n := s.Payload.Notification
		if n == nil || r.Header.Get("push-type") != "0" || s.Options.TTL != 86400 || s.Options.BiTag != m.Attempt.String() {
			t.Fatalf("push-type %q, body %s", r.Header.Get("push-type"), r.Body)
		}
		if n.Title != tt.title || n.Body != tt.body || n.Category != "MISS_CALL" || n.AppMessageID != "missed-"+m.Payload.Call.String() {
			t.Errorf("%s: %+v", tt.locale, n)
		}
		if wake := wakeOf(t, s); wake["purpose"] != "missed_call" || wake["call"] != m.Payload.Call.String() {
			t.Errorf("wake %v", wake)
		}
		ring := message()
		ring.Channel = call.PushKitAlert
		if _, s := build(t, ring); s.Payload.Notification.NotifyID != n.NotifyID {
			t.Error("the notice does not take the place of the call's own notification")
		}
	}
}

func TestBuildRevoke(t *testing.T) {
	t.Parallel()
	m := notice(call.PurposeRevoke)
	r, err := pushkit.Build(m)
	if err != nil || r.Header.Get("push-type") != "0" {
		t.Fatalf("%v, %v", r.Header, err)
	}
	ring := message()
	ring.Channel = call.PushKitAlert
	_, s := build(t, ring)
	want := string(asJSON(t, map[string]any{"notifyId": s.Payload.Notification.NotifyID, "token": []string{testToken}}))
	if string(r.Body) != want {
		t.Errorf("body %s, want %s", r.Body, want)
	}
}

// TestNoticesNeedAnAlert: a push that starts the app is for calls that ring.
func TestNoticesNeedAnAlert(t *testing.T) {
	t.Parallel()
	for _, p := range []call.Purpose{call.PurposeMissedCall, call.PurposeRevoke} {
		m := notice(p)
		m.Channel = call.PushKitVoIP
		if _, err := pushkit.Build(m); !errors.Is(err, pushkit.ErrPurpose) {
			t.Errorf("%s over push_kit_voip: %v", p, err)
		}
	}
}

// withClient is a key file that names the app's client id.
func withClient(t *testing.T, id string) []byte {
	t.Helper()
	file, err := pushkit.AddClientID(asJSON(t, keyFields(t)), id)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// TestSimNotices: what relay sends has the effect on the phone that it is meant
// to have, and a preview shows what is sent.
func TestSimNotices(t *testing.T) {
	t.Parallel()
	clk := newClock()
	sim, v := newSim(t, clk)
	c := newClient(t, v.URL, func(c *pushkit.Config) {
		c.Now, c.KeyFile = clk.now, withClient(t, pushkitsim.ClientID(testProject))
	})
	for _, p := range call.Purposes {
		if !c.Serves(p) {
			t.Errorf("with a client id %s is not served", p)
		}
	}
	ring := message()
	ring.Channel = call.PushKitAlert
	send := func(m push.Message, want ...string) {
		t.Helper()
		if diff := cmp.Diff(taken("80000000"), verdictOf(c.Send(t.Context(), m))); diff != "" {
			t.Error(diff)
		}
		var shown []string
		for _, n := range sim.Device(testToken).Notifications {
			shown = append(shown, n.Category)
		}
		if diff := cmp.Diff(want, shown); diff != "" {
			t.Errorf("after %q: %s", m.Purpose, diff)
		}
		preview, err := c.Preview(m)
		got := sim.Messages(testToken, 0)
		last := got[len(got)-1]
		if masked := string(push.Redact(string(last.Body), 1<<20, []string{testToken})); err != nil || masked != string(preview.Body) || preview.URL != v.URL+last.Path {
			t.Errorf("sent to %s: %s\npreview of %s: %s, %v", last.Path, masked, preview.URL, preview.Body, err)
		}
	}
	send(ring, "VOIP")
	send(notice(call.PurposeMissedCall), "MISS_CALL")
	send(notice(call.PurposeRevoke))
	if got := sim.Messages(testToken, 0)[2]; got.Path != "/v1/"+pushkitsim.ClientID(testProject)+"/messages:revoke" {
		t.Errorf("revoked at %s", got.Path)
	}
	other := notice(call.PurposeRevoke)
	other.Token = "short"
	if diff := cmp.Diff(dead("80300007/tokenFormatError"), verdictOf(c.Send(t.Context(), other))); diff != "" {
		t.Error(diff)
	}
}

// TestRevokeNeedsClientID: the key file as issued does not have it.
func TestRevokeNeedsClientID(t *testing.T) {
	t.Parallel()
	v := newVendor(t, accept)
	c := newClient(t, v.URL, nil)
	if c.Serves(call.PurposeRevoke) || !c.Serves(call.PurposeMissedCall) || !c.Serves(call.PurposeRing) {
		t.Error("only a revoke needs the client id")
	}
	if diff := cmp.Diff(ours(push.NotSent), verdictOf(c.Send(t.Context(), notice(call.PurposeRevoke)))); diff != "" || len(v.requests()) != 0 {
		t.Errorf("%d requests: %s", len(v.requests()), diff)
	}
	if _, err := c.Preview(notice(call.PurposeRevoke)); !errors.Is(err, pushkit.ErrNoClientID) {
		t.Errorf("preview: %v", err)
	}
	c = newClient(t, newVendor(t, func(w http.ResponseWriter, _ *http.Request) { reply(w, 400, "80300028", "other app") }).URL,
		func(c *pushkit.Config) { c.KeyFile = withClient(t, "104") })
	if diff := cmp.Diff(ours("80300028"), verdictOf(c.Send(t.Context(), notice(call.PurposeRevoke)))); diff != "" {
		t.Error(diff)
	}
}

func TestAddClientID(t *testing.T) {
	t.Parallel()
	k, err := pushkit.ParseKeyFile(withClient(t, "104"))
	if err != nil || k.ClientID != "104" || k.ProjectID != testProject || k.PublicKey() == nil {
		t.Errorf("%v, client id %q, %v", k, k.ClientID, err)
	}
	for _, id := range []string{"", "1 2", "a/b", "é"} {
		if _, err := pushkit.AddClientID(asJSON(t, keyFields(t)), id); err == nil {
			t.Errorf("%q is taken for a client id", id)
		}
	}
	if _, err := pushkit.AddClientID([]byte("{}"), "104"); err == nil {
		t.Error("an empty key file is taken")
	}
}
