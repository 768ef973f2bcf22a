package pushkitsim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Application codes of messages:send and of messages:revoke (Push Kit REST v3,
// response codes).
const (
	codeSuccess        = "80000000"
	codePartial        = "80100000"
	codeParameter      = "80100001"
	codePayload        = "80100003"
	codeExpireTime     = "80100004"
	codeImage          = "80100022"
	codeAuthentication = "80200001"
	codeJWTExpired     = "80200005"
	codeNoPermission   = "80300002"
	codeAllInvalid     = "80300007"
	codeTooLong        = "80300008"
	codeTokenCount     = "80300010"
	codeTestQuota      = "80300029"
	codeTestTokens     = "80300030"
	codeJWTPeriod      = "80300036"
	codePenalty        = "80300037"
	codeInner          = "81000001"

	codeSomeIllegal = "80100020"
	codeSeveralApps = "80300017"
	codeOtherClient = "80300028"
	codeNoTarget    = "80300032"
)

// documented holds each code's wire text, and the HTTP status it is sent with.
// Only 401 and 500 are documented; the 400s are an assumption, and so are the
// texts of the codes that only a revoke has.
var documented = map[string]struct {
	status int
	msg    string
}{
	codeSuccess:        {http.StatusOK, "Success"},
	codePartial:        {http.StatusOK, "Check Parameter Partial Success."},
	codeParameter:      {http.StatusBadRequest, "Check Parameter Error."},
	codePayload:        {http.StatusBadRequest, "Illegal payload, "},
	codeExpireTime:     {http.StatusBadRequest, "Illegal expire time."},
	codeImage:          {http.StatusBadRequest, "Anti-Spam: image not verify."},
	codeAuthentication: {http.StatusUnauthorized, "Authentication Error."},
	codeJWTExpired:     {http.StatusUnauthorized, "Jwt token expired."},
	codeNoPermission:   {http.StatusBadRequest, "No permission to send message to these tmIDs."},
	codeAllInvalid:     {http.StatusBadRequest, "All the tokens are invalid."},
	codeTooLong:        {http.StatusBadRequest, "Push message size is too long."},
	codeTokenCount:     {http.StatusBadRequest, "token count should within 1 and 1000."},
	codeTestQuota:      {http.StatusBadRequest, "When send test message, the api request exceed limit."},
	codeTestTokens:     {http.StatusBadRequest, "When send test message, token count exceed limit."},
	codeJWTPeriod:      {http.StatusBadRequest, "JWT expire period over threshold."},
	codePenalty:        {http.StatusBadRequest, "Disable send huawei msg because of penalty."},
	codeInner:          {http.StatusInternalServerError, "Inner Error."},
	codeSomeIllegal:    {http.StatusBadRequest, "Check Parameter Partial Error."},
	codeSeveralApps:    {http.StatusBadRequest, "The tokens belong to several apps."},
	codeOtherClient:    {http.StatusBadRequest, "The token's app is not that of the client id."},
	codeNoTarget:       {http.StatusBadRequest, "token and notifyId are needed."},
}

// answer is what goes back to the sender. Without a code, raw is the body.
type answer struct {
	status  int
	code    string
	msg     string
	raw     string
	verdict string
}

// refuse answers a code with its documented text.
func refuse(code string) *answer {
	d := documented[code]
	return &answer{status: d.status, code: code, msg: d.msg, verdict: verdictRejected + code}
}

// illegal answers 80100003 and says what is wrong.
func illegal(format string, args ...any) *answer {
	a := refuse(codePayload)
	a.msg += fmt.Sprintf(format, args...)
	return a
}

// refuseStatus answers a bare HTTP status with an empty body.
func refuseStatus(status int) *answer {
	return &answer{status: status, verdict: fmt.Sprintf("%s%d", verdictRejected, status)}
}

// write sends the answer. The code is a string on the wire.
func (a *answer) write(w http.ResponseWriter, requestID string) {
	if a.code == "" {
		if a.raw != "" {
			w.Header().Set("Content-Type", "text/html")
		}
		w.WriteHeader(a.status)
		_, _ = w.Write([]byte(a.raw))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(a.status)
	_, _ = w.Write([]byte(compactJSON(struct {
		Code      string `json:"code"`
		Msg       string `json:"msg"`
		RequestID string `json:"requestId"`
	}{a.code, a.msg, requestID})))
}

// requestID is 24 digits that begin with a 13-digit time in milliseconds.
func (s *Sim) requestID(at time.Time) string {
	return fmt.Sprintf("%013d%011d", max(at.UnixMilli(), 0)%1e13, s.requests.Add(1)%1e11)
}

// compactJSON encodes v on one line and leaves <, > and & as they are, as the
// vendor does.
func compactJSON(v any) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(fmt.Sprintf("pushkitsim: encoding %T: %v", v, err)) // only types that cannot fail are passed
	}
	return strings.TrimSuffix(b.String(), "\n")
}
