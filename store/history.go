package store

import (
	"bytes"
	"context"
	"iter"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/pushwake/relay/call"
)

// Filter selects calls of the history. A zero field selects all.
type Filter struct {
	AppID     string // "" for every app
	UserID    string // either side
	CallerID  string
	DeviceID  string
	Ref       string
	Status    call.Status
	EndReason call.EndReason
	Direction call.Direction
	Media     call.Media
	Platform  call.Platform
	Region    string // a country, as the rules saw it for a leg's device
	Reason    call.Reason
	From, To  time.Time // of creation: from the first moment on, before the second
	Before    uuid.UUID // the last call of the page before
	Limit     int       // calls of a page, at least 1
}

// ids is the range of the ids that a filter allows, to the millisecond: from
// low, below high.
func (f *Filter) ids() (low, high uuid.UUID) {
	high = uuid.Max
	if !f.From.IsZero() {
		low = floorID(f.From)
	}
	if !f.To.IsZero() {
		high = floorID(f.To.Add(time.Millisecond))
	}
	if f.Before != uuid.Nil {
		high = earlier(high, f.Before)
	}
	return low, high
}

// Calls reads a page of the history, newest first, without the decisions of the
// legs. more says that there is another page.
//
// Errors: ErrUnavailable.
func (s *Store) Calls(ctx context.Context, f Filter) (calls []call.Call, more bool, err error) {
	low, high := f.ids()
	if calls, more, err = s.callsBetween(ctx, f, low, high); err != nil {
		return nil, false, err
	}
	return calls, more, s.readLegs(ctx, calls)
}

// legsAtOnce bounds the legs that CallPages has in memory, whatever number of
// devices the users have.
const legsAtOnce = 2000

// CallPages reads the history from its newest call to its oldest, a page of at
// most f.Limit calls at a time, without the decisions of the legs. A page is
// valid until the next one is asked for; an error is the last value. Calls that
// begin meanwhile are left out and shift no page.
//
// Each page has statements of its own, so no connection and no snapshot is held
// between two pages. A statement reads one week, which is one partition, so
// that a filter that finds little in a long history does not run into the time
// limit of statements.
//
// Errors: ErrUnavailable.
func (s *Store) CallPages(ctx context.Context, f Filter) iter.Seq2[[]call.Call, error] {
	return func(yield func([]call.Call, error) bool) {
		size := f.Limit
		for calls, err := range s.barePages(ctx, f) {
			for err == nil && len(calls) > 0 {
				asked := min(size, len(calls))
				var page []call.Call
				if page, err = s.withLegs(ctx, calls[:asked]); err != nil {
					break
				}
				if !yield(page, nil) {
					return
				}
				if size = min(2*size, f.Limit); len(page) < asked {
					size = len(page)
				}
				calls = calls[len(page):]
				clear(page) // otherwise the legs of all calls would stay in memory
			}
			if err != nil {
				yield(nil, err)
				return
			}
		}
	}
}

// barePages is CallPages without legs.
func (s *Store) barePages(ctx context.Context, f Filter) iter.Seq2[[]call.Call, error] {
	return func(yield func([]call.Call, error) bool) {
		low, high := f.ids()
		low, err := s.oldestCall(ctx, f.AppID, low, high)
		if err != nil {
			yield(nil, err)
			return
		}
		for bytes.Compare(low[:], high[:]) < 0 {
			week := later(low, weekBefore(earlier(high, floorID(s.Now()))))
			calls, more, err := s.callsBetween(ctx, f, week, high)
			if err != nil {
				yield(nil, err)
				return
			}
			if high = week; more {
				high = calls[len(calls)-1].ID
			}
			if !yield(calls, nil) {
				return
			}
		}
	}
}

// withLegs reads the legs of the first calls and returns those calls: as many
// as have at most legsAtOnce legs together, but at least one.
func (s *Store) withLegs(ctx context.Context, calls []call.Call) ([]call.Call, error) {
	for ; len(calls) > 1; calls = calls[:len(calls)/2] {
		if few, err := s.readFewLegs(ctx, calls, legsAtOnce); few || err != nil {
			return calls, err
		}
	}
	return calls, s.readLegs(ctx, calls)
}

// weekBefore is the first id of the week in which the last moment before an id
// lies.
func weekBefore(id uuid.UUID) uuid.UUID { return floorID(monday(timeOf(id).Add(-time.Millisecond))) }

