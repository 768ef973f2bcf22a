package pushkit

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"time"
)

// CallbackHeader is the header by which Push Kit signs a callback (Push Kit,
// message receipts).
const CallbackHeader = "X-HUAWEI-CALLBACK-ID"

// CallbackWindow is how far the time of a signature may be from now, either way.
const CallbackWindow = 5 * time.Minute

// ErrBadSignature is why a callback is not taken for the vendor's: it has no
// signature, one that cannot be read, another one, or one of another time.
var ErrBadSignature = errors.New("the callback is not signed as it should be")

// Callback is what Push Kit signs callbacks with: the name and the secret that
// are set for the receipts in AppGallery Connect. However it is printed or
// logged, the secret does not show.
type Callback struct {
	User   string
	Secret string
}

// Set reports whether there is anything to check a signature with.
func (c Callback) Set() bool { return c.User != "" && c.Secret != "" }

// Check reports whether a callback's header is signed with the secret, at a time
// within CallbackWindow of now. The secret is the key Base64-decoded, as in
// configurations made today, or as it is, as in older ones: both are tried, since
// nothing tells which it is.
//
// A nonce that was seen before is not refused. The signature does not cover the
// body, so a nonce protects no content; what a replay could do is limited by
// what a receipt must name, and each receipt has its effect once. Who refused
// nonces would refuse a callback that Push Kit sends again after an answer that
// was lost.
func (c Callback) Check(header string, now time.Time) error {
	fields := callbackFields(header)
	ms, err := strconv.ParseInt(fields["timestamp"], 10, 64)
	if err != nil || fields["nonce"] == "" || !c.Set() {
		return ErrBadSignature
	}
	if d := now.UnixMilli() - ms; d > CallbackWindow.Milliseconds() || d < -CallbackWindow.Milliseconds() {
		return fmt.Errorf("%w: its time is %d s off", ErrBadSignature, d/1000)
	}
	given, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(fields["value"], "="))
	if err != nil {
		return ErrBadSignature
	}
	keys := [][]byte{[]byte(c.Secret)}
	if decoded, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(c.Secret, "=")); err == nil && len(decoded) > 0 {
		keys = append(keys, decoded)
	}
	fits := false
	for _, key := range keys {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(fields["timestamp"] + fields["nonce"] + c.User))
		fits = hmac.Equal(mac.Sum(nil), given) || fits
	}
	if !fits {
		return ErrBadSignature
	}
	return nil
}

// callbackFields reads "timestamp=…; nonce=…; value=…". Huawei's own samples
// differ in the blank, so it, the order and the case of the names do not matter.
func callbackFields(header string) map[string]string {
	fields := map[string]string{}
	for part := range strings.SplitSeq(header, ";") {
		name, value, _ := strings.Cut(part, "=")
		fields[strings.ToLower(strings.TrimSpace(name))] = strings.Trim(strings.TrimSpace(value), `"`)
	}
	return fields
}

func (c Callback) String() string { return "Push Kit callback of " + c.User }

// Format prints the same as String under every verb.
func (c Callback) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// LogValue is what slog writes.
func (c Callback) LogValue() slog.Value { return slog.GroupValue(slog.String("user", c.User)) }
