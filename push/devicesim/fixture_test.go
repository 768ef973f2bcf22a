package devicesim_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/pushwake/relay/push/devicesim"
	"github.com/pushwake/relay/push/pushkit/pushkitsim"
)

const (
	projectID = "736430079244623999"
	pushToken = "MAMzLgFixtureToken+001/x"
	patience  = 10 * time.Second
)

var testKey = sync.OnceValues(func() (*rsa.PrivateKey, string) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		panic(err)
	}
	return key, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
})

// answer is what the scripted relay says; status -1 drops the connection.
type answer struct {
	status int
	body   string
}

const (
	confirmRing = `{"verdict":"ring","reason":null,"call":{},"leg":{"status":"confirmed"},"last_seq":0,"expires_in_ms":45000}`
	polledRing  = `{"verdict":"ring","reason":null,"call":{},"leg":{"status":"ringing"}}`
	problem     = `{"type":"about:blank","title":"x","status":409,"code":%q}`
)

// bench is one device between a scripted relay and the Push Kit simulator. It
// keeps what the device asked of both, in order.
type bench struct {
	*testing.T
	sim      *pushkitsim.Sim
	device   *devicesim.Device
	relayURL string
	kitURL   string
	events   chan devicesim.Call
	feeds    chan *feed
	stop     context.CancelFunc
	done     chan error

	mu      sync.Mutex
	log     []string
	auth    map[string]bool
	answers map[string][]answer // by key of route, used up from the front; the last one stays
}

// start runs a device with the script; the relay gives the answers by
// "confirm", "poll", or the event of a report, and says yes where there are none.
func start(t *testing.T, script devicesim.Script, answers map[string][]answer, change func(*devicesim.Config)) *bench {
	t.Helper()
	b := &bench{T: t, events: make(chan devicesim.Call, 100), feeds: make(chan *feed, 100), answers: answers, auth: map[string]bool{}}
	relay := httptest.NewServer(http.HandlerFunc(b.serveRelay))
	t.Cleanup(relay.Close)
	b.sim = pushkitsim.New(pushkitsim.Options{})
	_, public := testKey()
	if err := b.sim.AddProject(pushkitsim.Project{ID: projectID, SubAccount: "116700001", KeyID: "k-1", PublicKey: public}); err != nil {
		t.Fatal(err)
	}
	kit := httptest.NewServer(http.HandlerFunc(b.serveKit))
	t.Cleanup(kit.Close)
	t.Cleanup(func() {
		if err := b.sim.Close(); err != nil {
			t.Error(err)
		}
	})
	b.relayURL, b.kitURL = relay.URL, kit.URL
	b.device = b.run(script, change)
	return b
}

func (b *bench) run(script devicesim.Script, change func(*devicesim.Config)) *devicesim.Device {
	c := devicesim.Config{
		RelayURL: b.relayURL, PushKitURL: b.kitURL, DeviceToken: "device-jwt", DeviceID: "d1", UserID: "u2",
		Registration: map[string]any{"platform": "harmonyos"}, PushKitToken: pushToken, Script: script,
		OnEvent: func(c devicesim.Call) { b.events <- c }, HTTPClient: &http.Client{Transport: &http.Transport{}},
		RetryPause: time.Millisecond, PollEvery: time.Hour, NoFeed: true,
	}
	if change != nil {
		change(&c)
	}
	ctx, stop := context.WithCancel(context.Background())
	d := devicesim.New(c)
	done := make(chan error, 1)
	b.stop, b.done = stop, done
	go func() { done <- d.Run(ctx) }()
	b.Cleanup(func() {
		stop()
		b.wantEnd(done)
		c.HTTPClient.CloseIdleConnections()
	})
	return d
}

func (b *bench) wantEnd(done chan error) {
	b.Helper()
	select {
	case err := <-done:
		if err != nil {
			b.Errorf("Run: %v", err)
		}
		done <- nil // for who asks again
	case <-time.After(patience):
		b.Error("Run does not end")
	}
}

var atForm = regexp.MustCompile(`"at":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"`)

func (b *bench) serveRelay(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		b.Error(err)
	}
	key := strings.TrimPrefix(r.URL.Path, "/v1/device/calls/c1/")
	switch {
	case r.URL.Path == "/v1/device":
		key = "register"
	case r.URL.Path == "/v1/device/calls":
		b.serveFeed(w, r)
		return
	case r.Method == "GET":
		key = "poll"
	case key == "reports":
		var in struct{ Reports []struct{ Event string } }
		if err := json.Unmarshal(body, &in); err != nil || len(in.Reports) != 1 {
			b.Errorf("reports %s: %v", body, err)
			return
		}
		key = in.Reports[0].Event
	}
	b.mu.Lock()
	b.auth[key+" "+r.Header.Get("Authorization")] = true
	if key != "poll" {
		b.log = append(b.log, "relay "+r.Method+" "+r.URL.Path+" "+string(body))
	}
	a := answer{200, map[string]string{"confirm": confirmRing, "poll": polledRing}[key]}
	if a.body == "" {
		a.body = `{"last_seq":1,"leg":{},"call":{}}`
	}
	if list := b.answers[key]; len(list) > 0 {
		if a = list[0]; len(list) > 1 {
			b.answers[key] = list[1:]
		}
	}
	b.mu.Unlock()
	if a.status < 0 {
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.body)
}

