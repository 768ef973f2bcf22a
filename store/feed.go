package store

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/pushwake/relay/call"
)

// feedGrace is how long a device counts as connected after its feed ended: a
// long-poll's next request, or a stream's reconnection, is on its way.
const feedGrace = 5 * time.Second

// The reasons why a feed must end; see Changes.Ended.
const (
	FeedReplaced  = "replaced"   // another feed of the device was opened
	FeedLoggedOut = "logged_out" // the install was deleted, or belongs to another user now
)

// Feed is the one open feed of a device. While it is open, the device counts as
// connected, and its Watch tells of changes of calls of the device's user.
type Feed struct {
	*Watch
	store *Store
	about feedChange
	once  sync.Once
}

// feedChange opens or closes a feed.
type feedChange struct {
	appID, deviceID, userID string
	id                      uuid.UUID
	close                   bool
}

// endedFeed is a feed that its process must close.
type endedFeed struct {
	ID  uuid.UUID
	Why string
}

// openFeeds are those of this process, by id.
type openFeeds struct {
	mu   sync.Mutex
	byID map[uuid.UUID]*Feed
}

// OpenFeed opens the feed of a device and returns once that is committed.
// Another open feed of the device ends, whichever process holds it. The caller
// must close the feed.
//
// Errors: ErrBusy, ErrUnavailable.
func (s *Store) OpenFeed(ctx context.Context, appID, deviceID, userID string) (*Feed, error) {
	f := &Feed{store: s, about: feedChange{appID: appID, deviceID: deviceID, userID: userID, id: newID(s.Now())}}
	f.Watch = s.tail.watch(watchKey{appID: appID, userID: userID})
	s.openFeeds.add(f)
	s.metrics.feedsOpen.Inc()
	if _, err := s.feeds.do(ctx, f.about); err != nil {
		f.Close() // the row may have been written nevertheless
		return nil, err
	}
	return f, nil
}

// Close ends the feed. It does not wait for the database: a row that could not
// be deleted is cleaned up later.
func (f *Feed) Close() {
	f.once.Do(func() {
		f.Watch.Close()
		f.store.openFeeds.remove(f)
		f.store.metrics.feedsOpen.Dec()
		end := f.about
		end.close = true
		f.store.feeds.send(end)
	})
}

func (o *openFeeds) add(f *Feed) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.byID == nil {
		o.byID = map[uuid.UUID]*Feed{}
	}
	o.byID[f.about.id] = f
}

func (o *openFeeds) remove(f *Feed) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.byID, f.about.id)
}

func (o *openFeeds) all() []feedChange {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := make([]feedChange, 0, len(o.byID))
	for _, f := range o.byID {
		all = append(all, f.about)
	}
	return all
}

// endFeeds tells feeds of this process that they must end.
func (s *Store) endFeeds(ended []endedFeed) {
	s.openFeeds.mu.Lock()
	defer s.openFeeds.mu.Unlock()
	for _, e := range ended {
		if f := s.openFeeds.byID[e.ID]; f != nil {
			f.end(e.Why)
		}
	}
}

// writeFeeds opens and closes a batch of feeds in one transaction.
func (s *Store) writeFeeds(jobs []*job[feedChange, struct{}]) error {
	ctx, cancel := context.WithTimeout(context.Background(), stepTimeout)
	defer cancel()
	err := s.transact(ctx, s.patience(jobs[0].again), func(b *pgx.Batch) {
		var locks []int64
		for _, j := range jobs { // two that open at once must see each other
			locks = append(locks, lockKey("feed", j.in.appID, j.in.deviceID))
		}
		queueLocks(b, locks)
	}, func(b *pgx.Batch) error {
		for _, j := range jobs {
			in := &j.in
			if in.close {
				b.Queue(`DELETE FROM feeds WHERE app_id = $1 AND device_id = $2 AND id = $3 AND ended IS NOT NULL`, in.appID, in.deviceID, in.id)
				b.Queue(`UPDATE feeds SET closed_at = clock_timestamp() WHERE app_id = $1 AND device_id = $2 AND id = $3`, in.appID, in.deviceID, in.id)
				continue
			}
			b.Queue(`DELETE FROM feeds WHERE app_id = $1 AND device_id = $2 AND closed_at IS NOT NULL`, in.appID, in.deviceID)
			b.Queue(`UPDATE feeds SET ended = $3 WHERE app_id = $1 AND device_id = $2 AND ended IS NULL`, in.appID, in.deviceID, FeedReplaced)
			b.Queue(`INSERT INTO feeds (app_id, device_id, id, user_id, process, opened_at, ended)
				VALUES ($1, $2, $3, $4, $5, clock_timestamp(), (SELECT $6 FROM devices d
					WHERE d.app_id = $1 AND d.device_id = $2 AND d.deleted_at IS NULL AND d.user_id <> $4)) -- it changed hands a moment ago`,
				in.appID, in.deviceID, in.id, in.userID, s.process, FeedLoggedOut)
		}
		return nil
	})
	if err == nil {
		s.tail.committed()
	}
	return err
}

