package store

import (
	"encoding/json"
	"fmt"
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
	HeardAt       time.Time                          `json:"heard_at,omitzero"`
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
		BundleID: d.Device.BundleID, Locale: d.Device.Locale, Connected: d.Device.Connected, HeardAt: d.Device.HeardAt,
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
			Locale: r.Locale, Connected: r.Connected, HeardAt: r.HeardAt, AliveIncoming: r.AliveIncoming, AliveOutgoing: r.AliveOutgoing,
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
	RingingAt  time.Time      `json:"ringing_at,omitzero"`
	AnsweredAt time.Time      `json:"answered_at,omitzero"`
	ActiveAt   time.Time      `json:"active_at,omitzero"`
	EndedAt    time.Time      `json:"ended_at,omitzero"`
	AnsweredBy string         `json:"answered_by,omitempty"`
	Seq        int            `json:"seq"`
	Legs       []legRecord    `json:"legs,omitempty"`
}

// legRecord is what steps change of a leg and readers of events are told.
type legRecord struct {
	ID           uuid.UUID      `json:"id"`
	Status       call.LegStatus `json:"status"`
	Reason       call.Reason    `json:"reason,omitempty"`
	Media        call.Media     `json:"media,omitempty"`
	HandedOverAt time.Time      `json:"handed_over_at,omitzero"`
	ConfirmedAt  time.Time      `json:"confirmed_at,omitzero"`
	RingingAt    time.Time      `json:"ringing_at,omitzero"`
	AnsweredAt   time.Time      `json:"answered_at,omitzero"`
	NoWakeAt     time.Time      `json:"no_wake_at,omitzero"`
	WakeChannel  call.Channel   `json:"wake_channel,omitempty"`
	EscalatedAt  time.Time      `json:"escalated_at,omitzero"`
	RewokenAt    time.Time      `json:"rewoken_at,omitzero"`
	EndedAt      time.Time      `json:"ended_at,omitzero"`
}

// recordEvents is what each event of a call's step holds: leg.updated its leg,
// call.created all legs, the others every leg that the step changed. So the
// events of a step together name a leg at most twice for each step of the call's
// own, and grow with the number of legs, not with its square.
func recordEvents(c *call.Call, events []call.Event) [][]byte {
	r := eventRecord{
		Status: c.Status, EndReason: c.EndReason, RingingAt: c.RingingAt, AnsweredAt: c.AnsweredAt, ActiveAt: c.ActiveAt, EndedAt: c.EndedAt, AnsweredBy: c.AnsweredBy, Seq: c.Seq,
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
			r.Legs = []legRecord{recordLeg(c.Leg(e.Leg))}
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
		ID: l.ID, Status: l.Status, Reason: l.Reason, Media: l.Media, HandedOverAt: l.HandedOverAt, ConfirmedAt: l.ConfirmedAt, RingingAt: l.RingingAt,
		AnsweredAt: l.AnsweredAt, NoWakeAt: l.NoWakeAt, WakeChannel: l.WakeChannel, EscalatedAt: l.EscalatedAt, RewokenAt: l.RewokenAt, EndedAt: l.EndedAt,
	}
}

// onto sets a call's changeable fields, and those of the legs that the record
// names and the call has.
func (r *eventRecord) onto(c *call.Call) {
	c.Status, c.EndReason, c.RingingAt, c.AnsweredAt, c.ActiveAt, c.EndedAt, c.AnsweredBy = r.Status, r.EndReason, r.RingingAt, r.AnsweredAt, r.ActiveAt, r.EndedAt, r.AnsweredBy
	c.Seq, c.DeadlineAt = r.Seq, time.Time{}
	for _, leg := range r.Legs {
		if l := c.Leg(leg.ID); l != nil {
			leg.onto(l)
		}
	}
}

func (r *legRecord) onto(l *call.Leg) {
	l.Status, l.Reason, l.Media, l.HandedOverAt, l.ConfirmedAt, l.RingingAt = r.Status, r.Reason, r.Media, r.HandedOverAt, r.ConfirmedAt, r.RingingAt
	l.AnsweredAt, l.NoWakeAt, l.WakeChannel, l.EscalatedAt, l.RewokenAt, l.EndedAt = r.AnsweredAt, r.NoWakeAt, r.WakeChannel, r.EscalatedAt, r.RewokenAt, r.EndedAt
	l.VendorCallID, l.LastSeq, l.AlertedAt = "", 0, time.Time{} // as they were then is not told
}
