package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	pgxuuid "github.com/vgarvardt/pgx-google-uuid/v5"
)

// Pooling says what stands between a client and its database.
type Pooling string

const (
	// Direct: nothing, or something that passes all on as it is.
	Direct Pooling = "direct"
	// SessionPooling: a pooler that gives a client a server connection of its own for as long as the client stays.
	SessionPooling Pooling = "session"
	// TransactionPooling: a pooler that may give each transaction another server connection. Nothing may be left
	// in a session: no setting, no prepared statement, no lock, no LISTEN.
	TransactionPooling Pooling = "transaction"
)

// connectTimeout bounds the making of one connection.
const connectTimeout = 3 * time.Second

// setting is a parameter of a session or of a transaction.
type setting struct{ name, value string }

// sessions is how this process's connections are made.
type sessions struct {
	config  *pgxpool.Config
	pooling Pooling
	local   []setting // what each transaction must set for itself
}

// newSessions looks at what stands between this process and its database, and
// makes the connections' configuration for it. It turns LISTEN off where that
// cannot work.
//
// Everything but the name and the time zone is set after connecting: poolers
// refuse other parameters in the startup message (PgBouncer: "unsupported
// startup parameter").
func newSessions(ctx context.Context, config *Config) (sessions, error) {
	pc, err := pgxpool.ParseConfig(config.URL)
	if err != nil {
		return sessions{}, fmt.Errorf("database URL: %w", err)
	}
	pc.MaxConns = int32(config.MaxConns)
	pc.ConnConfig.ConnectTimeout = connectTimeout
	pc.ConnConfig.OnPgError = keepConnection
	if pc.ConnConfig.ValidateConnect == nil && severalServers(&pc.ConnConfig.Config) {
		// Of several servers the one that can be written to, unless the URL says otherwise by target_session_attrs.
		pc.ConnConfig.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	given := pc.ConnConfig.RuntimeParams
	for _, s := range []setting{{"application_name", "relay"}, {"timezone", "UTC"}} {
		if _, ok := given[s.name]; !ok {
			given[s.name] = s.value
		}
	}
	var set []setting
	for _, s := range []setting{
		{"jit", "off"},                           // statements are short: compiling one takes longer than running it,
		{"max_parallel_workers_per_gather", "0"}, // and so does starting a parallel worker
		{"plan_cache_mode", "force_custom_plan"}, // a plan that was made on empty tables must not outlive them; see pointPlans
		{"lock_timeout", fmt.Sprint(config.LockWait.Milliseconds())},
		{"idle_in_transaction_session_timeout", "5000"}, // a process that stalls must not hold back the event log
		{"statement_timeout", "30000"},                  // nor must a long query
	} {
		if _, ok := given[s.name]; !ok { // the URL's word counts
			set = append(set, s)
		}
	}
	pooling, err := findPooling(ctx, pc.ConnConfig)
	if err != nil {
		return sessions{}, translate(err)
	}
	if pooling == TransactionPooling {
		config.NoListen = true
		pc.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe // no statement outlives its transaction
		config.Logger.Info("the pooler gives each transaction another connection: no LISTEN and no prepared statements; other processes' changes are found by polling")
		pc.AfterConnect = func(_ context.Context, conn *pgx.Conn) error {
			pgxuuid.Register(conn.TypeMap())
			return nil
		}
		return sessions{pc, pooling, set}, nil
	}
	sql, args := settle(set, false)
	if _, ok := given["transaction_timeout"]; !ok { // the bounds above are of one statement, and of the pause before the next
		sql += `, CASE WHEN current_setting('server_version_num')::integer >= 170000 THEN set_config('transaction_timeout', '60000', false) END`
	}
	pc.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		pgxuuid.Register(conn.TypeMap()) // else each id is written as text by its driver.Valuer, and parsed again
		return conn.PgConn().ExecParams(ctx, sql, args, nil, nil, nil).Read().Err
	}
	return sessions{pc, pooling, nil}, nil
}

// settle is a statement that makes settings, for the transaction alone or for
// its session.
func settle(set []setting, local bool) (sql string, args [][]byte) {
	parts := make([]string, len(set))
	for i, s := range set {
		parts[i] = fmt.Sprintf("set_config($%d, $%d, %t)", 2*i+1, 2*i+2, local)
		args = append(args, []byte(s.name), []byte(s.value))
	}
	return "SELECT " + strings.Join(parts, ", "), args
}

