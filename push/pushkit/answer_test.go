package pushkit_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/push"
	"github.com/pushwake/relay/push/pushkit"
)

// verdict is what an answer decides.
type verdict struct {
	Outcome push.Outcome
	Reason  call.Reason
	Retry   push.Retry
	Blame   call.Blame
	Token   push.TokenVerdict
	Code    string
}

func verdictOf(a push.Answer) verdict {
	return verdict{a.Outcome, a.Reason, a.Retry, a.Blame, a.Token, a.Code}
}

func taken(code string) verdict {
	return verdict{push.Accepted, "", push.RetryNever, call.BlameNone, push.TokenKeep, code}
}

func ours(code string) verdict {
	return verdict{push.Refused, call.ReasonVendorRefused, push.RetryNever, call.BlameUs, push.TokenKeep, code}
}

func unauthenticated(code string, retry push.Retry) verdict {
	return verdict{push.Unauthenticated, call.ReasonVendorRefused, retry, call.BlameUs, push.TokenKeep, code}
}

func dead(code string) verdict {
	return verdict{push.TokenRefused, call.ReasonTokenDead, push.RetryNever, call.BlameDevice, push.TokenDead, code}
}

func doubtful(code string) verdict {
	return verdict{push.TokenRefused, call.ReasonVendorRefused, push.RetryNever, call.BlameUs, push.TokenDoubtful, code}
}

func throttled(code string) verdict {
	return verdict{push.Throttled, call.ReasonVendorThrottled, push.RetryLater, call.BlameVendor, push.TokenKeep, code}
}

func unavailable(code string) verdict {
	return verdict{push.Unavailable, call.ReasonVendorUnavailable, push.RetryLater, call.BlameVendor, push.TokenKeep, code}
}

// documentedCodes is what the vendor's page says of each code, apart from the
// package's own table.
var documentedCodes = []verdict{
	taken("80000000"), taken("80100000"),
	ours("80100001"), ours("80100003"), ours("80100004"), ours("80100022"),
	unauthenticated("80200001", push.RetryOnce), unauthenticated("80200003", push.RetryOnce), unauthenticated("80200005", push.RetryOnce),
	ours("80300002"), doubtful("80300007"), ours("80300008"), ours("80300010"),
	{push.Throttled, call.ReasonVendorThrottled, push.RetryNever, call.BlameUs, push.TokenKeep, "80300029"},
	ours("80300030"), unauthenticated("80300036", push.RetryNever), ours("80300037"),
	unavailable("81000001"), unavailable("80600003"), ours("80300013"), ours("80300011"),
	ours("80100013"), ours("80100016"), ours("80100017"), ours("80100018"),
}

var documentedReasons = []verdict{
	dead("tokenFormatError"), dead("tokenPlatformNotSupport"), doubtful("noRight"), ours("noPushTypeRight"),
	ours("disableSendHuaweiMsgBecauseOfPenalty"), ours("appinfoError"), ours("countryNotSupport"),
	ours("atomicUnableSendUnsubscribedMsg"), ours("differentImgVerifyPolicy"), ours("noRightToSendThisLiveNotificationEvent"),
	ours("notSupportPlayVoice"),
}

func TestEveryDocumentedCodeUnderEveryStatus(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for _, c := range pushkit.Codes() {
		known[c.Key] = true
	}
	for _, want := range documentedCodes {
		for _, status := range []int{200, 400, 401, 500, 503} {
			body := []byte(`{"code":"` + want.Code + `","msg":"text","requestId":"R"}`)
			a := pushkit.ParseAnswer(status, body, testToken)
			if diff := cmp.Diff(want, verdictOf(a)); diff != "" {
				t.Errorf("HTTP %d: %s", status, diff)
			}
			if a.Status != status || a.RequestID != "R" || a.Message != "text" {
				t.Errorf("HTTP %d, code %s: %+v", status, want.Code, a)
			}
		}
		if !known[want.Code] {
			t.Errorf("Codes does not list %s", want.Code)
		}
	}
}

