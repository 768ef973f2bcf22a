package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/pushwake/relay/call"
)

// tail follows the event log for all watches and feeds of this process. It is
// woken by this process's own commits, by a NOTIFY of other processes, and by a
// timer. A NOTIFY carries no data and may be lost.
//
// It reads each transaction once, as soon as it is visible: those that began
// after the snapshot of the last look, and those that were still running in it.
// So it misses no transaction that commits late, and no long transaction in the
// cluster delays it.
type tail struct {
	woken     chan struct{} // there may be something new; holds one
	announced chan struct{} // other processes should be notified; holds one

	last   snapshot // of the last look
	at     time.Time
	failed bool   // the last look failed
	asked  uint64 // the xmin when heldBack was last asked

	mu       sync.Mutex
	watching map[watchKey]map[*Watch]struct{}
	readers  map[string]map[*LogWatch]struct{} // of the log, by app; "" of every app's
	arrived  []string                          // apps of readers that came since the last look
	unread   map[string]unread                 // by app
	alone    bool                              // no other process is alive
}

// watchKey is the subject of a Watch: the calls of a user, or one call.
type watchKey struct {
	appID  string
	userID string
	callID uuid.UUID
}

func newTail() *tail {
	return &tail{woken: make(chan struct{}, 1), announced: make(chan struct{}, 1), watching: map[watchKey]map[*Watch]struct{}{}, readers: map[string]map[*LogWatch]struct{}{}, unread: map[string]unread{}}
}

// signal puts a token into a channel that holds one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// committed is called after a commit: it wakes this process's tail at once, and
// the others' by NOTIFY.
func (t *tail) committed() {
	signal(t.woken)
	signal(t.announced)
}

// snapshot is a snapshot of Postgres: every transaction below xmax has ended,
// except those in running.
type snapshot struct {
	xmin    uint64 // every transaction below it has ended
	xmax    uint64
	running []uint64
}

// follow reads the log until ctx ends.
func (s *Store) follow(ctx context.Context) error {
	poll := time.NewTicker(s.config.Poll)
	defer poll.Stop()
	t := s.tail
	var pause time.Duration
	for {
		looked := time.Now()
		err := s.readTail(ctx)
		if err != nil && ctx.Err() == nil && !t.failed {
			s.log.Warn("the event log cannot be read", "error", err)
		}
		t.failed = err != nil
		// Commits in quick succession are read by one look.
		if !sleep(ctx, lookEvery-time.Since(looked)) {
			return nil
		}
		wake := t.woken
		if t.failed || t.idle() {
			wake = nil // not before the next tick
		}
		var again <-chan time.Time // nobody announces the end of a transaction that holds the log back
		if held, moved := t.heldBack(); held {
			if pause = min(2*pause, s.config.Poll); moved || pause == 0 {
				pause = lookEvery
			}
			again = time.After(pause)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
		case <-again:
		case <-poll.C:
		}
	}
}

// lookEvery is the least time between two looks.
const lookEvery = 5 * time.Millisecond

// lookTimeout bounds a look: a server behind a broken network would not answer
// for minutes.
const lookTimeout = 5 * time.Second

// changed is a call that a transaction changed, with its app and users.
type changed struct {
	appID  string
	callID uuid.UUID
	userID string
}

// look is the result of one look at the log.
type look struct {
	found  []changed
	logged []logged
	snapshot
	at    time.Time     // before the snapshot was taken
	lag   time.Duration // since the oldest event of a call that was found
	ended []endedFeed   // feeds that this process must close
}

// readTail hands out what has changed since the last look. While nobody waits
// it only advances its position: a new watcher reads the earlier state itself.
func (s *Store) readTail(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	t := s.tail
	idle := t.idle()
	now, err := s.look(ctx, idle)
	if err != nil {
		return err
	}
	if idle {
		if !t.keepUp(now) {
			signal(t.woken) // a watcher came meanwhile
		}
		return nil
	}
	calls, err := s.callsByID(ctx, t.wanted(now.found))
	if err != nil {
		return err
	}
	if t.failed || now.xmax < t.last.xmax { // it may be another server that reuses transaction ids, for instance after a restore
		t.resync()
	}
	t.last, t.at = now.snapshot, now.at
	if len(now.found) > 0 {
		s.metrics.tailLag.Observe(now.lag.Seconds())
	}
	t.hand(calls, now.at)
	for _, lag := range t.offer(now) {
		s.metrics.readLag.Observe(lag.Seconds())
	}
	s.endFeeds(now.ended)
	return nil
}

// tailReach is how long before the last look a newly visible event may have got
// its id. It is longer than any transaction of relay lasts.
const tailReach = time.Minute

