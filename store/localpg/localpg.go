package localpg

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// Errors that callers tell apart; the text of each says what a human can do about it.
var (
	// ErrInUse: another process uses the data folder.
	ErrInUse = errors.New("the private Postgres is in use")
	// ErrNoBinaries: no usable Postgres was found, and none could be downloaded.
	ErrNoBinaries = errors.New("no Postgres binaries")
	// ErrVersion: the cluster was made by another major version than those found.
	ErrVersion = errors.New("another version of Postgres")
	// ErrCluster: the folder holds something that is no Postgres cluster.
	ErrCluster = errors.New("not a Postgres cluster")
	// ErrNoUser: started by root, there is no unprivileged user that Postgres could run as.
	ErrNoUser = errors.New("no user to run Postgres as")
)

// superuser is the role that every connection uses.
const superuser = "postgres"

// Options of a private Postgres. The zero value is a fresh, fast, forgetful one.
type Options struct {
	// Dir is the owner's data folder; it is created when missing and may hold the owner's other files. Empty: a fresh
	// temporary folder, which is removed when Postgres stops. (Tests want the latter: a root's t.TempDir cannot be entered
	// by the user that runs Postgres, and the folder that stands in for it is kept.)
	Dir string
	// Durable turns fsync, synchronous_commit and full_page_writes on. Off, a crash of the machine may lose the cluster.
	Durable bool
	// MaxConnections is Postgres's max_connections. Default 200.
	MaxConnections int
	// Settings are further settings of postgresql.conf; they win over the package's own.
	Settings map[string]string
	// BinDir is a folder with initdb and postgres. Empty: they are searched for, or downloaded.
	BinDir string
	// Repository is the Maven repository to download from. Default: the public one that embedded-postgres names.
	Repository string
	// StartTimeout bounds a start, a recovery after a crash and a download included. Default 2 minutes.
	StartTimeout time.Duration
	// StopPatience is how long Stop lets Postgres write its last checkpoint before it ends it at once. Default 30 s.
	StopPatience time.Duration
	// OrphanPatience is the same once the owner was killed. Default 1 s.
	OrphanPatience time.Duration
	// InUseGrace is how long a start waits for another owner to let go of the folder, because a killed process holds its
	// locks for some ms. Default 300 ms.
	InUseGrace time.Duration
	// Logger gets what a human should know. Default: nothing is logged.
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&o.StartTimeout, 2*time.Minute)
	set(&o.StopPatience, 30*time.Second)
	set(&o.OrphanPatience, time.Second)
	set(&o.InUseGrace, 300*time.Millisecond)
	if o.MaxConnections == 0 {
		o.MaxConnections = 200
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Server is a running private Postgres.
type Server struct {
	options Options
	place   place
	owner   io.Closer // the owner's lock; nil for a temporary folder, which nobody else knows
	process *supervised

	stop    sync.Once
	stopErr error
}

// Start starts Postgres and returns when it answers. The context bounds the start alone; the server lives until Stop,
// or until this process ends by whatever means.
//
// It fails with ErrInUse, ErrNoBinaries, ErrVersion, ErrCluster or ErrNoUser, and otherwise with the last lines of
// Postgres's log.
func Start(ctx context.Context, o Options) (_ *Server, err error) {
	s := &Server{options: o.withDefaults()}
	ctx, cancel := deadline(ctx, s.options.StartTimeout)
	defer cancel()
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("localpg: %w", err), s.Stop())
		}
	}()
	if err := s.settle(ctx); err != nil {
		return nil, err
	}
	lock, err := takeOver(ctx, s.place, s.options.OrphanPatience)
	if err != nil {
		return nil, err
	}
	// Postgres inherits it; this copy must go, or the lock would not tell when Postgres has gone.
	defer lock.Close()
	if err := removeUnfinished(s.place); err != nil {
		return nil, err
	}
	major, err := clusterMajor(s.place)
	if err != nil {
		return nil, err
	}
	bin, err := s.findBinaries(ctx, major)
	if err != nil {
		return nil, err
	}
	if major == 0 {
		if err := s.initialise(ctx, bin, lock); err != nil {
			return nil, err
		}
	}
	if err := s.launch(ctx, bin, lock); err != nil {
		return nil, err
	}
	s.options.Logger.Info("private postgres started", "version", bin.version, "folder", s.place.base, "durable", s.options.Durable)
	return s, nil
}

// settle makes this process the owner of the data folder and finds the place for the cluster.
func (s *Server) settle(ctx context.Context) (err error) {
	if s.options.Dir == "" {
		s.place, err = settleTemporary(ctx)
		return err
	}
	folder, err := makeFolder(s.options.Dir)
	if err != nil {
		return err
	}
	owner, err := lockOwner(ctx, folder, filepath.Join(folder, "owner.lock"), s.options.InUseGrace)
	if err != nil {
		return err
	}
	s.owner = owner
	if s.place, err = settle(ctx, folder); err != nil {
		return err
	}
	if filepath.Dir(s.place.base) != folder {
		s.options.Logger.Warn("the database is kept in the temporary folder, because the user who runs postgres cannot use the data folder",
			"folder", s.place.base, "data", folder)
	}
	return nil
}

// temporary returns the folder that goes with the server, or nothing.
func (s *Server) temporary() string {
	if s.options.Dir == "" {
		return s.place.base
	}
	return ""
}

// URL returns the connection URL of a database of this server; the database postgres always exists. The role is a
// superuser.
func (s *Server) URL(database string) string {
	q := url.Values{"host": {s.place.sockets}, "port": {port}, "user": {superuser}, "sslmode": {"disable"}}
	// pgx takes a plus as it stands; in the encoded form it is always a blank.
	query := strings.ReplaceAll(q.Encode(), "+", "%20")
	return (&url.URL{Scheme: "postgres", Path: "/" + database, RawQuery: query}).String()
}

// Done is closed when Postgres has ended, by Stop or by itself.
func (s *Server) Done() <-chan struct{} { return s.process.done }

// LogPath is the file that Postgres logs to.
func (s *Server) LogPath() string { return s.place.log() }

// Stop ends all connections, stops Postgres, waits until its last process is gone, and gives the folder free; a
// temporary one is removed. Later calls return what the first one did.
func (s *Server) Stop() error {
	s.stop.Do(func() { s.stopErr = s.shutdown() })
	return s.stopErr
}

func (s *Server) shutdown() error {
	var errs []error
	if s.process != nil {
		s.process.stop()
		<-s.process.done
		// A supervisor that somebody killed may have left Postgres behind.
		ctx, cancel := deadline(context.Background(), s.options.StopPatience+30*time.Second)
		defer cancel()
		lock, err := takeOver(ctx, s.place, s.options.StopPatience)
		if err == nil {
			err = lock.Close()
		} else if errors.Is(err, fs.ErrNotExist) {
			err = nil // somebody removed the folder meanwhile, and the supervisor told that Postgres is gone
		}
		errs = append(errs, err)
	}
	if s.place.sockets != s.place.base {
		// The stand-in for the socket alone; each removal fails unless the folder is empty.
		_ = os.Remove(s.place.sockets)
		_ = os.Remove(filepath.Dir(s.place.sockets))
	}
	if dir := s.temporary(); dir != "" {
		errs = append(errs, os.RemoveAll(dir))
	}
	if s.owner != nil {
		errs = append(errs, s.owner.Close())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("localpg: stop: %w", err)
	}
	return nil
}

// ping connects once.
func (s *Server) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.URL(superuser))
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}