func TestEveryDocumentedReason(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"80100000", "80300007"} {
		for _, want := range documentedReasons {
			reason := want.Code
			want.Code = code + "/" + reason
			body := asJSON(t, map[string]string{
				"code": code, "msg": `{"illegalTokens":{"` + reason + `":["` + testToken + `"]},"failure":1}`, "requestId": "R",
			})
			a := pushkit.ParseAnswer(http.StatusOK, body, testToken)
			if diff := cmp.Diff(want, verdictOf(a)); diff != "" {
				t.Error(diff)
			}
			if want := "illegalTokens: " + reason + "; failure: 1"; a.Message != want {
				t.Errorf("message %q, want %q", a.Message, want)
			}
			if e := pushkit.Explain(a); e.Meaning.IsZero() || e.Advice.IsZero() {
				t.Errorf("%s is not explained", a.Code)
			}
		}
	}
}

func TestParseAnswer(t *testing.T) {
	t.Parallel()
	mine := `\"` + testToken + `\"`
	tests := []struct {
		name   string
		status int
		body   string
		want   verdict
	}{
		{"accepted", 200, `{"code":"80000000","msg":"Success","requestId":"R"}`, taken("80000000")},
		{"accepted under 400", 400, `{"code":"80000000","msg":"Success","requestId":"R"}`, taken("80000000")},
		{"code as number", 200, `{"code":80000000,"msg":"Success","requestId":176120040012300000000701}`, taken("80000000")},
		{"code with blanks", 200, `{"code":" 80200005 "}`, unauthenticated("80200005", push.RetryOnce)},
		{"partial, ours listed", 200, `{"code":"80100000","msg":"{\"illegalTokens\":{\"tokenFormatError\":[` + mine + `]},\"success\":1,\"failure\":1}"}`, dead("80100000/tokenFormatError")},
		{"partial, another listed", 200, `{"code":"80100000","msg":"{\"illegalTokens\":{\"tokenFormatError\":[\"T2\"]},\"success\":1,\"failure\":1}"}`, taken("80100000")},
		{"partial, another begins like ours", 200, `{"code":"80100000","msg":"{\"illegalTokens\":{\"tokenFormatError\":[\"` + testToken + `2\"]},\"success\":1,\"failure\":1}"}`, taken("80100000")},
		{"partial, none succeeded, token shortened", 200, `{"code":"80100000","msg":"{\"illegalTokens\":{\"noRight\":[\"MAMz...01\"]},\"success\":0,\"failure\":1}"}`, doubtful("80100000/noRight")},
		{"partial, msg is an object", 200, `{"code":"80100000","msg":{"illegalTokens":{"noRight":["` + testToken + `"]},"success":0,"failure":1}}`, doubtful("80100000/noRight")},
		{"all refused, another's reason too", 200, `{"code":"80300007","msg":"{\"failure\":2,\"illegalTokens\":{\"noPushTypeRight\":[` + mine + `],\"tokenFormatError\":[\"T2\"]}}"}`, ours("80300007/noPushTypeRight")},
		{"all refused, under two reasons", 200, `{"code":"80300007","msg":"{\"failure\":1,\"illegalTokens\":{\"tokenFormatError\":[` + mine + `],\"noPushTypeRight\":[` + mine + `]}}"}`, ours("80300007/noPushTypeRight")},
		{"all refused, two reasons, ours under none", 200, `{"code":"80300007","msg":"{\"illegalTokens\":{\"tokenFormatError\":[\"T2\"],\"noRight\":[\"T3\"]}}"}`, doubtful("80300007")},
		{"blanks inside the quotes", 400, `{"code":"80300007","msg":"{\"failure\":1,\"illegalTokens\":{\" noRight \":[` + mine + `]}}"}`, doubtful("80300007/noRight")},
		{"one token without a list", 400, `{"code":"80300007","msg":"{\"illegalTokens\":{\"noPushTypeRight\":` + mine + `}}"}`, ours("80300007/noPushTypeRight")},
		{"plain list", 400, `{"code":"80300007","msg":"{\"failure\":1,\"illegal_tokens\":[` + mine + `]}"}`, doubtful("80300007")},
		{"plain list in a partial success", 200, `{"code":"80100000","msg":"{\"success\":1,\"failure\":1,\"illegal_tokens\":[` + mine + `]}"}`, doubtful("80300007")},
		{"plain list of others", 200, `{"code":"80100000","msg":"{\"success\":1,\"failure\":1,\"illegal_tokens\":[\"T2\"]}"}`, taken("80100000")},
		{"all refused, plain text", 400, `{"code":"80300007","msg":"All the tokens are invalid."}`, doubtful("80300007")},
		{"unknown reason", 400, `{"code":"80300007","msg":"{\"illegalTokens\":{\"moonPhase\":[` + mine + `]}}"}`, ours("80300007/moonPhase")},
		{"reason that is no name", 400, `{"code":"80300007","msg":"{\"illegalTokens\":{\"moon phase\":[` + mine + `]}}"}`, doubtful("80300007")},
		{"unknown 8010", 200, `{"code":"80109999"}`, ours("80109999")},
		{"unknown 8030", 500, `{"code":"80309999"}`, ours("80309999")},
		{"unknown 8020", 200, `{"code":"80209999"}`, unauthenticated("80209999", push.RetryOnce)},
		{"unknown 8060", 400, `{"code":"80609999"}`, unavailable("80609999")},
		{"unknown 81", 400, `{"code":"81999999"}`, unavailable("81999999")},
		{"no known family, error", 503, `{"code":"42"}`, throttled("42")},
		{"no known family, success", 200, `{"code":"42"}`, verdict{push.Refused, call.ReasonVendorRefused, push.RetryNever, call.BlameVendor, push.TokenKeep, "42"}},
		{"empty 503", 503, "", throttled("")},
		{"empty 429", 429, "", throttled("")},
		{"empty 401", 401, "", unauthenticated("", push.RetryOnce)},
		{"empty 404", 404, "", ours("")},
		{"empty 403", 403, "", ours("")},
		{"redirect", 302, "", ours("")},
		{"html 502", 502, "<html>Bad Gateway</html>", unavailable("")},
		{"500", 500, "", unavailable("")},
		{"504", 504, "", unavailable("")},
		{"cut off 200", 200, `{"code":"80000`, unavailable("")},
		{"html 200", 200, "<html>Welcome to the hotel</html>", unavailable("")},
		{"null", 500, "null", unavailable("")},
		{"code is text", 503, `{"code":"flow control","msg":"slow down"}`, throttled("")},
		{"code is an object", 503, `{"code":{},"msg":[]}`, throttled("")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := pushkit.ParseAnswer(tt.status, []byte(tt.body), testToken)
			if diff := cmp.Diff(tt.want, verdictOf(a)); diff != "" {
				t.Error(diff)
			}
			if a.Status != tt.status || pushkit.Explain(a).Meaning.IsZero() || a.Code == "" && a.Message == "" {
				t.Errorf("%+v, explained as %v", a, pushkit.Explain(a))
			}
		})
	}
}

