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

// DND is a user's do-not-disturb setting.
type DND struct {
	call.DND
	Active    bool // at the moment of reading
	UpdatedAt time.Time
}

// PutDND stores a user's do-not-disturb setting, replacing an older one. It
// applies to every invitation that is made after PutDND has returned.
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

// DND reads a user's do-not-disturb setting. Errors: ErrNotFound where there is
// none, ErrUnavailable.
func (s *Store) DND(ctx context.Context, appID, userID string) (DND, error) {
	return s.dnd(ctx, `SELECT wish, updated_at, clock_timestamp() FROM dnd WHERE app_id = $1 AND user_id = $2`, appID, userID)
}

// DeleteDND deletes a user's do-not-disturb setting. Errors: ErrNotFound where
// there is none, ErrUnavailable.
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

// dndRecord is a do-not-disturb setting as stored.
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

// readDND decodes a do-not-disturb setting; no data is the empty setting.
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

// zones caches the time zones that were loaded: loading one takes longer than
// the rest of a decision.
var zones sync.Map

// zone is a time zone by its name; nil for none. A zone that this machine does
// not know counts as none, so its windows keep no call away.
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
