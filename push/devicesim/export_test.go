package devicesim

import (
	"errors"
	"io"
	"time"
)

// Doors that only this package's tests may use.

// ReadEvents reads a whole stream: of each event its name, its data and the id
// after it; in the end the last id and what was asked for as a pause.
func ReadEvents(in io.Reader) (events [][3]string, last string, retry time.Duration, err error) {
	r := newEventReader(in, "before", 0)
	for {
		e, err := r.next()
		if errors.Is(err, io.EOF) {
			return events, r.last, r.retry, nil
		}
		if err != nil {
			return events, r.last, r.retry, err
		}
		events = append(events, [3]string{e.name, e.data, r.last})
	}
}
