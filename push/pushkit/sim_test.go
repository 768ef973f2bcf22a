package pushkit_test

import (
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/push"
	"github.com/pushwake/relay/push/pushkit"
	"github.com/pushwake/relay/push/pushkit/pushkitsim"
)

// newSim serves a simulator that knows the test's key.
func newSim(t *testing.T, clk *clock) (*pushkitsim.Sim, *vendor) {
	t.Helper()
	sim := pushkitsim.New(pushkitsim.Options{Now: clk.now})
	t.Cleanup(func() { _ = sim.Close() })
	if err := sim.AddProject(simProject(t)); err != nil {
		t.Fatal(err)
	}
	v := &vendor{conns: map[string]bool{}}
	v.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v.mu.Lock()
		v.conns[r.RemoteAddr] = true
		v.seen = append(v.seen, received{Header: r.Header.Clone()})
		v.mu.Unlock()
		sim.ServeHTTP(w, r)
	}))
	t.Cleanup(v.Close)
	return sim, v
}

func simProject(t *testing.T) pushkitsim.Project {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(testKey().Public())
	if err != nil {
		t.Fatal(err)
	}
	return pushkitsim.Project{
		ID: testProject, SubAccount: testAccount, KeyID: testKeyID,
		PublicKey: string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})),
	}
}

func TestSimAccepts(t *testing.T) {
	t.Parallel()
	clk := newClock()
	sim, v := newSim(t, clk)
	c := newClient(t, v.URL, func(c *pushkit.Config) { c.Now = clk.now })
	for _, tt := range []struct {
		channel call.Channel
		left    time.Duration
		token   string
	}{
		{call.PushKitVoIP, 45 * time.Second, "MAMzLgFixtureVoIPShort"},
		{call.PushKitVoIP, 2 * time.Minute, "MAMzLgFixtureVoIPLong0"},
		{call.PushKitVoIP, 0, "MAMzLgFixtureVoIPLate0"},
		{call.PushKitAlert, 2 * time.Minute, "MAMzLgFixtureAlertLong"},
		{call.PushKitAlert, 0, "MAMzLgFixtureAlertLate"},
	} {
		m := message()
		m.Channel, m.RingLeft, m.Token = tt.channel, tt.left, tt.token
		m.Payload.Caller.Name = strings.Repeat("娜", 3000) // the body is as large as may be
		a := c.Send(t.Context(), m)
		if diff := cmp.Diff(taken("80000000"), verdictOf(a)); diff != "" || len(a.RequestID) != 24 {
			t.Errorf("%s, %v left, request id %q, %q: %s", tt.channel, tt.left, a.RequestID, a.Message, diff)
		}
		got := sim.Messages(m.Token, 0)
		if len(got) != 1 || got[0].RequestID != a.RequestID {
			t.Fatalf("%s, %v left: the simulator has %d messages", tt.channel, tt.left, len(got))
		}
		if s := decode(t, got[0].Body); s.Options.BiTag != m.Attempt.String() || s.Options.TTL < 1 {
			t.Errorf("options %+v", s.Options)
		}
	}
}

func TestSimAcceptsDeadTokens(t *testing.T) {
	t.Parallel()
	clk := newClock()
	sim, v := newSim(t, clk)
	if err := sim.SetToken(testToken, pushkitsim.Token{State: pushkitsim.Dead}); err != nil {
		t.Fatal(err)
	}
	a := newClient(t, v.URL, func(c *pushkit.Config) { c.Now = clk.now }).Send(t.Context(), message())
	if diff := cmp.Diff(taken("80000000"), verdictOf(a)); diff != "" {
		t.Errorf("only a receipt tells of a dead token: %s", diff)
	}
}

