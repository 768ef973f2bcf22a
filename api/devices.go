package api

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/store"
)

// environments are those of a device's vendor tokens.
var environments = []string{"production", "sandbox"}

// putDevice is PUT /v1/devices/{device_id}: a backend registers a device.
func (s *server) putDevice(w http.ResponseWriter, r *http.Request, p Backend) error {
	id, err := pathText(r, "device_id")
	if err != nil {
		return err
	}
	in, _, warnings, err := s.registration(w, r, true)
	if err != nil {
		return err
	}
	if len([]rune(id)) > 128 {
		return invalid("", "the device_id in the path must have 1 to 128 characters")
	}
	in.AppID, in.Device.ID = p.AppID, id
	d, err := s.Store.PutDevice(r.Context(), in)
	if err != nil {
		return err
	}
	out := renderDevice(d, speak(w, r))
	out.Warnings = warnings
	return write(w, http.StatusOK, out)
}

// putOwnDevice is PUT /v1/device: a device registers itself, says which calls it
// has, and gets a new JWT.
func (s *server) putOwnDevice(w http.ResponseWriter, r *http.Request, p Device) error {
	in, live, warnings, err := s.registration(w, r, false)
	if err != nil {
		return err
	}
	in.AppID, in.Device.ID, in.Device.UserID = p.AppID, p.DeviceID, p.UserID
	in.ByDevice, in.TokenIssuedAt, in.IP = true, p.IssuedAt, clientAddr(r.Context())
	d, err := s.Store.PutDevice(r.Context(), in)
	if err != nil {
		return err
	}
	if live != nil {
		if err := s.Store.LoseCalls(r.Context(), p.AppID, p.DeviceID, p.UserID, live); err != nil {
			return err
		}
	}
	token, expires, err := s.Tokens.Device(p.AppID, p.UserID, p.DeviceID, d.UpdatedAt)
	if err != nil {
		return err
	}
	out, at := renderDevice(d, speak(w, r)), moment(expires)
	out.Token, out.ExpiresAt, out.Warnings = token, &at, warnings
	return write(w, http.StatusOK, out)
}

// registration decodes a registration, the list of calls that the device still
// has (nil where it does not say), and what in it was not understood and is no
// reason to refuse it.
func (s *server) registration(w http.ResponseWriter, r *http.Request, byBackend bool) (store.Registration, []uuid.UUID, []fieldError, error) {
	body, err := bodyOf(w, r)
	if err != nil {
		return store.Registration{}, nil, nil, err
	}
	return decodeRegistration(body, byBackend)
}

// mostLive is the most entries of live_calls.
const mostLive = 100

func decodeRegistration(body []byte, byBackend bool) (store.Registration, []uuid.UUID, []fieldError, error) {
	var in store.Registration
	var live []uuid.UUID
	f, err := decode(body)
	if err != nil {
		return in, nil, nil, err
	}
	if byBackend {
		in.Device.UserID = f.id("user_id")
	} else {
		live = f.ids("live_calls", mostLive)
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
	var warnings []fieldError
	if _, ok := d.Version(); !ok {
		warnings = append(warnings, fieldError{"/system_version", "names no version that could be read, such as 6.1.0(23) or 17.4; until it does, the device does not ring"})
	}
	in.Region, warnings = decodeRegion(f, byBackend, warnings)
	return in, live, warnings, f.done()
}

// tokenForms says what the tokens of each name look like.
var tokenForms = map[call.TokenName]string{
	call.TokenPushKit:   "a token as Push Kit's getToken gives it: 16 characters or more, letters, digits and + / = _ . : ~ -",
	call.TokenAPNsVoIP:  "PushKit's token in hexadecimal: an even number of digits, 64 or more, without blanks or brackets",
	call.TokenAPNsAlert: "the device token in hexadecimal: an even number of digits, 64 or more, without blanks or brackets",
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
			text := given.text(string(name), 1, 1024)
			token, ok := name.Parse(text)
			if text != "" && !ok && !strings.ContainsRune(text, 0) && len(text) <= 1024 {
				given.complain(string(name), "must be %s", tokenForms[name])
			}
			tokens[name] = token
		}
	}
	given.unknown()
	return tokens
}

// regionFields maps the fields of region to their sources of evidence, and how
// each is read.
var regionFields = []struct {
	name   string
	source call.EvidenceSource
	read   func(string) (string, bool)
	want   string
}{
	{"country", call.FromDevice, call.CountryOfISO, "a country code of ISO 3166-1"},
	{"storefront", call.FromStorefront, call.CountryOfStorefront, "a country code of ISO 3166-1, as StoreKit gives it"},
	{"phone", call.FromPhone, call.CountryOfPhone, "a phone number in E.164, with its plus sign"},
	{"sim_mcc", call.FromSIM, call.CountryOfMCC, "a mobile country code of three digits, or an operator's number that begins with one"},
	{"network_mcc", call.FromNetwork, call.CountryOfMCC, "a mobile country code of three digits, or an operator's number that begins with one"},
}

