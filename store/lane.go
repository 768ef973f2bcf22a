package store

import (
	"context"
	"sync"
)

// job is one item on its way through a lane.
type job[In, Out any] struct {
	ctx  context.Context
	in   In
	out  Out
	err  error
	done chan struct{}

	again bool // its batch failed and it is tried alone; it has waited for locks already
}

// lane writes items in natural batches: a writer takes all items that wait,
// writes them, and then takes those that gathered meanwhile.
type lane[In, Out any] struct {
	queue chan *job[In, Out]
	most  int // items a batch
	write func([]*job[In, Out]) error
	sizes func(int)
	mu    sync.RWMutex // guards closed against sends on a closed queue
	close bool
	wg    sync.WaitGroup
}

func newLane[In, Out any](writers, most, waiting int, sizes func(int), write func([]*job[In, Out]) error) *lane[In, Out] {
	l := &lane[In, Out]{queue: make(chan *job[In, Out], waiting), most: most, write: write, sizes: sizes}
	for range writers {
		l.wg.Go(l.run)
	}
	return l
}

// do sends one item through the lane and waits for its batch to commit. When a
// caller leaves early, its item may still be written.
func (l *lane[In, Out]) do(ctx context.Context, in In) (Out, error) {
	j := &job[In, Out]{ctx: ctx, in: in, done: make(chan struct{})}
	var none Out
	l.mu.RLock()
	if l.close {
		l.mu.RUnlock()
		return none, ErrUnavailable
	}
	select {
	case l.queue <- j:
		l.mu.RUnlock()
	default:
		l.mu.RUnlock()
		return none, ErrBusy
	}
	select {
	case <-j.done:
		return j.out, j.err
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

// send puts an item into the lane without waiting for it. If the lane is full
// or stopped, the item is dropped.
func (l *lane[In, Out]) send(in In) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.close {
		return
	}
	select {
	case l.queue <- &job[In, Out]{ctx: context.Background(), in: in, done: make(chan struct{})}:
	default:
	}
}

func (l *lane[In, Out]) run() {
	for first := range l.queue {
		batch := []*job[In, Out]{first}
	gather:
		for len(batch) < l.most {
			select {
			case j, ok := <-l.queue:
				if !ok {
					break gather
				}
				batch = append(batch, j)
			default:
				break gather
			}
		}
		l.writeBatch(batch)
	}
}

func (l *lane[In, Out]) writeBatch(batch []*job[In, Out]) {
	live := batch[:0]
	for _, j := range batch {
		if j.err = j.ctx.Err(); j.err != nil { // its caller left while it waited
			close(j.done)
			continue
		}
		live = append(live, j)
	}
	if len(live) == 0 {
		return
	}
	l.sizes(len(live))
	err := l.write(live)
	for range raceTries {
		if !lostRace(err) {
			break
		}
		err = l.write(live)
	}
	if err != nil && len(live) > 1 && splittable(err) {
		for _, j := range live {
			if err := j.ctx.Err(); err != nil { // nobody waits for it any more
				l.fail(j, err)
				continue
			}
			j.again = true
			l.fail(j, l.write([]*job[In, Out]{j}))
		}
	} else {
		for _, j := range live {
			l.fail(j, err)
		}
	}
	for _, j := range live {
		close(j.done)
	}
}

// fail gives an item the error of its whole batch, where there is one.
func (l *lane[In, Out]) fail(j *job[In, Out], err error) {
	if err != nil {
		var none Out
		j.out, j.err = none, translate(err)
	}
}

// stop has the waiting items written and returns when the writers have ended.
func (l *lane[In, Out]) stop() {
	l.mu.Lock()
	if !l.close {
		l.close = true
		close(l.queue)
	}
	l.mu.Unlock()
	l.wg.Wait()
}
