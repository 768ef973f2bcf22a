package pushkitsim

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits and defaults of pushOptions (Push Kit REST v3, request parameters).
const (
	MaxTTL     = 1_296_000 // seconds, 15 days
	DefaultTTL = 86_400    // seconds
	maxBiTag   = 64        // bytes
)

// pushOptions are the options that change what happens to a message.
type pushOptions struct {
	ttl       int64 // seconds
	biTag     string
	receiptID string
	test      bool
	collapse  int64 // -1 keeps every message
}

// object is a JSON object with its values as sent; names match exactly.
type object map[string]json.RawMessage

func asObject(raw json.RawMessage) (object, bool) {
	var o object
	if raw == nil || json.Unmarshal(raw, &o) != nil || o == nil {
		return nil, false
	}
	return o, true
}

// text is the string under a name; ok is false for anything else.
func (o object) text(name string) (v string, ok bool) {
	raw, found := o[name]
	if !found || len(raw) == 0 || raw[0] != '"' {
		return "", false
	}
	return v, json.Unmarshal(raw, &v) == nil
}

// integer is the number under a name, written without fraction and exponent.
func (o object) integer(name string) (v int64, ok bool) {
	v, err := strconv.ParseInt(string(o[name]), 10, 64)
	return v, err == nil
}

func (o object) has(name string) bool { _, found := o[name]; return found }

// integerWithin is true when the name is absent or holds an integer in range.
func (o object) integerWithin(name string, low, high int64) bool {
	v, ok := o.integer(name)
	return !o.has(name) || ok && v >= low && v <= high
}

func (o object) boolean(name string) (v, ok bool) {
	switch string(o[name]) {
	case "true":
		return true, true
	case "false":
		return false, true
	}
	return false, false
}

func decodeEnvelope(body []byte) envelope {
	top, ok := asObject(body)
	if !ok {
		return envelope{}
	}
	target, ok := asObject(top["target"])
	if !ok {
		return envelope{}
	}
	raw := target["token"]
	var list []*string
	if raw == nil || json.Unmarshal(raw, &list) != nil || list == nil {
		return envelope{}
	}
	tokens := make([]string, len(list))
	for i, t := range list {
		if t == nil {
			return envelope{}
		}
		tokens[i] = *t
	}
	return envelope{valid: true, payload: top["payload"], options: top["pushOptions"], tokens: tokens, tokenBytes: len(raw)}
}

// checkPayload checks what the push type asks for and keeps what reaches the
// device. Types without rules of their own need only a payload object.
func checkPayload(req *sendRequest) *answer {
	payload, ok := asObject(req.envelope.payload)
	if !ok {
		return illegal("payload is missing or not an object")
	}
	switch req.pushType {
	case pushVoIP, pushBackground:
		extra, ok := payload.text("extraData")
		if !ok || extra == "" {
			return illegal("extraData is missing, empty or not a string")
		}
		if v, _ := payload.text("proxyData"); req.pushType == pushBackground && payload.has("proxyData") && v != "ENABLE" {
			return illegal("proxyData is not ENABLE")
		}
		req.content = extra
	case pushAlert:
		notification, ok := asObject(payload["notification"])
		if !ok {
			return illegal("notification is missing or not an object")
		}
		if a := checkNotification(notification); a != nil {
			return a
		}
		req.content = compacted(payload["notification"])
	default:
		req.content = compacted(req.envelope.payload)
	}
	return nil
}

func compacted(raw json.RawMessage) string {
	var b bytes.Buffer
	_ = json.Compact(&b, raw) // raw was decoded before
	return b.String()
}

var appMessageIDForm = regexp.MustCompile(`^[A-Za-z0-9+/=\-_ ]{1,64}$`)

