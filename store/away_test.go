package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/migrations"
	"github.com/pushwake/relay/store"
	"github.com/pushwake/relay/store/localpg"
	"github.com/pushwake/relay/store/storetest"
)

// tries writes in every way that a process has, and returns what each said.
func tries(ctx context.Context, s *store.Store, n int, c call.Call) map[string]error {
	errs := map[string]error{}
	_, errs["invite"] = s.CreateCall(ctx, invite("u2"))
	_, errs["register"] = s.PutDevice(ctx, registration("u3", fmt.Sprint("n", n)))
	_, errs["confirm"] = s.ConfirmLeg(ctx, party(c, "d1"), call.Confirmation{Source: call.SourcePush})
	_, errs["report"] = s.ReportLeg(ctx, party(c, "d1"), []call.Report{said(int64(n)+1, call.ReportMuted)})
	_, _, errs["key"] = s.CreateKey(ctx, app, store.BackendKey, "k")
	errs["delete"] = s.DeleteDevice(ctx, app, "d9", "")
	return errs
}

// TestReadOnly: a database that went read-only is away, and once there is one
// that can be written to, everything works again without anybody's help, though
// the sessions that began meanwhile are read-only for good.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	phone(t, r.Store, "u2", "d1")
	phone(t, r.Store, "u9", "d9")
	c := create(t, r.Store, invite("u2"))
	sessions := func(sql string) {
		t.Helper()
		r.exec(t, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
		r.exec(t, sql)
	}
	name := read[string](t, r, `SELECT current_database()`)
	sessions(`ALTER DATABASE ` + name + ` SET default_transaction_read_only = on`)
	for n := range 20 { // more often than there are connections
		for what, err := range tries(t.Context(), r.Store, n, c) {
			wantErr(t, what, err, store.ErrUnavailable)
		}
	}
	wantErr(t, "ready", r.Ready(t.Context()), store.ErrUnavailable)
	if _, err := r.Call(t.Context(), app, c.ID); err != nil {
		t.Errorf("it cannot be read: %v", err)
	}
	admin, err := pgx.Connect(t.Context(), r.url) // its own session is read-only as well, which ALTER DATABASE minds
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(t.Context())
	for _, sql := range []string{`SET default_transaction_read_only = off`, `ALTER DATABASE ` + name + ` SET default_transaction_read_only = off`} {
		if _, err := admin.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	refused := 0
	for n := 20; n < 60; n++ {
		for what, err := range tries(t.Context(), r.Store, n, c) {
			if errors.Is(err, store.ErrUnavailable) {
				refused++
			} else if err != nil && !errors.Is(err, store.ErrNotFound) { // d9 is deleted by now
				t.Errorf("%s: %v", what, err)
			}
		}
	}
	if refused > 8 { // each of the 8 connections may be refused once
		t.Errorf("%d refused after the database could be written to", refused)
	}
	eventually(t, "the store to be ready", func() bool { _ = r.Beat(t.Context()); return r.Ready(t.Context()) == nil })
}

// TestSeveralServers: of two servers in the URL the one that can be written to
// is used, though the other comes first and answers.
func TestSeveralServers(t *testing.T) {
	t.Parallel()
	direct := storetest.Database(t)
	name, host, port := place(t, direct)
	old, err := localpg.Start(t.Context(), localpg.Options{Settings: map[string]string{"default_transaction_read_only": "on"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := old.Stop(); err != nil {
			t.Error(err)
		}
	})
	storetest.Exec(t, old.URL("postgres")+"&default_transaction_read_only=off", `CREATE DATABASE `+name)
	_, oldHost, oldPort := place(t, old.URL(name))
	s := storetest.Open(t, store.Config{URL: fmt.Sprintf("host=%s,%s port=%s,%s user=postgres dbname=%s sslmode=disable", oldHost, host, oldPort, port, name)})
	makeApp(t, s, app)
	phone(t, s, "u2", "d1")
}

// place is a database's name, and its server's folder and port.
func place(t testing.TB, database string) (name, host, port string) {
	t.Helper()
	config, err := pgx.ParseConfig(database)
	if err != nil {
		t.Fatal(err)
	}
	return config.Database, config.Host, fmt.Sprint(config.Port)
}

// TestIsolation: the limit of calls holds whatever isolation a database has by
// default.
func TestIsolation(t *testing.T) {
	t.Parallel()
	for _, level := range []string{"repeatable read", "serializable"} {
		t.Run(level, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(c *store.Config) {
				config, err := pgx.ParseConfig(c.URL)
				if err != nil {
					t.Fatal(err)
				}
				storetest.Exec(t, c.URL, `ALTER DATABASE `+config.Database+` SET default_transaction_isolation = '`+level+`'`)
				c.BatchSize, c.BeginWriters = 1, 4
			})
			phone(t, r.Store, "u2", "d1")
			var all sync.WaitGroup
			for i := range 40 {
				all.Go(func() {
					if _, err := r.either(i).CreateCall(t.Context(), invite("u2")); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			if n := read[int](t, r, `SELECT count(*)::int FROM legs WHERE ended_at IS NULL`); n != 3 {
				t.Errorf("%d legs alive, want 3", n)
			}
		})
	}
}

// refuse lets the database answer each new device with an error, as often as
// told.
func (r *rig) refuse(t testing.TB, code string, times int) {
	t.Helper()
	r.exec(t, `CREATE SEQUENCE IF NOT EXISTS refusals`)
	r.exec(t, `SELECT setval('refusals', 1, false)`)
	r.exec(t, fmt.Sprintf(`CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		IF nextval('refusals') <= %d THEN RAISE EXCEPTION 'no' USING ERRCODE = '%s'; END IF;
		RETURN NEW; END $$`, times, code)) // a sequence counts on where a transaction is rolled back
	r.exec(t, `CREATE OR REPLACE TRIGGER refuse BEFORE INSERT ON devices FOR EACH ROW EXECUTE FUNCTION refuse()`)
	r.exec(t, `CREATE OR REPLACE TRIGGER refuse BEFORE INSERT ON calls FOR EACH ROW EXECUTE FUNCTION refuse()`)
}

// TestFaults: what each class of SQLSTATE is taken for.
func TestFaults(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	phone(t, r.Store, "u2", "d1")
	begin := func() (device, invitation error) {
		_, device = r.PutDevice(t.Context(), registration("u2", "d2"))
		_, invitation = r.CreateCall(t.Context(), invite("u7"))
		return device, invitation
	}
	for _, code := range []string{
		"08000", "08006", "08P01", "25006", "25P03", "25P04", "40003", "53000", "53100", "53200", "53300", "53400",
		"55006", "55P03", "57014", "57P01", "57P02", "57P03", "57P05", "58000", "58030", "58P01",
	} {
		r.refuse(t, code, 1000)
		device, invitation := begin()
		wantErr(t, code+": register", device, store.ErrUnavailable)
		wantErr(t, code+": invite", invitation, store.ErrUnavailable)
	}
	for _, code := range []string{"25001", "25P02", "40002", "42501", "42P01", "42703", "22001", "55000", "XX000", "XX001", "XX002"} {
		r.refuse(t, code, 1000)
		for what, err := range map[string]error{"register": func() error { d, _ := begin(); return d }(), "invite": func() error { _, i := begin(); return i }()} {
			if err == nil || errors.Is(err, store.ErrUnavailable) {
				t.Errorf("%s: %s: %v, want a fault of ours", code, what, err)
			}
		}
	}
	for _, code := range []string{"40001", "40P01", "26000", "42P05"} {
		r.refuse(t, code, 2)
		if _, err := r.PutDevice(t.Context(), registration("u2", "d2")); err != nil {
			t.Errorf("%s: register, which lost a race twice: %v", code, err)
		}
		r.refuse(t, code, 2)
		if _, err := r.CreateCall(t.Context(), invite("u7")); err != nil {
			t.Errorf("%s: invite, which lost a race twice: %v", code, err)
		}
		r.refuse(t, code, 1000)
		device, invitation := begin()
		wantErr(t, code+": register, again and again", device, store.ErrUnavailable)
		wantErr(t, code+": invite, again and again", invitation, store.ErrUnavailable)
	}
	r.refuse(t, "53100", 0)
	if device, invitation := begin(); device != nil || invitation != nil {
		t.Errorf("afterwards: %v, %v", device, invitation)
	}
}

// TestServerTroubles provokes what a server does to its clients: each is the
// database being away, and over when the trouble is.
func TestServerTroubles(t *testing.T) {
	t.Parallel()
	locked := func(t testing.TB, r *rig) func() {
		return storetest.Hold(t, r.url, `LOCK TABLE devices IN ACCESS EXCLUSIVE MODE`)
	}
	for name, trouble := range map[string]struct {
		change func(*store.Config)
		begin  func(testing.TB, *rig) (end func())
		code   string // "" where the connection's end may come first
	}{
		"lock timeout":      {func(c *store.Config) { c.LockWait = 50 * time.Millisecond }, locked, "55P03"},
		"statement timeout": {func(c *store.Config) { c.URL += "&statement_timeout=50" }, locked, "57014"},
		"admin shutdown": {func(*store.Config) {}, func(t testing.TB, r *rig) func() {
			r.exec(t, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
			return func() {}
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, trouble.change)
			phone(t, r.Store, "u2", "d1")
			end := trouble.begin(t, r)
			for n := range 12 {
				_, err := r.PutDevice(t.Context(), registration("u3", fmt.Sprint("n", n)))
				if err == nil && trouble.code == "" {
					continue
				}
				wantErr(t, "register", err, store.ErrUnavailable)
				var pg *pgconn.PgError
				if trouble.code != "" && (!errors.As(err, &pg) || pg.Code != trouble.code) {
					t.Fatalf("the server said %v, want %s", err, trouble.code)
				}
			}
			end()
			eventually(t, "the database to be back", func() bool {
				_, err := r.PutDevice(t.Context(), registration("u3", "n"))
				return err == nil
			})
		})
	}
}

// TestTooManyConnections: a role that may not connect once more is as good as a
// database that is away.
func TestTooManyConnections(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	name, host, port := place(t, r.url)
	role := "few_" + name
	r.exec(t, `CREATE ROLE `+role+` LOGIN CONNECTION LIMIT 0`)
	_, err := store.Open(t.Context(), store.Config{URL: fmt.Sprintf("host=%s port=%s user=%s dbname=%s sslmode=disable", host, port, role, name)})
	wantErr(t, "open", err, store.ErrUnavailable)
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Code != "53300" {
		t.Errorf("the server said %v, want 53300", err)
	}
}

// TestDiskFull: a full disk is the database being away, and nothing is broken
// when there is room again.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		t.Skip("only root can mount a small file system, and this test does so on Linux")
	}
	dir, err := os.MkdirTemp("", "small") // a place that Postgres's user can enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=16m,mode=0777"); err != nil {
		t.Skipf("no small file system can be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	server, err := localpg.Start(t.Context(), localpg.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop() }) // what it kept is not looked at
	folder := dir + "/space"
	if err := os.Mkdir(folder, 0o777); err != nil {
		t.Fatal(err)
	}
	_, socket, _ := place(t, server.URL("postgres"))
	info, err := os.Stat(socket)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(folder, int(info.Sys().(*syscall.Stat_t).Uid), -1); err != nil {
		t.Fatal(err)
	}
	storetest.Exec(t, server.URL("postgres"), `CREATE TABLESPACE small LOCATION '`+folder+`'`)
	storetest.Exec(t, server.URL("postgres"), `CREATE DATABASE relay TABLESPACE small`)
	if _, err := migrations.Up(t.Context(), server.URL("relay")); err != nil {
		t.Fatal(err)
	}
	s := storetest.Open(t, store.Config{URL: server.URL("relay")})
	makeApp(t, s, app)
	storetest.Exec(t, server.URL("relay"), `CREATE TABLE filler (text text)`)
	filler, err := pgx.Connect(t.Context(), server.URL("relay"))
	if err != nil {
		t.Fatal(err)
	}
	defer filler.Close(context.Background())
	for n := 10000; n > 0; n /= 10 { // to the last page
		for err = nil; err == nil; {
			_, err = filler.Exec(t.Context(), `INSERT INTO filler SELECT repeat('x', 500) FROM generate_series(1, $1)`, n)
		}
	}
	full := false
	for n := 0; n < 2000 && !full; n++ {
		_, err := s.PutDevice(t.Context(), registration("u2", fmt.Sprint("d", n)))
		if full = err != nil; full {
			wantErr(t, "register", err, store.ErrUnavailable)
			var pg *pgconn.PgError
			if !errors.As(err, &pg) || pg.Code != "53100" {
				t.Errorf("the server said %v, want 53100", err)
			}
		}
	}
	if !full {
		t.Fatal("the disk did not fill")
	}
	if _, err := s.CreateCall(t.Context(), invite("u2")); err != nil {
		wantErr(t, "invite", err, store.ErrUnavailable)
	}
	if _, err := filler.Exec(t.Context(), `DROP TABLE filler`); err != nil {
		t.Fatal(err)
	}
	if _, err := s.PutDevice(t.Context(), registration("u2", "again")); err != nil {
		t.Errorf("with room again: %v", err)
	}
}
