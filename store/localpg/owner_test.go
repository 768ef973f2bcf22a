package localpg_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pushwake/relay/store/localpg"
)

// childOptions are what an owner in another process is told.
type childOptions struct {
	Dir     string
	Durable bool
}

// childAnswer is what it answers once Postgres runs.
type childAnswer struct{ URL, Log string }

func ownUntilKilled(options string) error {
	var o childOptions
	if err := json.Unmarshal([]byte(options), &o); err != nil {
		return err
	}
	s, err := localpg.Start(context.Background(), localpg.Options{Dir: o.Dir, Durable: o.Durable})
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(childAnswer{URL: s.URL("postgres"), Log: s.LogPath()}); err != nil {
		return err
	}
	select {}
}

// owner is another process that owns a Postgres.
type owner struct {
	childAnswer
	cmd *osexec.Cmd
	out *bufio.Reader
}

// launchOwner starts an owner, which may not have got far yet.
func launchOwner(t *testing.T, o childOptions) *owner {
	t.Helper()
	cmd := osexec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+encode(t, o))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	return &owner{cmd: cmd, out: bufio.NewReader(out)}
}

// startOwner starts an owner and waits until its Postgres runs.
func startOwner(t *testing.T, o childOptions) *owner {
	t.Helper()
	c := launchOwner(t, o)
	line, err := c.out.ReadBytes('\n')
	if err != nil {
		t.Fatalf("the owner did not start: %v", err)
	}
	if err := json.Unmarshal(line, &c.childAnswer); err != nil {
		t.Fatal(err)
	}
	return c
}

// kill ends the owner as kill -9 does.
func (c *owner) kill(t *testing.T) {
	t.Helper()
	if err := c.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.cmd.Wait()
}

// eventually waits until a condition holds, for at most 10 s.
func eventually(t *testing.T, what string, holds func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		if time.Since(began) > 10*time.Second {
			t.Fatalf("not within 10 s: %s", what)
		}
		<-tick.C
	}
	return time.Since(began)
}

// gone tells whether no process of Postgres is left in the data folder: they all hold its lock.
func gone(t *testing.T, dir string) bool {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, "postgres", "server.lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
}

// supervisors returns the living processes of Postgres's process group besides Postgres itself.
func supervisors(t *testing.T, pid int) []int {
	t.Helper()
	group, err := syscall.Getpgid(pid)
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(members(t, group), func(member int) bool { return member == pid })
}

// members returns the living processes of a process group.
func members(t *testing.T, group int) []int {
	t.Helper()
	out, err := osexec.Command("ps", "-A", "-o", "pid=,pgid=,stat=").Output()
	if err != nil {
		t.Fatal(err)
	}
	var list []int
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if len(f) == 3 && f[1] == strconv.Itoa(group) && !strings.HasPrefix(f[2], "Z") {
			pid, err := strconv.Atoi(f[0])
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, pid)
		}
	}
	return list
}

