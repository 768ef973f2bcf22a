package call

import "slices"

// Row is one line of the policy: devices that match it, in that area, are woken
// over Channel and show the call as Presentation, or are refused for Reason.
// An empty list matches everything.
type Row struct {
	Platform     Platform
	Types        []DeviceType
	MinVersion   Version
	Areas        []Area
	CallUI       []Presentation
	Channel      Channel
	Presentation Presentation
	Reason       Reason
}

// Limit is how many calls may be alive at a time on one device.
type Limit struct {
	Incoming, Outgoing int
}

// Rules is one version of the policy: platform × region × device → channel and
// presentation, or a reason. The first row that matches decides; a device that
// matches none is not supported.
type Rules struct {
	Version    string
	Rows       []Row
	Limits     map[Platform]Limit
	Enterprise map[Platform][]DeviceType // devices that are told the caller's Enterprise
}

var (
	phoneOrTablet = []DeviceType{Phone, Tablet}
	mainland      = []Area{AreaMainland}
	elsewhere     = []Area{AreaOther}
	unclear       = []Area{AreaUnknown}
	mainlandOrNot = []Area{AreaMainland, AreaUnknown} // iOS fails closed: unknown counts as mainland
)

// rules2026November is the policy as documented in November 2026.
//
// HarmonyOS (Push Kit and Call Service Kit guides): calls are shown in mainland
// China only. Push-type 10 reaches phones and tablets, and from 6.1.0(23) also
// children's watches; Push Kit v3 begins with HarmonyOS 5. Watches from
// 6.0.0(20) and PCs from 6.1.1(24) show calls but no VoIP push reaches them. At
// most three incoming calls and one outgoing call live on a device.
//
// iOS: CallKit must be off in mainland China (App Review, guideline 5.0);
// LiveCommunicationKit, from 17.4, takes its place there.
var rules2026November = &Rules{
	Version: "2026-11",
	Rows: []Row{
		{Platform: HarmonyOS, Types: []DeviceType{Phone, Tablet}, MinVersion: Version{Major: 5, API: 12}, Areas: mainland, CallUI: []Presentation{CallServiceKit}, Channel: PushKitVoIP, Presentation: CallServiceKit},
		{Platform: HarmonyOS, Types: []DeviceType{Phone, Tablet}, MinVersion: Version{Major: 5, API: 12}, Areas: mainland, CallUI: []Presentation{Alert}, Channel: PushKitAlert, Presentation: Alert},
		{Platform: HarmonyOS, Types: []DeviceType{LiteWearable}, MinVersion: Version{Major: 6, Minor: 1, API: 23}, Areas: mainland, Channel: PushKitVoIP, Presentation: CallServiceKit},
		{Platform: HarmonyOS, Types: []DeviceType{Wearable}, MinVersion: Version{Major: 6, API: 20}, Areas: mainland, Channel: Connection, Presentation: CallServiceKit},
		{Platform: HarmonyOS, Types: []DeviceType{PC}, MinVersion: Version{Major: 6, Minor: 1, Patch: 1, API: 24}, Areas: mainland, Channel: Connection, Presentation: CallServiceKit},
		{Platform: HarmonyOS, Types: []DeviceType{Phone, Tablet, LiteWearable, Wearable, PC}, Areas: elsewhere, Reason: ReasonRegionNotSupported},
		{Platform: HarmonyOS, Types: []DeviceType{Phone, Tablet, LiteWearable, Wearable, PC}, Areas: unclear, Reason: ReasonRegionUnknown},

		{Platform: IOS, Types: phoneOrTablet, MinVersion: Version{Major: 17, Minor: 4}, CallUI: []Presentation{LiveCommunicationKit}, Channel: APNsVoIP, Presentation: LiveCommunicationKit},
		{Platform: IOS, Types: phoneOrTablet, Areas: elsewhere, CallUI: []Presentation{CallKit}, Channel: APNsVoIP, Presentation: CallKit},
		{Platform: IOS, Types: phoneOrTablet, Areas: mainlandOrNot, CallUI: []Presentation{CallKit}, Channel: APNsAlert, Presentation: Alert},
		{Platform: IOS, Types: phoneOrTablet, Channel: APNsAlert, Presentation: Alert},
	},
	Limits: map[Platform]Limit{
		HarmonyOS: {Incoming: 3, Outgoing: 1}, // Call Service Kit introduction
		IOS:       {Incoming: 3, Outgoing: 1},
		Android:   {Incoming: 3, Outgoing: 1},
		Web:       {Incoming: 3, Outgoing: 1},
	},
	Enterprise: map[Platform][]DeviceType{HarmonyOS: {Phone, Tablet, PC, Wearable}},
}

// allRules holds every version that an app's policy may name, newest last.
var allRules = []*Rules{rules2026November}

// LatestRules is the version for apps that name none.
func LatestRules() *Rules { return allRules[len(allRules)-1] }

// RulesVersion finds a version of the policy by name; "" is the latest.
func RulesVersion(name string) (*Rules, bool) {
	if name == "" {
		return LatestRules(), true
	}
	for _, r := range allRules {
		if r.Version == name {
			return r, true
		}
	}
	return nil, false
}

// match reports whether the row applies to the device in that area.
func (row *Row) match(d *Device, version Version, area Area) bool {
	return row.Platform == d.Platform &&
		(len(row.Types) == 0 || slices.Contains(row.Types, d.Type)) &&
		(len(row.Areas) == 0 || slices.Contains(row.Areas, area)) &&
		(len(row.CallUI) == 0 || slices.Contains(row.CallUI, d.CallUI)) &&
		version.AtLeast(row.MinVersion)
}
