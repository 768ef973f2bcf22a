package pushkitsim_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/pushwake/relay/push/pushkit/pushkitsim"
)

const (
	projectID  = "736430079244623999"
	otherID    = "736430079244624000"
	subAccount = "116700001"
	keyID      = "k-1"
	token1     = "MAMzLgFixtureToken0001"
	token2     = "MAMzLgFixtureToken0002"
)

// testKey is made once: making RSA keys is the slow part.
var testKey = sync.OnceValues(func() (*rsa.PrivateKey, string) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key, publicPEM(&key.PublicKey)
})

func publicPEM(key *rsa.PublicKey) string {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// clock is a clock that moves when told.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Unix(1761200400, 123e6)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// bench is a simulator on a real socket with one project, and a sender.
type bench struct {
	*testing.T
	sim   *pushkitsim.Sim
	url   string
	clock *clock
}

func start(t *testing.T, o pushkitsim.Options) *bench {
	t.Helper()
	b := &bench{T: t, clock: newClock()}
	if o.Now == nil {
		o.Now = b.clock.Now
	}
	b.sim = pushkitsim.New(o)
	url, err := b.sim.Start("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.sim.Close(); err != nil {
			t.Error(err)
		}
	})
	b.url = url
	_, public := testKey()
	b.addProject(pushkitsim.Project{ID: projectID, SubAccount: subAccount, KeyID: keyID, PublicKey: public})
	return b
}

func (b *bench) addProject(p pushkitsim.Project) {
	b.Helper()
	if err := b.sim.AddProject(p); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) setToken(token string, v pushkitsim.Token) {
	b.Helper()
	if err := b.sim.SetToken(token, v); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) setFaults(rules ...pushkitsim.Fault) {
	b.Helper()
	if err := b.sim.SetFaults(rules...); err != nil {
		b.Fatal(err)
	}
}

// claims are those of a right JWT, an hour long.
func (b *bench) claims() jwt.MapClaims {
	now := b.clock.Now().Unix()
	return jwt.MapClaims{"iss": subAccount, "aud": pushkitsim.TokenURI, "iat": now, "exp": now + 3600}
}

func sign(method jwt.SigningMethod, kid string, claims jwt.MapClaims, key any) string {
	t := jwt.NewWithClaims(method, claims)
	if kid != "" {
		t.Header["kid"] = kid
	}
	text, err := t.SignedString(key)
	if err != nil {
		panic(err)
	}
	return text
}

func (b *bench) jwt() string {
	key, _ := testKey()
	return sign(jwt.SigningMethodPS256, keyID, b.claims(), key)
}

// request is one send; build makes the right one, a test then spoils it.
type request struct {
	method, path, auth, pushType, body string
}

func (b *bench) build(tokens ...string) request {
	if len(tokens) == 0 {
		tokens = []string{token1}
	}
	return request{"POST", "/v3/" + projectID + "/messages:send", "Bearer " + b.jwt(), "10", voipBody(tokens, `{"ttl":45}`)}
}

func voipBody(tokens []string, options string) string {
	list, err := json.Marshal(tokens)
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf(`{"payload":{"extraData":"{\"v\":1}"},"target":{"token":%s},"pushOptions":%s}`, list, options)
}

