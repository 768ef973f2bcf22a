package store_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/store"
	"github.com/pushwake/relay/store/storetest"
)

// TestKeys: a key is found by its text until it is revoked, and its text is
// nowhere in the database.
func TestKeys(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	text, made, err := r.CreateKey(t.Context(), app, store.BackendKey, "server 1")
	if err != nil || !strings.HasPrefix(text, store.KeyPrefix) {
		t.Fatalf("%q, %v", text, err)
	}
	found, err := r.other.FindKey(t.Context(), text)
	if err != nil || found.ID != made.ID || found.AppID != app || found.Principal != store.BackendKey || found.Label != "server 1" {
		t.Errorf("found %+v, %v; made %+v", found, err, made)
	}
	for _, wrong := range []string{"", text + "x", text[:len(text)-1], strings.ToUpper(text)} {
		_, err = r.FindKey(t.Context(), wrong)
		wantErr(t, "another text", err, store.ErrNotFound)
	}
	if read[bool](t, r, `SELECT bool_or(k::text LIKE '%' || $1 || '%') FROM keys k`, text[len(store.KeyPrefix):]) {
		t.Error("the key's text is in the database")
	}
	admin, root, err := r.CreateKey(t.Context(), "", store.AdminKey, "ops")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // revoked is revoked, however often
		wantErr(t, "revoke", r.RevokeKey(t.Context(), made.ID), nil)
	}
	_, err = r.FindKey(t.Context(), text)
	wantErr(t, "a revoked key", err, store.ErrNotFound)
	wantErr(t, "revoke of no key", r.RevokeKey(t.Context(), uuid.New()), store.ErrNotFound)
	all, err := r.Keys(t.Context())
	if err != nil || len(all) != 2 || all[0].ID != made.ID || all[0].RevokedAt.IsZero() || all[1].ID != root.ID || !all[1].RevokedAt.IsZero() {
		t.Errorf("keys: %+v, %v", all, err)
	}
	if k, err := r.FindKey(t.Context(), admin); err != nil || k.AppID != "" || k.Principal != store.AdminKey {
		t.Errorf("the admin's key: %+v, %v", k, err)
	}
	_, _, err = r.CreateKey(t.Context(), "nobody", store.BackendKey, "x")
	wantErr(t, "a key of an unknown app", err, store.ErrNotFound)
	for what, p := range map[string]struct {
		app string
		who store.Principal
	}{"a backend without an app": {"", store.BackendKey}, "an admin of an app": {app, store.AdminKey}, "neither": {app, "device"}} {
		if _, _, err := r.CreateKey(t.Context(), p.app, p.who, "x"); err == nil {
			t.Errorf("%s has a key", what)
		}
	}
}

// TestImportKey stores a key that is known already, as often as one likes, but
// never hands one app's key to another nor makes a revoked one good.
func TestImportKey(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	makeApp(t, r.Store, "second")
	first, err := r.ImportKey(t.Context(), app, store.BackendKey, "a", "rk_known")
	if err != nil {
		t.Fatal(err)
	}
	again, err := r.ImportKey(t.Context(), app, store.BackendKey, "b", "rk_known")
	if err != nil || again.ID != first.ID || !again.CreatedAt.Equal(first.CreatedAt) {
		t.Errorf("again: %+v, %v", again, err)
	}
	_, err = r.ImportKey(t.Context(), "second", store.BackendKey, "b", "rk_known")
	wantErr(t, "another app's", err, store.ErrExists)
	_, err = r.ImportKey(t.Context(), "", store.AdminKey, "b", "rk_known")
	wantErr(t, "an admin's", err, store.ErrExists)
	if k, err := r.FindKey(t.Context(), "rk_known"); err != nil || k.AppID != app || k.Principal != store.BackendKey {
		t.Errorf("the key: %+v, %v", k, err)
	}
	wantErr(t, "revoke", r.RevokeKey(t.Context(), first.ID), nil)
	if k, err := r.ImportKey(t.Context(), app, store.BackendKey, "c", "rk_known"); err != nil || k.RevokedAt.IsZero() {
		t.Errorf("a revoked key, imported: %+v, %v", k, err)
	}
	_, err = r.FindKey(t.Context(), "rk_known")
	wantErr(t, "a revoked key, imported again", err, store.ErrNotFound)
}

