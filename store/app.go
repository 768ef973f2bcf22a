package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pushwake/relay/call"
)

// App is one tenant.
type App struct {
	ID        string
	Policy    call.Policy
	Vendors   []call.Vendor // it has credentials for
	CreatedAt time.Time
}

// policyRecord is a policy as stored: what is absent is the default.
type policyRecord struct {
	Reject         call.RejectPolicy  `json:"reject,omitempty"`
	Payload        call.PayloadPolicy `json:"payload,omitempty"`
	MaxCallSeconds int                `json:"max_call_seconds,omitempty"`
	RegionRules    string             `json:"region_rules,omitempty"`
	MaxDevices     int                `json:"max_devices,omitempty"`
	RetentionDays  int                `json:"retention_days,omitempty"`

	APNsVoIPExpirationSeconds int `json:"apns_voip_expiration_seconds,omitempty"`

	Escalation map[call.Platform][]call.Channel `json:"escalation,omitempty"` // a platform that it does not name has the default

	NoticeTexts map[string]noticeTextRecord `json:"notice_texts,omitempty"` // by locale
}

type noticeTextRecord struct {
	Voice string `json:"voice,omitempty"`
	Video string `json:"video,omitempty"`
}

func recordPolicy(p call.Policy) policyRecord {
	r := policyRecord{
		Reject: p.Reject, Payload: p.Payload, MaxCallSeconds: int(p.MaxDuration / time.Second), RegionRules: p.Rules,
		MaxDevices: p.MaxDevices, RetentionDays: int(p.Retention / day),
		APNsVoIPExpirationSeconds: int(p.APNsVoIPExpiration / time.Second), Escalation: p.Escalation,
	}
	for locale, text := range p.NoticeTexts {
		if r.NoticeTexts == nil {
			r.NoticeTexts = map[string]noticeTextRecord{}
		}
		r.NoticeTexts[locale] = noticeTextRecord(text)
	}
	return r
}

func readPolicy(b []byte) (call.Policy, error) {
	r := recordPolicy(call.DefaultPolicy())
	if err := json.Unmarshal(b, &r); err != nil {
		return call.Policy{}, err
	}
	p := call.Policy{
		Reject: r.Reject, Payload: r.Payload, MaxDuration: time.Duration(r.MaxCallSeconds) * time.Second, Rules: r.RegionRules,
		MaxDevices: r.MaxDevices, Retention: time.Duration(r.RetentionDays) * day,
		APNsVoIPExpiration: time.Duration(r.APNsVoIPExpirationSeconds) * time.Second, Escalation: r.Escalation,
	}
	for locale, text := range r.NoticeTexts {
		if p.NoticeTexts == nil {
			p.NoticeTexts = map[string]call.NoticeText{}
		}
		p.NoticeTexts[locale] = call.NoticeText(text)
	}
	return p, nil
}

// channelsOf lists the channels that an app with credentials for these vendors
// can use.
func channelsOf(vendors []string) map[call.Channel]bool {
	open := map[call.Channel]bool{}
	for _, c := range call.Channels {
		if slices.Contains(vendors, string(c.Vendor())) {
			open[c] = true
		}
	}
	return open
}

