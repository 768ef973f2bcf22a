package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// querier is what a pool and a transaction have in common.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// registered reads a device and decides about it as an invitation now would.
func (s *Store) registered(ctx context.Context, q querier, appID, deviceID string, now time.Time) (Registered, error) {
	found, err := s.readDevices(ctx, q, appID, `d.device_id = @what`, deviceID, now)
	if err != nil {
		return Registered{}, err
	}
	if len(found) == 0 {
		return Registered{}, ErrNotFound
	}
	return found[0], nil
}

func (s *Store) readDevices(ctx context.Context, q querier, appID, where, what string, now time.Time) ([]Registered, error) {
	tenants := map[string]tenant{}
	var devices []deviceRow
	created := map[string][2]time.Time{}
	b := &pgx.Batch{}
	queueTenants(b, []string{appID}, tenants)
	b.Queue(`SELECT `+deviceColumns+` FROM devices d WHERE d.app_id = @app AND d.deleted_at IS NULL AND `+where+` ORDER BY d.device_id COLLATE "C"`,
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
		return nil, err
	}
	out := make([]Registered, 0, len(devices))
	for _, d := range devices {
		t := tenants[d.appID]
		out = append(out, Registered{
			Device: d.Device, Decision: t.rules.Decide(d.Device, t.configured, now), CreatedAt: created[d.ID][0], UpdatedAt: created[d.ID][1],
		})
	}
	return out, nil
}

// Device reads a device that is registered.
//
// Errors: ErrNotFound, ErrUnavailable.
func (s *Store) Device(ctx context.Context, appID, deviceID string) (Registered, error) {
	d, err := s.registered(ctx, s.pool, appID, deviceID, s.Now())
	return d, translate(err)
}

// UserDevices reads a user's devices, in the order of their ids.
func (s *Store) UserDevices(ctx context.Context, appID, userID string) ([]Registered, error) {
	found, err := s.readDevices(ctx, s.pool, appID, `d.user_id = @what`, userID, s.Now())
	return found, translate(err)
}
