package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/puddle/v2"
)

// Errors of the verbs. Those of package call pass through as they are.
var (
	ErrNotFound       = errors.New("not found")
	ErrKeyReused      = errors.New("the idempotency key was used with another body")
	ErrInProgress     = errors.New("a request with this idempotency key is still running")
	ErrOutgoingLimit  = errors.New("the device has an outgoing call alive")
	ErrDeviceRefused  = errors.New("device cannot place calls")
	ErrExists         = errors.New("it exists already")
	ErrForeignDevice  = errors.New("the device belongs to another user or was deleted")
	ErrUnavailable    = errors.New("the database is away")
	ErrBusy           = errors.New("too much is waiting to be written")
	ErrTooManyHooks   = errors.New("the app has as many webhooks as it may have")
	ErrHookDisabled   = errors.New("the webhook is disabled; enable it first")
	ErrWrongMasterKey = errors.New("no master key opens this credential")
)

// ReportError says which report of a request was refused. The reports before it
// were applied.
type ReportError struct {
	Index int
	Err   error
}

func (e *ReportError) Error() string { return fmt.Sprintf("report %d: %v", e.Index, e.Err) }

// Unwrap gives the verdict itself, for errors.Is.
func (e *ReportError) Unwrap() error { return e.Err }

// fault is what an error of the server means to whoever asked.
type fault int

const (
	ours   fault = iota // a fault of this program: a 500 that somebody must look at
	away                // the database cannot do it now: 503, to be tried again later
	raced               // another transaction was in the way: it is tried again at once
	exists              // it is there already
	absent              // what it belongs to is not there
)

// classes says what each class of SQLSTATE means, and codes the exceptions in
// it. A class that is not here is a fault of ours.
// https://www.postgresql.org/docs/current/errcodes-appendix.html
var (
	classes = map[string]fault{
		"08": away, // connection exception; PgBouncer's own refusals too
		"40": raced,
		"53": away, // insufficient resources: disk, memory, connections
		"57": away, // operator intervention: canceled, shut down, starting up
		"58": away, // system error: the server's disk cannot be read or written
	}
	codes = map[string]fault{
		"23503": absent,
		"23505": exists,
		"25006": away,  // read_only_sql_transaction: a standby, or a server that was replaced
		"25P03": away,  // idle_in_transaction_session_timeout: this process stalled
		"25P04": away,  // transaction_timeout
		"26000": raced, // invalid_sql_statement_name: a pooler or a failover lost it; it is prepared anew
		"40002": ours,  // transaction_integrity_constraint_violation
		"40003": away,  // statement_completion_unknown: done or not, nobody can say
		"42P05": raced, // duplicate_prepared_statement: another client's, behind a pooler
		"55006": away,  // object_in_use
		"55P03": away,  // lock_not_available
	}
)

// Classes 25 and 55 otherwise are misuse by this program. XX is a bug of the
// server or damaged data: a retry mends neither, and an operator must see it.

func faultOf(code string) fault {
	if f, ok := codes[code]; ok {
		return f
	}
	if len(code) < 2 {
		return ours
	}
	return classes[code[:2]]
}

// spoilsConnection reports whether an error says that its connection is no good
// for what comes next.
func spoilsConnection(code string) bool {
	return code == "25006" || code == "26000" || code == "42P05"
}

// translate turns what the driver says into the package's errors. This file is
// the only one that looks at the code of a PgError.
func translate(err error) error {
	var pg *pgconn.PgError
	switch {
	case err == nil:
		return nil
	case noAnswer(err):
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	case !errors.As(err, &pg):
		return err
	}
	switch faultOf(pg.Code) {
	case exists:
		return fmt.Errorf("%w: %w", ErrExists, err)
	case absent:
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	case away, raced: // still in the way after all tries
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}

// noAnswer reports whether an error says that no server answered: refused,
// reset, timed out, or a pool that is closed.
func noAnswer(err error) bool {
	var connect *pgconn.ConnectError
	var network net.Error
	return errors.As(err, &connect) || errors.As(err, &network) || pgconn.SafeToRetry(err) || errors.Is(err, puddle.ErrClosedPool) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// lockTimedOut reports whether a wait for a lock was given up.
func lockTimedOut(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "55P03"
}

// lostRace reports whether another transaction was in the way, so that the same
// work done again at once is likely to succeed: a deadlock that the server
// resolved, or a conflict of snapshots.
func lostRace(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && faultOf(pg.Code) == raced
}

// raceTries is how often work that lost a race is done again.
const raceTries = 3

// splittable reports whether a batch that failed is worth trying item by item:
// the server answered and is well, so the fault may be one item's, such as a
// text that it cannot store, an app's row that this program cannot read, or a
// lock that one item waits for.
func splittable(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return faultOf(pg.Code) != away || lockTimedOut(err)
	}
	return !noAnswer(err)
}
