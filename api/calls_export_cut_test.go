package api_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pushwake/relay/api"
	"github.com/pushwake/relay/store"
	"github.com/pushwake/relay/store/storetest"
)

// exported is how many calls the histories of these tests have: more than two
// pages, and far more bytes than the kernel keeps for a reader who waits.
const exported = 500

// download is an export that its client reads when it likes to.
type download struct {
	t     testing.TB
	id    string // of the request
	body  *bufio.Reader
	leave func()
}

// download asks for an export over a connection of its own and returns when the
// answer begins.
func (r *rig) download(query string) *download {
	r.t.Helper()
	d, err := r.begin(r.t.Context(), query)
	if err != nil {
		r.t.Fatal(err)
	}
	return d
}

// begin is download for another goroutine than the test's, which may give up.
func (r *rig) begin(ctx context.Context, query string) (*download, error) {
	ctx, leave := context.WithCancel(ctx)
	r.t.Cleanup(leave)
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err == nil {
			err = c.(*net.TCPConn).SetReadBuffer(32 << 10)
		}
		return c, err
	}}}
	r.t.Cleanup(client.CloseIdleConnections)
	req, err := http.NewRequestWithContext(ctx, "GET", r.url+"/v1/calls/export?"+query, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+r.backend)
	d := &download{t: r.t, id: fmt.Sprintf("%p", req), leave: leave}
	req.Header.Set("X-Request-Id", d.id)
	resp, err := client.Do(req)
	if err != nil {
		return d, err
	}
	r.t.Cleanup(func() { _ = resp.Body.Close() })
	if resp.StatusCode != 200 {
		return d, errors.New(resp.Status)
	}
	d.body = bufio.NewReaderSize(resp.Body, 4<<10)
	return d, nil
}

// lines reads some lines and returns the calls' refs; fewer with the error that
// cut them short, or io.EOF.
func (d *download) lines(n int) (refs []string, err error) {
	for range n {
		line, err := d.body.ReadString('\n')
		if err != nil {
			return refs, err
		}
		_, rest, _ := strings.Cut(line, `"ref":"`)
		ref, _, _ := strings.Cut(rest, `"`)
		refs = append(refs, ref)
	}
	return refs, nil
}

// ended waits for the request's line in the log and checks what it says.
func (d *download) ended(r *rig, want object) {
	d.t.Helper()
	var line object
	eventually(d.t, "the request's end", func() bool { line = r.log.of(d.id); return line != nil })
	for key, value := range want {
		if line[key] != value {
			d.t.Errorf("the log says %s=%v, want %v: %v", key, line[key], value, line)
		}
	}
}

// counted are the requests for an export that ended with a status.
func (r *rig) counted(status int) bool {
	r.t.Helper()
	line := fmt.Sprintf(`relay_http_requests_total{method="GET",route="/v1/calls/export",status="%d"}`, status)
	return strings.Contains(string(r.ask("", "GET", "/metrics", nil).want(200).body), line)
}

// sql is a session beside the relay.
func (r *rig) sql() *pgx.Conn {
	r.t.Helper()
	conn, err := pgx.Connect(r.t.Context(), r.db)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(r.t.Context())) })
	return conn
}

