package devicesim

import (
	"context"
	"encoding/json"
)

// system is the operating system under an app: it delivers the pushes and shows
// the calls. Its answers are those of the Call Service Kit; iOS refuses
// nothing.
type system interface {
	// pushes waits for the pushes that came after those that it returned last.
	pushes(ctx context.Context) ([]arrival, error)
	// reportsFirst reports whether a VoIP push must be shown before relay is
	// asked.
	reportsFirst() bool
	show(ctx context.Context, w *wake) (kitAnswer, error)
	state(ctx context.Context, w *wake, state int) (kitAnswer, error)
	refuse(ctx context.Context, w *wake, cause int) (kitAnswer, error)
}

// arrival is one push as the app gets it.
type arrival struct {
	wake         json.RawMessage // what relay sent; nil where the system's part could not be read
	vendorCallID string          // the id by which the system knows the call
	alert        bool            // a notification: the app starts when somebody taps it
}
