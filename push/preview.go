package push

import (
	"context"
	"strings"

	"github.com/pushwake/relay/store"
)

// Request is one HTTP request to a vendor.
type Request struct {
	Method string
	URL    string
	Header map[string][]string
	Body   []byte
}

// UnbuiltError says why a wake cannot be put into a vendor's words.
type UnbuiltError struct{ Err error }

func (e *UnbuiltError) Error() string { return "the request cannot be built: " + e.Err.Error() }

// Unwrap gives the vendor package's error.
func (e *UnbuiltError) Unwrap() error { return e.Err }

// Previewer shows what a Sender would send, with the authorization
// as "bearer ***" in the vendor's spelling. Its error says why nothing would be
// sent.
type Previewer interface {
	Preview(m Message) (Request, error)
}

// Preview is the request that a wake would be sent as, device and wake tokens
// masked. The error says why there is none: store.ErrNotFound where the app has
// no credential, *UnbuiltError where the vendor has no form for the wake.
func (d *Dispatcher) Preview(ctx context.Context, w store.Wake) (Request, error) {
	l, err := d.lanes.of(ctx, laneKey{w.AppID, w.Channel.Vendor(), w.Environment})
	if err != nil {
		return Request{}, err
	}
	token, err := d.config.WakeToken(w)
	if err != nil {
		return Request{}, err
	}
	r, err := l.sender.Preview(message(w, d.config.Store.NewAttemptID(), token, d.config.Store.Now()))
	if err != nil {
		return Request{}, &UnbuiltError{err}
	}
	hide := strings.NewReplacer(w.Token, mask, token, mask)
	r.URL, r.Body = hide.Replace(r.URL), []byte(hide.Replace(string(r.Body)))
	return r, nil
}
