// Package push sends wakes and notices. The store hands it what is due, and it
// hands back the outcomes.
//
//	store ─ committed wakes ─► Dispatcher ─► lane of (app, vendor) ─► Sender ─► vendor
//	  ▲                                        breaker, in-flight limit           │
//	  └────────── FinishAttempt: accepted, again, given up ◄────── Answer ────────┘
//
// It owns the retries, which end with the ring, and one lane for each app, vendor
// and environment, so that trouble with one vendor or one tenant stays there. A
// notice has no ring: it is tried for some minutes and never gets more than a part
// of a lane, so that it delays no ring.
//
// The package promises that every request is recorded as an attempt, that nothing
// is sent with less than Config.Margin of the ring left, and that a process that
// lost a wake to another one learns so before it sends again.
package push