func TestMessageHidesSecrets(t *testing.T) {
	t.Parallel()
	const token, wake = "MA+x/YfixtureToken0002", "wake-token-0001"
	body := asJSON(t, map[string]string{
		"code": "80100003", "msg": "Illegal payload, \x00" + token + " MA+x\\/YfixtureToken0002 " + wake + "\n" + strings.Repeat("好", 300),
		"requestId": "R " + token,
	})
	a := pushkit.ParseAnswer(http.StatusBadRequest, body, token, wake)
	if want := "Illegal payload,  *** *** *** "; !strings.HasPrefix(a.Message, want) {
		t.Errorf("message %q", a.Message)
	}
	if len(a.Message) > 500 || len(a.Message) < 490 || !utf8.ValidString(a.Message) {
		t.Errorf("%d bytes", len(a.Message))
	}
	if a.RequestID != "R ***" {
		t.Errorf("request id %q", a.RequestID)
	}
	body = asJSON(t, map[string]string{"code": "80100003", "msg": "a*b"})
	if a := pushkit.ParseAnswer(http.StatusBadRequest, body, "*"); a.Message != "" {
		t.Errorf("message %q has the token", a.Message)
	}
}

func TestCodesAreCopies(t *testing.T) {
	t.Parallel()
	first := pushkit.Codes()
	first[0].Key, first[0].Answer.Outcome = "changed", push.Abandoned
	second := pushkit.Codes()
	if first[0].Key == second[0].Key || first[0].Answer == second[0].Answer {
		t.Error("a caller can change the table")
	}
	if !slices.IsSortedFunc(second, func(a, b pushkit.Code) int { return strings.Compare(a.Key, b.Key) }) {
		t.Error("not sorted")
	}
	seen := map[string]bool{}
	for _, c := range second {
		want := call.Explanation{Meaning: c.Meaning, Advice: c.Advice}
		if seen[c.Key] || c.Meaning.IsZero() || c.Advice.IsZero() != (c.Answer.Outcome == push.Accepted) || pushkit.Explain(c.Answer) != want || c.Answer.Code != c.Key {
			t.Errorf("row %+v", c)
		}
		seen[c.Key] = true
		if diff := cmp.Diff(c.Answer, push.Answer{}, cmpopts.IgnoreFields(push.Answer{}, "Outcome", "Reason", "Retry", "Blame", "Token", "Code")); diff != "" {
			t.Error(diff)
		}
	}
	for _, code := range []string{"42", "80309999", "80209999", "81999999", "80300007/moonPhase"} {
		if e := pushkit.Explain(push.Answer{Code: code}); e.Meaning.IsZero() || e.Advice.IsZero() || seen[code] {
			t.Errorf("the unknown code %s is not explained", code)
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
		{200, `{"code":"80000000","msg":"Success","requestId":"176120040012300000000701"}`},
		{401, `{"code":"80200001","msg":"Authentication Error.","requestId":"R"}`},
		{401, `{"code":"80200005","msg":"Jwt token expired.","requestId":"R"}`},
		{400, `{"code":"80300036","msg":"JWT expire period over threshold.","requestId":"R"}`},
		{400, `{"code":"80100003","msg":"Illegal payload, The header does not contain valid push-type","requestId":"R"}`},
		{400, `{"code":"80300010","msg":"token count should within 1 and 1000.","requestId":"R"}`},
		{200, `{"code":"80100000","msg":"{\"illegalTokens\":{\"tokenFormatError\":[\"MAMzLgFixtureToken0001\"]},\"success\":1,\"failure\":1}","requestId":"R"}`},
		{400, `{"code":"80300007","msg":"{\"failure\":1,\"illegalTokens\":{\"noRight\":[\"MAMzLgFixtureToken0001\"]}}","requestId":"R"}`},
		{400, `{"code":"80300007","msg":"{\"failure\":1,\"illegalTokens\":{\"noPushTypeRight\":[\"T1\"]}}","requestId":"R"}`},
		{400, `{"code":80300007,"msg":{"illegal_tokens":["T1"]},"requestId":1}`},
		{503, ""}, {502, "<html>MAMzLgFixtureToken0001</html>"}, {500, `{"code":"81000001","msg":"Inner Error.","requestId":"R"}`}, {404, ""},
		{200, `{"code":"","msg":"MAMzLgFixtureToken0001\u0000\ud800","requestId":"MAMzLgFixtureToken0001"}`},
	} {
		f.Add(seed.status, []byte(seed.body), testToken)
	}
	f.Add(200, []byte(`{"code":"80100003","msg":"***"}`), "*")
	f.Add(200, []byte(`{"code":"80100003","msg":"ꘑ"}`), "\x91")
	f.Fuzz(func(t *testing.T, status int, body []byte, token string) {
		a := pushkit.ParseAnswer(status, body, token)
		if !slices.Contains(push.Outcomes, a.Outcome) {
			t.Fatalf("outcome %q", a.Outcome)
		}
		if (a.Outcome == push.Accepted) != (a.Reason == "") || a.Reason != "" && !slices.Contains(call.Reasons, a.Reason) {
			t.Fatalf("outcome %s with reason %q", a.Outcome, a.Reason)
		}
		if a.Outcome == push.Accepted && a.Code == "" {
			t.Fatal("accepted without a code")
		}
		if a.Token == push.TokenDead && !strings.HasSuffix(a.Code, "/tokenFormatError") && !strings.HasSuffix(a.Code, "/tokenPlatformNotSupport") {
			t.Fatalf("code %q killed the token", a.Code)
		}
		if len(a.Message) > 500 || len(a.RequestID) > 128 || len(a.Code) > 100 {
			t.Fatalf("too long: %d %d %d", len(a.Message), len(a.RequestID), len(a.Code))
		}
		for _, s := range []string{a.Message, a.RequestID} {
			if !utf8.ValidString(s) || strings.ContainsRune(s, 0) || token != "" && strings.Contains(s, token) {
				t.Fatalf("%q, token %q", s, token)
			}
		}
		if e := pushkit.Explain(a); e.Meaning.IsZero() || e.Advice.IsZero() && a.Outcome != push.Accepted {
			t.Fatal("not explained")
		}
	})
}
