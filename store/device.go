package store

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pushwake/relay/call"
)

// Registration is what a device says about itself, or its backend says for it.
type Registration struct {
	AppID  string
	Device call.Device // without its tokens and evidence
	// Tokens by name; "" removes one. Names that are absent stay as they are.
	Tokens map[call.TokenName]string
	// Region is the evidence given now, by source; "" removes one.
	Region map[call.EvidenceSource]string
	// ByDevice: the device registers itself. It cannot take an install away from
	// another user, and TokenIssuedAt is when its JWT was minted.
	ByDevice      bool
	TokenIssuedAt time.Time
	IP            netip.Addr // of the device's own request
}

// Registered is a device, with the decision that a call to it would get now.
type Registered struct {
	call.Device
	Decision  call.Decision
	CreatedAt time.Time
	UpdatedAt time.Time
}

// PutDevice registers a device or refreshes its registration. The registration
// is always stored; the decision says whether the device would ring. A token
// that another device or user had moves to this one. An install that had
// another user no longer rings for that user.
//
// Errors: ErrForeignDevice where a device's own JWT is for another user or older
// than a log-out; ErrNotFound for an unknown app; ErrUnavailable.
func (s *Store) PutDevice(ctx context.Context, r Registration) (Registered, error) {
	var out Registered
	for {
		// The install or its tokens may belong to other users, all of whom must
		// be locked, in order. So the owners are read first, and read again
		// under the locks.
		before, err := s.install(ctx, s.pool, r)
		if err != nil {
			return out, translate(err)
		}
		again := false
		err = s.inTransaction(ctx, func(tx pgx.Tx) error {
			if err := lock(ctx, tx, r.locks(before)...); err != nil {
				return err
			}
			now, err := s.putDevice(ctx, tx, r, before)
			if errors.Is(err, errOwnerChanged) {
				again = true
				return err
			}
			if err != nil {
				return err
			}
			out, err = s.registered(ctx, tx, r.AppID, r.Device.ID, now)
			return err
		})
		if !again {
			s.tail.committed()
			if err == nil {
				err = s.leaveCalls(ctx, r.AppID, r.Device.ID, r.Device.UserID)
			}
			return out, translate(err)
		}
	}
}

// install is what a registration finds: the install's present user, and the
// users who hold its tokens.
type install struct {
	now        time.Time
	user       string // "" for a new one
	deletedAt  *time.Time
	ownedSince *time.Time
	holders    []string // users, in order
}

func (s *Store) install(ctx context.Context, q querier, r Registration) (install, error) {
	var names, tokens []string
	for name, token := range r.Tokens {
		names, tokens = append(names, string(name)), append(tokens, token)
	}
	rows, err := q.Query(ctx, `SELECT clock_timestamp(), coalesce(d.user_id, ''), d.deleted_at, d.owned_since,
			ARRAY(SELECT DISTINCT h.user_id FROM unnest($3::text[], $4::text[]) AS given (name, token)
				JOIN device_tokens t ON t.app_id = $1 AND t.name = given.name AND t.token = given.token
				JOIN devices h ON h.app_id = t.app_id AND h.device_id = t.device_id ORDER BY 1)
		FROM (SELECT $1::text AS app_id, $2::text AS device_id) i LEFT JOIN devices d USING (app_id, device_id)`, r.AppID, r.Device.ID, names, tokens)
	if err != nil {
		return install{}, err
	}
	return pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) (i install, err error) {
		err = row.Scan(&i.now, &i.user, &i.deletedAt, &i.ownedSince, &i.holders)
		return i, err
	})
}

var errOwnerChanged = errors.New("the install changed hands")

func (s *Store) owner(ctx context.Context, appID, deviceID string) (user string, err error) {
	err = s.pool.QueryRow(ctx, `SELECT user_id FROM devices WHERE app_id = $1 AND device_id = $2`, appID, deviceID).Scan(&user)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	return user, translate(err)
}

