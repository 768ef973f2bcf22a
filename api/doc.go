// Package api is the HTTP contract: it authenticates, decodes, calls the store
// and renders. It holds no state of a call and speaks to no vendor.
//
//	request ─► log, id, limits ─► principal's adapter ─► decode ─► store ─► render
//	                                    │                            │
//	                                    └────── error ───────────────┴─► problem+json
//
// Three principals ask: a backend (an API key), a device (a device JWT, or for
// one leg the wake's own token) and an admin (an admin key). A handler gets its
// principal as an argument, so one that needs a backend cannot be registered
// without. Nobody sees another app's rows: they are not found.
//
// It promises that bad input never gives a 5xx, that a 2xx is given only after
// the commit, that every error is one of Codes, and that an answer which came to
// its end is whole: a stream that fails on the way is cut off.
package api
