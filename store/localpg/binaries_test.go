package localpg

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestCandidatesInOrder(t *testing.T) {
	t.Parallel()
	root := filepath.Join(t.TempDir(), "[root]")
	for _, dir := range []string{
		"usr/lib/postgresql/9.6/bin",
		"usr/lib/postgresql/15/bin",
		"usr/lib/postgresql/16/bin",
		"usr/pgsql-17/bin",
		"opt/homebrew/opt/postgresql@14/bin",
		"opt/homebrew/opt/postgresql@18/bin",
		"Applications/Postgres.app/Contents/Versions/latest/bin",
		"Applications/Postgres.app/Contents/Versions/17/bin",
	} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, dir := range candidates("/a/bin:relative/bin::/b", root) {
		got = append(got, strings.TrimPrefix(dir, root+"/"))
	}
	want := []string{
		"/a/bin", "/b",
		"usr/lib/postgresql/16/bin", "usr/lib/postgresql/15/bin", "usr/lib/postgresql/9.6/bin",
		"usr/pgsql-17/bin",
		"opt/homebrew/opt/postgresql@18/bin", "opt/homebrew/opt/postgresql@14/bin",
		"Applications/Postgres.app/Contents/Versions/17/bin", "Applications/Postgres.app/Contents/Versions/latest/bin",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestCommandServes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		program, line string
		want          bool
	}{
		{"/usr/lib/postgresql/15/bin/postgres", "/usr/lib/postgresql/15/bin/postgres -D /d/postgres/data -c port=5432", true},
		{"/opt/with blank/bin/postgres", "/opt/with blank/bin/postgres -D /d/postgres/data", true},
		{"postgres", "postgres -D /d/postgres/data", true},
		{"postgres", "postgres -D /d/postgres/data2", false},
		{"postgres", "postgres -D /d/postgres/data -D /e", false},
		{"postgres", "postgres: checkpointer", false},
		{"/bin/sh", "sh -c wrapper /bin/postgres -D /d/postgres/data", false},
		{"tail", "tail -D /d/postgres/data", false},
		{"", "", false},
	} {
		if got := commandServes(c.program, c.line, "/d/postgres/data"); got != c.want {
			t.Errorf("%q, %q: %v", c.program, c.line, got)
		}
	}
}

//go:embed testdata/programs.txz
var programs []byte

// repository serves an archive with programs that only tell a version, as the Maven repository serves Postgres.
func repository(t *testing.T, damage bool) *httptest.Server {
	t.Helper()
	var jar bytes.Buffer
	w := zip.NewWriter(&jar)
	f, err := w.Create("postgres.txz")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(programs); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(jar.Bytes())
	if damage {
		sum[0]++
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !strings.Contains(r.URL.Path, "/17.5.0/"):
			http.NotFound(w, r)
		case strings.HasSuffix(r.URL.Path, ".jar"):
			w.Write(jar.Bytes())
		case strings.HasSuffix(r.URL.Path, ".jar.sha256"):
			w.Write([]byte(hex.EncodeToString(sum[:])))
		}
	}))
	t.Cleanup(server.Close)
	return server
}

func TestFetch(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir()) // the library leaves a log file there
	silent := slog.New(slog.DiscardHandler)
	cache := filepath.Join(t.TempDir(), "cache")
	server := repository(t, false)

	if _, err := fetch(t.Context(), repository(t, true).URL, cache, 0, silent); err == nil || !strings.Contains(err.Error(), "checksums") {
		t.Errorf("damaged archive: error %v", err)
	}
	if _, err := fetch(t.Context(), server.URL, cache, 16, silent); err == nil || !strings.Contains(err.Error(), "no version found") {
		t.Errorf("version that the repository has not: error %v", err)
	}
	if _, err := fetch(t.Context(), server.URL, cache, 9, silent); err == nil {
		t.Error("version that nobody has: no error")
	}
	dir, err := fetch(t.Context(), server.URL, cache, 0, silent)
	if err != nil {
		t.Fatal(err)
	}
	self := account{uid: uint32(os.Geteuid()), gid: uint32(os.Getegid())}
	got, err := tryBinaries(t.Context(), self, dir)
	if want := (binaries{dir: dir, version: "17.5", major: 17}); err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	server.Close()
	if again, err := fetch(t.Context(), server.URL, cache, 17, silent); err != nil || again != dir {
		t.Errorf("from the cache: %q, %v", again, err)
	}
	left, err := os.ReadDir(cache)
	if err != nil || len(left) != 1 {
		t.Errorf("in the cache: %v, %v", left, err)
	}
}

func TestFetchEndsWithItsContext(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	asked := make(chan struct{})
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(asked)
		<-release
		w.WriteHeader(http.StatusNotFound)
	}))
	defer server.Close()
	cache := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	go func() {
		<-asked
		cancel()
	}()
	_, err := fetch(ctx, server.URL, cache, 0, slog.New(slog.DiscardHandler))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	close(release)
	// What the library left is removed once it ends.
	for {
		left, err := os.ReadDir(cache)
		if err != nil {
			t.Fatal(err)
		}
		if len(left) == 0 {
			return
		}
		if err := pause(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
