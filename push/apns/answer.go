package apns

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/pushwake/relay/push"
)

const (
	maxAnswer  = 4 << 10 // bytes read of an answer; real ones have under a hundred
	maxReason  = 64      // bytes of an unknown reason that is kept
	maxMessage = 500     // bytes of push.Answer.Message
	maxID      = 128     // bytes of push.Answer.RequestID
)

// reply is the body of a refusal. apns2's own type cuts the timestamp to whole
// seconds and fails on one that is a string, so the text is read here.
type reply struct {
	Reason    string          `json:"reason"`
	Timestamp json.RawMessage `json:"timestamp"` // Unix milliseconds
}

// ParseAnswer reads Apple's answer to one request. It accepts any body: where
// it cannot be read, the HTTP status decides. id is the header apns-id. The
// token, and any other secrets of the request, are masked where they are
// echoed.
func ParseAnswer(status int, id string, body []byte, token string, secrets ...string) push.Answer {
	secrets = append([]string{token}, secrets...)
	var r reply
	readable := json.Unmarshal(body, &r) == nil
	a := byStatus(status).Answer
	a.Status, a.RequestID = status, push.Redact(id, maxID, secrets)
	if status == 200 {
		return a
	}
	if row, known := byReason[r.Reason]; known && readable {
		a = row.Answer
		a.Status, a.RequestID = status, push.Redact(id, maxID, secrets)
	} else if r.Reason != "" {
		a.Code = push.Redact(r.Reason, maxReason, secrets)
	}
	if a.Code == "" {
		a.Message = push.Redact(string(body), maxMessage, secrets)
	}
	if a.Token == push.TokenDead {
		a.DeadSince = timestamp(r.Timestamp)
	}
	return a
}

// timestamp reads Unix milliseconds, as a number or as a string; zero where
// there are none.
func timestamp(raw json.RawMessage) time.Time {
	ms, err := strconv.ParseInt(strings.Trim(string(raw), `"`), 10, 64)
	if err != nil || ms <= 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// retires reports whether the connection that brought an answer may take no
// more requests.
func retires(a push.Answer) bool {
	if r, ok := byReason[a.Code]; ok {
		return r.retire
	}
	return byStatus(a.Status).retire
}
