package apns_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/push"
	"github.com/pushwake/relay/push/apns"
)

// TestReasons walks the table: each answer is read as its row says, and the
// row is fit to be shown.
func TestReasons(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, r := range apns.Reasons() {
		if seen[r.Name] || r.Meaning.IsZero() || r.Advice.IsZero() {
			t.Errorf("%s: twice, or without words", r.Name)
		}
		seen[r.Name] = true
		if r.Status == 0 {
			continue // the relay's own
		}
		got := apns.ParseAnswer(r.Status, "id", fmt.Appendf(nil, `{"reason":%q,"timestamp":1700000000123}`, r.Name), "")
		want := r.Answer
		want.RequestID = "id"
		if want.Token == push.TokenDead {
			want.DeadSince = time.UnixMilli(1700000000123)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-row +answer):\n%s", r.Name, diff)
		}
		if want := (call.Explanation{Meaning: r.Meaning, Advice: r.Advice}); apns.Explain(got) != want {
			t.Errorf("%s is explained as %v", r.Name, apns.Explain(got))
		}
		// Only a 410 says that a token is dead: a wrong environment or topic is
		// ours to mend, and the token lives.
		if dead := got.Token == push.TokenDead; dead != (r.Status == 410) {
			t.Errorf("%s kills the token: %v", r.Name, dead)
		}
		// No ring lasts the 15 minutes that Apple asks for after its failures.
		if got.Retry == push.RetryLater {
			t.Errorf("%s is sent again with back-off", r.Name)
		}
	}
}

func TestStatuses(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]push.Answer{
		200: {Outcome: push.Accepted, Retry: push.RetryNever, Blame: call.BlameNone, Token: push.TokenKeep},
		204: {Outcome: push.Unavailable, Reason: call.ReasonVendorUnavailable, Retry: push.RetryOnce, Blame: call.BlameVendor, Token: push.TokenKeep},
		400: {Outcome: push.Refused, Reason: call.ReasonVendorRefused, Retry: push.RetryNever, Blame: call.BlameUs, Token: push.TokenKeep},
		403: {Outcome: push.Unauthenticated, Reason: call.ReasonVendorRefused, Retry: push.RetryNever, Blame: call.BlameUs, Token: push.TokenKeep},
		410: {Outcome: push.TokenRefused, Reason: call.ReasonTokenDead, Retry: push.RetryNever, Blame: call.BlameDevice, Token: push.TokenDead},
		429: {Outcome: push.Throttled, Reason: call.ReasonVendorThrottled, Retry: push.RetryNever, Blame: call.BlameVendor, Token: push.TokenKeep},
		502: {Outcome: push.Unavailable, Reason: call.ReasonVendorUnavailable, Retry: push.RetryOnce, Blame: call.BlameVendor, Token: push.TokenKeep},
	} {
		want.Status = status
		got := apns.ParseAnswer(status, "", []byte("<html>token</html>"), "token")
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(push.Answer{}, "Message")); diff != "" {
			t.Errorf("%d (-want +got):\n%s", status, diff)
		}
		if status != 200 && got.Message != "<html>***</html>" {
			t.Errorf("%d: %q", status, got.Message)
		}
	}
}

// FuzzParseAnswer: any answer gets a verdict of the closed sets, and no secret
// comes back out.
func FuzzParseAnswer(f *testing.F) {
	for _, seed := range []struct {
		status int
		body   string
	}{
		{200, ""}, {400, `{"reason":"BadDeviceToken"}`}, {410, `{"reason":"Unregistered","timestamp":1700000000123}`},
		{410, `{"reason":"Unregistered","timestamp":"1700000000123"}`}, {410, `{"reason":7,"timestamp":{}}`}, {429, `{"reason":"TooManyRequests"}`},
		{403, `{"reason":"BadEnvironmentKeyInToken"}`}, {502, "<html>abcd</html>"}, {503, `{"reason":"abcd\u0000\ud800"}`}, {0, ""}, {410, `{"timestamp":-9223372036854775808}`},
	} {
		f.Add(seed.status, "8a1f0c6e-7f6e-4b1a-9b52-3d1c5a0e7f11", []byte(seed.body), "abcd")
	}
	f.Fuzz(func(t *testing.T, status int, id string, body []byte, token string) {
		a := apns.ParseAnswer(status, id, body, token)
		if !slices.Contains(push.Outcomes, a.Outcome) || (a.Outcome == push.Accepted) != (status == 200) {
			t.Fatalf("outcome %q of %d", a.Outcome, status)
		}
		if (a.Outcome == push.Accepted) != (a.Reason == "") || a.Reason != "" && !slices.Contains(call.Reasons, a.Reason) {
			t.Fatalf("outcome %s with reason %q", a.Outcome, a.Reason)
		}
		if len(a.Message) > 500 || len(a.RequestID) > 128 || len(a.Code) > 64 {
			t.Fatalf("too long: %d %d %d", len(a.Message), len(a.RequestID), len(a.Code))
		}
		for _, s := range []string{a.Message, a.RequestID} {
			if !utf8.ValidString(s) || strings.ContainsRune(s, 0) || token != "" && strings.Contains(s, token) {
				t.Fatalf("%q, token %q", s, token)
			}
		}
		if e := apns.Explain(a); e.Meaning.IsZero() || e.Advice.IsZero() && a.Outcome != push.Accepted {
			t.Fatal("not explained")
		}
	})
}

// FuzzBuild: whatever the caller is called, a request fits and its ids are whole.
func FuzzBuild(f *testing.F) {
	f.Add("李娜", "https://example.com/a", "zh-CN", true)
	f.Add("", "", "", false)
	f.Add("\u202e<&>\x00\xff", long, "zh_Hant", true)
	f.Add(long, "", "en", false)
	f.Fuzz(func(t *testing.T, name, avatar, locale string, voip bool) {
		channel, limit := call.APNsAlert, apns.MaxAlertPayload
		if voip {
			channel, limit = call.APNsVoIP, apns.MaxVoIPPayload
		}
		m := message(channel, token(1))
		m.Locale, m.Payload.Caller.Name, m.Payload.Caller.AvatarURL = locale, name, avatar
		r, err := apns.Build(m, bundle)
		if err != nil {
			t.Fatal(err)
		}
		body := string(r.Body())
		if len(body) > limit || !utf8.ValidString(body) || !strings.Contains(body, m.Payload.Call.String()) || !strings.Contains(body, m.Payload.Leg.String()) {
			t.Fatalf("%d bytes: %s", len(body), body)
		}
	})
}
