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
	in, _, err := s.registration(w, r, true)
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
	return write(w, http.StatusOK, renderDevice(d, speak(w, r)))
}

// putOwnDevice is PUT /v1/device: a device registers itself, says which calls it
// has, and gets a new JWT.
func (s *server) putOwnDevice(w http.ResponseWriter, r *http.Request, p Device) error {
	in, live, err := s.registration(w, r, false)
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
	out.Token, out.ExpiresAt = token, &at
	return write(w, http.StatusOK, out)
}

// registration decodes a registration, and the list of calls that the device
// still has: nil where it does not say.
func (s *server) registration(w http.ResponseWriter, r *http.Request, byBackend bool) (store.Registration, []uuid.UUID, error) {
	body, err := bodyOf(w, r)
	if err != nil {
		return store.Registration{}, nil, err
	}
	return decodeRegistration(body, byBackend)
}

// mostLive is the most entries of live_calls.
const mostLive = 100

func decodeRegistration(body []byte, byBackend bool) (store.Registration, []uuid.UUID, error) {
	var in store.Registration
	var live []uuid.UUID
	f, err := decode(body)
	if err != nil {
		return in, nil, err
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
	in.Region = decodeRegion(f, byBackend)
	return in, live, f.done()
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

// regionFields maps the fields of region to what they are evidence of, and how
// each is read.
var regionFields = []struct {
	name   string
	source call.EvidenceSource
	read   func(string) (string, bool)
	want   string
}{
	{"country", call.FromDevice, call.CountryOfISO, "a country code of ISO 3166-1"},
	{"storefront", call.FromStorefront, call.CountryOfISO, "a country code of ISO 3166-1, as the App Store gives it"},
	{"phone", call.FromPhone, call.CountryOfPhone, "a phone number in E.164, with its plus sign"},
	{"sim_mcc", call.FromSIM, call.CountryOfMCC, "a mobile country code of three digits"},
	{"network_mcc", call.FromNetwork, call.CountryOfMCC, "a mobile country code of three digits"},
}

// decodeRegion reads the evidence of a region; null removes an entry. A country
// that the backend gives decides; one that the device gives is a signal like
// others.
func decodeRegion(f *fields, byBackend bool) map[call.EvidenceSource]string {
	region := map[call.EvidenceSource]string{}
	given := f.object("region", false)
	if given == nil {
		return region
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
		var text string
		if isNull(raw) {
			region[source] = ""
			continue
		}
		country, known := "", false
		if json.Unmarshal(raw, &text) == nil {
			country, known = field.read(text)
		}
		if !known {
			given.complain(field.name, "must be %s", field.want)
		}
		region[source] = country
	}
	given.unknown()
	return region
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