// locks lists the locks of the tokens, and of all users whom the install or a
// token leaves or joins, so that no invitation to one of them reads a device
// that is about to move.
func (r *Registration) locks(before install) []int64 {
	keys := []int64{lockKey("user", r.AppID, r.Device.UserID), lockKey("device", r.AppID, r.Device.ID)}
	for _, user := range append(before.holders, before.user) {
		if user != "" {
			keys = append(keys, lockKey("user", r.AppID, user))
		}
	}
	for name, token := range r.Tokens {
		if token != "" {
			keys = append(keys, lockKey("token", r.AppID, string(name), token))
		}
	}
	return keys
}

func (s *Store) putDevice(ctx context.Context, tx pgx.Tx, r Registration, before install) (now time.Time, err error) {
	found, err := s.install(ctx, tx, r)
	if err != nil {
		return now, err
	}
	now = found.now
	if found.user != before.user || !slices.Equal(found.holders, before.holders) {
		return now, errOwnerChanged
	}
	if r.ByDevice && !r.mayRegister(found) {
		return now, ErrForeignDevice
	}
	d := r.Device
	_, err = tx.Exec(ctx, `INSERT INTO devices (app_id, device_id, user_id, platform, device_type, system_version, emulator, environment, bundle_id, locale, call_ui,
			created_at, updated_at, owned_since)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12, $12)
		ON CONFLICT (app_id, device_id) DO UPDATE SET user_id = excluded.user_id, platform = excluded.platform, device_type = excluded.device_type,
			system_version = excluded.system_version, emulator = excluded.emulator, environment = excluded.environment, bundle_id = excluded.bundle_id,
			locale = excluded.locale, call_ui = excluded.call_ui, updated_at = excluded.updated_at, deleted_at = NULL,
			owned_since = CASE WHEN devices.user_id = excluded.user_id AND devices.deleted_at IS NULL THEN devices.owned_since ELSE excluded.owned_since END`,
		r.AppID, d.ID, d.UserID, d.Platform, d.Type, d.SystemVersion, d.Emulator, d.Environment, d.BundleID, d.Locale, d.CallUI, now)
	if err != nil {
		return now, err
	}
	b := &pgx.Batch{}
	if found.user != "" && found.user != d.UserID {
		// The evidence of the region was given for another account.
		b.Queue(`DELETE FROM device_regions WHERE app_id = $1 AND device_id = $2`, r.AppID, d.ID)
		b.Queue(endFeedsOfDevice, r.AppID, d.ID)
	}
	r.queueTokens(b, now)
	r.queueRegion(b, now)
	s.queueRegisteredEvent(b, r, now)
	return now, tx.SendBatch(ctx, b).Close()
}

// mayRegister reports whether a device's own JWT may register the install. A
// JWT of another user may take the install over if it is newer than the present
// owner's registration: the phone changed accounts. An older JWT belongs to a
// former account.
func (r *Registration) mayRegister(found install) bool {
	return !refusesJWT(found.user, found.deletedAt, r.Device.UserID, r.TokenIssuedAt) ||
		found.deletedAt == nil && r.TokenIssuedAt.After(*found.ownedSince)
}

// refusesJWT reports whether a device's JWT is no longer valid for an install,
// because the install belongs to another user now, or was deleted after the JWT
// was minted.
func refusesJWT(owner string, deletedAt *time.Time, user string, issuedAt time.Time) bool {
	if owner == "" {
		return false
	}
	if deletedAt != nil {
		return !issuedAt.After(*deletedAt)
	}
	return owner != user
}

// queueTokens stores the given tokens. A token of another device moves to this
// one. A token that is registered, anew or again, counts as alive.
func (r *Registration) queueTokens(b *pgx.Batch, now time.Time) {
	for _, name := range call.TokenNames {
		token, given := r.Tokens[name]
		if !given {
			continue
		}
		if token == "" {
			b.Queue(`DELETE FROM device_tokens WHERE app_id = $1 AND device_id = $2 AND name = $3`, r.AppID, r.Device.ID, name)
			continue
		}
		b.Queue(`DELETE FROM device_tokens WHERE app_id = $1 AND name = $2 AND token = $3 AND device_id <> $4`, r.AppID, name, token, r.Device.ID)
		b.Queue(`INSERT INTO device_tokens (app_id, device_id, name, token, state, registered_at) VALUES ($1, $2, $3, $4, 'alive', $5)
			ON CONFLICT (app_id, device_id, name) DO UPDATE SET token = excluded.token, state = 'alive', registered_at = excluded.registered_at`,
			r.AppID, r.Device.ID, name, token, now)
	}
}