// decodeRegion reads the evidence of a region; null removes an entry. A country
// that the backend gives decides; one that the device gives is a signal like
// others. What a platform gives where it has nothing to tell is absent, and what
// names no country is a warning: a phone must not fall silent for an optional
// field.
func decodeRegion(f *fields, byBackend bool, warnings []fieldError) (map[call.EvidenceSource]string, []fieldError) {
	region := map[call.EvidenceSource]string{}
	given := f.object("region", false)
	if given == nil {
		return region, warnings
	}
	for _, field := range regionFields {
		source := field.source
		if source == call.FromDevice && byBackend {
			source = call.FromBackend
		}
		raw, ok := given.take(field.name)
		switch {
		case !ok:
			continue
		case isNull(raw):
			region[source] = ""
			continue
		}
		text, ok := scalar(raw)
		if !ok {
			given.complain(field.name, "must be a string, a number or null")
			continue
		}
		if call.SaysNothing(text) {
			continue
		}
		if country, ok := field.read(text); ok {
			region[source] = country
		} else {
			warnings = append(warnings, fieldError{given.pointer(field.name), "is not " + field.want + "; it was left out"})
		}
	}
	given.unknown()
	return region, warnings
}

// scalar is the text of a string or a number.
func scalar(raw json.RawMessage) (text string, ok bool) {
	if json.Unmarshal(raw, &text) == nil {
		return text, true
	}
	var n json.Number
	if json.Unmarshal(raw, &n) != nil {
		return "", false
	}
	return n.String(), true
}

// getDevice is GET /v1/devices/{device_id}.
func (s *server) getDevice(w http.ResponseWriter, r *http.Request, p Backend) error {
	id, err := pathText(r, "device_id")
	if err != nil {
		return err
	}
	if err := queryOf(r).done(); err != nil {
		return err
	}
	d, err := s.Store.Device(r.Context(), p.AppID, id)
	if err != nil {
		return err
	}
	return write(w, http.StatusOK, renderDevice(d, speak(w, r)))
}

// deleteDevice is DELETE /v1/devices/{device_id}.
func (s *server) deleteDevice(w http.ResponseWriter, r *http.Request, p Backend) error {
	id, err := pathText(r, "device_id")
	if err != nil {
		return err
	}
	return s.forget(w, r, p.AppID, id, "")
}

// deleteOwnDevice is DELETE /v1/device: the app's user logged out.
func (s *server) deleteOwnDevice(w http.ResponseWriter, r *http.Request, p Device) error {
	return s.forget(w, r, p.AppID, p.DeviceID, p.UserID)
}

func (s *server) forget(w http.ResponseWriter, r *http.Request, appID, deviceID, userID string) error {
	if err := noBody(w, r); err != nil {
		return err
	}
	if err := s.Store.DeleteDevice(r.Context(), appID, deviceID, userID); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// listUserDevices is GET /v1/users/{user_id}/devices.
func (s *server) listUserDevices(w http.ResponseWriter, r *http.Request, p Backend) error {
	user, err := pathText(r, "user_id")
	if err != nil {
		return err
	}
	q := queryOf(r)
	limit, after := q.limit(), string(q.cursor())
	if err := q.done(); err != nil {
		return err
	}
	devices, err := s.Store.UserDevices(r.Context(), p.AppID, user)
	if err != nil {
		return err
	}
	devices = slices.DeleteFunc(devices, func(d store.Registered) bool { return d.ID <= after })
	var out listJSON[deviceJSON]
	if len(devices) > limit {
		devices = devices[:limit]
		out.NextCursor = cursorOf([]byte(devices[limit-1].ID))
	}
	out.Data = renderDevices(devices, speak(w, r))
	return write(w, http.StatusOK, out)
}

func renderDevices(devices []store.Registered, l call.Language) []deviceJSON {
	out := make([]deviceJSON, len(devices))
	for i, d := range devices {
		out[i] = renderDevice(d, l)
	}
	return out
}

// createDeviceToken is POST /v1/device-tokens.
func (s *server) createDeviceToken(w http.ResponseWriter, r *http.Request, p Backend) error {
	body, err := bodyOf(w, r)
	if err != nil {
		return err
	}
	f, err := decode(body)
	if err != nil {
		return err
	}
	user, device := f.id("user_id"), f.id("device_id")
	if err := f.done(); err != nil {
		return err
	}
	// By the database's present time, so that the token is newer than a log-out
	// a moment ago.
	now, err := s.Store.ReadNow(r.Context())
	if err != nil {
		return err
	}
	token, expires, err := s.Tokens.Device(p.AppID, user, device, now)
	if err != nil {
		return err
	}
	return write(w, http.StatusCreated, struct {
		Token     string `json:"token"`
		ExpiresAt moment `json:"expires_at"`
	}{token, moment(expires)})
}

// methodNotAllowed names the methods that the resource has.
func (s *server) methodNotAllowed(w http.ResponseWriter, r *http.Request) error {
	var allowed []string
	path := cmp.Or(r.URL.RawPath, r.URL.Path) // as the router saw it
	for _, m := range []string{http.MethodDelete, http.MethodGet, http.MethodPost, http.MethodPut} {
		if !s.has(m, path) || slices.Contains(allowed, m) {
			continue
		}
		allowed = append(allowed, m)
		if m == http.MethodGet {
			allowed = append(allowed, http.MethodHead)
		}
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	return errMethod
}
