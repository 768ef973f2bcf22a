package call

import (
	"cmp"
	"slices"
	"time"
)

// Decision is what the gate decided about one device, with what it knew.
type Decision struct {
	Device       Device
	Channel      Channel      // "" where no rule reaches the device
	Presentation Presentation // as the rules have it, also where a later check refused
	Reason       Reason       // "" lets the device through
	Region       RegionVerdict
	Enterprise   bool // the device may be told the caller's Enterprise
	RulesVersion string
}

// Plan decides for each of a callee's devices which channel may wake it, or
// why none may. The devices come back in the order of their ids, so that the
// same input always gives the same plan.
func (r *Rules) Plan(devices []Device, configured map[Channel]bool, now time.Time) []Decision {
	devices = slices.Clone(devices)
	slices.SortFunc(devices, func(a, b Device) int { return cmp.Compare(a.ID, b.ID) })
	plan := make([]Decision, 0, len(devices))
	for _, d := range devices {
		plan = append(plan, r.Decide(d, configured, now))
	}
	return plan
}

// Decide is the plan for one device. The checks go from what will never change
// to what may change by the next call: emulator, region and kind of device,
// credential, token or connection, the user's wish, limit.
func (r *Rules) Decide(d Device, configured map[Channel]bool, now time.Time) Decision {
	decision := r.Gate(d, now)
	if decision.Reason == "" {
		decision.Reason = d.wakeable(decision.Channel, configured)
	}
	if decision.Reason == "" && d.DND.Active(now) {
		decision.Reason = ReasonDND
	}
	if decision.Reason == "" && d.AliveIncoming >= r.Limits[d.Platform].Incoming {
		decision.Reason = ReasonIncomingLimit
	}
	return decision
}

// Gate decides by region and kind of device alone: what a confirm and an
// outgoing call are asked, and what a registration is told.
func (r *Rules) Gate(d Device, now time.Time) Decision {
	decision := Decision{
		Device: d, Region: JudgeRegion(d.Platform, d.Region, now), RulesVersion: r.Version,
		Enterprise: slices.Contains(r.Enterprise[d.Platform], d.Type),
	}
	if d.Emulator {
		decision.Reason = ReasonEmulatorNotSupported
		return decision
	}
	decision.Reason = ReasonDeviceNotSupported
	version, ok := ParseVersion(d.SystemVersion)
	if !ok {
		return decision
	}
	for i := range r.Rows {
		if row := &r.Rows[i]; row.match(&d, version, decision.Region.Area) {
			decision.Channel, decision.Presentation, decision.Reason = row.Channel, row.Presentation, row.Reason
			break
		}
	}
	return decision
}

// GateOutgoing decides whether a device may start a call now: the region gate
// and the limit of outgoing calls.
func (r *Rules) GateOutgoing(d Device, now time.Time) (Decision, bool) {
	decision := r.Gate(d, now)
	return decision, d.AliveOutgoing < r.Limits[d.Platform].Outgoing
}

// wakeable says why a channel cannot reach the device now; "" where it can.
func (d *Device) wakeable(channel Channel, configured map[Channel]bool) Reason {
	if channel == Connection {
		if !d.Connected {
			return ReasonNotConnected
		}
		return ""
	}
	if !configured[channel] {
		return ReasonChannelNotConfigured
	}
	token, ok := d.Tokens[channel.Token()]
	switch {
	case !ok || token.Value == "":
		return ReasonNoToken
	case token.State == TokenDead:
		return ReasonTokenDead
	case token.State == TokenSuspended:
		return ReasonTokenSuspended
	}
	return ""
}