// checkNotification checks an alert (Push Kit REST v3, Notification). Whether a
// category exists or was granted is not checked: an unknown one is silently
// treated as marketing.
func checkNotification(n object) *answer {
	for _, name := range []string{"category", "title", "body"} {
		if v, ok := n.text(name); !ok || v == "" {
			return illegal("%s is missing, empty or not a string", name)
		}
	}
	click, ok := asObject(n["clickAction"])
	if !ok {
		return illegal("clickAction is missing or not an object")
	}
	switch kind, ok := click.integer("actionType"); {
	case !ok || kind != 0 && kind != 1:
		return illegal("actionType is not 0 or 1")
	case kind == 1:
		action, _ := click.text("action")
		uri, _ := click.text("uri")
		if action == "" && uri == "" {
			return illegal("actionType 1 needs action or uri")
		}
	}
	if _, ok := asObject(click["data"]); click.has("data") && !ok {
		return illegal("data is not an object")
	}
	return checkNotificationOptions(n)
}

func checkNotificationOptions(n object) *answer {
	if v, _ := n.text("image"); n.has("image") && !strings.HasPrefix(v, "https://") {
		return illegal("image is not an https address")
	}
	if style, ok := n.integer("style"); n.has("style") && (!ok || style != 0 && style != 1 && style != 3) {
		return illegal("style is not 0, 1 or 3")
	} else if style == 3 {
		var lines []string
		if json.Unmarshal(n["inboxContent"], &lines) != nil || len(lines) < 1 || len(lines) > 3 {
			return illegal("inboxContent does not have 1 to 3 lines")
		}
	}
	if !n.integerWithin("notifyId", -1, 1<<31-1) {
		return illegal("notifyId is not within 0 and 2147483647")
	}
	if v, _ := n.text("appMessageId"); n.has("appMessageId") && !appMessageIDForm.MatchString(v) {
		return illegal("appMessageId is not 1 to 64 characters of A-Za-z0-9+/=-_ and blank")
	}
	if v, ok := n.text("profileId"); n.has("profileId") && (!ok || utf8.RuneCountInString(v) > 64) {
		return illegal("profileId is not a string of at most 64 characters")
	}
	if n.has("badge") {
		badge, ok := asObject(n["badge"])
		if !ok || !badge.integerWithin("addNum", 1, 99) || !badge.integerWithin("setNum", 0, 99) {
			return illegal("badge is out of range")
		}
	}
	if _, ok := n.text("sound"); n.has("sound") && !ok {
		return illegal("sound is not a string")
	}
	if !n.integerWithin("soundDuration", 1, 60) {
		return illegal("soundDuration is not within 1 and 60")
	}
	if _, ok := n.boolean("foregroundShow"); n.has("foregroundShow") && !ok {
		return illegal("foregroundShow is not a boolean")
	}
	return nil
}

func checkOptions(req *sendRequest) *answer {
	req.options = pushOptions{ttl: DefaultTTL, collapse: -1}
	if req.envelope.options == nil {
		return nil
	}
	o, ok := asObject(req.envelope.options)
	if !ok {
		return illegal("pushOptions is not an object")
	}
	opt := &req.options
	if o.has("ttl") {
		if opt.ttl, ok = o.integer("ttl"); !ok || opt.ttl > MaxTTL {
			return illegal("ttl is not an integer of at most %d", MaxTTL)
		}
		if opt.ttl <= 0 {
			return refuse(codeExpireTime)
		}
	}
	if o.has("biTag") {
		if opt.biTag, ok = o.text("biTag"); !ok || len(opt.biTag) > maxBiTag {
			return illegal("biTag is not a string of at most %d bytes", maxBiTag)
		}
	}
	if o.has("receiptId") {
		if opt.receiptID, ok = o.text("receiptId"); !ok {
			return illegal("receiptId is not a string")
		}
	}
	if o.has("testMessage") {
		if opt.test, ok = o.boolean("testMessage"); !ok {
			return illegal("testMessage is not a boolean")
		}
	}
	if o.has("collapseKey") {
		if opt.collapse, ok = o.integer("collapseKey"); !ok || opt.collapse < -1 || opt.collapse > 100 {
			return illegal("collapseKey is not within -1 and 100")
		}
	}
	return nil
}
