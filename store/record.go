package store

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/pushwake/relay/call"
)

// The JSON in which the store keeps what has no column of its own. Only this
// package reads it; the API has its own JSON.

type enterpriseRecord struct {
	Company    string `json:"company,omitempty"`
	Department string `json:"department,omitempty"`
	Position   string `json:"position,omitempty"`
	EmployeeID string `json:"employee_id,omitempty"`
}

type partyRecord struct {
	UserID     string            `json:"user_id"`
	Name       string            `json:"name,omitempty"`
	AvatarURL  string            `json:"avatar_url,omitempty"`
	Enterprise *enterpriseRecord `json:"enterprise,omitempty"`
}

type partiesRecord struct {
	Caller partyRecord `json:"caller"`
	Callee partyRecord `json:"callee"`
}

func recordParty(p call.Party) partyRecord {
	r := partyRecord{UserID: p.UserID, Name: p.Name, AvatarURL: p.AvatarURL}
	if p.Enterprise != nil {
		e := enterpriseRecord(*p.Enterprise)
		r.Enterprise = &e
	}
	return r
}

func (r partyRecord) party() call.Party {
	p := call.Party{UserID: r.UserID, Name: r.Name, AvatarURL: r.AvatarURL}
	if r.Enterprise != nil {
		e := call.Enterprise(*r.Enterprise)
		p.Enterprise = &e
	}
	return p
}

type signalRecord struct {
	Source  call.EvidenceSource `json:"source"`
	Country string              `json:"country"`
	AgeMS   int64               `json:"age_ms"`
	Use     call.SignalUse      `json:"use"`
}

type regionRecord struct {
	Area    call.Area      `json:"area"`
	Country string         `json:"country,omitempty"`
	Signals []signalRecord `json:"signals"`
}

// decisionRecord is a gate's decision without its tokens.
type decisionRecord struct {
	Channel       call.Channel                       `json:"channel,omitempty"`
	Presentation  call.Presentation                  `json:"presentation,omitempty"`
	Reason        call.Reason                        `json:"reason,omitempty"`
	Rules         string                             `json:"rules"`
	Region        regionRecord                       `json:"region"`
	SystemVersion string                             `json:"system_version"`
	Emulator      bool                               `json:"emulator,omitempty"`
	CallUI        call.Presentation                  `json:"call_ui"`
	Environment   string                             `json:"environment,omitempty"`
	BundleID      string                             `json:"bundle_id,omitempty"`
	Locale        string                             `json:"locale,omitempty"`
	Tokens        map[call.TokenName]call.TokenState `json:"tokens,omitempty"`
	Connected     bool                               `json:"connected,omitempty"`
	HeardAt       stamp                              `json:"heard_at,omitzero"`
	AliveIncoming int                                `json:"alive_incoming,omitempty"`
	AliveOutgoing int                                `json:"alive_outgoing,omitempty"`
}

// gateRecord is the evidence of the region check at a confirm or a report, and
// the version of the rules.
type gateRecord struct {
	regionRecord
	Rules string `json:"rules,omitempty"` // "" in rows of the first schema
}

// Gate is the evidence by which the region check admitted or refused a confirm
// or a report.
type Gate struct {
	Region       call.RegionVerdict
	RulesVersion string // "" where it was not kept
}

// readGate decodes a gateRecord; nil where there was no check.
func readGate(data []byte) (*Gate, error) {
	if data == nil {
		return nil, nil
	}
	var r gateRecord
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("evidence of the gate: %w", err)
	}
	return &Gate{r.verdict(), r.Rules}, nil
}

func recordRegion(v call.RegionVerdict) regionRecord {
	r := regionRecord{Area: v.Area, Country: v.Country, Signals: make([]signalRecord, len(v.Signals))}
	for i, s := range v.Signals {
		r.Signals[i] = signalRecord{s.Source, s.Country, s.Age.Milliseconds(), s.Use}
	}
	return r
}

func (r regionRecord) verdict() call.RegionVerdict {
	v := call.RegionVerdict{Area: r.Area, Country: r.Country, Signals: make([]call.Signal, len(r.Signals))}
	for i, s := range r.Signals {
		v.Signals[i] = call.Signal{Source: s.Source, Country: s.Country, Age: time.Duration(s.AgeMS) * time.Millisecond, Use: s.Use}
	}
	return v
}

