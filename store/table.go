package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// table describes the row of a table once. From it come the statements that
// insert, change and read rows, and their parameters: an array for each column,
// in a type that pgx encodes as it is.
type table[R any] struct {
	name, alias string
	fields      []field[R]

	// columns are what scan reads, for a SELECT list.
	columns string

	insertSQL string
	inserted  []field[R]
	updateSQL string
	updated   []field[R]
	ranged    field[R] // the id by which the table is in partitions
}

// field is one column.
type field[R any] struct {
	name   string
	kind   string        // of the array's elements
	value  string        // what is written, as a format of the array's element; "" is the element itself
	read   string        // what is read, as a format of the column; "" is the column itself
	values func([]R) any // the column of many rows
	target func(*R) any  // where a row's value is read to; nil where nobody reads it
	role   role
}

// role says when a column is written.
type role int

const (
	fixedColumn    role = iota // with the row; it never changes
	keyColumn                  // so too, and an update finds its row by it
	changingColumn             // with the row, and by updates
	laterColumn                // by updates only; null before
)

func (f field[R]) key() field[R]     { f.role = keyColumn; return f }
func (f field[R]) changes() field[R] { f.role = changingColumn; return f }
func (f field[R]) later() field[R]   { f.role = laterColumn; return f }

// unread is for a column that is there to be searched by.
func (f field[R]) unread() field[R] { f.target = nil; return f }

// describe makes a table's statements. ranged names the key by which the table
// is in partitions, "" for none; unless ends the INSERT and says when a row, q, is
// not inserted.
func describe[R any](name, alias, ranged, unless string, fields ...field[R]) *table[R] {
	t := &table[R]{name: name, alias: alias, fields: fields}
	var columns, keys, sets []string
	for _, f := range fields {
		if f.target != nil {
			columns = append(columns, fmt.Sprintf(orSame(f.read), alias+"."+f.name))
		}
		if f.role != laterColumn {
			t.inserted = append(t.inserted, f)
		}
		if f.role != fixedColumn {
			t.updated = append(t.updated, f)
		}
		switch f.role {
		case keyColumn:
			keys = append(keys, fmt.Sprintf("%s.%s = q.%s", alias, f.name, f.name))
		case changingColumn, laterColumn:
			sets = append(sets, f.name+" = "+fmt.Sprintf(orSame(f.value), "q."+f.name))
		}
		if f.name == ranged {
			t.ranged = f
		}
	}
	t.columns = strings.Join(columns, ", ")
	var values []string
	for _, f := range t.inserted {
		values = append(values, fmt.Sprintf(orSame(f.value), "q."+f.name))
	}
	t.insertSQL = fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM %s %s", name, names(t.inserted), strings.Join(values, ", "), unnest(t.inserted), unless)
	if len(sets) > 0 {
		n := len(t.updated)
		t.updateSQL = fmt.Sprintf("UPDATE %s %s SET %s FROM %s WHERE %s AND %s.%s BETWEEN $%d AND $%d",
			name, alias, strings.Join(sets, ", "), unnest(t.updated), strings.Join(keys, " AND "), alias, ranged, n+1, n+2)
	}
	return t
}

func orSame(format string) string {
	if format == "" {
		return "%s"
	}
	return format
}

func names[R any](fields []field[R]) string {
	all := make([]string, len(fields))
	for i, f := range fields {
		all[i] = f.name
	}
	return strings.Join(all, ", ")
}

// unnest is the part of a FROM clause that gives rows from the arrays, as q.
func unnest[R any](fields []field[R]) string {
	arrays := make([]string, len(fields))
	for i, f := range fields {
		arrays[i] = fmt.Sprintf("$%d::%s[]", i+1, f.kind)
	}
	return "unnest(" + strings.Join(arrays, ", ") + ") AS q (" + names(fields) + ")"
}

// insert queues the INSERT of rows, if there are any.
func (t *table[R]) insert(b *pgx.Batch, rows []R) {
	if len(rows) > 0 {
		b.Queue(t.insertSQL, arrays(t.inserted, rows)...)
	}
}

// update queues the UPDATE of rows, if there are any.
func (t *table[R]) update(b *pgx.Batch, rows []R) {
	if len(rows) == 0 {
		return
	}
	low, high := span(arrays([]field[R]{t.ranged}, rows)[0].([]uuid.UUID))
	b.Queue(t.updateSQL, append(arrays(t.updated, rows), low, high)...)
}

func arrays[R any](fields []field[R], rows []R) []any {
	all := make([]any, len(fields))
	for i, f := range fields {
		all[i] = f.values(rows)
	}
	return all
}

// scan reads a row's columns.
func (t *table[R]) scan(row pgx.CollectableRow, into *R) error {
	targets := make([]any, 0, len(t.fields))
	for _, f := range t.fields {
		if f.target != nil {
			targets = append(targets, f.target(into))
		}
	}
	return row.Scan(targets...)
}

// of makes a field: at is where a row keeps its value, element makes the array's
// element of it, and target what a scan reads into.
func of[R, V, E any](name, kind string, at func(*R) *V, element func(V) E, target func(*V) any) field[R] {
	return field[R]{
		name: name, kind: kind,
		values: func(rows []R) any { return column(rows, func(r *R) E { return element(*at(r)) }) },
		target: func(r *R) any { return target(at(r)) },
	}
}

