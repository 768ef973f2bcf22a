package api

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// The cursor of a device's feed is what the device was told, so that any process
// can go on from there: a version, when, and of each call the id and a hash.
const (
	cursorVersion = 1
	cursorHead    = 1 + 8
	cursorEntry   = 16 + 4
	longestCursor = 8192
	mostInCursor  = 300 // so that a cursor is no longer
)

func (f *feed) cursor() string {
	b := append(make([]byte, 0, cursorHead+len(f.told)*cursorEntry), cursorVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(max(0, f.at.UnixMilli())))
	for _, id := range slices.SortedFunc(maps.Keys(f.told), compareIDs) {
		b = append(b, id[:]...)
		b = binary.BigEndian.AppendUint32(b, f.told[id].hash)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// resume reads what cursor wrote.
func (f *feed) resume(cursor string) error {
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || len(cursor) > longestCursor || strings.ContainsAny(cursor, "\r\n") || // which the decoder passes over
		len(b) < cursorHead || b[0] != cursorVersion || (len(b)-cursorHead)%cursorEntry != 0 {
		return &malformedError{"the cursor is not one that this service gave"}
	}
	ms := binary.BigEndian.Uint64(b[1:])
	if ms > 0 {
		f.at = time.UnixMilli(int64(ms)).UTC()
	}
	if ms > uint64(f.server.Store.Now().Add(time.Hour).UnixMilli()) {
		return &malformedError{"the cursor is not one that this service gave: it is of a time to come"}
	}
	for entry := range slices.Chunk(b[cursorHead:], cursorEntry) {
		f.told[uuid.UUID(entry[:16])] = toldCall{hash: binary.BigEndian.Uint32(entry[16:])}
	}
	return nil
}

// forget leaves out of the cursor the legs whose end is told for good, and the
// oldest ends where there are too many: they may be told twice.
func (f *feed) forget() {
	maps.DeleteFunc(f.told, func(_ uuid.UUID, t toldCall) bool { return f.forgotten(t.ended) })
	if len(f.told) <= mostInCursor {
		return
	}
	for _, id := range slices.SortedFunc(maps.Keys(f.told), compareIDs) {
		if !f.told[id].ended.IsZero() {
			delete(f.told, id)
		}
		if len(f.told) <= mostInCursor {
			return
		}
	}
}

func compareIDs(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) }

// forgotten reports whether a leg ended so long before the last reading that the
// device was told, though the cursor no longer says so: its call may still change,
// and so may the tail be behind.
func (f *feed) forgotten(ended time.Time) bool {
	return !ended.IsZero() && ended.Before(f.at.Add(-feedReach))
}
