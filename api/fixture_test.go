package api_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pushwake/relay"
	"github.com/pushwake/relay/api"
	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/push"
	"github.com/pushwake/relay/push/apns"
	"github.com/pushwake/relay/push/apns/apnssim"
	"github.com/pushwake/relay/push/pushkit"
	"github.com/pushwake/relay/push/pushkit/pushkitsim"
	"github.com/pushwake/relay/push/webhook"
	"github.com/pushwake/relay/store"
	"github.com/pushwake/relay/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

const (
	project  = "736430079244623999"
	app      = "demo"
	otherApp = "other"
)

// vendor is the one Push Kit simulator of the test binary, with a key file.
type vendor struct {
	sim  *pushkitsim.Sim
	url  string
	file []byte
}

var pushKit = sync.OnceValues(newPushKit)

func newPushKit() (vendor, error) {
	v := vendor{sim: pushkitsim.New(pushkitsim.Options{})}
	var err error
	if v.url, err = v.sim.Start("127.0.0.1:0"); err != nil {
		return v, err
	}
	v.file, err = v.sim.NewServiceAccount(project)
	return v, err
}

// apple is the one APNs simulator of the test binary, with connections and a
// credential.
type apple struct {
	sim        *apnssim.Sim
	pools      *apns.Pools
	credential []byte
}

var aPNs = sync.OnceValues(func() (apple, error) { return newAPNs("") })

// newAPNs makes one whose sandbox is elsewhere, unless that is "".
func newAPNs(sandbox string) (v apple, err error) {
	if v.sim, err = apnssim.New(apnssim.Options{}); err != nil {
		return v, err
	}
	urls, err := v.sim.Start(apnssim.Addresses{})
	if err != nil {
		return v, err
	}
	key, err := v.sim.NewKey(apnssim.KeyOptions{TeamID: "TEAM123456"})
	if err != nil {
		return v, err
	}
	v.credential, err = apns.Credential{TeamID: key.TeamID, KeyID: key.KeyID, P8: key.P8, BundleID: "com.example.app"}.Marshal()
	if err != nil {
		return v, err
	}
	v.pools, err = apns.NewPools(apns.PoolsConfig{ProductionURL: urls.Production, SandboxURL: cmp.Or(sandbox, urls.Sandbox), RootCAs: v.sim.Roots()})
	return v, err
}

// rig is a relay as it runs: store, dispatcher, both vendors and the API on a
// socket, with the apps demo and other.
type rig struct {
	name                    string // no other rig has it
	t                       testing.TB
	url                     string
	db                      string
	store                   *store.Store
	tokens                  *api.Tokens
	vendor                  vendor
	apple                   apple
	client                  *http.Client
	log                     *journal
	witness                 *witness
	drain                   chan struct{} // closed, the process stops
	example                 string        // what the next exchanges are examples of
	backend, foreign, admin string        // keys
}

// stallAfter is when a rig's API gives a client up that does not read.
const stallAfter = 2 * time.Second

// journal is what a rig's API has logged.
type journal struct {
	mu    sync.Mutex
	lines []object
}

func (j *journal) Write(line []byte) (int, error) {
	o := object{}
	if err := json.Unmarshal(line, &o); err != nil {
		return 0, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, o)
	return len(line), nil
}

// of is the line of a request; nil before it has one.
func (j *journal) of(requestID string) object {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, line := range j.lines {
		if line["request_id"] == requestID {
			return line
		}
	}
	return nil
}

var masterKey = bytes.Repeat([]byte("m"), store.MasterKeyBytes)

