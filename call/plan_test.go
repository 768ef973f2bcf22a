package call_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/pushwake/relay/call"
)

var everything = map[call.Channel]bool{call.PushKitVoIP: true, call.PushKitAlert: true, call.APNsVoIP: true, call.APNsAlert: true}

// harmonyPhone rings: it is in mainland China and has a live token.
func harmonyPhone(edit func(*call.Device)) call.Device {
	d := call.Device{
		ID: "d1", UserID: "u2", Platform: call.HarmonyOS, Type: call.Phone, SystemVersion: "6.1.0(23)", CallUI: call.CallServiceKit,
		Tokens: map[call.TokenName]call.Token{call.TokenPushKit: {Value: "MA", State: call.TokenAlive}},
		Region: evidenceOf[call.AreaMainland],
	}
	if edit != nil {
		edit(&d)
	}
	return d
}

// TestDecide has each check after region and kind of device, and their order.
func TestDecide(t *testing.T) {
	t.Parallel()
	token := func(state call.TokenState) func(*call.Device) {
		return func(d *call.Device) {
			d.Tokens = map[call.TokenName]call.Token{call.TokenPushKit: {Value: "MA", State: state}}
		}
	}
	quiet := func(d *call.Device) { d.DND.Until = start.Add(time.Second) }
	watch := func(d *call.Device) { d.Type, d.Tokens = call.Wearable, nil }
	iPhone := func(tokens ...call.TokenName) func(*call.Device) {
		return func(d *call.Device) {
			d.Platform, d.SystemVersion, d.CallUI, d.Tokens = call.IOS, "17.4", call.LiveCommunicationKit, map[call.TokenName]call.Token{}
			for _, name := range tokens {
				d.Tokens[name] = call.Token{Value: "ab", State: call.TokenAlive}
			}
		}
	}
	none := map[call.Channel]bool{}
	for _, tc := range []struct {
		name       string
		edit       func(*call.Device)
		configured map[call.Channel]bool
		want       string
	}{
		{"it rings", nil, everything, voip},
		{"no credential", nil, none, "channel_not_configured"},
		{"a credential of another channel", nil, map[call.Channel]bool{call.PushKitAlert: true}, "channel_not_configured"},
		{"no token", func(d *call.Device) { d.Tokens = nil }, everything, "no_token"},
		{"an empty token", func(d *call.Device) {
			d.Tokens = map[call.TokenName]call.Token{call.TokenPushKit: {State: call.TokenAlive}}
		}, everything, "no_token"},
		{"a token for another channel", func(d *call.Device) {
			d.Tokens = map[call.TokenName]call.Token{call.TokenAPNsVoIP: {Value: "ab", State: call.TokenAlive}}
		}, everything, "no_token"},
		{"a dead token", token(call.TokenDead), everything, "token_dead"},
		{"a suspended token", token(call.TokenSuspended), everything, "token_suspended"},
		{"two calls alive", func(d *call.Device) { d.AliveIncoming = 2 }, everything, voip},
		{"three calls alive", func(d *call.Device) { d.AliveIncoming = 3 }, everything, "incoming_limit"},
		{"not to be disturbed", quiet, everything, "dnd"},
		{"no more to be disturbed", func(d *call.Device) { d.DND.Until = start }, everything, voip},
		{"the wish before the limit", func(d *call.Device) { quiet(d); d.AliveIncoming = 3 }, everything, "dnd"},
		{"the token before the wish", func(d *call.Device) { quiet(d); d.Tokens = nil }, everything, "no_token"},
		{"the connection before the wish", func(d *call.Device) { quiet(d); watch(d) }, everything, "not_connected"},
		{"a connected watch is not to disturb either", func(d *call.Device) { quiet(d); watch(d); d.Connected = true }, none, "dnd"},
		{"outgoing calls do not count", func(d *call.Device) { d.AliveOutgoing = 1 }, everything, voip},
		{"a token before the limit", func(d *call.Device) { d.AliveIncoming, d.Tokens = 3, nil }, everything, "no_token"},
		{"the region before the token", func(d *call.Device) { d.Region, d.Tokens = nil, nil }, everything, "region_unknown"},
		{"the emulator before all", func(d *call.Device) { d.Emulator, d.Region = true, nil }, everything, "emulator_not_supported"},
		{"a watch with its feed open", func(d *call.Device) { watch(d); d.Connected = true }, none, feed},
		{"a watch without", watch, everything, "not_connected"},
		{"a connected watch with three calls", func(d *call.Device) { watch(d); d.Connected, d.AliveIncoming = true, 3 }, none, "incoming_limit"},
		{"an iPhone in China with LiveCommunicationKit", iPhone(call.TokenAPNsVoIP), everything, lck},
		{"it needs the VoIP token", iPhone(call.TokenAPNsAlert), everything, "no_token"},
		{"a CallKit registration in China is downgraded", func(d *call.Device) { iPhone(call.TokenAPNsVoIP, call.TokenAPNsAlert)(d); d.CallUI = call.CallKit }, everything, iosAlert},
		{"and needs the alert token", func(d *call.Device) { iPhone(call.TokenAPNsVoIP)(d); d.CallUI = call.CallKit }, everything, "no_token"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := call.LatestRules().Decide(harmonyPhone(tc.edit), tc.configured, start); gated(got) != tc.want {
				t.Errorf("%s, want %s", gated(got), tc.want)
			}
		})
	}
}

