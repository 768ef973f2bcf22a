package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pushwake/relay/call"
)

// Server is what an operator wants to know of the database and of the relay
// processes on it.
type Server struct {
	Version   string
	Now       time.Time     // its time
	RoundTrip time.Duration // of the question; Now is half of it old
	Processes int           // other relay processes alive
	Pooling   Pooling       // what stands between this process and the database

	// Writing is for how long the oldest transaction in the cluster runs that has
	// written, as far as this user may see: it holds back the readers of the log.
	Writing time.Duration
}

// Server asks the database about itself. Errors: ErrUnavailable.
func (s *Store) Server(ctx context.Context) (Server, error) {
	v := Server{Pooling: s.pooling}
	if err := s.pool.Ping(ctx); err != nil { // connect first, so that the round trip alone is measured
		return v, translate(err)
	}
	asked := time.Now()
	err := s.pool.QueryRow(ctx, `SELECT current_setting('server_version'), clock_timestamp(),
			(SELECT count(*) FROM processes WHERE id <> $1 AND beat_at >= clock_timestamp() - $2::interval),
			(SELECT coalesce(clock_timestamp() - min(xact_start), '0') FROM pg_stat_activity WHERE backend_xid IS NOT NULL)`, s.process, s.config.SilentAfter).
		Scan(&v.Version, &v.Now, &v.Processes, &v.Writing)
	v.RoundTrip = time.Since(asked)
	return v, translate(err)
}

// DeviceGroup is how many of an app's devices have a token of a vendor in one
// environment under one bundle id.
type DeviceGroup struct {
	Channel     call.Channel // the one that the token is for
	Environment string
	BundleID    string // "" where they registered none
	Devices     int
}

// APNsDevices counts an app's devices with APNs tokens by channel, environment
// and bundle id. Errors: ErrUnavailable.
func (s *Store) APNsDevices(ctx context.Context, appID string) ([]DeviceGroup, error) {
	rows, err := s.pool.Query(ctx, `SELECT t.name, d.environment, d.bundle_id, count(*)::int
		FROM devices d JOIN device_tokens t USING (app_id, device_id)
		WHERE d.app_id = $1 AND d.deleted_at IS NULL AND t.name = ANY ($2)
		GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3`, appID, []call.TokenName{call.TokenAPNsVoIP, call.TokenAPNsAlert})
	if err != nil {
		return nil, translate(err)
	}
	groups, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (g DeviceGroup, err error) {
		var name call.TokenName
		err = row.Scan(&name, &g.Environment, &g.BundleID, &g.Devices)
		if g.Channel = call.APNsAlert; name == call.TokenAPNsVoIP {
			g.Channel = call.APNsVoIP
		}
		return g, err
	})
	return groups, translate(err)
}
