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

// The cursor of a device's feed holds what the device was sent, so that any
// process can go on from there: a version, a time, and for each call its id and
// a hash.
const (
	cursorVersion = 1
	cursorHead    = 1 + 8
	cursorEntry   = 16 + 4
	longestCursor = 8192
	mostInCursor  = 300 // so that the cursor's length is bounded
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

// resume decodes a cursor.
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

// forget drops from the cursor the legs whose end need not be sent again, and
// the oldest ends where there are too many; those may be sent twice.
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

// forgotten reports whether a leg ended so long before the last reading that
// its end was sent, although the cursor no longer contains it. Such a leg comes
// up again when its call changes, or when the tail is late.
func (f *feed) forgotten(ended time.Time) bool {
	return !ended.IsZero() && ended.Before(f.at.Add(-feedReach))
}
