package devicesim_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pushwake/relay/push/apns/apnssim"
	"github.com/pushwake/relay/push/devicesim"
)

var (
	voipToken  = strings.Repeat("0a", 32)
	alertToken = strings.Repeat("0b", 32)
)

// iPhone is a bench whose device hangs on the APNs simulator; push sends it a
// wake of call c1 as that type.
func iPhone(t *testing.T, script devicesim.Script, answers map[string][]answer, change ...func(*devicesim.Config)) (b *bench, push func(kind string)) {
	t.Helper()
	sim, err := apnssim.New(apnssim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	urls, err := sim.Start(apnssim.Addresses{})
	if err != nil {
		t.Fatal(err)
	}
	b = start(t, script, answers, func(c *devicesim.Config) {
		c.APNsURL, c.APNsVoIPToken, c.APNsAlertToken, c.PushKitToken = urls.Control, voipToken, alertToken, ""
		c.Registration = map[string]any{"platform": "ios"}
		for _, edit := range change {
			edit(c)
		}
	})
	t.Cleanup(func() {
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
	})
	key, err := sim.NewKey(apnssim.KeyOptions{TeamID: "TEAM123456"})
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: sim.Roots()}, ForceAttemptHTTP2: true}}
	t.Cleanup(client.CloseIdleConnections)
	bearer := providerToken(t, key)
	return b, func(kind string) {
		t.Helper()
		body, err := json.Marshal(map[string]any{"aps": map[string]any{}, "wake": b.payload("l1", nil)})
		if err != nil {
			t.Fatal(err)
		}
		topic, token := "com.example.app", alertToken
		if kind == "voip" {
			topic, token = topic+".voip", voipToken
		}
		r, err := http.NewRequestWithContext(t.Context(), "POST", urls.Production+"/3/device/"+token, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range map[string]string{"authorization": bearer, "apns-push-type": kind, "apns-topic": topic, "apns-expiration": "0"} {
			r.Header.Set(name, value)
		}
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != 200 {
			t.Fatalf("the simulator answers %d", resp.StatusCode)
		}
	}
}

func providerToken(t *testing.T, key apnssim.SigningKey) string {
	t.Helper()
	block, _ := pem.Decode([]byte(key.P8))
	private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{"iss": key.TeamID, "iat": time.Now().Unix()})
	token.Header["kid"] = key.KeyID
	text, err := token.SignedString(private)
	if err != nil {
		t.Fatal(err)
	}
	return "bearer " + text
}

const (
	registerIPhone = `relay PUT /v1/device {"live_calls":[],"platform":"ios"}`
	confirmIPhone  = `relay POST /v1/device/calls/c1/confirm {"source":"push","vendor_call_id":"c1"}`
)

func TestIPhone(t *testing.T) {
	t.Parallel()
	b, push := iPhone(t, devicesim.Script{Answer: true}, nil)
	push("voip")
	c := b.until(devicesim.StatusCompleted)
	b.wantRequests(registerIPhone, confirmIPhone, ringing, reported(`"seq":2,"event":"answered","at":"T","media":"video"`),
		reported(`"seq":3,"event":"active","at":"T"`), reported(`"seq":4,"event":"disconnected","at":"T"`))
	if c.VendorCallID != "c1" || c.Presentation != "callkit" {
		t.Errorf("%+v", c)
	}
}

// TestIPhoneStops lets a late wake learn that there is nothing to ring for.
func TestIPhoneStops(t *testing.T) {
	t.Parallel()
	b, push := iPhone(t, devicesim.Script{Answer: true}, map[string][]answer{"confirm": {{200, `{"verdict":"stop","reason":"canceled","last_seq":0}`}}})
	push("voip")
	if c := b.until(devicesim.StatusStopped); c.Reason != "canceled" {
		t.Errorf("%+v", c)
	}
	b.wantRequests(registerIPhone, confirmIPhone)
}

// TestAlert: a notification is nothing to relay until somebody taps it.
func TestAlert(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]devicesim.Script{"left alone": {Answer: true}, "tapped": {Tap: true, TapAfter: time.Millisecond, Answer: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, push := iPhone(t, script, nil)
			push("alert")
			b.until(devicesim.StatusNotified)
			if !script.Tap {
				b.wantRequests(registerIPhone)
				return
			}
			b.until(devicesim.StatusCompleted)
			if got := b.requests(); len(got) != 6 || got[1] != confirmIPhone || got[2] != ringing {
				t.Errorf("requests %q", got)
			}
		})
	}
}
