package store

import (
	"crypto/rand"
	"encoding/binary"
	"time"

	"github.com/google/uuid"
)

// newID makes a UUIDv7 (RFC 9562) from the database's time: ids sort by that
// clock, and partitions are ranges of ids. The 12 bits after the milliseconds
// are their fraction, so that ids made within one keep their order.
func newID(t time.Time) uuid.UUID {
	var id uuid.UUID
	_, _ = rand.Read(id[8:]) // never fails, by its documentation
	ms := t.UnixMilli()
	fraction := uint16(t.Sub(time.UnixMilli(ms)) * 4096 / time.Millisecond)
	binary.BigEndian.PutUint64(id[:8], uint64(ms)<<16|0x7000|uint64(fraction&0x0fff))
	id[8] = id[8]&0x3f | 0x80
	return id
}

// newAttemptID makes the id of an attempt for a call. Its last 32 bits are the
// time since the call's own id was made, in milliseconds: a vendor's receipt names
// the attempt and nothing else, and attempts are kept by their calls.
func newAttemptID(t time.Time, callID uuid.UUID) uuid.UUID {
	id := newID(t)
	binary.BigEndian.PutUint32(id[12:], uint32(timeOf(id).Sub(timeOf(callID)).Milliseconds()))
	return id
}

// callTimeOf is the millisecond in which the id of an attempt's call was made.
func callTimeOf(attempt uuid.UUID) time.Time {
	return timeOf(attempt).Add(-time.Duration(binary.BigEndian.Uint32(attempt[12:])) * time.Millisecond)
}

// floorID is the smallest id of a time or later.
func floorID(t time.Time) uuid.UUID {
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[:8], uint64(t.UnixMilli())<<16)
	return id
}

// ceilingID is the largest id of a time's millisecond.
func ceilingID(t time.Time) uuid.UUID {
	id := uuid.Max
	binary.BigEndian.PutUint64(id[:8], uint64(t.UnixMilli())<<16|0xffff)
	return id
}

// timeOf is the millisecond of which newID made an id.
func timeOf(id uuid.UUID) time.Time {
	return time.UnixMilli(int64(binary.BigEndian.Uint64(id[:8]) >> 16)).UTC()
}
