package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/store"
)

// Vendors is what the API needs from the packages that speak to the push
// vendors.
type Vendors interface {
	// Explain says what a vendor's answer means, by its code, or by its HTTP
	// status where it has no code; status 0 is no answer.
	Explain(channel call.Channel, code string, status int) call.Explanation

	// ExplainReceipt says what a result of a vendor's receipt means.
	ExplainReceipt(channel call.Channel, result int64) call.Explanation

	// Preview builds the request for a wake, with tokens and keys masked, and
	// sends nothing. store.ErrNotFound means that the app has no credential,
	// *UnbuiltError that the wake cannot be put into the vendor's form, and
	// store.ErrUnavailable that the database is away; any other error is about
	// the credential.
	Preview(ctx context.Context, w store.Wake) (Preview, error)
}

// Callbacks is what the API needs of Push Kit to take its receipts.
type Callbacks interface {
	// CheckCallback judges the header by which a callback for an app is signed.
	// signed is false, without an error, where the app has no secret for it.
	// ErrUnsigned means that it has one and the header does not fit,
	// store.ErrNotFound that there is no such app or that it does not use Push
	// Kit, and store.ErrUnavailable that the database is away; any other error
	// is about the credential.
	CheckCallback(ctx context.Context, appID, header string) (signed bool, err error)

	// ReceiptAction says what is to be done about a result.
	ReceiptAction(result int64) call.ReceiptAction
}

// ErrUnsigned is a callback that is not its vendor's.
var ErrUnsigned = errors.New("sign the callback by its header X-HUAWEI-CALLBACK-ID, with the user name and the secret that the app has set")

// Preview is an HTTP request to a vendor. Its body is JSON.
type Preview struct {
	Method, URL string
	Header      http.Header
	Body        []byte
}

// UnbuiltError says why a wake cannot be put into a vendor's form.
type UnbuiltError struct{ Err error }

func (e *UnbuiltError) Error() string { return "it would not be sent: " + e.Err.Error() }
func (e *UnbuiltError) Unwrap() error { return e.Err }
