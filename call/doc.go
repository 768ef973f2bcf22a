// Package call holds the rules of a call, in pure Go: what a call and its legs
// are, which steps they may take, which device may be woken over which channel
// or why not, and what a wake contains. It does no I/O, reads no clock and knows
// neither SQL nor HTTP. Time is an argument, and the caller stores what the
// methods changed.
//
// Two words recur. The gate is the part of the rules that decides by a device's
// region and kind; a leg is admitted once it has passed the gate at its confirm.
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