func (b *bench) serveKit(w http.ResponseWriter, r *http.Request) {
	if r.Method == "POST" && strings.HasPrefix(r.URL.Path, "/sim/devices/") {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			b.Error(err)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		var in struct{ VoipCallState, State, Cause *int }
		if err := json.Unmarshal(body, &in); err != nil {
			b.Error(err)
		}
		line := "kit " + r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
		for _, v := range []*int{in.VoipCallState, in.State, in.Cause} {
			if v != nil {
				line += fmt.Sprint(" ", *v)
			}
		}
		b.mu.Lock()
		b.log = append(b.log, line)
		b.mu.Unlock()
	}
	b.sim.ServeHTTP(w, r)
}

// payload is a wake of call c1, with edits.
func (b *bench) payload(leg string, edit map[string]any) map[string]any {
	p := map[string]any{"v": 1, "call": "c1", "leg": leg, "token": "wake-" + leg, "callee": "u2", "presentation": "callkit", "media": "video", "voice_answer": true,
		"expires_at": time.Now().Add(45 * time.Second).UnixMilli(), "caller": map[string]any{"user_id": "u1", "name": "Li Na"}}
	for k, v := range edit {
		p[k] = v
	}
	return p
}

// wake sends a wake of call c1 through Push Kit; with edits of its payload.
func (b *bench) wake(leg string, edit map[string]any) {
	b.Helper()
	extra, err := json.Marshal(b.payload(leg, edit))
	if err != nil {
		b.Fatal(err)
	}
	body, err := json.Marshal(map[string]any{"payload": map[string]any{"extraData": string(extra)},
		"target": map[string]any{"token": []string{pushToken}}, "pushOptions": map[string]any{"ttl": 45}})
	if err != nil {
		b.Fatal(err)
	}
	key, _ := testKey()
	now := time.Now().Unix()
	t := jwt.NewWithClaims(jwt.SigningMethodPS256, jwt.MapClaims{"iss": "116700001", "aud": pushkitsim.TokenURI, "iat": now, "exp": now + 3600})
	t.Header["kid"] = "k-1"
	bearer, err := t.SignedString(key)
	if err != nil {
		b.Fatal(err)
	}
	r := httptest.NewRequest("POST", "/v3/"+projectID+"/messages:send", bytes.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+bearer)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("push-type", "10")
	w := httptest.NewRecorder()
	b.sim.ServeHTTP(w, r)
	if w.Code != 200 || !strings.Contains(w.Body.String(), "80000000") {
		b.Fatalf("send: %d %s", w.Code, w.Body)
	}
}

// until waits for a call to come to a status.
func (b *bench) until(status devicesim.Status) devicesim.Call {
	b.Helper()
	timeout := time.After(patience)
	for {
		select {
		case c := <-b.events:
			if c.Status == status {
				return c
			}
		case <-timeout:
			b.Fatalf("no call became %s; requests:\n%s", status, strings.Join(b.requests(), "\n"))
		}
	}
}

// requests are those so far; ids that Push Kit made read "pk", times "T".
func (b *bench) requests() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	pk := regexp.MustCompile(`"pk-[^"]*"`)
	out := make([]string, len(b.log))
	for i, line := range b.log {
		out[i] = strings.TrimSpace(pk.ReplaceAllString(atForm.ReplaceAllString(line, `"at":"T"`), `"pk"`))
	}
	return out
}

const (
	register = `relay PUT /v1/device {"live_calls":[],"platform":"harmonyos"}`
	confirm  = `relay POST /v1/device/calls/c1/confirm {"source":"push","vendor_call_id":"pk"}`
	showCall = "kit report-incoming-call 1"
	ringing  = `relay POST /v1/device/calls/c1/reports {"reports":[{"seq":1,"event":"ringing","at":"T"}]}`
	ended    = "kit report-call-state-change 4"
	answerIt = "kit report-call-state-change 6"
)

func reported(rest string) string {
	return `relay POST /v1/device/calls/c1/reports {"reports":[{` + rest + `}]}`
}

func (b *bench) wantRequests(want ...string) {
	b.Helper()
	if diff := cmp.Diff(want, b.requests()); diff != "" {
		b.Errorf("requests (-want +got):\n%s", diff)
	}
}
