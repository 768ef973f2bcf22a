package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/pushwake/relay/store"
)

// The headers of a delivery, as Standard Webhooks names them.
const (
	HeaderID        = "webhook-id"
	HeaderTimestamp = "webhook-timestamp"
	HeaderSignature = "webhook-signature"
)

// SecretPrefix begins a secret's text.
const SecretPrefix = store.WebhookSecretPrefix

// How many bytes Standard Webhooks allows a secret.
const minSecret, maxSecret = 24, 64

// Tolerance is how far the time of a delivery may lie from the receiver's clock.
const Tolerance = 5 * time.Minute

// SecretText is a secret as it is shown.
func SecretText(secret []byte) string {
	return SecretPrefix + base64.StdEncoding.EncodeToString(secret)
}

// ParseSecret reads a secret as it is shown.
func ParseSecret(text string) ([]byte, error) {
	secret, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(text, SecretPrefix))
	if err != nil || len(secret) < minSecret || len(secret) > maxSecret {
		return nil, fmt.Errorf("a webhook's secret is %s and %d to %d bytes in base64", SecretPrefix, minSecret, maxSecret)
	}
	return secret, nil
}

// sign sets the headers of a delivery: a signature with each secret, the newest
// first, so that a receiver that has only one of them finds its own.
func sign(h http.Header, id string, at time.Time, body []byte, secrets [][]byte) {
	timestamp := strconv.FormatInt(at.Unix(), 10)
	signatures := make([]string, len(secrets))
	for i, secret := range secrets {
		signatures[i] = "v1," + base64.StdEncoding.EncodeToString(mac(secret, id, timestamp, body))
	}
	h.Set(HeaderID, id)
	h.Set(HeaderTimestamp, timestamp)
	h.Set(HeaderSignature, strings.Join(signatures, " "))
}

func mac(secret []byte, id, timestamp string, body []byte) []byte {
	m := hmac.New(sha256.New, secret)
	fmt.Fprintf(m, "%s.%s.", id, timestamp)
	m.Write(body)
	return m.Sum(nil)
}

// Errors of Verify.
var (
	ErrUnsigned  = errors.New("it has no webhook-id, webhook-timestamp or webhook-signature")
	ErrTooOld    = errors.New("its webhook-timestamp is more than 5 minutes from this machine's clock")
	ErrSignature = errors.New("no signature is made with this secret")
)

// Verify says why a request is not a delivery signed with a secret: ErrUnsigned,
// ErrTooOld or ErrSignature; nil where it is one. now is the receiver's time.
func Verify(h http.Header, body, secret []byte, now time.Time) error {
	id, timestamp := h.Get(HeaderID), h.Get(HeaderTimestamp)
	sent, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil || id == "" || h.Get(HeaderSignature) == "" {
		return ErrUnsigned
	}
	if now.Sub(time.Unix(sent, 0)).Abs() > Tolerance {
		return ErrTooOld
	}
	want := mac(secret, id, timestamp, body)
	for signature := range strings.SplitSeq(h.Get(HeaderSignature), " ") {
		version, text, _ := strings.Cut(signature, ",")
		if got, err := base64.StdEncoding.DecodeString(text); err == nil && version == "v1" && hmac.Equal(got, want) {
			return nil
		}
	}
	return ErrSignature
}
