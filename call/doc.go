// Package call holds the rules of a call, in pure Go: what a call and its legs
// are, which steps they may take, which device may be woken over which channel
// or why not, and what a wake carries. It does no I/O, reads no clock and knows
// neither SQL nor HTTP: time comes in as an argument, and whoever stores a call
// saves what its methods changed.
//
// An incoming call (an invitation):
//
//	waking ──► ringing ──► answered ──► active ──► ended
//	   └──────────┴───────────┴────────────────────►┘
//
// An outgoing call (a device started it):
//
//	dialing ──► active ──► ended
//	   └──────────────────►┘
//
// A leg, one device's part of one call:
//
//	            ┌─► skipped (reason)                      the gate refused it
//	(planned) ──┤
//	            └─► waking ► handed_over ► confirmed ► ringing ► answered ► active ⇄ held
//	                  └──────────┴────────────┴───────────┴─────────┴─────────┴──────┴──► an end
//
// Later states imply the earlier ones; no step goes backward or sideways. A
// call has at most one winner, the first leg that answers. The package promises
// that every method either makes one legal step and notes its events, or
// changes nothing and returns one of the package's errors.
package call
