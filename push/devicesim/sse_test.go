package devicesim_test

import (
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/pushwake/relay/push/devicesim"
)

func TestEvents(t *testing.T) {
	t.Parallel()
	type events = [][3]string
	for _, tc := range []struct {
		name, stream string
		want         events
		last         string
		retry        time.Duration
	}{
		{"as relay writes", "retry: 1000\n\n:\n\nid: a\nevent: call\ndata: {}\n\nevent: closed\ndata: {\"reason\":\"draining\"}\n\n",
			events{{"call", "{}", "a"}, {"closed", `{"reason":"draining"}`, "a"}}, "a", time.Second},
		{"blanks", "data:x\n\ndata: x\n\ndata:  x\n\n", events{{"message", "x", "before"}, {"message", "x", "before"}, {"message", " x", "before"}}, "before", 0},
		{"several lines", "data: x\ndata\ndata: y\n\n", events{{"message", "x\n\ny", "before"}}, "before", 0},
		{"empty data", "data\n\n", events{{"message", "", "before"}}, "before", 0},
		{"without data", "event: call\nid: a\n\ndata: x\n\n", events{{"message", "x", "a"}}, "a", 0},
		{"comments and unknown fields", ": data: x\nDATA: x\n data: x\ndata: y\nother: z\n\n", events{{"message", "y", "before"}}, "before", 0},
		{"an id that is taken back", "id: a\ndata: x\n\nid\ndata: y\n\n", events{{"message", "x", "a"}, {"message", "y", ""}}, "", 0},
		{"an id with NUL", "id: a\x00b\ndata: x\n\n", events{{"message", "x", "before"}}, "before", 0},
		{"retries that are none", "retry: 5\nretry: -1\nretry: 1.5\nretry: x\nretry:\nretry: +7\n\n", nil, "before", 5 * time.Millisecond},
		{"a retry without end", "retry: 7", nil, "before", 0},
		{"a name for one event", "event: call\ndata: x\n\ndata: y\n\n", events{{"call", "x", "before"}, {"message", "y", "before"}}, "before", 0},
		{"an event that is cut", "id: a\ndata: x\n\nid: b\ndata: y\n", events{{"message", "x", "a"}}, "a", 0},
		{"a mark of the byte order", "\ufeffdata: x\n\n\ufeffdata: y\n\n", events{{"message", "x", "before"}}, "before", 0},
		{"nothing", "", nil, "before", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			for _, end := range []string{"\n", "\r\n", "\r"} {
				stream := strings.ReplaceAll(tc.stream, "\n", end)
				got, last, retry, err := devicesim.ReadEvents(iotest.OneByteReader(strings.NewReader(stream)))
				if err != nil || !reflect.DeepEqual(got, tc.want) || last != tc.last || retry != tc.retry {
					t.Errorf("%q: got %q, %q, %v, %v; want %q, %q, %v", stream, got, last, retry, err, tc.want, tc.last, tc.retry)
				}
			}
		})
	}
}

// TestEventsAtOnce: an event that ends with CR is not held back for what follows.
func TestEventsAtOnce(t *testing.T) {
	t.Parallel()
	b, f := withFeed(t, devicesim.Script{}, nil, nil)
	item := `{"verdict":"ring","call":{"id":"c1","direction":"incoming","callee":{"user_id":"u2"}},"leg":{"id":"l1","status":"waking"}}`
	f.say("event: call\rdata: " + item + "\r\r")
	b.until(devicesim.StatusWoken)
}

// TestEventsWithoutEnd holds that a stream cannot fill the memory.
func TestEventsWithoutEnd(t *testing.T) {
	t.Parallel()
	for name, stream := range map[string]string{"a line": "data: " + strings.Repeat("x", 2<<20), "an event": strings.Repeat("data: x\n", 2<<20/8)} {
		if _, _, _, err := devicesim.ReadEvents(strings.NewReader(stream)); err == nil {
			t.Errorf("%s of 2 MiB is read", name)
		}
	}
}

// FuzzEvents: how a stream is cut into reads, and how its lines end, changes nothing.
func FuzzEvents(f *testing.F) {
	f.Add("retry: 1000\n\nid: a\nevent: call\ndata: {}\n\n:\n\n")
	f.Add("data: x\r\rdata\r\n\r\nid\n\n")
	f.Fuzz(func(t *testing.T, stream string) {
		lines := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(stream)
		want, last, retry, err := devicesim.ReadEvents(strings.NewReader(lines))
		for _, s := range []string{stream, strings.ReplaceAll(lines, "\n", "\r\n"), strings.ReplaceAll(lines, "\n", "\r")} {
			got, gotLast, gotRetry, gotErr := devicesim.ReadEvents(iotest.HalfReader(strings.NewReader(s)))
			if !reflect.DeepEqual(got, want) || gotLast != last || gotRetry != retry || (gotErr == nil) != (err == nil) {
				t.Errorf("%q: got %q, %q, %v, %v; want %q, %q, %v, %v", s, got, gotLast, gotRetry, gotErr, want, last, retry, err)
			}
		}
	})
}
