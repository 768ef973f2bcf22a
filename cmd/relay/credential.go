package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/push/apns"
	"github.com/pushwake/relay/push/pushkit"
	"github.com/pushwake/relay/store"
)

type appCredentialCommand struct {
	database
	masterKeys
	App                string  `arg:"" help:"The app's id."`
	Vendor             string  `arg:"" enum:"push_kit,apns" help:"push_kit or apns."`
	File               string  `arg:"" type:"existingfile" help:"The credential as the vendor issued it: for push_kit the service account's JSON key file, for apns the token signing key, AuthKey_<key id>.p8."`
	TeamID             string  `help:"Of apns: the developer account's team id; the one of the credential before, if there was one." placeholder:"ID"`
	KeyID              string  `help:"Of apns: the key's id, where the file's name does not tell it." placeholder:"ID"`
	BundleID           *string `help:"Of apns: the bundle id of devices that registered none; \"\" for none." placeholder:"ID"`
	CallbackUser       *string `help:"Of push_kit: the user name that is set for the receipts in AppGallery Connect; \"\" takes user name and secret away." placeholder:"NAME"`
	CallbackSecret     string  `env:"RELAY_CALLBACK_SECRET" help:"Of push_kit: the secret that is set beside it." placeholder:"SECRET"`
	CallbackSecretFile string  `env:"RELAY_CALLBACK_SECRET_FILE" help:"A file that holds that secret." placeholder:"FILE"`
	ClientID           *string `help:"Of push_kit: the app's client id in AppGallery Connect, without which no notification is taken back; \"\" for none." placeholder:"ID"`
}

// Run checks the credential's form and stores it sealed. What is not given is kept
// from the credential before it, where it belongs to the same team or project.
func (c *appCredentialCommand) Run(ctx context.Context, io streams) error {
	switch apple := call.Vendor(c.Vendor) == call.APNs; {
	case apple && c.ClientID != nil:
		return errors.New("--client-id belongs to push_kit")
	case apple && c.CallbackUser != nil:
		return errors.New("--callback-user belongs to push_kit")
	case !apple && (c.TeamID != "" || c.KeyID != "" || c.BundleID != nil):
		return errors.New("--team-id, --key-id and --bundle-id belong to apns")
	}
	keys, err := c.masterKeys.parse()
	if err != nil {
		return err
	}
	file, err := os.ReadFile(c.File)
	if err != nil {
		return err
	}
	if call.Vendor(c.Vendor) == call.PushKit || c.TeamID != "" { // else the team may be known of the one before
		if _, _, err := c.read(file, store.Credential{}); err != nil {
			return err
		}
	}
	s, err := openStore(ctx, c.database, keys)
	if err != nil {
		return err
	}
	defer s.Close()
	var what string
	var before, after map[string]string
	err = s.ReplaceCredential(ctx, c.App, call.Vendor(c.Vendor), func(old store.Credential) (credential store.Credential, err error) {
		credential, what, err = c.read(file, old)
		before, after = old.About, credential.About
		return credential, err
	})
	if errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("there is no app %s: `relay app put %[1]s` makes it", c.App)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(io.out, "App %s may use %s.\n%s", c.App, what, renewed(before, after))
	return err
}

// read checks a credential, and says in words what it is. before is the one in
// whose place it comes.
func (c *appCredentialCommand) read(file []byte, before store.Credential) (credential store.Credential, what string, err error) {
	about := before.About
	if call.Vendor(c.Vendor) == call.APNs {
		a := apns.Credential{TeamID: cmp.Or(c.TeamID, about["team_id"]), KeyID: cmp.Or(c.KeyID, keyIDOf(c.File)), P8: string(file)}
		if a.TeamID == about["team_id"] {
			a.BundleID = about["bundle_id"]
		}
		if c.BundleID != nil {
			a.BundleID = *c.BundleID
		}
		credential, err = apnsCredential(c.App, a)
		what = fmt.Sprintf("APNs with team %s, key %s", a.TeamID, a.KeyID)
	} else {
		credential, err = c.readPushKit(file, before)
		what = fmt.Sprintf("Push Kit with project %s, key %s", credential.About["project_id"], credential.About["key_id"])
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", c.File, err)
	}
	return credential, what, err
}

// readPushKit reads a service account's key file, with the app's client id and
// what its receipts are signed with.
func (c *appCredentialCommand) readPushKit(file []byte, before store.Credential) (store.Credential, error) {
	credential, err := pushKitCredential(c.App, file)
	if err != nil {
		return credential, err
	}
	file = credential.Secret
	same := credential.About["project_id"] == before.About["project_id"]
	client := credential.About["client_id"]
	switch {
	case c.ClientID != nil:
		client = *c.ClientID
	case client == "" && same:
		client = before.About["client_id"]
	}
	if client != "" && client != credential.About["client_id"] {
		if file, err = pushkit.AddClientID(file, client); err != nil {
			return credential, err
		}
	}
	callback, err := pushkit.CallbackOf(file)
	switch {
	case err != nil:
		return credential, err
	case c.CallbackUser != nil:
		if callback, err = c.callback(); err != nil {
			return credential, err
		}
	case !callback.Set() && same && before.Secret != nil:
		callback, err = pushkit.CallbackOf(before.Secret)
	}
	if err == nil {
		file, err = pushkit.AddCallback(file, callback)
	}
	if err != nil {
		return credential, err
	}
	return pushKitCredential(c.App, file)
}

// callback is what the command line says that receipts are signed with.
func (c *appCredentialCommand) callback() (pushkit.Callback, error) {
	if *c.CallbackUser == "" {
		return pushkit.Callback{}, nil
	}
	text, err := secret("RELAY_CALLBACK_SECRET", "--callback-secret", c.CallbackSecret, c.CallbackSecretFile)
	return pushkit.Callback{User: *c.CallbackUser, Secret: text}, err
}

// renewed tells what may be shown of a credential that took the place of another,
// a line each: what is otherwise, and what stayed.
func renewed(before, after map[string]string) string {
	if before == nil {
		return ""
	}
	var text strings.Builder
	names := maps.Clone(before)
	maps.Copy(names, after)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		switch was, is := cmp.Or(before[name], "none"), cmp.Or(after[name], "none"); {
		case was == is:
			fmt.Fprintf(&text, "  %s: %s, as before\n", name, is)
		default:
			fmt.Fprintf(&text, "  %s: %s → %s\n", name, was, is)
		}
	}
	return text.String()
}

var keyFileName = regexp.MustCompile(`^AuthKey_([A-Z0-9]{10})\.p8$`)

// keyIDOf reads the key id from the file name that Apple gives a key; "" for
// none.
func keyIDOf(path string) string {
	if found := keyFileName.FindStringSubmatch(filepath.Base(path)); found != nil {
		return found[1]
	}
	return ""
}

// pushKitCredential checks a service account's key file.
func pushKitCredential(app string, file []byte) (store.Credential, error) {
	file, err := pushkit.CleanKeyFile(file)
	if err != nil {
		return store.Credential{}, err
	}
	k, err := pushkit.ParseKeyFile(file)
	if err != nil {
		return store.Credential{}, err
	}
	about := map[string]string{"project_id": k.ProjectID, "key_id": k.KeyID}
	if k.ClientID != "" {
		about["client_id"] = k.ClientID
	}
	if k.Callback.Set() {
		about["callback_user"] = k.Callback.User
	}
	return store.Credential{AppID: app, Vendor: call.PushKit, Secret: file, About: about}, nil
}

// apnsCredential checks a token signing key, and the ids that its file does not
// contain.
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
