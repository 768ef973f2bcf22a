package api

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/store"
)

// query reads a request's parameters strictly.
type query struct {
	values url.Values
	asked  []string
	err    error
}

func queryOf(r *http.Request) *query {
	values, err := url.ParseQuery(r.URL.RawQuery)
	q := &query{values: values}
	if err != nil {
		q.err = &malformedError{"the query cannot be read"}
	}
	return q
}

func (q *query) fail(name, detail string) {
	if q.err == nil {
		q.err = &malformedError{"the parameter " + name + " " + detail}
	}
}

func (q *query) text(name string) string { return q.upTo(name, 512) }

// long reads a parameter that may be long, such as a feed's cursor.
func (q *query) long(name string) string { return q.upTo(name, longestCursor) }

func (q *query) upTo(name string, most int) string {
	q.asked = append(q.asked, name)
	given, ok := q.values[name]
	if !ok {
		return ""
	}
	if len(given) > 1 || given[0] == "" || len(given[0]) > most || !printable(given[0]) {
		q.fail(name, fmt.Sprintf("must be given once, with 1 to %d bytes of text", most))
		return ""
	}
	return given[0]
}

// seconds reads a whole number of seconds up to most; absent is 0.
func (q *query) seconds(name string, most time.Duration) time.Duration {
	text := q.text(name)
	if text == "" {
		return 0
	}
	n, err := strconv.Atoi(text)
	if limit := int(most / time.Second); err != nil || n < 0 || n > limit {
		q.fail(name, fmt.Sprintf("must be a whole number of seconds from 0 to %d", limit))
		return 0
	}
	return time.Duration(n) * time.Second
}

func chosen[T ~string](q *query, name string, set []T) T {
	v := T(q.text(name))
	if v != "" && !slices.Contains(set, v) {
		q.fail(name, "must be one of "+join(set))
	}
	return v
}

// chosenOf reads a parameter that may be given several times.
func chosenOf[T ~string](q *query, name string, set []T) []T {
	q.asked = append(q.asked, name)
	var all []T
	for _, given := range q.values[name] {
		if !slices.Contains(set, T(given)) {
			q.fail(name, "must be one of "+join(set))
			return nil
		}
		all = append(all, T(given))
	}
	return all
}

// id reads a UUID in the one form that answers have.
func (q *query) id(name string) uuid.UUID {
	text := q.text(name)
	if text == "" {
		return uuid.Nil
	}
	id, err := uuid.Parse(text)
	if err != nil || len(text) != len(uuid.Nil.String()) {
		q.fail(name, "must be a UUID")
	}
	return id
}

// flag reads true or false.
func (q *query) flag(name string, absent bool) bool {
	switch q.text(name) {
	case "":
		return absent
	case "true":
		return true
	case "false":
		return false
	}
	q.fail(name, "must be true or false")
	return false
}

func (q *query) moment(name string) time.Time {
	s := q.text(name)
	if s == "" {
		return time.Time{}
	}
	t, ok := parseMoment(s)
	if !ok {
		q.fail(name, "must be a time as in RFC 3339, such as 2026-11-23T09:00:00Z")
	}
	return t
}

// done refuses unknown parameters.
func (q *query) done() error {
	for name := range q.values {
		if !slices.Contains(q.asked, name) {
			q.fail(name, "does not exist here")
		}
	}
	return q.err
}

// Sizes of a page.
const (
	defaultLimit = 50
	maxLimit     = 200
)

// filter reads the parameters that select calls of the history.
func (q *query) filter(appID string) store.Filter {
	f := store.Filter{
		AppID: appID, UserID: q.text("user_id"), CallerID: q.text("caller_id"), DeviceID: q.text("device_id"), Ref: q.text("ref"),
		Status: chosen(q, "status", call.Statuses), EndReason: chosen(q, "end_reason", call.EndReasons),
		Direction: chosen(q, "direction", call.Directions), Media: chosen(q, "media", call.AllMedia),
		Platform: chosen(q, "platform", call.Platforms), Reason: chosen(q, "reason", call.Reasons),
		From: q.moment("from"), To: q.moment("to"),
	}
	if region := q.text("region"); region != "" {
		country, ok := call.CountryOfISO(region)
		if !ok {
			q.fail("region", "must be a country code of ISO 3166-1")
		}
		f.Region = country
	}
	return f
}

// page reads the parameters of one page of the history and refuses all that are
// left.
func (q *query) page(appID string) (store.Filter, error) {
	f := q.filter(appID)
	f.Limit = q.limit()
	if cursor := q.cursor(); cursor != nil {
		id, err := uuid.FromBytes(cursor)
		if err != nil {
			q.fail("cursor", "is not one that this service gave")
		}
		f.Before = id
	}
	return f, q.done()
}

// limit reads how many entries a page may have.
func (q *query) limit() int {
	limit := q.text("limit")
	if limit == "" {
		return defaultLimit
	}
	n, err := strconv.Atoi(limit)
	if err != nil || n < 1 || n > maxLimit {
		q.fail("limit", "must be a whole number from 1 to 200")
	}
	return n
}

// cursor reads where a page begins; nil for the first one.
func (q *query) cursor() []byte {
	cursor := q.text("cursor")
	if cursor == "" {
		return nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		q.fail("cursor", "is not one that this service gave")
	}
	return raw
}

func cursorAfter(c call.Call) *string {
	return cursorOf(c.ID[:])
}

func cursorOf(last []byte) *string {
	s := base64.RawURLEncoding.EncodeToString(last)
	return &s
}

// pathText is an unescaped part of the path. A text that cannot be a name is
// answered with not found.
func pathText(r *http.Request, name string) (string, error) {
	raw := chi.URLParam(r, name)
	if r.URL.RawPath != "" { // the router matched the escaped path
		text, err := url.PathUnescape(raw)
		if err != nil {
			return "", store.ErrNotFound
		}
		raw = text
	}
	if len(raw) > 512 || !printable(raw) {
		return "", store.ErrNotFound
	}
	return raw, nil
}

// pathID is the id of a call in the path.
func pathID(r *http.Request) (uuid.UUID, error) { return pathUUID(r, "call_id") }

// pathUUID is an id in the path, in the one form that answers have: uuid.Parse
// would take braces and a URN as well.
func pathUUID(r *http.Request, name string) (uuid.UUID, error) {
	text := chi.URLParam(r, name)
	id, err := uuid.Parse(text)
	if err != nil || len(text) != len(uuid.Nil.String()) {
		return uuid.Nil, store.ErrNotFound
	}
	return id, nil
}
