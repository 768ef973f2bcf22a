package store

import "time"

// LogWatch tells a reader of the event log when there is more to read. Its owner
// makes it first, then reads until there is no more, then waits: it misses
// nothing.
type LogWatch struct {
	tail  *tail
	appID string
	woken chan struct{} // holds one
}

// WatchLog watches an app's log, or every app's where appID is empty.
func (s *Store) WatchLog(appID string) *LogWatch {
	w := &LogWatch{tail: s.tail, appID: appID, woken: make(chan struct{}, 1)}
	t := s.tail
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.readers[appID] == nil {
		t.readers[appID] = map[*LogWatch]struct{}{}
	}
	t.readers[appID][w] = struct{}{}
	// The tail may have seen events that the reader's first reading cannot get.
	t.arrived = append(t.arrived, appID)
	return w
}

// Close ends the watch.
func (w *LogWatch) Close() {
	w.tail.mu.Lock()
	defer w.tail.mu.Unlock()
	delete(w.tail.readers[w.appID], w)
	if len(w.tail.readers[w.appID]) == 0 {
		delete(w.tail.readers, w.appID)
	}
}

// Woken is a channel that is readable when Events may have more.
func (w *LogWatch) Woken() <-chan struct{} { return w.woken }

// logged says that an app has events of transactions from low to high.
type logged struct {
	appID     string
	low, high uint64
	first     time.Time // of the oldest event
}

// unread are an app's events that the tail has seen and Events does not give
// yet, because an older transaction is still running.
type unread struct {
	low, high uint64    // their transactions
	first     time.Time // of the oldest one; zero where it is not known
}

// offer wakes the readers of each app of whose events more can be read since
// the last look, and returns how old the oldest of each then was.
func (t *tail) offer(l look) (lags []time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.readers) == 0 {
		clear(t.unread)
		t.arrived = nil
		return nil
	}
	for _, n := range l.logged {
		u, there := t.unread[n.appID]
		if !there {
			u = unread{n.low, n.high, n.first}
		}
		if n.first.Before(u.first) {
			u.first = n.first
		}
		t.unread[n.appID] = unread{min(u.low, n.low), max(u.high, n.high), u.first}
	}
	for _, app := range t.arrived {
		t.unread[app] = unread{0, l.xmax - 1, time.Time{}}
	}
	t.arrived = nil
	for app, u := range t.unread {
		if u.low >= l.xmin {
			continue
		}
		t.wake(app)
		if !u.first.IsZero() {
			lags = append(lags, l.at.Sub(u.first))
		}
		if u.high < l.xmin {
			delete(t.unread, app)
			continue
		}
		t.unread[app] = unread{l.xmin, u.high, time.Time{}}
	}
	return lags
}

// wake wakes the readers of an app's log. The caller holds the lock.
func (t *tail) wake(app string) {
	for _, of := range []string{app, ""} {
		for w := range t.readers[of] {
			signal(w.woken)
		}
	}
}

// wakeReaders wakes them all. The caller holds the lock.
func (t *tail) wakeReaders() {
	for _, readers := range t.readers {
		for w := range readers {
			signal(w.woken)
		}
	}
}

// heldBack reports whether a running transaction keeps readers from events that
// are there, and whether the log has moved since it was last asked.
func (t *tail) heldBack() (held, moved bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	moved, t.asked = t.last.xmin != t.asked, t.last.xmin
	return len(t.unread) > 0, moved
}
