package pushkitsim

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pushwake/relay/push/simcontrol"
)

// Limits of a request (Push Kit REST v3, request parameters and limits).
const (
	MaxCountedBytes = 4096 // see countedBytes
	MaxTokens       = 1000
	MaxTestTokens   = 10
	maxFormTokens   = 1 // push-type 1, widget refresh
)

// Push types (header push-type).
const (
	pushAlert      = 0
	pushForm       = 1
	pushSpoken     = 2
	pushBackground = 6
	pushLiveView   = 7
	pushVoIP       = 10
	pushMDM        = 11
)

var pushTypes = []int{pushAlert, pushForm, pushSpoken, pushBackground, pushLiveView, pushVoIP, pushMDM}

func isPushType(n int) bool { return slices.Contains(pushTypes, n) }

// sendRequest is one request to messages:send, or to messages:revoke, while it
// is judged.
type sendRequest struct {
	at            time.Time
	requestID     string
	projectID     string
	path          string
	authorization string
	pushTypeText  string
	headers       map[string]string
	body          []byte
	overlong      bool // more bytes than the simulator reads
	envelope      envelope

	// Found by the checks, in their order.
	project   *project
	pushType  int
	content   string // what reaches the device, see deviceData
	options   pushOptions
	testTaken bool
}

// envelope is the body's outer shape.
type envelope struct {
	valid      bool // JSON object with a target whose token is an array of strings
	payload    json.RawMessage
	options    json.RawMessage
	tokens     []string
	tokenBytes int // length of the token array as sent, brackets included

	notifyID *int64 // of a revoke; nil where it is missing
}

// handleSend is the route of messages.
func (s *Sim) handleSend(w http.ResponseWriter, r *http.Request) {
	req, ok := s.readRequest(r, simcontrol.PathParam(r, "project"))
	if !ok {
		panic(http.ErrAbortHandler) // the sender is gone, or never sent what it announced
	}
	s.answer(w, r, req, s.judge)
}

// answer answers a request to the vendor side as judge says, and as the faults
// have it.
func (s *Sim) answer(w http.ResponseWriter, r *http.Request, req *sendRequest, judge func(*sendRequest, Fault) *answer) {
	fault := s.faults.take(req)
	if fault.Reset {
		panic(http.ErrAbortHandler)
	}
	if fault.LatencyMS > 0 && !s.pauseOpen(fault.LatencyMS) {
		panic(http.ErrAbortHandler)
	}
	if fault.stalls() {
		s.record(req, &answer{verdict: verdictFault})
		s.stall(r, fault.StallMS)
		panic(http.ErrAbortHandler)
	}
	a := fault.answer()
	if a == nil {
		a = judge(req, fault)
	}
	if fault.BusinessStatus200 && a.status == http.StatusBadRequest {
		a.status = http.StatusOK
	}
	if fault.LoseAnswer {
		if !strings.HasPrefix(a.verdict, verdictRejected) {
			a.verdict = verdictLostAnswer
		}
		a.status = 0
	}
	s.record(req, a)
	if fault.LoseAnswer {
		panic(http.ErrAbortHandler)
	}
	a.write(w, req.requestID)
}

// pauseOpen waits as a slow server does: whether or not the sender still
// listens. It is false when the simulator closes.
func (s *Sim) pauseOpen(ms int) bool {
	t := time.NewTimer(time.Duration(ms) * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.closing:
		return false
	}
}

// stall holds the request open; 0 means until the sender gives up.
func (s *Sim) stall(r *http.Request, ms int) {
	if ms > 0 {
		s.pause(r.Context(), time.Duration(ms)*time.Millisecond)
		return
	}
	select {
	case <-r.Context().Done():
	case <-s.closing:
	}
}

// readRequest reads what the sender sent; false means that it broke off.
func (s *Sim) readRequest(r *http.Request, projectID string) (*sendRequest, bool) {
	at := s.now()
	body, err := io.ReadAll(io.LimitReader(r.Body, s.limits.RequestBytes+1))
	if err != nil {
		return nil, false
	}
	req := &sendRequest{
		at:            at,
		requestID:     s.requestID(at),
		projectID:     projectID,
		path:          r.URL.Path,
		authorization: r.Header.Get("Authorization"),
		pushTypeText:  r.Header.Get("Push-Type"),
		headers:       recordedHeaders(r),
		body:          body,
	}
	if int64(len(body)) > s.limits.RequestBytes {
		req.body, req.overlong = body[:MaxCountedBytes:MaxCountedBytes], true
		return req, true
	}
	req.envelope = decodeEnvelope(body)
	return req, true
}

