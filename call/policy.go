package call

import "time"

// Policy is what an app decides for all its calls. The zero value is not
// valid; DefaultPolicy makes a new app work.
type Policy struct {
	Reject      RejectPolicy
	Payload     PayloadPolicy
	MaxDuration time.Duration // of an answered call
	Rules       string        // a version of the rules; "" follows the latest
}

// DefaultPolicy is the policy of an app that sets none.
func DefaultPolicy() Policy {
	return Policy{Reject: RejectAll, Payload: PayloadFull, MaxDuration: DefaultMaxDuration}
}
