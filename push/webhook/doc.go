// Package webhook delivers the event log to backends' endpoints, signed as
// Standard Webhooks asks (https://www.standardwebhooks.com).
//
//	event log ─ pages ─► deliveries ─► first of each call ─► guard ─► endpoint
//	  ▲ position              ▲                                          │
//	  └── one transaction ────┴──────────── outcomes, in batches ◄───────┘
//
// Each endpoint belongs to one process at a time, as a wake does, and has a loop
// and places for requests of its own. The loop copies the log into deliveries, at
// most some thousands ahead, and sends of each call the first that is not done;
// the next follows once that one is taken or given up.
//
// The package promises that an endpoint gets every event that it asked for, the
// events of one call in their order, and none of them before it is committed; that
// an event comes again only with the same webhook-id; that one call's trouble
// delays no other call, and one endpoint's trouble no other endpoint; and that no
// connection is made to an address that Guard refuses.
package webhook
