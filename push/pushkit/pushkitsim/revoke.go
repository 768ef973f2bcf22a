package pushkitsim

import (
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/pushwake/relay/push/simcontrol"
)

// handleRevoke takes notifications back (Push Kit REST v3, revoking messages).
// An unknown client id is answered like a project that the JWT is not of: an
// assumption.
func (s *Sim) handleRevoke(w http.ResponseWriter, r *http.Request) {
	req, ok := s.readRequest(r, s.projects.ofClient(simcontrol.PathParam(r, "client")))
	if !ok {
		panic(http.ErrAbortHandler)
	}
	if !req.overlong {
		req.envelope = decodeRevoke(req.body)
	}
	s.answer(w, r, req, s.judgeRevoke)
}

// decodeRevoke reads a revoke's body; what is missing in it is told later.
func decodeRevoke(body []byte) envelope {
	top, ok := asObject(body)
	if !ok {
		return envelope{}
	}
	e := envelope{valid: true}
	if top.has("token") {
		var list []*string
		if json.Unmarshal(top["token"], &list) != nil || slices.Contains(list, nil) {
			return envelope{}
		}
		e.tokens = make([]string, len(list))
		for i, t := range list {
			e.tokens[i] = *t
		}
	}
	if top.has("notifyId") {
		id, ok := top.integer("notifyId")
		if !ok {
			return envelope{}
		}
		e.notifyID = &id
	}
	return e
}

// judgeRevoke checks a revoke in the order of a message's checks. That a body
// over the limit is a wrong parameter is an assumption: the page names no code
// for it.
func (s *Sim) judgeRevoke(req *sendRequest, _ Fault) *answer {
	if a := s.checkJWT(req); a != nil {
		return a
	}
	if a := checkPushType(req); a != nil {
		return a
	}
	e := &req.envelope
	switch {
	case req.pushType != pushAlert && req.pushType != pushSpoken:
		return illegal("The header does not contain valid push-type")
	case !e.valid || len(req.body) > MaxCountedBytes:
		return refuse(codeParameter)
	case e.tokens == nil || e.notifyID == nil:
		return refuse(codeNoTarget)
	case *e.notifyID < 0 || *e.notifyID > 1<<31-1:
		return illegal("notifyId is not within 0 and 2147483647")
	}
	if a := checkTokenCount(req); a != nil {
		return a
	}
	if req.project.disabled {
		return refuse(codeNoPermission)
	}
	return s.revoke(req)
}

// revoke takes the notification off the phones, unless a token is refused: then
// all stay as they are, which is an assumption.
func (s *Sim) revoke(req *sendRequest) *answer {
	illegalTokens, good := s.fleet.sort(req)
	foreign := len(illegalTokens[reasonNoRight])
	switch total := len(req.envelope.tokens); {
	case foreign == total:
		return refuse(codeOtherClient)
	case foreign > 0:
		return refuse(codeSeveralApps)
	case len(good) == 0:
		a := refuse(codeAllInvalid)
		a.msg = compactJSON(struct {
			Failure       int                 `json:"failure"`
			IllegalTokens map[string][]string `json:"illegalTokens"`
		}{total, illegalTokens})
		return a
	case len(good) < total:
		return refuse(codeSomeIllegal)
	}
	s.receipts.enqueue(s.fleet.revoke(req.at, good, *req.envelope.notifyID, req.pushType))
	a := refuse(codeSuccess)
	a.verdict = verdictAccepted
	return a
}

// revoke takes a notification back from phones that show it, and from what
// waits for them. It tells nobody whether it found any: the answer does not.
func (f *fleet) revoke(now time.Time, tokens []string, notifyID int64, pushType int) []receipt {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := f.settle(now)
	matches := func(p *push) bool {
		id := readAlert(p.content).NotifyID
		return p.pushType == pushType && id != nil && *id == notifyID
	}
	for _, token := range tokens {
		if t := f.tokens[token]; t != nil {
			t.cache = slices.DeleteFunc(t.cache, matches)
		}
		f.delayed = slices.DeleteFunc(f.delayed, func(p *push) bool { return p.token == token && matches(p) })
		if d := f.devices[token]; d != nil && pushType == pushAlert {
			d.dismiss(notifyID)
		}
	}
	return out
}