func TestApps(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if made, err := r.PutApp(t.Context(), "a", call.Policy{}); err != nil || !made {
		t.Errorf("a new app: %v, %v", made, err)
	}
	if a, err := r.App(t.Context(), "a"); err != nil || cmp.Diff(call.DefaultPolicy(), a.Policy) != "" || len(a.Vendors) != 0 {
		t.Errorf("an app that sets nothing: %+v, %v", a, err)
	}
	own := call.Policy{Reject: call.RejectOne, Payload: call.PayloadMinimal, MaxDuration: 90 * time.Second, Rules: "2026-11", MaxDevices: 7, Retention: 30 * 24 * time.Hour, APNsVoIPExpiration: 10 * time.Second,
		Escalation:  map[call.Platform][]call.Channel{call.HarmonyOS: {}, call.IOS: {call.APNsVoIP}},
		NoticeTexts: map[string]call.NoticeText{"zh-CN": {Voice: "您有未接来电"}, "en": {Voice: "You missed a call", Video: "You missed a video call"}},
	}
	if made, err := r.other.PutApp(t.Context(), "a", own); err != nil || made {
		t.Errorf("a known app: %v, %v", made, err)
	}
	all, err := r.Apps(t.Context())
	if err != nil || len(all) != 2 || all[0].ID != "a" || all[1].ID != app || cmp.Diff(own, all[0].Policy) != "" || cmp.Diff([]call.Vendor{call.PushKit}, all[1].Vendors) != "" {
		t.Errorf("apps: %+v, %v", all, err)
	}
	r.exec(t, `UPDATE apps SET policy = '{"escalation": {"harmonyos": []}}' WHERE id = 'a'`)
	want := call.DefaultPolicy()
	want.Escalation[call.HarmonyOS] = []call.Channel{}
	if a, err := r.App(t.Context(), "a"); err != nil || cmp.Diff(want, a.Policy) != "" {
		t.Errorf("a policy that names one platform: %+v, %v", a, err)
	}
	_, err = r.App(t.Context(), "nobody")
	wantErr(t, "an unknown app", err, store.ErrNotFound)

	// A call keeps the policy that it began with.
	makeApp(t, r.Store, app, func(p *call.Policy) { p.Reject = call.RejectOne })
	phone(t, r.Store, "u2", "d1")
	phone(t, r.Store, "u2", "d2")
	c := create(t, r.Store, invite("u2"))
	makeApp(t, r.Store, app)
	if out := report(t, r.Store, c, "d1", call.ReportRejected); !out.Call.Live() {
		t.Errorf("the call after one rejection: %+v", out.Call)
	}
	if out := report(t, r.Store, c, "d2", call.ReportRejected); out.Call.EndReason != call.EndRejected {
		t.Errorf("the call after all rejections: %+v", out.Call)
	}
}

// TestCredentials: sealed with the first key, opened by any, and by no other;
// a row passed off as another's does not open.
func TestCredentials(t *testing.T) {
	t.Parallel()
	url := storetest.Database(t)
	key := func(b byte) []byte { return []byte(strings.Repeat(string(rune('a'+b)), store.MasterKeyBytes)) }
	open := func(keys ...[]byte) *store.Store {
		return storetest.Open(t, store.Config{URL: url, MaxConns: 2, MasterKeys: append([][]byte{}, keys...)})
	}
	old, rotated, late, none := open(key(1)), open(key(2), key(1)), open(key(2)), open()
	short := storetest.Open(t, store.Config{URL: url, MaxConns: 2, MasterKeys: [][]byte{[]byte("short")}})
	makeApp(t, old, app)
	makeApp(t, old, "second")
	db := dial(t, url)
	put := func(s *store.Store, secret string) error {
		return s.PutCredential(t.Context(), store.Credential{AppID: app, Vendor: call.PushKit, Secret: []byte(secret), About: map[string]string{"key_id": "k1"}})
	}
	get := func(s *store.Store, id string, v call.Vendor) (string, error) {
		c, err := s.Credential(t.Context(), id, v)
		return string(c.Secret), err
	}
	wantErr(t, "put", put(old, "the secret"), nil)
	for _, s := range []*store.Store{old, rotated} {
		if got, err := get(s, app, call.PushKit); got != "the secret" || err != nil {
			t.Errorf("opened: %q, %v", got, err)
		}
	}
	_, err := get(late, app, call.PushKit)
	wantErr(t, "the old key is gone", err, store.ErrWrongMasterKey)
	_, err = get(none, app, call.PushKit)
	wantErr(t, "no key at all", err, store.ErrNoMasterKey)
	if _, err := get(short, app, call.PushKit); err == nil {
		t.Error("a short key opens")
	}
	if err := put(short, "x"); err == nil {
		t.Error("a short key seals")
	}
	wantErr(t, "sealed anew", put(rotated, "the secret"), nil)
	if got, err := get(late, app, call.PushKit); got != "the secret" || err != nil {
		t.Errorf("after the rotation: %q, %v", got, err)
	}
	at, err := late.CredentialUpdatedAt(t.Context(), app, call.PushKit)
	if err != nil {
		t.Fatal(err)
	}
	wantErr(t, "put once more", put(late, "newer"), nil)
	if later, err := late.CredentialUpdatedAt(t.Context(), app, call.PushKit); err != nil || !later.After(at) {
		t.Errorf("updated at %s, then %s, %v", at, later, err)
	}
	for _, sql := range []string{
		`UPDATE credentials SET sealed = (SELECT sealed FROM credentials WHERE app_id = 'demo') WHERE app_id = 'second'`,
		`INSERT INTO credentials SELECT 'second', 'apns', sealed, about FROM credentials WHERE app_id = 'demo'`,
	} {
		if _, err := db.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	_, err = get(late, "second", call.PushKit)
	wantErr(t, "another app's row", err, store.ErrWrongMasterKey)
	_, err = get(late, "second", call.APNs)
	wantErr(t, "another vendor's row", err, store.ErrWrongMasterKey)
	for _, sealed := range []string{`set_byte(sealed, 20, get_byte(sealed, 20) # 1)`, `'\x00'`, `''`} {
		if _, err := db.Exec(t.Context(), `UPDATE credentials SET sealed = `+sealed+` WHERE app_id = 'demo'`); err != nil {
			t.Fatal(err)
		}
		_, err = get(late, app, call.PushKit)
		wantErr(t, "a damaged row", err, store.ErrWrongMasterKey)
	}
	_, err = get(late, app, call.APNs)
	wantErr(t, "none stored", err, store.ErrNotFound)
	_, err = late.CredentialUpdatedAt(t.Context(), "nobody", call.APNs)
	wantErr(t, "an unknown app", err, store.ErrNotFound)
	err = late.PutCredential(t.Context(), store.Credential{AppID: "nobody", Vendor: call.APNs, Secret: []byte("x")})
	wantErr(t, "put for an unknown app", err, store.ErrNotFound)
}
