package apns

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/sideshow/apns2"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/push"
)

// Limits of a payload in bytes (Apple, Sending notification requests to APNs).
const (
	MaxVoIPPayload  = 5120
	MaxAlertPayload = 4096
)

const voipSuffix = ".voip" // the suffix of a VoIP topic, after the bundle id

// Errors of [Build].
var (
	ErrChannel     = errors.New("not a channel of APNs")
	ErrPurpose     = errors.New("not a purpose that the channel serves")
	ErrToken       = errors.New("the device token is not hexadecimal")
	ErrNoBundleID  = errors.New("neither the device nor the credential has a bundle id")
	ErrEnvironment = errors.New("the environment is neither production nor sandbox")
)

// Request is the request for one message, without the address and the
// authorization, which a [Client] adds.
type Request struct {
	Notification apns2.Notification
	Expiration   int64 // Unix seconds; 0 asks for one delivery attempt and no storage
}

// Build makes the request for a message; bundleID is used where the device
// registered none. It is pure, so that a preview shows exactly what Send would
// send.
//
// It returns [ErrChannel], [ErrPurpose], [ErrToken], [ErrNoBundleID], [ErrEnvironment], or an
// error that wraps [call.ErrPayloadTooLarge] where the ids alone pass the limit.
func Build(m push.Message, bundleID string) (Request, error) {
	if m.BundleID != "" {
		bundleID = m.BundleID
	}
	switch {
	case !hexadecimal(m.Token):
		return Request{}, ErrToken
	case bundleID == "":
		return Request{}, ErrNoBundleID
	case m.Environment != Production && m.Environment != Sandbox:
		return Request{}, ErrEnvironment
	}
	r := Request{Notification: apns2.Notification{ApnsID: m.Attempt.String(), DeviceToken: m.Token, Priority: apns2.PriorityHigh}}
	n := &r.Notification
	var (
		body []byte
		err  error
	)
	switch {
	case m.Purpose == call.PurposeRevoke, m.Channel == call.APNsVoIP && m.Purpose == call.PurposeMissedCall:
		// A VoIP push that is not shown as a call ends the app (Apple, PKPushType.voIP).
		return Request{}, fmt.Errorf("%s over %s: %w", m.Purpose, m.Channel, ErrPurpose)
	case m.Channel == call.APNsVoIP:
		n.PushType, n.Topic = apns2.PushTypeVOIP, bundleID+voipSuffix
		if keep := min(m.KeepFor, m.RingLeft); keep > 0 {
			r.Expiration = m.Payload.SentAt.Add(keep).Unix()
		}
		body, err = encode(m, aps{}, MaxVoIPPayload)
	case m.Channel == call.APNsAlert:
		n.PushType, n.Topic = apns2.PushTypeAlert, bundleID
		n.CollapseID = m.Payload.Call.String() // a second alert of a call replaces the first, and so does the notice that it was missed
		r.Expiration = m.Payload.ExpiresAt.Unix()
		if m.Purpose == call.PurposeMissedCall {
			r.Expiration = m.Payload.SentAt.Add(call.NoticeLife).Unix()
		}
		body, err = alertBody(m)
	default:
		return Request{}, fmt.Errorf("%q: %w", m.Channel, ErrChannel)
	}
	if err != nil {
		return Request{}, fmt.Errorf("build an APNs request: %w", err)
	}
	n.Payload = body
	return r, nil
}

// Header is the request's header as it is sent, without the authorization.
func (r Request) Header() http.Header {
	n := r.Notification
	h := http.Header{}
	h.Set("Apns-Id", n.ApnsID)
	h.Set("Apns-Push-Type", string(n.PushType))
	h.Set("Apns-Topic", n.Topic)
	h.Set("Apns-Priority", strconv.Itoa(n.Priority))
	h.Set("Apns-Expiration", strconv.FormatInt(r.Expiration, 10))
	if n.CollapseID != "" {
		h.Set("Apns-Collapse-Id", n.CollapseID)
	}
	return h
}

// Body is the request's body as it is sent.
func (r Request) Body() []byte {
	body, _ := r.Notification.Payload.([]byte) // Build puts nothing else there
	return body
}

// payload is the JSON of a push: what the system reads, and the wake for the app.
type payload struct {
	APS  aps             `json:"aps"`
	Wake json.RawMessage `json:"wake"`
}

// aps is what the system reads (Apple, Generating a remote notification); empty
// for VoIP, which the app alone reads.
type aps struct {
	Alert          *alert `json:"alert,omitempty"`
	Sound          string `json:"sound,omitempty"`
	MutableContent int    `json:"mutable-content,omitempty"` // 1: the app's service extension may add to it
}

type alert struct {
	Title string `json:"title"`
	Body  string `json:"body"`
}

func alertBody(m push.Message) ([]byte, error) {
	text := push.AlertTextOf(m)
	var err error
	for _, title := range text.Titles {
		var body []byte
		body, err = encode(m, aps{Alert: &alert{title, text.Body}, Sound: "default", MutableContent: 1}, MaxAlertPayload)
		if !errors.Is(err, call.ErrPayloadTooLarge) {
			return body, err
		}
	}
	return nil, err
}

// encode fits the wake into the bytes that the system's part leaves of limit.
func encode(m push.Message, system aps, limit int) ([]byte, error) {
	wrap := func(wake []byte) ([]byte, error) {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false) // escaped, each <, > and & would take six bytes of the limit
		if err := e.Encode(payload{system, wake}); err != nil {
			return nil, err
		}
		return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
	}
	wake, err := m.Payload.Encode(func(candidate []byte) bool {
		whole, err := wrap(candidate)
		return err == nil && len(whole) <= limit
	})
	if err != nil {
		return nil, err
	}
	return wrap(wake)
}

// hexadecimal reports whether a token can stand in the path of a request. Its
// length is not assumed (Apple, Sending notification requests to APNs).
func hexadecimal(token string) bool {
	for _, c := range []byte(token) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
			return false
		}
	}
	return token != "" && len(token)%2 == 0
}