// TestSimRefusals: what the simulator is told to refuse comes back as
// documented, under the HTTP status it has and under 200.
func TestSimRefusals(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		project func(*pushkitsim.Project)
		token   pushkitsim.Token
		text    string // the token
		fault   pushkitsim.Fault
		want    verdict
	}{
		{name: "malformed token", text: "short", want: dead("80300007/tokenFormatError")},
		{name: "foreign token", token: pushkitsim.Token{State: pushkitsim.Foreign}, want: doubtful("80300007/noRight")},
		{name: "token of another project", token: pushkitsim.Token{ProjectID: "1"}, want: doubtful("80300007/noRight")},
		{name: "app without the right", token: pushkitsim.Token{State: pushkitsim.NoRight}, want: ours("80300007/noPushTypeRight")},
		{name: "project without the right", project: func(p *pushkitsim.Project) { p.Rights = []int{0} }, want: ours("80300007/noPushTypeRight")},
		{name: "Push Kit off", project: func(p *pushkitsim.Project) { p.Disabled = true }, want: ours("80300002")},
		{name: "penalty", project: func(p *pushkitsim.Project) { p.Penalty = true }, want: ours("80300037")},
		{name: "another key", project: func(p *pushkitsim.Project) { p.KeyID = "k-2" }, want: unauthenticated("80200001", push.RetryOnce)},
		{name: "another account", project: func(p *pushkitsim.Project) { p.SubAccount = "1" }, want: unauthenticated("80200001", push.RetryOnce)},
		{name: "expired", fault: pushkitsim.Fault{Code: "80200005"}, want: unauthenticated("80200005", push.RetryOnce)},
		{name: "lifetime", fault: pushkitsim.Fault{Code: "80300036"}, want: unauthenticated("80300036", push.RetryNever)},
		{name: "push type", fault: pushkitsim.Fault{Code: "80100003", Msg: "Illegal payload, The header does not contain valid push-type"}, want: ours("80100003")},
		{name: "parameter", fault: pushkitsim.Fault{Code: "80100001"}, want: ours("80100001")},
		{name: "expire time", fault: pushkitsim.Fault{Code: "80100004"}, want: ours("80100004")},
		{name: "too long", fault: pushkitsim.Fault{Code: "80300008"}, want: ours("80300008")},
		{name: "token count", fault: pushkitsim.Fault{Code: "80300010"}, want: ours("80300010")},
		{name: "test tokens", fault: pushkitsim.Fault{Code: "80300030"}, want: ours("80300030")},
		{
			name: "test quota", fault: pushkitsim.Fault{Code: "80300029"},
			want: verdict{push.Throttled, call.ReasonVendorThrottled, push.RetryNever, call.BlameUs, push.TokenKeep, "80300029"},
		},
		{name: "partial", fault: pushkitsim.Fault{Code: "80100000", Msg: `{"illegalTokens":{"tokenFormatError":["T2"]},"success":1,"failure":1}`}, want: taken("80100000")},
		{name: "internal", fault: pushkitsim.Fault{Code: "81000001"}, want: unavailable("81000001")},
		{name: "flow control", fault: pushkitsim.Fault{Status: 503}, want: throttled("")},
		{name: "gateway", fault: pushkitsim.Fault{Body: "<html>Bad Gateway</html>"}, want: unavailable("")},
		{name: "no such address", fault: pushkitsim.Fault{Status: 404}, want: ours("")},
		{name: "bare 401", fault: pushkitsim.Fault{Status: 401}, want: unauthenticated("", push.RetryOnce)},
		{name: "connection reset", fault: pushkitsim.Fault{Reset: true}, want: unavailable("")},
	}
	for _, tt := range tests {
		for _, under200 := range []bool{false, true} {
			name := tt.name
			if under200 {
				name += " under 200"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				clk := newClock()
				sim, v := newSim(t, clk)
				if tt.project != nil {
					p := simProject(t)
					tt.project(&p)
					sim.RemoveProject(testProject)
					if err := sim.AddProject(p); err != nil {
						t.Fatal(err)
					}
				}
				if tt.token != (pushkitsim.Token{}) {
					if err := sim.SetToken(testToken, tt.token); err != nil {
						t.Fatal(err)
					}
				}
				fault := tt.fault
				fault.BusinessStatus200 = under200
				if fault != (pushkitsim.Fault{}) {
					if err := sim.SetFaults(fault); err != nil {
						t.Fatal(err)
					}
				}
				m := message()
				if tt.text != "" {
					m.Token = tt.text
				}
				a := newClient(t, v.URL, func(c *pushkit.Config) { c.Now = clk.now }).Send(t.Context(), m)
				if diff := cmp.Diff(tt.want, verdictOf(a)); diff != "" {
					t.Errorf("HTTP %d, %q: %s", a.Status, a.Message, diff)
				}
				if under200 && a.Status == http.StatusBadRequest {
					t.Error("the simulator did not change the status")
				}
			})
		}
	}
}