// ChangeApp changes the policy of an app, or makes it with the default policy so
// changed. Two changes at once are made one after the other. It reports the policy
// before, which for a new app is the default, and after.
//
// Errors: ErrUnavailable.
func (s *Store) ChangeApp(ctx context.Context, id string, change call.PolicyChange) (before, after call.Policy, made bool, err error) {
	err = s.inTransaction(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `INSERT INTO apps (id) VALUES ($1) ON CONFLICT (id) DO NOTHING`, id)
		if err != nil {
			return err
		}
		made = tag.RowsAffected() == 1
		var policy []byte
		// No key of the row changes: calls may be taken in meanwhile.
		if err := tx.QueryRow(ctx, `SELECT policy FROM apps WHERE id = $1 FOR NO KEY UPDATE`, id).Scan(&policy); err != nil {
			return err
		}
		if before, err = readPolicy(policy); err != nil {
			return fmt.Errorf("policy of app %s: %w", id, err)
		}
		after = before.With(change)
		if policy, err = json.Marshal(recordPolicy(after)); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE apps SET policy = $2 WHERE id = $1`, id, policy)
		return err
	})
	return before, after, made, translate(err)
}

// PutApp makes an app, or replaces the whole policy of one: what changes a part of
// it is ChangeApp. made says which.
func (s *Store) PutApp(ctx context.Context, id string, p call.Policy) (made bool, err error) {
	policy, err := json.Marshal(recordPolicy(p))
	if err != nil {
		return false, err
	}
	err = s.pool.QueryRow(ctx, `INSERT INTO apps (id, policy) VALUES ($1, $2)
		ON CONFLICT (id) DO UPDATE SET policy = excluded.policy RETURNING xmax = 0`, id, policy).Scan(&made)
	return made, translate(err)
}

// Apps lists every app, by id.
func (s *Store) Apps(ctx context.Context) ([]App, error) {
	rows, err := s.pool.Query(ctx, `SELECT a.id, a.policy, ARRAY(SELECT c.vendor FROM credentials c WHERE c.app_id = a.id ORDER BY 1), a.created_at
		FROM apps a ORDER BY a.id`)
	if err != nil {
		return nil, translate(err)
	}
	apps, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (App, error) {
		var a App
		var policy []byte
		if err := row.Scan(&a.ID, &policy, &a.Vendors, &a.CreatedAt); err != nil {
			return a, err
		}
		var err error
		a.Policy, err = readPolicy(policy)
		return a, err
	})
	return apps, translate(err)
}

// App reads one app. Errors: ErrNotFound, ErrUnavailable.
func (s *Store) App(ctx context.Context, id string) (App, error) {
	apps, err := s.Apps(ctx)
	if err != nil {
		return App{}, err
	}
	i := slices.IndexFunc(apps, func(a App) bool { return a.ID == id })
	if i < 0 {
		return App{}, ErrNotFound
	}
	return apps[i], nil
}

// Credential is what one app authenticates with at one vendor.
type Credential struct {
	AppID     string
	Vendor    call.Vendor
	Secret    []byte            // as the vendor issued it, e.g. Push Kit's key file
	About     map[string]string // the part that may be shown, e.g. its key id
	UpdatedAt time.Time
}

// ReplaceCredential stores the credential that renew makes of the one there is:
// what a new file does not say may be kept. Of none all is zero; of one that no
// master key opens the secret is nil. It runs in the transaction, after any other
// that replaces a credential of the app.
//
// Errors: renew's own, ErrNotFound for an unknown app, ErrNoMasterKey,
// ErrUnavailable.
func (s *Store) ReplaceCredential(ctx context.Context, appID string, vendor call.Vendor, renew func(before Credential) (Credential, error)) error {
	err := s.inTransaction(ctx, func(tx pgx.Tx) error {
		// The lock in a statement of its own: what is read after it was waited for must
		// be of a later snapshot.
		tag, err := tx.Exec(ctx, `SELECT FROM apps WHERE id = $1 FOR NO KEY UPDATE`, appID)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return ErrNotFound
		}
		var before Credential
		var sealed, about []byte
		err = tx.QueryRow(ctx, `SELECT sealed, about FROM credentials WHERE app_id = $1 AND vendor = $2`, appID, vendor).Scan(&sealed, &about)
		switch {
		case err == nil:
			before = Credential{AppID: appID, Vendor: vendor}
			before.Secret, _ = unseal(s.config.MasterKeys, sealed, appID, string(vendor))
			if err := unmarshalIfAny(about, &before.About); err != nil {
				return err
			}
		case !errors.Is(err, pgx.ErrNoRows):
			return err
		}
		c, err := renew(before)
		if err != nil {
			return err
		}
		return s.putCredential(ctx, tx, c)
	})
	return translate(err)
}

// PutCredential seals a credential with the first master key and stores it in
// the place of an older one.
//
// Errors: ErrNotFound for an unknown app, ErrNoMasterKey, ErrUnavailable.
func (s *Store) PutCredential(ctx context.Context, c Credential) error {
	return translate(s.putCredential(ctx, s.pool, c))
}

// execer is what a pool and a transaction have in common.
type execer interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

func (s *Store) putCredential(ctx context.Context, to execer, c Credential) error {
	sealed, err := seal(s.config.MasterKeys, c.Secret, c.AppID, string(c.Vendor))
	if err != nil {
		return err
	}
	about, err := json.Marshal(c.About)
	if err != nil {
		return err
	}
	_, err = to.Exec(ctx, `INSERT INTO credentials (app_id, vendor, sealed, about) VALUES ($1, $2, $3, $4)
		ON CONFLICT (app_id, vendor) DO UPDATE SET sealed = excluded.sealed, about = excluded.about, updated_at = clock_timestamp()`,
		c.AppID, c.Vendor, sealed, about)
	return err
}

// Credential reads and decrypts a credential.
//
// Errors: ErrNotFound, ErrNoMasterKey, ErrWrongMasterKey, ErrUnavailable.
func (s *Store) Credential(ctx context.Context, appID string, vendor call.Vendor) (Credential, error) {
	c := Credential{AppID: appID, Vendor: vendor}
	var sealed, about []byte
	err := s.pool.QueryRow(ctx, `SELECT sealed, about, updated_at FROM credentials WHERE app_id = $1 AND vendor = $2`, appID, vendor).
		Scan(&sealed, &about, &c.UpdatedAt)
	if errors.Is(err, pgx.ErrNoRows) {
		return c, ErrNotFound
	}
	if err != nil {
		return c, translate(err)
	}
	if err := json.Unmarshal(about, &c.About); err != nil {
		return c, err
	}
	c.Secret, err = unseal(s.config.MasterKeys, sealed, appID, string(vendor))
	return c, err
}

// CredentialUpdatedAt says when a credential was last stored, so that a caller
// who keeps one open can notice a new one.
//
// Errors: ErrNotFound, ErrUnavailable.
func (s *Store) CredentialUpdatedAt(ctx context.Context, appID string, vendor call.Vendor) (at time.Time, err error) {
	err = s.pool.QueryRow(ctx, `SELECT updated_at FROM credentials WHERE app_id = $1 AND vendor = $2`, appID, vendor).Scan(&at)
	if errors.Is(err, pgx.ErrNoRows) {
		return at, ErrNotFound
	}
	return at, translate(err)
}