// TestRefusalKeepsItsChannel: a decision tells over what it would have rung.
func TestRefusalKeepsItsChannel(t *testing.T) {
	t.Parallel()
	got := call.LatestRules().Decide(harmonyPhone(func(d *call.Device) { d.Tokens = nil }), everything, start)
	if got.Channel != call.PushKitVoIP || got.Presentation != call.CallServiceKit {
		t.Errorf("refused over %q as %q", got.Channel, got.Presentation)
	}
	s := inviteWith(t, nil, []call.Decision{got})
	if l := s.leg("d1"); l.Channel != "" || l.Presentation != "" || l.Decision.Channel != call.PushKitVoIP {
		t.Errorf("the skipped leg has %q as %q, its decision %q", l.Channel, l.Presentation, l.Decision.Channel)
	}
}

func TestGateOutgoing(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		edit func(*call.Device)
		want string
		room bool
	}{
		{nil, voip, true},
		{func(d *call.Device) { d.AliveOutgoing = 1 }, voip, false},
		{func(d *call.Device) { d.AliveIncoming, d.Tokens = 3, nil }, voip, true},
		{func(d *call.Device) { d.DND.Until = start.Add(time.Hour) }, voip, true},
		{func(d *call.Device) { d.Region = evidenceOf[call.AreaOther] }, where, true},
		{func(d *call.Device) { d.Region = nil }, dunno, true},
	} {
		d, room := call.LatestRules().GateOutgoing(harmonyPhone(tc.edit), start)
		if gated(d) != tc.want || room != tc.room {
			t.Errorf("%s with room %v, want %s, %v", gated(d), room, tc.want, tc.room)
		}
	}
}