// judge checks a request in the documented order and hands an accepted one to
// its devices. The first fault found is the answer.
func (s *Sim) judge(req *sendRequest, fault Fault) *answer {
	for _, check := range []func(*sendRequest) *answer{
		s.checkJWT,
		checkPushType,
		checkJSON,
		checkPayload,
		checkOptions,
		checkSize,
		checkTokenCount,
		s.checkTestLimits,
		checkStanding,
		s.checkQPS,
	} {
		if a := check(req); a != nil {
			req.giveBack()
			return a
		}
	}
	a := s.accept(req, fault)
	if strings.HasPrefix(a.verdict, verdictRejected) {
		req.giveBack()
	}
	return a
}

// giveBack returns the test quota of a request that was not accepted.
func (req *sendRequest) giveBack() {
	if req.testTaken {
		req.project.meter.giveTest()
	}
}

func checkPushType(req *sendRequest) *answer {
	n, err := strconv.Atoi(req.pushTypeText)
	if err != nil || strconv.Itoa(n) != req.pushTypeText || !isPushType(n) {
		return illegal("The header does not contain valid push-type")
	}
	req.pushType = n
	return nil
}

func checkJSON(req *sendRequest) *answer {
	switch {
	case req.overlong: // not documented; it is too long whatever it holds
		return refuse(codeTooLong)
	case !req.envelope.valid:
		return refuse(codeParameter)
	}
	return nil
}

func checkSize(req *sendRequest) *answer {
	if countedBytes(req) > MaxCountedBytes {
		return refuse(codeTooLong)
	}
	return nil
}

// countedBytes is the size rule: the bytes of the body as received, with the
// array target.token emptied. Huawei says only "4096 bytes, without tokens": an
// assumption.
func countedBytes(req *sendRequest) int {
	return len(req.body) - req.envelope.tokenBytes + len("[]")
}

func checkTokenCount(req *sendRequest) *answer {
	limit := MaxTokens
	if req.pushType == pushForm {
		limit = maxFormTokens
	}
	if n := len(req.envelope.tokens); n < 1 || n > limit {
		a := refuse(codeTokenCount)
		a.msg = fmt.Sprintf("token count should within 1 and %d.", limit)
		return a
	}
	return nil
}

func (s *Sim) checkTestLimits(req *sendRequest) *answer {
	if !req.options.test {
		return nil
	}
	if len(req.envelope.tokens) > MaxTestTokens {
		return refuse(codeTestTokens)
	}
	if !req.project.meter.takeTest(req.at, s.quotas.TestMessagesPerDay) {
		return refuse(codeTestQuota)
	}
	req.testTaken = true
	return nil
}

func checkStanding(req *sendRequest) *answer {
	switch {
	case req.project.penalty:
		return refuse(codePenalty)
	case req.project.disabled:
		return refuse(codeNoPermission)
	}
	return nil
}

// checkQPS answers 503 with an empty body: no code is documented for it.
func (s *Sim) checkQPS(req *sendRequest) *answer {
	limit := req.project.qps
	if limit == 0 {
		limit = s.quotas.QPS
	}
	if !req.project.meter.takeDevices(req.at, len(req.envelope.tokens), limit) {
		return refuseStatus(http.StatusServiceUnavailable)
	}
	return nil
}

// accept sorts the tokens, hands the message to the good ones and words the
// answer.
func (s *Sim) accept(req *sendRequest, fault Fault) *answer {
	illegalTokens, success := s.fleet.sort(req)
	s.receipts.enqueue(s.fleet.push(req, success, fault))
	if fault.DeliveryDelayMS > 0 {
		time.AfterFunc(time.Duration(fault.DeliveryDelayMS)*time.Millisecond, s.settleDue)
	}
	failure := len(req.envelope.tokens) - len(success)
	switch {
	case failure == 0:
		a := refuse(codeSuccess)
		a.verdict = verdictAccepted
		return a
	case len(success) > 0:
		a := refuse(codePartial)
		a.verdict = verdictPartial
		a.msg = compactJSON(struct {
			IllegalTokens map[string][]string `json:"illegalTokens"`
			Success       int                 `json:"success"`
			Failure       int                 `json:"failure"`
		}{illegalTokens, len(success), failure})
		return a
	default:
		a := refuse(codeAllInvalid)
		a.msg = compactJSON(struct {
			Failure       int                 `json:"failure"`
			IllegalTokens map[string][]string `json:"illegalTokens"`
		}{failure, illegalTokens})
		return a
	}
}
