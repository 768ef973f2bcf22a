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

// translate turns the driver's errors into the package's. Only this function
// looks at a PgError.
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
	switch pg.Code {
	case "23505": // unique_violation
		return fmt.Errorf("%w: %w", ErrExists, err)
	case "23503": // foreign_key_violation: the row that it refers to does not exist
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	case "55P03", "57014": // lock_not_available, query_canceled
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	switch pg.Code[:2] {
	case "08", "53", "57": // connection, resources, shutdown
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

// deadlocked reports whether the server ended a transaction to resolve a
// deadlock.
func deadlocked(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "40P01"
}

// splittable reports whether a batch that failed is worth trying item by item:
// the server answered and is well, so the fault may be one item's, such as a
// text that it cannot store or an app's row that this program cannot read.
func splittable(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code[:2] != "57" && pg.Code[:2] != "53"
	}
	return !noAnswer(err)
}
