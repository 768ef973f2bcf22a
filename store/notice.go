package store

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/pushwake/relay/call"
)

// noticeKey identifies a notice: a leg has at most one for each purpose.
type noticeKey struct {
	leg     uuid.UUID
	purpose call.Purpose
}

// notice is the key of a wake that is a notice.
func (w *Wake) notice() (key noticeKey, ok bool) {
	return noticeKey{w.LegID, w.Purpose}, w.Purpose != call.PurposeRing && w.Purpose != ""
}

// noticeRow is a notice that a step may change; two of them compare.
type noticeRow struct {
	noticeKey
	channel   call.Channel
	process   uuid.UUID
	attempt   int
	createdAt time.Time
	doneAt    time.Time
	reason    call.Reason
}

// noticeWrite is a notice to be written.
type noticeWrite struct {
	noticeRow
	appID    string
	callID   uuid.UUID
	deviceID string
	instead  bool // of a notification whose revoke may be under way
}

// owed is the notice that a leg's device is due, as its call stands now. While
// a wake is under way it is none: the vendor might deliver the wake after the
// notice, and the phone would show a call that is over.
func (u *underLock) owed(i int) call.Purpose {
	if u.rows[i].wakeProcess != nil {
		return ""
	}
	return u.call.Notice(&u.call.Legs[i])
}

// owe adds the notices that the steps made due: those that are due after the
// steps and were not before. So each becomes due once.
func (u *underLock) owe() {
	for i := range u.rows {
		if p := u.owed(i); p != "" && p != u.owedBefore[i] {
			u.writes.notice(&u.call, &u.call.Legs[i], p, u.now)
		}
	}
}

func (w *writes) notice(c *call.Call, l *call.Leg, p call.Purpose, now time.Time) {
	w.notices = append(w.notices, noticeWrite{
		noticeRow: noticeRow{
			noticeKey: noticeKey{l.ID, p}, channel: l.Platform.NoticeChannel(), process: w.process, attempt: 1, createdAt: now,
		},
		appID: c.AppID, callID: c.ID, deviceID: l.DeviceID, instead: p == call.PurposeMissedCall && !l.AlertedAt.IsZero(),
	})
}

func (w *writes) queueNotices(b *pgx.Batch) {
	rows := w.notices
	for _, r := range rows {
		if r.instead { // the revoke would remove the notice
			b.Queue(`UPDATE notices SET done_at = $4 WHERE app_id = $1 AND call_id = $2 AND leg_id = $3 AND purpose = 'revoke' AND done_at IS NULL`,
				r.appID, r.callID, r.leg, r.createdAt)
		}
	}
	noticeTable.insert(b, rows)
}

var noticeTable = describe("notices", "n", "call_id", `
	WHERE NOT EXISTS (SELECT FROM notices o WHERE o.call_id = q.call_id AND o.leg_id = q.leg_id AND o.purpose = q.purpose OFFSET 0)`,
	text("app_id", func(r *noticeWrite) *string { return &r.appID }).key(),
	id("call_id", func(r *noticeWrite) *uuid.UUID { return &r.callID }).key(),
	id("leg_id", func(r *noticeWrite) *uuid.UUID { return &r.leg }).key(),
	text("purpose", func(r *noticeWrite) *call.Purpose { return &r.purpose }).key(),
	text("device_id", func(r *noticeWrite) *string { return &r.deviceID }),
	text("channel", func(r *noticeWrite) *call.Channel { return &r.channel }),
	id("process", func(r *noticeWrite) *uuid.UUID { return &r.process }).changes(),
	integer("attempt", func(r *noticeWrite) *int { return &r.attempt }).changes(),
	moment("created_at", func(r *noticeWrite) *time.Time { return &r.createdAt }),
	moment("done_at", func(r *noticeWrite) *time.Time { return &r.doneAt }).changes(),
	orNone("reason", func(r *noticeWrite) *call.Reason { return &r.reason }).changes(),
)

