// Package push sends wakes: due wakes in, outcomes out.
//
//	store ─ committed wakes ─► Dispatcher ─► lane of (app, vendor) ─► Sender ─► vendor
//	  ▲                                        breaker, in-flight limit           │
//	  └────────── FinishAttempt: accepted, again, given up ◄────── Answer ────────┘
//
// It owns the retries, which end with the ring, and one lane for each app's
// credential with each vendor, so that one vendor's or tenant's trouble stays
// its own. It promises that every request is an attempt on record, that nothing
// is sent with less than Config.Margin of the ring left, and that the process
// that lost a wake to another learns so before it sends again.
package push