func TestPostgresEndsWithItsOwner(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	c := startOwner(t, childOptions{Dir: dir, Durable: true})
	exec(t, c.URL, "create table kept as select 42 as n")
	if gone(t, dir) {
		t.Fatal("Postgres does not hold its lock")
	}
	group, err := syscall.Getpgid(postmaster(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	c.kill(t)
	took := eventually(t, "Postgres ends", func() bool { return gone(t, dir) })
	t.Logf("ended after %s", took)
	if took > 3*time.Second {
		t.Errorf("Postgres lived %s longer than its owner", took)
	}
	took = eventually(t, "the supervisor ends", func() bool { return len(members(t, group)) == 0 })
	if took > 3*time.Second {
		t.Errorf("the supervisor lived %s longer than Postgres", took)
	}
	s := start(t, localpg.Options{Dir: dir, Durable: true})
	if got := query(t, s.URL("postgres"), "select n::text from kept"); got != "42" {
		t.Error(got)
	}
}

func TestKilledOwnerIsSucceededAtOnce(t *testing.T) {
	t.Parallel()
	for _, durable := range []bool{true, false} {
		t.Run(fmt.Sprintf("durable=%v", durable), func(t *testing.T) {
			t.Parallel()
			dir := folder(t)
			c := startOwner(t, childOptions{Dir: dir, Durable: durable})
			exec(t, c.URL, "create table kept as select 42 as n")
			_, err := localpg.Start(t.Context(), localpg.Options{Dir: dir})
			if want := fmt.Sprintf("process %d", c.cmd.Process.Pid); !errors.Is(err, localpg.ErrInUse) || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v, want ErrInUse with %s", err, want)
			}
			c.kill(t)
			s := start(t, localpg.Options{Dir: dir, Durable: durable})
			if got := query(t, s.URL("postgres"), "select n::text from kept"); got != "42" {
				t.Error(got)
			}
		})
	}
}

func TestAbandonedPostgresIsTakenOver(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	c := startOwner(t, childOptions{Dir: dir, Durable: true})
	exec(t, c.URL, "create table kept as select 42 as n")
	pid := postmaster(t, dir)
	for _, supervisor := range supervisors(t, pid) {
		if err := syscall.Kill(supervisor, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	c.kill(t)
	if gone(t, dir) || query(t, c.URL, "select n::text from kept") != "42" {
		t.Fatal("Postgres should still run")
	}
	s := start(t, localpg.Options{Dir: dir, Durable: true})
	if postmaster(t, dir) == pid {
		t.Error("the abandoned Postgres still serves")
	}
	if got := query(t, s.URL("postgres"), "select n::text from kept"); got != "42" {
		t.Error(got)
	}
}

// A stopped process answers no signal but SIGKILL.
func TestHungPostgresIsTakenOver(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	c := startOwner(t, childOptions{Dir: dir, Durable: true})
	exec(t, c.URL, "create table kept as select 42 as n")
	pid := postmaster(t, dir)
	for _, supervisor := range supervisors(t, pid) {
		if err := syscall.Kill(supervisor, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	c.kill(t)
	s := start(t, localpg.Options{Dir: dir, Durable: true, OrphanPatience: 100 * time.Millisecond})
	if got := query(t, s.URL("postgres"), "select n::text from kept"); got != "42" {
		t.Error(got)
	}
}

func TestServerStopsAfterItsSupervisorWasKilled(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	s := start(t, localpg.Options{Dir: dir})
	for _, supervisor := range supervisors(t, postmaster(t, dir)) {
		if err := syscall.Kill(supervisor, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	<-s.Done()
	stop(t, s)
	if !gone(t, dir) {
		t.Error("Postgres still runs")
	}
}

func TestTemporaryFolderGoesWithItsOwner(t *testing.T) {
	t.Parallel()
	c := startOwner(t, childOptions{})
	folder := filepath.Dir(c.Log)
	if _, err := os.Stat(folder); err != nil {
		t.Fatal(err)
	}
	c.kill(t)
	eventually(t, folder+" is removed", func() bool {
		_, err := os.Lstat(folder)
		return errors.Is(err, os.ErrNotExist)
	})
}

func TestKillWhileTheClusterIsMadeDoesNoHarm(t *testing.T) {
	t.Parallel()
	for _, made := range []string{"", "PG_VERSION", "global/pg_control"} {
		t.Run("after "+made, func(t *testing.T) {
			t.Parallel()
			dir := folder(t)
			c := launchOwner(t, childOptions{Dir: dir})
			reached := func(file string) func() bool {
				return func() bool {
					list, err := filepath.Glob(filepath.Join(dir, "postgres", "data.new-*", file))
					return err == nil && len(list) > 0
				}
			}
			if made == "" {
				eventually(t, "the owner makes the folder", reached(""))
			} else {
				// A halted owner cannot finish before it is killed, however slow this process is.
				eventually(t, "initdb runs", reached("PG_VERSION"))
				if err := c.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
					t.Fatal(err)
				}
				eventually(t, "initdb makes "+made, reached(made))
			}
			c.kill(t)
			if _, err := os.Lstat(filepath.Join(dir, "postgres", "data")); !errors.Is(err, os.ErrNotExist) {
				t.Fatalf("the kill came too late: %v", err)
			}
			s := start(t, localpg.Options{Dir: dir})
			if got := query(t, s.URL("postgres"), "select 'whole'"); got != "whole" {
				t.Error(got)
			}
			list, err := filepath.Glob(filepath.Join(dir, "postgres", "data.new-*"))
			if err != nil || len(list) > 0 {
				t.Errorf("left behind: %v, %v", list, err)
			}
		})
	}
}
