package call_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/pushwake/relay/call"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func moment(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// window is one from a time to another, as hours and minutes: 2230 is 22:30.
func window(from, to int, days ...call.Day) call.Window {
	return call.Window{Days: days, From: from/100*60 + from%100, To: to/100*60 + to%100}
}

// TestDNDActive has a wish in a zone, and moments with what holds at them.
func TestDNDActive(t *testing.T) {
	t.Parallel()
	workdays := []call.Day{call.Monday, call.Tuesday, call.Wednesday, call.Thursday, call.Friday}
	const active, not = true, false
	for _, tc := range []struct {
		name, zone string
		windows    []call.Window
		at         map[string]bool
	}{
		{"within a day", "Asia/Shanghai", []call.Window{window(1200, 1330)}, map[string]bool{
			"2026-11-23T11:59:59+08:00": not, "2026-11-23T12:00:00+08:00": active, "2026-11-23T05:29:59Z": active, "2026-11-23T13:30:00+08:00": not,
		}},
		{"over midnight", "Asia/Shanghai", []call.Window{window(2200, 700)}, map[string]bool{
			"2026-11-23T21:59:59+08:00": not, "2026-11-23T22:00:00+08:00": active, "2026-11-24T00:00:00+08:00": active, "2026-11-24T06:59:59+08:00": active, "2026-11-24T07:00:00+08:00": not,
		}},
		{"the night of its first day", "Asia/Shanghai", []call.Window{window(2200, 700, call.Friday)}, map[string]bool{
			"2026-11-27T06:00:00+08:00": not, "2026-11-27T23:00:00+08:00": active, "2026-11-28T06:00:00+08:00": active, "2026-11-28T23:00:00+08:00": not,
		}},
		{"from Sunday to Monday", "Asia/Shanghai", []call.Window{window(2200, 700, call.Sunday)}, map[string]bool{
			"2026-11-22T06:00:00+08:00": not, "2026-11-22T22:00:00+08:00": active, "2026-11-23T06:59:00+08:00": active, "2026-11-23T22:00:00+08:00": not,
		}},
		{"the zone's day, not UTC's", "Asia/Shanghai", []call.Window{window(0, 2400, call.Monday)}, map[string]bool{
			"2026-11-22T15:59:59Z": not, "2026-11-22T16:00:00Z": active, "2026-11-23T15:59:59Z": active, "2026-11-23T16:00:00Z": not,
		}},
		{"till midnight", "Asia/Kolkata", []call.Window{window(2200, 0, call.Monday)}, map[string]bool{
			"2026-11-23T23:59:59+05:30": active, "2026-11-24T00:00:00+05:30": not,
		}},
		{"working hours and the weekend", "Europe/Berlin", []call.Window{window(900, 1700, workdays...), window(0, 2400, call.Saturday, call.Sunday)}, map[string]bool{
			"2026-11-20T16:59:59+01:00": active, "2026-11-20T17:00:00+01:00": not, "2026-11-21T00:00:00+01:00": active, "2026-11-22T23:59:59+01:00": active, "2026-11-23T08:59:59+01:00": not,
		}},
		{"from a time to the same", "UTC", []call.Window{window(2200, 2200)}, map[string]bool{"2026-11-23T22:00:00Z": not, "2026-11-23T12:00:00Z": not}},
		{"no window", "UTC", nil, map[string]bool{"2026-11-23T22:00:00Z": not}},

		// Clocks put forward, from 02:00 to 03:00 on 29 March 2026.
		{"a night of an hour less", "Europe/Berlin", []call.Window{window(2200, 700)}, map[string]bool{
			"2026-03-28T22:00:00+01:00": active, "2026-03-29T03:00:00+02:00": active, "2026-03-29T06:59:59+02:00": active, "2026-03-29T07:00:00+02:00": not,
		}},
		{"it begins in the hour that is left out", "Europe/Berlin", []call.Window{window(230, 400)}, map[string]bool{
			"2026-03-29T01:59:59+01:00": not, "2026-03-29T03:00:00+02:00": active, "2026-03-29T03:59:59+02:00": active, "2026-03-29T04:00:00+02:00": not,
			"2026-03-30T02:29:59+02:00": not, "2026-03-30T02:30:00+02:00": active,
		}},
		{"it ends in the hour that is left out", "Europe/Berlin", []call.Window{window(100, 230)}, map[string]bool{
			"2026-03-29T01:00:00+01:00": active, "2026-03-29T01:59:59+01:00": active, "2026-03-29T03:00:00+02:00": not,
		}},
		{"it lies in the hour that is left out", "Europe/Berlin", []call.Window{window(200, 300)}, map[string]bool{
			"2026-03-29T01:59:59+01:00": not, "2026-03-29T03:00:00+02:00": not, "2026-03-28T02:30:00+01:00": active,
		}},

		// Clocks put back, from 03:00 to 02:00 on 25 October 2026.
		{"a night of an hour more", "Europe/Berlin", []call.Window{window(2200, 700)}, map[string]bool{
			"2026-10-25T02:30:00+02:00": active, "2026-10-25T02:30:00+01:00": active, "2026-10-25T06:59:59+01:00": active, "2026-10-25T07:00:00+01:00": not,
		}},
		{"it begins in the hour that comes twice", "Europe/Berlin", []call.Window{window(230, 400)}, map[string]bool{
			"2026-10-25T02:29:59+02:00": not, "2026-10-25T02:30:00+02:00": active, "2026-10-25T02:10:00+01:00": active, "2026-10-25T03:59:59+01:00": active, "2026-10-25T04:00:00+01:00": not,
		}},
		{"it ends in the hour that comes twice", "Europe/Berlin", []call.Window{window(100, 230)}, map[string]bool{
			"2026-10-25T01:00:00+02:00": active, "2026-10-25T02:45:00+02:00": active, "2026-10-25T02:29:59+01:00": active, "2026-10-25T02:30:00+01:00": not,
		}},
		{"by half an hour", "Australia/Lord_Howe", []call.Window{window(130, 200)}, map[string]bool{ // 02:00 back to 01:30 on 5 April 2026
			"2026-04-05T01:29:59+11:00": not, "2026-04-05T01:30:00+11:00": active, "2026-04-05T01:59:59+10:30": active, "2026-04-05T02:00:00+10:30": not,
		}},

		// Clocks put forward and back at midnight.
		{"a day without its first hour", "Africa/Cairo", []call.Window{window(0, 600, call.Friday)}, map[string]bool{ // 24 April 2026
			"2026-04-23T23:59:59+02:00": not, "2026-04-24T01:00:00+03:00": active, "2026-04-24T05:59:59+03:00": active, "2026-04-24T06:00:00+03:00": not,
		}},
		{"a day whose last hour comes twice", "Africa/Cairo", []call.Window{window(2330, 700, call.Thursday)}, map[string]bool{ // 29 October 2026
			"2026-10-29T23:29:59+03:00": not, "2026-10-29T23:30:00+03:00": active, "2026-10-29T23:10:00+02:00": active, "2026-10-30T06:59:59+02:00": active, "2026-10-30T07:00:00+02:00": not,
		}},
		{"back into the day before", "America/St_Johns", []call.Window{window(0, 600, call.Sunday)}, map[string]bool{ // 00:01 back to 23:01 on 7 November 2010
			"2010-11-06T23:59:59-02:30": not, "2010-11-07T00:00:00-02:30": active, "2010-11-06T23:30:00-03:30": active, "2010-11-07T05:59:59-03:30": active, "2010-11-07T06:00:00-03:30": not,
		}},
		{"a day that was left out", "Pacific/Apia", []call.Window{window(800, 2000, call.Friday)}, map[string]bool{ // 30 December 2011
			"2011-12-29T23:59:59-10:00": not, "2011-12-31T00:00:00+14:00": not, "2011-12-31T12:00:00+14:00": not,
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			d := call.DND{Windows: tc.windows, Zone: zone(t, tc.zone)}
			for at, want := range tc.at {
				if got := d.Active(moment(t, at)); got != want {
					t.Errorf("at %s: %v, want %v", at, got, want)
				}
			}
		})
	}
}