// loadNotices queues the reading of the notices of a batch's calls that have a
// step about one.
func (s *Store) loadNotices(b *pgx.Batch, jobs []*job[step, any], load *stepLoad) {
	var apps []string
	var ids []uuid.UUID
	for _, j := range jobs {
		if j.in.notice {
			apps, ids = append(apps, j.in.appID), append(ids, j.in.callID)
		}
	}
	if len(ids) == 0 {
		return
	}
	low, high := span(ids)
	b.Queue(`SELECT n.call_id, n.leg_id, n.purpose, n.channel, n.process, n.attempt, n.created_at, n.done_at, coalesce(n.reason, '')
		FROM (SELECT DISTINCT unnest($2::uuid[])) AS wanted (id) CROSS JOIN LATERAL ( -- see callsOf
			SELECT n.* FROM notices n WHERE n.app_id = ANY($1) AND n.call_id = wanted.id AND n.call_id BETWEEN $3 AND $4 OFFSET 0) n`,
		apps, ids, low, high).Query(func(rows pgx.Rows) error {
		var id uuid.UUID
		var n noticeRow
		_, err := pgx.ForEachRow(rows, []any{&id, &n.leg, &n.purpose, &n.channel, &n.process, &n.attempt, when{&n.createdAt}, when{&n.doneAt}, &n.reason}, func() error {
			if u := load.calls[id]; u != nil {
				u.notices, u.noticesBefore = append(u.notices, n), append(u.noticesBefore, n)
			}
			return nil
		})
		return err
	})
}

// saveNotices adds what the steps changed of notices to the batch's writes.
func (u *underLock) saveNotices() {
	for i, n := range u.notices {
		if n != u.noticesBefore[i] {
			u.writes.noticeChanges = append(u.writes.noticeChanges, noticeWrite{noticeRow: n, appID: u.call.AppID, callID: u.call.ID})
		}
	}
}

// noticeOf finds a notice that was read; nil for none.
func (u *underLock) noticeOf(key noticeKey) *noticeRow {
	i := slices.IndexFunc(u.notices, func(n noticeRow) bool { return n.noticeKey == key })
	if i < 0 {
		return nil
	}
	return &u.notices[i]
}

// finishNotice records the outcome of an attempt to send a notice. The leg does
// not change.
func (u *underLock) finishNotice(process uuid.UUID, w Wake, o Outcome) bool {
	key, _ := w.notice()
	if o.Attempt != nil {
		a := *o.Attempt
		a.Purpose = w.Purpose
		u.writes.attempts = append(u.writes.attempts, attemptWrite{a, w.AppID, w.CallID, w.LegID})
	}
	u.markToken(w, o)
	n := u.noticeOf(key)
	if n == nil || !n.doneAt.IsZero() || n.process != process || n.attempt != w.Number {
		return false // another process took it over meanwhile, or the notice of a missed call came in the place of a revoke
	}
	switch o.Next {
	case WakeAgain:
		n.attempt++
		return true
	case WakeGivenUp:
		n.reason = o.Reason
	}
	n.doneAt = u.now
	return false
}

// noticeWanted is WakeWanted for a notice.
func (s *Store) noticeWanted(ctx context.Context, w Wake) (wanted bool, err error) {
	err = s.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM notices
		WHERE app_id = $1 AND call_id = $2 AND leg_id = $3 AND purpose = $4 AND done_at IS NULL AND process = $5 AND attempt = $6)`,
		w.AppID, w.CallID, w.LegID, w.Purpose, s.process, w.Number).Scan(&wanted)
	return wanted, translate(err)
}

// ownNotices and disownNotices are like own and disown, for notices that have
// no wake yet.
func (s *Store) ownNotices(keys ...noticeKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range keys {
		s.notices[k] = struct{}{}
	}
}

func (s *Store) disownNotices(keys ...noticeKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range keys {
		delete(s.notices, k)
	}
}

func (s *Store) noticeInHand(key noticeKey) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.notices[key]
	return ok
}

// noticesInHand lists the notices that this process has in hand.
func (s *Store) noticesInHand() (legs []uuid.UUID, purposes []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := range s.notices {
		legs, purposes = append(legs, k.leg), append(purposes, string(k.purpose))
	}
	return legs, purposes
}

// noticeKeys lists the keys of a batch's notices.
func (w *writes) noticeKeys() []noticeKey {
	return column(w.notices, func(r *noticeWrite) noticeKey { return r.noticeKey })
}
