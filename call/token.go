package call

import (
	"regexp"
	"strings"
)

// MaxToken is the longest vendor token that is kept, in characters.
const MaxToken = 1024

// Neither vendor promises a length. Push Kit's tokens are text to be kept as it
// is, of letters, digits and marks such as "+", "-", "_" and "=" (Push Kit
// guide, getToken). Apple's are bytes, written out as hexadecimal digits: 32 of
// them, or 80 (Apple, Registering your app with APNs).
var (
	visibleASCII = regexp.MustCompile(`^[!-~]+$`)
	hexBytes     = regexp.MustCompile(`^([0-9A-Fa-f]{2})+$`)
)

const minAPNsToken = 64 // digits

// Normal is the token as it is kept, so that one token has one form. ok is false
// where it cannot be a token of that name.
func (n TokenName) Normal(token string) (normal string, ok bool) {
	if len(token) > MaxToken {
		return "", false
	}
	if n == TokenPushKit {
		return token, visibleASCII.MatchString(token)
	}
	return strings.ToLower(token), len(token) >= minAPNsToken && hexBytes.MatchString(token)
}

// Form says what a token of that name looks like.
func (n TokenName) Form() string {
	if n == TokenPushKit {
		return "a token as getToken of Push Kit returns it: 1 to 1024 letters, digits and marks of ASCII, without blanks"
	}
	return "the bytes of the token as hexadecimal digits: an even number of them, 64 to 1024, without blanks or brackets"
}
