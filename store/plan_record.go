package store

import (
	"cmp"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"

	"github.com/pushwake/relay/call"
)

// decisionRecord is the gate's decision for one leg, without its tokens, in
// the event of the creation of its call. What the rows of the leg and the call say as well is left out.
type decisionRecord struct {
	AsLeg         int                                `json:"k,omitempty"` // 1: channel and presentation are the leg's; 2: the UI that the device asked for is its presentation, too
	Channel       call.Channel                       `json:"c,omitempty"`
	Presentation  call.Presentation                  `json:"p,omitempty"`
	Reason        call.Reason                        `json:"w,omitempty"`
	Rules         string                             `json:"r,omitempty"` // "" where they are the call's
	Region        regionRecord                       `json:"g"`
	SystemVersion string                             `json:"v"`
	Emulator      bool                               `json:"e,omitempty"`
	CallUI        call.Presentation                  `json:"u,omitempty"`
	Environment   string                             `json:"n,omitempty"`
	BundleID      string                             `json:"b,omitempty"`
	Locale        string                             `json:"l,omitempty"`
	Tokens        map[call.TokenName]call.TokenState `json:"t,omitempty"`
	Connected     bool                               `json:"o,omitempty"`
	HeardAt       stamp                              `json:"h,omitzero"`
	AliveIncoming int                                `json:"a,omitempty"`
	AliveOutgoing int                                `json:"d,omitempty"`
}

// longDecision is the same with the names of earlier versions, which kept it with
// the leg or in a row of plans.
type longDecision struct {
	Leg uuid.UUID `json:"leg"` // in plans
	longNames
}

func (r longDecision) decisionRecord() decisionRecord { return decisionRecord(r.longNames) }

type longNames struct {
	AsLeg         int                                `json:"-"`
	Channel       call.Channel                       `json:"channel"`
	Presentation  call.Presentation                  `json:"presentation"`
	Reason        call.Reason                        `json:"reason"`
	Rules         string                             `json:"rules"`
	Region        regionRecord                       `json:"region"`
	SystemVersion string                             `json:"system_version"`
	Emulator      bool                               `json:"emulator"`
	CallUI        call.Presentation                  `json:"call_ui"`
	Environment   string                             `json:"environment"`
	BundleID      string                             `json:"bundle_id"`
	Locale        string                             `json:"locale"`
	Tokens        map[call.TokenName]call.TokenState `json:"tokens"`
	Connected     bool                               `json:"connected"`
	HeardAt       stamp                              `json:"heard_at"`
	AliveIncoming int                                `json:"alive_incoming"`
	AliveOutgoing int                                `json:"alive_outgoing"`
}

// recordPlan is what was decided for each leg of a new call, in the order of its legs.
func recordPlan(c *call.Call) []decisionRecord {
	plan := make([]decisionRecord, len(c.Legs))
	for i, l := range c.Legs {
		r := recordDecision(l.Decision)
		if r.Channel == l.Channel && r.Presentation == l.Presentation {
			if r.AsLeg = 1; r.CallUI == l.Presentation {
				r.AsLeg, r.CallUI = 2, ""
			}
			r.Channel, r.Presentation = "", ""
		}
		if r.Rules == c.RulesVersion {
			r.Rules = ""
		}
		plan[i] = r
	}
	return plan
}

// readLongPlan gives the legs of a call the decisions that an earlier version
// kept in a row of plans.
func readLongPlan(data []byte, c *call.Call) error {
	var plan []longDecision
	if err := json.Unmarshal(data, &plan); err != nil {
		return fmt.Errorf("the plan: %w", err)
	}
	for _, r := range plan {
		if l := c.Leg(r.Leg); l != nil {
			r.decisionRecord().onto(l, c.RulesVersion)
		}
	}
	return nil
}

// onto gives a leg its decision; rules are those of the call.
func (r decisionRecord) onto(l *call.Leg, rules string) {
	if r.AsLeg >= 1 {
		r.Channel, r.Presentation = l.Channel, l.Presentation
	}
	if r.AsLeg == 2 {
		r.CallUI = l.Presentation
	}
	r.Rules = cmp.Or(r.Rules, rules)
	l.Decision = r.decision()
	l.Decision.Device.ID, l.Decision.Device.UserID = l.DeviceID, l.UserID
	l.Decision.Device.Platform, l.Decision.Device.Type = l.Platform, l.DeviceType
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
