package store

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Principal is who an API key speaks for.
type Principal string

const (
	BackendKey Principal = "backend" // one app's VoIP server
	AdminKey   Principal = "admin"   // an operator
)

// KeyPrefix begins every API key, so that secret scanners recognize one.
const KeyPrefix = "rk_"

// Key is an API key without its secret, of which only a hash is kept.
type Key struct {
	ID        uuid.UUID
	AppID     string // "" for an admin's
	Principal Principal
	Label     string
	CreatedAt time.Time
	RevokedAt time.Time // zero while it is valid
}

// CreateKey makes an API key and returns its text, which is shown once.
//
// Errors: ErrNotFound for an unknown app, ErrUnavailable.
func (s *Store) CreateKey(ctx context.Context, appID string, p Principal, label string) (text string, k Key, err error) {
	secret := make([]byte, 24)
	_, _ = rand.Read(secret) // never fails, by its documentation
	text = KeyPrefix + base64.RawURLEncoding.EncodeToString(secret)
	k, err = s.ImportKey(ctx, appID, p, label, text)
	return text, k, err
}

// ImportKey stores a key whose text is known already. Storing it again is no
// error and does not revive a revoked key.
//
// Errors: ErrExists where the text is another app's or principal's key,
// ErrNotFound for an unknown app, ErrUnavailable.
func (s *Store) ImportKey(ctx context.Context, appID string, p Principal, label, text string) (Key, error) {
	k := Key{ID: newID(s.Now()), AppID: appID, Principal: p, Label: label}
	err := s.pool.QueryRow(ctx, `INSERT INTO keys (id, app_id, principal, hash, label) VALUES ($1, nullif($2, ''), $3, $4, $5)
		ON CONFLICT (hash) DO UPDATE SET label = excluded.label
		WHERE keys.app_id IS NOT DISTINCT FROM excluded.app_id AND keys.principal = excluded.principal
		RETURNING id, created_at, revoked_at`, k.ID, appID, p, hashKey(text), label).Scan(&k.ID, when{&k.CreatedAt}, when{&k.RevokedAt})
	if errors.Is(err, pgx.ErrNoRows) {
		return k, ErrExists
	}
	return k, translate(err)
}

// FindKey finds a valid key by its text. Errors: ErrNotFound, ErrUnavailable.
func (s *Store) FindKey(ctx context.Context, text string) (Key, error) {
	var k Key
	err := s.pool.QueryRow(ctx, `SELECT id, coalesce(app_id, ''), principal, label, created_at FROM keys WHERE hash = $1 AND revoked_at IS NULL`, hashKey(text)).
		Scan(&k.ID, &k.AppID, &k.Principal, &k.Label, &k.CreatedAt)
	if errors.Is(err, pgx.ErrNoRows) {
		return k, ErrNotFound
	}
	return k, translate(err)
}

// Keys lists all keys, oldest first.
func (s *Store) Keys(ctx context.Context) ([]Key, error) {
	rows, err := s.pool.Query(ctx, `SELECT id, coalesce(app_id, ''), principal, label, created_at, revoked_at FROM keys ORDER BY id`)
	if err != nil {
		return nil, translate(err)
	}
	keys, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Key, error) {
		var k Key
		err := row.Scan(&k.ID, &k.AppID, &k.Principal, &k.Label, when{&k.CreatedAt}, when{&k.RevokedAt})
		return k, err
	})
	return keys, translate(err)
}

// RevokeKey revokes a key. Errors: ErrNotFound, ErrUnavailable.
func (s *Store) RevokeKey(ctx context.Context, id uuid.UUID) error {
	tag, err := s.pool.Exec(ctx, `UPDATE keys SET revoked_at = coalesce(revoked_at, clock_timestamp()) WHERE id = $1`, id)
	if err == nil && tag.RowsAffected() == 0 {
		return ErrNotFound
	}
	return translate(err)
}

// hashKey needs no salt and no slowness: a key is 192 random bits.
func hashKey(text string) []byte {
	h := sha256.Sum256([]byte(text))
	return h[:]
}