func (b *bench) try(r request) (status int, body string, err error) {
	req, err := http.NewRequest(r.method, b.url+r.path, bytes.NewBufferString(r.body))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Content-Type", "application/json")
	if r.auth != "" {
		req.Header.Set("Authorization", r.auth)
	}
	if r.pushType != "" {
		req.Header.Set("push-type", r.pushType)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(answer), err
}

func (b *bench) send(r request) (status int, body string) {
	b.Helper()
	status, body, err := b.try(r)
	if err != nil {
		b.Fatal(err)
	}
	return status, body
}

var requestIDForm = regexp.MustCompile(`"requestId":"[0-9]{24}"`)

// wantSend sends and compares the answer byte for byte, the request id as "R".
func (b *bench) wantSend(r request, wantStatus int, wantBody string) {
	b.Helper()
	status, body := b.send(r)
	body = requestIDForm.ReplaceAllString(body, `"requestId":"R"`)
	if status != wantStatus || body != wantBody {
		b.Errorf("answer %d %s\nwant   %d %s", status, body, wantStatus, wantBody)
	}
}

const (
	accepted = `{"code":"80000000","msg":"Success","requestId":"R"}`
	authFail = `{"code":"80200001","msg":"Authentication Error.","requestId":"R"}`
)

// control makes a control request and decodes its answer into out (may be nil).
func (b *bench) control(method, path, body string, wantStatus int, out any) {
	b.Helper()
	req, err := http.NewRequest(method, b.url+path, bytes.NewBufferString(body))
	if err != nil {
		b.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		b.Fatal(err)
	}
	if resp.StatusCode != wantStatus {
		b.Fatalf("%s %s: %d %s, want %d", method, path, resp.StatusCode, answer, wantStatus)
	}
	if out != nil {
		if err := json.Unmarshal(answer, out); err != nil {
			b.Fatalf("%s %s: %v: %s", method, path, err, answer)
		}
	}
}

// deliveries are those to a token so far.
func (b *bench) deliveries(token string) []pushkitsim.Delivery {
	return b.sim.Deliveries(b.Context(), []string{token}, 0, 0)
}

func (b *bench) wantDeliveries(token string, want int) {
	b.Helper()
	if got := len(b.deliveries(token)); got != want {
		b.Errorf("%d deliveries to %s, want %d", got, token, want)
	}
}

// lastVerdict is the verdict and status of the newest recorded request.
func (b *bench) lastVerdict() (string, int) {
	b.Helper()
	all := b.sim.Messages("", 0)
	if len(all) == 0 {
		b.Fatal("nothing was recorded")
	}
	return all[len(all)-1].Verdict, all[len(all)-1].Status
}

func (b *bench) wantVerdict(verdict string, status int) {
	b.Helper()
	if v, s := b.lastVerdict(); v != verdict || s != status {
		b.Errorf("recorded %q with status %d, want %q with %d", v, s, verdict, status)
	}
}

func equal(t *testing.T, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

func TestStartRefusesOtherAddresses(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{"0.0.0.0:0", ":0", "192.0.2.1:0", "example.com:80", "nonsense"} {
		s := pushkitsim.New(pushkitsim.Options{})
		if _, err := s.Start(addr); err == nil {
			t.Errorf("Start(%q) succeeded", addr)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestStartTwice(t *testing.T) {
	t.Parallel()
	b := start(t, pushkitsim.Options{})
	if _, err := b.sim.Start(""); err == nil {
		t.Error("a second Start succeeded")
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	b := start(t, pushkitsim.Options{})
	b.send(b.build())
	var got map[string]any
	b.control("GET", "/sim/healthz", "", 200, &got)
	equal(t, got, map[string]any{"status": "ok", "requests": 1.0, "messages": 1.0, "dropped_messages": 0.0, "deliveries": 1.0, "dropped_deliveries": 0.0})
}

func TestControlHead(t *testing.T) {
	t.Parallel()
	b := start(t, pushkitsim.Options{})
	b.control("HEAD", "/sim/healthz", "", 200, nil)
	b.control("HEAD", "/sim/nothing", "", 404, nil)
}

func TestControlErrors(t *testing.T) {
	t.Parallel()
	b := start(t, pushkitsim.Options{})
	for _, c := range []struct {
		method, path, body string
		status             int
		text               string
	}{
		{"GET", "/sim/nothing", "", 404, "no such path"},
		{"POST", "/sim/faults", "", 405, "no such method here"},
		{"PUT", "/sim/faults", `{"latency":5}`, 400, `unknown field "latency"`},
		{"PUT", "/sim/faults", `[{"reset":true},{"goaway":true}]`, 400, `unknown field "goaway"`},
		{"PUT", "/sim/faults", `{}`, 400, "fault 1: the rule does nothing"},
		{"PUT", "/sim/faults", `{"reset":true}{}`, 400, "there is more after the JSON value"},
		{"PUT", "/sim/faults", ``, 400, "the body is not complete JSON"},
		{"PUT", "/sim/faults", `{"reset":true,"lose_answer":true}`, 400, "fault 1: reset, stall, lose_answer and a scripted answer (status, code, body) exclude each other"},
		{"PUT", "/sim/faults", `{"status":42}`, 400, "fault 1: status is not within 200 and 599"},
		{"PUT", "/sim/faults", `{"latency_ms":-1}`, 400, "fault 1: latency_ms is not within 0 and 600000"},
		{"PUT", "/sim/tokens/short", `{"state":"alive"}`, 400, "the token is not 16 or more letters, digits and +/_-"},
		{"PUT", "/sim/tokens/" + token1, `{"state":"asleep"}`, 400, `state "asleep" is not one of ["alive" "dead" "foreign" "no_right" "offline"]`},
		{"PUT", "/sim/tokens/" + token1, `{"status":"dead"}`, 400, `unknown field "status"`},
		{"PUT", "/sim/projects/p9", `{"sub_account":"1"}`, 400, "sub_account, key_id and public_key come together"},
		{"PUT", "/sim/projects/p9", `{"rights":[10,3]}`, 400, "rights: 3 is not a push type"},
		{"GET", "/sim/projects/p9", ``, 404, "no such project"},
		{"GET", "/sim/messages?after=-1", "", 400, "after is not a whole number within 0 and 4611686018427387904"},
		{"GET", "/sim/deliveries?wait=61", "", 400, "wait is not a whole number within 0 and 60"},
		{"PUT", "/sim/receipts", `{"url":"https://example.com/r"}`, 400, "url is not on a loopback address"},
		{"PUT", "/sim/receipts", `{"url":"ftp://127.0.0.1/r"}`, 400, "url is not an http or https address"},
		{"PUT", "/sim/receipts", `{"url":"http://127.0.0.1/r","secret":"!"}`, 400, "secret is not base64; key_mode raw takes its bytes as they are"},
		{"PUT", "/sim/receipts", `{"url":"http://127.0.0.1/r","batch":101}`, 400, "batch is not within 1 and 100"},
		{"PUT", "/sim/receipts", `{}`, 400, "url is missing; DELETE switches receipts off"},
		{"PUT", "/sim/devices/" + token1 + "/carrier-call", `{}`, 400, "active is missing"},
	} {
		var got map[string]string
		b.control(c.method, c.path, c.body, c.status, &got)
		if got["error"] != c.text {
			t.Errorf("%s %s %s: error %q, want %q", c.method, c.path, c.body, got["error"], c.text)
		}
	}
	if n := len(b.sim.Messages("", 0)); n != 0 {
		t.Errorf("%d control requests were recorded as messages", n)
	}
}
