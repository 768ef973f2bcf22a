package localpg

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

//go:embed supervise.sh
var superviseScript string

// supervised is a command that ends when this process does.
type supervised struct {
	pipe   io.WriteCloser
	done   chan struct{} // closed when the supervisor ended
	status string        // what the command exited with, as the shell tells it; empty when the supervisor was killed; read after done
	tell   sync.Once
}

// ending is how a supervised command is brought to its end.
type ending struct {
	ask    string        // the signal that asks it to end; "0" lets it finish
	orphan time.Duration // from then to SIGQUIT, once the owner died
	told   time.Duration // the same once the owner told it to stop
	remove string        // a folder that goes with a dead owner, or nothing
}

// supervise starts a command as the account of the place. It inherits lock and writes to log.
func supervise(p place, lock, log *os.File, e ending, name string, args ...string) (*supervised, error) {
	end, pipe, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer end.Close()
	tenths := func(d time.Duration) string { return strconv.Itoa(int(d / (100 * time.Millisecond))) }
	args = append([]string{"-c", superviseScript, "sh", e.ask, tenths(e.orphan), tenths(e.told), e.remove, name}, args...)
	// Not bound to a context: the command lives until it is told to stop or its owner dies.
	cmd := p.account.command(context.Background(), "/bin/sh", args...)
	cmd.Dir = p.base
	var status bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = end, &status, log
	cmd.ExtraFiles = []*os.File{lock}
	cmd.SysProcAttr.Setsid = true
	if err := cmd.Start(); err != nil {
		pipe.Close()
		return nil, fmt.Errorf("start the supervisor of %s: %w", name, err)
	}
	s := &supervised{pipe: pipe, done: make(chan struct{})}
	go func() {
		// Always an error: the supervisor's last act is to kill its group, itself included.
		_ = cmd.Wait()
		s.status = strings.TrimSpace(status.String())
		close(s.done)
	}()
	return s, nil
}

// stop tells the command to stop, once; done tells when it has.
func (s *supervised) stop() {
	s.tell.Do(func() {
		// A supervisor that ended already has nobody to tell.
		_, _ = io.WriteString(s.pipe, "stop\n")
		_ = s.pipe.Close()
	})
}

// run waits for a supervised command that ends by itself, and stops it at the end of ctx. It fails unless the command
// exits with 0.
func (s *supervised) run(ctx context.Context) error {
	defer s.stop()
	select {
	case <-s.done:
		if s.status != "0" {
			return fmt.Errorf("exit status %s", cmp.Or(s.status, "unknown: its supervisor was killed"))
		}
		return nil
	case <-ctx.Done():
		s.stop()
		<-s.done
		return context.Cause(ctx)
	}
}

// tail returns the last lines of a log, for an error message.
func tail(path string) string {
	const most = 2000
	f, err := os.Open(path)
	if err != nil {
		return "no log: " + err.Error()
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return "no log: " + err.Error()
	}
	b := make([]byte, min(size, most))
	if _, err := f.ReadAt(b, size-int64(len(b))); err != nil && !errors.Is(err, io.EOF) {
		return "no log: " + err.Error()
	}
	return string(b)
}