// reading is how many sessions of the relay are at work on a page of the history.
func reading(t testing.TB, conn *pgx.Conn) (n int) {
	t.Helper()
	err := conn.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'
		  AND (query LIKE '%CROSS JOIN LATERAL%' OR query LIKE '%l.call_id BETWEEN%')`).Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// patientRig waits for locks longer than any test does.
func patientRig(t testing.TB) *rig {
	r := newRig(t, func(c *store.Config) { c.URL += "&lock_timeout=60000" })
	storetest.FillHistory(t, r.db, app, exported, time.Second, time.Now())
	return r
}

// TestExportIsLeft: a client that goes in the middle of a page, or before there
// is one, takes its query with it, and it is nobody's fault.
func TestExportIsLeft(t *testing.T) {
	t.Parallel()
	r := patientRig(t)
	for name, tc := range map[string]struct {
		lines int // read before the database stops answering
		calls any // as logged
	}{"before the first page": {0, nil}, "before the third": {250, 400.0}} {
		t.Run(name, func(t *testing.T) {
			r := r.in(t)
			conn := r.sql()
			lock := func() pgx.Tx {
				tx, err := conn.Begin(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if _, err := tx.Exec(t.Context(), `LOCK TABLE legs IN ACCESS EXCLUSIVE MODE`); err != nil {
					t.Fatal(err)
				}
				return tx
			}
			watch := r.sql()
			blocked := func() bool { return reading(t, watch) == 1 }
			var d *download
			var tx pgx.Tx
			if tc.lines == 0 {
				tx = lock()
				ctx, leave := context.WithCancel(t.Context())
				gone := make(chan error, 1)
				go func() {
					var err error
					d, err = r.begin(ctx, "")
					gone <- err
				}()
				eventually(t, "the query to wait", blocked)
				leave()
				if err := <-gone; !errors.Is(err, context.Canceled) {
					t.Fatalf("the answer began: %v", err)
				}
			} else {
				d = r.download("")
				if _, err := d.lines(tc.lines); err != nil { // the second page is under way, and waits for us
					t.Fatal(err)
				}
				tx = lock()
				if _, err := d.lines(145); err != nil { // nearly to its end, all of which is written now
					t.Fatal(err)
				}
				eventually(t, "the query to wait", blocked)
				d.leave()
			}
			eventually(t, "the query's end", func() bool { return reading(t, watch) == 0 }) // long before the lock's
			d.ended(r, object{"status": 499.0, "cut": true, "level": "INFO", "calls": tc.calls, "code": nil})
			if err := tx.Rollback(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	if !r.counted(499) || r.counted(200) || r.counted(500) || r.counted(503) {
		t.Error("the metrics count it otherwise")
	}
}

// TestExportStalls: clients that stop reading are cut off in time, and meanwhile
// take nothing from the others. A slow one is not taken for one of them.
func TestExportStalls(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	storetest.FillHistory(t, r.db, app, exported, time.Second, time.Now())
	stalled := make([]*download, 12) // more than there are connections to the database
	began := time.Now()
	for i := range stalled {
		stalled[i] = r.download("")
	}
	watch := r.sql()
	eventually(t, "nobody to read from the database", func() bool { return reading(t, watch) == 0 })
	r.ask(r.backend, "GET", "/v1/calls?limit=1", nil).want(200)
	for _, d := range stalled {
		if line := r.log.of(d.id); line != nil && time.Since(began) < stallAfter { // later, a busy machine has made it too late to look
			t.Fatalf("it ended already: %v", line)
		}
	}
	slow, got := r.download(""), 0 // only now: it must not stall while the others begin
	began = time.Now()
	for {
		refs, err := slow.lines(20)
		if got += len(refs); err != nil {
			if err != io.EOF {
				t.Errorf("the slow one: %v", err)
			}
			break
		}
		time.Sleep(stallAfter / 15) // a reader's pace, not a wait for something
	}
	if took := time.Since(began); got != exported || took < stallAfter {
		t.Errorf("the slow one got %d calls in %s", got, took)
	}
	slow.ended(r, object{"status": 200.0, "cut": nil, "calls": float64(exported)})
	for _, d := range stalled {
		d.ended(r, object{"status": 499.0, "cut": true, "level": "INFO", "calls": nil})
		if refs, err := d.lines(exported + 1); err == io.EOF || len(refs) == exported {
			t.Errorf("after %d lines: %v", len(refs), err)
		}
	}
}

// TestExportLosesDatabase: an answer that cannot be ended is cut, so that nobody
// takes it for whole; one that has not begun is a problem as any other.
func TestExportLosesDatabase(t *testing.T) {
	t.Parallel()
	g := &gate{}
	r := newRig(t, g.through(t))
	storetest.FillHistory(t, r.db, app, exported, time.Second, time.Now())
	for _, query := range []string{"", "format=csv"} {
		d := r.download(query)
		g.set(true)
		if refs, err := d.lines(exported + 1); !errors.Is(err, io.ErrUnexpectedEOF) || len(refs) == 0 || len(refs) > 400 {
			t.Errorf("%d lines, then %v", len(refs), err)
		}
		d.ended(r, object{"status": 503.0, "cut": true, "level": "ERROR", "code": "unavailable"})
		r.ask(r.backend, "GET", "/v1/calls/export?"+query, nil).refused(503, api.CodeUnavailable)
		g.set(false)
		eventually(t, "the database to be back", func() bool { return r.ask("", "GET", "/readyz", nil).status == 200 })
	}
	if got := len(r.ask(r.backend, "GET", "/v1/calls/export", nil).want(200).lines()); got != exported {
		t.Errorf("%d calls afterwards", got)
	}
	if !r.counted(503) || r.counted(499) {
		t.Error("the metrics count it otherwise")
	}
}

// TestExportWhileCallsCome: what begins while an export runs neither moves nor
// doubles anything in it.
func TestExportWhileCallsCome(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	storetest.FillHistory(t, r.db, app, exported, time.Second, time.Now())
	var want []string
	for n := exported; n > 0; n-- {
		want = append(want, fmt.Sprint("r", n))
	}
	d := r.download("")
	var got []string
	for n := 0; ; n++ {
		refs, err := d.lines(25)
		got = append(got, refs...)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		r.ask(r.backend, "POST", "/v1/calls", invite("nobody", object{"ref": fmt.Sprint("new", n)})).want(201)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	if got := len(r.ask(r.backend, "GET", "/v1/calls/export", nil).want(200).lines()); got != exported+exported/25 {
		t.Errorf("%d calls afterwards", got)
	}
}
