package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/migrations"
	"github.com/pushwake/relay/store"
	"github.com/pushwake/relay/store/localpg"
)

type devCommand struct {
	logLevel
	Addr      string `default:"127.0.0.1:8080" help:"Address of the API; port 0 takes any."`
	Data      string `default:".relay" help:"Folder of the private Postgres and the keys, kept between runs." placeholder:"DIR"`
	JSON      bool   `name:"json" help:"Print one line of JSON on standard output when ready."`
	NoDevices bool   `help:"Without simulated devices."`
}

// ready is what a program needs to use a running `relay dev`.
type ready struct {
	URL         string `json:"url"`
	APIKey      string `json:"api_key"`
	AdminKey    string `json:"admin_key"`
	AppID       string `json:"app_id"`
	DemoUser    string `json:"demo_user"`
	DatabaseURL string `json:"database_url"`
	PushKitSim  string `json:"pushkit_sim"`
	APNsSim     string `json:"apns_sim"`
}

// Run starts everything, prints how to use it, and stops everything when ctx
// ends.
func (c *devCommand) Run(ctx context.Context, io streams) (err error) {
	logger := slog.New(slog.NewTextHandler(io.err, &slog.HandlerOptions{Level: c.Level}))
	pg, err := localpg.Start(ctx, localpg.Options{Dir: c.Data, Durable: true, Logger: logger})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pg.Stop()) }()
	databaseURL, err := devDatabase(ctx, pg)
	if err != nil {
		return err
	}
	secrets, err := readDevSecrets(filepath.Join(c.Data, "dev.json"))
	if err != nil {
		return err
	}
	sims, err := startSims(logger)
	if err != nil {
		return err
	}
	defer sims.close()
	service, err := newService(ctx, serviceConfig{
		databaseURL: databaseURL, masterKeys: [][]byte{secrets.MasterKey}, addr: c.Addr, pushKitURL: sims.pushKitURL, apns: sims.apnsPools(),
		webhooks: webhooks{allow: loopback}, logger: logger,
	})
	if err != nil {
		return err
	}
	err = secrets.install(ctx, service.store, sims)
	if err == nil {
		err = sims.sendReceipts(service.listener.Addr())
	}
	if err == nil && !c.NoDevices {
		err = hangUp(ctx, service.store)
	}
	if err != nil {
		return errors.Join(err, service.stopUnstarted())
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-pg.Done():
			cancel(fmt.Errorf("the private Postgres ended by itself; its log is %s", pg.LogPath()))
		case <-ctx.Done():
		}
	}()
	var wg sync.WaitGroup
	defer wg.Wait()
	var devices []demoDevice
	if !c.NoDevices {
		devices = demoDevices
	}
	wg.Go(func() {
		err := startDevices(ctx, &wg, devices, service, sims, logger)
		if err == nil {
			err = awaitReady(ctx, service.store)
		}
		if err != nil {
			cancel(err)
			return
		}
		c.tell(io, ready{
			URL: service.url(), APIKey: secrets.APIKey, AdminKey: secrets.AdminKey, AppID: demoApp, DemoUser: demoUser, DatabaseURL: databaseURL,
			PushKitSim: sims.pushKitURL, APNsSim: sims.apnsURLs.Control,
		})
	})
	err = service.run(ctx)
	cancel(err)
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		err = errors.Join(cause, err)
	}
	return err
}

// loopback is where the backend of somebody who tries relay out listens.
var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// devDatabase makes the database on a first run and brings its schema up to date.
func devDatabase(ctx context.Context, pg *localpg.Server) (string, error) {
	const name = "relay"
	if err := pg.CreateDatabase(ctx, name); err != nil {
		return "", err
	}
	url := pg.URL(name)
	_, err := migrations.Up(ctx, url)
	return url, err
}

// devSecrets are kept between runs, so that a key in a shell's history still
// works.
type devSecrets struct {
	MasterKey []byte `json:"master_key"`
	APIKey    string `json:"api_key"`
	AdminKey  string `json:"admin_key"`
}

