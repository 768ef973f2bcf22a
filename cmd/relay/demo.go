package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"sync"
	"time"

	"github.com/pushwake/relay/push/apns"
	"github.com/pushwake/relay/push/apns/apnssim"
	"github.com/pushwake/relay/push/devicesim"
	"github.com/pushwake/relay/push/pushkit"
	"github.com/pushwake/relay/push/pushkit/pushkitsim"
	"github.com/pushwake/relay/store"
)

// The demo app and its user, whom the simulated devices belong to.
const (
	demoApp     = "demo"
	demoUser    = "demo-user"
	demoProject = "736430079244623999"
	demoTeam    = "DEMOTEAM01"
	demoBundle  = "com.example.demo"
)

// demoCallback is what the simulated Push Kit signs receipts with. It reaches
// nobody but the simulator.
var demoCallback = pushkit.Callback{User: "relay-demo", Secret: base64.StdEncoding.EncodeToString([]byte("the demo's callback secret"))}

// sims are the simulated vendors of `relay dev`.
type sims struct {
	pushKit    *pushkitsim.Sim
	pushKitURL string
	apns       *apnssim.Sim
	apnsURLs   apnssim.URLs
}

func startSims(logger *slog.Logger) (*sims, error) {
	s := &sims{pushKit: pushkitsim.New(pushkitsim.Options{Logger: logger})}
	var err error
	if s.apns, err = apnssim.New(apnssim.Options{Logger: logger}); err == nil {
		s.apnsURLs, err = s.apns.Start(apnssim.Addresses{})
	}
	if err == nil {
		s.pushKitURL, err = s.pushKit.Start("127.0.0.1:0")
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// close ends both. There is no error to report.
func (s *sims) close() {
	_ = s.pushKit.Close()
	if s.apns != nil {
		_ = s.apns.Close()
	}
}

func (s *sims) apnsPools() apns.PoolsConfig {
	return apns.PoolsConfig{ProductionURL: s.apnsURLs.Production, SandboxURL: s.apnsURLs.Sandbox, RootCAs: s.apns.Roots()}
}

// sendReceipts has the simulated Push Kit tell relay what became of the pushes
// to the demo's devices. It does so on this machine only.
func (s *sims) sendReceipts(addr net.Addr) error {
	_, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return err
	}
	return s.pushKit.SetReceipts(pushkitsim.ReceiptConfig{
		URL: "http://" + net.JoinHostPort("localhost", port) + "/v1/receipts/push-kit/" + demoApp, User: demoCallback.User, Secret: demoCallback.Secret,
	})
}

// credentials are what the vendors issue to the demo app.
func (s *sims) credentials() ([]store.Credential, error) {
	file, err := s.pushKit.NewServiceAccount(demoProject)
	if err != nil {
		return nil, err
	}
	if file, err = pushkit.AddClientID(file, pushkitsim.ClientID(demoProject)); err != nil {
		return nil, err
	}
	if file, err = pushkit.AddCallback(file, demoCallback); err != nil {
		return nil, err
	}
	huawei, err := pushKitCredential(demoApp, file)
	if err != nil {
		return nil, err
	}
	key, err := s.apns.NewKey(apnssim.KeyOptions{TeamID: demoTeam})
	if err != nil {
		return nil, err
	}
	apple, err := apnsCredential(demoApp, apns.Credential{TeamID: key.TeamID, KeyID: key.KeyID, P8: key.P8, BundleID: demoBundle})
	return []store.Credential{huawei, apple}, err
}

// demoDevice is one simulated device of the demo user.
type demoDevice struct {
	id     string
	what   string // for people
	script devicesim.Script
	about  map[string]any // of its registration
	tokens []string       // the names of the tokens that it has
	away   bool           // its app does not run until a push starts it
}

var demoDevices = []demoDevice{
	{
		id: "phone-shanghai", what: "rings, answers after 2 s, hangs up after 5 s more", tokens: []string{"push_kit"},
		script: devicesim.Script{Answer: true, AnswerAfter: 2 * time.Second, HangUpAfter: 5 * time.Second},
		about:  harmony("phone", inNetwork("460")),
	},
	{
		id: "tablet-shanghai", what: "rings, falls silent when the phone answers", tokens: []string{"push_kit"},
		about: harmony("tablet", map[string]any{"phone": "+8613800138000"}),
	},
	{
		id: "phone-hongkong", what: "skipped: region_not_supported", tokens: []string{"push_kit"},
		about: harmony("phone", inNetwork("454")),
	},
	{
		id: "emulator", what: "skipped: emulator_not_supported", tokens: []string{"push_kit"},
		about: with(harmony("phone", inNetwork("460")), "emulator", true),
	},
	{
		id: "watch", what: "rings over its feed, for no push reaches a watch; falls silent too",
		about: harmony("wearable", inNetwork("460")),
	},
	{
		id: "pc", what: "skipped: not_connected, for no push reaches a PC, and its app does not run", away: true,
		about: with(harmony("pc", inNetwork("460")), "system_version", "6.1.1(24)"),
	},
	{
		id: "iphone-shanghai", what: "rings by LiveCommunicationKit", tokens: []string{"apns_voip", "apns_alert"},
		about: iPhone("lck", map[string]any{"storefront": "CHN"}),
	},
	{
		id: "iphone-beijing", what: "shows an alert that nobody taps: no CallKit in mainland China", away: true, tokens: []string{"apns_voip", "apns_alert"},
		about: iPhone("callkit", map[string]any{"storefront": "CHN"}),
	},
	{
		id: "iphone-berlin", what: "rings by CallKit", tokens: []string{"apns_voip", "apns_alert"},
		about: iPhone("callkit", map[string]any{"storefront": "DEU"}),
	},
	{
		id: "iphone-somewhere", what: "shows an alert too: the signals of its region disagree", away: true, tokens: []string{"apns_voip", "apns_alert"},
		about: iPhone("callkit", map[string]any{"phone": "+4930901820", "network_mcc": "460"}),
	},
}

func harmony(kind string, region map[string]any) map[string]any {
	return map[string]any{"platform": "harmonyos", "device_type": kind, "system_version": "6.1.0(23)", "region": region}
}

func iPhone(ui string, region map[string]any) map[string]any {
	return map[string]any{
		"platform": "ios", "device_type": "phone", "system_version": "26.1", "call_ui": ui, "bundle_id": demoBundle, "locale": "en", "region": region,
	}
}

func inNetwork(mcc string) map[string]any {
	return map[string]any{"sim_mcc": mcc, "network_mcc": mcc}
}

func with(about map[string]any, field string, value any) map[string]any {
	about[field] = value
	return about
}

// token is one of the device's vendor tokens, the same in every run.
// Hexadecimal digits are a valid token for both vendors.
func (d demoDevice) token(name string) string {
	sum := sha256.Sum256([]byte(name + " of " + d.id))
	return hex.EncodeToString(sum[:])
}

// config is the device as it registers and behaves.
func (d demoDevice) config(s *service, sims *sims, jwt string, logger *slog.Logger) devicesim.Config {
	about := maps.Clone(d.about)
	c := devicesim.Config{
		RelayURL: s.url(), PushKitURL: sims.pushKitURL, DeviceToken: jwt, DeviceID: d.id, UserID: demoUser, Registration: about, Script: d.script, NoFeed: d.away,
		Logger: logger,
	}
	if about["platform"] == "ios" {
		c.APNsURL = sims.apnsURLs.Control
	}
	tokens := map[string]any{}
	for _, name := range d.tokens {
		tokens[name] = d.token(name)
		switch name {
		case "push_kit":
			c.PushKitToken = d.token(name)
		case "apns_voip":
			c.APNsVoIPToken = d.token(name)
		case "apns_alert":
			c.APNsAlertToken = d.token(name)
		}
	}
	if len(tokens) > 0 {
		about["tokens"] = tokens
	}
	return c
}

// startDevices registers the devices and lets each live until ctx ends. It
// returns when all are registered, and those that keep a feed are connected.
func startDevices(ctx context.Context, wg *sync.WaitGroup, demo []demoDevice, s *service, sims *sims, logger *slog.Logger) error {
	for _, d := range demo {
		jwt, _, err := s.tokens.Device(demoApp, demoUser, d.id, s.store.Now())
		if err != nil {
			return err
		}
		device := devicesim.New(d.config(s, sims, jwt, logger))
		if _, err := device.Register(ctx); err != nil {
			return fmt.Errorf("registering the simulated device %s: %w", d.id, err)
		}
		if d.away && len(d.tokens) == 0 {
			continue // nothing reaches it, so it does nothing
		}
		running, stopped := context.WithCancel(ctx)
		wg.Go(func() {
			defer stopped()
			if err := device.Run(ctx); err != nil && ctx.Err() == nil {
				logger.Error("a simulated device stopped", "device_id", d.id, "error", err)
			}
		})
		if d.away {
			continue
		}
		if err := device.Connected(running); err != nil {
			return fmt.Errorf("connecting the simulated device %s: %w", d.id, err)
		}
	}
	return nil
}

// hangUp ends the calls that the simulated phones were in when an earlier run
// ended. The phones of this run do not know them, and three of them would block
// a phone for hours.
func hangUp(ctx context.Context, st *store.Store) error {
	for _, d := range demoDevices {
		calls, err := st.LiveCalls(ctx, demoApp, d.id, demoUser)
		if err != nil {
			return err
		}
		for _, one := range calls {
			if one.AnsweredBy != d.id {
				continue // its ring ends by itself
			}
			if _, err := st.EndCall(ctx, demoApp, one.ID); err != nil {
				return err
			}
		}
	}
	return nil
}
