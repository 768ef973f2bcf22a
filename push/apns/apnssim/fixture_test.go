package apnssim_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pushwake/relay/push/apns/apnssim"
)

const (
	team   = "TEAM123456"
	bundle = "com.example.app"
)

// rig is a running simulator with a key, and a plain HTTP/2 client.
type rig struct {
	t    *testing.T
	sim  *apnssim.Sim
	urls apnssim.URLs
	key  apnssim.SigningKey
	http *http.Client
}

func newRig(t *testing.T, o apnssim.Options, k apnssim.KeyOptions) *rig {
	t.Helper()
	sim, err := apnssim.New(o)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, sim: sim}
	if r.urls, err = sim.Start(apnssim.Addresses{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
	})
	if k.TeamID == "" {
		k.TeamID = team
	}
	if r.key, err = sim.NewKey(k); err != nil {
		t.Fatal(err)
	}
	return r.fresh(t)
}

// fresh is the rig with a connection of its own, for one keeps to its provider
// token.
func (r *rig) fresh(t *testing.T) *rig {
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: r.sim.Roots()}, ForceAttemptHTTP2: true, MaxConnsPerHost: 1}
	t.Cleanup(transport.CloseIdleConnections)
	return &rig{t: t, sim: r.sim, urls: r.urls, key: r.key, http: &http.Client{Transport: transport, Timeout: 10 * time.Second}}
}

// token is a well-formed device token.
func token(n int) string { return fmt.Sprintf("%064x", n+1) }

// bearer signs a provider token as of iat; change alters it first.
func (r *rig) bearer(iat time.Time, change ...func(*jwt.Token)) string {
	r.t.Helper()
	block, _ := pem.Decode([]byte(r.key.P8))
	private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		r.t.Fatal(err)
	}
	tok := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{"iss": r.key.TeamID, "iat": iat.Unix()})
	tok.Header["kid"] = r.key.KeyID
	for _, c := range change {
		c(tok)
	}
	text, err := tok.SignedString(private)
	if err != nil {
		r.t.Fatal(err)
	}
	return "bearer " + text
}

// request is a push as it should be; change alters it.
type request struct {
	method, url, path string
	header            map[string]string
	body              string
}

func (r *rig) good(n int) request {
	return request{
		method: "POST", url: r.urls.Production, path: "/3/device/" + token(n), body: `{"aps":{}}`,
		header: map[string]string{
			"authorization": r.bearer(time.Now()), "apns-push-type": "voip", "apns-topic": bundle + ".voip", "apns-expiration": "0", "apns-priority": "10",
		},
	}
}

type answer struct {
	status    int
	id        string
	unique    string
	Reason    string `json:"reason"`
	Timestamp int64  `json:"timestamp"`
}

func (r *rig) send(q request) answer {
	r.t.Helper()
	a, err := r.try(context.Background(), q)
	if err != nil {
		r.t.Fatal(err)
	}
	return a
}

func (r *rig) try(ctx context.Context, q request) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, q.method, q.url+q.path, strings.NewReader(q.body))
	if err != nil {
		return answer{}, err
	}
	for name, value := range q.header {
		req.Header.Set(name, value)
	}
	resp, err := r.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode, id: resp.Header.Get("apns-id"), unique: resp.Header.Get("apns-unique-id")}
	body, err := io.ReadAll(resp.Body)
	if err == nil && len(body) > 0 {
		err = json.Unmarshal(body, &a)
	}
	return a, err
}

// control asks the control side and decodes its answer.
func (r *rig) control(method, path, body string, status int, into any) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.urls.Control+path, bytes.NewReader([]byte(body)))
	if err != nil {
		r.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != status {
		r.t.Fatalf("%s %s: %d, want %d: %s (%v)", method, path, resp.StatusCode, status, text, err)
	}
	if into != nil {
		if err := json.Unmarshal(text, into); err != nil {
			r.t.Fatalf("%s %s: %v: %s", method, path, err, text)
		}
	}
}
