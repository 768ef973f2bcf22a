package apnssim

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

const (
	voipSuffix   = ".voip"
	maxVoIP      = 5120 // bytes of a payload (Apple, Sending notification requests to APNs)
	maxOther     = 4096
	maxCollapse  = 64 // bytes
	minTokenText = 64 // digits
)

// refusal is an answer that refuses a push.
type refusal struct {
	status int
	reason string
	since  time.Time // of 410
}

func refuse(status int, reason string) *refusal { return &refusal{status: status, reason: reason} }

func (r *refusal) body() []byte {
	v := map[string]any{"reason": r.reason}
	if !r.since.IsZero() {
		v["timestamp"] = r.since.UnixMilli()
	}
	b, _ := json.Marshal(v) // a string and a number
	return b
}

// TokenState is the state of a token that was set at the simulator.
type TokenState string

// States of a token. One whose state was never set is alive.
const (
	Alive   TokenState = "alive"
	Dead    TokenState = "dead"     // 410 Unregistered
	Expired TokenState = "expired"  // 410 ExpiredToken
	Foreign TokenState = "foreign"  // of another topic: 400 DeviceTokenNotForTopic
	NoRight TokenState = "no_right" // 403 Forbidden
	Offline TokenState = "offline"  // accepted; kept for the device until apns-expiration
)

var tokenStates = []TokenState{Alive, Dead, Expired, Foreign, NoRight, Offline}

// Token is what the simulator knows of a token.
type Token struct {
	State TokenState `json:"state"`
	// Environment is the one in which the token is valid; the other answers 400
	// BadDeviceToken. "" means both.
	Environment Environment `json:"environment,omitempty"`
	// Topic binds the token to one topic, such as com.example.app.voip; "" is any.
	Topic string `json:"topic,omitempty"`
	// SinceMS is the timestamp of a 410 in Unix milliseconds; 0 means the time
	// at which the state was set.
	SinceMS int64 `json:"since_ms,omitempty"`
}

var (
	tokenForm  = regexp.MustCompile(`^([0-9a-fA-F]{2})+$`)
	pushTypes  = []string{"alert", "background", "complication", "controls", "fileprovider", "liveactivity", "location", "mdm", "pushtotalk", "voip", "widgets"}
	priorities = []string{"", "1", "5", "10"}
)

// verify checks a push in this order: method, path, authorization, headers,
// topic, payload, token. The documents name no order; this one lets each refusal be
// met.
func (c *conn) verify(r *request) *refusal {
	token, found := strings.CutPrefix(r.path, "/3/device/")
	switch {
	case r.method != "POST":
		return refuse(405, "MethodNotAllowed")
	case !found || strings.Contains(token, "/"):
		return refuse(404, "BadPath")
	case token == "":
		return refuse(400, "MissingDeviceToken")
	case r.duplicate:
		return refuse(400, "DuplicateHeaders")
	}
	topic := r.header["apns-topic"]
	key, refused := c.authorize(r.header["authorization"])
	if refused == nil {
		refused = verifyHeader(r.header, topic)
	}
	if refused != nil {
		return refused
	}
	if !key.covers(r.bundleID()) {
		return refuse(400, "TopicDisallowed")
	}
	limit := maxOther
	if r.header["apns-push-type"] == "voip" {
		limit = maxVoIP
	}
	switch {
	case len(r.body) == 0:
		return refuse(400, "PayloadEmpty")
	case len(r.body) > limit:
		return refuse(413, "PayloadTooLarge")
	}
	return c.verifyToken(token, topic)
}

// bundleID is the topic without what the push type adds to it.
func (r *request) bundleID() string {
	topic := r.header["apns-topic"]
	if r.header["apns-push-type"] == "voip" {
		return strings.TrimSuffix(topic, voipSuffix)
	}
	return topic
}

func verifyHeader(h map[string]string, topic string) *refusal {
	pushType := h["apns-push-type"]
	if id := h["apns-id"]; id != "" {
		if parsed, err := uuid.Parse(id); err != nil || parsed.String() != id {
			return refuse(400, "BadMessageId")
		}
	}
	if !slices.Contains(pushTypes, pushType) {
		return refuse(400, "InvalidPushType")
	}
	switch {
	case topic == "":
		return refuse(400, "MissingTopic")
	case pushType == "voip" && !strings.HasSuffix(topic, voipSuffix): // a bundle id may end in .voip too
		return refuse(400, "BadTopic")
	}
	if e, given := h["apns-expiration"]; given {
		if seconds, err := strconv.ParseInt(e, 10, 64); err != nil || seconds < 0 {
			return refuse(400, "BadExpirationDate")
		}
	}
	if p := h["apns-priority"]; !slices.Contains(priorities, p) || pushType == "background" && p == "10" {
		return refuse(400, "BadPriority")
	}
	if len(h["apns-collapse-id"]) > maxCollapse {
		return refuse(400, "BadCollapseId")
	}
	return nil
}

func (c *conn) verifyToken(token, topic string) *refusal {
	if len(token) < minTokenText || !tokenForm.MatchString(token) {
		return refuse(400, "BadDeviceToken")
	}
	c.sim.mu.Lock()
	t := c.sim.tokens[strings.ToLower(token)]
	c.sim.mu.Unlock()
	if t.Environment != "" && t.Environment != c.environment {
		return refuse(400, "BadDeviceToken")
	}
	switch t.State {
	case Dead:
		return &refusal{410, "Unregistered", time.UnixMilli(t.SinceMS)}
	case Expired:
		return &refusal{410, "ExpiredToken", time.UnixMilli(t.SinceMS)}
	case NoRight:
		return refuse(403, "Forbidden")
	case Foreign:
		return refuse(400, "DeviceTokenNotForTopic")
	}
	if t.Topic != "" && t.Topic != topic {
		return refuse(400, "DeviceTokenNotForTopic")
	}
	return nil
}
