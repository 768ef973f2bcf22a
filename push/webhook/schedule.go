package webhook

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// Schedule is how long a delivery pauses between its tries, before jitter. It has
// two lanes: while a call lives it is worth hurrying, afterwards not.
type Schedule struct {
	Live []time.Duration // after each of the first tries, while the event's call lives
	Late []time.Duration // then; after the last of these tries the delivery is given up
}

// DefaultSchedule gives up after two days.
var DefaultSchedule = Schedule{
	Live: []time.Duration{300 * time.Millisecond, time.Second, 2 * time.Second, 5 * time.Second},
	Late: []time.Duration{30 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 24 * time.Hour},
}

// pause is how long to wait after a number of attempts, of which the last failed.
// late counts the pauses of the slow lane so far; ok is false where no further
// attempt follows.
func (s Schedule) pause(attempts, late int, live bool) (pause time.Duration, lateNow int, ok bool) {
	switch {
	case live && late == 0 && attempts <= len(s.Live):
		return jitter(s.Live[attempts-1]), late, true
	case late < len(s.Late):
		return jitter(s.Late[late]), late + 1, true
	}
	return 0, late, false
}

// jitter spreads a pause by a fifth to both sides, so that what failed together
// does not come back together.
func jitter(d time.Duration) time.Duration { return d - d/5 + rand.N(2*d/5+1) }

// The longest that an endpoint may have one delivery wait, and all of them.
const (
	mostRetryAfter = 24 * time.Hour
	mostHold       = time.Minute
)

// retryAfter is how long an answer asks to wait, 0 where it does not: in seconds,
// or until a time (RFC 9110, 10.2.3).
func retryAfter(h http.Header, now time.Time) time.Duration {
	text := h.Get("Retry-After")
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil {
		return min(time.Duration(min(max(seconds, 0), int64(mostRetryAfter/time.Second)))*time.Second, mostRetryAfter)
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(max(at.Sub(now), 0), mostRetryAfter)
	}
	return 0
}