// endFeedsOfDevice ends the feeds of an install that was deleted or belongs to
// another user now.
const endFeedsOfDevice = `UPDATE feeds SET ended = '` + FeedLoggedOut + `' WHERE app_id = $1 AND device_id = $2 AND ended IS NULL AND closed_at IS NULL`

// cleanFeeds deletes the rows of feeds that are over: closed ones, those of
// dead processes, and those that this process opened and could not close.
func (s *Store) cleanFeeds(ctx context.Context) error {
	_, err := s.pool.Exec(ctx, `DELETE FROM feeds f
		WHERE f.closed_at < clock_timestamp() - interval '1 minute'
		   OR f.process = $1 AND f.id <> ALL ($2::uuid[]) AND f.opened_at < clock_timestamp() - interval '20 s'
		   OR f.process <> $1 AND NOT EXISTS (SELECT FROM processes p WHERE p.id = f.process AND p.beat_at >= clock_timestamp() - interval '1 minute')`,
		s.process, column(s.openFeeds.all(), func(f *feedChange) uuid.UUID { return f.id }))
	return translate(err)
}

// restoreFeeds inserts this process's open feeds again where other processes
// have deleted them while it was silent. A feed whose device has opened another
// one meanwhile ends.
func (s *Store) restoreFeeds(ctx context.Context) error {
	open := s.openFeeds.all()
	if len(open) == 0 {
		return nil
	}
	ids := column(open, func(f *feedChange) uuid.UUID { return f.id })
	_, err := s.pool.Exec(ctx, `INSERT INTO feeds (app_id, device_id, id, user_id, process, opened_at, ended)
		SELECT q.app_id, q.device_id, q.id, q.user_id, $5, clock_timestamp(), (
			SELECT $6 FROM feeds f WHERE f.app_id = q.app_id AND f.device_id = q.device_id AND f.id <> q.id AND f.closed_at IS NULL AND f.ended IS NULL LIMIT 1)
		FROM unnest($1::text[], $2::text[], $3::uuid[], $4::text[]) AS q (app_id, device_id, id, user_id)
		ON CONFLICT DO NOTHING`,
		column(open, func(f *feedChange) string { return f.appID }), column(open, func(f *feedChange) string { return f.deviceID }), ids,
		column(open, func(f *feedChange) string { return f.userID }), s.process, FeedReplaced)
	return translate(err)
}

// FeedQuestion says which calls a feed asks for.
type FeedQuestion struct {
	AppID, DeviceID, UserID string
	Told                    []uuid.UUID // calls that the device was told of
	Since                   time.Time   // calls begun since then; zero for none
	// Lately asks for the calls that the device confirmed and that ended within
	// the last 2 minutes, because it is not known what the device was told.
	Lately bool
}

// FeedCalls reads the calls that a device's feed may have to tell, oldest
// first: the device's live calls, and those that the question asks for. Calls
// of other users are left out, and so are calls for which the device was
// skipped. now is the database's time before the reading.
//
// Errors: ErrUnavailable.
func (s *Store) FeedCalls(ctx context.Context, q FeedQuestion) (calls []call.Call, now time.Time, err error) {
	since := floorID(q.Since)
	if q.Since.IsZero() {
		since = uuid.Max
	}
	const ids = `SELECT l.call_id FROM legs l
		WHERE l.app_id = ANY (@apps) AND l.device_id = @device AND l.user_id = @user AND l.call_id >= @low AND l.status <> 'skipped'
		  AND (l.ended_at IS NULL OR l.call_id = ANY (@told::uuid[]) OR l.call_id >= @since
		    OR @lately AND l.confirmed_at IS NOT NULL AND l.ended_at > clock_timestamp() - interval '2 minutes')
		ORDER BY (l.ended_at IS NOT NULL), (l.call_id <> ALL (@told::uuid[])), l.call_id DESC LIMIT @most`
	args := pgx.NamedArgs{
		"apps": []string{q.AppID}, "device": q.DeviceID, "user": q.UserID, "told": q.Told, "since": since, "lately": q.Lately, "most": mostOfFeed,
		"low": floorID(s.Now().Add(-longestCall - time.Hour)), "high": uuid.Max,
	}
	err = s.readTogether(ctx, func(b *pgx.Batch) {
		b.Queue(`SELECT now()`).QueryRow(func(row pgx.Row) error { return row.Scan(&now) }) // of the transaction's beginning
		queueCalls(b, &calls, ids, args)
	})
	return calls, now.UTC(), err
}

// mostOfFeed bounds the calls that a device is told of after a long absence:
// live calls come first, then those that it was told of, then the newest.
const mostOfFeed = 400

// callsByID reads calls of several apps, oldest first.
func (s *Store) callsByID(ctx context.Context, wanted map[uuid.UUID]string) (calls []call.Call, err error) {
	if len(wanted) == 0 {
		return nil, nil
	}
	var ids []uuid.UUID
	var apps []string
	for id, app := range wanted {
		ids, apps = append(ids, id), append(apps, app)
	}
	low, high := span(ids)
	err = s.readTogether(ctx, func(b *pgx.Batch) {
		queueCalls(b, &calls, `SELECT unnest(@ids::uuid[])`, pgx.NamedArgs{"apps": apps, "ids": ids, "low": low, "high": high})
	})
	return calls, err
}