func recordDecision(d call.Decision) decisionRecord {
	r := decisionRecord{
		Channel: d.Channel, Presentation: d.Presentation, Reason: d.Reason, Rules: d.RulesVersion, Region: recordRegion(d.Region),
		SystemVersion: d.Device.SystemVersion, Emulator: d.Device.Emulator, CallUI: d.Device.CallUI, Environment: d.Device.Environment,
		BundleID: d.Device.BundleID, Locale: d.Device.Locale, Connected: d.Device.Connected, HeardAt: stamp{d.Device.HeardAt},
		AliveIncoming: d.Device.AliveIncoming, AliveOutgoing: d.Device.AliveOutgoing,
	}
	if len(d.Device.Tokens) > 0 {
		r.Tokens = make(map[call.TokenName]call.TokenState, len(d.Device.Tokens))
		for name, t := range d.Device.Tokens {
			r.Tokens[name] = t.State
		}
	}
	return r
}

func (r decisionRecord) decision() call.Decision {
	d := call.Decision{
		Channel: r.Channel, Presentation: r.Presentation, Reason: r.Reason, RulesVersion: r.Rules, Region: r.Region.verdict(),
		Device: call.Device{
			SystemVersion: r.SystemVersion, Emulator: r.Emulator, CallUI: r.CallUI, Environment: r.Environment, BundleID: r.BundleID,
			Locale: r.Locale, Connected: r.Connected, HeardAt: r.HeardAt.Time, AliveIncoming: r.AliveIncoming, AliveOutgoing: r.AliveOutgoing,
		},
	}
	if len(r.Tokens) > 0 {
		d.Device.Tokens = make(map[call.TokenName]call.Token, len(r.Tokens))
		for name, state := range r.Tokens {
			d.Device.Tokens[name] = call.Token{State: state}
		}
	}
	return d
}

// planRecord is what the gate decided for one leg, in the plan of its call.
type planRecord struct {
	Leg uuid.UUID `json:"leg"`
	decisionRecord
}

// eventRecord is what a step changed: the call's changeable fields as the step
// left them, and legs. An event of an earlier version holds every leg, and much
// that the rows of the call and its legs say as well; what it has in common
// with this record is read.
type eventRecord struct {
	Status     call.Status    `json:"status"`
	EndReason  call.EndReason `json:"end_reason,omitempty"`
	RingingAt  stamp          `json:"ringing_at,omitzero"`
	AnsweredAt stamp          `json:"answered_at,omitzero"`
	ActiveAt   stamp          `json:"active_at,omitzero"`
	EndedAt    stamp          `json:"ended_at,omitzero"`
	AnsweredBy string         `json:"answered_by,omitempty"`
	Seq        int            `json:"seq"`
	Legs       []legRecord    `json:"legs,omitempty"`
}

// legRecord is what steps change of a leg and readers of events are told. In
// leg.updated the id is left out: the event's row has it.
type legRecord struct {
	ID           uuid.UUID      `json:"id,omitzero"`
	Status       call.LegStatus `json:"status"`
	Reason       call.Reason    `json:"reason,omitempty"`
	Media        call.Media     `json:"media,omitempty"`
	HandedOverAt stamp          `json:"handed_over_at,omitzero"`
	ConfirmedAt  stamp          `json:"confirmed_at,omitzero"`
	RingingAt    stamp          `json:"ringing_at,omitzero"`
	AnsweredAt   stamp          `json:"answered_at,omitzero"`
	NoWakeAt     stamp          `json:"no_wake_at,omitzero"`
	WakeChannel  call.Channel   `json:"wake_channel,omitempty"`
	EscalatedAt  stamp          `json:"escalated_at,omitzero"`
	RewokenAt    stamp          `json:"rewoken_at,omitzero"`
	EndedAt      stamp          `json:"ended_at,omitzero"`
}

// stamp is a time in an event or a plan: a number of microseconds since 1970,
// which is all that Postgres keeps. Earlier versions wrote RFC 3339.
type stamp struct{ time.Time }

func (s stamp) MarshalJSON() ([]byte, error) { return strconv.AppendInt(nil, s.UnixMicro(), 10), nil }

func (s *stamp) UnmarshalJSON(data []byte) error {
	if data[0] == '"' {
		return s.Time.UnmarshalJSON(data)
	}
	us, err := strconv.ParseInt(string(data), 10, 64)
	s.Time = time.UnixMicro(us).UTC()
	return err
}

