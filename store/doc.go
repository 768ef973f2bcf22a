// Package store keeps the durable state of relay in Postgres and is the only
// code that may change it. Its methods are the verbs of the domain, each one
// short transaction. A state change and its events commit together, and a change
// survives a crash once its method has returned without an error.
//
//	CreateCall ─┐                             ┌─► calls, legs, events, idempotency_keys
//	            ├─► begin lane ─► one batch ──┤
//	DialCall  ──┘    locks: callees, keys     └─► committed wakes ─► Config.OnWakes
//
//	ConfirmLeg, ReportLeg ─┐
//	CancelCall, EndCall  ──┼─► step lane ─► one batch ─► calls, legs, reports, confirms, attempts, receipts, events, notices
//	FinishAttempt, sweeps ─┤
//	TakeReceipts          ─┘    locks: calls  ▲  └─► second wakes ─► Config.OnWakes
//	                                          └───── notices, with their tokens ─► Config.OnWakes
//
//	TakeEvents, FinishDeliveries ─► webhooks, webhook_deliveries, events
//
//	a commit here, a NOTIFY of another process, the clock ─► tail ─► Watch, Feed
//
// A lane takes all items that wait, writes them in one transaction, and then
// takes those that gathered meanwhile. No timer is involved: an item that comes
// alone is written alone. One bad item never fails the others.
//
// Promises:
//
//   - The steps of one call have one order, on any number of processes: each is
//     made under the call's advisory lock, which is taken before the transaction
//     has an id.
//   - A device never has more calls alive than the rules allow: a transaction
//     that begins a call on a device holds the lock of the device's user.
//   - A device gets one notice of a call that it missed, and one revoke of a
//     notification. The transaction that makes a notice due writes its row;
//     notices are owned and taken over like wakes, and change no leg.
//   - Deadlines and times are the database's, never this machine's.
//   - A caller that makes a Watch and then reads the state misses no change that
//     commits afterwards, on any process, with or without NOTIFY.
//   - Events reads the log by (xid, seq) below the snapshot's xmin, so its reader
//     misses nothing, in whatever order transactions commit.
//   - A webhook's place in the log moves in the transaction that writes the
//     deliveries of what it passes; each is delivered, given up, or waits for the
//     webhook's process, which others take over from like wakes.
package store
