package main_test

import (
	"bufio"
	"context"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"
)

// follow keeps a device's feed open, by its habit: now at one process, now at the
// other, cut in the middle of anything and taken up again by its cursor, until
// ctx ends. Then it hears what is left.
func (a *actor) follow(ctx context.Context) {
	r := a.rand(5, a.index)
	for a.cursor == "" {
		if !a.poll(ctx, r, "") && !a.pause(50*time.Millisecond) {
			return
		}
	}
	for ctx.Err() == nil {
		cut := time.Duration(50+r.IntN(4000)) * time.Millisecond
		if r.IntN(5) == 0 {
			cut = 20 * time.Second
		}
		short, stop := context.WithTimeout(ctx, cut)
		wait := true
		if a.Habit == "sse" || a.Habit == "both" && r.IntN(2) == 0 {
			wait = a.stream(short, r)
		} else {
			wait = !a.poll(short, r, "&wait=25") || r.IntN(4) == 0
		}
		stop()
		if wait && ctx.Err() == nil {
			a.pause(time.Duration(r.IntN(300)) * time.Millisecond)
		}
	}
	for range 50 {
		before := a.cursor
		if a.poll(a.ctx, r, "") && before == a.cursor {
			return
		}
		a.pause(20 * time.Millisecond)
	}
}

// open asks a process for the feed after the cursor.
func (a *actor) open(ctx context.Context, node int, query string, header ...string) (*http.Response, error) {
	if a.cursor != "" && len(header) == 0 {
		query += "&after=" + a.cursor
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.urls[node]+"/v1/device/calls?"+strings.TrimPrefix(query, "&"), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+a.token)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	n := &note{Who: a.ID, What: "open", App: a.App, Node: node, Sent: a.since(), Key: a.cursor}
	resp, err := feedClient.Do(req)
	n.Got = a.since()
	if err == nil {
		n.Status = resp.StatusCode
	}
	if err == nil || ctx.Err() == nil { // else the device itself gave up
		a.diary.keep(n)
	}
	return resp, err
}

// feedClient has no timeout: feeds are cut by their devices.
var feedClient = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 128}}

// poll is one long-poll, or one look; it reports whether it was answered.
func (a *actor) poll(ctx context.Context, r *rand.Rand, query string) bool {
	resp, err := a.open(ctx, r.IntN(2), query)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	var page struct {
		Data   []json.RawMessage
		Cursor string
	}
	if resp.StatusCode != http.StatusOK || json.NewDecoder(resp.Body).Decode(&page) != nil {
		return false
	}
	for _, item := range page.Data {
		a.tell(item, page.Cursor)
	}
	a.cursor = page.Cursor
	return true
}

// stream is one stream of server-sent events, cut after a while or after some
// events; it reports whether the device is to wait before it connects again.
func (a *actor) stream(ctx context.Context, r *rand.Rand) bool {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	header := []string{"Accept", "text/event-stream"}
	query := ""
	switch r.IntN(3) {
	case 0:
		query = "after=" + a.cursor
	case 1:
		query = "after=" + a.cursor // as a client that keeps its first URL, and knows better
		header = append(header, "Last-Event-ID", a.cursor)
	default:
		header = append(header, "Last-Event-ID", a.cursor)
	}
	resp, err := a.open(ctx, r.IntN(2), query, header...)
	if err != nil {
		return true
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return true
	}
	enough := 1000
	if r.IntN(2) == 0 {
		enough = 1 + r.IntN(12)
	}
	var id, name, data string
	for lines := bufio.NewScanner(resp.Body); enough > 0 && lines.Scan(); {
		field, value, _ := strings.Cut(lines.Text(), ": ")
		switch field {
		case "id":
			id = value
		case "event":
			name = value
		case "data":
			data = value
		case "":
			if name == "call" {
				a.tell([]byte(data), id)
				a.cursor = id
				enough--
			} else if name == "closed" {
				var why struct{ Reason string }
				_ = json.Unmarshal([]byte(data), &why) // an unreadable reason is none
				a.diary.keep(&note{Who: a.ID, What: "closed", App: a.App, Got: a.since(), Event: why.Reason})
				return true
			}
			id, name, data = "", "", ""
		}
	}
	return r.IntN(2) == 0
}

// tell takes in what the feed says of one call.
func (a *actor) tell(item []byte, cursor string) {
	n := &note{Who: a.ID, What: "told", App: a.App, Got: a.since(), Key: cursor, Text: string(item)}
	if err := json.Unmarshal(item, &n.Told); err != nil || n.Told.Call == nil || n.Told.Leg == nil {
		a.complain("%s was told %s: %v", a.ID, item, err)
		return
	}
	c := n.Told.Call
	n.Call = c.ID
	a.diary.keep(n)
	if n.Told.Verdict == "stop" {
		a.stop(c.ID)
		return
	}
	a.hear(news{call: c.ID, name: c.Caller.Name, source: "connection", expires: c.ExpiresAt})
}
