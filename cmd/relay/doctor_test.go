package main_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pushwake/relay/push/apns/apnssim"
	"github.com/pushwake/relay/push/pushkit/pushkitsim"
	"github.com/pushwake/relay/store/storetest"
)

// clinic is an app with both credentials at simulators, and what a doctor needs
// to look at it.
type clinic struct {
	setting
	pushKit *pushkitsim.Sim
	apns    *apnssim.Sim
	key     apnssim.SigningKey
}

func newClinic(t *testing.T, o apnssim.KeyOptions) *clinic {
	t.Helper()
	c := &clinic{}
	var pushKitURL, keyFile string
	c.pushKit, pushKitURL, keyFile = pushKit(t)
	var err error
	if c.apns, err = apnssim.New(apnssim.Options{}); err != nil {
		t.Fatal(err)
	}
	urls, err := c.apns.Start(apnssim.Addresses{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.apns.Close() })
	o.TeamID = "TEAM123456"
	if c.key, err = c.apns.NewKey(o); err != nil {
		t.Fatal(err)
	}
	p8 := filepath.Join(t.TempDir(), "AuthKey_"+c.key.KeyID+".p8")
	if err := os.WriteFile(p8, []byte(c.key.P8), 0o600); err != nil {
		t.Fatal(err)
	}
	c.env = []string{
		"DATABASE_URL=" + storetest.Database(t), "RELAY_MASTER_KEY=" + newMasterKey(), "RELAY_PUSH_KIT_URL=" + pushKitURL, "RELAY_APNS_URL=" + urls.Production,
		"RELAY_APNS_SANDBOX_URL=" + urls.Sandbox, "RELAY_APNS_CA_FILE=" + secretFile(t, string(c.apns.RootPEM())),
	}
	c.must(t, "app", "put", "shop")
	c.must(t, "app", "credential", "shop", "push_kit", keyFile)
	c.must(t, "app", "credential", "shop", "apns", p8, "--team-id", "TEAM123456", "--bundle-id", "com.example.shop")
	return c
}

// with is the clinic under another environment.
func (c *clinic) with(env ...string) setting {
	return setting{env: append(append([]string{}, c.env...), env...)} // the last one counts
}

func (c *clinic) database() string { return strings.TrimPrefix(c.env[0], "DATABASE_URL=") }

// sick wants the doctor to find trouble, in these words.
func sick(t *testing.T, s setting, says ...string) {
	t.Helper()
	code, out, err := s.run(t, "doctor")
	if code != 1 || !strings.Contains(err, "checks failed") {
		t.Errorf("exit code %d, %q\n%s", code, err, out)
	}
	for _, text := range says {
		if !strings.Contains(out, text) {
			t.Errorf("the doctor does not say %q:\n%s", text, out)
		}
	}
}