// look reads the snapshot, the calls that newly visible transactions changed,
// and the feeds that must be closed. With idle it reads the snapshot alone.
func (s *Store) look(ctx context.Context, idle bool) (look, error) {
	var l look
	if idle {
		err := s.pool.QueryRow(ctx, `SELECT pg_current_snapshot()::text, now()`).Scan(&l.snapshot, &l.at)
		return l, translate(err)
	}
	err := s.readTogether(ctx, func(b *pgx.Batch) { s.queueLook(b, &l) })
	return l, err
}

// queueLook queues the statements of a look.
func (s *Store) queueLook(b *pgx.Batch, l *look) {
	t := s.tail
	// A subquery that gives a value is run for each call: the planner cannot
	// know how few there are.
	const events = `SELECT e.app_id, e.call_id, e.at, e.xid::text::bigint AS xid FROM events e
		WHERE e.id >= $3 AND e.seq >= (SELECT max(first_seq) FROM log_epochs) AND `
	b.Queue(`
		WITH new AS MATERIALIZED (
			SELECT app_id, call_id, min(at) AS at, min(xid) AS low, max(xid) AS high
			FROM (`+events+`e.xid >= $1::text::xid8 UNION ALL `+events+`e.xid = ANY ($2::text[]::xid8[])) e
			GROUP BY 1, 2)
		SELECT pg_current_snapshot()::text, now(), new.app_id, new.call_id, new.at, new.low, new.high, (
			SELECT CASE c.direction WHEN 'incoming' THEN c.callee_id ELSE c.caller_id END
			FROM calls c WHERE c.app_id = new.app_id AND c.id = new.call_id)
		FROM (VALUES (1)) one LEFT JOIN new ON true`, strconv.FormatUint(t.last.xmax, 10), texts(t.last.running), floorID(t.at.Add(-tailReach))).Query(func(rows pgx.Rows) error {
		var appID, userID *string
		var callID *uuid.UUID
		var first *time.Time
		var low, high *uint64
		_, err := pgx.ForEachRow(rows, []any{&l.snapshot, &l.at, &appID, &callID, &first, &low, &high, &userID}, func() error {
			if appID == nil {
				return nil // the one row that says there is nothing new
			}
			l.logged = append(l.logged, logged{*appID, *low, *high, *first})
			if userID != nil {
				l.found = append(l.found, changed{*appID, *callID, *userID})
				l.lag = max(l.lag, l.at.Sub(*first))
			}
			return nil
		})
		return err
	})
	b.Queue(`SELECT id, ended FROM feeds WHERE process = $1 AND ended IS NOT NULL`, s.process).Query(func(rows pgx.Rows) (err error) {
		l.ended, err = pgx.CollectRows(rows, pgx.RowToStructByPos[endedFeed])
		return err
	})
}

// ScanText reads what Postgres writes: xmin:xmax:running,running…
func (s *snapshot) ScanText(v pgtype.Text) error {
	parts := strings.Split(v.String, ":")
	if len(parts) != 3 {
		return fmt.Errorf("%q is no snapshot", v.String)
	}
	var err error
	if s.xmin, err = strconv.ParseUint(parts[0], 10, 64); err != nil {
		return err
	}
	if s.xmax, err = strconv.ParseUint(parts[1], 10, 64); err != nil {
		return err
	}
	s.running = nil
	for text := range strings.SplitSeq(parts[2], ",") {
		if text == "" {
			continue
		}
		xid, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return err
		}
		s.running = append(s.running, xid)
	}
	return nil
}

func texts(xids []uint64) []string {
	out := make([]string, len(xids))
	for i, x := range xids {
		out[i] = strconv.FormatUint(x, 10)
	}
	return out
}

// beginTail sets the tail's first position, before anybody can wait.
func (s *Store) beginTail(ctx context.Context) error {
	l, err := s.look(ctx, true)
	s.tail.last, s.tail.at = l.snapshot, l.at
	return err
}

// idle reports whether nobody waits.
func (t *tail) idle() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.watching) == 0 && len(t.readers) == 0
}

// keepUp advances the tail without reading what changed. It does nothing if
// somebody waits by now, who may not have read these changes himself.
func (t *tail) keepUp(l look) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.watching) > 0 || len(t.readers) > 0 {
		return false
	}
	t.last, t.at = l.snapshot, l.at
	return true
}

// wanted selects the changed calls that somebody in this process waits for.
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

// hand gives changed calls to their watches. Everything that was committed
// before at has then been handed out.
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

// resync tells every watch that changes may be lost, so that its owner reads
// the state again.
func (t *tail) resync() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, watches := range t.watching {
		for w := range watches {
			w.lose()
		}
	}
	t.wakeReaders()
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