// newRig starts one, with a store that is configured otherwise where that is given.
func newRig(t testing.TB, configure ...func(*store.Config)) *rig {
	t.Helper()
	r := &rig{t: t, name: rand.Text(), db: storetest.Database(t), drain: make(chan struct{})}
	var err error
	if r.vendor, err = pushKit(); err != nil {
		t.Fatal(err)
	}
	if r.apple, err = aPNs(); err != nil {
		t.Fatal(err)
	}
	if r.tokens, err = api.NewTokens([][]byte{masterKey}); err != nil {
		t.Fatal(err)
	}
	var dispatcher *push.Dispatcher
	config := store.Config{
		URL: r.db, MaxConns: 8, MasterKeys: [][]byte{masterKey},
		OnWakes: func(w []store.Wake) { dispatcher.Enqueue(w) }, Full: func() bool { return dispatcher.Full() },
	}
	for _, f := range configure {
		f(&config)
	}
	r.store = storetest.Open(t, config)
	dispatcher = push.New(push.Config{Store: r.store, WakeToken: r.tokens.Wake, Drain: time.Second, Senders: r.open})
	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- r.store.Run(ctx) }()
	t.Cleanup(func() {
		dispatcher.Close()
		stop()
		if err := <-ran; err != nil {
			t.Errorf("the store's work: %v", err)
		}
	})
	r.log = &journal{}
	guard := webhook.Guard{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	deliverer := webhook.New(webhook.Config{Store: r.store, Render: api.EventJSON, Guard: guard, Look: 100 * time.Millisecond, Drain: time.Second})
	delivering, stopDelivering := context.WithCancel(context.Background())
	delivered := make(chan error, 1)
	go func() { delivered <- deliverer.Run(delivering) }()
	t.Cleanup(func() {
		stopDelivering()
		if err := <-delivered; err != nil {
			t.Errorf("the deliverer: %v", err)
		}
	})
	server := httptest.NewUnstartedServer(api.New(api.Config{
		Store: r.store, Tokens: r.tokens, Spec: relay.OpenAPI, StallAfter: stallAfter, Logger: slog.New(slog.NewJSONHandler(r.log, nil)),
		Vendors: vendors{dispatcher}, Callbacks: callbacks{r.store}, CheckWebhookURL: guard.CheckURL, Heartbeat: 100 * time.Millisecond, Draining: r.drain,
	}))
	// An answer waits for its client, and not in the kernel.
	server.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if err := c.(*net.TCPConn).SetWriteBuffer(16 << 10); err != nil {
			t.Error(err)
		}
		return ctx
	}
	server.Start()
	t.Cleanup(server.Close)
	r.witness = &witness{t: t, next: server.Client().Transport}
	r.url, r.client = server.URL, &http.Client{Transport: r.witness, Timeout: time.Minute}
	r.install(app)
	r.install(otherApp)
	r.backend, r.foreign, r.admin = r.key(app, store.BackendKey), r.key(otherApp, store.BackendKey), r.key("", store.AdminKey)
	return r
}

// vendors joins the packages that speak to vendors, as cmd/relay does.
type vendors struct{ dispatcher *push.Dispatcher }

func (v vendors) Preview(ctx context.Context, w store.Wake) (api.Preview, error) {
	r, err := v.dispatcher.Preview(ctx, w)
	var unbuilt *push.UnbuiltError
	if errors.As(err, &unbuilt) {
		err = &api.UnbuiltError{Err: unbuilt.Err}
	}
	return api.Preview{Method: r.Method, URL: r.URL, Header: r.Header, Body: r.Body}, err
}

func (vendors) ExplainReceipt(_ call.Channel, result int64) call.Explanation {
	r := pushkit.ReceiptOf(result)
	return call.Explanation{Meaning: r.Meaning, Advice: r.Advice}
}

func (vendors) Explain(channel call.Channel, code string, status int) call.Explanation {
	a := push.Answer{Code: code, Status: status}
	if channel.Vendor() == call.APNs {
		return apns.Explain(a)
	}
	return pushkit.Explain(a)
}

// callbacks judges callbacks by the credentials of the apps, as cmd/relay does.
type callbacks struct{ store *store.Store }

func (c callbacks) CheckCallback(ctx context.Context, appID, header string) (signed bool, err error) {
	credential, err := c.store.Credential(ctx, appID, call.PushKit)
	if err != nil {
		return false, err
	}
	callback, err := pushkit.CallbackOf(credential.Secret)
	if err != nil || !callback.Set() {
		return false, err
	}
	if err := callback.Check(header, c.store.Now()); err != nil {
		return false, fmt.Errorf("%w: %w", api.ErrUnsigned, err)
	}
	return true, nil
}

func (callbacks) ReceiptAction(result int64) call.ReceiptAction {
	return pushkit.ReceiptOf(result).Action
}

// in is the rig for a part of the test.
func (r *rig) in(t testing.TB) *rig {
	part := *r
	part.t = t
	return &part
}

// show is the rig for an exchange that is an example in the document.
func (r *rig) show(example string) *rig {
	shown := *r
	shown.example = example
	return &shown
}

func (r *rig) open(ctx context.Context, appID string, v call.Vendor) (push.Sender, error) {
	c, err := r.store.Credential(ctx, appID, v)
	if err != nil {
		return nil, err
	}
	if v == call.APNs {
		return apns.New(apns.Config{Credential: c.Secret, Pools: r.apple.pools})
	}
	return pushkit.New(pushkit.Config{KeyFile: c.Secret, BaseURL: r.vendor.url})
}

func (r *rig) install(id string) {
	r.t.Helper()
	if _, err := r.store.PutApp(r.t.Context(), id, call.DefaultPolicy()); err != nil {
		r.t.Fatal(err)
	}
	for vendor, secret := range map[call.Vendor][]byte{call.PushKit: r.vendor.file, call.APNs: r.apple.credential} {
		if err := r.store.PutCredential(r.t.Context(), store.Credential{AppID: id, Vendor: vendor, Secret: secret, About: map[string]string{}}); err != nil {
			r.t.Fatal(err)
		}
	}
}

