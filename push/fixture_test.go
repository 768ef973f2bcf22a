package push_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/push"
	"github.com/pushwake/relay/push/pushkit"
	"github.com/pushwake/relay/push/pushkit/pushkitsim"
	"github.com/pushwake/relay/store"
	"github.com/pushwake/relay/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

const app = "demo"

var masterKey = []byte(strings.Repeat("k", store.MasterKeyBytes))

// rig is a database, a simulated vendor and any number of relay processes.
type rig struct {
	t   testing.TB
	url string
	sim *pushkitsim.Sim
	web *httptest.Server

	mu   sync.Mutex
	auth []string // the Authorization of each request, whole
}

func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{t: t, url: storetest.Database(t), sim: pushkitsim.New(pushkitsim.Options{})}
	r.web = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r.mu.Lock()
		r.auth = append(r.auth, q.Header.Get("Authorization"))
		r.mu.Unlock()
		r.sim.ServeHTTP(w, q)
	}))
	t.Cleanup(func() {
		_ = r.sim.Close()
		r.web.Close()
	})
	return r
}

func (r *rig) faults(f ...pushkitsim.Fault) {
	r.t.Helper()
	if err := r.sim.SetFaults(f...); err != nil {
		r.t.Fatal(err)
	}
}

// authorizations are those of the requests so far, in order.
func (r *rig) authorizations() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.auth...)
}

