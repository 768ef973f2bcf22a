package store

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/pushwake/relay/call"
)

// channel is the NOTIFY channel by which processes wake each other's tails.
const channel = "relay_events"

// tail follows the event log for all that waits in this process. It is woken by
// this process's own commits, by NOTIFY of the others', and by the clock: a
// NOTIFY carries no truth and may be lost.
//
// It reads each transaction once, as soon as it is visible. Those that were
// still running at the last look have an xid of its xmin or later, so nothing
// that commits late is behind it.
type tail struct {
	woken     chan struct{} // there may be something new; holds one
	announced chan struct{} // the others are to be told; holds one

	from uint64   // every transaction below it was read
	read []uint64 // from it on, those that were read
	at   time.Time

	mu       sync.Mutex
	watching map[watchKey]map[*Watch]struct{}
	alone    bool // no other process is alive
}

// watchKey is what a Watch may be about: a user, or one call.
type watchKey struct {
	appID  string
	userID string
	callID uuid.UUID
}

func newTail() *tail {
	return &tail{woken: make(chan struct{}, 1), announced: make(chan struct{}, 1), watching: map[watchKey]map[*Watch]struct{}{}}
}

// signal puts a token into a channel that holds one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// committed wakes the tails, this process's at once.
func (t *tail) committed() {
	signal(t.woken)
	signal(t.announced)
}

// follow reads the log until ctx ends.
func (s *Store) follow(ctx context.Context) error {
	poll := time.NewTicker(s.config.Poll)
	defer poll.Stop()
	failed := false
	for {
		looked := time.Now()
		err := s.readTail(ctx)
		if err != nil && ctx.Err() == nil && !failed {
			s.log.Warn("the event log cannot be read", "error", err)
		}
		failed = err != nil
		// Of what comes in quick succession one look sees much.
		if !sleep(ctx, lookEvery-time.Since(looked)) {
			return nil
		}
		wake := s.tail.woken
		if failed || s.tail.idle() {
			wake = nil // not before the next tick
		}
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
		case <-poll.C:
		}
	}
}

// lookEvery is the least time between two looks.
const lookEvery = 5 * time.Millisecond

// changed is a call that a transaction changed, and whose it is.
type changed struct {
	appID  string
	callID uuid.UUID
	userID string
}

// look is what one reading of the log found.
type look struct {
	found []changed
	xids  []uint64      // of the transactions that were found
	xmin  uint64        // of the snapshot: all below it are over
	at    time.Time     // when it was taken
	lag   time.Duration // since the oldest event that was found
	ended []endedFeed   // feeds that this process must close
}

// readTail hands out what has changed since the last look. Where nobody waits
// it only keeps up: whoever comes then reads for himself what was before.
func (s *Store) readTail(ctx context.Context) error {
	t := s.tail
	idle := t.idle()
	now, err := s.look(ctx, idle)
	switch {
	case err != nil:
		return err
	case now.xmin < t.from: // another cluster took this one's place
		t.resync()
		t.from, t.read, t.at = now.xmin, nil, now.at
		return nil
	case idle:
		if !t.keepUp(now) {
			signal(t.woken) // somebody came meanwhile
		}
		return nil
	}
	calls, err := s.callsByID(ctx, t.wanted(now.found))
	if err != nil {
		return err
	}
	t.from, t.read, t.at = now.xmin, above(append(t.read, now.xids...), now.xmin), now.at
	if len(now.found) > 0 {
		s.metrics.tailLag.Observe(now.lag.Seconds())
	}
	t.hand(calls, now.at)
	s.endFeeds(now.ended)
	return nil
}

// tailReach is how far before the last look an event may have got its id that
// is seen now: longer than any transaction lasts.
const tailReach = 10 * time.Minute

// look reads which calls the transactions changed that were not seen before,
// the xmin of the same snapshot, and which feeds are to be closed. idle leaves
// out all but the xmin.
func (s *Store) look(ctx context.Context, idle bool) (look, error) {
	var l look
	if idle {
		err := s.pool.QueryRow(ctx, `SELECT pg_snapshot_xmin(pg_current_snapshot())::text, statement_timestamp()`).Scan(xid{&l.xmin}, &l.at)
		return l, translate(err)
	}
	err := s.readTogether(ctx, func(b *pgx.Batch) { s.queueLook(b, &l) })
	return l, err
}

// queueLook queues the statements of a look.
func (s *Store) queueLook(b *pgx.Batch, l *look) {
	t := s.tail
	// The calls are looked up one by one (OFFSET keeps the planner from starting
	// with them): it cannot know how few events there are.
	b.Queue(`
		WITH new AS MATERIALIZED (
			SELECT e.xid, e.app_id, e.call_id, min(e.at) AS at FROM events e
			WHERE e.xid >= $1::text::xid8 AND e.xid <> ALL ($2::text[]::xid8[]) AND e.id >= $3 AND e.call_id IS NOT NULL
			GROUP BY 1, 2, 3)
		SELECT snapshot.xmin::text, statement_timestamp(), found.xid::text, found.app_id, found.call_id, found.user_id, found.at
		FROM (SELECT pg_snapshot_xmin(pg_current_snapshot()) AS xmin) snapshot
		LEFT JOIN (
			SELECT new.*, c.user_id FROM new CROSS JOIN LATERAL (
				SELECT CASE c.direction WHEN 'incoming' THEN c.callee_id ELSE c.caller_id END AS user_id
				FROM calls c WHERE c.app_id = new.app_id AND c.id = new.call_id OFFSET 0) c
		) found ON true`, strconv.FormatUint(t.from, 10), texts(t.read), FloorID(t.at.Add(-tailReach))).Query(func(rows pgx.Rows) error {
		var tx uint64
		var appID, userID *string
		var callID *uuid.UUID
		var first *time.Time
		_, err := pgx.ForEachRow(rows, []any{xid{&l.xmin}, &l.at, xid{&tx}, &appID, &callID, &userID, &first}, func() error {
			if callID == nil {
				return nil // the one row of nothing new
			}
			l.found, l.xids = append(l.found, changed{*appID, *callID, *userID}), append(l.xids, tx)
			l.lag = max(l.lag, l.at.Sub(*first))
			return nil
		})
		return err
	})
	b.Queue(`SELECT id, ended FROM feeds WHERE process = $1 AND ended IS NOT NULL`, s.process).Query(func(rows pgx.Rows) (err error) {
		l.ended, err = pgx.CollectRows(rows, pgx.RowToStructByPos[endedFeed])
		return err
	})
}

