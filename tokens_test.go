package relay_test

import (
	"testing"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/push"
	"github.com/pushwake/relay/push/apns"
	"github.com/pushwake/relay/push/pushkit"
)

// TestOnlyEvidenceKillsTokens: an answer makes a token dead only where the
// vendor refuses that very token for good. Whatever passes, or is about the
// credential, the message or the rate, leaves every token as it is.
func TestOnlyEvidenceKillsTokens(t *testing.T) {
	t.Parallel()
	answers := map[string]push.Answer{}
	for _, c := range pushkit.Codes() {
		answers["Push Kit "+c.Key] = c.Answer
	}
	for _, s := range pushkit.Statuses() {
		answers["Push Kit "+status(s.Status)] = s.Answer
	}
	for _, r := range apns.Reasons() {
		answers["APNs "+r.Name] = r.Answer
	}
	for _, s := range apns.Statuses() {
		answers["APNs "+status(s.Status)] = s.Answer
	}
	for code := range 1000 { // answers that are no answer: empty, cut off, a proxy's page
		for _, body := range []string{"", `{"code":"8030`, "<html>502 Bad Gateway</html>"} {
			answers["Push Kit "+status(code)+" with "+body] = pushkit.ParseAnswer(code, []byte(body), "MA0123456789abcdef")
		}
	}
	deadly := 0
	for name, a := range answers {
		switch a.Token {
		case push.TokenKeep:
			continue
		case push.TokenDead:
			deadly++
			if a.Reason != call.ReasonTokenDead || a.Blame != call.BlameDevice {
				t.Errorf("%s kills a token for %q, by the fault of %s", name, a.Reason, a.Blame)
			}
		}
		if a.Outcome != push.TokenRefused || a.Retry != push.RetryNever {
			t.Errorf("%s makes a token %s: outcome %s, sent again %s", name, a.Token, a.Outcome, a.Retry)
		}
	}
	if deadly < 5 {
		t.Errorf("only %d answers make a token dead", deadly)
	}
	for _, r := range pushkit.Receipts() {
		if dies := r.Result == 2 || r.Result == 5; dies != (r.Action == call.ReceiptDropToken) {
			t.Errorf("receipt %d: %s", r.Result, r.Action)
		}
	}
}
