package main_test

import (
	"cmp"
	"context"
	"fmt"
	"go/parser"
	gotoken "go/token"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// fromEnv is a number that whoever runs the test may choose.
func fromEnv(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// act plays a run and returns what there is to be seen of it. meanwhile runs
// beside the calls; its context ends with them.
func act(t *testing.T, calls int, meanwhile func(context.Context, *stage)) *recording {
	t.Helper()
	seed := fromEnv(t, "RELAY_SEED", rand.Uint64())
	t.Logf("RELAY_SEED=%d RELAY_CALLS=%d", seed, calls)
	s := newStage(t, seed)
	s.plot(calls)
	listening, deaf := context.WithCancel(s.ctx)
	pushing, unplug := context.WithCancel(s.ctx)
	var ears sync.WaitGroup
	for vendor := range s.vendors {
		ears.Go(func() { s.pushed(pushing, vendor) })
	}
	ears.Go(func() { s.tick(pushing) })
	var feeds sync.WaitGroup
	for _, a := range s.devices {
		if a.Habit != "none" {
			feeds.Go(func() { a.follow(listening) })
		}
	}
	over := make(chan struct{})
	heardAll := s.listen(over)
	began := time.Now()
	playing, played := context.WithCancel(s.ctx)
	go func() {
		defer played()
		s.play()
	}()
	meanwhile(playing, s)
	<-playing.Done()
	took := time.Since(began)
	s.settle()
	close(over)
	heardAll()
	s.delivered()
	deaf()
	feeds.Wait()
	unplug()
	ears.Wait()
	r := s.record()
	events := 0
	for _, readers := range r.Heard {
		events += len(readers["pages"])
	}
	t.Logf("%d calls in %v, %d requests, %d pushes, %d events", len(r.Calls), took.Round(time.Second), len(r.Diary), len(r.Messages), events)
	return r
}

// settle waits until nothing more is sent.
func (s *stage) settle() {
	last := -1
	within(s.t, patience, "the last push", func() bool {
		now := 0
		for _, url := range s.vendors {
			type received struct{ Messages []struct{} }
			got := must[received](s.t)(want[received](s.t.Context(), caller{url: url}, 200, "GET", "/sim/messages", nil))
			now += len(got.Messages)
		}
		same := now == last
		last = now
		s.pause(time.Second)
		return same
	})
}

// judge reports what was broken.
func (r *recording) judge(t *testing.T) {
	t.Helper()
	count := map[string]int{}
	for _, b := range r.breaches() {
		if count[b.promise]++; count[b.promise] <= 5 {
			t.Errorf("%s: %s", b.promise, b.text)
		}
	}
	for _, p := range promises {
		if n := count[p.name]; n > 0 {
			t.Errorf("broken %d times: %s", n, p.text)
		}
	}
	seen, late := r.variety(), time.Duration(0)
	for _, c := range r.Calls {
		if c.EndReason == "missed" {
			late = max(late, c.EndedAt.Sub(c.ExpiresAt))
		}
	}
	t.Logf("what happened: %v; missed at most %v late, on a machine that was itself %v late", seen, late, r.Stall)
	for what, n := range seen {
		if n == 0 && len(r.Calls) >= 1000 {
			t.Errorf("in so many calls there was no %s", what)
		}
	}
	if delays := newEvidence(r).delays(); len(delays) > 0 {
		t.Logf("of %d ends an open feed told half within %v, 99 of 100 within %v, all within %v", len(delays), delays[len(delays)/2], delays[len(delays)*99/100], delays[len(delays)-1])
	}
}

// variety counts what happened of all that is to happen in a run.
func (r *recording) variety() map[string]int {
	seen := map[string]int{}
	for _, what := range []string{
		"lost_race", "call_ended", "call_answered", "duplicate", "late wake", "region_not_supported", "repeated invite", "repeated report", "feed taken up again",
		"incoming_limit", "no_wake", "over another channel", "failed attempt", "wake tried again", "missed_call", "revoke", "completed", "rejected", "canceled", "missed", "busy", "failed",
	} {
		seen[what] = 0
	}
	count := func(what string) {
		if _, wanted := seen[what]; wanted {
			seen[what]++
		}
	}
	keys, seqs := map[string]bool{}, map[string]bool{}
	for _, n := range r.Diary {
		count(n.Told.Code)
		switch n.What {
		case "invite":
			if keys[n.Key] {
				count("repeated invite")
			}
			keys[n.Key] = true
		case "report":
			seq := fmt.Sprint(n.Call, n.Who, n.Seq)
			if seqs[seq] {
				count("repeated report")
			}
			seqs[seq] = true
		case "open":
			if n.Key != "" {
				count("feed taken up again")
			}
		case "confirm":
			if n.Told.Reason == "duplicate" {
				count("duplicate")
			} else if n.Told.Verdict == "stop" {
				count("late wake")
			}
		}
	}
	for _, c := range r.Calls {
		count(c.EndReason)
		for _, l := range c.Legs {
			if l.Status == "skipped" || l.Status == "no_wake" {
				count(cmp.Or(l.Reason, l.Status))
			}
			for _, t := range r.Timelines[c.ID] {
				if t.Attempt == nil || t.DeviceID != l.DeviceID {
					continue
				}
				if ring := cmp.Or(t.Attempt.Purpose, "ring") == "ring"; !ring {
					count(t.Attempt.Purpose)
					continue
				} else if t.Attempt.Channel != l.Channel {
					count("over another channel")
				}
				if t.Attempt.Outcome != "accepted" {
					count("failed attempt")
				}
				if seen[t.Attempt.Outcome]++; t.Attempt.Number > 1 && t.Attempt.Channel == l.Channel {
					count("wake tried again")
				}
			}
		}
	}
	return seen
}

// TestPromises plays a thousand random calls on two processes and twenty
// devices, and holds all that was seen of them against the contract. It runs
// alone: some promises are of fractions of a second.
//
// RELAY_SEED repeats what the actors chose, RELAY_CALLS says how many calls.
func TestPromises(t *testing.T) {
	r := act(t, int(fromEnv(t, "RELAY_CALLS", 1000)), func(playing context.Context, s *stage) { s.trouble(playing) })
	r.judge(t)
	const enough = 200 // that there is a place to break each promise
	if !t.Failed() && len(r.Calls) >= enough {
		t.Run("Forged", func(t *testing.T) { noticesForgeries(t, r.sample(enough)) })
	}
}

// TestPromisesThoughKilled: the same with one of the processes killed every ten
// seconds and started again. What is promised then holds as well.
func TestPromisesThoughKilled(t *testing.T) {
	r := act(t, int(fromEnv(t, "RELAY_CALLS", 1000))/3, func(playing context.Context, s *stage) {
		for node := int(s.seed % 2); playing.Err() == nil; node = 1 - node {
			s.kill(node, 7*time.Second, 3*time.Second)
		}
	})
	r.judge(t)
}

// TestCheckerIsIndependent: what judges relay borrows nothing of it.
func TestCheckerIsIndependent(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("promise_checker*_test.go")
	if err != nil || len(files) < 4 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		f, err := parser.ParseFile(gotoken.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range f.Imports {
			if strings.Contains(i.Path.Value, ".") {
				t.Errorf("%s imports %s", file, i.Path.Value)
			}
		}
	}
}
