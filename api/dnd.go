package api

import (
	"fmt"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/store"
)

// dndJSON is a user's do-not-disturb setting.
type dndJSON struct {
	UserID    string       `json:"user_id"`
	Windows   []windowJSON `json:"windows"`
	TimeZone  *string      `json:"time_zone"`
	Until     moment       `json:"until"`
	Active    bool         `json:"active"` // now
	UpdatedAt moment       `json:"updated_at"`
}

type windowJSON struct {
	Days []call.Day `json:"days"` // none stands for every day
	From string     `json:"from"`
	To   string     `json:"to"`
}

func renderDND(user string, d store.DND) dndJSON {
	out := dndJSON{UserID: user, Windows: make([]windowJSON, len(d.Windows)), Until: moment(d.Until), Active: d.Active, UpdatedAt: moment(d.UpdatedAt)}
	if d.Zone != nil {
		out.TimeZone = orNull(d.Zone.String())
	}
	for i, w := range d.Windows {
		out.Windows[i] = windowJSON{append([]call.Day{}, w.Days...), clock(w.From), clock(w.To)}
	}
	return out
}

// clock formats minutes after midnight as a time of day.
func clock(minutes int) string { return fmt.Sprintf("%02d:%02d", minutes/60, minutes%60) }

// putDND is PUT /v1/users/{user_id}/dnd: a user is not to be disturbed.
func (s *server) putDND(w http.ResponseWriter, r *http.Request, p Backend) error {
	user, err := pathText(r, "user_id")
	if err != nil {
		return err
	}
	body, err := bodyOf(w, r)
	if err != nil {
		return err
	}
	wish, err := decodeDND(body)
	if err != nil {
		return err
	}
	if len([]rune(user)) > 128 {
		return invalid("", "the user_id in the path must have 1 to 128 characters")
	}
	d, err := s.Store.PutDND(r.Context(), p.AppID, user, wish)
	if err != nil {
		return err
	}
	return write(w, http.StatusOK, renderDND(user, d))
}

// getDND is GET /v1/users/{user_id}/dnd.
func (s *server) getDND(w http.ResponseWriter, r *http.Request, p Backend) error {
	user, err := pathText(r, "user_id")
	if err != nil {
		return err
	}
	if err := queryOf(r).done(); err != nil {
		return err
	}
	d, err := s.Store.DND(r.Context(), p.AppID, user)
	if err != nil {
		return err
	}
	return write(w, http.StatusOK, renderDND(user, d))
}

// deleteDND is DELETE /v1/users/{user_id}/dnd.
func (s *server) deleteDND(w http.ResponseWriter, r *http.Request, p Backend) error {
	user, err := pathText(r, "user_id")
	if err != nil {
		return err
	}
	if err := noBody(w, r); err != nil {
		return err
	}
	if err := s.Store.DeleteDND(r.Context(), p.AppID, user); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func decodeDND(body []byte) (call.DND, error) {
	var d call.DND
	f, err := decode(body)
	if err != nil {
		return d, err
	}
	d.Windows = decodeWindows(f)
	if _, given := f.raw["time_zone"]; given {
		d.Zone = f.zone("time_zone")
	} else if len(d.Windows) > 0 {
		f.complain("time_zone", "is required with windows")
	}
	if _, given := f.raw["until"]; given {
		d.Until = f.moment("until")
	}
	if err := f.done(); err != nil {
		return d, err
	}
	if len(d.Windows) == 0 && d.Until.IsZero() {
		return d, invalid("", "must have a window with a time_zone, or until; DELETE forgets what was set")
	}
	return d, nil
}

func decodeWindows(f *fields) (windows []call.Window) {
	for _, given := range f.list("windows", 0, call.MaxWindows) {
		w := call.Window{Days: choices(given, "days", call.Days), From: given.clock("from", false), To: given.clock("to", true)}
		if w.From == w.To && w.From >= 0 {
			given.complain("to", "must differ from `from`; a whole day is from 00:00 to 24:00")
		}
		given.unknown()
		windows = append(windows, w)
	}
	return windows
}

var clockTime = regexp.MustCompile(`^([01]\d|2[0-3]):[0-5]\d$`)

// clock reads a time of day as minutes after midnight; -1 where it is wrong. An
// end may be 24:00.
func (f *fields) clock(name string, end bool) int {
	s := f.text(name, 1, 64)
	switch {
	case s == "":
		return -1
	case end && s == "24:00":
		return call.EndOfDay
	case !clockTime.MatchString(s):
		f.complain(name, "must be a time such as 07:30")
		return -1
	}
	hours, _ := strconv.Atoi(s[:2])
	minutes, _ := strconv.Atoi(s[3:])
	return hours*60 + minutes
}

// zone reads a time zone; nil where it is wrong.
func (f *fields) zone(name string) *time.Location {
	s := f.text(name, 1, 64)
	if s == "" {
		return nil
	}
	z, err := time.LoadLocation(s)
	if err != nil || !iana(s) {
		f.complain(name, "must be a time zone of the IANA database, such as Asia/Shanghai")
	}
	return z
}

// iana reports whether a time zone that this machine knows is known by that
// name everywhere. Some names exist on this machine alone, some name another
// copy of the database, and some are paths.
func iana(name string) bool {
	return path.Clean(name) == name && !slices.Contains([]string{"Local", "localtime", "posixrules", "Factory"}, name) && !strings.HasPrefix(name, "posix/") && !strings.HasPrefix(name, "right/")
}
