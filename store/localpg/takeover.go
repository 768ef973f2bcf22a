package localpg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// takeOver ends what an earlier owner of the place left running and returns the lock that every process of Postgres
// there inherits. With it in hand no process of ours serves the cluster, so a leftover postmaster.pid is stale,
// whatever process has that id by now.
func takeOver(ctx context.Context, p place, patience time.Duration) (*os.File, error) {
	lock, err := openLock(filepath.Join(p.base, "server.lock"))
	if err != nil {
		return nil, err
	}
	if err := awaitLock(ctx, p, lock, patience); err != nil {
		lock.Close()
		return nil, err
	}
	if err := removeStalePID(ctx, p); err != nil {
		lock.Close()
		return nil, err
	}
	return lock, nil
}

// awaitLock waits for the lock, and hurries up the Postgres that holds it. A running initdb has no postmaster.pid in
// the data folder yet; it is left to finish.
func awaitLock(ctx context.Context, p place, lock *os.File, patience time.Duration) error {
	started := time.Now()
	giveUp := patience + 30*time.Second // longer than the supervisor lets anything live
	signals := []struct {
		after time.Duration
		send  syscall.Signal
	}{{0, syscall.SIGINT}, {patience, syscall.SIGQUIT}, {patience + 6*time.Second, syscall.SIGKILL}}
	for {
		ok, err := tryLock(lock)
		if err != nil || ok {
			return err
		}
		pid := postmaster(p)
		waited := time.Since(started)
		if len(signals) > 0 && waited >= signals[0].after && signalPostmaster(ctx, p, pid, signals[0].send) {
			signals = signals[1:]
		}
		if waited > giveUp {
			return fmt.Errorf("%w: the Postgres that an earlier run left in %s does not stop (process %d); end it, or use --data with another folder", ErrInUse, p.base, pid)
		}
		if err := pause(ctx); err != nil {
			return fmt.Errorf("waiting for the Postgres that an earlier run left in %s: %w", p.base, err)
		}
	}
}

// removeStalePID removes the postmaster.pid of a server that is gone. Postgres itself would refuse to start when a
// process with that id lives, even one that has nothing to do with it. A server that somebody started by hand on this
// cluster does not hold our lock; it is recognised and left alone.
func removeStalePID(ctx context.Context, p place) error {
	if pid := postmaster(p); pid != 0 && serves(ctx, pid, p.data()) {
		return fmt.Errorf("%w: a Postgres that relay did not start serves %s (process %d); stop it, or use --data with another folder", ErrInUse, p.data(), pid)
	}
	for _, stale := range []string{filepath.Join(p.data(), "postmaster.pid"), filepath.Join(p.sockets, socketName), filepath.Join(p.sockets, socketName+".lock")} {
		if err := os.Remove(stale); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// postmaster returns the process id in postmaster.pid, or 0.
func postmaster(p place) int {
	b, err := os.ReadFile(filepath.Join(p.data(), "postmaster.pid"))
	if err != nil {
		return 0
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	pid, err := strconv.Atoi(strings.TrimSpace(string(line)))
	if err != nil || pid <= 1 {
		return 0
	}
	return pid
}

// signalPostmaster signals the process only when it is proved to be the postmaster of this cluster. The handle is
// taken first: where the system has process handles (pidfd on Linux) it cannot come to mean another process in between.
func signalPostmaster(ctx context.Context, p place, pid int, sig syscall.Signal) bool {
	if pid == 0 {
		return false
	}
	proc, err := os.FindProcess(pid)
	if err != nil {
		return false
	}
	defer func() { _ = proc.Release() }()
	return serves(ctx, pid, p.data()) && proc.Signal(sig) == nil
}

// serves tells whether the process is a Postgres that serves the cluster in the data folder.
func serves(ctx context.Context, pid int, data string) bool {
	if _, err := os.Stat("/proc/self/cwd"); err == nil {
		return servesByProc(pid, data)
	}
	return servesByPS(ctx, pid, data)
}

// servesByProc asks Linux: a postmaster runs the program postgres, and its working folder is its data folder.
func servesByProc(pid int, data string) bool {
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	exe, err := os.Readlink(filepath.Join(proc, "exe"))
	if err != nil {
		return false
	}
	cwd, err := os.Readlink(filepath.Join(proc, "cwd"))
	// The kernel marks a program that was replaced by an upgrade.
	return err == nil && filepath.Base(strings.TrimSuffix(exe, " (deleted)")) == "postgres" && cwd == data
}

// servesByPS asks ps for the program, and for the command line, in which the data folder follows -D.
func servesByPS(ctx context.Context, pid int, data string) bool {
	ask := func(what string) string {
		out, err := exec.CommandContext(ctx, "ps", "-ww", "-o", what+"=", "-p", strconv.Itoa(pid)).Output()
		if err != nil {
			return ""
		}
		return strings.TrimSpace(string(out))
	}
	return commandServes(ask("comm"), ask("command"), data)
}

// commandServes tells whether a program and its command line are those of a Postgres with this data folder.
func commandServes(program, line, data string) bool {
	_, rest, ok := strings.Cut(line+" ", " -D "+data+" ")
	return ok && filepath.Base(program) == "postgres" && !strings.Contains(" "+rest, " -D ")
}
