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

// Ends of an answer that are the client's doing. They are logged and counted as
// statusClientLeft, and told to nobody.
var (
	errClientLeft    = errors.New("the client left")
	errClientStalled = errors.New("the client stopped reading")
)

// ErrStopping is the cause by which a process that stops cancels the contexts of
// requests that it waits for no longer; without it, they end as if the client
// had left.
var ErrStopping = errors.New("this process stops; try again")

// statusClientLeft is what a log line and a metric say of an answer that its
// client did not want to the end; it is never sent.
const statusClientLeft = 499

// streamPiece is how much a client must take at a time within Config.StallAfter,
// or it is left.
const streamPiece = 32 << 10

// stream is an answer that is sent as it is made. It can no longer become an
// error: where the handler returns one after the first piece, fail cuts it off.
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

// send sends on what there is.
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

// clientError says of a write that failed whose doing it was.
func clientError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%w: %w", errClientStalled, err)
	}
	return fmt.Errorf("%w: %w", errClientLeft, err)
}

// clientsDoing reports whether an answer ended as its client would have it.
func clientsDoing(err error) bool {
	return errors.Is(err, errClientLeft) || errors.Is(err, errClientStalled)
}

// begun reports whether an answer is under way, so that it cannot become an error.
func begun(w http.ResponseWriter) bool {
	ww, ok := w.(middleware.WrapResponseWriter)
	return ok && ww.Status() != 0
}

// causeOf is the reason behind an error that is not the request's fault: a query
// fails as well when its client leaves, or when the process stops.
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
