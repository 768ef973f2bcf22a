package webhook_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/push/webhook"
	"github.com/pushwake/relay/store"
	"github.com/pushwake/relay/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

const app = "demo"

var masterKey = []byte(strings.Repeat("k", store.MasterKeyBytes))

// rig is a database with the app demo, and any number of relay processes.
type rig struct {
	t   testing.TB
	url string
}

// process is one relay process.
type process struct {
	*store.Store
	t        testing.TB
	registry *prometheus.Registry
	once     sync.Once
	stop     func()
}

func newRig(t testing.TB) *rig { return &rig{t: t, url: storetest.Database(t)} }

// quick tries again at once, and many times.
var quick = webhook.Schedule{Live: slices.Repeat([]time.Duration{20 * time.Millisecond}, 10), Late: slices.Repeat([]time.Duration{50 * time.Millisecond}, 100)}

// process starts one.
func (r *rig) process(changes ...func(*webhook.Config)) *process {
	r.t.Helper()
	p := &process{t: r.t, registry: prometheus.NewRegistry()}
	var err error
	if p.Store, err = store.Open(r.t.Context(), store.Config{URL: r.url, MaxConns: 8, MasterKeys: [][]byte{masterKey}, Heartbeat: 50 * time.Millisecond, SilentAfter: 5 * time.Second}); err != nil {
		r.t.Fatal(err)
	}
	if _, _, _, err := p.ChangeApp(r.t.Context(), app, call.PolicyChange{}); err != nil {
		r.t.Fatal(err)
	}
	config := webhook.Config{
		Store: p.Store, Render: render, Guard: webhook.Guard{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, Schedule: quick,
		Look: 50 * time.Millisecond, Timeout: 10 * time.Second, Drain: 5 * time.Second, Registerer: p.registry,
	}
	for _, change := range changes {
		change(&config)
	}
	d := webhook.New(config)
	background, cancel := context.WithCancel(context.Background())
	delivering, end := context.WithCancel(context.Background())
	var running, deliveries sync.WaitGroup
	running.Go(func() { _ = p.Run(background) })
	deliveries.Go(func() { _ = d.Run(delivering) })
	p.stop = func() {
		p.once.Do(func() {
			end()
			deliveries.Wait()
			cancel()
			running.Wait()
			p.Close()
		})
	}
	r.t.Cleanup(p.stop)
	return p
}

// render is an event's JSON, as far as the tests look at it.
func render(e store.LoggedEvent) ([]byte, error) {
	return json.Marshal(told{ID: e.ID, Type: string(e.Type), Call: e.CallID, Seq: e.CallSeq, Webhook: e.Webhook})
}

type told struct {
	ID      uuid.UUID       `json:"id"`
	Type    string          `json:"type"`
	Call    uuid.UUID       `json:"call"`
	Seq     int             `json:"seq"`
	Webhook json.RawMessage `json:"webhook,omitempty"`
}

// arrival is a delivery as an endpoint got it.
type arrival struct {
	told
	envelope string // the type
	at       time.Time
	header   http.Header
	body     []byte
	status   int // what it was answered
}

// endpoint is a backend's, which notes what arrives and answers as it is told.
type endpoint struct {
	*httptest.Server
	t      testing.TB
	answer func(http.ResponseWriter, arrival) int // 0 means that it has answered itself
	mu     sync.Mutex
	all    []arrival
}

func newEndpoint(t testing.TB, answer func(http.ResponseWriter, arrival) int) *endpoint {
	t.Helper()
	e := &endpoint{t: t, answer: answer}
	if answer == nil {
		e.answer = func(http.ResponseWriter, arrival) int { return http.StatusNoContent }
	}
	e.Server = httptest.NewServer(e)
	t.Cleanup(e.Close)
	return e
}

// ServeHTTP takes a delivery.
func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var envelope struct {
		Type, Timestamp string
		Data            told
	}
	if err == nil {
		err = json.Unmarshal(body, &envelope)
	}
	if err != nil {
		e.t.Errorf("a delivery's body: %v: %s", err, body)
	}
	a := arrival{told: envelope.Data, envelope: envelope.Type, at: time.Now(), header: r.Header, body: body}
	if a.header.Get("webhook-id") != a.ID.String() || envelope.Type != a.Type {
		e.t.Errorf("webhook-id %s and type %s of %s", a.header.Get("webhook-id"), envelope.Type, body)
	}
	if a.status = e.answer(w, a); a.status != 0 {
		w.WriteHeader(a.status)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, a)
}

// arrived is what was taken, each event once, in the order in which it came.
func (e *endpoint) arrived() (taken []arrival) {
	seen := map[uuid.UUID]bool{}
	for _, a := range e.requests() {
		if a.status < 300 && !seen[a.ID] {
			seen[a.ID] = true
			taken = append(taken, a)
		}
	}
	return taken
}

