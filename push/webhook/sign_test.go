package webhook

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// TestSignaturesAreStandard has the project's own library verify what we sign,
// and ours what it signs.
func TestSignaturesAreStandard(t *testing.T) {
	t.Parallel()
	older, newer, foreign := []byte(strings.Repeat("o", 32)), []byte(strings.Repeat("n", 24)), []byte(strings.Repeat("f", 32))
	const id = "0192f0c4-7d1e-7a52-9c1e-8f7a5f0f1c00"
	body := []byte(`{"type":"call.ended","data":{"name":"李娜"}}`)
	h := http.Header{}
	sign(h, id, time.Now(), body, [][]byte{newer, older})
	if n := len(strings.Split(h.Get(HeaderSignature), " ")); n != 2 {
		t.Errorf("%d signatures, want one for each secret: %s", n, h.Get(HeaderSignature))
	}
	for _, tc := range []struct {
		what   string
		secret []byte
		good   bool
	}{{"the newer secret", newer, true}, {"the older one", older, true}, {"another", foreign, false}} {
		theirs, err := standardwebhooks.NewWebhook(SecretText(tc.secret))
		if err != nil {
			t.Fatal(err)
		}
		if err := theirs.Verify(body, h); (err == nil) != tc.good {
			t.Errorf("the library with %s: %v", tc.what, err)
		}
		if err := Verify(h, body, tc.secret, time.Now()); (err == nil) != tc.good || !tc.good && !errors.Is(err, ErrSignature) {
			t.Errorf("ours with %s: %v", tc.what, err)
		}
		if err := theirs.Verify(append([]byte(" "), body...), h); err == nil {
			t.Errorf("the library takes another body with %s", tc.what)
		}
	}
	theirs, err := standardwebhooks.NewWebhookRaw(newer)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now()
	signature, err := theirs.Sign(id, at, body)
	if err != nil {
		t.Fatal(err)
	}
	sign(h, id, at, body, [][]byte{newer})
	if got := h.Get(HeaderSignature); got != signature {
		t.Errorf("we sign %s, the library %s", got, signature)
	}
}

func TestVerifyRefuses(t *testing.T) {
	t.Parallel()
	secret, body, now := []byte(strings.Repeat("s", 32)), []byte(`{}`), time.Now()
	for _, tc := range []struct {
		what   string
		change func(http.Header)
		want   error
	}{
		{"as it was sent", func(http.Header) {}, nil},
		{"no id", func(h http.Header) { h.Del(HeaderID) }, ErrUnsigned},
		{"no signature", func(h http.Header) { h.Del(HeaderSignature) }, ErrUnsigned},
		{"a timestamp that is none", func(h http.Header) { h.Set(HeaderTimestamp, "today") }, ErrUnsigned},
		{"another id", func(h http.Header) { h.Set(HeaderID, "another") }, ErrSignature},
		{"another version", func(h http.Header) { h.Set(HeaderSignature, strings.Replace(h.Get(HeaderSignature), "v1,", "v2,", 1)) }, ErrSignature},
		{"a foreign signature before ours", func(h http.Header) { h.Set(HeaderSignature, "v1,AAAA v1a,AAAA "+h.Get(HeaderSignature)) }, nil},
		{"old", func(h http.Header) { sign(h, "e", now.Add(-Tolerance-2*time.Second), body, [][]byte{secret}) }, ErrTooOld},
		{"from the future", func(h http.Header) { sign(h, "e", now.Add(Tolerance+2*time.Second), body, [][]byte{secret}) }, ErrTooOld},
	} {
		h := http.Header{}
		sign(h, "e", now, body, [][]byte{secret})
		tc.change(h)
		if err := Verify(h, body, secret, now); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", tc.what, err, tc.want)
		}
	}
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	secret := []byte(strings.Repeat("s", 32))
	if got, err := ParseSecret(SecretText(secret)); err != nil || string(got) != string(secret) {
		t.Errorf("%q, %v", got, err)
	}
	for _, text := range []string{"", "whsec_", "whsec_c2hvcnQ=", "whsec_%%%", SecretText([]byte(strings.Repeat("s", 65)))} {
		if _, err := ParseSecret(text); err == nil {
			t.Errorf("%q is taken for a secret", text)
		}
	}
}
