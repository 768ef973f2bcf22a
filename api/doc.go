// Package api is the HTTP contract: it authenticates, decodes, calls the store
// and renders. It holds no state of a call and speaks to no vendor.
//
//	request ─► log, id, limits ─► principal's adapter ─► decode ─► store ─► render
//	                                    │                            │
//	                                    └────── error ───────────────┴─► problem+json
//
// There are three kinds of principal: a backend (with an API key), a device (with
// a device JWT, or for one leg with the token of the wake) and an admin (with an
// admin key). A handler gets its principal as an argument, so a handler that needs
// a backend cannot be registered without the check. The rows of another app are
// answered with 404.
//
// The package promises that bad input never causes a 5xx, that a 2xx is sent only
// after the commit, that every error has one of Codes, and that a client can tell
// a complete answer from a broken one: a stream that fails is cut off.
package api