func (r *Registration) queueRegion(b *pgx.Batch, now time.Time) {
	for _, source := range call.EvidenceSources {
		country, given := r.Region[source]
		if !given {
			continue
		}
		if country == "" {
			b.Queue(`DELETE FROM device_regions WHERE app_id = $1 AND device_id = $2 AND source = $3`, r.AppID, r.Device.ID, source)
			continue
		}
		b.Queue(upsertRegion, r.AppID, r.Device.ID, source, country, now)
	}
	if country, ok := call.CountryOfIP(r.IP); r.ByDevice && ok {
		b.Queue(upsertRegion, r.AppID, r.Device.ID, call.FromIP, country, now)
	}
}

// queueRegisteredEvent tells of the registration in the app's log.
func (s *Store) queueRegisteredEvent(b *pgx.Batch, r Registration, now time.Time) {
	data, _ := json.Marshal(map[string]any{ // plain strings cannot fail
		"device_id": r.Device.ID, "user_id": r.Device.UserID, "platform": r.Device.Platform, "device_type": r.Device.Type,
	})
	b.Queue(`INSERT INTO events (app_id, id, type, at, data) VALUES ($1, $2, $3, $4, $5)`, r.AppID, newID(now), call.EventDeviceRegistered, now, data)
}

// DeleteDevice deletes a device: it no longer rings, and its JWTs are refused.
// userID, if not empty, must be the device's user.
//
// Errors: ErrNotFound, ErrUnavailable.
func (s *Store) DeleteDevice(ctx context.Context, appID, deviceID, userID string) error {
	owner, err := s.owner(ctx, appID, deviceID)
	if err != nil {
		return err
	}
	if owner == "" || userID != "" && owner != userID {
		return ErrNotFound
	}
	err = s.inTransaction(ctx, func(tx pgx.Tx) error {
		if err := lock(ctx, tx, lockKey("user", appID, owner), lockKey("device", appID, deviceID)); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `UPDATE devices SET deleted_at = clock_timestamp()
			WHERE app_id = $1 AND device_id = $2 AND user_id = $3 AND deleted_at IS NULL`, appID, deviceID, owner)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return ErrNotFound
		}
		for _, table := range []string{"device_tokens", "device_regions"} {
			if _, err := tx.Exec(ctx, `DELETE FROM `+table+` WHERE app_id = $1 AND device_id = $2`, appID, deviceID); err != nil {
				return err
			}
		}
		_, err = tx.Exec(ctx, endFeedsOfDevice, appID, deviceID)
		return err
	})
	if err != nil && !errors.Is(err, ErrNotFound) {
		return translate(err)
	}
	s.tail.committed()
	return errors.Join(err, s.leaveCalls(ctx, appID, deviceID, "")) // also of one that was deleted before
}

// CheckInstall checks that a device's JWT is still valid for its install. The
// JWT of an install that was never registered is.
//
// Errors: ErrForeignDevice, ErrUnavailable.
func (s *Store) CheckInstall(ctx context.Context, appID, deviceID, userID string, issuedAt time.Time) error {
	var owner string
	var deletedAt *time.Time
	err := s.pool.QueryRow(ctx, `SELECT user_id, deleted_at FROM devices WHERE app_id = $1 AND device_id = $2`, appID, deviceID).Scan(&owner, &deletedAt)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return translate(err)
	}
	if refusesJWT(owner, deletedAt, userID, issuedAt) {
		return ErrForeignDevice
	}
	return nil
}
