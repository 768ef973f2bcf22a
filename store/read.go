package store

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/pushwake/relay/call"
)

// Call reads one call with its legs. An empty appID looks in every app, as an
// operator may.
//
// Errors: ErrNotFound, ErrUnavailable.
func (s *Store) Call(ctx context.Context, appID string, id uuid.UUID) (call.Call, error) {
	rows, err := s.pool.Query(ctx, `SELECT `+callColumns+` FROM calls c
		WHERE c.id = $1 AND c.app_id = ANY (CASE WHEN $2 = '' THEN ARRAY(SELECT a.id FROM apps a) ELSE ARRAY[$2] END)`, id, appID)
	if err != nil {
		return call.Call{}, translate(err)
	}
	c, err := pgx.CollectExactlyOneRow(rows, scanCall)
	if errors.Is(err, pgx.ErrNoRows) {
		return call.Call{}, ErrNotFound
	}
	if err != nil {
		return call.Call{}, translate(err)
	}
	calls := []call.Call{c}
	err = s.readLegs(ctx, calls)
	return calls[0], err
}

// readLegs fills in the legs of calls.
func (s *Store) readLegs(ctx context.Context, calls []call.Call) error {
	if len(calls) == 0 {
		return nil
	}
	byID := make(map[uuid.UUID]*call.Call, len(calls))
	ids := make([]uuid.UUID, len(calls))
	apps := make([]string, len(calls))
	for i := range calls {
		byID[calls[i].ID], ids[i], apps[i] = &calls[i], calls[i].ID, calls[i].AppID
	}
	low, high := span(ids)
	rows, err := s.pool.Query(ctx, `SELECT `+legColumns+` FROM legs l
		WHERE l.app_id = ANY($1) AND l.call_id = ANY($2) AND l.call_id BETWEEN $3 AND $4
		ORDER BY l.call_id, l.device_id COLLATE "C"`, apps, ids, low, high)
	if err != nil {
		return translate(err)
	}
	legs, err := pgx.CollectRows(rows, scanLeg)
	for _, l := range legs {
		if c := byID[l.callID]; c != nil {
			c.Legs = append(c.Legs, l.Leg)
		}
	}
	return translate(err)
}

// Filter chooses calls of the history. A zero field chooses all.
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
	Region    string // a country, as the gate saw a leg's device
	Reason    call.Reason
	From, To  time.Time // of creation: from this moment, before that one
	Before    uuid.UUID // the last call of the page before
	Limit     int
}

// Calls reads a page of the history, newest first. more says that there is
// another page.
func (s *Store) Calls(ctx context.Context, f Filter) (calls []call.Call, more bool, err error) {
	low, high := uuid.Nil, uuid.Max
	if !f.From.IsZero() {
		low = floorID(f.From)
	}
	if !f.To.IsZero() {
		high = floorID(f.To)
	}
	if f.Before != uuid.Nil && string(f.Before[:]) < string(high[:]) {
		high = f.Before
	}
	// Each absent filter is a constant to the planner, since the statement is
	// planned for its values (see the cache mode): no index is lost to an OR.
	// The app is compared plainly, or its index would not give the order.
	apps := `c.app_id = @app`
	if f.AppID == "" {
		apps = `true`
	}
	rows, err := s.pool.Query(ctx, `SELECT `+callColumns+` FROM calls c
		WHERE c.id >= @low AND c.id < @high
		  AND `+apps+`
		  AND (@user = '' OR c.callee_id = @user OR c.caller_id = @user)
		  AND (@caller = '' OR c.caller_id = @caller)
		  AND (@ref = '' OR c.ref = @ref)
		  AND (@status = '' OR c.status = @status)
		  AND (@end_reason = '' OR c.end_reason = @end_reason)
		  AND (@direction = '' OR c.direction = @direction)
		  AND (@media = '' OR c.media = @media)
		  AND (@device::text || @platform::text || @region::text || @reason::text = '' OR EXISTS (
		       SELECT FROM legs l WHERE l.app_id = c.app_id AND l.call_id = c.id
		          AND (@device = '' OR l.device_id = @device)
		          AND (@platform = '' OR l.platform = @platform)
		          AND (@region = '' OR l.country = @region)
		          AND (@reason = '' OR l.reason = @reason)))
		  AND (@from::timestamptz IS NULL OR c.created_at >= @from)
		ORDER BY c.id DESC LIMIT @limit`,
		pgx.QueryExecModeCacheDescribe, pgx.NamedArgs{
			"low": low, "high": high, "app": f.AppID, "user": f.UserID, "caller": f.CallerID, "ref": f.Ref, "status": string(f.Status),
			"end_reason": string(f.EndReason), "direction": string(f.Direction), "media": string(f.Media), "device": f.DeviceID,
			"platform": string(f.Platform), "region": f.Region, "reason": string(f.Reason), "from": orNull(f.From), "limit": f.Limit + 1,
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
	return calls, more, s.readLegs(ctx, calls)
}

// LiveCalls reads the calls that are alive on a device for its user, oldest
// first, and the database's time.
func (s *Store) LiveCalls(ctx context.Context, appID, deviceID, userID string) ([]call.Call, error) {
	rows, err := s.pool.Query(ctx, `SELECT `+callColumns+` FROM calls c
		WHERE c.app_id = $1 AND c.id IN (
			SELECT l.call_id FROM legs l
			WHERE l.app_id = $1 AND l.device_id = $2 AND l.user_id = $3 AND l.ended_at IS NULL AND l.call_id >= $4)
		  AND c.id >= $4
		ORDER BY c.id`, appID, deviceID, userID, floorID(s.Now().Add(-longestCall-time.Hour)))
	if err != nil {
		return nil, translate(err)
	}
	calls, err := pgx.CollectRows(rows, scanCall)
	if err != nil {
		return nil, translate(err)
	}
	return calls, s.readLegs(ctx, calls)
}
