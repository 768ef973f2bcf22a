package devicesim

import (
	"bufio"
	"cmp"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"
)

// event is one server-sent event.
type event struct {
	name string // "message" where the stream gave none
	data string
}

// eventReader reads a stream of server-sent events (HTML standard, 9.2.6).
type eventReader struct {
	in      *bufio.Reader
	begun   bool
	afterCR bool // a line feed that comes now belongs to the last line's end

	last  string        // id of the last event, also of those before this stream
	retry time.Duration // what the stream asked for last
}

func newEventReader(in io.Reader, last string, retry time.Duration) *eventReader {
	return &eventReader{in: bufio.NewReader(in), last: last, retry: retry}
}

var errLongLine = errors.New("a line of the stream is too long")

// next reads up to the end of an event. What the stream's end cuts off is no
// event, and its id does not count.
func (r *eventReader) next() (event, error) {
	name, id, data := "", r.last, []string(nil)
	for size := 0; ; {
		line, err := r.line()
		if err != nil {
			return event{}, err
		}
		if size += len(line); size > maxAnswer {
			return event{}, errLongLine
		}
		if line == "" {
			if r.last = id; data != nil {
				return event{cmp.Or(name, "message"), strings.Join(data, "\n")}, nil
			}
			name, size = "", 0
			continue
		}
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "event":
			name = value
		case "data":
			data = append(data, value)
		case "id":
			if !strings.Contains(value, "\x00") {
				id = value
			}
		case "retry":
			if ms, err := strconv.ParseUint(value, 10, 31); err == nil {
				r.retry = time.Duration(ms) * time.Millisecond
			}
		} // a comment has an empty name; unknown fields are for others
	}
}

// line reads a line and takes off its end: CR LF, LF or CR. It does not wait
// for what follows a CR.
func (r *eventReader) line() (string, error) {
	var line []byte
	for {
		c, err := r.in.ReadByte()
		if err != nil {
			return "", err
		}
		after := r.afterCR
		r.afterCR = c == '\r'
		switch {
		case c == '\n' && after:
		case c == '\n', c == '\r':
			text := string(line)
			if !r.begun {
				text, r.begun = strings.TrimPrefix(text, "\ufeff"), true
			}
			return text, nil
		case len(line) == maxAnswer:
			return "", errLongLine
		default:
			line = append(line, c)
		}
	}
}
