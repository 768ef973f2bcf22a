package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/go-chi/chi/v5/middleware"
)

// Errors of an answer that the client ended. They are logged and counted as
// statusClientLeft; nobody is sent them.
var (
	errClientLeft    = errors.New("the client left")
	errClientStalled = errors.New("the client stopped reading")
)

// ErrStopping is the cause with which a stopping process cancels the contexts
// of requests that it no longer waits for; without it, they end as if the
// client had left.
var ErrStopping = errors.New("this process stops; try again")

// statusClientLeft is the status in logs and metrics of an answer whose client
// left before its end. It is never sent.
const statusClientLeft = 499

// streamPiece is how much a client must read within Config.StallAfter, or it is
// left.
const streamPiece = 32 << 10

// stream is an answer that is sent while it is produced. It can no longer
// become an error: where the handler returns one after the first piece, fail
// cuts the connection.
type stream struct {
	w        http.ResponseWriter
	control  *http.ResponseController
	patience time.Duration
	header   func(http.Header) // sets it, before the first piece
}

func (s *server) stream(w http.ResponseWriter, header func(http.Header)) *stream {
	return &stream{w: w, control: controlOf(w), patience: s.StallAfter, header: header}
}

// controlOf is the control of an answer's connection.
func controlOf(w http.ResponseWriter) *http.ResponseController {
	if ww, ok := w.(middleware.WrapResponseWriter); ok {
		w = ww.Unwrap() // whose Flush tells of an error
	}
	return http.NewResponseController(w)
}

// send flushes what has been written.
func (s *stream) send(b []byte) error {
	if !begun(s.w) {
		s.header(s.w.Header())
		s.w.WriteHeader(http.StatusOK)
	}
	for piece := range slices.Chunk(b, streamPiece) {
		if err := s.control.SetWriteDeadline(time.Now().Add(s.patience)); err != nil {
			return err
		}
		if _, err := s.w.Write(piece); err != nil {
			return clientError(err)
		}
	}
	return clientError(s.control.Flush())
}

// clientError tells whether a failed write was the client's doing.
func clientError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%w: %w", errClientStalled, err)
	}
	return fmt.Errorf("%w: %w", errClientLeft, err)
}

// clientsDoing reports whether the client ended the answer.
func clientsDoing(err error) bool {
	return errors.Is(err, errClientLeft) || errors.Is(err, errClientStalled)
}

// begun reports whether an answer is under way, so that it cannot become an error.
func begun(w http.ResponseWriter) bool {
	ww, ok := w.(middleware.WrapResponseWriter)
	return ok && ww.Status() != 0
}

// causeOf finds the cause of an error that is not the request's fault: a query
// also fails because its client left or the process stops.
func causeOf(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	switch {
	case cause == nil || problemOf(err).Status < http.StatusInternalServerError:
		return err
	case !errors.Is(cause, context.Canceled):
		return fmt.Errorf("%w: %v", cause, err)
	case clientsDoing(err):
		return err
	}
	return fmt.Errorf("%w: %w", errClientLeft, err)
}
