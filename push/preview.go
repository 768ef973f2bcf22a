package push

import (
	"bytes"
	"context"
	"fmt"

	"github.com/pushwake/relay/store"
)

// Request is one HTTP request to a vendor.
type Request struct {
	Method string
	URL    string
	Header map[string][]string
	Body   []byte
}

// UnbuiltError says why a wake cannot be put into a vendor's form.
type UnbuiltError struct{ Err error }

func (e *UnbuiltError) Error() string { return "the request cannot be built: " + e.Err.Error() }

// Unwrap gives the vendor package's error.
func (e *UnbuiltError) Unwrap() error { return e.Err }

// Previewer shows what a Sender would send, built by the same code. The
// device's token and the authorization are masked in their fields; the wake's
// own token is not masked. Its error says why nothing would be sent.
type Previewer interface {
	Preview(m Message) (Request, error)
}

// Preview builds the request for a wake, with tokens and keys masked.
//
// Errors: store.ErrNotFound where the app has no credential, *UnusableError
// where it has a bad one, *UnbuiltError where the wake cannot be put into the
// vendor's form, or its token cannot be minted; store.ErrUnavailable.
func (d *Dispatcher) Preview(ctx context.Context, w store.Wake) (Request, error) {
	l, err := d.lanes.of(ctx, laneOf(w))
	if err != nil {
		return Request{}, err
	}
	token, err := d.config.WakeToken(w)
	if err != nil {
		return Request{}, &UnbuiltError{fmt.Errorf("the wake's token could not be minted: %w", err)}
	}
	r, err := l.sender.Preview(message(w, d.config.Store.NewAttemptID(w.CallID), token, d.config.Store.Now()))
	if err != nil {
		return Request{}, &UnbuiltError{err}
	}
	r.Body = bytes.ReplaceAll(r.Body, []byte(token), []byte(Mask)) // a JWT: JSON escapes nothing of it, and nothing else is like it
	return r, nil
}
