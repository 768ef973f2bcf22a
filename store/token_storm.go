package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pushwake/relay/call"
)

// TokenAlarm tells of a storm: so many tokens were to die at once that none did.
type TokenAlarm struct {
	AppID    string
	Name     call.TokenName
	RaisedAt time.Time
	LastAt   time.Time // when the last of them was to die
	Spared   int
	Alive    int // tokens of this name that the app had when the alarm was raised
}

// TokenAlarms lists the alarms of which the last token was to die since a time,
// the newest first. Errors: ErrUnavailable.
func (s *Store) TokenAlarms(ctx context.Context, since time.Time) ([]TokenAlarm, error) {
	rows, err := s.pool.Query(ctx, `SELECT app_id, name, raised_at, last_at, spared, alive FROM token_alarms WHERE last_at >= $1 ORDER BY raised_at DESC`, since)
	if err != nil {
		return nil, translate(err)
	}
	alarms, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (a TokenAlarm, err error) {
		err = row.Scan(&a.AppID, &a.Name, when{&a.RaisedAt}, when{&a.LastAt}, &a.Spared, &a.Alive)
		return a, err
	})
	return alarms, translate(err)
}

// sweepTokens judges the condemned tokens of each app and name where one has
// waited for the window: only then can it be said whether they are part of a
// storm. Any number of processes may do it at once.
func (s *Store) sweepTokens(ctx context.Context) error {
	rows, err := s.pool.Query(ctx, `SELECT app_id, name FROM condemned_tokens
		GROUP BY app_id, name HAVING min(condemned_at) <= now() - $1::interval`, stormWindow)
	if err != nil {
		return translate(err)
	}
	type kind struct {
		app  string
		name call.TokenName
	}
	var kinds []kind
	var k kind
	if _, err := pgx.ForEachRow(rows, []any{&k.app, &k.name}, func() error { kinds = append(kinds, k); return nil }); err != nil {
		return translate(err)
	}
	var errs error
	for _, k := range kinds {
		errs = errors.Join(errs, s.judgeTokens(ctx, k.app, k.name))
	}
	return errs
}

// judgeTokens has the condemned tokens of an app die that have waited for the
// window, unless they are part of a storm: then all are spared, and so are those
// that follow within the window. It decides under a lock of its own, so that of
// two processes one raises the alarm.
func (s *Store) judgeTokens(ctx context.Context, app string, name call.TokenName) error {
	var raised *TokenAlarm
	spared, died := 0, 0
	err := s.inTransaction(ctx, func(tx pgx.Tx) error {
		raised, spared, died = nil, 0, 0
		if err := lock(ctx, tx, lockKey("condemned tokens", app, string(name))); err != nil {
			return err
		}
		a := TokenAlarm{AppID: app, Name: name}
		var most int // that would die within one window
		var first time.Time
		err := tx.QueryRow(ctx, `SELECT clock_timestamp(), coalesce(max(n), 0), count(*), min(condemned_at), max(condemned_at) FROM (
				SELECT c.condemned_at, count(*) OVER (ORDER BY c.condemned_at RANGE BETWEEN $3::interval PRECEDING AND CURRENT ROW) AS n
				FROM condemned_tokens c JOIN device_tokens t ON t.app_id = c.app_id AND t.name = c.name AND t.device_id = c.device_id
					AND t.token = c.token AND t.state <> 'dead' AND t.registered_at < c.since
				WHERE c.app_id = $1 AND c.name = $2) c`, app, name, stormWindow).Scan(&a.RaisedAt, &most, &a.Spared, when{&first}, when{&a.LastAt})
		if err != nil {
			return err
		}
		var known, last time.Time // of the alarm before
		err = tx.QueryRow(ctx, `SELECT raised_at, last_at FROM token_alarms WHERE app_id = $1 AND name = $2 ORDER BY raised_at DESC LIMIT 1`, app, name).Scan(&known, &last)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		goesOn := err == nil && a.Spared > 0 && first.Sub(last) <= stormWindow
		// No more are counted than decide it: fewer than twice as many are less than that.
		if err := tx.QueryRow(ctx, `SELECT count(*) FROM (SELECT FROM device_tokens t WHERE t.app_id = $1 AND t.name = $2 AND t.state <> 'dead' LIMIT $3) t`,
			app, name, 2*most).Scan(&a.Alive); err != nil {
			return err
		}
		switch {
		case goesOn:
			spared = a.Spared
			_, err = tx.Exec(ctx, `UPDATE token_alarms SET last_at = greatest(last_at, $4), spared = spared + $5 WHERE app_id = $1 AND name = $2 AND raised_at = $3`,
				app, name, known, a.LastAt, a.Spared)
		case most >= stormTokens && a.Alive < 2*most:
			raised, spared = &a, a.Spared
			_, err = tx.Exec(ctx, `INSERT INTO token_alarms (app_id, name, raised_at, last_at, spared, alive) VALUES ($1, $2, $3, $4, $5, $6)`,
				app, name, a.RaisedAt, a.LastAt, a.Spared, a.Alive)
		default:
			died, err = executeTokens(ctx, tx, app, name, a.RaisedAt)
			return err
		}
		if err == nil {
			_, err = tx.Exec(ctx, `DELETE FROM condemned_tokens WHERE app_id = $1 AND name = $2`, app, name)
		}
		return err
	})
	if err != nil {
		return translate(err)
	}
	if died > 0 {
		s.tail.committed()
	}
	s.metrics.tokensSpared.WithLabelValues(string(name)).Add(float64(spared))
	if raised != nil {
		s.metrics.tokenAlarms.WithLabelValues(string(name)).Inc()
		s.log.Error("so many tokens were to die at once that none was marked: check the app's credential and the vendor's console",
			"app_id", app, "token", name, "condemned", raised.Spared, "alive", raised.Alive)
	}
	return nil
}

// executeTokens marks the tokens dead that were condemned a window ago, and
// returns how many had waited so long.
func executeTokens(ctx context.Context, tx pgx.Tx, app string, name call.TokenName, now time.Time) (int, error) {
	rows, err := tx.Query(ctx, `DELETE FROM condemned_tokens WHERE app_id = $1 AND name = $2 AND condemned_at <= $3
		RETURNING device_id, token, since, evidence::text`, app, name, now.Add(-stormWindow))
	if err != nil {
		return 0, err
	}
	b := &pgx.Batch{}
	var device, token, evidence string
	var since time.Time
	if _, err := pgx.ForEachRow(rows, []any{&device, &token, &since, &evidence}, func() error {
		b.Queue(`WITH marked AS (UPDATE device_tokens t SET state = 'dead' WHERE `+thisToken+` RETURNING t.device_id) `+tellDead,
			app, name, device, token, since, newID(now), now, evidence)
		return nil
	}); err != nil {
		return 0, err
	}
	return b.Len(), tx.SendBatch(ctx, b).Close()
}
