package pushkit_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/push"
	"github.com/pushwake/relay/push/pushkit"
)

const (
	testProject = "736430079244623999"
	testKeyID   = "k-1"
	testAccount = "116700001"
	testToken   = "MAMzLgFixtureToken0001"
	legToken    = "leg-token-that-speaks-for-one-leg"
)

var testKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func pkcs8(t testing.TB, key any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// keyFields is a key file as Huawei's console gives it.
func keyFields(t testing.TB) map[string]any {
	return map[string]any{
		"project_id": testProject, "key_id": testKeyID, "sub_account": testAccount, "private_key": pkcs8(t, testKey()),
		"auth_uri":               "https://oauth-login.cloud.huawei.com/oauth2/v3/authorize",
		"token_uri":              "https://oauth-login.cloud.huawei.com/oauth2/v3/token",
		"auth_provider_cert_uri": "https://oauth-login.cloud.huawei.com/oauth2/v3/certs",
		"client_cert_uri":        "https://oauth-login.cloud.huawei.com/oauth2/v3/x509?client_id=",
	}
}

func asJSON(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// clock is a time that a test moves.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2025, 10, 23, 6, 20, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// newClient makes a client of the test's key; edit may change its configuration.
func newClient(t testing.TB, baseURL string, edit func(*pushkit.Config)) *pushkit.Client {
	t.Helper()
	c := pushkit.Config{KeyFile: asJSON(t, keyFields(t)), BaseURL: baseURL, Timeout: time.Minute, DialTimeout: time.Minute} // long, for machines under load
	if edit != nil {
		edit(&c)
	}
	client, err := pushkit.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func message() push.Message {
	sent := time.Date(2025, 10, 23, 6, 20, 0, 0, time.UTC)
	return push.Message{
		Attempt: uuid.MustParse("0192f0c4-8a10-7c55-8d21-0b9f8e6a4c02"),
		Channel: call.PushKitVoIP,
		Token:   testToken,
		Locale:  "zh-CN",
		Payload: call.WakePayload{
			Call: uuid.MustParse("0192f0c4-7f6e-7b1a-9b52-3d1c5a0e7f11"), Leg: uuid.MustParse("0192f0c4-7f6e-7b1a-9b52-3d1c5a0e7f12"),
			Token: legToken, Callee: "acct-8841", Presentation: call.CallServiceKit, Media: call.Video, VoiceAnswer: true,
			SentAt: sent, ExpiresAt: sent.Add(45 * time.Second),
			Caller: &call.Party{
				UserID: "u1", Name: "Li Na", AvatarURL: "https://example.com/a/55",
				Enterprise: &call.Enterprise{Company: "Example", Department: "Sales", Position: "Lead", EmployeeID: "7"},
			},
			Enterprise: true,
		},
		RingLeft: 45 * time.Second,
	}
}

// received is one request as a scripted vendor saw it.
type received struct {
	Path   string
	Header http.Header
	Body   []byte
}

// vendor is a scripted server that records what it gets.
type vendor struct {
	*httptest.Server
	mu    sync.Mutex
	seen  []received
	conns map[string]bool
}

// newVendor serves on a real socket; answer writes each answer after the
// request was recorded.
func newVendor(t testing.TB, answer http.HandlerFunc) *vendor {
	t.Helper()
	v := &vendor{conns: map[string]bool{}}
	v.Server = httptest.NewServer(v.record(answer))
	t.Cleanup(v.Close)
	return v
}

func (v *vendor) record(answer http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client has gone
		}
		v.mu.Lock()
		v.seen = append(v.seen, received{r.URL.EscapedPath(), r.Header.Clone(), body})
		v.conns[r.RemoteAddr] = true
		v.mu.Unlock()
		answer(w, r)
	}
}

func (v *vendor) requests() []received {
	v.mu.Lock()
	defer v.mu.Unlock()
	return append([]received(nil), v.seen...)
}

// connections is the number of connections that carried requests.
func (v *vendor) connections() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.conns)
}

// bearers lists the distinct authorizations seen, in order of appearance.
func (v *vendor) bearers() []string {
	var list []string
	known := map[string]bool{}
	for _, r := range v.requests() {
		if a := r.Header.Get("Authorization"); !known[a] {
			known[a] = true
			list = append(list, a)
		}
	}
	return list
}

// reply answers one code the way the vendor does.
func reply(w http.ResponseWriter, status int, code, msg string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"code": code, "msg": msg, "requestId": "176120040012300000000701"})
}

func accept(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, "80000000", "Success") }
