package api_test

import (
	"io"
	"net"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pushwake/relay/api"
	"github.com/pushwake/relay/store"
	"github.com/pushwake/relay/store/storetest"
)

// gate stands between a relay and its database, and can shut.
type gate struct {
	mu    sync.Mutex
	shut  bool
	conns []net.Conn

	frozen sync.RWMutex // held for writing, nothing passes
}

// passing reads only while its gate is not frozen.
type passing struct {
	net.Conn
	gate *gate
}

func (p passing) Read(b []byte) (int, error) {
	n, err := p.Conn.Read(b)
	p.gate.frozen.RLock()
	defer p.gate.frozen.RUnlock()
	return n, err
}

// through lets a store reach its database through the gate.
func (g *gate) through(t testing.TB) func(*store.Config) {
	return func(config *store.Config) {
		t.Helper()
		u, err := url.Parse(config.URL)
		if err != nil {
			t.Fatal(err)
		}
		dir, err := os.MkdirTemp("", "gt") // a short path: a socket's is limited
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		name := ".s.PGSQL." + q.Get("port")
		to := filepath.Join(q.Get("host"), name)
		l, err := net.Listen("unix", filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		all.Go(func() {
			for {
				client, err := l.Accept()
				if err != nil {
					return
				}
				all.Go(func() { g.serve(client, to) })
			}
		})
		t.Cleanup(func() {
			_ = l.Close()
			g.set(true)
			all.Wait()
			_ = os.RemoveAll(dir)
		})
		q.Set("host", dir)
		u.RawQuery = strings.ReplaceAll(q.Encode(), "+", "%20")
		config.URL = u.String()
	}
}

func (g *gate) serve(client net.Conn, to string) {
	defer client.Close()
	server, err := net.Dial("unix", to)
	if err != nil {
		return // the client learns it by its connection's end
	}
	defer server.Close()
	g.mu.Lock()
	if g.shut {
		g.mu.Unlock()
		return
	}
	g.conns = append(g.conns, client, server)
	g.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(server, passing{client, g})
		_ = server.Close()
	}()
	_, _ = io.Copy(client, passing{server, g})
	_ = client.Close()
	<-done
}

func (g *gate) set(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = shut
	if shut {
		for _, c := range g.conns {
			_ = c.Close()
		}
		g.conns = nil
	}
}

func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	g := &gate{}
	r := newRig(t, g.through(t))
	r.ask(r.backend, "PUT", "/v1/devices/d1", phone("u2", r.token("d1"))).want(200)
	id := r.ask(r.backend, "POST", "/v1/calls", invite("u2")).want(201).text("id")
	jwt, unseen := r.jwt("u2", "d1"), r.admin
	r.ask("", "GET", "/readyz", nil).want(200)
	g.set(true)
	for _, q := range []struct {
		bearer, method, path string
		body                 any
	}{
		{r.backend, "POST", "/v1/calls", invite("u2")}, {r.backend, "GET", "/v1/calls", nil}, {r.backend, "GET", "/v1/calls/" + id, nil},
		{r.backend, "POST", "/v1/calls/" + id + "/cancel", nil}, {r.backend, "PUT", "/v1/devices/d2", phone("u2", "")}, {r.backend, "DELETE", "/v1/devices/d1", nil},
		{jwt, "POST", "/v1/device/calls/" + id + "/confirm", object{"source": "push"}}, {jwt, "POST", "/v1/device/calls/" + id + "/reports", report(1, "ringing")},
		{unseen, "GET", "/v1/admin/calls", nil}, {"", "GET", "/readyz", nil},
	} {
		if a := r.ask(q.bearer, q.method, q.path, q.body).refused(503, api.CodeUnavailable); a.header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", a.what)
		}
	}
	r.ask("", "GET", "/healthz", nil).want(200)
	g.set(false)
	eventually(t, "the database to be back", func() bool { return r.ask("", "GET", "/readyz", nil).status == 200 })
	r.ask(r.backend, "GET", "/v1/calls/"+id, nil).want(200).has("d1", "legs", 0, "device_id")
	if got := len(r.ask(r.backend, "GET", "/v1/calls", nil).want(200).get("data").([]any)); got != 1 {
		t.Errorf("%d calls; what was refused was kept", got)
	}
}

