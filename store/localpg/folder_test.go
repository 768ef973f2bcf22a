package localpg_test

import (
	"errors"
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pushwake/relay/store/localpg"
)

func TestLongPath(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(folder(t), strings.Repeat("long", 30), ".relay")
	s := start(t, localpg.Options{Dir: dir})
	sockets := socketFolder(t, s)
	if len(sockets) > 90 || filepath.Dir(s.LogPath()) != filepath.Join(dir, "postgres") {
		t.Errorf("socket in %s, log in %s", sockets, s.LogPath())
	}
	exec(t, s.URL("postgres"), "create table kept ()")
	stop(t, s)
	if _, err := os.Lstat(filepath.Dir(sockets)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("left behind: %s", filepath.Dir(sockets))
	}

	// The name can be guessed: what another user could have put there is refused.
	outer := filepath.Dir(sockets)
	if err := os.Mkdir(outer, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(outer) })
	if err := os.Chmod(outer, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := localpg.Start(t.Context(), localpg.Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "not a private folder") {
		t.Errorf("open folder: error %v", err)
	}
	if err := os.Remove(outer); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(folder(t), outer); err != nil {
		t.Fatal(err)
	}
	if _, err := localpg.Start(t.Context(), localpg.Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "not a private folder") {
		t.Errorf("symbolic link: error %v", err)
	}
	if err := os.Remove(outer); err != nil {
		t.Fatal(err)
	}
	s = start(t, localpg.Options{Dir: dir})
	exec(t, s.URL("postgres"), "select from kept")
}

// Root's Postgres runs as another user, who cannot enter root's own folders; an ordinary user can enter what is their own.
func TestPrivateFolder(t *testing.T) {
	t.Parallel()
	parent := folder(t)
	if err := os.Chmod(parent, 0o700); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(parent, ".relay")
	s := start(t, localpg.Options{Dir: dir})
	base := filepath.Dir(s.LogPath())
	if standsIn := filepath.Dir(base) != dir; standsIn != (os.Geteuid() == 0) {
		t.Errorf("the cluster of %s is in %s", dir, base)
	} else if standsIn {
		t.Cleanup(func() { os.RemoveAll(filepath.Dir(base)) })
	}
	exec(t, s.URL("postgres"), "create table kept ()")
	if _, err := localpg.Start(t.Context(), localpg.Options{Dir: dir}); !errors.Is(err, localpg.ErrInUse) {
		t.Errorf("error %v, want ErrInUse", err)
	}
	stop(t, s)
	s = start(t, localpg.Options{Dir: dir})
	exec(t, s.URL("postgres"), "select from kept")
	stop(t, s)
}

func TestStaleProcessID(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	data := filepath.Join(dir, "postgres", "data")
	stop(t, start(t, localpg.Options{Dir: dir}))

	// A process that got the id of a Postgres that was killed, and even stands in its folder.
	bystander := osexec.Command("sleep", "600")
	bystander.Dir = data
	if err := bystander.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- bystander.Wait() }()
	t.Cleanup(func() { _ = bystander.Process.Kill() })

	for _, content := range []string{
		fmt.Sprintf("%d\n%s\n1700000000\n5432\n%s\n\n  1 1\nready   \n", bystander.Process.Pid, data, filepath.Dir(data)),
		fmt.Sprintf("%d\n", os.Getpid()),
		"1\n",
		"-1\n",
		"",
	} {
		if err := os.WriteFile(filepath.Join(data, "postmaster.pid"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		s := start(t, localpg.Options{Dir: dir})
		if got := query(t, s.URL("postgres"), "select 'alive'"); got != "alive" {
			t.Error(got)
		}
		stop(t, s)
	}
	select {
	case err := <-ended:
		t.Errorf("the bystander ended: %v", err)
	default:
	}
}

func TestClusterThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	version := filepath.Join(dir, "postgres", "data", "PG_VERSION")
	stop(t, start(t, localpg.Options{Dir: dir}))
	if err := os.WriteFile(version, []byte("9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := localpg.Start(t.Context(), localpg.Options{Dir: dir})
	if !errors.Is(err, localpg.ErrVersion) || !strings.Contains(err.Error(), "install Postgres 9") || !strings.Contains(err.Error(), "--data") {
		t.Errorf("error %v, want ErrVersion with advice", err)
	}
	if err := os.Remove(version); err != nil {
		t.Fatal(err)
	}
	if _, err := localpg.Start(t.Context(), localpg.Options{Dir: dir}); !errors.Is(err, localpg.ErrCluster) || !strings.Contains(err.Error(), "--data") {
		t.Errorf("error %v, want ErrCluster with advice", err)
	}
}

func TestNoBinaries(t *testing.T) {
	t.Parallel()
	_, err := localpg.Start(t.Context(), localpg.Options{BinDir: folder(t)})
	if !errors.Is(err, localpg.ErrNoBinaries) || !strings.Contains(err.Error(), "brew install postgresql") {
		t.Errorf("error %v, want ErrNoBinaries with advice", err)
	}
}
