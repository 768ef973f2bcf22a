package api

import (
	"context"
	"net/http"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/store"
)

// Vendors is what the API asks of those who speak to the push vendors.
type Vendors interface {
	// Explain says what a vendor's answer means, by its code or, where it gave
	// none, by its HTTP status; 0 is no answer.
	Explain(channel call.Channel, code string, status int) call.Explanation

	// Preview is the request that a wake would be sent as, with tokens and keys
	// masked; nothing is sent. store.ErrNotFound means that the app has no
	// credential, *UnbuiltError that the vendor has no form for the wake, and
	// store.ErrUnavailable that nobody can tell now; any other error is about
	// the credential.
	Preview(ctx context.Context, w store.Wake) (Preview, error)
}

// Preview is an HTTP request to a vendor. Its body is JSON.
type Preview struct {
	Method, URL string
	Header      http.Header
	Body        []byte
}

// UnbuiltError says why a wake cannot be put into a vendor's words.
type UnbuiltError struct{ Err error }

func (e *UnbuiltError) Error() string { return "it would not be sent: " + e.Err.Error() }
func (e *UnbuiltError) Unwrap() error { return e.Err }