// column collects one field of many rows into one array parameter.
func column[T, V any](rows []T, field func(*T) V) []V {
	values := make([]V, len(rows))
	for i := range rows {
		values[i] = field(&rows[i])
	}
	return values
}

func itself[V any](v *V) any { return v }

func text[R any, S ~string](name string, at func(*R) *S) field[R] {
	return of(name, "text", at, func(s S) string { return string(s) }, itself)
}

// orNone is of a text that may be absent: "" here, null there.
func orNone[R any, S ~string](name string, at func(*R) *S) field[R] {
	f := text(name, at)
	f.value, f.read = "nullif(%s, '')", "coalesce(%s, '')"
	return f
}

// asJSON is of a text that is JSON; it is not read by scan.
func asJSON[R any](name string, at func(*R) *[]byte) field[R] {
	f := of(name, "text", at, func(b []byte) pgtype.Text { return pgtype.Text{String: string(b), Valid: b != nil} }, itself).unread()
	f.value = "%s::json"
	return f
}

// recorded is of a value that is kept as JSON.
func recorded[R, V any](name string, at func(*R) *V) field[R] {
	f := of(name, "text", at, func(v V) string {
		data, _ := json.Marshal(v) // the store's records are plain values: they cannot fail
		return string(data)
	}, itself)
	f.value = "%s::json"
	return f
}

// bytesText is of a text that is kept as bytes: nil here, null there.
func bytesText[R any](name string, at func(*R) *[]byte) field[R] {
	return of(name, "text", at, func(b []byte) pgtype.Text { return pgtype.Text{String: string(b), Valid: b != nil} }, itself)
}

func bytea[R any](name string, at func(*R) *[]byte) field[R] {
	return of(name, "bytea", at, func(b []byte) []byte { return b }, itself)
}

func flag[R any](name string, at func(*R) *bool) field[R] {
	return of(name, "boolean", at, func(b bool) bool { return b }, itself)
}

func integer[R any](name string, at func(*R) *int) field[R] {
	return of(name, "integer", at, func(n int) int32 { return int32(n) }, itself)
}

// integerOrNone is of a number that may be absent: 0 here, null there.
func integerOrNone[R any](name string, at func(*R) *int) field[R] {
	f := integer(name, at)
	f.value, f.read = "nullif(%s, 0)", "coalesce(%s, 0)"
	return f
}

func bigint[R any](name string, at func(*R) *int64) field[R] {
	return of(name, "bigint", at, func(n int64) int64 { return n }, itself)
}

// seconds is of a duration, in whole seconds.
func seconds[R any](name string, at func(*R) *time.Duration) field[R] {
	return of(name, "integer", at, func(d time.Duration) int32 { return int32(d / time.Second) }, func(d *time.Duration) any { return inSeconds{d} })
}

func id[R any](name string, at func(*R) *uuid.UUID) field[R] {
	return of(name, "uuid", at, func(id uuid.UUID) uuid.UUID { return id }, itself)
}

// idOrNone is of an id that may be absent: zero here, null there. It is not read by scan.
func idOrNone[R any](name string, at func(*R) *uuid.UUID) field[R] {
	return of(name, "uuid", at, func(id uuid.UUID) pgtype.UUID { return pgtype.UUID{Bytes: id, Valid: id != uuid.Nil} }, itself).unread()
}

// idPointer is the same for a pointer: nil here, null there.
func idPointer[R any](name string, at func(*R) **uuid.UUID) field[R] {
	return of(name, "uuid", at, func(id *uuid.UUID) pgtype.UUID {
		if id == nil {
			return pgtype.UUID{}
		}
		return pgtype.UUID{Bytes: *id, Valid: true}
	}, itself)
}

// moment is of a time: zero here, null there.
func moment[R any](name string, at func(*R) *time.Time) field[R] {
	return of(name, "timestamptz", at, func(t time.Time) pgtype.Timestamptz { return pgtype.Timestamptz{Time: t, Valid: !t.IsZero()} }, func(t *time.Time) any { return when{t} })
}

// when reads a nullable time as a time in UTC, zero for null.
type when struct{ t *time.Time }

func (w when) ScanTimestamptz(v pgtype.Timestamptz) error {
	*w.t = time.Time{}
	if v.Valid {
		*w.t = v.Time.UTC()
	}
	return nil
}

// inSeconds reads a number of seconds.
type inSeconds struct{ d *time.Duration }

func (s inSeconds) ScanInt64(v pgtype.Int8) error {
	*s.d = time.Duration(v.Int64) * time.Second
	return nil
}

// orNull is a time as a parameter: null where it is zero.
func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// span returns the smallest and the largest id, so that a query skips the
// partitions that cannot hold them.
func span(ids []uuid.UUID) (low, high uuid.UUID) {
	return slices.MinFunc(ids, compareIDs), slices.MaxFunc(ids, compareIDs)
}

// compareIDs orders ids as Postgres does, which is by the times of their making.
func compareIDs(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) }
