package webhook

import (
	"cmp"
	"container/heap"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/pushwake/relay/store"
)

// item is a delivery that waits or is under way.
type item struct {
	store.Delivery
	event *store.LoggedEvent // nil where it must be read again
}

// line is the deliveries of one call, in its order: only the first may be under
// way. What is of no call has a line of its own.
type line struct {
	items   []*item // by the number in the call
	sending *item   // taken out of items
	place   int     // in the heap; -1 where it is not there
}

// queue is all that waits for one endpoint.
type queue struct {
	lines map[uuid.UUID]*line
	items map[uuid.UUID]*item
	due   dueLines
	held  int // items with their events
}

// mostHeld bounds the events that a queue has in memory. Those of the rest are
// read again when their turn comes.
const mostHeld = 256

func newQueue() *queue {
	return &queue{lines: map[uuid.UUID]*line{}, items: map[uuid.UUID]*item{}}
}

// lineOf is the key of a delivery's line.
func lineOf(d *store.Delivery) uuid.UUID {
	if d.CallID != uuid.Nil {
		return d.CallID
	}
	return d.EventID
}

// add takes a delivery in. Of one that is known already it takes the time of the
// next try and the count of those that were made.
func (q *queue) add(d store.Delivery, event *store.LoggedEvent) {
	if known := q.items[d.EventID]; known != nil {
		l := q.lines[lineOf(&known.Delivery)]
		if l.sending != known {
			known.NextAt, known.Attempts, known.Late = d.NextAt, d.Attempts, d.Late
			q.arrange(l)
		}
		return
	}
	if event != nil && q.held < mostHeld {
		q.held++
	} else {
		event = nil
	}
	it := &item{d, event}
	q.items[d.EventID] = it
	q.put(it)
}

// put puts an item into its line.
func (q *queue) put(it *item) {
	key := lineOf(&it.Delivery)
	l := q.lines[key]
	if l == nil {
		l = &line{place: -1}
		q.lines[key] = l
	}
	at, _ := slices.BinarySearchFunc(l.items, it, func(a, b *item) int { return cmp.Compare(a.CallSeq, b.CallSeq) })
	l.items = slices.Insert(l.items, at, it)
	q.arrange(l)
}

// arrange puts a line where it belongs among those that are due.
func (q *queue) arrange(l *line) {
	waits := l.sending == nil && len(l.items) > 0
	switch {
	case waits && l.place < 0:
		heap.Push(&q.due, l)
	case waits:
		heap.Fix(&q.due, l.place)
	case l.place >= 0:
		heap.Remove(&q.due, l.place)
	}
}

// next is when the next item is due; ok is false where none waits.
func (q *queue) next() (at time.Time, ok bool) {
	if len(q.due) == 0 {
		return time.Time{}, false
	}
	return q.due[0].items[0].NextAt, true
}

// take takes up to n items that are due by now, each the first of its line.
func (q *queue) take(n int, now time.Time) (items []*item) {
	for len(items) < n {
		if at, ok := q.next(); !ok || at.After(now) {
			return items
		}
		l := q.due[0]
		l.sending, l.items = l.items[0], l.items[1:]
		q.arrange(l)
		items = append(items, l.sending)
	}
	return items
}

// back puts an item that was taken into its line again.
func (q *queue) back(it *item) {
	q.lines[lineOf(&it.Delivery)].sending = nil
	q.put(it)
}

// forget drops the event of an item, which is read again for its next try.
func (q *queue) forget(it *item) {
	if it.event != nil {
		it.event = nil
		q.held--
	}
}

// remove drops an item that was taken: its line goes on.
func (q *queue) remove(it *item) {
	q.forget(it)
	delete(q.items, it.EventID)
	key := lineOf(&it.Delivery)
	l := q.lines[key]
	l.sending = nil
	if len(l.items) == 0 {
		delete(q.lines, key)
		return
	}
	q.arrange(l)
}

// oldest is when the oldest item was made; zero where there is none.
func (q *queue) oldest() (at time.Time) {
	for _, it := range q.items {
		if at.IsZero() || it.CreatedAt.Before(at) {
			at = it.CreatedAt
		}
	}
	return at
}

// dueLines are the lines that wait, the first due first: a heap.
type dueLines []*line

func (d dueLines) Len() int           { return len(d) }
func (d dueLines) Less(i, j int) bool { return d[i].items[0].NextAt.Before(d[j].items[0].NextAt) }
func (d dueLines) Swap(i, j int) {
	d[i], d[j] = d[j], d[i]
	d[i].place, d[j].place = i, j
}

// Push is heap's.
func (d *dueLines) Push(x any) {
	l := x.(*line)
	l.place = len(*d)
	*d = append(*d, l)
}

// Pop is heap's.
func (d *dueLines) Pop() any {
	last := len(*d) - 1
	l := (*d)[last]
	(*d)[last] = nil
	*d = (*d)[:last]
	l.place = -1
	return l
}