// xid reads a transaction's id from its text; null is 0.
type xid struct{ id *uint64 }

func (x xid) ScanText(v pgtype.Text) (err error) {
	*x.id = 0
	if v.Valid {
		*x.id, err = strconv.ParseUint(v.String, 10, 64)
	}
	return err
}

func texts(xids []uint64) []string {
	out := make([]string, len(xids))
	for i, x := range xids {
		out[i] = strconv.FormatUint(x, 10)
	}
	return out
}

// beginTail has the tail begin here, before anybody can wait.
func (s *Store) beginTail(ctx context.Context) error {
	l, err := s.look(ctx, true)
	s.tail.from, s.tail.at = l.xmin, l.at
	return err
}

// idle reports whether nobody waits.
func (t *tail) idle() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.watching) == 0
}

// keepUp passes over what nobody waited for, unless somebody does by now: what
// he has not read himself may be among it.
func (t *tail) keepUp(l look) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.watching) > 0 {
		return false
	}
	t.from, t.read, t.at = l.xmin, nil, l.at
	return true
}

// above keeps the xids that are not below xmin, each once.
func above(xids []uint64, xmin uint64) []uint64 {
	seen := map[uint64]bool{}
	kept := xids[:0]
	for _, x := range xids {
		if x >= xmin && !seen[x] {
			seen[x] = true
			kept = append(kept, x)
		}
	}
	return kept
}

// wanted is which of the changed calls somebody here waits for.
func (t *tail) wanted(found []changed) map[uuid.UUID]string {
	t.mu.Lock()
	defer t.mu.Unlock()
	wanted := map[uuid.UUID]string{}
	for _, c := range found {
		if len(t.watching[watchKey{appID: c.appID, userID: c.userID}]) > 0 || len(t.watching[watchKey{appID: c.appID, callID: c.callID}]) > 0 {
			wanted[c.callID] = c.appID
		}
	}
	return wanted
}

// hand gives calls to those who wait for them. at is a time before which all
// that was committed has been handed out.
func (t *tail) hand(calls []call.Call, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range calls {
		c := &calls[i]
		for w := range t.watching[watchKey{appID: c.AppID, userID: c.UserID()}] {
			w.take(c, at)
		}
		for w := range t.watching[watchKey{appID: c.AppID, callID: c.ID}] {
			w.take(c, at)
		}
	}
}

// resync has everybody who waits read anew.
func (t *tail) resync() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, watches := range t.watching {
		for w := range watches {
			w.lose()
		}
	}
}

// announce tells the other processes of commits, at most every few
// milliseconds: a NOTIFY in each transaction would halve the rate of all.
func (s *Store) announce(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.tail.announced:
		}
		if s.tail.isAlone() {
			continue
		}
		// A NOTIFY makes its transaction one that writes; nobody waits for its disk.
		_, err := s.pool.Exec(ctx, `SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, $2)`, channel, s.process.String())
		if err != nil && ctx.Err() == nil {
			s.log.Debug("not announced", "error", err) // the others poll
		}
		if !sleep(ctx, announceEvery) {
			return nil
		}
	}
}

const announceEvery = 5 * time.Millisecond

func (t *tail) isAlone() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.alone
}

func (t *tail) setAlone(alone bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.alone = alone
}

// listen waits for the others' announcements on a connection of its own, and
// connects again when it is lost. Without it, the tail polls.
func (s *Store) listen(ctx context.Context) error {
	if s.config.NoListen {
		return nil
	}
	pause := listenAgain
	for ctx.Err() == nil {
		started := time.Now()
		err := s.listenOnce(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(started) > time.Minute {
			pause = listenAgain
		}
		s.log.Warn("LISTEN was lost; the event log is polled meanwhile", "error", err)
		if !sleep(ctx, pause) {
			return nil
		}
		pause = min(2*pause, 10*time.Second)
	}
	return nil
}

const listenAgain = 100 * time.Millisecond

func (s *Store) listenOnce(ctx context.Context) error {
	conn, err := pgx.ConnectConfig(ctx, s.pool.Config().ConnConfig)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // it is lost already, or not wanted any more
	if _, err := conn.Exec(ctx, `LISTEN `+channel); err != nil {
		return err
	}
	signal(s.tail.woken) // for what was announced before
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		if n.Payload != s.process.String() { // its own commits woke the tail already
			signal(s.tail.woken)
		}
	}
}

// sleep waits, and reports false when ctx ended before.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
