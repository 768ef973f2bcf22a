package main_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// streams has no time-out: a feed stays open.
var streams = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}}

// serverEvent is one server-sent event.
type serverEvent struct {
	id, name string
	data     []byte
}

// stream reads server-sent events until ctx ends or each returns an error.
// opened is told when it is open. after is the Last-Event-ID; "" for none.
func (c caller) stream(ctx context.Context, path, after string, opened func(), each func(serverEvent) error) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+path, nil)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+c.key)
	r.Header.Set("Accept", "text/event-stream")
	if after != "" {
		r.Header.Set("Last-Event-ID", after)
	}
	resp, err := streams.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("a stream: HTTP %d", resp.StatusCode)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	var e serverEvent
	for lines.Scan() {
		opened()
		field, value, _ := strings.Cut(lines.Text(), ": ")
		switch field {
		case "id":
			e.id = value
		case "event":
			e.name = value
		case "data":
			e.data = []byte(value)
		case "":
			if e.data == nil { // a heartbeat
				continue
			}
			if err := each(e); err != nil {
				return err
			}
			e = serverEvent{}
		}
	}
	return errors.Join(errStreamEnded, lines.Err())
}

// errStreamEnded means that relay or the network ended a stream.
var errStreamEnded = errors.New("the stream ended")