func TestDoctor(t *testing.T) {
	t.Parallel()
	c := newClinic(t, apnssim.KeyOptions{})
	out := c.must(t, "doctor")
	for _, text := range []string{
		"schema                 up to date", "PostgreSQL", "clock and database", "shop, Push Kit", "push-type 10: the vendor takes the credential",
		"receipts are not signed", "clock and Push Kit", "clock and APNs production", "production, com.example.shop.voip (devices: 0): the vendor takes the credential", "checks passed",
	} {
		if !strings.Contains(out, text) {
			t.Errorf("the doctor does not say %q:\n%s", text, out)
		}
	}
	for _, secret := range []string{c.key.P8[40:80], "BEGIN"} {
		if strings.Contains(out, secret) {
			t.Errorf("the doctor shows a secret:\n%s", out)
		}
	}
	storetest.Exec(t, c.database(), "INSERT INTO events (app_id, id, xid, type, at, data) VALUES ('shop', gen_random_uuid(), '9000000000', 'device.registered', now(), '{}')")
	sick(t, c.setting, "restored into another server", "relay migrate --restored")
	c.must(t, "migrate", "--restored")
	release := storetest.Hold(t, c.database(), "SELECT pg_current_xact_id()")
	if out := c.must(t, "doctor"); !strings.Contains(out, "nothing holds its readers back") {
		t.Errorf("beside a transaction of a moment:\n%s", out)
	}
	release()
	storetest.Exec(t, c.database(), `INSERT INTO token_alarms SELECT 'shop', 'push_kit', now(), now() - interval '2 hours', 25, 40`)
	if out := c.must(t, "doctor"); !strings.Contains(out, "warn  shop, tokens") || !strings.Contains(out, "25 of 40 tokens push_kit were to die within a minute; none was marked") {
		t.Errorf("the doctor does not tell of the alarm:\n%s", out)
	}
	storetest.Exec(t, c.database(), `UPDATE token_alarms SET last_at = now()`)
	sick(t, c.setting, "FAIL  shop, tokens")
	storetest.Exec(t, c.database(), `DELETE FROM token_alarms`)
	sick(t, c.with("RELAY_MASTER_KEY="+newMasterKey()), "sealed with another master key", "behind a comma")
	sick(t, c.with("RELAY_APNS_URL=https://127.0.0.1:1"), "connection refused", "firewall")
	sick(t, c.with("RELAY_APNS_CA_FILE="), "certificate is not trusted")
	sick(t, c.with("DATABASE_URL=postgres://127.0.0.1:1/x"), "Check DATABASE_URL")
	sick(t, setting{}, "DATABASE_URL is not set", "RELAY_MASTER_KEY is not set")
	if code, out, _ := c.run(t, "doctor", "--app", "nobody"); code != 1 || !strings.Contains(out, "no such app") {
		t.Errorf("an unknown app: exit code %d\n%s", code, out)
	}
	c.apns.RevokeKey(c.key.KeyID)
	sick(t, c.setting, "HTTP 403 InvalidProviderToken", "Check team id, key id and key file")
}

// TestDoctorAsksAsTheDevicesAre: topics and environments are those that devices
// registered.
func TestDoctorAsksAsTheDevicesAre(t *testing.T) {
	t.Parallel()
	c := newClinic(t, apnssim.KeyOptions{Environment: apnssim.Production, Topics: []string{"com.example.shop"}})
	key := strings.TrimSpace(c.must(t, "key", "create", "shop"))
	_, url := c.serve(t)
	for device, about := range map[string][2]string{"d1": {"production", ""}, "d2": {"sandbox", ""}, "d3": {"production", "com.example.other"}} {
		must[any](t)(want[any](t.Context(), caller{url, key}, http.StatusOK, http.MethodPut, "/v1/devices/"+device, map[string]any{
			"user_id": "u2", "platform": "ios", "device_type": "phone", "system_version": "26.1", "environment": about[0], "bundle_id": about[1],
			"tokens": map[string]any{"apns_voip": strings.Repeat(device, 32)[:64], "apns_alert": strings.Repeat(device, 32)[:64]},
		}))
	}
	sick(t, c.setting,
		"production, com.example.shop.voip (devices: 1): the vendor takes the credential", "production, com.example.shop (devices: 1): the vendor takes the credential",
		"sandbox, com.example.shop.voip (devices: 1): HTTP 403 BadEnvironmentKeyIdInToken", "production, com.example.other.voip (devices: 1): HTTP 400 TopicDisallowed")
}

func TestHealthcheck(t *testing.T) {
	t.Parallel()
	s := setting{env: []string{"DATABASE_URL=" + storetest.Database(t), "RELAY_MASTER_KEY=" + newMasterKey()}}
	_, url := s.serve(t)
	addr := strings.TrimPrefix(url, "http://")
	s.must(t, "healthcheck", "--addr", addr)
	s.must(t, "healthcheck", "--addr", addr, "--ready")
	s.must(t, "healthcheck", "--addr", "0.0.0.0"+addr[strings.LastIndex(addr, ":"):])
	for _, args := range [][]string{{"--addr", "127.0.0.1:1"}, {"--url", url + "/nothing"}, {"--addr", "x"}} {
		if code, _, err := s.run(t, append([]string{"healthcheck"}, args...)...); code != 1 || err == "" {
			t.Errorf("%v: exit code %d, %q", args, code, err)
		}
	}
}
