package call_test

import (
	"strings"
	"testing"

	"github.com/pushwake/relay/call"
)

// TestTokenForms: what the vendors give is kept, in one form, and what cannot be
// a token is not.
func TestTokenForms(t *testing.T) {
	t.Parallel()
	huawei := "MAMzLgIkEQAAZ0" + strings.Repeat("a+_-/=9", 14)
	for _, c := range []struct {
		name  call.TokenName
		token string
		want  string // "" for one that is refused
	}{
		{call.TokenPushKit, huawei, huawei},
		{call.TokenPushKit, "MA0", "MA0"},
		{call.TokenPushKit, strings.Repeat("A", 1024), strings.Repeat("A", 1024)},
		{call.TokenPushKit, strings.Repeat("A", 1025), ""},
		{call.TokenPushKit, "", ""},
		{call.TokenPushKit, "MA with blanks", ""},
		{call.TokenPushKit, "MA0 ", ""},
		{call.TokenPushKit, "MA0\n", ""},
		{call.TokenPushKit, "MA0\x00", ""},
		{call.TokenPushKit, "令牌", ""},
		{call.TokenPushKit, "MA0é", ""},
		{call.TokenAPNsVoIP, strings.Repeat("5f", 32), strings.Repeat("5f", 32)},
		{call.TokenAPNsVoIP, strings.Repeat("aB", 32), strings.Repeat("ab", 32)},
		{call.TokenAPNsAlert, strings.Repeat("0A", 80), strings.Repeat("0a", 80)},
		{call.TokenAPNsAlert, strings.Repeat("0a", 512), strings.Repeat("0a", 512)},
		{call.TokenAPNsAlert, strings.Repeat("0a", 513), ""},
		{call.TokenAPNsAlert, strings.Repeat("0a", 31), ""},
		{call.TokenAPNsAlert, strings.Repeat("0a", 32) + "0", ""},
		{call.TokenAPNsAlert, strings.Repeat("z", 64), ""},
		{call.TokenAPNsVoIP, "<" + strings.Repeat("abcd1234 ", 7) + "abcd1234>", ""},
		{call.TokenAPNsVoIP, strings.Repeat("5f", 32) + " ", ""},
		{call.TokenAPNsVoIP, strings.Repeat("5f", 32) + "\n", ""},
		{call.TokenAPNsVoIP, strings.Repeat("5f", 31) + "ſK", ""}, // two that fold to ASCII letters
	} {
		if got, ok := c.name.Normal(c.token); ok != (c.want != "") || ok && got != c.want {
			t.Errorf("%s %q: %q, %v", c.name, c.token, got, ok)
		}
	}
}
