// Package store keeps the durable state of the relay in Postgres and is the
// only code that may change it. Its methods are the verbs of the domain, each
// one short transaction; a state change and its events commit together, and
// what a method returned without an error survives a crash.
//
//	CreateCall ─┐                             ┌─► calls, legs, events, idempotency_keys
//	            ├─► begin lane ─► one batch ──┤
//	DialCall  ──┘    locks: callees, keys     └─► committed wakes ─► Config.OnWakes
//
//	ConfirmLeg, ReportLeg ─┐
//	CancelCall, EndCall  ──┼─► step lane ─► one batch ─► calls, legs, reports, confirms, attempts, events, notices
//	FinishAttempt, sweeps ─┘    locks: calls  ▲  └─► second wakes ─► Config.OnWakes
//	                                          └───── notices, with their tokens ─► Config.OnWakes
//
//	a commit here, a NOTIFY of another process, the clock ─► tail ─► Watch, Feed
//
// A lane takes all that waits, writes it in one transaction, and takes what
// gathered meanwhile: nobody waits for a timer, and what comes alone is written
// alone. One bad item never fails its neighbours.
//
// Promises:
//
//   - Steps of one call are in one order, on any number of processes: each is
//     made under the call's advisory lock, taken before the transaction has an id.
//   - A device never has more calls alive than the rules allow: whoever may
//     begin one holds its user's lock.
//   - A device gets one notice of a call that it missed, and one revoke of a
//     notification: rows written with what makes them due, on either lane, and
//     owned and taken over like wakes. They change no leg.
//   - Deadlines and times are the database's, never this machine's.
//   - Who watches, and then reads, misses no change that commits afterwards, at
//     whichever process, with or without NOTIFY.
//   - The event log is followed by (xid, seq) below the snapshot's xmin, so a
//     reader misses nothing, whatever the order of commits.
package store
