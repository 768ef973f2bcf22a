package api

import (
	"encoding/csv"
	"io"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// tableColumn is one column of the CSV export.
type tableColumn struct {
	name string
	of   func(*callJSON) string
}

// tableColumns are the columns of the CSV export, in order: what people look
// for in a table. NDJSON has everything.
var tableColumns = []tableColumn{
	{"id", func(c *callJSON) string { return c.ID.String() }},
	{"app_id", func(c *callJSON) string { return c.AppID }}, // for operators
	{"ref", func(c *callJSON) string { return orEmpty(c.Ref) }},
	{"client_id", func(c *callJSON) string { return c.ClientID }},
	{"direction", func(c *callJSON) string { return string(c.Direction) }},
	{"status", func(c *callJSON) string { return string(c.Status) }},
	{"end_reason", func(c *callJSON) string { return orEmpty(c.EndReason) }},
	{"media", func(c *callJSON) string { return string(c.Media) }},
	{"caller_id", func(c *callJSON) string { return c.Caller.UserID }},
	{"caller_name", func(c *callJSON) string { return c.Caller.Name }},
	{"callee_id", func(c *callJSON) string { return c.Callee.UserID }},
	{"callee_name", func(c *callJSON) string { return c.Callee.Name }},
	{"created_at", func(c *callJSON) string { return c.CreatedAt.String() }},
	{"expires_at", func(c *callJSON) string { return c.ExpiresAt.String() }},
	{"ringing_at", func(c *callJSON) string { return c.RingingAt.String() }},
	{"answered_at", func(c *callJSON) string { return c.AnsweredAt.String() }},
	{"active_at", func(c *callJSON) string { return c.ActiveAt.String() }},
	{"ended_at", func(c *callJSON) string { return c.EndedAt.String() }},
	{"answered_by", func(c *callJSON) string { return orEmpty(c.AnsweredBy) }},
	{"reachable", func(c *callJSON) string { return strconv.Itoa(*c.Reachable) }},
	{"legs", func(c *callJSON) string { return legsCell(c.Legs) }},
}

// byteOrderMark is how a spreadsheet knows a file for UTF-8: without it, Excel
// shows Chinese names as another charset's signs.
const byteOrderMark = "\ufeff"

// beginTable writes the row of names, then a row for each call (RFC 4180).
func beginTable(w io.Writer, o exportOptions) (func(callJSON) error, error) {
	if o.bom {
		if _, err := io.WriteString(w, byteOrderMark); err != nil {
			return nil, err
		}
	}
	columns := slices.DeleteFunc(slices.Clone(tableColumns), func(c tableColumn) bool { return c.name == "app_id" && !o.admin })
	row := make([]string, len(columns))
	table := csv.NewWriter(w)
	table.UseCRLF = true
	write := func() error {
		if err := table.Write(row); err != nil {
			return err
		}
		table.Flush()
		return table.Error()
	}
	for i := range columns {
		row[i] = columns[i].name
	}
	return func(c callJSON) error {
		for i := range columns {
			row[i] = defuse(columns[i].of(&c))
		}
		return write()
	}, write()
}

// legsCell writes the legs into one cell: device_id:status:channel:reason of
// each, with a space between two. A device's id is percent-encoded, so that it
// has neither colon nor space.
func legsCell(legs []legJSON) string {
	var b strings.Builder
	for i, l := range legs {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(strings.ReplaceAll(url.QueryEscape(l.DeviceID), "+", "%20"))
		for _, part := range []string{string(l.Status), orEmpty(l.Channel), orEmpty(l.Reason)} {
			b.WriteByte(':')
			b.WriteString(part)
		}
	}
	return b.String()
}

func orEmpty[T ~string](s *T) string {
	if s == nil {
		return ""
	}
	return string(*s)
}

// formulaStarts are the characters by which a spreadsheet takes a cell for a
// formula, the full-width forms included.
const formulaStarts = "-=+@＝＋－＠"

// innerFormula finds a formula after a place where a cell may be split: in
// regions whose lists are separated by semicolons (much of Europe), a
// spreadsheet splits a row there and at line breaks, in spite of quotes.
var innerFormula = regexp.MustCompile(`([;\t\r\n][\pZ\pC]*)([` + formulaStarts + `])`)

// defuse makes a text that a user chose harmless as a cell (CSV injection, by
// OWASP): an apostrophe before what would begin a formula makes it text. Blanks
// before it are skipped, since some spreadsheets drop them.
func defuse(s string) string {
	if s == "" {
		return s
	}
	if strings.ContainsAny(s, ";\t\r\n") {
		s = innerFormula.ReplaceAllString(s, "$1'$2")
	}
	first, _ := utf8.DecodeRuneInString(strings.TrimLeftFunc(s, isBlank))
	if strings.ContainsRune(formulaStarts, first) || strings.IndexByte("\t\r\n", s[0]) >= 0 {
		return "'" + s
	}
	return s
}

// isBlank reports whether a character is a space, or shows nothing.
func isBlank(r rune) bool { return unicode.In(r, unicode.Z, unicode.C) }