// earlier and later choose between two ids by their time.
func earlier(a, b uuid.UUID) uuid.UUID {
	if bytes.Compare(a[:], b[:]) < 0 {
		return a
	}
	return b
}

func later(a, b uuid.UUID) uuid.UUID {
	if bytes.Compare(a[:], b[:]) > 0 {
		return a
	}
	return b
}

// appsOf is the part of a FROM clause that gives the apps, as a (id). Each
// app's calls are searched separately, because the indexes begin with the app:
// a page over all apps that is not merged from each app's calls would read and
// sort every call.
func appsOf(appID string) string {
	if appID == "" {
		return `apps a`
	}
	return `(SELECT @app::text) a (id)` // a constant to the planner
}

// oldestCall is the smallest call id in [low, high), or high where there is
// none.
func (s *Store) oldestCall(ctx context.Context, appID string, low, high uuid.UUID) (uuid.UUID, error) {
	rows, err := s.pool.Query(ctx, `SELECT c.id FROM `+appsOf(appID)+` CROSS JOIN LATERAL (
		SELECT c.id FROM calls c WHERE c.app_id = a.id AND c.id >= @low AND c.id < @high ORDER BY c.id LIMIT 1) c
		ORDER BY c.id LIMIT 1`, pgx.QueryExecModeCacheDescribe, pgx.NamedArgs{"app": appID, "low": low, "high": high})
	if err != nil {
		return high, translate(err)
	}
	_, err = pgx.ForEachRow(rows, []any{&high}, func() error { return nil })
	return high, translate(err)
}

// ofLegs is the part of a filter that must hold for one leg of the call. It is
// part of a statement only where the filter needs it: with an OR beside it, the
// planner would not merge calls and legs in their order, but read all legs of a
// week for each page.
const ofLegs = ` AND EXISTS (
	SELECT FROM legs l
	WHERE l.app_id = c.app_id AND l.call_id = c.id AND l.call_id >= @low AND l.call_id < @high
	  AND (@device = '' OR l.device_id = @device)
	  AND (@platform = '' OR l.platform = @platform)
	  AND (@region = '' OR l.country = @region)
	  AND (@reason = '' OR l.reason = @reason))`

// callsBetween reads the newest calls in [low, high) that a filter selects,
// without their legs. more says that there are others.
func (s *Store) callsBetween(ctx context.Context, f Filter, low, high uuid.UUID) (calls []call.Call, more bool, err error) {
	legs := ``
	if f.DeviceID != "" || f.Platform != "" || f.Region != "" || f.Reason != "" {
		legs = ofLegs
	}
	// Every other absent filter is a constant to the planner, which plans the
	// statement for its values (see the cache mode). So no OR keeps it from an
	// index, and it reads no partition in vain.
	rows, err := s.pool.Query(ctx, `SELECT `+callTable.columns+` FROM `+appsOf(f.AppID)+` CROSS JOIN LATERAL (
		SELECT c.* FROM calls c
		WHERE c.app_id = a.id AND c.id >= @low AND c.id < @high
		  AND (@user = '' OR c.callee_id = @user OR c.caller_id = @user)
		  AND (@caller = '' OR c.caller_id = @caller)
		  AND (@ref = '' OR c.ref = @ref)
		  AND (@status = '' OR c.status = @status)
		  AND (@end_reason = '' OR c.end_reason = @end_reason)
		  AND (@direction = '' OR c.direction = @direction)
		  AND (@media = '' OR c.media = @media)
		  AND (@from::timestamptz IS NULL OR c.created_at >= @from)
		  AND (@to::timestamptz IS NULL OR c.created_at < @to)`+legs+`
		ORDER BY c.id DESC LIMIT @limit) c
		ORDER BY c.id DESC LIMIT @limit`,
		pgx.QueryExecModeCacheDescribe, pgx.NamedArgs{
			"low": low, "high": high, "app": f.AppID, "user": f.UserID, "caller": f.CallerID, "ref": f.Ref, "status": string(f.Status),
			"end_reason": string(f.EndReason), "direction": string(f.Direction), "media": string(f.Media), "device": f.DeviceID,
			"platform": string(f.Platform), "region": f.Region, "reason": string(f.Reason), "from": orNull(f.From), "to": orNull(f.To), "limit": f.Limit + 1,
		})
	if err != nil {
		return nil, false, translate(err)
	}
	if calls, err = pgx.CollectRows(rows, scanCall); err != nil {
		return nil, false, translate(err)
	}
	if len(calls) > f.Limit {
		calls, more = calls[:f.Limit], true
	}
	return calls, more, nil
}
