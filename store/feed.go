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

// Why a feed must end; see Changes.
const (
	FeedReplaced  = "replaced"   // another feed of the device was opened
	FeedLoggedOut = "logged_out" // the install was deleted, or belongs to another user now
)

// Feed is the one open feed of a device. While it is open, the device counts as
// connected, and its Watch tells of the calls of the device's user.
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

// OpenFeed opens the feed of a device, when that is committed, and ends another
// that it has, at whichever process. It must be closed.
//
// Errors: ErrBusy, ErrUnavailable.
func (s *Store) OpenFeed(ctx context.Context, appID, deviceID, userID string) (*Feed, error) {
	f := &Feed{store: s, about: feedChange{appID: appID, deviceID: deviceID, userID: userID, id: newID(s.Now())}}
	f.Watch = s.tail.watch(watchKey{appID: appID, userID: userID})
	s.openFeeds.add(f)
	s.metrics.feedsOpen.Inc()
	if _, err := s.feeds.do(ctx, f.about); err != nil {
		f.Close() // it may have been written all the same
		return nil, err
	}
	return f, nil
}

// Close ends the feed. It does not wait for the database: what is not written
// is cleaned up later.
func (f *Feed) Close() {
	f.once.Do(func() {
		f.Watch.Close()
		f.store.openFeeds.remove(f)
		f.store.metrics.feedsOpen.Dec()
		f.about.close = true
		f.store.feeds.send(f.about)
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

func (o *openFeeds) ids() []uuid.UUID {
	o.mu.Lock()
	defer o.mu.Unlock()
	ids := make([]uuid.UUID, 0, len(o.byID))
	for id := range o.byID {
		ids = append(ids, id)
	}
	return ids
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
			b.Queue(`INSERT INTO feeds (app_id, device_id, id, user_id, process, opened_at) VALUES ($1, $2, $3, $4, $5, clock_timestamp())`,
				in.appID, in.deviceID, in.id, in.userID, s.process)
		}
		return nil
	})
	if err == nil {
		s.tail.committed()
	}
	return err
}

// endFeedsOfDevice ends the feeds of an install that no longer belongs to their user.
const endFeedsOfDevice = `UPDATE feeds SET ended = '` + FeedLoggedOut + `' WHERE app_id = $1 AND device_id = $2 AND ended IS NULL AND closed_at IS NULL`

// cleanFeeds forgets feeds that are over: closed ones, those of processes that
// are gone, and what this process has opened and could not close.
func (s *Store) cleanFeeds(ctx context.Context) error {
	_, err := s.pool.Exec(ctx, `DELETE FROM feeds f
		WHERE f.closed_at < clock_timestamp() - interval '1 minute'
		   OR f.process = $1 AND f.id <> ALL ($2::uuid[]) AND f.opened_at < clock_timestamp() - interval '1 minute'
		   OR NOT EXISTS (SELECT FROM processes p WHERE p.id = f.process AND p.beat_at >= clock_timestamp() - interval '1 minute')`,
		s.process, s.openFeeds.ids())
	return translate(err)
}

// FeedCalls reads what a device's feed has to tell, oldest first: its calls that
// are alive, those named in told, and those begun since a time. Calls that its
// user cannot see are left out. now is the database's time, before the reading.
//
// Errors: ErrUnavailable.
func (s *Store) FeedCalls(ctx context.Context, appID, deviceID, userID string, told []uuid.UUID, since time.Time) (calls []call.Call, now time.Time, err error) {
	if since.IsZero() {
		since = s.Now().Add(time.Hour) // none
	}
	const ids = `SELECT l.call_id FROM legs l
		WHERE l.app_id = ANY (@apps) AND l.device_id = @device AND l.user_id = @user AND l.call_id >= @low
		  AND (l.ended_at IS NULL OR l.call_id = ANY (@told::uuid[]) OR l.call_id >= @since)
		ORDER BY l.call_id DESC LIMIT @most`
	args := pgx.NamedArgs{
		"apps": []string{appID}, "device": deviceID, "user": userID, "told": told, "since": FloorID(since), "most": mostOfFeed,
		"low": FloorID(s.Now().Add(-longestCall - time.Hour)), "high": uuid.Max,
	}
	err = s.readTogether(ctx, func(b *pgx.Batch) {
		b.Queue(`SELECT statement_timestamp()`).QueryRow(func(row pgx.Row) error { return row.Scan(&now) })
		queueCalls(b, &calls, ids, args)
	})
	return calls, now.UTC(), err
}

// mostOfFeed bounds what a device that was away for long is told: the newest.
const mostOfFeed = 200

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
