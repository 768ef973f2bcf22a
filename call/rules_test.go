package call_test

import (
	"testing"

	"github.com/pushwake/relay/call"
)

var evidenceOf = map[call.Area][]call.Evidence{
	call.AreaMainland: {{Source: call.FromBackend, Country: "CN"}},
	call.AreaOther:    {{Source: call.FromBackend, Country: "HK"}},
	call.AreaUnknown:  nil,
}

// gated writes a decision as "channel presentation", or as its reason.
func gated(d call.Decision) string {
	if d.Reason != "" {
		return string(d.Reason)
	}
	return string(d.Channel) + " " + string(d.Presentation)
}

const (
	voip  = "push_kit_voip call_service_kit"
	alert = "push_kit_alert alert"
	feed  = "connection call_service_kit"
	never = "device_not_supported"
	where = "region_not_supported"
	dunno = "region_unknown"

	callKit  = "apns_voip callkit"
	lck      = "apns_voip lck"
	iosAlert = "apns_alert alert"
)

// matrix is the policy as the contract has it: a kind of device with a version
// and a call UI, and what becomes of it by area.
var matrix = []struct {
	platform                 call.Platform
	device                   call.DeviceType
	version                  string
	ui                       call.Presentation
	mainland, other, unknown string
}{
	{call.HarmonyOS, call.Phone, "6.1.0(23)", call.CallServiceKit, voip, where, dunno},
	{call.HarmonyOS, call.Phone, "5.0.0(12)", call.CallServiceKit, voip, where, dunno},
	{call.HarmonyOS, call.Phone, "5.0.0", call.CallServiceKit, voip, where, dunno},
	{call.HarmonyOS, call.Phone, "5", call.CallServiceKit, voip, where, dunno},
	{call.HarmonyOS, call.Phone, "26.0.1(26)", call.CallServiceKit, voip, where, dunno},
	{call.HarmonyOS, call.Phone, "4.1.0(11)", call.CallServiceKit, never, where, dunno},
	{call.HarmonyOS, call.Phone, "4.2.0", call.CallServiceKit, never, where, dunno},
	{call.HarmonyOS, call.Phone, "6.1.0(23)", call.Alert, alert, where, dunno},
	{call.HarmonyOS, call.Phone, "4.1.0(11)", call.Alert, never, where, dunno},
	{call.HarmonyOS, call.Phone, "6.1.0(23)", call.CallKit, never, where, dunno},
	{call.HarmonyOS, call.Phone, "", call.CallServiceKit, never, never, never},
	{call.HarmonyOS, call.Tablet, "5.0.0(12)", call.CallServiceKit, voip, where, dunno},
	{call.HarmonyOS, call.Tablet, "5.0.0(12)", call.Alert, alert, where, dunno},
	{call.HarmonyOS, call.LiteWearable, "6.1.0(23)", call.CallServiceKit, voip, where, dunno},
	{call.HarmonyOS, call.LiteWearable, "6.1.0", call.CallServiceKit, voip, where, dunno},
	{call.HarmonyOS, call.LiteWearable, "6.0.2(22)", call.CallServiceKit, never, where, dunno},
	{call.HarmonyOS, call.Wearable, "6.0.0(20)", call.CallServiceKit, feed, where, dunno},
	{call.HarmonyOS, call.Wearable, "5.1.1(19)", call.CallServiceKit, never, where, dunno},
	{call.HarmonyOS, call.PC, "6.1.1(24)", call.CallServiceKit, feed, where, dunno},
	{call.HarmonyOS, call.PC, "6.1.1", call.CallServiceKit, feed, where, dunno},
	{call.HarmonyOS, call.PC, "6.1.0(23)", call.CallServiceKit, never, where, dunno},
	{call.HarmonyOS, call.TV, "6.1.1(24)", call.CallServiceKit, never, never, never},

	{call.IOS, call.Phone, "17.4", call.LiveCommunicationKit, lck, lck, lck},
	{call.IOS, call.Phone, "26.1", call.LiveCommunicationKit, lck, lck, lck},
	{call.IOS, call.Phone, "17.3.1", call.LiveCommunicationKit, iosAlert, iosAlert, iosAlert},
	{call.IOS, call.Phone, "17.4", call.CallKit, iosAlert, callKit, iosAlert},
	{call.IOS, call.Phone, "12", call.CallKit, iosAlert, callKit, iosAlert},
	{call.IOS, call.Phone, "17.4", call.Alert, iosAlert, iosAlert, iosAlert},
	{call.IOS, call.Phone, "17.4", "", iosAlert, iosAlert, iosAlert},
	{call.IOS, call.Phone, "beta", call.CallKit, never, never, never},
	{call.IOS, call.Tablet, "17.4", call.LiveCommunicationKit, lck, lck, lck},
	{call.IOS, call.Tablet, "17.4", call.CallKit, iosAlert, callKit, iosAlert},
	{call.IOS, call.Wearable, "10.4", call.LiveCommunicationKit, never, never, never},
	{call.IOS, call.LiteWearable, "10.4", call.CallKit, never, never, never},
	{call.IOS, call.PC, "14.4", call.CallKit, never, never, never},
	{call.IOS, call.TV, "17.4", call.CallKit, never, never, never},

	{call.Android, call.Phone, "14", call.Alert, never, never, never},
	{call.Android, call.Tablet, "14", call.Alert, never, never, never},
	{call.Android, call.Wearable, "14", call.Alert, never, never, never},
	{call.Android, call.LiteWearable, "14", call.Alert, never, never, never},
	{call.Android, call.PC, "14", call.Alert, never, never, never},
	{call.Android, call.TV, "14", call.Alert, never, never, never},
	{call.Web, call.Phone, "1", call.Alert, never, never, never},
	{call.Web, call.Tablet, "1", call.Alert, never, never, never},
	{call.Web, call.Wearable, "1", call.Alert, never, never, never},
	{call.Web, call.LiteWearable, "1", call.Alert, never, never, never},
	{call.Web, call.PC, "1", call.Alert, never, never, never},
	{call.Web, call.TV, "1", call.Alert, never, never, never},
}

