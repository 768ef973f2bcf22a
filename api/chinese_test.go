package api_test

import (
	"regexp"
	"testing"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/store"
)

// touching is where Chinese and Latin stand without a space between.
var touching = regexp.MustCompile("\\p{Han}[0-9A-Za-z`]|[0-9A-Za-z`]\\p{Han}")

// TestShownBy: the names of systems are set apart from the Chinese around them, and
// Chinese names are not.
func TestShownBy(t *testing.T) {
	t.Parallel()
	for p, want := range map[call.Presentation]string{
		call.CallKit:        "设备 d1 将通过 apns_voip 唤醒，并以 CallKit 展示来电（新加坡，依据：应用商店地区）。",
		call.Alert:          "设备 d1 将通过 apns_voip 唤醒，并以通知展示来电（新加坡，依据：应用商店地区）。",
		call.CallServiceKit: "设备 d1 将通过 apns_voip 唤醒，并以通话服务（Call Service Kit）展示来电（新加坡，依据：应用商店地区）。",
	} {
		d := decisionOn("d1", func(d *call.Decision) {
			d.Channel, d.Presentation, d.Region = call.APNsVoIP, p, located("SG", call.FromStorefront)
		})
		s := tell(t, d)
		s.entries = []store.Entry{{DeviceID: "d1", LegID: s.leg("d1").ID, Decision: &d}}
		if got := s.told().Entries[0].Meaning.In(call.Chinese); got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
}
