package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/push/apns"
	"github.com/pushwake/relay/push/pushkit"
	"github.com/pushwake/relay/store"
)

type appCredentialCommand struct {
	database
	masterKeys
	App      string `arg:"" help:"The app's id."`
	Vendor   string `arg:"" enum:"push_kit,apns" help:"push_kit or apns."`
	File     string `arg:"" type:"existingfile" help:"The credential as the vendor issued it: for push_kit the service account's JSON key file, for apns the token signing key, AuthKey_<key id>.p8."`
	TeamID   string `help:"Of apns: the developer account's team id." placeholder:"ID"`
	KeyID    string `help:"Of apns: the key's id, where the file's name does not tell it." placeholder:"ID"`
	BundleID string `help:"Of apns: the bundle id of devices that registered none." placeholder:"ID"`
	ClientID string `help:"Of push_kit: the app's client id in AppGallery Connect, without which no notification is taken back." placeholder:"ID"`
}

// Run checks the credential's form and stores it sealed.
func (c *appCredentialCommand) Run(ctx context.Context, io streams) error {
	keys, err := c.masterKeys.parse()
	if err != nil {
		return err
	}
	file, err := os.ReadFile(c.File)
	if err != nil {
		return err
	}
	credential, what, err := c.read(file)
	if err != nil {
		return err
	}
	s, err := openStore(ctx, c.database, keys)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.PutCredential(ctx, credential); err != nil {
		if errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("there is no app %s: `relay app put %[1]s` makes it", c.App)
		}
		return err
	}
	_, err = fmt.Fprintf(io.out, "App %s may use %s.\n", c.App, what)
	return err
}

// read checks a credential, and says in words what it is.
func (c *appCredentialCommand) read(file []byte) (credential store.Credential, what string, err error) {
	if call.Vendor(c.Vendor) == call.APNs {
		if c.ClientID != "" {
			return credential, "", errors.New("--client-id belongs to push_kit")
		}
		a := apns.Credential{TeamID: c.TeamID, KeyID: cmp.Or(c.KeyID, keyIDOf(c.File)), P8: string(file), BundleID: c.BundleID}
		credential, err = apnsCredential(c.App, a)
		what = fmt.Sprintf("APNs with team %s, key %s", a.TeamID, a.KeyID)
	} else {
		if c.TeamID != "" || c.KeyID != "" || c.BundleID != "" {
			return credential, "", errors.New("--team-id, --key-id and --bundle-id belong to apns")
		}
		if c.ClientID != "" {
			if file, err = pushkit.AddClientID(file, c.ClientID); err != nil {
				return credential, "", fmt.Errorf("%s: %w", c.File, err)
			}
		}
		credential, err = pushKitCredential(c.App, file)
		what = fmt.Sprintf("Push Kit with project %s, key %s", credential.About["project_id"], credential.About["key_id"])
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", c.File, err)
	}
	return credential, what, err
}

var keyFileName = regexp.MustCompile(`^AuthKey_([A-Z0-9]{10})\.p8$`)

// keyIDOf is the key id in the name that Apple gives a key's file; "" for none.
func keyIDOf(path string) string {
	if found := keyFileName.FindStringSubmatch(filepath.Base(path)); found != nil {
		return found[1]
	}
	return ""
}

// pushKitCredential checks a service account's key file.
func pushKitCredential(app string, file []byte) (store.Credential, error) {
	k, err := pushkit.ParseKeyFile(file)
	if err != nil {
		return store.Credential{}, err
	}
	about := map[string]string{"project_id": k.ProjectID, "key_id": k.KeyID}
	if k.ClientID != "" {
		about["client_id"] = k.ClientID
	}
	return store.Credential{AppID: app, Vendor: call.PushKit, Secret: file, About: about}, nil
}

// apnsCredential checks a token signing key with what its file does not say.
func apnsCredential(app string, c apns.Credential) (store.Credential, error) {
	if _, err := c.Check(); err != nil {
		return store.Credential{}, err
	}
	secret, err := c.Marshal()
	if err != nil {
		return store.Credential{}, err
	}
	about := map[string]string{"team_id": c.TeamID, "key_id": c.KeyID}
	if c.BundleID != "" {
		about["bundle_id"] = c.BundleID
	}
	return store.Credential{AppID: app, Vendor: call.APNs, Secret: secret, About: about}, nil
}