func TestMatrix(t *testing.T) {
	t.Parallel()
	rules := call.LatestRules()
	type kind struct {
		platform call.Platform
		device   call.DeviceType
	}
	covered := map[kind]bool{}
	for _, row := range matrix {
		covered[kind{row.platform, row.device}] = true
		for area, want := range map[call.Area]string{call.AreaMainland: row.mainland, call.AreaOther: row.other, call.AreaUnknown: row.unknown} {
			d := call.Device{ID: "d", Platform: row.platform, Type: row.device, SystemVersion: row.version, CallUI: row.ui, Region: evidenceOf[area]}
			got := rules.Gate(d, start)
			if gated(got) != want {
				t.Errorf("%s %s %q with %q in %s: %s, want %s", row.platform, row.device, row.version, row.ui, area, gated(got), want)
			}
			if got.Region.Area != area || got.RulesVersion != rules.Version || got.Device.ID != "d" {
				t.Errorf("the decision explains itself by %s, rules %q", got.Region.Area, got.RulesVersion)
			}
			d.Emulator = true
			if got := rules.Gate(d, start); got.Reason != call.ReasonEmulatorNotSupported {
				t.Errorf("an emulator, %s %s in %s: %s", row.platform, row.device, area, gated(got))
			}
		}
	}
	for _, p := range call.Platforms {
		for _, d := range call.DeviceTypes {
			if !covered[kind{p, d}] {
				t.Errorf("the matrix has no row for %s %s", p, d)
			}
		}
	}
}

// TestRows walks every row of every version: a row either refuses or names a
// channel and a presentation, and CallKit and HarmonyOS calls stay out of the
// areas where they may not be.
func TestRows(t *testing.T) {
	t.Parallel()
	for _, row := range call.LatestRules().Rows {
		if refuses := row.Reason != ""; refuses != (row.Channel == "") || refuses != (row.Presentation == "") {
			t.Errorf("row %+v neither refuses nor lets through", row)
		}
		if (row.Presentation == call.CallKit || row.Reason == call.ReasonRegionNotSupported) && (len(row.Areas) != 1 || row.Areas[0] != call.AreaOther) {
			t.Errorf("row %+v must be about other areas only", row)
		}
		if row.Platform == call.HarmonyOS && row.Reason == "" && (len(row.Areas) != 1 || row.Areas[0] != call.AreaMainland) {
			t.Errorf("row %+v must be about mainland China only", row)
		}
	}
}

// TestEnterpriseDevices holds who is told the caller's company.
func TestEnterpriseDevices(t *testing.T) {
	t.Parallel()
	told := map[call.DeviceType]bool{call.Phone: true, call.Tablet: true, call.PC: true, call.Wearable: true}
	for _, p := range call.Platforms {
		for _, d := range call.DeviceTypes {
			want := p == call.HarmonyOS && told[d]
			if got := call.LatestRules().Gate(call.Device{Platform: p, Type: d}, start).Enterprise; got != want {
				t.Errorf("%s %s is told: %v, want %v", p, d, got, want)
			}
		}
	}
}

func TestRulesVersion(t *testing.T) {
	t.Parallel()
	latest := call.LatestRules()
	for name, want := range map[string]*call.Rules{"": latest, latest.Version: latest, "1999-01": nil} {
		if got, ok := call.RulesVersion(name); got != want || ok != (want != nil) {
			t.Errorf("rules %q: %v, %v", name, got, ok)
		}
	}
	for _, p := range call.Platforms {
		if got := latest.Limits[p]; got != (call.Limit{Incoming: 3, Outgoing: 1}) {
			t.Errorf("limits of %s: %+v", p, got)
		}
	}
}

func TestAtLeast(t *testing.T) {
	t.Parallel()
	ascending := []string{"4.1.0(11)", "5.0.0(12)", "6.0.0(20)", "6.0.2(22)", "6.1.0(23)", "6.1.1(24)", "26.0.1(26)"}
	for _, strip := range []bool{false, true} {
		var versions []call.Version
		for _, s := range ascending {
			v, _ := call.ParseVersion(call.HarmonyOS, s)
			if strip {
				v.API = 0
			}
			versions = append(versions, v)
		}
		for i, a := range versions {
			for j, b := range versions {
				if got := a.AtLeast(b); got != (i >= j) {
					t.Errorf("%+v at least %+v: %v", a, b, got)
				}
			}
		}
	}
	if !(call.Version{Major: 5, API: 23}).AtLeast(call.Version{Major: 6, Minor: 1, API: 23}) {
		t.Error("the API level does not decide where both have one")
	}
}
