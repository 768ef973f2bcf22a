package api

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/store"
)

func printable(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

// write sends a success.
func write(w http.ResponseWriter, status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // a client that left cannot be told
	return nil
}

// moment is a time in the API's JSON: UTC with milliseconds, null for none.
type moment time.Time

func (m moment) MarshalJSON() ([]byte, error) {
	text := m.String()
	if text == "" {
		return []byte("null"), nil
	}
	return []byte(`"` + text + `"`), nil
}

// String is the time as text, "" for none.
func (m moment) String() string {
	t := time.Time(m)
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

// orNull is a text that is null where it is empty.
func orNull[T ~string](s T) *T {
	if s == "" {
		return nil
	}
	return &s
}

type enterpriseJSON struct {
	Company    string `json:"company,omitempty"`
	Department string `json:"department,omitempty"`
	Position   string `json:"position,omitempty"`
	EmployeeID string `json:"employee_id,omitempty"`
}

type partyJSON struct {
	UserID     string          `json:"user_id"`
	Name       string          `json:"name,omitempty"`
	AvatarURL  string          `json:"avatar_url,omitempty"`
	Enterprise *enterpriseJSON `json:"enterprise,omitempty"`
}

func renderParty(p call.Party) partyJSON {
	out := partyJSON{UserID: p.UserID, Name: p.Name, AvatarURL: p.AvatarURL}
	if p.Enterprise != nil {
		e := enterpriseJSON(*p.Enterprise)
		out.Enterprise = &e
	}
	return out
}

type callJSON struct {
	ID          uuid.UUID       `json:"id"`
	AppID       string          `json:"app_id,omitempty"` // for operators
	Ref         *string         `json:"ref"`
	ClientID    string          `json:"client_id,omitempty"`
	Direction   call.Direction  `json:"direction"`
	Status      call.Status     `json:"status"`
	EndReason   *call.EndReason `json:"end_reason"`
	Media       call.Media      `json:"media"`
	VoiceAnswer bool            `json:"voice_answer"`
	Conference  bool            `json:"conference"`
	Caller      partyJSON       `json:"caller"`
	Callee      partyJSON       `json:"callee"`
	Custom      json.RawMessage `json:"custom"`
	CreatedAt   moment          `json:"created_at"`
	ExpiresAt   moment          `json:"expires_at"`
	RingingAt   moment          `json:"ringing_at"`
	AnsweredAt  moment          `json:"answered_at"`
	ActiveAt    moment          `json:"active_at"`
	EndedAt     moment          `json:"ended_at"`
	AnsweredBy  *string         `json:"answered_by"`
	Reachable   *int            `json:"reachable,omitzero"` // not of events
	Legs        []legJSON       `json:"legs,omitzero"`
	MoreSkipped int             `json:"more_skipped,omitzero"` // besides those of legs
}

type legJSON struct {
	ID           uuid.UUID          `json:"id"`
	DeviceID     string             `json:"device_id"`
	Platform     call.Platform      `json:"platform"`
	DeviceType   call.DeviceType    `json:"device_type"`
	Channel      *call.Channel      `json:"channel"`
	Presentation *call.Presentation `json:"presentation"`
	Status       call.LegStatus     `json:"status"`
	Reason       *call.Reason       `json:"reason"`
	Media        *call.Media        `json:"media"`
	HandedOverAt moment             `json:"handed_over_at"`
	ConfirmedAt  moment             `json:"confirmed_at"`
	RingingAt    moment             `json:"ringing_at"`
	AnsweredAt   moment             `json:"answered_at"`
	NoWakeAt     moment             `json:"no_wake_at"`
	EscalatedAt  moment             `json:"escalated_at"`
	RewokenAt    moment             `json:"rewoken_at"`
	EndedAt      moment             `json:"ended_at"`
}

func renderCall(c call.Call) callJSON {
	reachable := c.Reachable()
	out := callJSON{
		ID: c.ID, Ref: orNull(c.Ref), ClientID: c.ClientID, Direction: c.Direction, Status: c.Status, EndReason: orNull(c.EndReason), Media: c.Media,
		VoiceAnswer: c.VoiceAnswer, Conference: c.Conference, Caller: renderParty(c.Caller), Callee: renderParty(c.Callee), Custom: c.Custom,
		CreatedAt: moment(c.CreatedAt), ExpiresAt: moment(c.ExpiresAt), RingingAt: moment(c.RingingAt), AnsweredAt: moment(c.AnsweredAt),
		ActiveAt: moment(c.ActiveAt), EndedAt: moment(c.EndedAt), AnsweredBy: orNull(c.AnsweredBy), Reachable: &reachable,
		Legs: make([]legJSON, len(c.Legs)), MoreSkipped: c.MoreSkipped,
	}
	for i := range c.Legs {
		out.Legs[i] = renderLeg(c.Legs[i])
	}
	return out
}

func renderLeg(l call.Leg) legJSON {
	return legJSON{
		ID: l.ID, DeviceID: l.DeviceID, Platform: l.Platform, DeviceType: l.DeviceType, Channel: orNull(l.Channel), Presentation: orNull(l.Presentation),
		Status: l.Status, Reason: orNull(l.Reason), Media: orNull(l.Media), HandedOverAt: moment(l.HandedOverAt), ConfirmedAt: moment(l.ConfirmedAt),
		RingingAt: moment(l.RingingAt), AnsweredAt: moment(l.AnsweredAt), NoWakeAt: moment(l.NoWakeAt),
		EscalatedAt: moment(l.EscalatedAt), RewokenAt: moment(l.RewokenAt), EndedAt: moment(l.EndedAt),
	}
}

// renderForDevice is a call as one of its devices may see it: without the other
// devices, and with the caller's enterprise only where the rules allow it.
func renderForDevice(c call.Call, l call.Leg) callJSON {
	out := renderCall(c)
	out.Legs, out.MoreSkipped, out.Ref = nil, 0, nil
	if !l.Enterprise {
		out.Caller.Enterprise = nil
	}
	return out
}

type signalJSON struct {
	Source    call.EvidenceSource `json:"source"`
	Country   string              `json:"country"`
	AgeSecond int64               `json:"age_seconds"`
	Use       call.SignalUse      `json:"use"`
}

type regionJSON struct {
	Area    call.Area    `json:"area"`
	Country *string      `json:"country"`
	Signals []signalJSON `json:"signals"`
}

func renderRegion(v call.RegionVerdict) regionJSON {
	out := regionJSON{Area: v.Area, Country: orNull(v.Country), Signals: make([]signalJSON, len(v.Signals))}
	for i, s := range v.Signals {
		out.Signals[i] = signalJSON{s.Source, s.Country, int64(s.Age / time.Second), s.Use}
	}
	return out
}

type tokenJSON struct {
	State call.TokenState `json:"state"`
}

type deviceJSON struct {
	DeviceID      string                       `json:"device_id"`
	UserID        string                       `json:"user_id"`
	Platform      call.Platform                `json:"platform"`
	DeviceType    call.DeviceType              `json:"device_type"`
	SystemVersion string                       `json:"system_version"`
	Emulator      bool                         `json:"emulator"`
	Environment   string                       `json:"environment"`
	BundleID      *string                      `json:"bundle_id"`
	Locale        *string                      `json:"locale"`
	CallUI        call.Presentation            `json:"call_ui"`
	Tokens        map[call.TokenName]tokenJSON `json:"tokens"`
	Region        regionJSON                   `json:"region"`
	Channel       *call.Channel                `json:"channel"`
	Presentation  *call.Presentation           `json:"presentation"`
	Reason        *call.Reason                 `json:"reason"`
	Text          string                       `json:"text"`
	Advice        *string                      `json:"advice"`
	Rules         string                       `json:"rules"`
	CreatedAt     moment                       `json:"created_at"`
	UpdatedAt     moment                       `json:"updated_at"`
	Warnings      []fieldError                 `json:"warnings,omitzero"`    // to who registers it
	Token         string                       `json:"token,omitempty"`      // a renewed device JWT
	ExpiresAt     *moment                      `json:"expires_at,omitempty"` // of the token
}

func renderDevice(d store.Registered, l call.Language) deviceJSON {
	told := tellDecision(d.ID, &d.Decision, foreseen)
	out := deviceJSON{
		DeviceID: d.ID, UserID: d.UserID, Platform: d.Platform, DeviceType: d.Type, SystemVersion: d.SystemVersion, Emulator: d.Emulator,
		Environment: d.Environment, BundleID: orNull(d.BundleID), Locale: orNull(d.Locale), CallUI: d.CallUI, Tokens: map[call.TokenName]tokenJSON{},
		Region: renderRegion(d.Decision.Region), Reason: orNull(d.Decision.Reason), Text: told.Meaning.In(l), Advice: orNull(told.Advice.In(l)),
		Rules: d.Decision.RulesVersion, CreatedAt: moment(d.CreatedAt), UpdatedAt: moment(d.UpdatedAt),
	}
	if d.Decision.Reason == "" {
		out.Channel, out.Presentation = orNull(d.Decision.Channel), orNull(d.Decision.Presentation)
	}
	for name, t := range d.Tokens {
		out.Tokens[name] = tokenJSON{t.State}
	}
	return out
}

type listJSON[T any] struct {
	Data       []T     `json:"data"`
	NextCursor *string `json:"next_cursor"`
}
