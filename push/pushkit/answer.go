package pushkit

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pushwake/relay/push"
)

const (
	maxMessage   = 500 // bytes of push.Answer.Message
	maxRequestID = 128 // bytes of push.Answer.RequestID; the vendor's have 24
	maxReason    = 64  // bytes of an unknown reason that is kept
)

// reply is the body of every answer. The documents give all fields as strings;
// public code has met numbers too.
type reply struct {
	Code      json.RawMessage `json:"code"`
	Msg       json.RawMessage `json:"msg"`
	RequestID json.RawMessage `json:"requestId"`
}

// ParseAnswer reads the vendor's answer to a request for one token. It accepts
// any body: where it cannot be read, the HTTP status decides. The token, and
// any other secrets of the request, are masked where the vendor echoes them.
func ParseAnswer(status int, body []byte, token string, secrets ...string) push.Answer {
	secrets = append([]string{token}, secrets...)
	var r reply
	if json.Unmarshal(body, &r) != nil {
		return withoutCode(status, "", "", secrets)
	}
	msg, requestID := text(r.Msg), text(r.RequestID)
	code := readCode(r.Code)
	if code == "" {
		return withoutCode(status, msg, requestID, secrets)
	}
	a, msg := judge(status, code, msg, token)
	a.Status = status
	a.Message = push.Redact(msg, maxMessage, secrets)
	a.RequestID = push.Redact(requestID, maxRequestID, secrets)
	return a
}

// judge finds the verdict on a code, and the text to keep with it.
func judge(status int, code, msg, token string) (push.Answer, string) {
	key := code
	if code == codePartial || code == codeAllInvalid {
		if d, ok := readDetail(msg); ok {
			key, msg = d.key(code, token), d.String()
		}
	}
	row, ok := lookup(key)
	if !ok {
		a := unknownCode(status)
		a.Code = code
		return a, msg
	}
	return row.Answer, msg
}

func withoutCode(status int, msg, requestID string, secrets []string) push.Answer {
	rule := byStatus(status)
	a := rule.Answer
	a.Status = status
	if strings.TrimSpace(msg) == "" {
		msg = fmt.Sprintf("HTTP %d without a code. %s", status, rule.Meaning)
	}
	a.Message = push.Redact(msg, maxMessage, secrets)
	a.RequestID = push.Redact(requestID, maxRequestID, secrets)
	return a
}

// readCode returns an application code: digits, from a string or a number; ""
// where there is none.
func readCode(raw json.RawMessage) string {
	code := strings.TrimSpace(text(raw))
	if len(code) == 0 || len(code) > 16 {
		return ""
	}
	for _, c := range []byte(code) {
		if c < '0' || c > '9' {
			return ""
		}
	}
	return code
}

// text returns a JSON string's content; of anything else its JSON.
func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}

// detail is the JSON inside msg of 80100000 and 80300007.
type detail struct {
	reasons map[string][]string // reason -> tokens
	plain   []string            // tokens without a reason, as HMS Core v1 lists them
	success *int
	failure *int
}

// readDetail reads msg; ok is false where it is not such JSON.
func readDetail(msg string) (d detail, ok bool) {
	var wire struct {
		Camel   json.RawMessage `json:"illegalTokens"`
		Snake   json.RawMessage `json:"illegal_tokens"`
		Success json.RawMessage `json:"success"`
		Failure json.RawMessage `json:"failure"`
	}
	if json.Unmarshal([]byte(msg), &wire) != nil {
		return detail{}, false
	}
	d = detail{reasons: map[string][]string{}, success: count(wire.Success), failure: count(wire.Failure)}
	for _, raw := range []json.RawMessage{wire.Camel, wire.Snake} {
		d.add(raw)
	}
	return d, true
}

// add takes an object of reasons or a plain list of tokens.
func (d *detail) add(raw json.RawMessage) {
	var list []string
	if json.Unmarshal(raw, &list) == nil {
		d.plain = append(d.plain, list...)
		return
	}
	var byReason map[string]json.RawMessage
	if json.Unmarshal(raw, &byReason) != nil {
		return
	}
	for reason, raw := range byReason {
		var tokens []string
		if json.Unmarshal(raw, &tokens) != nil {
			var one string
			if json.Unmarshal(raw, &one) == nil {
				tokens = []string{one}
			}
		}
		reason = strings.TrimSpace(reason) // one edition of the documents shows blanks inside the quotes
		d.reasons[reason] = append(d.reasons[reason], tokens...)
	}
}

func count(raw json.RawMessage) *int {
	n, err := strconv.Atoi(strings.TrimSpace(text(raw)))
	if err != nil {
		return nil
	}
	return &n
}

// key is the table's key for what the answer says of our token.
func (d detail) key(code, token string) string {
	for _, reason := range d.sorted() {
		if slices.Contains(d.reasons[reason], token) {
			return reasonKey(code, reason, token)
		}
	}
	if slices.Contains(d.plain, token) {
		return codeAllInvalid // refused, and no reason given
	}
	// Not listed. That means accepted, unless the answer says that all were
	// refused: then a lone reason is ours, however the list spells the token.
	none := d.success != nil && *d.success == 0 && d.failure != nil && *d.failure > 0
	if code == codeAllInvalid || none {
		if len(d.reasons) == 1 && len(d.plain) == 0 {
			return reasonKey(code, d.sorted()[0], token)
		}
		return codeAllInvalid
	}
	return code
}

func (d detail) sorted() []string {
	names := make([]string, 0, len(d.reasons))
	for reason := range d.reasons {
		names = append(names, reason)
	}
	slices.Sort(names)
	return names
}

// String lists the reasons with their counts, without tokens.
func (d detail) String() string {
	var parts []string
	if names := d.sorted(); len(names) > 0 {
		parts = append(parts, "illegalTokens: "+strings.Join(names, ", "))
	} else if len(d.plain) > 0 {
		parts = append(parts, "illegalTokens, without a reason")
	}
	if d.success != nil {
		parts = append(parts, fmt.Sprintf("success: %d", *d.success))
	}
	if d.failure != nil {
		parts = append(parts, fmt.Sprintf("failure: %d", *d.failure))
	}
	return strings.Join(parts, "; ")
}

// reasonKey joins code and reason, and leaves out a reason that is no name.
func reasonKey(code, reason, token string) string {
	if reason == "" || len(reason) > maxReason || token != "" && strings.Contains(reason, token) {
		return codeAllInvalid
	}
	for _, c := range reason {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_') {
			return codeAllInvalid
		}
	}
	return code + "/" + reason
}
