package call

import (
	"slices"
	"time"
)

// Day is a day of the week.
type Day string

const (
	Monday    Day = "mon"
	Tuesday   Day = "tue"
	Wednesday Day = "wed"
	Thursday  Day = "thu"
	Friday    Day = "fri"
	Saturday  Day = "sat"
	Sunday    Day = "sun"
)

// Days lists every day.
var Days = []Day{Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday}

func dayOf(d time.Weekday) Day { return Days[(d+6)%7] }

const (
	// MaxWindows is how many windows a user may have.
	MaxWindows = 32

	// EndOfDay is midnight as the end of a window, in minutes.
	EndOfDay = 24 * 60
)

// Window is a part of the day. From and To are local times of day, in minutes
// after midnight. A window that ends earlier than it begins ends on the next
// day, and belongs to the day on which it begins; one from a time to the same
// time is none.
type Window struct {
	Days     []Day // none stands for every day
	From, To int
}

// DND is a user's do-not-disturb setting: until a moment, and in each window
// every week. The zero value sets nothing.
type DND struct {
	Windows []Window
	Zone    *time.Location // time zone of the windows, which do not count without one
	Until   time.Time      // zero for none
}

// Active reports whether the user is not to be disturbed at a moment.
func (d DND) Active(now time.Time) bool {
	if now.Before(d.Until) {
		return true
	}
	if d.Zone == nil {
		return false
	}
	year, month, day := now.In(d.Zone).Date()
	// Yesterday's window may go on; tomorrow's has begun where the clocks were
	// put back over midnight.
	for _, offset := range []int{-1, 0, 1} {
		midnight := time.Date(year, month, day+offset, 0, 0, 0, 0, time.UTC)
		for _, w := range d.Windows {
			if w.on(dayOf(midnight.Weekday())) && w.covers(midnight, d.Zone, now) {
				return true
			}
		}
	}
	return false
}

func (w Window) on(day Day) bool { return len(w.Days) == 0 || slices.Contains(w.Days, day) }

// covers reports whether a moment is in the window of a day. A window is one
// uninterrupted stretch of time, even if clocks change in it: from the first
// moment at which they show its beginning to the last at which they reach its
// end.
func (w Window) covers(midnight time.Time, zone *time.Location, now time.Time) bool {
	to := w.To
	if to < w.From {
		to += EndOfDay
	}
	return !now.Before(firstShown(midnight.Add(time.Duration(w.From)*time.Minute), zone)) &&
		now.Before(lastReached(midnight.Add(time.Duration(to)*time.Minute), zone))
}

// aDay is longer than any zone's difference from UTC.
const aDay = 24 * time.Hour

// firstShown is the first moment at which clocks in the zone show a time, which
// is given as if it were UTC, or a later one.
func firstShown(wall time.Time, zone *time.Location) time.Time {
	for at := wall.Add(-aDay).In(zone); ; {
		_, offset := at.Zone()
		t := wall.Add(-time.Duration(offset) * time.Second)
		if t.Before(at) { // they were put forward over it
			return at
		}
		_, end := at.ZoneBounds()
		if end.IsZero() || t.Before(end) {
			return t
		}
		at = end
	}
}

// lastReached is the moment from which on clocks in the zone show a time or a
// later one and are not put back before it any more.
func lastReached(wall time.Time, zone *time.Location) time.Time {
	for at := wall.Add(aDay).In(zone); ; {
		start, end := at.ZoneBounds()
		_, offset := at.Zone()
		t := wall.Add(-time.Duration(offset) * time.Second)
		if !end.IsZero() && t.After(end) { // they were put forward over it
			return end
		}
		if start.IsZero() || !t.Before(start) {
			return t
		}
		at = start.Add(-1)
	}
}
