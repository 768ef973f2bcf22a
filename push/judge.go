package push

import (
	"math/rand/v2"
	"time"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/store"
)

// judge decides what happens after an answer, and how long to wait before the
// next attempt, if there is one.
func (d *Dispatcher) judge(w store.Wake, a Answer, try int, renewed bool) (store.Outcome, time.Duration) {
	switch a.Token {
	case TokenDead:
		return store.Outcome{Next: store.WakeGivenUp, Reason: a.Reason, TokenState: call.TokenDead, DeadSince: a.DeadSince}, 0
	case TokenSuspended:
		return store.Outcome{Next: store.WakeGivenUp, Reason: a.Reason, TokenState: call.TokenSuspended}, 0
	case TokenDoubtful:
		d.config.Logger.Warn("the vendor refuses tokens of this app, and has accepted none lately: check its credential", "app_id", w.AppID, "code", a.Code)
	}
	if a.Outcome == Accepted {
		return store.Outcome{Next: store.WakeAccepted}, 0
	}
	switch {
	case a.Retry == RetryOnce && !renewed:
		return store.Outcome{Next: store.WakeAgain}, 0
	case a.Retry == RetryLater:
		if pause, ok := d.backoff(w, try); ok && time.Until(w.RingEnd)-pause > d.config.Margin {
			return store.Outcome{Next: store.WakeAgain}, pause
		}
	}
	return store.Outcome{Next: store.WakeGivenUp, Reason: a.Reason}, 0
}

// backoff is how long to wait after an attempt; ok is false where no further
// one may follow. A notice has more time than a ring, so its pauses go on
// doubling.
func (d *Dispatcher) backoff(w store.Wake, try int) (pause time.Duration, ok bool) {
	all := d.config.Backoff
	if try < len(all) {
		return jitter(all[try]), true
	}
	if !notice(w) {
		return 0, false
	}
	doubled := all[len(all)-1] << min(try-len(all)+1, 10)
	return jitter(min(doubled, noticePause)), true
}

// jitter spreads a pause over half to one and a half of it, so that many wakes
// that failed together do not come back together.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d+1) }

// noticePause is the longest pause between two attempts to send a notice.
const noticePause = time.Minute
