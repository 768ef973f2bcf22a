package store_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pushwake/relay/store"
)

// TestReplayFrom: a webhook's place is set back to a time: what it is read from
// there are the events since then, all of them and no others, whatever the
// transactions and however many apps write.
func TestReplayFrom(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	makeApp(t, r.Store, "other")
	hook, _, err := r.CreateWebhook(t.Context(), store.Webhook{AppID: app, URL: "https://example.com/"})
	if err != nil {
		t.Fatal(err)
	}
	// An event each 5 minutes of the last day. A batch may wait for a lock after it
	// took its time, so that every fourth comes a transaction later than the next.
	const events, every = 288, 5 * time.Minute
	now := r.Now()
	at := func(n int) time.Time { return now.Add(time.Duration(n-events) * every) }
	for n := range events {
		xid := 3 + 2*n // lower than any of this server's
		if n%4 == 0 {
			xid += 3
		}
		id := at(n)
		if n%4 == 0 {
			id = at(n + 1).Add(-30 * time.Second)
		}
		for _, of := range []string{app, "other"} {
			r.exec(t, `INSERT INTO events (app_id, id, type, at, xid, data) VALUES ($1, $2, 'device.registered', $3, $4::text::xid8, json_build_object('name', $5::text))`,
				of, store.NewID(id), id, fmt.Sprint(xid), fmt.Sprint(n))
		}
	}
	for _, from := range []int{-500, 0, 1, 2, 3, 100, 200, events - 1} {
		since := at(from).Add(time.Minute)
		if _, err := r.ReplayWebhook(t.Context(), app, hook.ID, since); err != nil {
			t.Fatal(err)
		}
		after, err := store.ParseCursor(read[string](t, r, `SELECT log_cursor FROM webhooks WHERE id = $1`, hook.ID))
		if err != nil {
			t.Fatal(err)
		}
		f := &reader{s: r.Store, page: 50, after: after}
		var want []string
		for n := range events {
			id := at(n)
			if n%4 == 0 {
				id = at(n + 1).Add(-30 * time.Second)
			}
			if !id.Before(since) {
				want = append(want, fmt.Sprint(n))
			}
		}
		eventually(t, fmt.Sprint("the events since ", from), func() bool { return len(f.follow(t)) >= len(want) })
		got := map[string]bool{}
		for _, text := range f.seen {
			got[strings.Trim(strings.TrimPrefix(text, `{"name" : `), `"}`)] = true
		}
		wanted := map[string]bool{}
		for _, n := range want {
			wanted[n] = true
		}
		if diff := cmp.Diff(wanted, got); diff != "" || len(f.seen) != len(want) {
			t.Errorf("since event %d: %d events, want %d\n%s", from, len(f.seen), len(want), diff)
		}
	}
	// Of the future there is nothing, and then what comes.
	if _, err := r.ReplayWebhook(t.Context(), app, hook.ID, now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	after, err := store.ParseCursor(read[string](t, r, `SELECT log_cursor FROM webhooks WHERE id = $1`, hook.ID))
	if err != nil {
		t.Fatal(err)
	}
	w := r.writer(t)
	w.note("next")
	w.commit()
	f := &reader{s: r.Store, page: 10, after: after}
	f.wants(t, "next")
}