func TestDNDUntil(t *testing.T) {
	t.Parallel()
	until := moment(t, "2026-11-25T08:00:00Z")
	evening := []call.Window{window(2200, 700)}
	for _, tc := range []struct {
		name string
		wish call.DND
		at   string
		want bool
	}{
		{"nothing", call.DND{}, "2026-11-25T07:00:00Z", false},
		{"before", call.DND{Until: until}, "2026-11-25T07:59:59Z", true},
		{"at its end", call.DND{Until: until}, "2026-11-25T08:00:00Z", false},
		{"outside the windows", call.DND{Windows: evening, Zone: time.UTC, Until: until}, "2026-11-24T12:00:00Z", true},
		{"over, and the windows go on", call.DND{Windows: evening, Zone: time.UTC, Until: until}, "2026-11-26T23:00:00Z", true},
		{"over", call.DND{Windows: evening, Zone: time.UTC, Until: until}, "2026-11-26T12:00:00Z", false},
		{"windows of no zone", call.DND{Windows: evening}, "2026-11-26T23:00:00Z", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := tc.wish.Active(moment(t, tc.at)); got != tc.want {
				t.Errorf("%v, want %v", got, tc.want)
			}
		})
	}
}

// TestDNDByTheClock: whenever the clock on the wall is in a window, the wish
// holds, and on days on which no clock is changed only then.
func TestDNDByTheClock(t *testing.T) {
	t.Parallel()
	var zones []*time.Location
	for _, name := range []string{"UTC", "Asia/Shanghai", "Europe/Berlin", "America/New_York", "America/St_Johns", "Australia/Lord_Howe", "Africa/Cairo", "Pacific/Apia", "Asia/Kathmandu"} {
		zones = append(zones, zone(t, name))
	}
	first := moment(t, "2009-12-28T00:00:00Z").Unix()
	rapid.Check(t, func(t *rapid.T) {
		z := rapid.SampledFrom(zones).Draw(t, "zone")
		w := call.Window{
			Days: rapid.SliceOfNDistinct(rapid.SampledFrom(call.Days), 0, 6, rapid.ID[call.Day]).Draw(t, "days"),
			From: rapid.IntRange(0, 24*60-1).Draw(t, "from"), To: rapid.IntRange(0, 24*60).Draw(t, "to"),
		}
		at := time.Unix(first+rapid.Int64Range(0, 18*366*86400).Draw(t, "at"), 0).In(z)
		if start, _ := at.ZoneBounds(); !start.IsZero() && rapid.Bool().Draw(t, "near a change") {
			at = start.Add(time.Duration(rapid.IntRange(-2*86400, 2*86400).Draw(t, "seconds")) * time.Second)
		}
		on := func(day time.Time) bool {
			return len(w.Days) == 0 || slices.Contains(w.Days, call.Days[(day.Weekday()+6)%7])
		}
		minute, yesterday := at.Hour()*60+at.Minute(), time.Date(at.Year(), at.Month(), at.Day()-1, 0, 0, 0, 0, time.UTC)
		byClock := w.From < w.To && on(at) && minute >= w.From && minute < w.To ||
			w.From > w.To && (on(at) && minute >= w.From || on(yesterday) && minute < w.To)
		got := call.DND{Windows: []call.Window{w}, Zone: z}.Active(at)
		_, before := at.Add(-49 * time.Hour).Zone()
		_, here := at.Zone()
		_, after := at.Add(49 * time.Hour).Zone()
		steady := before == here && here == after
		if got != byClock && (steady || byClock) {
			t.Fatalf("%+v at %s: %v, by the clock %v", w, at, got, byClock)
		}
	})
}
