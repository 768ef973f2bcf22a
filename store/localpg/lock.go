package localpg

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// How often a lock, a socket or a process is looked at again while waiting for it.
const poll = 10 * time.Millisecond

// pause waits for one poll interval or for the end of ctx.
func pause(ctx context.Context) error {
	t := time.NewTimer(poll)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// openLock opens a lock file, which is never removed: a removed lock file can be held twice.
func openLock(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o644)
}

// tryLock takes the lock if it is free. The lock belongs to the open file: children that inherit the file hold it too,
// until the last copy is closed.
func tryLock(f *os.File) (bool, error) {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EWOULDBLOCK):
			return false, nil
		default:
			return false, fmt.Errorf("lock %s: %w", f.Name(), err)
		}
	}
}

// lockOwner makes this process the owner of the folder until the returned file is closed. It waits for up to grace,
// because a process that was just killed holds its locks until the kernel has torn it down.
func lockOwner(ctx context.Context, folder, path string, grace time.Duration) (*os.File, error) {
	f, err := openLock(path)
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("%w: %s belongs to another user; use --data with another folder, or remove that one", ErrInUse, folder)
	}
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(grace)
	for {
		ok, err := tryLock(f)
		if err == nil && !ok && time.Now().Before(deadline) {
			err = pause(ctx)
		} else if err == nil && !ok {
			err = inUse(folder, f)
		} else if err == nil {
			if err = f.Truncate(0); err == nil {
				_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
			}
			if err == nil {
				return f, nil
			}
		}
		if err != nil {
			f.Close()
			return nil, err
		}
	}
}

func inUse(folder string, lock *os.File) error {
	who := "another process"
	b := make([]byte, 32)
	n, _ := lock.ReadAt(b, 0)
	if pid, err := strconv.Atoi(strings.TrimSpace(string(b[:n]))); err == nil {
		who = fmt.Sprintf("process %d", pid)
	}
	return fmt.Errorf("%w: %s is used by %s; stop that one, or use --data with another folder", ErrInUse, folder, who)
}