// recordEvents is what each event of a call's step holds: leg.updated its leg,
// call.created all legs, the others every leg that the step changed. A step that
// changes many legs has a leg.updated for each; if each held all of them, what
// the step writes would grow with the square of their number.
func recordEvents(c *call.Call, events []call.Event) [][]byte {
	r := eventRecord{
		Status: c.Status, EndReason: c.EndReason, RingingAt: stamp{c.RingingAt}, AnsweredAt: stamp{c.AnsweredAt}, ActiveAt: stamp{c.ActiveAt}, EndedAt: stamp{c.EndedAt}, AnsweredBy: c.AnsweredBy, Seq: c.Seq,
	}
	changed := map[uuid.UUID]bool{}
	for _, e := range events {
		changed[e.Leg] = true
	}
	legs := func(take func(uuid.UUID) bool) []legRecord {
		var records []legRecord
		for i := range c.Legs {
			if take(c.Legs[i].ID) {
				records = append(records, recordLeg(&c.Legs[i]))
			}
		}
		return records
	}
	all := make([][]byte, len(events))
	for i, e := range events {
		switch e.Type {
		case call.EventLegUpdated:
			leg := recordLeg(c.Leg(e.Leg))
			leg.ID = uuid.Nil
			r.Legs = []legRecord{leg}
		case call.EventCallCreated:
			r.Legs = legs(func(uuid.UUID) bool { return true })
		default:
			r.Legs = legs(func(id uuid.UUID) bool { return changed[id] })
		}
		all[i], _ = json.Marshal(r) // texts and times cannot fail
	}
	return all
}

func recordLeg(l *call.Leg) legRecord {
	return legRecord{
		ID: l.ID, Status: l.Status, Reason: l.Reason, Media: l.Media, HandedOverAt: stamp{l.HandedOverAt}, ConfirmedAt: stamp{l.ConfirmedAt}, RingingAt: stamp{l.RingingAt},
		AnsweredAt: stamp{l.AnsweredAt}, NoWakeAt: stamp{l.NoWakeAt}, WakeChannel: l.WakeChannel, EscalatedAt: stamp{l.EscalatedAt}, RewokenAt: stamp{l.RewokenAt}, EndedAt: stamp{l.EndedAt},
	}
}

// readEvent decodes what an event holds; leg is the leg of leg.updated, of which
// earlier versions held every leg.
func readEvent(data []byte, leg uuid.UUID) (r eventRecord, err error) {
	if err := json.Unmarshal(data, &r); err != nil {
		return r, err
	}
	if leg != uuid.Nil {
		r.Legs = slices.DeleteFunc(r.Legs, func(l legRecord) bool { return l.ID != uuid.Nil && l.ID != leg })
		for i := range r.Legs {
			r.Legs[i].ID = leg
		}
	}
	return r, nil
}

// onto sets a call's changeable fields, and those of the legs that the record
// names and the call has.
func (r *eventRecord) onto(c *call.Call) {
	c.Status, c.EndReason, c.RingingAt, c.AnsweredAt, c.ActiveAt, c.EndedAt, c.AnsweredBy = r.Status, r.EndReason, r.RingingAt.Time, r.AnsweredAt.Time, r.ActiveAt.Time, r.EndedAt.Time, r.AnsweredBy
	c.Seq, c.DeadlineAt = r.Seq, time.Time{}
	for _, leg := range r.Legs {
		if l := c.Leg(leg.ID); l != nil {
			leg.onto(l)
		}
	}
}

func (r *legRecord) onto(l *call.Leg) {
	l.Status, l.Reason, l.Media, l.HandedOverAt, l.ConfirmedAt, l.RingingAt = r.Status, r.Reason, r.Media, r.HandedOverAt.Time, r.ConfirmedAt.Time, r.RingingAt.Time
	l.AnsweredAt, l.NoWakeAt, l.WakeChannel, l.EscalatedAt, l.RewokenAt, l.EndedAt = r.AnsweredAt.Time, r.NoWakeAt.Time, r.WakeChannel, r.EscalatedAt.Time, r.RewokenAt.Time, r.EndedAt.Time
	l.VendorCallID, l.LastSeq, l.AlertedAt = "", 0, time.Time{} // as they were then is not told
}
