package store_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/store"
)

// TestOneWinner lets two devices answer at once on two processes, many times:
// one wins, the other is told so, and the winner is never canceled, though the
// backend tries at the same moment.
func TestOneWinner(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const users, rounds = 40, 32
	for u := range users {
		phone(t, r.Store, fmt.Sprint("u", u), fmt.Sprint("a", u))
		phone(t, r.Store, fmt.Sprint("u", u), fmt.Sprint("b", u))
	}
	var all sync.WaitGroup
	for u := range users {
		all.Go(func() {
			for round := range rounds {
				c, err := r.either(round).CreateCall(t.Context(), invite(fmt.Sprint("u", u)))
				if err != nil {
					t.Error(err)
					return
				}
				raceOnce(t, r, c, u, round)
			}
		})
	}
	all.Wait()
}

func raceOnce(t *testing.T, r *rig, c call.Call, u, round int) {
	devices := []string{fmt.Sprint("a", u), fmt.Sprint("b", u)}
	events := []call.ReportEvent{call.ReportAnswered, call.ReportActive} // either runs the race
	errs := make([]error, 2)
	var both sync.WaitGroup
	for i, device := range devices {
		both.Go(func() {
			_, errs[i] = r.either(i+round).ReportLeg(t.Context(), party(c, device), []call.Report{said(1, events[(i+round/2)%2])})
		})
	}
	var cancelErr error
	canceled := round%5 == 3 // one round in five is also withdrawn meanwhile
	if canceled {
		both.Go(func() { _, cancelErr = r.CancelCall(t.Context(), app, c.ID) })
	}
	both.Wait()
	now, err := r.Call(t.Context(), app, c.ID)
	if err != nil {
		t.Error(err)
		return
	}
	if now.EndReason == call.EndCanceled {
		if !canceled || cancelErr != nil || !errors.Is(errs[0], call.ErrEnded) || !errors.Is(errs[1], call.ErrEnded) || now.AnsweredBy != "" {
			t.Errorf("a call withdrawn first: %v, %v, %v, %+v", cancelErr, errs[0], errs[1], now)
		}
		return
	}
	if canceled && !errors.Is(cancelErr, call.ErrAnswered) {
		t.Errorf("a call withdrawn too late: %v", cancelErr)
	}
	winner, loser := 0, 1
	if errs[0] != nil {
		winner, loser = 1, 0
	}
	if errs[winner] != nil || !errors.Is(errs[loser], call.ErrLostRace) {
		t.Errorf("the race: %v, %v", errs[0], errs[1])
		return
	}
	statuses := legStatuses(now)
	if now.AnsweredBy != devices[winner] || statuses[devices[loser]] != call.LegAnsweredElsewhere {
		t.Errorf("answered by %s, legs %v, but %s was told so", now.AnsweredBy, statuses, devices[winner])
	}
	if _, err := r.either(round).EndCall(t.Context(), app, c.ID); err != nil {
		t.Error(err)
	}
	if now, err = r.Call(t.Context(), app, c.ID); err != nil || legStatuses(now)[devices[winner]] != call.LegCompleted {
		t.Errorf("the winner's end: %+v, %v", now, err)
	}
}

// TestRaceInOneBatch decides the race among the steps of one transaction.
func TestRaceInOneBatch(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	phone(t, r.Store, "u2", "d1")
	phone(t, r.Store, "u2", "d2")
	plug := create(t, r.Store, invite("u2"))
	c := create(t, r.Store, invite("u2"))
	var mu sync.Mutex
	verdicts := map[error]int{}
	answer := func(device string) func() {
		return func() {
			_, err := r.ReportLeg(t.Context(), party(c, device), []call.Report{said(1, call.ReportAnswered)})
			var refused *store.ReportError
			if errors.As(err, &refused) {
				err = refused.Err
			}
			mu.Lock()
			defer mu.Unlock()
			verdicts[err]++
		}
	}
	r.oneStepBatch(t, r.Store, plug, answer("d1"), answer("d2"))
	if diff := cmp.Diff(map[error]int{nil: 1, call.ErrLostRace: 1}, verdicts, cmp.Comparer(func(a, b error) bool { return errors.Is(a, b) })); diff != "" {
		t.Error(diff)
	}
}
