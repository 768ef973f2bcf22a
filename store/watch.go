package store

import (
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/pushwake/relay/call"
)

// Watch receives the changes of a call, or of a user's calls. Its owner makes
// the Watch first, then reads the present state, then takes the changes: it
// misses nothing that is committed after the Watch was made.
type Watch struct {
	tail *tail
	key  watchKey

	woken   chan struct{} // holds one
	mu      sync.Mutex
	changed map[uuid.UUID]call.Call // the newest of each
	order   []uuid.UUID
	at      time.Time
	lost    bool
	ended   string
}

// Changes is what a Watch received since the last Take.
type Changes struct {
	Calls []call.Call // as they are now, the first changed first
	At    time.Time   // the database's time; everything that was committed before it has been received
	Lost  bool        // something may have been missed: read the state again
	Ended string      // why a feed must end; "" while it need not
}

// WatchCall watches one call.
func (s *Store) WatchCall(appID string, id uuid.UUID) *Watch {
	return s.tail.watch(watchKey{appID: appID, callID: id})
}

func (t *tail) watch(key watchKey) *Watch {
	w := &Watch{tail: t, key: key, woken: make(chan struct{}, 1), changed: map[uuid.UUID]call.Call{}}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.watching[key] == nil {
		t.watching[key] = map[*Watch]struct{}{}
	}
	t.watching[key][w] = struct{}{}
	return w
}

// Close ends the watch.
func (w *Watch) Close() {
	w.tail.mu.Lock()
	defer w.tail.mu.Unlock()
	delete(w.tail.watching[w.key], w)
	if len(w.tail.watching[w.key]) == 0 {
		delete(w.tail.watching, w.key)
	}
}

// Woken is a channel that is readable when there are changes to take.
func (w *Watch) Woken() <-chan struct{} { return w.woken }

// Take returns the changes that have come and forgets them.
func (w *Watch) Take() Changes {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := Changes{At: w.at, Lost: w.lost, Ended: w.ended}
	for _, id := range w.order {
		c.Calls = append(c.Calls, w.changed[id])
	}
	clear(w.changed)
	w.order, w.lost = w.order[:0], false
	return c
}

func (w *Watch) take(c *call.Call, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, waits := w.changed[c.ID]; !waits {
		w.order = append(w.order, c.ID)
	}
	w.changed[c.ID], w.at = *c, at
	signal(w.woken)
}

func (w *Watch) lose() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lost = true
	signal(w.woken)
}

func (w *Watch) end(why string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = why
	signal(w.woken)
}
