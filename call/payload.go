package call

import (
	"encoding/json"
	"errors"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

// PayloadPolicy says what a wake contains of the caller.
type PayloadPolicy string

const (
	PayloadFull    PayloadPolicy = "full"    // name, avatar and enterprise, as far as they fit
	PayloadMinimal PayloadPolicy = "minimal" // nothing of the caller; the app learns it from the confirm
)

// PayloadPolicies lists every payload policy.
var PayloadPolicies = []PayloadPolicy{PayloadFull, PayloadMinimal}

// WakePayload is the content of a wake.
type WakePayload struct {
	Purpose      Purpose // of a notice; a ring needs none
	Call, Leg    uuid.UUID
	Token        string // valid for this leg only
	Callee       string
	Presentation Presentation
	Media        Media
	VoiceAnswer  bool
	Conference   bool
	SentAt       time.Time
	ExpiresAt    time.Time
	Caller       *Party // nil under PayloadMinimal
	Enterprise   bool   // the device may be told Caller.Enterprise
}

// ErrPayloadTooLarge is returned where not even a wake without its caller fits.
var ErrPayloadTooLarge = errors.New("the wake does not fit the vendor's limit")

// payloadVersion is the "v" of every wake; it grows when a field changes its meaning.
const payloadVersion = 1

// The wake's JSON is the only wire format in this package, because what may be
// dropped from it, and in which order, is a rule of the call.
type wakeJSON struct {
	Version      int          `json:"v"`
	Purpose      Purpose      `json:"purpose,omitempty"`
	Call         uuid.UUID    `json:"call"`
	Leg          uuid.UUID    `json:"leg"`
	Token        string       `json:"token"`
	Callee       string       `json:"callee"`
	Presentation Presentation `json:"presentation"`
	Media        Media        `json:"media"`
	VoiceAnswer  bool         `json:"voice_answer"`
	Conference   bool         `json:"conference"`
	SentAt       int64        `json:"sent_at"`    // Unix milliseconds
	ExpiresAt    int64        `json:"expires_at"` // Unix milliseconds
	ExpiresInMS  int64        `json:"expires_in_ms"`
	Caller       *callerJSON  `json:"caller,omitempty"`
}

type callerJSON struct {
	UserID     string          `json:"user_id"`
	Name       string          `json:"name,omitempty"`
	AvatarURL  string          `json:"avatar_url,omitempty"`
	Enterprise *enterpriseJSON `json:"enterprise,omitempty"`
}

type enterpriseJSON struct {
	Company    string `json:"company,omitempty"`
	Department string `json:"department,omitempty"`
	Position   string `json:"position,omitempty"`
	EmployeeID string `json:"employee_id,omitempty"`
}

// Encode writes the wake as JSON. fits reports whether a candidate is within
// the vendor's limit, which includes the vendor's own envelope. What does not
// fit is dropped in this order: enterprise, avatar_url, then the name is cut at
// a rune; never an id.
func (p WakePayload) Encode(fits func([]byte) bool) ([]byte, error) {
	w := wakeJSON{
		Version: payloadVersion, Purpose: p.Purpose, Call: p.Call, Leg: p.Leg, Token: p.Token, Callee: p.Callee, Presentation: p.Presentation, Media: p.Media,
		VoiceAnswer: p.VoiceAnswer, Conference: p.Conference, SentAt: p.SentAt.UnixMilli(), ExpiresAt: p.ExpiresAt.UnixMilli(),
		ExpiresInMS: max(0, p.ExpiresAt.Sub(p.SentAt).Milliseconds()),
	}
	if p.Caller == nil {
		return w.try(fits)
	}
	w.Caller = &callerJSON{UserID: p.Caller.UserID, Name: p.Caller.Name, AvatarURL: p.Caller.AvatarURL}
	if e := p.Caller.Enterprise; e != nil && p.Enterprise {
		known := enterpriseJSON(*e)
		w.Caller.Enterprise = &known
	}
	for _, drop := range []func(){func() {}, func() { w.Caller.Enterprise = nil }, func() { w.Caller.AvatarURL = "" }} {
		drop()
		if b, err := w.try(fits); !errors.Is(err, ErrPayloadTooLarge) {
			return b, err
		}
	}
	return w.cutName(fits)
}

// cutName finds the longest prefix of the name that fits, by binary search.
func (w *wakeJSON) cutName(fits func([]byte) bool) ([]byte, error) {
	name := w.Caller.Name
	ends := []int{0} // byte lengths at which the name may be cut
	for i := 0; i < len(name); {
		_, size := utf8.DecodeRuneInString(name[i:])
		i += size
		ends = append(ends, i)
	}
	var best []byte
	low, high := 0, len(ends)-1
	for low <= high {
		mid := (low + high) / 2
		w.Caller.Name = name[:ends[mid]]
		b, err := w.try(fits)
		switch {
		case err == nil:
			best, low = b, mid+1
		case errors.Is(err, ErrPayloadTooLarge):
			high = mid - 1
		default:
			return nil, err
		}
	}
	if best == nil {
		return nil, ErrPayloadTooLarge
	}
	return best, nil
}

func (w *wakeJSON) try(fits func([]byte) bool) ([]byte, error) {
	b, err := json.Marshal(w)
	if err != nil {
		return nil, err
	}
	if !fits(b) {
		return nil, ErrPayloadTooLarge
	}
	return b, nil
}
