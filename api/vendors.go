package api

import "github.com/pushwake/relay/call"

// Vendors is what the API asks of those who speak to the push vendors.
type Vendors interface {
	// Explain says what a vendor's answer means, by its code or, where it gave
	// none, by its HTTP status; 0 is no answer.
	Explain(channel call.Channel, code string, status int) call.Explanation
}
