package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pushwake/relay/store/storetest"
)

// TestWebhookThoughKilled: a receiver that fails a third of its requests, times
// out on some and restarts collects every event of many calls, over two processes
// of which one is killed again and again: none is missing, those of a call come
// in order, and an event that comes twice has the same webhook-id.
//
// RELAY_WEBHOOK_CALLS says how many, over half a minute.
func TestWebhookThoughKilled(t *testing.T) {
	t.Parallel()
	calls := int(fromEnv(t, "RELAY_WEBHOOK_CALLS", 200))
	_, simURL, keyFile := pushKit(t)
	s := setting{env: []string{
		"DATABASE_URL=" + storetest.Database(t), "RELAY_MASTER_KEY=" + newMasterKey(), "RELAY_PUSH_KIT_URL=" + simURL,
		"RELAY_WEBHOOK_ALLOW=127.0.0.0/8", "RELAY_WEBHOOK_RETRIES=" + strings.Repeat("500ms,", 60) + "1s",
	}}
	s.must(t, "app", "put", "shop")
	s.must(t, "app", "credential", "shop", "push_kit", keyFile)
	key := strings.TrimSpace(s.must(t, "key", "create", "shop"))
	r := newReceiver(t)
	fields := strings.Fields(s.must(t, "webhook", "add", "shop", "http://"+r.addr+"/hooks"))
	if len(fields) != 2 {
		t.Fatalf("relay webhook add prints %q", fields)
	}
	r.trust(fields[1])
	r.unreliable = true

	var nodes [2]atomic.Pointer[caller]
	var processes [2]*process
	start := func(i int) {
		p, url := s.serve(t)
		processes[i] = p
		nodes[i].Store(&caller{url, key})
	}
	start(0)
	start(1)
	const phones = 40
	for i := range phones {
		register(t, *nodes[0].Load(), fmt.Sprint("u", i), fmt.Sprint("d", i))
	}

	// The trouble goes on until all calls are made and delivered.
	ctx, stop := context.WithCancel(t.Context())
	var trouble sync.WaitGroup
	kills, restarts := 0, 0
	trouble.Go(func() {
		for i := 0; pause(ctx, 10*time.Second); i++ {
			p := processes[i%2]
			p.kill(t)
			kills++
			start(i % 2)
		}
	})
	trouble.Go(func() {
		for pause(ctx, 13*time.Second) {
			r.end()
			pause(context.Background(), time.Second)
			r.begin()
			restarts++
		}
	})
	defer trouble.Wait()
	defer stop()

	made := make([]string, calls)
	const workers = 8
	err := atOnce(workers, func(worker int) error {
		for i := worker; i < calls && pause(t.Context(), workers*30*time.Second/time.Duration(calls)); i += workers {
			var one callView
			err := insist(t.Context(), nodes[:], i, func(node caller) (err error) {
				one, err = want[callView](t.Context(), node, http.StatusCreated, http.MethodPost, "/v1/calls", invitation(fmt.Sprint("u", i%phones), 60, ""), "Idempotency-Key", fmt.Sprint("call-", i))
				return err
			})
			if err != nil {
				return err
			}
			made[i] = one.ID
			err = insist(t.Context(), nodes[:], i, func(node caller) error {
				_, err := want[callView](t.Context(), node, http.StatusOK, http.MethodPost, "/v1/calls/"+one.ID+"/cancel", nil)
				return err
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	var log []taken
	for limit := began.Add(5 * time.Minute); ; pause(t.Context(), 500*time.Millisecond) {
		err := insist(t.Context(), nodes[:], 0, func(node caller) (err error) {
			log, err = eventLog(t.Context(), node)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := len(r.all()); got >= len(log) && quiet(log, made) {
			break
		} else if time.Now().After(limit) {
			t.Fatalf("%d of %d events were delivered", got, len(log))
		}
	}
	all := r.all()
	t.Logf("%d calls, %d events in %d requests, %d refused, %d doubles; %d kills, %d restarts; the last came %v after the last call",
		calls, len(all), r.requests, r.refused, r.doubles, kills, restarts, time.Since(began).Round(time.Second))
	if kills == 0 || restarts == 0 || r.refused == 0 {
		t.Errorf("there was no trouble: %d kills, %d restarts, %d refused", kills, restarts, r.refused)
	}
	got := map[string]bool{}
	last := map[string]int{}
	for _, e := range all {
		got[e.ID] = true
		if e.Call == nil {
			continue
		}
		if e.Seq != last[e.Call.ID]+1 {
			t.Errorf("event %d of call %s came after event %d", e.Seq, e.Call.ID, last[e.Call.ID])
		}
		last[e.Call.ID] = e.Seq
	}
	for _, e := range log {
		if !got[e.ID] {
			t.Errorf("event %s %s was not delivered", e.ID, e.Type)
		}
	}
	if len(all) != len(log) {
		t.Errorf("%d events were delivered, %d are in the log", len(all), len(log))
	}
}

// quiet reports whether the log has the end of each call.
func quiet(log []taken, calls []string) bool {
	ended := map[string]bool{}
	for _, e := range log {
		if e.Type == "call.ended" {
			ended[e.Call.ID] = true
		}
	}
	for _, id := range calls {
		if !ended[id] {
			return false
		}
	}
	return true
}

// insist asks one node and the other until one answers: a killed one does not.
func insist(ctx context.Context, nodes []atomic.Pointer[caller], first int, ask func(caller) error) (err error) {
	for try := range 200 {
		if err = ask(*nodes[(first+try)%len(nodes)].Load()); err == nil || !pause(ctx, 50*time.Millisecond) {
			return err
		}
	}
	return err
}

// eventLog reads an app's whole log.
func eventLog(ctx context.Context, node caller) (all []taken, err error) {
	for cursor := ""; ; {
		path := "/v1/events?limit=200"
		if cursor != "" {
			path += "&after=" + cursor
		}
		status, answer, err := node.ask(ctx, http.MethodGet, path, nil)
		if err != nil {
			return nil, err
		}
		var page struct {
			Data   []taken
			Cursor string
		}
		if err := json.Unmarshal(answer, &page); err != nil || status != http.StatusOK {
			return nil, fmt.Errorf("HTTP %d: %s", status, answer)
		}
		all = append(all, page.Data...)
		if len(page.Data) == 0 {
			return all, nil
		}
		cursor = page.Cursor
	}
}

// pause waits, and reports false when ctx ended before.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
