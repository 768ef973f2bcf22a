package api

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/store"
)

// putDevice is PUT /v1/devices/{device_id}: a backend registers a device.
func (s *server) putDevice(w http.ResponseWriter, r *http.Request, p Backend) error {
	id, err := pathText(r, "device_id")
	if err != nil {
		return err
	}
	in, err := s.registration(w, r, true)
	if err != nil {
		return err
	}
	if len([]rune(id)) > 128 {
		return invalid("", "the device_id in the path must have 1 to 128 characters")
	}
	in.AppID, in.Device.ID = p.AppID, id
	d, err := s.Store.PutDevice(r.Context(), in.Registration)
	if err != nil {
		return err
	}
	l := speak(w, r)
	out := renderDevice(d, l)
	out.Warnings = renderWarnings(in.warnings, l)
	return write(w, http.StatusOK, out)
}

// putOwnDevice is PUT /v1/device: a device registers itself, says which calls it
// has, and gets a new JWT.
func (s *server) putOwnDevice(w http.ResponseWriter, r *http.Request, p Device) error {
	in, err := s.registration(w, r, false)
	if err != nil {
		return err
	}
	in.AppID, in.Device.ID, in.Device.UserID = p.AppID, p.DeviceID, p.UserID
	in.ByDevice, in.TokenIssuedAt, in.IP = true, p.IssuedAt, clientAddr(r.Context())
	d, err := s.Store.PutDevice(r.Context(), in.Registration)
	if err != nil {
		return err
	}
	if in.live != nil {
		if err := s.Store.LoseCalls(r.Context(), p.AppID, p.DeviceID, p.UserID, in.live); err != nil {
			return err
		}
	}
	token, expires, err := s.Tokens.Device(p.AppID, p.UserID, p.DeviceID, d.UpdatedAt)
	if err != nil {
		return err
	}
	l := speak(w, r)
	out, at := renderDevice(d, l), moment(expires)
	out.Warnings = renderWarnings(in.warnings, l)
	out.Token, out.ExpiresAt = token, &at
	return write(w, http.StatusOK, out)
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
	for _, m := range []string{http.MethodDelete, http.MethodGet, http.MethodPatch, http.MethodPost, http.MethodPut} {
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