func TestSimQPS(t *testing.T) {
	t.Parallel()
	clk := newClock()
	sim, v := newSim(t, clk)
	p := simProject(t)
	p.QPS = 1
	if err := sim.AddProject(p); err != nil {
		t.Fatal(err)
	}
	c := newClient(t, v.URL, func(c *pushkit.Config) { c.Now = clk.now })
	sendMany(t, c, 1)
	if diff := cmp.Diff(throttled(""), verdictOf(c.Send(t.Context(), message()))); diff != "" {
		t.Error(diff)
	}
	clk.advance(time.Second)
	sendMany(t, c, 1)
}

func TestSimLostAnswer(t *testing.T) {
	t.Parallel()
	clk := newClock()
	sim, v := newSim(t, clk)
	c := newClient(t, v.URL, func(c *pushkit.Config) { c.Now = clk.now })
	sendMany(t, c, 1) // so that the connection is one that worked
	sim.ClearMessages()
	if err := sim.SetFaults(pushkitsim.Fault{LoseAnswer: true}); err != nil {
		t.Fatal(err)
	}
	a := c.Send(t.Context(), message())
	noAnswer(t, a, "no answer: connection closed while waiting for the answer", "no answer: connection reset while waiting for the answer")
	got := sim.Messages(testToken, 0)
	if len(got) != 1 || got[0].Verdict != "lost_answer" {
		t.Errorf("the simulator recorded %+v", got)
	}
}

func TestSimExpiredJWTIsSignedAgainOnce(t *testing.T) {
	t.Parallel()
	ours, theirs := newClock(), newClock()
	_, v := newSim(t, theirs)
	c := newClient(t, v.URL, func(c *pushkit.Config) { c.Now = ours.now })
	sendMany(t, c, 1)
	theirs.advance(2 * time.Hour) // a clock that stood still makes JWTs that are expired
	a := c.Send(t.Context(), message())
	if diff := cmp.Diff(unauthenticated("80200005", push.RetryOnce), verdictOf(a)); diff != "" {
		t.Error(diff)
	}
	a = c.Send(t.Context(), message())
	if diff := cmp.Diff(unauthenticated("80200005", push.RetryNever), verdictOf(a)); diff != "" {
		t.Error(diff)
	}
	if n := len(v.bearers()); n != 2 {
		t.Errorf("%d JWTs", n)
	}
	ours.advance(2 * time.Hour)
	sendMany(t, c, 1)
}

func TestSim500SendsShareConnectionsAndJWT(t *testing.T) {
	t.Parallel()
	clk := newClock()
	sim, v := newSim(t, clk)
	c := newClient(t, v.URL, func(c *pushkit.Config) { c.Now, c.MaxConns = clk.now, 32 })
	var wg sync.WaitGroup
	for range 500 {
		wg.Go(func() {
			m := message()
			m.Attempt = uuid.New()
			if a := c.Send(t.Context(), m); a.Outcome != push.Accepted {
				t.Errorf("%+v", a)
			}
		})
	}
	wg.Wait()
	if n := len(sim.Messages(testToken, 0)); n != 500 {
		t.Errorf("the simulator has %d messages", n)
	}
	if n := v.connections(); n > 32 {
		t.Errorf("%d connections", n)
	}
	if n := len(v.bearers()); n != 1 {
		t.Errorf("%d JWTs", n)
	}
}
