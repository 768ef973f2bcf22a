package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pushwake/relay/call"
)

// DND is a user's wish not to be disturbed, as it is kept.
type DND struct {
	call.DND
	Active    bool // at the moment of reading
	UpdatedAt time.Time
}

// PutDND keeps a user's wish in the place of an older one. Every invitation
// that comes after it has returned is decided by it.
//
// Errors: ErrNotFound for an unknown app, ErrUnavailable.
func (s *Store) PutDND(ctx context.Context, appID, userID string, wish call.DND) (DND, error) {
	kept, err := json.Marshal(recordDND(wish))
	if err != nil {
		return DND{}, err
	}
	return s.dnd(ctx, `INSERT INTO dnd (app_id, user_id, wish, updated_at) VALUES ($1, $2, $3, clock_timestamp())
		ON CONFLICT (app_id, user_id) DO UPDATE SET wish = excluded.wish, updated_at = excluded.updated_at
		RETURNING wish, updated_at, clock_timestamp()`, appID, userID, kept)
}

// DND reads a user's wish. Errors: ErrNotFound where there is none, ErrUnavailable.
func (s *Store) DND(ctx context.Context, appID, userID string) (DND, error) {
	return s.dnd(ctx, `SELECT wish, updated_at, clock_timestamp() FROM dnd WHERE app_id = $1 AND user_id = $2`, appID, userID)
}

// DeleteDND forgets a user's wish. Errors: ErrNotFound where there is none,
// ErrUnavailable.
func (s *Store) DeleteDND(ctx context.Context, appID, userID string) error {
	tag, err := s.pool.Exec(ctx, `DELETE FROM dnd WHERE app_id = $1 AND user_id = $2`, appID, userID)
	if err == nil && tag.RowsAffected() == 0 {
		return ErrNotFound
	}
	return translate(err)
}

func (s *Store) dnd(ctx context.Context, sql string, args ...any) (DND, error) {
	var out DND
	var wish []byte
	var now time.Time
	err := s.pool.QueryRow(ctx, sql, args...).Scan(&wish, when{&out.UpdatedAt}, &now)
	if errors.Is(err, pgx.ErrNoRows) {
		return out, ErrNotFound
	}
	if err != nil {
		return out, translate(err)
	}
	out.DND, err = readDND(wish)
	out.Active = out.DND.Active(now)
	return out, err
}

// dndRecord is a wish as stored.
type dndRecord struct {
	Windows []windowRecord `json:"windows,omitempty"`
	Zone    string         `json:"zone,omitempty"`
	Until   time.Time      `json:"until,omitzero"`
}

type windowRecord struct {
	Days []call.Day `json:"days,omitempty"`
	From int        `json:"from"` // minutes after midnight
	To   int        `json:"to"`
}

func recordDND(d call.DND) dndRecord {
	r := dndRecord{Until: d.Until.UTC()}
	if d.Zone != nil {
		r.Zone = d.Zone.String()
	}
	for _, w := range d.Windows {
		r.Windows = append(r.Windows, windowRecord(w))
	}
	return r
}

// readDND reads a wish; of nothing it is the wish for nothing.
func readDND(b []byte) (call.DND, error) {
	var r dndRecord
	if err := unmarshalIfAny(b, &r); err != nil {
		return call.DND{}, fmt.Errorf("do not disturb: %w", err)
	}
	d := call.DND{Zone: zone(r.Zone), Until: r.Until}
	for _, w := range r.Windows {
		d.Windows = append(d.Windows, call.Window(w))
	}
	return d, nil
}

// zones keeps the time zones that were read: reading one costs more than the
// rest of a plan.
var zones sync.Map

// zone is a time zone by its name; nil for none. One that this machine does not
// know, though another did, keeps no call from its callee.
func zone(name string) *time.Location {
	if name == "" {
		return nil
	}
	if z, ok := zones.Load(name); ok {
		return z.(*time.Location)
	}
	z, err := time.LoadLocation(name)
	if err != nil {
		return nil
	}
	zones.Store(name, z)
	return z
}