func drawDevice(id int) *rapid.Generator[call.Device] {
	return rapid.Custom(func(t *rapid.T) call.Device {
		area := rapid.SampledFrom([]call.Area{call.AreaMainland, call.AreaMainland, call.AreaOther, call.AreaUnknown}).Draw(t, "area")
		d := call.Device{
			ID: fmt.Sprintf("d%d", id), Platform: rapid.SampledFrom(call.Platforms).Draw(t, "platform"), Type: rapid.SampledFrom(call.DeviceTypes).Draw(t, "type"),
			SystemVersion: rapid.SampledFrom([]string{"", "5.0.0(12)", "6.1.1(24)", "17.4", "12"}).Draw(t, "version"),
			CallUI:        rapid.SampledFrom(append([]call.Presentation{""}, call.Presentations...)).Draw(t, "call ui"),
			Emulator:      rapid.IntRange(0, 9).Draw(t, "emulator") == 0, Connected: rapid.Bool().Draw(t, "connected"),
			AliveIncoming: rapid.IntRange(0, 4).Draw(t, "alive"), Region: evidenceOf[area], Tokens: map[call.TokenName]call.Token{},
		}
		for _, name := range call.TokenNames {
			state := rapid.SampledFrom([]call.TokenState{"", call.TokenAlive, call.TokenAlive, call.TokenDead, call.TokenSuspended}).Draw(t, "state")
			if state != "" {
				d.Tokens[name] = call.Token{Value: "ab", State: state}
			}
		}
		return d
	})
}

// TestPlan plans for random devices: the order of the input means nothing, and
// each decision explains itself.
func TestPlan(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var devices []call.Device
		for i := range rapid.IntRange(0, 8).Draw(t, "devices") {
			devices = append(devices, drawDevice(i).Draw(t, "device"))
		}
		rules := call.LatestRules()
		plan := rules.Plan(devices, everything, call.DefaultMaxDevices, start)
		shuffled := rapid.Permutation(devices).Draw(t, "shuffled")
		given := slices.Clone(shuffled)
		if diff := cmp.Diff(plan, rules.Plan(shuffled, everything, call.DefaultMaxDevices, start)); diff != "" {
			t.Fatalf("the order of the devices matters:\n%s", diff)
		}
		if diff := cmp.Diff(given, shuffled); diff != "" {
			t.Fatalf("the plan sorted its caller's devices:\n%s", diff)
		}
		if len(plan) != len(devices) {
			t.Fatalf("%d decisions on %d devices", len(plan), len(devices))
		}
		for _, d := range plan {
			if d.RulesVersion == "" || d.Region.Area == "" || d.Reason != "" && d.Reason.Advice().IsZero() {
				t.Fatalf("unexplained: %+v", d)
			}
			if d.Reason != "" {
				continue
			}
			if d.Device.Emulator || d.Device.AliveIncoming >= rules.Limits[d.Device.Platform].Incoming || d.Channel == "" || d.Presentation == "" {
				t.Fatalf("let through: %+v", d)
			}
			if d.Device.Platform == call.HarmonyOS && d.Region.Area != call.AreaMainland || d.Presentation == call.CallKit && d.Region.Area != call.AreaOther {
				t.Fatalf("%s in %s", gated(d), d.Region.Area)
			}
			if token := d.Channel.Token(); token != "" && d.Device.Tokens[token].State != call.TokenAlive || d.Channel == call.Connection && !d.Device.Connected {
				t.Fatalf("%s cannot reach %+v", d.Channel, d.Device)
			}
		}
	})
}

// TestLimit invites and ends calls at random: never are more alive on a device
// than its platform allows, and none is refused below that.
func TestLimit(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := harmonyPhone(nil)
		limit := call.LatestRules().Limits[d.Platform].Incoming
		ends := rapid.SliceOfN(rapid.Bool(), 1, 100).Draw(t, "ends")
		for _, end := range ends {
			if end && d.AliveIncoming > 0 {
				d.AliveIncoming--
				continue
			}
			got := call.LatestRules().Decide(d, everything, start)
			if full := d.AliveIncoming >= limit; full != (got.Reason == call.ReasonIncomingLimit) {
				t.Fatalf("%q with %d alive", got.Reason, d.AliveIncoming)
			}
			if got.Reason == "" {
				d.AliveIncoming++
			}
			if d.AliveIncoming > limit {
				t.Fatalf("%d calls alive", d.AliveIncoming)
			}
		}
	})
}

