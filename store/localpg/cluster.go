package localpg

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// clusterMajor returns the major version of the cluster in the place, 0 when there is none yet.
func clusterMajor(p place) (int, error) {
	if _, err := os.Lstat(p.data()); errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	b, err := os.ReadFile(filepath.Join(p.data(), "PG_VERSION"))
	if err != nil {
		return 0, fmt.Errorf("%w: %s holds no whole Postgres cluster (%w); use --data with another folder, or remove this one", ErrCluster, p.data(), err)
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0, fmt.Errorf("%w: %s was not made by a Postgres that relay can run; use --data with another folder, or remove this one", ErrCluster, p.data())
	}
	return major, nil
}

// removeUnfinished removes clusters whose making was cut short. The lock says that nobody is still at it.
func removeUnfinished(p place) error {
	list, err := filepath.Glob(filepath.Join(globEscape(p.base), "data.new-*"))
	if err != nil {
		return err
	}
	for _, dir := range list {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}

// globEscape makes a path match itself alone.
func globEscape(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// initialise makes a new cluster beside its place and renames it when it is whole, so that a kill at any moment leaves
// either a cluster or none.
func (s *Server) initialise(ctx context.Context, bin binaries, lock *os.File) error {
	fresh, err := os.MkdirTemp(s.place.base, "data.new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(fresh)
	if err := os.Lchown(fresh, int(s.place.account.uid), int(s.place.account.gid)); err != nil {
		return err
	}
	log, err := s.openLog()
	if err != nil {
		return err
	}
	defer log.Close()
	args := []string{"-D", fresh, "-U", superuser, "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-instructions"}
	if !s.options.Durable {
		args = append(args, "--no-sync")
	}
	// initdb takes a second or two, and its Postgres dies of signals without removing its shared memory from the system.
	finish := ending{ask: "0", orphan: 20 * time.Second, told: 20 * time.Second, remove: s.temporary()}
	cmd, err := supervise(s.place, lock, log, finish, filepath.Join(bin.dir, "initdb"), args...)
	if err != nil {
		return err
	}
	if err := cmd.run(ctx); err != nil {
		return fmt.Errorf("initdb (%s): %w; its log ends:\n%s", bin, err, tail(s.place.log()))
	}
	return os.Rename(fresh, s.place.data())
}

// openLog starts a new log and keeps the one before.
func (s *Server) openLog() (*os.File, error) {
	path := s.place.log()
	if err := os.Rename(path, path+".1"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	log, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := log.Chown(int(s.place.account.uid), int(s.place.account.gid)); err != nil {
		log.Close()
		return nil, err
	}
	return log, nil
}

// launch starts Postgres and waits until it answers.
func (s *Server) launch(ctx context.Context, bin binaries, lock *os.File) error {
	log, err := s.openLog()
	if err != nil {
		return err
	}
	defer log.Close()
	end := ending{ask: "INT", orphan: s.options.OrphanPatience, told: s.options.StopPatience, remove: s.temporary()}
	s.process, err = supervise(s.place, lock, log, end, filepath.Join(bin.dir, "postgres"), s.arguments()...)
	if err != nil {
		return err
	}
	for {
		select {
		case <-s.process.done:
			return fmt.Errorf("start postgres (%s): it ended with status %s; its log ends:\n%s", bin, cmp.Or(s.process.status, "unknown"), tail(s.place.log()))
		default:
		}
		err := s.ping(ctx)
		if err == nil {
			return nil
		}
		if pauseErr := pause(ctx); pauseErr != nil {
			return fmt.Errorf("start postgres (%s): it does not answer: %w: %w; its log ends:\n%s", bin, pauseErr, err, tail(s.place.log()))
		}
	}
}

// arguments are the settings, given on the command line so that they hold for clusters of earlier runs too.
func (s *Server) arguments() []string {
	onOff := map[bool]string{true: "on", false: "off"}[s.options.Durable]
	buffers := map[bool]string{true: "128MB", false: "32MB"}[s.options.Durable]
	args := []string{"-D", s.place.data()}
	for _, kv := range [][2]string{
		{"listen_addresses", ""},
		{"port", port},
		// A list of quoted names, in which a quote is doubled.
		{"unix_socket_directories", `"` + strings.ReplaceAll(s.place.sockets, `"`, `""`) + `"`},
		{"unix_socket_permissions", "0700"},
		{"max_connections", strconv.Itoa(s.options.MaxConnections)},
		{"shared_buffers", buffers},
		{"fsync", onOff},
		{"synchronous_commit", onOff},
		{"full_page_writes", onOff},
		{"timezone", "UTC"},
		{"log_timezone", "UTC"},
		{"log_destination", "stderr"},
		{"logging_collector", "off"},
	} {
		args = append(args, "-c", kv[0]+"="+kv[1])
	}
	for name, value := range s.options.Settings {
		args = append(args, "-c", name+"="+value)
	}
	return args
}

// deadline bounds a wait when the caller's context does not.
func deadline(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, d, fmt.Errorf("not done within %s", d))
}
