package localpg_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pushwake/relay/store/localpg"
)

// childVariable makes the test binary an owner that starts a Postgres with the options in it and waits to be killed.
const childVariable = "LOCALPG_TEST_CHILD"

func TestMain(m *testing.M) {
	if v := os.Getenv(childVariable); v != "" {
		if err := ownUntilKilled(v); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// folder returns a fresh folder that every user can enter; t.TempDir gives one of root's own.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "localpg-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func start(t *testing.T, o localpg.Options) *localpg.Server {
	t.Helper()
	s, err := localpg.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func stop(t *testing.T, s *localpg.Server) {
	t.Helper()
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
}

func exec(t *testing.T, url, sql string) {
	t.Helper()
	if err := tryExec(t.Context(), url, sql); err != nil {
		t.Fatal(err)
	}
}

func tryExec(ctx context.Context, url, sql string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, sql)
	return errors.Join(err, conn.Close(ctx))
}

func query(t *testing.T, url, sql string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var v string
	if err := conn.QueryRow(t.Context(), sql).Scan(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// postmaster returns the process id that serves a data folder.
func postmaster(t *testing.T, dir string) int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "postgres", "data", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(b), "\n")
	pid, err := strconv.Atoi(line)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func TestFreshServerAnswersAndLeavesNothing(t *testing.T) {
	t.Parallel()
	s := start(t, localpg.Options{})
	for sql, want := range map[string]string{
		"show listen_addresses":   "",
		"show fsync":              "off",
		"show synchronous_commit": "off",
		"show timezone":           "UTC",
		"show server_encoding":    "UTF8",
		"show max_connections":    "200",
		"select datcollate from pg_database where datname = 'postgres'": "C",
	} {
		if got := query(t, s.URL("postgres"), sql); got != want {
			t.Errorf("%s: %q, want %q", sql, got, want)
		}
	}
	exec(t, s.URL("postgres"), `create database "a b/c?d"`)
	if got := query(t, s.URL("a b/c?d"), "select current_database()"); got != "a b/c?d" {
		t.Errorf("database %q", got)
	}
	folder := filepath.Dir(s.LogPath())
	info, err := os.Stat(folder)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o700 {
		t.Errorf("folder has mode %#o", info.Mode().Perm())
	}
	if uid := info.Sys().(*syscall.Stat_t).Uid; uid == 0 || os.Geteuid() != 0 && uid != uint32(os.Geteuid()) {
		t.Errorf("folder belongs to user %d", uid)
	}
	stop(t, s)
	select {
	case <-s.Done():
	default:
		t.Error("stopped, but not done")
	}
	if _, err := os.Lstat(folder); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there: %v", folder, err)
	}
}

func TestRestartKeepsData(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(folder(t), "a 'b' \"c\"", ".relay")
	s := start(t, localpg.Options{Dir: dir, Durable: true, MaxConnections: 50, Settings: map[string]string{"work_mem": "5MB"}})
	exec(t, s.URL("postgres"), "create table kept as select 42 as n")
	// Ctrl-C at the terminal goes to the foreground process group.
	if group, err := syscall.Getpgid(postmaster(t, dir)); err != nil || group == syscall.Getpgrp() {
		t.Errorf("Postgres is in process group %d, this process in %d: %v", group, syscall.Getpgrp(), err)
	}
	stop(t, s)
	stop(t, s)
	began := time.Now()
	s = start(t, localpg.Options{Dir: dir, Durable: true, MaxConnections: 50, Settings: map[string]string{"work_mem": "5MB"}})
	t.Logf("warm start: %s", time.Since(began))
	for sql, want := range map[string]string{
		"select n::text from kept": "42",
		"show fsync":               "on",
		"show synchronous_commit":  "on",
		"show full_page_writes":    "on",
		"show max_connections":     "50",
		"show work_mem":            "5MB",
	} {
		if got := query(t, s.URL("postgres"), sql); got != want {
			t.Errorf("%s: %q, want %q", sql, got, want)
		}
	}
}

func TestFolderInUseIsRefused(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	s := start(t, localpg.Options{Dir: dir})
	link := filepath.Join(folder(t), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{dir, link} {
		_, err := localpg.Start(t.Context(), localpg.Options{Dir: name, InUseGrace: time.Millisecond})
		if !errors.Is(err, localpg.ErrInUse) {
			t.Fatalf("error %v, want ErrInUse", err)
		}
		for _, advice := range []string{fmt.Sprintf("process %d", os.Getpid()), "--data"} {
			if !strings.Contains(err.Error(), advice) {
				t.Errorf("%q does not say %q", err, advice)
			}
		}
	}
	if got := query(t, s.URL("postgres"), "select 'alive'"); got != "alive" {
		t.Error(got)
	}
}

func TestServerOfSomebodyElseIsLeftAlone(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	s := start(t, localpg.Options{Dir: dir})
	// Without its locks the server looks like one that was started by hand.
	for _, lock := range []string{"owner.lock", "postgres/server.lock"} {
		if err := os.Remove(filepath.Join(dir, lock)); err != nil {
			t.Fatal(err)
		}
	}
	_, err := localpg.Start(t.Context(), localpg.Options{Dir: dir})
	if want := fmt.Sprintf("process %d", postmaster(t, dir)); !errors.Is(err, localpg.ErrInUse) || !strings.Contains(err.Error(), want) {
		t.Fatalf("error %v, want ErrInUse with %s", err, want)
	}
	if got := query(t, s.URL("postgres"), "select 'alive'"); got != "alive" {
		t.Error(got)
	}
}

func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	a, b := start(t, localpg.Options{Dir: folder(t)}), start(t, localpg.Options{Dir: folder(t)})
	exec(t, a.URL("postgres"), "create table here ()")
	if err := tryExec(t.Context(), b.URL("postgres"), "select from here"); err == nil {
		t.Error("both serve the same database")
	}
	stop(t, a)
	if got := query(t, b.URL("postgres"), "select 'alive'"); got != "alive" {
		t.Error(got)
	}
}

func TestFailureShowsTheLog(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	_, err := localpg.Start(t.Context(), localpg.Options{Dir: dir, Settings: map[string]string{"shared_buffers": "plenty"}})
	if err == nil || !strings.Contains(err.Error(), `invalid value for parameter "shared_buffers"`) {
		t.Errorf("error %v", err)
	}
	// A failure gives the folder free.
	start(t, localpg.Options{Dir: dir})
}

func TestCanceledStartStops(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := folder(t)
	if _, err := localpg.Start(ctx, localpg.Options{Dir: dir}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	start(t, localpg.Options{Dir: dir})
}

// socketFolder returns the folder of the socket in a connection URL.
func socketFolder(t *testing.T, s *localpg.Server) string {
	t.Helper()
	u, err := url.Parse(s.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	return u.Query().Get("host")
}

func encode(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
