package main_test

import (
	"context"
	"encoding/json"
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

// How late a backend may hear in its stream of events that its call was
// answered, by a process that is asked by the phone, and by another: 99 of 100,
// from the answer's commit.
const (
	heardOne = 30 * time.Millisecond
	heardTwo = 100 * time.Millisecond
)

// BenchmarkStop measures from when one phone sends its answer until the other
// phone's open feed says stop: with both at one process, and with each at its
// own.
func BenchmarkStop(b *testing.B) {
	for _, load := range []struct {
		name         string
		node         int // of the other phone and the backend
		limit, heard time.Duration
	}{{"one process", 0, stopOne, heardOne}, {"two processes", 1, stopTwo, heardTwo}} {
		b.Run(load.name, func(b *testing.B) {
			c := newCluster(b)
			far := c.nodes[load.node]
			if load.node == 0 {
				c.processes[1].kill(b)
				time.Sleep(3 * time.Second) // until its silence is noticed
			}
			for b.Loop() {
				took, heard := stopLatencies(b, c.nodes[0], far)
				p50, p99 := took[len(took)/2], took[len(took)*99/100]
				b.ReportMetric(float64(p50.Microseconds())/1000, "p50_ms")
				b.ReportMetric(float64(p99.Microseconds())/1000, "p99_ms")
				b.ReportMetric(float64(took[len(took)-1].Microseconds())/1000, "max_ms")
				b.ReportMetric(float64(len(took))/stopSeconds, "calls/s")
				b.ReportMetric(0, "ns/op")
				if p99 > load.limit {
					b.Errorf("99 of 100 within %s, more than %s; half within %s", p99, load.limit, p50)
				}
				late := heard[len(heard)*99/100]
				b.ReportMetric(float64(heard[len(heard)/2].Microseconds())/1000, "events_p50_ms")
				b.ReportMetric(float64(late.Microseconds())/1000, "events_p99_ms")
				if late > load.heard {
					b.Errorf("of the events, 99 of 100 came within %s, more than %s", late, load.heard)
				}
			}
		})
	}
}

// stopCall is one call of the load.
type stopCall struct {
	rings, stops chan struct{}
	heard        chan time.Time // when the stream of events said that it was answered
}

func newStopCall() *stopCall {
	return &stopCall{make(chan struct{}, 1), make(chan struct{}, 1), make(chan time.Time, 1)}
}

// stopLatencies plays the load and returns, in order, how long each call's stop
// took from when the phone sent its answer, and how long its event took to reach
// the backend's stream from when the phone was told that the answer is
// committed. The answering phone asks near; the other one has its feed at far, and
// the backend its stream.
func stopLatencies(b *testing.B, near, far caller) (took, heard []time.Duration) {
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
						known, _ := calls.LoadOrStore(call, newStopCall())
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
	opened := make(chan struct{})
	feeds.Go(func() {
		err := far.hear(ctx, sync.OnceFunc(func() { close(opened) }), func(call string) {
			now := time.Now()
			if c, ok := calls.Load(call); ok {
				c.(*stopCall).heard <- now
			}
		})
		if err != nil && ctx.Err() == nil {
			b.Error(err)
		}
	})
	<-opened
	var mu sync.Mutex
	var load sync.WaitGroup
	tick := time.NewTicker(time.Second / stopRate)
	defer tick.Stop()
	for i := range stopRate * stopSeconds {
		<-tick.C
		load.Go(func() {
			stop, event, err := answerOne(ctx, near, answering[i%stopUsers], fmt.Sprint("u", i%stopUsers), &calls)
			if err != nil {
				b.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			took, heard = append(took, stop), append(heard, event)
		})
	}
	load.Wait()
	cancel()
	feeds.Wait()
	if len(took) == 0 {
		b.Fatal("no call was answered")
	}
	slices.Sort(took)
	slices.Sort(heard)
	return took, heard
}

// answerOne plays one call: it rings at both phones, one answers, the other and
// the backend hear of it, and it ends.
func answerOne(ctx context.Context, backend, phone caller, user string, calls *sync.Map) (stop, event time.Duration, err error) {
	c, err := want[callView](ctx, backend, http.StatusCreated, http.MethodPost, "/v1/calls", invitation(user, 45, ""))
	if err != nil {
		return 0, 0, err
	}
	known, _ := calls.LoadOrStore(c.ID, newStopCall())
	told := known.(*stopCall)
	defer calls.Delete(c.ID)
	late := time.After(10 * time.Second)
	select {
	case <-told.rings:
	case <-late:
		return 0, 0, fmt.Errorf("call %s: no ring within 10 s", c.ID)
	}
	answered := time.Now()
	_, err = want[any](ctx, phone, http.StatusOK, http.MethodPost, "/v1/device/calls/"+c.ID+"/reports",
		map[string]any{"seq": 1, "event": "answered", "at": answered.UTC().Format(time.RFC3339Nano)})
	if err != nil {
		return 0, 0, err
	}
	committed := time.Now()
	select {
	case <-told.stops:
	case <-late:
		return 0, 0, fmt.Errorf("call %s: no stop within 10 s", c.ID)
	}
	stop = time.Since(answered)
	select {
	case at := <-told.heard:
		event = max(0, at.Sub(committed))
	case <-late:
		return 0, 0, fmt.Errorf("call %s: no event within 10 s", c.ID)
	}
	_, err = want[any](ctx, backend, http.StatusOK, http.MethodPost, "/v1/calls/"+c.ID+"/end", nil)
	return stop, event, err
}

// follow reads the device's feed until ctx ends. opened is told when it is open,
// heard of each call.
func (c caller) follow(ctx context.Context, opened func(), heard func(call, verdict string)) error {
	return c.stream(ctx, "/v1/device/calls", "", opened, func(e serverEvent) error {
		var item struct {
			Verdict string
			Call    struct{ ID string }
		}
		if err := json.Unmarshal(e.data, &item); err != nil {
			return err
		}
		heard(item.Call.ID, item.Verdict)
		return nil
	})
}

// hear reads the app's answered calls until ctx ends.
func (c caller) hear(ctx context.Context, opened func(), heard func(call string)) error {
	return c.stream(ctx, "/v1/events?after=now&type=call.answered", "", opened, func(e serverEvent) error {
		var event struct{ Call struct{ ID string } }
		if err := json.Unmarshal(e.data, &event); err != nil {
			return err
		}
		heard(event.Call.ID)
		return nil
	})
}
