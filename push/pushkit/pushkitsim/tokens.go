package pushkitsim

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sync"
	"time"
)

// TokenState is what the simulator was told about a token.
type TokenState string

// States of a token. One that was never told about is alive.
const (
	Alive   TokenState = "alive"    // messages arrive
	Dead    TokenState = "dead"     // app removed or token replaced: accepted, then receipt 2
	Foreign TokenState = "foreign"  // of another project: refused, noRight
	NoRight TokenState = "no_right" // app lacks the right for the push type: refused, noPushTypeRight
	Offline TokenState = "offline"  // accepted and kept until the ttl ends or the token is alive
)

var tokenStates = []TokenState{Alive, Dead, Foreign, NoRight, Offline}

// OfflineCache is the number of messages kept for one offline token; the
// oldest is overwritten (receipt 15).
const OfflineCache = 120

// Reasons inside illegalTokens (Push Kit REST v3, response codes).
const (
	reasonFormat    = "tokenFormatError"
	reasonNoRight   = "noRight"
	reasonPushRight = "noPushTypeRight"
)

var refusalReasons = []string{
	reasonFormat, "tokenPlatformNotSupport", reasonNoRight, reasonPushRight, "disableSendHuaweiMsgBecauseOfPenalty",
	"appinfoError", "countryNotSupport", "atomicUnableSendUnsubscribedMsg", "differentImgVerifyPolicy",
	"noRightToSendThisLiveNotificationEvent", "notSupportPlayVoice",
}

// Token is what the simulator knows of a token.
type Token struct {
	State TokenState `json:"state"` // empty: alive
	// Receipt is the result code of the token's receipts. For an alive token, a
	// result other than 0, 27, 31 and 191 also means that nothing reaches the
	// app. nil: 0 for alive, 2 for dead.
	Receipt *int `json:"receipt,omitempty"`
	// ProjectID binds the token to one project; others get noRight.
	ProjectID string `json:"project_id,omitempty"`
	// Reason refuses the token with this key of illegalTokens.
	Reason string `json:"reason,omitempty"`
}

// tokenForm is the well-formed token. Huawei asks senders not to assume a form;
// the alphabet is what samples show, the least length an assumption.
var tokenForm = regexp.MustCompile(`^[A-Za-z0-9+/_-]{16,}$`)

var errTokenForm = errors.New("the token is not 16 or more letters, digits and +/_-")

// told is a token that the simulator was told about.
type told struct {
	Token
	cache []*push // offline messages, oldest first
}

// fleet is every token, what was delivered to it and the phone behind it.
type fleet struct {
	mu         sync.Mutex
	keep       int
	tokens     map[string]*told
	delayed    []*push // by due time
	deliveries ring[*Delivery]
	lastN      int64
	dropped    int64
	byToken    map[string]*ring[*Delivery]
	waiters    map[string]map[chan struct{}]struct{} // "" waits for any token
	devices    map[string]*device
}

func (f *fleet) init(keep int) {
	f.keep = keep
	f.tokens = map[string]*told{}
	f.byToken = map[string]*ring[*Delivery]{}
	f.waiters = map[string]map[chan struct{}]struct{}{}
	f.devices = map[string]*device{}
}

// SetToken tells the simulator about a token. A token that becomes alive gets
// its offline messages that have not expired.
func (s *Sim) SetToken(token string, t Token) error {
	if t.State == "" {
		t.State = Alive
	}
	switch {
	case !tokenForm.MatchString(token):
		return errTokenForm
	case !slices.Contains(tokenStates, t.State):
		return fmt.Errorf("state %q is not one of %q", t.State, tokenStates)
	case t.Reason != "" && !slices.Contains(refusalReasons, t.Reason):
		return fmt.Errorf("reason %q is not one of %q", t.Reason, refusalReasons)
	case t.Receipt != nil && *t.Receipt < 0:
		return errors.New("receipt is negative")
	}
	s.receipts.enqueue(s.fleet.set(s.now(), token, t))
	return nil
}

// ForgetToken makes a token one that was never told about; what was kept for it
// offline is dropped.
func (s *Sim) ForgetToken(token string) {
	s.fleet.mu.Lock()
	defer s.fleet.mu.Unlock()
	delete(s.fleet.tokens, token)
}

func (f *fleet) set(now time.Time, token string, t Token) []receipt {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := f.settle(now)
	next := &told{Token: t}
	var kept []*push
	if old := f.tokens[token]; old != nil {
		kept = old.cache
	}
	f.tokens[token] = next
	for _, p := range kept { // an offline token keeps them, others get or lose them
		out = append(out, f.handOver(now, p)...)
	}
	return out
}

// sort splits the tokens of a request into good ones and refused ones by
// reason.
func (f *fleet) sort(req *sendRequest) (illegal map[string][]string, good []string) {
	granted := req.project.rights == nil || slices.Contains(req.project.rights, req.pushType)
	good = make([]string, 0, len(req.envelope.tokens))
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, token := range req.envelope.tokens {
		reason := f.refusal(token, req.project.id, granted)
		if reason == "" {
			good = append(good, token)
			continue
		}
		if illegal == nil {
			illegal = map[string][]string{}
		}
		illegal[reason] = append(illegal[reason], token)
	}
	return illegal, good
}

// refusal is the reason for which a token is refused, or "". A dead token is
// not refused.
func (f *fleet) refusal(token, projectID string, granted bool) string {
	if !tokenForm.MatchString(token) {
		return reasonFormat
	}
	t := f.tokens[token]
	switch {
	case t != nil && t.Reason != "":
		return t.Reason
	case t != nil && (t.State == Foreign || t.ProjectID != "" && t.ProjectID != projectID):
		return reasonNoRight
	case !granted || t != nil && t.State == NoRight:
		return reasonPushRight
	}
	return ""
}

// cacheOffline keeps a push for an offline token. Messages of one collapse
// group (push types 0 and 2 only) overwrite each other.
func (f *fleet) cacheOffline(now time.Time, t *told, p *push) []receipt {
	t.cache = slices.DeleteFunc(t.cache, func(q *push) bool { return !now.Before(q.expires) })
	var out []receipt
	overwrite := func(i int) {
		out = append(out, t.cache[i].receipt(resultOverwritten, now))
		t.cache = slices.Delete(t.cache, i, i+1)
	}
	if p.collapse >= 0 && (p.pushType == pushAlert || p.pushType == pushSpoken) {
		if i := slices.IndexFunc(t.cache, func(q *push) bool { return q.pushType == p.pushType && q.collapse == p.collapse }); i >= 0 {
			overwrite(i)
		}
	}
	if len(t.cache) >= OfflineCache {
		overwrite(0)
	}
	t.cache = append(t.cache, p)
	return out
}