// TestDeviceLimit: of the devices that could ring, those heard from last do.
func TestDeviceLimit(t *testing.T) {
	t.Parallel()
	heard := func(id string, ago time.Duration, edit func(*call.Device)) call.Device {
		return harmonyPhone(func(d *call.Device) {
			d.ID, d.HeardAt = id, start.Add(-ago)
			if edit != nil {
				edit(d)
			}
		})
	}
	devices := []call.Device{
		heard("a", 5*time.Hour, nil), heard("b", time.Hour, func(d *call.Device) { d.Tokens = nil }), heard("c", 2*time.Hour, nil),
		heard("d", 3*time.Hour, nil), heard("e", 3*time.Hour, nil), heard("f", 9*time.Hour, func(d *call.Device) { d.Connected = true }),
	}
	for limit, want := range map[int]string{
		1: "a:device_limit b:no_token c:device_limit d:device_limit e:device_limit f:",
		2: "a:device_limit b:no_token c: d:device_limit e:device_limit f:",
		3: "a:device_limit b:no_token c: d: e:device_limit f:",
		5: "a: b:no_token c: d: e: f:",
		9: "a: b:no_token c: d: e: f:",
	} {
		var got []string
		for _, d := range call.LatestRules().Plan(devices, everything, limit, start) {
			got = append(got, d.Device.ID+":"+string(d.Reason))
		}
		if got := strings.Join(got, " "); got != want {
			t.Errorf("at most %d: %s, want %s", limit, got, want)
		}
	}
}

// TestKeep: a call keeps all devices that ring and some of the others; those
// that are told of a missed call before any other.
func TestKeep(t *testing.T) {
	t.Parallel()
	plan := func(ring, limited, full int) (all []call.Decision) {
		add := func(n int, r call.Reason) {
			for range n {
				d := call.Decision{Reason: r}
				d.Device.ID, d.Device.HeardAt = fmt.Sprintf("d%03d", len(all)), start.Add(-time.Duration(len(all))*time.Hour)
				all = append(all, d)
			}
		}
		add(ring, "")
		add(limited, call.ReasonDeviceLimit)
		add(full, call.ReasonIncomingLimit)
		return all
	}
	for _, tc := range []struct {
		ring, limited, full, max int
		want                     string // rings, over the limit, full: kept of each; and how many are not
	}{
		{0, 0, 0, 20, "0 0 0, 0 more"},
		{3, 0, 17, 20, "3 0 17, 0 more"},
		{20, 20, 0, 20, "20 20 0, 0 more"},
		{20, 280, 0, 20, "20 20 0, 260 more"},
		{20, 280, 5, 20, "20 15 5, 265 more"},
		{1, 50, 0, 1, "1 20 0, 30 more"},
		{100, 200, 0, 100, "100 100 0, 100 more"},
		{0, 0, 300, 20, "0 0 20, 280 more"},
	} {
		given := plan(tc.ring, tc.limited, tc.full)
		kept, more := call.Keep(given, tc.max)
		n, last := map[call.Reason]int{}, map[call.Reason]string{}
		for i, d := range kept {
			if i > 0 && d.Device.ID <= kept[i-1].Device.ID {
				t.Errorf("%s after %s", d.Device.ID, kept[i-1].Device.ID)
			}
			n[d.Reason]++
			last[d.Reason] = d.Device.ID
		}
		if got := fmt.Sprintf("%d %d %d, %d more", n[""], n[call.ReasonDeviceLimit], n[call.ReasonIncomingLimit], more); got != tc.want {
			t.Errorf("of %d, %d and %d: %s, want %s", tc.ring, tc.limited, tc.full, got, tc.want)
		}
		for r, id := range last { // the ids go down with the time
			if first := slices.IndexFunc(given, func(d call.Decision) bool { return d.Reason == r }); id != fmt.Sprintf("d%03d", first+n[r]-1) {
				t.Errorf("of %q the last kept is %s of %d", r, id, n[r])
			}
		}
	}
}
