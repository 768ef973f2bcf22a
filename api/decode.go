package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

// fields reads one JSON object strictly: it collects everything that is wrong,
// with a pointer to each, and knows which fields nobody asked for.
type fields struct {
	raw    map[string]json.RawMessage
	at     string // RFC 6901 pointer of the object
	asked  []string
	wrong  *[]fieldError
	broken bool // not an object at all; one complaint is enough
}

// decode reads a body that must be a JSON object.
func decode(body []byte) (*fields, error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, &malformedError{"the body is empty; a JSON object is expected"}
	}
	if !json.Valid(body) {
		var any json.RawMessage
		return nil, &malformedError{"the body is not JSON: " + json.Unmarshal(body, &any).Error()}
	}
	f := &fields{wrong: new([]fieldError)}
	if json.Unmarshal(body, &f.raw) != nil || f.raw == nil {
		return nil, invalid("", "must be an object")
	}
	return f, nil
}

// done refuses unknown fields and returns all errors.
func (f *fields) done() error {
	f.unknown()
	if len(*f.wrong) > 0 {
		return &invalidError{*f.wrong}
	}
	return nil
}

func (f *fields) unknown() {
	var names []string
	for name := range f.raw {
		if !slices.Contains(f.asked, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		f.complain(name, "there is no such field")
	}
}

func (f *fields) complain(name, detail string, args ...any) {
	*f.wrong = append(*f.wrong, fieldError{f.pointer(name), fmt.Sprintf(detail, args...)})
}

func (f *fields) pointer(name string) string {
	return f.at + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}

// take returns a field's JSON; ok is false where it is absent.
func (f *fields) take(name string) (json.RawMessage, bool) {
	f.asked = append(f.asked, name)
	raw, ok := f.raw[name]
	return raw, ok
}

func isNull(raw json.RawMessage) bool { return string(bytes.TrimSpace(raw)) == "null" }

// text reads a string of min to max characters. With min 0 it may be absent.
func (f *fields) text(name string, min, max int) string {
	raw, ok := f.take(name)
	if !ok {
		if min > 0 && !f.broken {
			f.complain(name, "is required")
		}
		return ""
	}
	var s string
	if isNull(raw) || json.Unmarshal(raw, &s) != nil {
		f.complain(name, "must be a string")
		return ""
	}
	switch n := utf8.RuneCountInString(s); {
	case strings.ContainsRune(s, 0):
		f.complain(name, "must not contain NUL")
	case n < min || n > max:
		f.complain(name, "must have %d to %d characters", min, max)
	}
	return s
}

// id reads the name of a user, a device or the like: 1 to 128 characters.
func (f *fields) id(name string) string { return f.text(name, 1, 128) }

// choice reads one of a closed set; absent it is the default, and required
// where that is "".
func choice[T ~string](f *fields, name string, set []T, absent T) T {
	raw, ok := f.take(name)
	if !ok {
		if absent == "" && !f.broken {
			f.complain(name, "is required")
		}
		return absent
	}
	var s T
	if isNull(raw) || json.Unmarshal(raw, &s) != nil || !slices.Contains(set, s) {
		f.complain(name, "must be one of %s", join(set))
	}
	return s
}

// optional is choice for a field that may be absent without a default.
func optional[T ~string](f *fields, name string, set []T) T {
	if _, ok := f.raw[name]; !ok {
		f.asked = append(f.asked, name)
		return ""
	}
	return choice(f, name, set, "")
}

// choices reads an array of distinct values of a closed set. It may be absent.
func choices[T ~string](f *fields, name string, set []T) (chosen []T) {
	raw, ok := f.take(name)
	if !ok {
		return nil
	}
	wrong := isNull(raw) || json.Unmarshal(raw, &chosen) != nil
	for i, c := range chosen {
		wrong = wrong || !slices.Contains(set, c) || slices.Contains(chosen[:i], c)
	}
	if wrong {
		f.complain(name, "must be an array of %s, none of them twice", join(set))
	}
	return chosen
}

// ids reads an array of UUIDs, at most max of them; nil where it is absent.
func (f *fields) ids(name string, max int) []uuid.UUID {
	raw, ok := f.take(name)
	if !ok {
		return nil
	}
	var texts []string
	wrong := isNull(raw) || json.Unmarshal(raw, &texts) != nil || len(texts) > max
	ids := make([]uuid.UUID, len(texts))
	for i, text := range texts {
		id, err := uuid.Parse(text)
		wrong = wrong || err != nil || len(text) != len(uuid.Nil.String())
		ids[i] = id
	}
	if wrong {
		f.complain(name, "must be an array of at most %d ids of calls", max)
		return nil
	}
	return ids
}

func join[T ~string](set []T) string {
	words := make([]string, len(set))
	for i, s := range set {
		words[i] = string(s)
	}
	return strings.Join(words, ", ")
}

func (f *fields) flag(name string, absent bool) bool {
	raw, ok := f.take(name)
	if !ok {
		return absent
	}
	var b bool
	if isNull(raw) || json.Unmarshal(raw, &b) != nil {
		f.complain(name, "must be true or false")
	}
	return b
}

// number reads a whole number between min and max.
func (f *fields) number(name string, min, max int64, required bool, absent int64) int64 {
	raw, ok := f.take(name)
	if !ok {
		if required && !f.broken {
			f.complain(name, "is required")
		}
		return absent
	}
	n, err := wholeNumber(raw)
	if err != nil || n < min || n > max {
		f.complain(name, "must be a whole number from %d to %d", min, max)
	}
	return n
}

// wholeNumber takes 45, 45.0 and 4.5e1 for the same number, as JSON does.
func wholeNumber(raw json.RawMessage) (int64, error) {
	var n json.Number
	if isNull(raw) || len(raw) == 0 || raw[0] == '"' || json.Unmarshal(raw, &n) != nil {
		return 0, strconv.ErrSyntax
	}
	if i, err := n.Int64(); err == nil {
		return i, nil
	}
	v, err := n.Float64()
	if err != nil || v != math.Trunc(v) || math.Abs(v) > 1<<53 {
		return 0, strconv.ErrSyntax
	}
	return int64(v), nil
}

func (f *fields) moment(name string) time.Time {
	s := f.text(name, 1, 64)
	if s == "" {
		return time.Time{}
	}
	t, ok := parseMoment(s)
	if !ok {
		f.complain(name, "must be a time as in RFC 3339, such as 2026-11-23T09:00:00.000Z")
	}
	return t
}

// rfc3339 is the form of a time. time.Parse alone would also accept a comma as
// the decimal point and an hour of one digit.
var rfc3339 = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$`)

func parseMoment(s string) (time.Time, bool) {
	t, err := time.Parse(time.RFC3339Nano, s)
	year := t.UTC().Year()
	return t, err == nil && rfc3339.MatchString(s) && year >= 1970 && year <= 9999
}

// object reads a nested object; nil where it is absent and need not be there.
func (f *fields) object(name string, required bool) *fields {
	raw, ok := f.take(name)
	if !ok && !required {
		return nil
	}
	nested := &fields{at: f.pointer(name), wrong: f.wrong}
	switch {
	case !ok:
		f.complain(name, "is required")
		nested.broken = true
	case isNull(raw) || json.Unmarshal(raw, &nested.raw) != nil:
		f.complain(name, "must be an object")
		nested.broken = true
	}
	return nested
}

// list reads an array of min to max objects. With min 0 it may be absent.
func (f *fields) list(name string, min, max int) []*fields {
	raw, ok := f.take(name)
	var items []json.RawMessage
	switch {
	case !ok && min == 0:
		return nil
	case !ok:
		f.complain(name, "is required")
		return nil
	case isNull(raw) || json.Unmarshal(raw, &items) != nil:
		f.complain(name, "must be an array")
		return nil
	case len(items) < min || len(items) > max:
		f.complain(name, "must have %d to %d items", min, max)
		return nil
	}
	nested := make([]*fields, len(items))
	for i, item := range items {
		nested[i] = &fields{at: f.pointer(name) + "/" + strconv.Itoa(i), wrong: f.wrong}
		if isNull(item) || json.Unmarshal(item, &nested[i].raw) != nil {
			*f.wrong = append(*f.wrong, fieldError{nested[i].at, "must be an object"})
			nested[i].broken = true
		}
	}
	return nested
}
