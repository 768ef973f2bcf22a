package pushkit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/push"
)

// Limits of one request (Push Kit REST v3, request parameters).
const (
	MaxBody = 4096 // bytes, tokens not counted; see bodySize

	maxTTL     = 15 * 24 * time.Hour
	maxVoIPTTL = 60 * time.Second // the upper end of what is recommended for push-type 10
	minTTL     = time.Second      // 0 is not documented, and without a ttl a message lives a day
)

// Push types (Push Kit REST v3, request header push-type).
const (
	pushTypeAlert = "0"
	pushTypeVoIP  = "10"
)

// Errors of [Build].
var (
	ErrChannel = errors.New("not a channel of Push Kit")
	ErrPurpose = errors.New("not a purpose that the channel serves")
	ErrNoToken = errors.New("the message has no token")

	// ErrNoClientID means that the key file lacks the client id, which a revoke
	// needs.
	ErrNoClientID = errors.New("the key file has no client_id of the app")
)

// Request is the request for one message, without the address and the
// authorization, which a [Client] adds.
type Request struct {
	Header http.Header
	Body   []byte
}

// Build makes the request for a message. It is pure, so that a preview shows
// exactly what Send would send.
//
// It returns [ErrChannel], [ErrPurpose], [ErrNoToken], or an error that wraps
// [call.ErrPayloadTooLarge] where the ids alone pass [MaxBody].
func Build(m push.Message) (Request, error) { return build(m, m.Token) }

// build is Build with another text, such as a mask, in place of the token. The
// token does not count towards the limit, so nothing else changes.
func build(m push.Message, token string) (Request, error) {
	if m.Token == "" {
		return Request{}, ErrNoToken
	}
	var (
		b        body
		pushType string
		err      error
	)
	notice := m.Purpose == call.PurposeMissedCall || m.Purpose == call.PurposeRevoke
	switch {
	case m.Channel == call.PushKitVoIP && notice: // misuse of these is punished (Push Kit, punishment standards)
		return Request{}, fmt.Errorf("%s over %s: %w", m.Purpose, m.Channel, ErrPurpose)
	case m.Channel == call.PushKitVoIP:
		pushType = pushTypeVoIP
		b, err = voipBody(m)
	case m.Channel == call.PushKitAlert && m.Purpose == call.PurposeRevoke:
		return revoke(m, token)
	case m.Channel == call.PushKitAlert:
		pushType = pushTypeAlert
		b, err = alertBody(m)
	default:
		return Request{}, fmt.Errorf("%q: %w", m.Channel, ErrChannel)
	}
	if err != nil {
		return Request{}, fmt.Errorf("build a Push Kit request: %w", err)
	}
	b.Target.Token = []string{token}
	return pack(pushType, b)
}

// pack is the request with a body of one push type.
func pack(pushType string, body any) (Request, error) {
	text, err := encode(body)
	if err != nil {
		return Request{}, fmt.Errorf("build a Push Kit request: %w", err)
	}
	header := http.Header{}
	header.Set("Content-Type", "application/json")
	header.Set("Push-Type", pushType)
	return Request{Header: header, Body: text}, nil
}

// body is the request's JSON (Push Kit REST v3, request structure).
type body struct {
	Payload any     `json:"payload"`
	Target  target  `json:"target"`
	Options options `json:"pushOptions"`
}

type target struct {
	Token []string `json:"token"`
}

type options struct {
	TTL   int    `json:"ttl"`   // seconds for which the vendor keeps the message for a device that is offline
	BiTag string `json:"biTag"` // comes back in the receipt; at most 64 bytes
}

// voipPayload is the payload of push-type 10: one string that the vendor hands
// to the app as it is.
type voipPayload struct {
	ExtraData string `json:"extraData"`
}

func voipBody(m push.Message) (body, error) {
	b := body{Options: options{TTL: seconds(m.RingLeft, maxVoIPTTL), BiTag: m.Attempt.String()}}
	wake, err := m.Payload.Encode(func(candidate []byte) bool {
		b.Payload = voipPayload{ExtraData: string(candidate)}
		return fits(b)
	})
	if err != nil {
		return body{}, err
	}
	b.Payload = voipPayload{ExtraData: string(wake)}
	return b, nil
}

// seconds rounds down, so that no message outlives the ring by a part of a second.
func seconds(left, limit time.Duration) int {
	return int(min(max(left, minTTL), limit) / time.Second)
}

func fits(b body) bool {
	size, err := bodySize(b)
	return err == nil && size <= MaxBody
}

// bodySize counts the bytes to which the vendor's limit applies. The documents
// say "4096 bytes, tokens not counted" and no more; taken here as the whole
// JSON with target.token emptied.
func bodySize(b body) (int, error) {
	b.Target.Token = []string{}
	text, err := encode(b)
	return len(text), err
}

func encode(b any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false) // escaped, each <, > and & would take six bytes of the limit
	if err := enc.Encode(b); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}

// notifyID names a call's notification on the device, 0…2147483647: a second
// attempt replaces the first one's notification instead of joining it.
func notifyID(id uuid.UUID) int32 {
	h := fnv.New32a()
	_, _ = h.Write(id[:]) // a hash never fails
	return int32(h.Sum32() & 0x7fffffff)
}