// TestDatabaseReadOnly: a database that can only be read refuses what writes as
// one that is away does, and goes on answering what reads.
func TestDatabaseReadOnly(t *testing.T) {
	t.Parallel()
	var url string
	r := newRig(t, func(c *store.Config) { url = c.URL })
	r.ask(r.backend, "PUT", "/v1/devices/d1", phone("u2", r.token("d1"))).want(200)
	id := r.ask(r.backend, "POST", "/v1/calls", invite("u2")).want(201).text("id")
	jwt := r.jwt("u2", "d1")
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	alter := `ALTER DATABASE ` + config.Database + ` SET default_transaction_read_only = `
	const others = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`
	storetest.Exec(t, url, alter+`on`)
	storetest.Exec(t, url, others)
	eventually(t, "/readyz to turn", func() bool { return r.ask("", "GET", "/readyz", nil).status == 503 })
	for range 20 {
		for _, q := range []struct {
			bearer, method, path string
			body                 any
		}{
			{r.backend, "POST", "/v1/calls", invite("u2")}, {r.backend, "POST", "/v1/calls/" + id + "/cancel", nil}, {r.backend, "PUT", "/v1/devices/d2", phone("u2", "")},
			{jwt, "POST", "/v1/device/calls/" + id + "/confirm", object{"source": "push"}}, {jwt, "POST", "/v1/device/calls/" + id + "/reports", report(1, "ringing")},
		} {
			if a := r.ask(q.bearer, q.method, q.path, q.body).refused(503, api.CodeUnavailable); a.header.Get("Retry-After") == "" {
				t.Errorf("%s: no Retry-After", a.what)
			}
		}
	}
	r.ask(r.backend, "GET", "/v1/calls/"+id, nil).want(200)
	r.ask("", "GET", "/healthz", nil).want(200)
	storetest.Exec(t, url+"&default_transaction_read_only=off", alter+`off`)
	eventually(t, "the database to be written to", func() bool { return r.ask(r.backend, "PUT", "/v1/devices/d2", phone("u2", "")).status == 200 })
	eventually(t, "/readyz to turn back", func() bool { return r.ask("", "GET", "/readyz", nil).status == 200 })
}

// TestDatabaseSilent: a database that keeps its connections and answers nothing
// is as good as away, within a bounded time.
func TestDatabaseSilent(t *testing.T) {
	t.Parallel()
	g := &gate{}
	r := newRig(t, g.through(t))
	id := r.ask(r.backend, "POST", "/v1/calls", invite("u2")).want(201).text("id")
	impatient := httptest.NewServer(api.New(api.Config{Store: r.store, Tokens: r.tokens, AnswerWithin: 200 * time.Millisecond}))
	t.Cleanup(impatient.Close)
	r.url = impatient.URL
	jwt := r.jwt("u2", "d1")
	r.ask(r.backend, "GET", "/v1/calls/"+id, nil).want(200)
	g.frozen.Lock()
	defer g.frozen.Unlock()
	for _, path := range []string{"/v1/calls/" + id, "/v1/calls", "/v1/calls/" + id + "/timeline", "/v1/users/u2/devices"} {
		r.ask(r.backend, "GET", path, nil).refused(503, api.CodeUnavailable)
	}
	r.ask(r.admin, "GET", "/v1/admin/calls", nil).refused(503, api.CodeUnavailable) // its key is not known yet
	r.ask(jwt, "POST", "/v1/device/calls/"+id+"/confirm", object{"source": "push"}).refused(503, api.CodeUnavailable)
	r.ask("", "GET", "/healthz", nil).want(200)
}
