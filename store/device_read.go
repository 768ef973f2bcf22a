package store

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pushwake/relay/call"
)

// querier is what a pool and a transaction have in common.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// registered reads a device, with the decision that an invitation would make
// now.
func (s *Store) registered(ctx context.Context, q querier, appID, deviceID string, now time.Time) (Registered, error) {
	found, _, err := s.readDevices(ctx, q, appID, `d.device_id = @what`, deviceID, now)
	if err != nil {
		return Registered{}, err
	}
	if len(found) == 0 {
		return Registered{}, ErrNotFound
	}
	return found[0], nil
}

// readDevices reads devices of an app, in the order of their ids, and decides
// about them as about those of one user.
func (s *Store) readDevices(ctx context.Context, q querier, appID, where, what string, now time.Time) ([]Registered, tenant, error) {
	tenants := map[string]tenant{}
	var devices []deviceRow
	created := map[string][2]time.Time{}
	b := &pgx.Batch{}
	queueTenants(b, []string{appID}, tenants)
	b.Queue(`SELECT `+deviceColumns+` FROM devices d WHERE d.app_id = @app AND d.deleted_at IS NULL AND `+where,
		s.deviceArgs(now, pgx.NamedArgs{"app": appID, "what": what})).Query(func(rows pgx.Rows) (err error) {
		devices, err = pgx.CollectRows(rows, scanDevice)
		return err
	})
	b.Queue(`SELECT d.device_id, d.created_at, d.updated_at FROM devices d WHERE d.app_id = @app AND d.deleted_at IS NULL AND `+where,
		pgx.NamedArgs{"app": appID, "what": what}).Query(func(rows pgx.Rows) error {
		var id string
		var at [2]time.Time
		_, err := pgx.ForEachRow(rows, []any{&id, &at[0], &at[1]}, func() error {
			created[id] = [2]time.Time{at[0].UTC(), at[1].UTC()}
			return nil
		})
		return err
	})
	if err := q.SendBatch(ctx, b).Close(); err != nil {
		return nil, tenant{}, err
	}
	if len(devices) == 0 {
		return nil, tenant{}, nil
	}
	t, plain := tenants[appID], make([]call.Device, len(devices))
	for i, d := range devices {
		plain[i] = d.Device
	}
	plan := t.rules.Plan(plain, t.configured, t.policy.MaxDevices, now)
	out := make([]Registered, len(plan))
	for i, d := range plan {
		out[i] = Registered{Device: d.Device, Decision: d, CreatedAt: created[d.Device.ID][0], UpdatedAt: created[d.Device.ID][1]}
	}
	return out, t, nil
}

// sameUser finds the devices of a device's user.
const sameUser = `d.user_id = (SELECT o.user_id FROM devices o WHERE o.app_id = @app AND o.device_id = @what AND o.deleted_at IS NULL)`

// Device reads a device that is registered, with what an invitation to its user
// would now make of it.
//
// Errors: ErrNotFound, ErrUnavailable.
func (s *Store) Device(ctx context.Context, appID, deviceID string) (Registered, error) {
	found, _, err := s.readDevices(ctx, s.pool, appID, sameUser, deviceID, s.Now())
	if err != nil {
		return Registered{}, translate(err)
	}
	i := slices.IndexFunc(found, func(d Registered) bool { return d.ID == deviceID })
	if i < 0 {
		return Registered{}, ErrNotFound
	}
	return found[i], nil
}

// UserDevices reads a user's devices, in the order of their ids.
func (s *Store) UserDevices(ctx context.Context, appID, userID string) ([]Registered, error) {
	found, _, err := s.readDevices(ctx, s.pool, appID, `d.user_id = @what`, userID, s.Now())
	return found, translate(err)
}

// Reachability reads those of a user's devices that an invitation now would keep
// a leg for, in the order of their ids, and counts the others.
func (s *Store) Reachability(ctx context.Context, appID, userID string) (devices []Registered, more int, err error) {
	found, t, err := s.readDevices(ctx, s.pool, appID, `d.user_id = @what`, userID, s.Now())
	if err != nil {
		return nil, 0, translate(err)
	}
	plan, byID := make([]call.Decision, len(found)), make(map[string]Registered, len(found))
	for i, d := range found {
		plan[i], byID[d.ID] = d.Decision, d
	}
	plan, more = call.Keep(plan, t.policy.MaxDevices)
	for _, d := range plan {
		devices = append(devices, byID[d.Device.ID])
	}
	return devices, more, nil
}
