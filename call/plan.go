package call

import (
	"cmp"
	"slices"
	"time"
)

// Decision is the decision about one device, with its evidence.
type Decision struct {
	Device       Device
	Channel      Channel      // "" where no rule reaches the device
	Presentation Presentation // as the rules have it, even where a later check refused the device
	Reason       Reason       // "" lets the device through
	Region       RegionVerdict
	Enterprise   bool // the device may be told the caller's Enterprise
	RulesVersion string
}

// Plan decides for each of a callee's devices which channel may wake it, or
// why none may. Of the devices that could ring, the call goes to those heard from
// last, at most maxDevices; the others get ReasonDeviceLimit. The decisions come in
// the order of the devices' ids, so that the same input always gives the same plan.
func (r *Rules) Plan(devices []Device, configured map[Channel]bool, maxDevices int, now time.Time) []Decision {
	plan := make([]Decision, 0, len(devices))
	for _, d := range devices {
		plan = append(plan, r.Decide(d, configured, now))
	}
	slices.SortFunc(plan, heardLater)
	room := maxDevices
	for i := range plan {
		switch {
		case plan[i].Reason != "":
		case room == 0:
			plan[i].Reason = ReasonDeviceLimit
		default:
			room--
		}
	}
	slices.SortFunc(plan, byID)
	return plan
}

// keptSkipped is how many skipped devices a call keeps, where its policy lets it
// go to no more than that.
const keptSkipped = 20

// Keep is the part of a plan that a call keeps, with the number of devices left
// out, so that no user has more devices than a call can carry: all that are to be
// woken, and as many again of those that are skipped, or 20 where that is more.
// Those that are told of a missed call come first, then those heard from last.
func Keep(plan []Decision, maxDevices int) (kept []Decision, leftOut int) {
	var skipped []Decision
	for _, d := range plan {
		if d.Reason == "" {
			kept = append(kept, d)
		} else {
			skipped = append(skipped, d)
		}
	}
	slices.SortFunc(skipped, func(a, b Decision) int {
		switch told := a.Reason.missable(); {
		case told == b.Reason.missable():
			return heardLater(a, b)
		case told:
			return -1
		}
		return 1
	})
	n := min(len(skipped), max(maxDevices, keptSkipped))
	kept, leftOut = append(kept, skipped[:n]...), len(skipped)-n
	slices.SortFunc(kept, byID)
	return kept, leftOut
}

func byID(a, b Decision) int { return cmp.Compare(a.Device.ID, b.Device.ID) }

// heardLater puts the device that was heard from later first. One with an open
// feed is heard from at this moment.
func heardLater(a, b Decision) int {
	if a.Device.Connected != b.Device.Connected {
		if a.Device.Connected {
			return -1
		}
		return 1
	}
	return cmp.Or(b.Device.HeardAt.Compare(a.Device.HeardAt), byID(a, b))
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
	version, ok := ParseVersion(d.Platform, d.SystemVersion)
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

// VersionUnread reports whether the device is not supported because its system
// version cannot be read: with another, the rules could let it through.
func (d *Decision) VersionUnread() bool {
	if d.Reason != ReasonDeviceNotSupported {
		return false
	}
	if _, ok := ParseVersion(d.Device.Platform, d.Device.SystemVersion); ok {
		return false
	}
	rules, _ := RulesVersion(d.RulesVersion)
	return rules != nil && slices.ContainsFunc(rules.Rows, func(row Row) bool {
		return row.Platform == d.Device.Platform && (len(row.Types) == 0 || slices.Contains(row.Types, d.Device.Type))
	})
}

// Advice says what to do about the reason; zero where there is none.
func (d *Decision) Advice() Text {
	if d.VersionUnread() {
		return versionAdvice
	}
	return d.Reason.Advice()
}

var versionAdvice = Say(
	"Send system_version as the system tells it, such as 6.1.0(23) or 17.4; an API level alone is no version. On HarmonyOS take distributionOSVersion and sdkApiVersion of deviceInfo, on iOS systemVersion of UIDevice.",
	"请按系统给出的格式传入 system_version，例如 6.1.0(23) 或 17.4；只有 API 级别不能作为版本号。HarmonyOS 可取 deviceInfo 的 distributionOSVersion 和 sdkApiVersion，iOS 可取 UIDevice 的 systemVersion。")

// GateOutgoing decides whether a device may start a call now, by the region
// rules and the limit of outgoing calls.
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
