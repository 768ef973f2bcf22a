package store

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// WebhookSecretPrefix begins every webhook's secret, as Standard Webhooks has it.
const WebhookSecretPrefix = "whsec_"

// webhookSecretBytes is the length of a secret; Standard Webhooks allows 24 to 64.
const webhookSecretBytes = 32

// OldSecretFor is how long the secret before the newest one signs too.
const OldSecretFor = 24 * time.Hour

// newSecret makes a secret for an endpoint.
func (s *Store) newSecret(appID string, id uuid.UUID) (sealed []byte, text string, err error) {
	secret := make([]byte, webhookSecretBytes)
	_, _ = rand.Read(secret) // never fails, by its documentation
	sealed, err = seal(s.config.MasterKeys, secret, secretOf(appID, id)...)
	return sealed, WebhookSecretPrefix + base64.StdEncoding.EncodeToString(secret), err
}

// secretOf names whose secret it is, for its seal.
func secretOf(appID string, id uuid.UUID) []string { return []string{appID, "webhook", id.String()} }

// RotateWebhookSecret gives an endpoint a new secret and returns its text, which
// is shown once. Until oldEnd deliveries are signed with the one before as well;
// one before that is worthless at once.
//
// Errors: ErrNotFound, ErrNoMasterKey, ErrUnavailable.
func (s *Store) RotateWebhookSecret(ctx context.Context, appID string, id uuid.UUID) (text string, oldEnd time.Time, err error) {
	sealed, text, err := s.newSecret(appID, id)
	if err != nil {
		return "", oldEnd, err
	}
	err = s.pool.QueryRow(ctx, `UPDATE webhooks SET secret = $3, old_secret = secret, old_secret_end = clock_timestamp() + $4::interval,
			version = version + 1, updated_at = clock_timestamp()
		WHERE app_id = $1 AND id = $2 RETURNING old_secret_end`, appID, id, sealed, OldSecretFor).Scan(when{&oldEnd})
	if errors.Is(err, pgx.ErrNoRows) {
		return "", oldEnd, ErrNotFound
	}
	return text, oldEnd, translate(err)
}

// openSecrets decrypts an endpoint's secrets, the newest first.
func (s *Store) openSecrets(w *OwnedWebhook, sealed, old []byte) (err error) {
	w.Secret, err = unseal(s.config.MasterKeys, sealed, secretOf(w.AppID, w.ID)...)
	if err == nil && old != nil {
		w.OldSecret, err = unseal(s.config.MasterKeys, old, secretOf(w.AppID, w.ID)...)
	}
	return err
}