func (e *endpoint) requests() []arrival {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.all)
}

// hook makes a webhook that leads to an endpoint, and returns its secret.
func (p *process) hook(e *endpoint, types ...call.EventType) (store.Webhook, string) {
	p.t.Helper()
	w, secret, err := p.CreateWebhook(p.t.Context(), store.Webhook{AppID: app, URL: e.URL, Types: types})
	if err != nil {
		p.t.Fatal(err)
	}
	return w, secret
}

// call makes a call to a user's connected watch, which rings until it is canceled.
func (p *process) call(user string) call.Call {
	p.t.Helper()
	_, err := p.PutDevice(p.t.Context(), store.Registration{
		AppID: app, Device: call.Device{ID: "watch-" + user, UserID: user, Platform: call.HarmonyOS, Type: call.Wearable, SystemVersion: "6.1.0(23)", CallUI: call.CallServiceKit},
		Region: map[call.EvidenceSource]string{call.FromBackend: "CN"},
	})
	if err != nil {
		p.t.Fatal(err)
	}
	feed, err := p.OpenFeed(p.t.Context(), app, "watch-"+user, user)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(feed.Close)
	c, err := p.CreateCall(p.t.Context(), store.Invite{
		AppID: app, Caller: call.Party{UserID: "caller"}, Callee: call.Party{UserID: user}, Media: call.Voice, Ring: time.Minute,
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

func (p *process) cancel(c call.Call) {
	p.t.Helper()
	if _, err := p.CancelCall(p.t.Context(), app, c.ID); err != nil {
		p.t.Fatal(err)
	}
}

// unreachable makes a call that is over at once: two events.
func (p *process) unreachable(user string) call.Call {
	p.t.Helper()
	c, err := p.CreateCall(p.t.Context(), store.Invite{
		AppID: app, Caller: call.Party{UserID: "caller"}, Callee: call.Party{UserID: user}, Media: call.Voice, Ring: time.Minute,
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

// settled waits until the end of the log is behind a call's events: a new webhook
// gets none of them.
func (p *process) settled(c call.Call) {
	p.t.Helper()
	eventually(p.t, func() string { return "the end of the log" }, func() bool {
		end, err := p.EndOfLog(p.t.Context())
		if err != nil {
			p.t.Fatal(err)
		}
		page, err := p.Events(p.t.Context(), store.EventQuery{AppID: app, CallID: c.ID, Limit: 100})
		if err != nil {
			p.t.Fatal(err)
		}
		n := len(page.Events)
		return n == c.Seq && page.Events[n-1].Position.XID <= end.XID
	})
}

func (p *process) look(w store.Webhook) store.Webhook {
	p.t.Helper()
	now, err := p.Webhook(p.t.Context(), w.AppID, w.ID)
	if err != nil {
		p.t.Fatal(err)
	}
	return now
}

// deliveries are those of an endpoint, the oldest first.
func (p *process) deliveries(w store.Webhook, status store.DeliveryStatus) []store.Delivery {
	p.t.Helper()
	page, _, err := p.Deliveries(p.t.Context(), store.DeliveryFilter{AppID: w.AppID, WebhookID: w.ID, Status: status, Limit: 100_000})
	if err != nil {
		p.t.Fatal(err)
	}
	slices.Reverse(page)
	return page
}

// verified fails the test where a delivery is not signed with a secret, by the
// project's own library.
func verified(t testing.TB, a arrival, secrets ...string) {
	t.Helper()
	for _, secret := range secrets {
		theirs, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			t.Fatal(err)
		}
		if err := theirs.Verify(a.body, a.header); err != nil {
			t.Errorf("%s: %v", a.Type, err)
		}
	}
}

// eventually waits for what must come to pass.
func eventually(t testing.TB, what func() string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what())
		}
	}
}

// awaits waits until that many events were taken.
func (e *endpoint) awaits(n int) []arrival {
	e.t.Helper()
	eventually(e.t, func() string { return fmt.Sprintf("%d events; there are %d", n, len(e.arrived())) }, func() bool { return len(e.arrived()) >= n })
	return e.arrived()
}

// inOrder fails the test where the events of a call did not come as 1, 2, 3, ….
func inOrder(t testing.TB, all []arrival) {
	t.Helper()
	last := map[uuid.UUID]int{}
	for _, a := range all {
		if a.Call == uuid.Nil {
			continue
		}
		if a.Seq != last[a.Call]+1 {
			t.Errorf("event %d of call %s came after event %d", a.Seq, a.Call, last[a.Call])
		}
		last[a.Call] = a.Seq
	}
}

// quantile is the value below which a part of all lies.
func quantile(all []time.Duration, part float64) time.Duration {
	slices.Sort(all)
	return all[min(int(float64(len(all))*part), len(all)-1)]
}