func readDevSecrets(path string) (devSecrets, error) {
	var s devSecrets
	b, err := os.ReadFile(path)
	switch {
	case err == nil:
		if err := json.Unmarshal(b, &s); err != nil || len(s.MasterKey) != store.MasterKeyBytes || s.APIKey == "" || s.AdminKey == "" {
			return s, fmt.Errorf("%s cannot be read; delete it to get new keys", path)
		}
		return s, nil
	case !errors.Is(err, fs.ErrNotExist):
		return s, err
	}
	s = devSecrets{MasterKey: random(store.MasterKeyBytes), APIKey: newDevKey(), AdminKey: newDevKey()}
	if b, err = json.Marshal(s); err != nil {
		return s, err
	}
	// Write and rename, so that a kill in the middle leaves no half-written
	// file.
	fresh := path + ".new"
	if err := os.WriteFile(fresh, b, 0o600); err != nil {
		return s, err
	}
	return s, os.Rename(fresh, path)
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails, by its documentation
	return b
}

func newDevKey() string {
	return store.KeyPrefix + "dev_" + base64.RawURLEncoding.EncodeToString(random(18))
}

// install creates the demo app, its keys and its credentials.
func (s devSecrets) install(ctx context.Context, st *store.Store, sims *sims) error {
	if _, _, _, err := st.ChangeApp(ctx, demoApp, call.PolicyChange{}); err != nil {
		return err
	}
	if _, err := st.ImportKey(ctx, demoApp, store.BackendKey, "relay dev", s.APIKey); err != nil {
		return err
	}
	if _, err := st.ImportKey(ctx, "", store.AdminKey, "relay dev", s.AdminKey); err != nil {
		return err
	}
	credentials, err := sims.credentials()
	if err != nil {
		return err
	}
	for _, c := range credentials {
		if err := st.PutCredential(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// awaitReady waits the few moments until calls can be made.
func awaitReady(ctx context.Context, st *store.Store) error {
	for {
		err := st.Ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// tell prints how to use the running service.
func (c *devCommand) tell(io streams, r ready) {
	if c.JSON {
		_ = json.NewEncoder(io.out).Encode(r) // nobody is left to tell
		return
	}
	fmt.Fprintf(io.out, `
relay dev is ready.

  API               %[1]s
  documentation     %[1]s/docs/
  API key           %[2]s
  admin key         %[3]s
  database          %[4]s
  Push Kit sim      %[5]s
  APNs sim          %[6]s

`, r.URL, r.APIKey, r.AdminKey, r.DatabaseURL, r.PushKitSim, r.APNsSim)
	if !c.NoDevices {
		fmt.Fprintf(io.out, "Devices of %s:\n", demoUser)
		for _, d := range demoDevices {
			fmt.Fprintf(io.out, "  %-17s %s\n", d.id, d.what)
		}
	}
	fmt.Fprintf(io.out, `
Invite %[3]s to a call, then see why each device rang or not:

  curl -s -X POST %[1]s/v1/calls -H 'Authorization: Bearer %[2]s' -H 'Content-Type: application/json' \
    -d '{"caller": {"user_id": "u1", "name": "Li Na"}, "callee": {"user_id": "%[3]s"}, "media": "video"}'

  curl -s %[1]s/v1/calls/ID/timeline -H 'Authorization: Bearer %[2]s'

For the commands of the README and of docs/backend.md:

  export URL='%[1]s' KEY='%[2]s' ADMIN_KEY='%[5]s' PUSHKIT_SIM='%[6]s' APNS_SIM='%[7]s' DATABASE_URL='%[8]s'

Ctrl-C stops everything; the data stay in %[4]s.
`, r.URL, r.APIKey, demoUser, c.Data, r.AdminKey, r.PushKitSim, r.APNsSim, r.DatabaseURL)
}