// severalServers reports whether a URL names more than one server.
func severalServers(c *pgconn.Config) bool {
	for _, f := range c.Fallbacks { // also one for each way to encrypt
		if f.Host != c.Host || f.Port != c.Port {
			return true
		}
	}
	return false
}

// keepConnection decides, for each error that the server reports, whether the
// connection goes on. One to a server that has become read-only, or whose
// prepared statements are not the ones we know, is closed, and the pool makes
// another.
func keepConnection(_ *pgconn.PgConn, err *pgconn.PgError) bool {
	return !strings.EqualFold(err.SeverityUnlocalized, "FATAL") && !strings.EqualFold(err.SeverityUnlocalized, "PANIC") && !spoilsConnection(err.Code)
}

// FindPooling looks at what stands between this process and the database.
//
// Errors: ErrUnavailable.
func FindPooling(ctx context.Context, url string) (Pooling, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return "", fmt.Errorf("database URL: %w", err)
	}
	config.ConnectTimeout = connectTimeout
	pooling, err := findPooling(ctx, config)
	return pooling, translate(err)
}

// poolingLooks is how often findPooling looks before it believes that a client
// keeps its server connection. Others use the pooler too and may hide for some
// looks that it does not: on a busy one, five were once too few. A look takes
// four round trips, and only behind a pooler in session mode are all of them made.
const poolingLooks = 50

// findPooling tells a pooler by the process id in the answer to the startup
// message, which is the server's own only where nothing stands in between.
// Whether each transaction may have another server connection shows where a
// second client gets the first one's, or the first is moved while the second
// has a transaction open. Neither can happen where a client keeps its own.
func findPooling(ctx context.Context, config *pgx.ConnConfig) (_ Pooling, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*connectTimeout)
	defer cancel()
	first, err := connectPlain(ctx, config)
	if err != nil {
		return "", err
	}
	defer closeQuietly(first)
	pid, err := serverProcess(ctx, first)
	if err != nil {
		return "", err
	}
	if pid == first.PgConn().PID() {
		return Direct, nil
	}
	second, err := connectPlain(ctx, config)
	if err != nil {
		return "", err
	}
	defer closeQuietly(second)
	for range poolingLooks {
		if pid, err = serverProcess(ctx, first); err != nil {
			return "", err
		}
		if _, err = second.Exec(ctx, `BEGIN`); err != nil {
			return "", err
		}
		others, err := serverProcess(ctx, second)
		if err != nil {
			return "", err
		}
		if others == pid {
			return TransactionPooling, nil
		}
		again, err := serverProcess(ctx, first)
		if err != nil {
			return "", err
		}
		if again != pid {
			return TransactionPooling, nil
		}
		if _, err := second.Exec(ctx, `ROLLBACK`); err != nil {
			return "", err
		}
	}
	return SessionPooling, nil
}

// connectPlain connects without prepared statements.
func connectPlain(ctx context.Context, config *pgx.ConnConfig) (*pgx.Conn, error) {
	c := config.Copy()
	c.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	return pgx.ConnectConfig(ctx, c)
}

func closeQuietly(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx) // it is not needed any more
}

func serverProcess(ctx context.Context, conn *pgx.Conn) (pid uint32, err error) {
	err = conn.QueryRow(ctx, `SELECT pg_backend_pid()`).Scan(&pid)
	return pid, err
}

// errReadOnly says that the database can be read and not written to.
var errReadOnly = errors.New("the database is read-only")

// checkWritable reports why nothing can be written now; nil where it can. A
// connection to a server that is read-only is closed, so that the pool looks
// for another.
func (s *Store) checkWritable(ctx context.Context) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	var readOnly string
	if err := conn.QueryRow(ctx, `SHOW transaction_read_only`).Scan(&readOnly); err != nil {
		return err
	}
	if readOnly == "on" {
		closeQuietly(conn.Conn())
		return fmt.Errorf("%w: %w", ErrUnavailable, errReadOnly)
	}
	return nil
}
