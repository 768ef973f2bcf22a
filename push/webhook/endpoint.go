package webhook

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/pushwake/relay/store"
)

// endpoint is the loop of one endpoint. The loop alone touches what is not atomic,
// and it alone works with the database, so what it knows and what is stored go the
// same way.
type endpoint struct {
	d       *Deliverer
	hook    store.OwnedWebhook // as last read; Cursor is the stored place in the log
	read    store.Cursor       // up to where the log was read
	moved   time.Time          // when the stored place was last moved
	queue   *queue
	under   int       // requests under way
	hold    time.Time // nothing is sent before: the endpoint asked for a pause
	stop    context.CancelFunc
	changed chan struct{} // its row is to be read again; holds one
	results chan result   // holds all that can be under way
	done    []result      // not recorded yet

	version atomic.Int64 // of the row as last read
	waiting atomic.Int64
	oldest  atomic.Int64 // Unix ms; 0 where nothing waits
	counted time.Time    // when oldest was computed
}

func newEndpoint(d *Deliverer, h store.OwnedWebhook) *endpoint {
	e := &endpoint{d: d, queue: newQueue(), changed: make(chan struct{}, 1), results: make(chan result, inFlight)}
	e.version.Store(h.Version)
	e.hook.Webhook = h.Webhook
	signal(e.changed) // the loop begins with reading what there is
	return e
}

const (
	pageSize = 200              // events read from the log at a time
	again    = time.Second      // between tries after a failure of the database or of our own
	storeGap = 10 * time.Second // between two moves of the place where nothing is to be delivered
	rest     = time.Minute      // longest pause of an idle loop
)

// run works until ctx ends or the endpoint is no longer this process's. Then it
// waits for what is under way, and records it.
func (e *endpoint) run(ctx context.Context) {
	watch := e.d.config.Store.WatchLog(e.hook.AppID)
	defer watch.Close()
	defer e.finish()
	more, loaded := true, false
	failed := false
	for ctx.Err() == nil {
		var err error
		select {
		case <-e.changed:
			loaded = false
		default:
		}
		if !loaded {
			if err = e.load(ctx); err == nil {
				loaded, more = true, true
			}
		}
		if err == nil {
			err = e.record(ctx)
		}
		// Where nothing more can be sent, the log can wait: an endpoint that hangs
		// costs the database nothing.
		room := e.under < inFlight && len(e.queue.items) < e.d.config.Backlog
		if err == nil && more && room {
			more, err = e.fill(ctx)
		}
		if errors.Is(err, errMoved) { // by a replay, or the endpoint is not ours any more: its row tells
			loaded = false
			continue
		}
		if err == nil {
			err = e.start(ctx)
		}
		e.count()
		if errors.Is(err, store.ErrNotFound) {
			return
		}
		if err != nil && !failed && ctx.Err() == nil {
			e.d.config.Logger.Warn("a webhook waits", "app_id", e.hook.AppID, "webhook_id", e.hook.ID, "error", err)
		}
		failed = err != nil
		if err == nil && more && room {
			e.collect()
			continue
		}
		e.wait(ctx, watch, &more, err != nil)
	}
}

// wait waits for something to do. After a failure it only waits.
func (e *endpoint) wait(ctx context.Context, watch *store.LogWatch, more *bool, failed bool) {
	pause := rest
	if failed {
		pause = again
	} else if at, ok := e.queue.next(); ok && e.under < inFlight {
		pause = min(pause, max(at.Sub(e.d.config.Store.Now()), time.Until(e.hold), 0))
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	if failed {
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		return
	}
	woken := watch.Woken()
	if *more { // it is known already
		woken = nil
	}
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-e.changed:
		signal(e.changed)
	case <-woken:
		*more = true
	case r := <-e.results:
		e.done = append(e.done, r)
	}
	e.collect()
}

// collect takes the results that have come.
func (e *endpoint) collect() {
	for {
		select {
		case r := <-e.results:
			e.done = append(e.done, r)
		default:
			return
		}
	}
}

// errMoved means that the endpoint's place in the log is not where this loop left
// it.
var errMoved = errors.New("the place in the log was moved")

// load reads the endpoint's row and what waits for it.
func (e *endpoint) load(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	st := e.d.config.Store
	hook, err := st.OwnWebhook(ctx, e.hook.AppID, e.hook.ID)
	if err != nil {
		return err
	}
	waiting, err := st.PendingDeliveries(ctx, hook.AppID, hook.ID)
	if err != nil {
		return err
	}
	if hook.Cursor != e.hook.Cursor || e.read == (store.Cursor{}) {
		e.read = hook.Cursor
	}
	e.hook, e.moved = hook, time.Now()
	e.version.Store(hook.Version)
	recorded := map[uuid.UUID]bool{} // attempts that are over and wait to be recorded are not of those that wait
	for _, r := range e.done {
		recorded[r.item.EventID] = true
	}
	for _, d := range waiting {
		if !recorded[d.EventID] {
			e.queue.add(d, nil)
		}
	}
	return hook.Unsealed
}