// sql runs a statement in a session of its own, in the database of that name.
func (r *rig) sql(database, statement string, args ...any) {
	r.t.Helper()
	config, err := pgx.ParseConfig(r.url)
	if err != nil {
		r.t.Fatal(err)
	}
	if database != "" {
		config.Database = database
	}
	conn, err := pgx.ConnectConfig(context.Background(), config)
	if err != nil {
		r.t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(context.Background(), statement, args...); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) database() string {
	config, err := pgx.ParseConfig(r.url)
	if err != nil {
		r.t.Fatal(err)
	}
	return config.Database
}

// process is one relay process.
type process struct {
	*store.Store
	*push.Dispatcher
	t        testing.TB
	registry *prometheus.Registry
	once     sync.Once
	stop     func()
}

// settings are what a test may change about a process.
type settings struct {
	store   store.Config
	push    push.Config
	noRun   bool // no heartbeat and no other background work
	senders func(*process) func(context.Context, string, call.Vendor) (push.Sender, error)
}

// process starts one; intervals are short, but nobody falls silent by chance.
func (r *rig) process(changes ...func(*settings)) *process {
	r.t.Helper()
	p := &process{t: r.t, registry: prometheus.NewRegistry()}
	s := settings{
		store: store.Config{
			URL: r.url, MaxConns: 6, MasterKeys: [][]byte{masterKey}, Heartbeat: 50 * time.Millisecond, SilentAfter: time.Minute, Sweep: 50 * time.Millisecond,
			OnWakes: func(w []store.Wake) { p.Enqueue(w) }, Full: func() bool { return p.Full() },
		},
		push: push.Config{
			WakeToken: func(w store.Wake) (string, error) { return "wake-" + w.LegID.String(), nil },
			Margin:    200 * time.Millisecond, Drain: 5 * time.Second, Registerer: p.registry,
			Backoff: []time.Duration{10 * time.Millisecond, 20 * time.Millisecond, 40 * time.Millisecond, 80 * time.Millisecond},
		},
	}
	for _, change := range changes {
		change(&s)
	}
	st, err := store.Open(r.t.Context(), s.store)
	if err != nil {
		r.t.Fatal(err)
	}
	p.Store, s.push.Store = st, st
	s.push.Senders = func(ctx context.Context, appID string, vendor call.Vendor) (push.Sender, error) {
		c, err := st.Credential(ctx, appID, vendor)
		if err != nil {
			return nil, err
		}
		return pushkit.New(pushkit.Config{KeyFile: c.Secret, BaseURL: r.web.URL, Timeout: time.Minute}) // so that the dispatcher's limit binds
	}
	if s.senders != nil {
		s.push.Senders = s.senders(p)
	}
	p.Dispatcher = push.New(s.push)
	background, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	if !s.noRun {
		running.Go(func() { _ = st.Run(background) })
	}
	p.stop = func() {
		p.once.Do(func() {
			p.Dispatcher.Close()
			cancel()
			running.Wait()
			st.Close()
		})
	}
	r.t.Cleanup(func() {
		_ = r.sim.SetFaults() // what still is under way ends
		p.stop()
	})
	return p
}

// install makes an app with a fresh credential; its project has its name. Its
// wakes are not escalated, however long a test takes.
func (r *rig) install(p *process, appID string) {
	r.t.Helper()
	policy := call.DefaultPolicy()
	policy.Escalation = map[call.Platform][]call.Channel{call.HarmonyOS: {}}
	p.put(appID, policy)
	r.credential(p, appID)
}

func (p *process) put(appID string, policy call.Policy) {
	p.t.Helper()
	if _, err := p.PutApp(p.t.Context(), appID, policy); err != nil {
		p.t.Fatal(err)
	}
}

func (r *rig) credential(p *process, appID string) {
	r.t.Helper()
	file, err := r.sim.NewServiceAccount(project(appID))
	if err != nil {
		r.t.Fatal(err)
	}
	if err := p.PutCredential(r.t.Context(), store.Credential{AppID: appID, Vendor: call.PushKit, Secret: file}); err != nil {
		r.t.Fatal(err)
	}
}

func project(appID string) string { return fmt.Sprintf("7364%x", appID) }

// token is the Push Kit token of a user's one phone.
func token(user string) string { return "MAtoken0of0the0phone0of0" + user }

func (p *process) phone(appID, user string) {
	p.t.Helper()
	_, err := p.PutDevice(p.t.Context(), store.Registration{
		AppID: appID, Device: call.Device{ID: "phone-" + user, UserID: user, Platform: call.HarmonyOS, Type: call.Phone, SystemVersion: "6.1.0(23)", CallUI: call.CallServiceKit},
		Tokens: map[call.TokenName]string{call.TokenPushKit: token(user)}, Region: map[call.EvidenceSource]string{call.FromBackend: "CN"},
	})
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *process) tryInvite(appID, user string, ring time.Duration) (call.Call, error) {
	return p.CreateCall(p.t.Context(), store.Invite{
		AppID: appID, Caller: call.Party{UserID: "caller", Name: "Li Na"}, Callee: call.Party{UserID: user}, Media: call.Voice, Ring: ring,
	})
}

func (p *process) invite(appID, user string) call.Call {
	p.t.Helper()
	c, err := p.tryInvite(appID, user, 45*time.Second)
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

func (p *process) look(c call.Call) call.Call {
	p.t.Helper()
	now, err := p.Call(p.t.Context(), c.AppID, c.ID)
	if err != nil {
		p.t.Fatal(err)
	}
	return now
}

// leg waits until the one leg of a call has a status.
func (p *process) leg(c call.Call, want call.LegStatus) call.Leg {
	p.t.Helper()
	var l call.Leg
	eventually(p.t, func() string { return fmt.Sprintf("the leg to be %s; it is %s %s", want, l.Status, l.Reason) }, func() bool {
		l = p.look(c).Legs[0]
		return l.Status == want
	})
	return l
}

// attempts are those to wake a call's device.
func (p *process) attempts(c call.Call) (all []store.Attempt) {
	p.t.Helper()
	_, entries, err := p.Timeline(p.t.Context(), c.AppID, c.ID)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, e := range entries {
		if e.Attempt != nil && e.Attempt.Purpose == call.PurposeRing {
			all = append(all, *e.Attempt)
		}
	}
	return all
}

// outcomes are a call's attempts as "number outcome reason blame".
func (p *process) outcomes(c call.Call) (all []string) {
	p.t.Helper()
	for _, a := range p.attempts(c) {
		all = append(all, strings.TrimSpace(fmt.Sprintf("%d %s %s", a.Number, a.Outcome, a.Reason)))
	}
	return all
}

// recorded waits until that many attempts of a call are on record.
func (p *process) recorded(c call.Call, n int) {
	p.t.Helper()
	eventually(p.t, func() string { return fmt.Sprintf("%d attempts on record", n) }, func() bool { return len(p.attempts(c)) == n })
}

// gauge adds up the series of a metric.
func (p *process) gauge(name string) (sum float64) {
	p.t.Helper()
	families, err := p.registry.Gather()
	if err != nil {
		p.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// idle waits until the dispatcher has no wake in hand.
func (p *process) idle() {
	p.t.Helper()
	eventually(p.t, func() string { return "no wake in hand" }, func() bool { return p.gauge("relay_wakes_in_hand") == 0 })
}

// sent is one request as the vendor got it.
type sent struct {
	at      time.Time
	verdict string
	biTag   string
	ttl     time.Duration
	leg     uuid.UUID
	token   string // of the wake
}

// isNotice tells what is sent besides wakes.
func isNotice(m pushkitsim.Message) bool {
	return strings.HasSuffix(m.Path, ":revoke") || strings.Contains(string(m.Body), `"MISS_CALL"`)
}

// sent lists the wakes that the vendor got for a user's phone.
func (r *rig) sent(user string) (all []sent) {
	r.t.Helper()
	for _, m := range r.sim.Messages(token(user), 0) {
		if isNotice(m) {
			continue
		}
		var body struct {
			Payload struct {
				ExtraData string `json:"extraData"`
			} `json:"payload"`
			Options struct {
				TTL   int    `json:"ttl"`
				BiTag string `json:"biTag"`
			} `json:"pushOptions"`
		}
		var wake struct {
			Leg   uuid.UUID `json:"leg"`
			Token string    `json:"token"`
		}
		if err := json.Unmarshal(m.Body, &body); err != nil {
			r.t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(body.Payload.ExtraData), &wake); err != nil {
			r.t.Fatal(err)
		}
		all = append(all, sent{
			at: time.UnixMilli(m.AtMS), verdict: m.Verdict, biTag: body.Options.BiTag, ttl: time.Duration(body.Options.TTL) * time.Second, leg: wake.Leg, token: wake.Token,
		})
	}
	return all
}

// keyID is the kid of an Authorization header's JWT.
func keyID(t testing.TB, authorization string) string {
	t.Helper()
	head, _, _ := strings.Cut(strings.TrimPrefix(authorization, "Bearer "), ".")
	text, err := base64.RawURLEncoding.DecodeString(head)
	if err != nil {
		t.Fatal(err)
	}
	var h struct {
		KeyID string `json:"kid"`
	}
	if err := json.Unmarshal(text, &h); err != nil || h.KeyID == "" {
		t.Fatalf("a JWT's header: %s, %v", text, err)
	}
	return h.KeyID
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
