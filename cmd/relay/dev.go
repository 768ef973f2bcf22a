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
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/migrations"
	"github.com/pushwake/relay/push/devicesim"
	"github.com/pushwake/relay/push/pushkit"
	"github.com/pushwake/relay/push/pushkit/pushkitsim"
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

// The demo app and its user, whom the simulated devices belong to.
const (
	demoApp     = "demo"
	demoUser    = "demo-user"
	demoProject = "736430079244623999"
)

// ready is what a program needs to know of a running `relay dev`.
type ready struct {
	URL         string  `json:"url"`
	APIKey      string  `json:"api_key"`
	AdminKey    string  `json:"admin_key"`
	AppID       string  `json:"app_id"`
	DemoUser    string  `json:"demo_user"`
	DatabaseURL string  `json:"database_url"`
	PushKitSim  string  `json:"pushkit_sim"`
	APNsSim     *string `json:"apns_sim"` // null: there is no APNs channel yet
}

// Run starts everything, tells how to use it, and stops it all when told to.
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
	sim := pushkitsim.New(pushkitsim.Options{Logger: logger})
	simURL, err := sim.Start("127.0.0.1:0")
	if err != nil {
		return err
	}
	defer sim.Close()
	credential, err := sim.NewServiceAccount(demoProject)
	if err != nil {
		return err
	}
	service, err := newService(ctx, serviceConfig{
		databaseURL: databaseURL, masterKeys: [][]byte{secrets.MasterKey}, addr: c.Addr, pushKitURL: simURL, logger: logger,
	})
	if err != nil {
		return err
	}
	if err := secrets.install(ctx, service.store, credential); err != nil {
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
		err := startDevices(ctx, &wg, devices, service, simURL, logger)
		if err == nil {
			err = awaitReady(ctx, service.store)
		}
		if err != nil {
			cancel(err)
			return
		}
		c.tell(io, ready{
			URL: service.url(), APIKey: secrets.APIKey, AdminKey: secrets.AdminKey, AppID: demoApp, DemoUser: demoUser, DatabaseURL: databaseURL, PushKitSim: simURL,
		})
	})
	err = service.run(ctx)
	cancel(err)
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		err = errors.Join(cause, err)
	}
	return err
}

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

// devSecrets are kept between runs, so that a key in a shell's history works on.
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
	// Whole or not at all: a kill in the middle leaves no half of a file.
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

// install puts the demo app, its keys and its Push Kit credential in their place.
func (s devSecrets) install(ctx context.Context, st *store.Store, credential []byte) error {
	if _, err := st.PutApp(ctx, demoApp, call.DefaultPolicy()); err != nil {
		return err
	}
	if _, err := st.ImportKey(ctx, demoApp, store.BackendKey, "relay dev", s.APIKey); err != nil {
		return err
	}
	if _, err := st.ImportKey(ctx, "", store.AdminKey, "relay dev", s.AdminKey); err != nil {
		return err
	}
	about, err := pushkit.ParseKeyFile(credential)
	if err != nil {
		return err
	}
	return putPushKit(ctx, st, demoApp, credential, about)
}

// demoDevice is one simulated device of the demo user.
type demoDevice struct {
	id     string
	what   string // for people
	script devicesim.Script
	about  map[string]any
	token  string
}

var demoDevices = []demoDevice{
	{
		id: "phone-shanghai", what: "rings, answers after 2 s, hangs up after 5 s more", token: "MAdemo0phone0shanghai0token",
		script: devicesim.Script{Answer: true, AnswerAfter: 2 * time.Second, HangUpAfter: 5 * time.Second},
		about:  map[string]any{"device_type": "phone", "system_version": "6.1.0(23)", "region": inNetwork("460")},
	},
	{
		id: "tablet-shanghai", what: "rings, falls silent when the phone answers", token: "MAdemo0tablet0shanghai0token",
		about: map[string]any{"device_type": "tablet", "system_version": "6.1.0(23)", "region": map[string]any{"phone": "+8613800138000"}},
	},
	{
		id: "phone-hongkong", what: "skipped: region_not_supported", token: "MAdemo0phone0hongkong0token",
		about: map[string]any{"device_type": "phone", "system_version": "6.1.0(23)", "region": inNetwork("454")},
	},
	{
		id: "emulator", what: "skipped: emulator_not_supported", token: "MAdemo0emulator0token",
		about: map[string]any{"device_type": "phone", "system_version": "6.1.0(23)", "emulator": true, "region": inNetwork("460")},
	},
	{
		id: "watch", what: "skipped: not_connected, for no push reaches a watch",
		about: map[string]any{"device_type": "wearable", "system_version": "6.1.0(23)", "region": inNetwork("460")},
	},
}

func inNetwork(mcc string) map[string]any {
	return map[string]any{"sim_mcc": mcc, "network_mcc": mcc}
}

// startDevices registers the devices and lets each live until ctx ends. It
// returns when all are registered.
func startDevices(ctx context.Context, wg *sync.WaitGroup, demo []demoDevice, s *service, simURL string, logger *slog.Logger) error {
	for _, d := range demo {
		token, _, err := s.tokens.Device(demoApp, demoUser, d.id, s.store.Now())
		if err != nil {
			return err
		}
		about := map[string]any{"platform": "harmonyos"}
		for k, v := range d.about {
			about[k] = v
		}
		if d.token != "" {
			about["tokens"] = map[string]any{"push_kit": d.token}
		}
		device := devicesim.New(devicesim.Config{
			RelayURL: s.url(), PushKitURL: simURL, DeviceToken: token, DeviceID: d.id, UserID: demoUser, Registration: about,
			PushKitToken: d.token, Script: d.script, Logger: logger,
		})
		if _, err := device.Register(ctx); err != nil {
			return fmt.Errorf("registering the simulated device %s: %w", d.id, err)
		}
		if d.token == "" {
			continue // nothing reaches it, so there is nothing for it to do
		}
		wg.Go(func() {
			if err := device.Run(ctx); err != nil && ctx.Err() == nil {
				logger.Error("a simulated device stopped", "device_id", d.id, "error", err)
			}
		})
	}
	return nil
}

// awaitReady waits until calls can be taken in, as they can within moments.
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

// tell prints how to use what runs.
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

`, r.URL, r.APIKey, r.AdminKey, r.DatabaseURL, r.PushKitSim)
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

Ctrl-C stops everything; the data stay in %[4]s.
`, r.URL, r.APIKey, demoUser, c.Data)
}
