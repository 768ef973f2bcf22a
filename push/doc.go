// Package push sends wakes and notices: what is due in, outcomes out.
//
//	store ─ committed wakes ─► Dispatcher ─► lane of (app, vendor) ─► Sender ─► vendor
//	  ▲                                        breaker, in-flight limit           │
//	  └────────── FinishAttempt: accepted, again, given up ◄────── Answer ────────┘
//
// It owns the retries, which end with the ring, and one lane for each app's
// credential with each vendor, so that one vendor's or tenant's trouble stays
// its own. A notice has no ring: it is tried for some minutes, and never has more
// than a part of a lane, so that it holds up no ring. The package promises that
// every request is an attempt on record, that nothing is sent with less than
// Config.Margin of the ring left, and that the process that lost a wake to
// another learns so before it sends again.
package push