func (r *rig) key(appID string, p store.Principal) string {
	r.t.Helper()
	text, _, err := r.store.CreateKey(r.t.Context(), appID, p, "test")
	if err != nil {
		r.t.Fatal(err)
	}
	return text
}

// jwt is a device's token as of now.
func (r *rig) jwt(user, device string) string {
	r.t.Helper()
	token, _, err := r.tokens.Device(app, user, device, r.store.Now())
	if err != nil {
		r.t.Fatal(err)
	}
	return token
}

// object is JSON as a test reads and writes it.
type object = map[string]any

// answer is what the API said.
type answer struct {
	t      testing.TB
	what   string
	status int
	header http.Header
	body   []byte
	object
}

// ask sends a request. A body that is a string or bytes goes as it is, with
// headers in pairs.
func (r *rig) ask(bearer, method, path string, body any, headers ...string) answer {
	r.t.Helper()
	var sent []byte
	switch b := body.(type) {
	case nil:
	case string:
		sent = []byte(b)
	case []byte:
		sent = b
	default:
		var err error
		if sent, err = json.Marshal(b); err != nil {
			r.t.Fatal(err)
		}
	}
	ctx := context.WithValue(r.t.Context(), exampleName{}, r.example)
	req, err := http.NewRequestWithContext(ctx, method, r.url+path, bytes.NewReader(sent))
	if err != nil {
		r.t.Fatal(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := r.client.Do(req)
	if err != nil {
		r.t.Errorf("%s %s: %v", method, path, err) // also from other goroutines
		return answer{t: r.t, what: method + " " + path}
	}
	defer resp.Body.Close()
	a := answer{t: r.t, what: method + " " + path, status: resp.StatusCode, header: resp.Header}
	if a.body, err = io.ReadAll(resp.Body); err != nil {
		r.t.Error(err)
	}
	if kind := resp.Header.Get("Content-Type"); strings.Contains(kind, "json") && kind != ndjson && method != http.MethodHead {
		if err := json.Unmarshal(a.body, &a.object); err != nil {
			r.t.Errorf("%s: %v: %s", a.what, err, a.body)
		}
	}
	return a
}

// want fails the test where the status is another one.
func (a answer) want(status int) answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("%s: %d, want %d\n%s", a.what, a.status, status, a.body)
	}
	return a
}

// refused wants a problem with this status and code.
func (a answer) refused(status int, code api.Code) answer {
	a.t.Helper()
	a.want(status)
	if a.object["code"] != string(code) || a.object["request_id"] != a.header.Get("X-Request-Id") || a.header.Get("Content-Type") != "application/problem+json" {
		a.t.Fatalf("%s: %s %s, want the problem %s", a.what, a.header.Get("Content-Type"), a.body, code)
	}
	return a
}

// get follows names and indexes down into the answer.
func (a answer) get(path ...any) any {
	a.t.Helper()
	var v any = a.object
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, ok := v.(object)
			if !ok {
				a.t.Fatalf("%s: no %v in %s", a.what, path, a.body)
			}
			v = m[p]
		case int:
			l, ok := v.([]any)
			if !ok || p >= len(l) {
				a.t.Fatalf("%s: no %v in %s", a.what, path, a.body)
			}
			v = l[p]
		}
	}
	return v
}

// has wants a value at a path.
func (a answer) has(want any, path ...any) answer {
	a.t.Helper()
	if got := a.get(path...); got != want {
		a.t.Fatalf("%s: %v is %v, want %v\n%s", a.what, path, got, want, a.body)
	}
	return a
}

func (a answer) text(path ...any) string {
	a.t.Helper()
	s, ok := a.get(path...).(string)
	if !ok {
		a.t.Fatalf("%s: %v is no text\n%s", a.what, path, a.body)
	}
	return s
}

// phone is a HarmonyOS phone in mainland China.
func phone(user, token string, changes ...object) object {
	o := object{
		"user_id": user, "platform": "harmonyos", "device_type": "phone", "system_version": "6.1.0(23)", "region": object{"country": "CN"},
	}
	if token != "" {
		o["tokens"] = object{"push_kit": token}
	}
	for _, c := range changes {
		for k, v := range c {
			o[k] = v
		}
	}
	return o
}

func invite(callee string, changes ...object) object {
	o := object{"caller": object{"user_id": "u1", "name": "Li Na"}, "callee": object{"user_id": callee}, "media": "video"}
	for _, c := range changes {
		for k, v := range c {
			o[k] = v
		}
	}
	return o
}

func report(seq int, event string, changes ...object) object {
	o := object{"seq": seq, "event": event, "at": "2026-11-23T09:00:00.000Z"}
	for _, c := range changes {
		for k, v := range c {
			o[k] = v
		}
	}
	return o
}

// token is a device's vendor token, which no other rig on the shared simulator has.
func (r *rig) token(device string) string { return "MA" + r.name + device }

// eventually waits until something is so; the time allowed is for a machine
// that is busy with other things.
func eventually(t testing.TB, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
