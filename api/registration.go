package api

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/google/uuid"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/store"
)

// environments are those of a device's vendor tokens.
var environments = []string{"production", "sandbox"}

// registration is what a device, or a backend for it, says of itself.
type registration struct {
	store.Registration
	live     []uuid.UUID // the calls it has; nil where it does not say
	warnings []warning
}

// warning is about a field that was passed over.
type warning struct {
	pointer string
	detail  call.Text
}

func renderWarnings(warnings []warning, l call.Language) []fieldError {
	out := make([]fieldError, len(warnings))
	for i, w := range warnings {
		out[i] = fieldError{w.pointer, w.detail.In(l)}
	}
	return out
}

func (s *server) registration(w http.ResponseWriter, r *http.Request, byBackend bool) (registration, error) {
	body, err := bodyOf(w, r)
	if err != nil {
		return registration{}, err
	}
	return decodeRegistration(body, byBackend)
}

// mostLive is how many calls a device may say it has.
const mostLive = 100

func decodeRegistration(body []byte, byBackend bool) (registration, error) {
	var in registration
	f, err := decode(body)
	if err != nil {
		return in, err
	}
	if byBackend {
		in.Device.UserID = f.id("user_id")
	} else {
		in.live = f.ids("live_calls", mostLive)
	}
	d := &in.Device
	d.Platform = choice(f, "platform", call.Platforms, "")
	d.Type = choice(f, "device_type", call.DeviceTypes, "")
	d.SystemVersion = f.text("system_version", 1, 64)
	d.Emulator = f.flag("emulator", false)
	d.Environment = choice(f, "environment", environments, "production")
	d.BundleID = f.text("bundle_id", 0, 256)
	d.Locale = f.text("locale", 0, 64)
	ui := call.Alert
	if d.Platform == call.HarmonyOS {
		ui = call.CallServiceKit
	}
	d.CallUI = choice(f, "call_ui", call.Presentations, ui)
	if (d.CallUI == call.CallServiceKit && d.Platform != call.HarmonyOS) || ((d.CallUI == call.CallKit || d.CallUI == call.LiveCommunicationKit) && d.Platform != call.IOS) {
		f.complain("call_ui", "does not exist on %s", d.Platform)
	}
	in.Tokens = decodeTokens(f)
	in.Region, in.warnings = decodeRegion(f, byBackend)
	return in, f.done()
}

// decodeTokens reads tokens by name; null removes one.
func decodeTokens(f *fields) map[call.TokenName]string {
	tokens := map[call.TokenName]string{}
	given := f.object("tokens", false)
	if given == nil {
		return tokens
	}
	for _, name := range call.TokenNames {
		raw, ok := given.raw[string(name)]
		switch {
		case !ok:
			given.asked = append(given.asked, string(name))
		case isNull(raw):
			given.asked = append(given.asked, string(name))
			tokens[name] = ""
		default:
			tokens[name] = given.token(name)
		}
	}
	given.unknown()
	return tokens
}

// token reads a vendor token. One that cannot be a token would be refused by the
// vendor at every call.
func (f *fields) token(name call.TokenName) string {
	raw, _ := f.take(string(name))
	var text string
	if json.Unmarshal(raw, &text) != nil {
		f.complain(string(name), "must be a string")
		return ""
	}
	token, ok := name.Normal(text)
	if !ok {
		f.complain(string(name), "must be %s", name.Form())
	}
	return token
}

// regionFields maps the fields of region to what they are evidence of.
var regionFields = []struct {
	name   string
	source call.EvidenceSource
}{
	{"country", call.FromDevice}, {"storefront", call.FromStorefront}, {"phone", call.FromPhone}, {"sim_mcc", call.FromSIM}, {"network_mcc", call.FromNetwork},
}

// decodeRegion reads the evidence of a region; null removes a piece. What a
// backend says of the country decides, what a device says is one signal.
// Evidence is optional, and apps hand on what their platform gives: a value that
// names no country leaves what is known as it is, and is no reason to refuse the
// device.
func decodeRegion(f *fields, byBackend bool) (map[call.EvidenceSource]string, []warning) {
	region, warnings := map[call.EvidenceSource]string{}, []warning(nil)
	given := f.object("region", false)
	if given == nil {
		return region, nil
	}
	for _, field := range regionFields {
		source := field.source
		if source == call.FromDevice && byBackend {
			source = call.FromBackend
		}
		raw, ok := given.take(field.name)
		if !ok {
			continue
		}
		if isNull(raw) {
			region[source] = ""
			continue
		}
		text, ok := textOrNumber(raw)
		if !ok {
			given.complain(field.name, "must be a string or a number")
			continue
		}
		if country, known := source.Country(text); known {
			region[source] = country
		} else if !call.SaysNothing(text) {
			warnings = append(warnings, warning{given.pointer(field.name), notUnderstood.With(source.Form())})
		}
	}
	given.unknown()
	return region, warnings
}

var notUnderstood = call.Say("was passed over: no country can be read from it; it should be %s", "已忽略：无法从中识别国家或地区，应为%s")

// textOrNumber is what a string or a number says.
func textOrNumber(raw json.RawMessage) (text string, ok bool) {
	if json.Unmarshal(raw, &text) == nil {
		return text, true
	}
	if n, err := wholeNumber(raw); err == nil {
		return strconv.FormatInt(n, 10), true
	}
	var n json.Number
	return string(raw), json.Unmarshal(raw, &n) == nil
}
