package pushkit_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pushwake/relay/push/pushkit"
)

// sign makes a callback's header as Push Kit does, in one of its forms.
func sign(key []byte, user, nonce string, at time.Time, form string) string {
	timestamp := fmt.Sprint(at.UnixMilli())
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(timestamp + nonce + user))
	return fmt.Sprintf(form, timestamp, nonce, base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}

const callbackForm = "timestamp=%s; nonce=%s; value=%s"

func TestCallbackCheck(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1761200401120)
	raw := []byte("thirty-two bytes, more or less..")
	coded := pushkit.Callback{User: "relay", Secret: base64.StdEncoding.EncodeToString(raw)}
	old := pushkit.Callback{User: "relay", Secret: "s3cr3t, as people chose it"}
	good := sign(raw, "relay", "n-1", now, callbackForm)
	for name, c := range map[string]struct {
		callback pushkit.Callback
		header   string
		good     bool
	}{
		"key decoded":           {coded, good, true},
		"key as it is":          {old, sign([]byte(old.Secret), "relay", "n-1", now, callbackForm), true},
		"base64 as it is":       {coded, sign([]byte(coded.Secret), "relay", "n-1", now, callbackForm), true},
		"no padding":            {pushkit.Callback{User: "relay", Secret: strings.TrimRight(coded.Secret, "=")}, good, true},
		"no blanks":             {coded, sign(raw, "relay", "n-1", now, "timestamp=%s;nonce=%s;value=%s"), true},
		"many blanks":           {coded, sign(raw, "relay", "n-1", now, " timestamp = %s ;  nonce=%s ; value= %s ;"), true},
		"another order":         {coded, sign(raw, "relay", "n-1", now, "value=%[3]s; nonce=%[2]s; timestamp=%[1]s"), true},
		"names in other case":   {coded, sign(raw, "relay", "n-1", now, "Timestamp=%s; NONCE=%s; Value=%s"), true},
		"in quotes":             {coded, sign(raw, "relay", "n-1", now, `timestamp="%s"; nonce="%s"; value="%s"`), true},
		"five minutes ago":      {coded, sign(raw, "relay", "n-1", now.Add(-5*time.Minute), callbackForm), true},
		"five minutes ahead":    {coded, sign(raw, "relay", "n-1", now.Add(5*time.Minute), callbackForm), true},
		"older":                 {coded, sign(raw, "relay", "n-1", now.Add(-5*time.Minute-time.Millisecond), callbackForm), false},
		"newer":                 {coded, sign(raw, "relay", "n-1", now.Add(5*time.Minute+time.Millisecond), callbackForm), false},
		"another user":          {coded, sign(raw, "else", "n-1", now, callbackForm), false},
		"another secret":        {coded, sign([]byte("x"), "relay", "n-1", now, callbackForm), false},
		"another nonce":         {coded, strings.Replace(good, "n-1", "n-2", 1), false},
		"another time":          {coded, strings.Replace(good, "1761200401120", "1761200401121", 1), false},
		"cut off":               {coded, good[:len(good)-2], false},
		"no value":              {coded, "timestamp=1761200401120; nonce=n-1; value=", false},
		"no nonce":              {coded, sign(raw, "relay", "", now, callbackForm), false},
		"no time":               {coded, "nonce=n-1; value=AAAA", false},
		"a time beyond numbers": {coded, "timestamp=99999999999999999999; nonce=n-1; value=AAAA", false},
		"the earliest time":     {coded, "timestamp=-9223372036854775808; nonce=n-1; value=AAAA", false},
		"nothing":               {coded, "", false},
		"no secret":             {pushkit.Callback{User: "relay"}, sign(nil, "relay", "n-1", now, callbackForm), false},
		"nothing set":           {pushkit.Callback{}, sign(nil, "", "n-1", now, callbackForm), false},
	} {
		err := c.callback.Check(c.header, now)
		if (err == nil) != c.good || err != nil && !errors.Is(err, pushkit.ErrBadSignature) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), c.callback.Secret) && c.callback.Secret != "" {
			t.Errorf("%s: %v tells the secret", name, err)
		}
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if text := fmt.Sprintf(format, old); strings.Contains(text, "s3cr3t") {
			t.Errorf("%s prints the secret: %s", format, text)
		}
	}
}

func TestAddCallback(t *testing.T) {
	t.Parallel()
	file := asJSON(t, keyFields(t))
	want := pushkit.Callback{User: "relay", Secret: "s3cr3t"}
	with, err := pushkit.AddCallback(file, want)
	if err != nil {
		t.Fatal(err)
	}
	k, err := pushkit.ParseKeyFile(with)
	if err != nil || k.Callback != want {
		t.Errorf("the key file has %q, %v", k.Callback.User, err)
	}
	if got, err := pushkit.CallbackOf(with); err != nil || got != want {
		t.Errorf("alone it is %q, %v", got.User, err)
	}
	if text := fmt.Sprintf("%+v", k); strings.Contains(text, "s3cr3t") {
		t.Errorf("the key file prints its secret: %s", text)
	}
	without, err := pushkit.AddCallback(with, pushkit.Callback{})
	if got, err2 := pushkit.CallbackOf(without); err != nil || err2 != nil || got.Set() {
		t.Errorf("taken out, it is %q, %v, %v", got.User, err, err2)
	}
	half := strings.Replace(string(with), `"callback_secret":"s3cr3t"`, `"callback_secret":""`, 1)
	if _, err := pushkit.ParseKeyFile([]byte(half)); err == nil || !strings.Contains(err.Error(), "callback_secret is empty") {
		t.Errorf("a user without a secret: %v", err)
	}
}

// FuzzCallbackCheck: no header breaks the check, and none that was not signed
// passes it.
func FuzzCallbackCheck(f *testing.F) {
	now := time.UnixMilli(1761200401120)
	c := pushkit.Callback{User: "relay", Secret: "c2VjcmV0"}
	f.Add("timestamp=1761200401120; nonce=n; value=AAAA")
	f.Add("timestamp=1761200401120;;nonce==;value====")
	f.Add(`value="; nonce`)
	f.Fuzz(func(t *testing.T, header string) {
		if c.Check(header, now) == nil {
			t.Errorf("%q passes", header)
		}
	})
}

func TestReceipts(t *testing.T) {
	t.Parallel()
	all := pushkit.Receipts()
	for i, r := range all {
		if i > 0 && r.Result <= all[i-1].Result {
			t.Errorf("result %d is out of order", r.Result)
		}
		if got := pushkit.ReceiptOf(r.Result); got != r {
			t.Errorf("result %d is read as %+v", r.Result, got)
		}
		if r.Meaning.IsZero() {
			t.Errorf("result %d has no meaning", r.Result)
		}
	}
	for _, result := range []int64{-1, 1, 999, 1 << 62} {
		if r := pushkit.ReceiptOf(result); r.Action != "none" || r.Result != result || r.Meaning.IsZero() {
			t.Errorf("result %d: %+v", result, r)
		}
	}
}
