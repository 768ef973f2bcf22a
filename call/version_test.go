package call_test

import (
	"testing"
	"time"

	"github.com/pushwake/relay/call"
)

// TestParseVersion: versions are read as devices write them.
func TestParseVersion(t *testing.T) {
	t.Parallel()
	for p, versions := range map[call.Platform]map[string]call.Version{
		call.HarmonyOS: {
			"6.1.0(23)": {Major: 6, Minor: 1, API: 23}, "6.1.1(24)": {Major: 6, Minor: 1, Patch: 1, API: 24}, " 6.1.0 ( 23 ) ": {Major: 6, Minor: 1, API: 23},
			"5.0.0.112": {Major: 5}, "OpenHarmony-6.0.0.36": {Major: 6}, "HarmonyOS 6.0": {Major: 6}, "HarmonyOS6.0.1": {Major: 6, Patch: 1},
			"ALN-AL00 5.0.0.102(C00E100R4P17)": {Major: 5}, "6.0.0.120 (C00E120R5P7)": {Major: 6}, "6.0.0.120(C00E120R5P7)(20)": {Major: 6, API: 20},
			"6.1.0(23)Release": {Major: 6, Minor: 1, API: 23}, "NEXT 5.0": {Major: 5}, "HarmonyOS NEXT 5.0.1": {Major: 5, Patch: 1}, "HarmonyOS NEXT 5": {Major: 5},
			"26.0.0(26)": {Major: 26, API: 26}, "HarmonyOS 26": {Major: 26}, "26": {Major: 26}, "6": {Major: 6}, "5": {Major: 5}, "6.0.0 (API 20)": {Major: 6, API: 20}, "6.1.0（23）": {Major: 6, Minor: 1, API: 23},
			"PLR-AL00 V6.0.0.36SP3": {Major: 6}, "Android 10 HarmonyOS 4.2.0": {Major: 4, Minor: 2},
		},
		call.IOS: {
			"17.4": {Major: 17, Minor: 4}, "14": {Major: 14}, "0": {}, "iOS 17.5": {Major: 17, Minor: 5}, "Version 17.5 (Build 21F79)": {Major: 17, Minor: 5},
			"17.4 beta": {Major: 17, Minor: 4}, "17.4beta2": {Major: 17, Minor: 4}, "18 beta 3": {Major: 18}, "iOS 17": {Major: 17}, "iPadOS/17.4.1": {Major: 17, Minor: 4, Patch: 1},
			"Version 17 (Build 21A329)": {Major: 17}, "iPhone OS 16.7.8": {Major: 16, Minor: 7, Patch: 8}, "iPhone15,2 17.5": {Major: 17, Minor: 5}, "26.1": {Major: 26, Minor: 1},
		},
		call.Android: {"14": {Major: 14}, "Android 14": {Major: 14}, "14 (API 34)": {Major: 14, API: 34}},
	} {
		for s, want := range versions {
			if got, ok := call.ParseVersion(p, s); !ok || got != want {
				t.Errorf("%q of %s is %+v, %v, want %+v", s, p, got, ok, want)
			}
		}
	}
	for _, p := range call.Platforms {
		for _, s := range []string{
			"", " ", "(23)", "v6", "6.x", "6.1.0(23", "6.1.0()", "6.1.0(-1)", "-6", "6.-1", "6..1", "99999999999999999999", "99999999999999999999.1", "6.1.0(23)(24)",
			"API 20", "API20", "Unknown", "null", "ALN-AL00", "iPhone 15 Pro", "iPhone15,2", "21F79", "(Build 21F79)", "六", "-6.1",
		} {
			if got, ok := call.ParseVersion(p, s); ok {
				t.Errorf("%q of %s is %+v, want no version", s, p, got)
			}
		}
	}
	for _, s := range []string{"7", "12", "20", "23", "25", "HarmonyOS 20", "HarmonyOS NEXT 12"} { // API levels
		if got, ok := call.ParseVersion(call.HarmonyOS, s); ok {
			t.Errorf("%q is %+v, want no version", s, got)
		}
	}
}

// TestVersionUnread: only where another version could help, the unread one is
// what is told.
func TestVersionUnread(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		platform call.Platform
		kind     call.DeviceType
		version  string
		unread   bool
	}{
		{call.HarmonyOS, call.Phone, "20", true},
		{call.HarmonyOS, call.PC, "Unknown", true},
		{call.IOS, call.Tablet, "iPad", true},
		{call.HarmonyOS, call.Phone, "4.2.0", false}, // too old
		{call.HarmonyOS, call.TV, "20", false},       // no TV shows calls
		{call.Android, call.Phone, "REL", false},     // nor does Android
		{call.HarmonyOS, call.Phone, "OpenHarmony-6.0.0.36", false},
	} {
		d := call.LatestRules().Gate(call.Device{ID: "d", Platform: c.platform, Type: c.kind, SystemVersion: c.version, CallUI: call.Alert}, time.Now())
		if d.VersionUnread() != c.unread {
			t.Errorf("%+v: %v", c, d.VersionUnread())
		}
		if c.unread && (d.Reason != call.ReasonDeviceNotSupported || d.Advice() == d.Reason.Advice() || d.Advice().IsZero()) {
			t.Errorf("%+v: %s, %q", c, d.Reason, d.Advice().In(call.English))
		}
		if !c.unread && d.Advice() != d.Reason.Advice() {
			t.Errorf("%+v: %q", c, d.Advice().In(call.English))
		}
	}
}

func FuzzParseVersion(f *testing.F) {
	for _, s := range []string{"6.1.0(23)", "17.4", "14", "", "(", "()", ".", "6.1.0(23)(24)", "-1", "1.2.3.4", "٣.١", "6.1.0(9223372036854775808)", "ALN-AL00 5.0.0.102(C00E100R4P17)", "OpenHarmony-6.0.0.36"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, p := range call.Platforms {
			checkVersion(t, p, s)
		}
	})
}

func checkVersion(t *testing.T, p call.Platform, s string) {
	v, ok := call.ParseVersion(p, s)
	if !ok && v != (call.Version{}) {
		t.Fatalf("%q is refused, and %+v", s, v)
	}
	if ok && (v.Major < 0 || v.Minor < 0 || v.Patch < 0 || v.API < 0 || !v.AtLeast(v) || !v.AtLeast(call.Version{})) {
		t.Fatalf("%q: %+v", s, v)
	}
}
