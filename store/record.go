package store

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

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

// partyRecord is what is known of a party besides its id, which has a column.
type partyRecord struct {
	Name       string            `json:"name,omitempty"`
	AvatarURL  string            `json:"avatar_url,omitempty"`
	Enterprise *enterpriseRecord `json:"enterprise,omitempty"`
}

type partiesRecord struct {
	Caller partyRecord `json:"caller,omitzero"`
	Callee partyRecord `json:"callee,omitzero"`
}

func recordParty(p call.Party) partyRecord {
	r := partyRecord{Name: p.Name, AvatarURL: p.AvatarURL}
	if p.Enterprise != nil {
		e := enterpriseRecord(*p.Enterprise)
		r.Enterprise = &e
	}
	return r
}

func (r partyRecord) party(userID string) call.Party {
	p := call.Party{UserID: userID, Name: r.Name, AvatarURL: r.AvatarURL}
	if r.Enterprise != nil {
		e := call.Enterprise(*r.Enterprise)
		p.Enterprise = &e
	}
	return p
}

// signalRecord is written as a list of its four values; earlier versions wrote
// an object.
type signalRecord struct {
	Source  call.EvidenceSource `json:"source"`
	Country string              `json:"country"`
	AgeMS   int64               `json:"age_ms"`
	Use     call.SignalUse      `json:"use"`
}

func (r signalRecord) MarshalJSON() ([]byte, error) {
	return json.Marshal([]any{r.Source, r.Country, r.AgeMS, r.Use})
}

func (r *signalRecord) UnmarshalJSON(data []byte) error {
	if data[0] == '[' {
		return json.Unmarshal(data, &[]any{&r.Source, &r.Country, &r.AgeMS, &r.Use})
	}
	type object signalRecord
	return json.Unmarshal(data, (*object)(r))
}

type regionRecord struct {
	Area    call.Area      `json:"area"`
	Country string         `json:"country,omitempty"`
	Signals []signalRecord `json:"signals"`
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
