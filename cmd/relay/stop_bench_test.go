package main_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

// The load of BenchmarkStop: calls begin in step with the clock, whether the
// ones before are through or not.
const (
	stopUsers   = 100 // each with two phones whose feeds are open
	stopRate    = 200 // calls a second
	stopSeconds = 20
)

// How late the word to stop may come, by the contract's users: 99 of 100.
const (
	stopOne = 50 * time.Millisecond
	stopTwo = 150 * time.Millisecond
)

// BenchmarkStop measures from when one phone sends its answer until the other
// phone's open feed says stop: with both at one process, and with each at its
// own.
func BenchmarkStop(b *testing.B) {
	for name, limit := range map[string]time.Duration{"one process": stopOne, "two processes": stopTwo} {
		b.Run(name, func(b *testing.B) {
			c := newCluster(b)
			far := c.nodes[0]
			if limit == stopTwo {
				far = c.nodes[1]
			} else {
				c.processes[1].kill(b)
				time.Sleep(3 * time.Second) // until its silence is noticed
			}
			for b.Loop() {
				took := stopLatencies(b, c.nodes[0], far)
				p50, p99 := took[len(took)/2], took[len(took)*99/100]
				b.ReportMetric(float64(p50.Microseconds())/1000, "p50_ms")
				b.ReportMetric(float64(p99.Microseconds())/1000, "p99_ms")
				b.ReportMetric(float64(took[len(took)-1].Microseconds())/1000, "max_ms")
				b.ReportMetric(float64(len(took))/stopSeconds, "calls/s")
				b.ReportMetric(0, "ns/op")
				if p99 > limit {
					b.Errorf("99 of 100 within %s, more than %s; half within %s", p99, limit, p50)
				}
			}
		})
	}
}

// stopCall is one call of the load.
type stopCall struct{ rings, stops chan struct{} }

// stopLatencies plays the load and returns how long each call's stop took, in
// order. The answering phone asks near, the other one has its feed at far.
func stopLatencies(b *testing.B, near, far caller) []time.Duration {
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	var calls sync.Map // of *stopCall, by the call's id
	var feeds sync.WaitGroup
	answering := make([]caller, stopUsers)
	for i := range stopUsers {
		user := fmt.Sprint("u", i)
		for d, at := range []caller{near, far} {
			device := fmt.Sprintf("d%d-%d", i, d)
			register(b, near, user, device)
			token := must[struct{ Token string }](b)(want[struct{ Token string }](ctx, near, http.StatusCreated, http.MethodPost, "/v1/device-tokens",
				map[string]any{"user_id": user, "device_id": device}))
			phone := caller{at.url, token.Token}
			opened := make(chan struct{})
			feeds.Go(func() {
				heard := func(string, string) {}
				if d == 0 {
					answering[i] = phone
				} else {
					heard = func(call, verdict string) {
						known, _ := calls.LoadOrStore(call, &stopCall{make(chan struct{}, 1), make(chan struct{}, 1)})
						told := known.(*stopCall).rings
						if verdict == "stop" {
							told = known.(*stopCall).stops
						}
						select {
						case told <- struct{}{}:
						default:
						}
					}
				}
				if err := phone.follow(ctx, sync.OnceFunc(func() { close(opened) }), heard); err != nil && ctx.Err() == nil {
					b.Error(err)
				}
			})
			<-opened
		}
	}
	var mu sync.Mutex
	var took []time.Duration
	var load sync.WaitGroup
	tick := time.NewTicker(time.Second / stopRate)
	defer tick.Stop()
	for i := range stopRate * stopSeconds {
		<-tick.C
		load.Go(func() {
			d, err := answerOne(ctx, near, answering[i%stopUsers], fmt.Sprint("u", i%stopUsers), &calls)
			if err != nil {
				b.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, d)
		})
	}
	load.Wait()
	cancel()
	feeds.Wait()
	if len(took) == 0 {
		b.Fatal("no call was answered")
	}
	slices.Sort(took)
	return took
}

// answerOne plays one call: it rings at both phones, one answers, the other
// hears of it, and it ends.
func answerOne(ctx context.Context, backend, phone caller, user string, calls *sync.Map) (time.Duration, error) {
	c, err := want[callView](ctx, backend, http.StatusCreated, http.MethodPost, "/v1/calls", invitation(user, 45, ""))
	if err != nil {
		return 0, err
	}
	known, _ := calls.LoadOrStore(c.ID, &stopCall{make(chan struct{}, 1), make(chan struct{}, 1)})
	defer calls.Delete(c.ID)
	wait := func(what string, told <-chan struct{}) error {
		select {
		case <-told:
			return nil
		case <-time.After(10 * time.Second):
			return fmt.Errorf("call %s: no %s within 10 s", c.ID, what)
		}
	}
	if err := wait("ring", known.(*stopCall).rings); err != nil {
		return 0, err
	}
	answered := time.Now()
	_, err = want[any](ctx, phone, http.StatusOK, http.MethodPost, "/v1/device/calls/"+c.ID+"/reports",
		map[string]any{"seq": 1, "event": "answered", "at": answered.UTC().Format(time.RFC3339Nano)})
	if err == nil {
		err = wait("stop", known.(*stopCall).stops)
	}
	took := time.Since(answered)
	if err != nil {
		return 0, err
	}
	_, err = want[any](ctx, backend, http.StatusOK, http.MethodPost, "/v1/calls/"+c.ID+"/end", nil)
	return took, err
}

// streams has no time-out: a feed stays open.
var streams = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}}

// follow reads the device's feed until ctx ends. opened is told when it is open,
// heard of each call.
func (c caller) follow(ctx context.Context, opened func(), heard func(call, verdict string)) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+"/v1/device/calls", nil)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+c.key)
	r.Header.Set("Accept", "text/event-stream")
	resp, err := streams.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("a feed: HTTP %d", resp.StatusCode)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data: "))
		if !ok {
			opened()
			continue
		}
		var item struct {
			Verdict string
			Call    struct{ ID string }
		}
		if err := json.Unmarshal(data, &item); err != nil {
			return err
		}
		heard(item.Call.ID, item.Verdict)
	}
	return errors.Join(errors.New("the feed ended"), lines.Err())
}
