package push

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/pushwake/relay/call"
)

// Sender speaks to one vendor with one app's credential.
//
// Send makes exactly one request and returns the vendor's verdict on it; it
// never retries, so that every request is an attempt on record. It returns by
// ctx's deadline, dialling included, and says Unavailable when that passed. It
// is safe for concurrent use. Tokens, payloads and names never reach a log. A
// Sender that is an io.Closer is closed when its credential was replaced.
type Sender interface {
	Send(ctx context.Context, m Message) Answer
	// Serves reports whether the vendor can send pushes of this purpose with
	// this credential.
	Serves(call.Purpose) bool
	Previewer
}

// Message is one wake or notice, independent of the vendor.
type Message struct {
	Attempt     uuid.UUID    // the vendor's message id: Push Kit's biTag, APNs's apns-id
	Purpose     call.Purpose // "" is a ring
	Channel     call.Channel
	Token       string
	BundleID    string
	Environment string // "production" or "sandbox"
	Locale      string // BCP 47, for the text of an alert; "" where unknown
	Payload     call.WakePayload
	RingLeft    time.Duration // until the call is missed
	KeepFor     time.Duration // of APNs VoIP: how long the vendor may keep it; 0 is one try
	Text        string        // body of a missed call's notice, where the app has a text of its own
}

// Outcome is the result of one request: a closed set, used in the timeline and
// as a metric's label.
type Outcome string

const (
	Accepted        Outcome = "accepted"        // the vendor took the message; not yet a delivery
	TokenRefused    Outcome = "token_refused"   // the vendor does not know the token, or not for this app
	Refused         Outcome = "refused"         // the vendor refused the message or the app for good
	Unauthenticated Outcome = "unauthenticated" // the vendor refused our credential
	Throttled       Outcome = "throttled"       // the vendor limits our rate
	Unavailable     Outcome = "unavailable"     // no answer in time, or the vendor failed
	Abandoned       Outcome = "abandoned"       // the process died before the answer was recorded
)

// Outcomes lists every outcome.
var Outcomes = []Outcome{Accepted, TokenRefused, Refused, Unauthenticated, Throttled, Unavailable, Abandoned}

// NotSent is relay's own code for an attempt that could not be put into the
// vendor's form, so that no request was made.
const NotSent = "NotSent"

// Retry says whether another request for the same wake may help.
type Retry string

const (
	RetryNever Retry = "never"
	RetryLater Retry = "later" // with back-off, inside the ring
	RetryOnce  Retry = "once"  // at once, a single time: the sender has renewed its authorization
)

// TokenVerdict is what an answer says about the token it was sent to.
type TokenVerdict string

const (
	TokenKeep      TokenVerdict = "keep"
	TokenDead      TokenVerdict = "dead"      // will never work again
	TokenDoubtful  TokenVerdict = "doubtful"  // dead only if other tokens of the same app are accepted in the same period; otherwise the project is misconfigured
	TokenSuspended TokenVerdict = "suspended" // not before the app registers again
)

// Answer is a vendor's verdict on one request.
type Answer struct {
	Outcome   Outcome
	Reason    call.Reason // the leg's reason if this is the last attempt; "" when Accepted
	Retry     Retry
	Blame     call.Blame
	Token     TokenVerdict
	DeadSince time.Time // of TokenDead: the vendor's time of the token's death; a token that was registered later is alive. Zero where the vendor gives none
	Status    int       // HTTP status; 0 where no answer came
	Code      string    // the vendor's own code or reason, "" for none
	Message   string    // the vendor's own words, at most 500 bytes, without tokens
	RequestID string    // the vendor's id of the request
}