// fill takes a page of the log into the queue. more says that there may be
// another.
func (e *endpoint) fill(ctx context.Context) (more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	st := e.d.config.Store
	page, err := st.Events(ctx, store.EventQuery{AppID: e.hook.AppID, After: e.read, Types: e.hook.Types, Limit: pageSize})
	if err != nil {
		return true, err
	}
	// Where nothing is to be delivered, the stored place follows now and then, so
	// that a new owner need not read it all again.
	if len(page.Events) > 0 || page.Cursor != e.hook.Cursor && time.Since(e.moved) > storeGap {
		rows, err := st.TakeEvents(ctx, &e.hook, page)
		if errors.Is(err, store.ErrNotFound) {
			err = errMoved
		}
		if err != nil {
			return true, err
		}
		e.moved = time.Now()
		for i, d := range rows {
			e.queue.add(d, &page.Events[i])
		}
	}
	e.read = page.Cursor
	return page.More, nil
}

// start sends what is due, as far as there are places.
func (e *endpoint) start(ctx context.Context) error {
	st := e.d.config.Store
	if time.Now().Before(e.hold) || e.under >= inFlight {
		return nil
	}
	if !st.Alive() {
		return errSilent
	}
	items := e.queue.take(inFlight-e.under, st.Now())
	if err := e.readEvents(ctx, items); err != nil {
		for _, it := range items {
			e.queue.back(it)
		}
		return err
	}
	secrets := [][]byte{e.hook.Secret}
	if e.hook.OldSecret != nil && st.Now().Before(e.hook.OldSecretEnd) {
		secrets = append(secrets, e.hook.OldSecret)
	}
	for _, it := range items {
		e.under++
		if it.event == nil {
			e.done = append(e.done, result{item: it, outcome: dropped, blame: blameUs, attempt: store.DeliveryAttempt{At: st.Now(), Error: "the event is no longer kept"}})
			continue
		}
		request := request{url: e.hook.URL, secrets: secrets, event: *it.event}
		go func() { e.results <- e.d.send(request, it) }()
	}
	if len(e.done) > 0 {
		return e.record(ctx)
	}
	return nil
}

// errSilent means that this process's heartbeat is too old, so that others may
// have taken its endpoints over.
var errSilent = errors.New("this process's heartbeat is too old")

// readEvents reads the events that items are without.
func (e *endpoint) readEvents(ctx context.Context, items []*item) error {
	var without []store.Delivery
	for _, it := range items {
		if it.event == nil {
			without = append(without, it.Delivery)
		}
	}
	if len(without) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	events, err := e.d.config.Store.DeliveryEvents(ctx, e.hook.AppID, without)
	if err != nil {
		return err
	}
	for _, it := range items {
		if found, ok := events[it.EventID]; ok && it.event == nil {
			it.event = &found
			e.queue.held++
		}
	}
	return nil
}

// record judges and records the results that have come.
func (e *endpoint) record(ctx context.Context) error {
	if len(e.done) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	st := e.d.config.Store
	var calls []uuid.UUID
	for _, r := range e.done {
		if r.item.CallID != uuid.Nil && r.outcome != delivered {
			calls = append(calls, r.item.CallID)
		}
	}
	live, err := st.LiveAmong(ctx, e.hook.AppID, calls)
	if err != nil {
		return err
	}
	now := st.Now()
	rows, isGone := make([]store.Delivery, 0, len(e.done)), false
	for _, r := range e.done {
		if r.outcome == aborted {
			continue
		}
		rows = append(rows, e.d.config.Schedule.judge(r, live[r.item.CallID], now))
		isGone = isGone || r.outcome == gone
		if r.hold > 0 {
			e.hold = time.Now().Add(r.hold)
		}
	}
	if len(rows) > 0 {
		disabled, err := st.FinishDeliveries(ctx, e.hook.AppID, e.hook.ID, rows, isGone)
		if err != nil {
			return err
		}
		if disabled {
			e.d.config.Logger.Warn("webhook disabled", "app_id", e.hook.AppID, "webhook_id", e.hook.ID, "gone", isGone)
			e.under, e.done = e.under-len(e.done), nil
			return store.ErrNotFound
		}
	}
	settled := map[uuid.UUID]store.Delivery{}
	for _, row := range rows {
		settled[row.EventID] = row
	}
	for _, r := range e.done {
		e.under--
		row, ok := settled[r.item.EventID]
		switch {
		case !ok:
			e.queue.back(r.item)
		case row.Status == store.DeliveryPending:
			e.queue.forget(r.item)
			r.item.Delivery = row
			e.queue.back(r.item)
		default:
			e.queue.remove(r.item)
		}
	}
	e.done = nil
	return nil
}

// finish waits for the requests under way when the loop ends, and records them.
func (e *endpoint) finish() {
	e.collect()
	for left := e.under - len(e.done); left > 0; left-- {
		e.done = append(e.done, <-e.results)
	}
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout/5)
	defer cancel()
	if err := e.record(ctx); err != nil && !errors.Is(err, store.ErrNotFound) {
		e.d.config.Logger.Warn("outcomes of deliveries were not recorded; they are made again", "app_id", e.hook.AppID, "webhook_id", e.hook.ID, "error", err)
	}
	e.waiting.Store(0)
	e.oldest.Store(0)
}

// count tells the metrics what waits.
func (e *endpoint) count() {
	e.waiting.Store(int64(len(e.queue.items)))
	if len(e.queue.items) == 0 {
		e.oldest.Store(0)
	} else if time.Since(e.counted) > time.Second {
		e.counted = time.Now()
		e.oldest.Store(e.queue.oldest().UnixMilli())
	}
}
