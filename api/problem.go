package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/store"
)

// Code names a kind of error, for programs.
type Code string

const (
	CodeMalformed          Code = "malformed"               // not JSON, or a bad query
	CodeUnauthenticated    Code = "unauthenticated"         // no key or token, or an invalid one
	CodeForbidden          Code = "forbidden"               // this device may not do this
	CodeRegionNotSupported Code = "region_not_supported"    // calls may not be shown in the device's region
	CodeRegionUnknown      Code = "region_unknown"          // the device's region is not known
	CodeNotFound           Code = "not_found"               // no such thing, or another app's
	CodeMethodNotAllowed   Code = "method_not_allowed"      // the resource has other methods; see Allow
	CodeNotAcceptable      Code = "not_acceptable"          // the Accept header rules out every type that the resource has
	CodeLostRace           Code = "lost_race"               // another device answered first
	CodeCallEnded          Code = "call_ended"              // the call is over
	CodeCallAnswered       Code = "call_answered"           // the call is answered already
	CodeInProgress         Code = "idempotency_in_progress" // a request with the same key is still running
	CodeOutgoingLimit      Code = "outgoing_limit"          // the device has an outgoing call alive
	CodeSeqConflict        Code = "seq_conflict"            // the same seq came with other content
	CodeTooLarge           Code = "too_large"               // the body is over 64 KiB, or of receipts over 256 KiB
	CodeUnsupportedMedia   Code = "unsupported_media_type"  // the body is not application/json in UTF-8, or is packed in an unknown way
	CodeInvalid            Code = "invalid"                 // fields are wrong; errors points at them
	CodeKeyReused          Code = "idempotency_key_reused"  // the key was used with another body
	CodeInternal           Code = "internal"                // a fault of relay's; look for the request id in its log
	CodeUnavailable        Code = "unavailable"             // the database is away or a queue is full; try again
)

// Codes lists every code.
var Codes = []Code{
	CodeMalformed, CodeUnauthenticated, CodeForbidden, CodeRegionNotSupported, CodeRegionUnknown, CodeNotFound, CodeMethodNotAllowed,
	CodeNotAcceptable, CodeLostRace, CodeCallEnded, CodeCallAnswered, CodeInProgress, CodeOutgoingLimit, CodeSeqConflict, CodeTooLarge,
	CodeUnsupportedMedia, CodeInvalid, CodeKeyReused, CodeInternal, CodeUnavailable,
}

// Errors of this package that handlers return.
var (
	errRoute            = errors.New("there is nothing at this path")
	errUnauthenticated  = errors.New("give an API key or a token as Authorization: Bearer …")
	errWrongPrincipal   = errors.New("this key or token is not for this resource")
	errMethod           = errors.New("this resource does not have that method")
	errUnsupportedMedia = errors.New("send the body as Content-Type: application/json")
	errCharset          = errors.New("send the body in UTF-8; its Content-Type names another charset")
	errCoding           = errors.New("send the body as it is, or with Content-Encoding: gzip")
	errTooLarge         = errors.New("the body is over 64 KiB")
	errReceiptsTooLarge = errors.New("the body is over 256 KiB")
)

// errSilence is why a request that waited too long ends.
var errSilence = fmt.Errorf("%w: no answer in time", store.ErrUnavailable)

// malformedError is a request that cannot be read at all.
type malformedError struct{ detail string }

func (e *malformedError) Error() string { return e.detail }

// notAcceptableError is an Accept header that rules out all that a route has.
type notAcceptableError struct{ types []string }

func (e *notAcceptableError) Error() string {
	return "answers are " + strings.Join(e.types, " or ") + "; the Accept header rules that out"
}

// fieldError points at one wrong field.
type fieldError struct {
	Pointer string `json:"pointer"` // RFC 6901
	Detail  string `json:"detail"`
}

// invalidError is a body with wrong fields.
type invalidError struct{ fields []fieldError }

func (e *invalidError) Error() string { return "the request has fields that are wrong; see errors" }

func invalid(pointer, detail string) error {
	return &invalidError{[]fieldError{{pointer, detail}}}
}

// refusedReport points at the report that was refused.
type refusedReport struct {
	*store.ReportError
	pointer string
}

func (e *refusedReport) Unwrap() error { return e.ReportError }

// problemKind is the status, code and title of an error.
type problemKind struct {
	err    error
	status int
	code   Code
	title  string
}

// problemKinds maps every error that a client may see; what is not here is ours
// and stays with us.
var problemKinds = []problemKind{
	{errUnauthenticated, http.StatusUnauthorized, CodeUnauthenticated, "Not authenticated"},
	{errWrongPrincipal, http.StatusUnauthorized, CodeUnauthenticated, "Not authenticated"},
	{ErrUnsigned, http.StatusUnauthorized, CodeUnauthenticated, "Not authenticated"},
	{store.ErrForeignDevice, http.StatusUnauthorized, CodeUnauthenticated, "Not authenticated"},
	{store.ErrDeviceRefused, http.StatusForbidden, CodeForbidden, "Forbidden"},
	{call.ErrRegionNot, http.StatusForbidden, CodeRegionNotSupported, "Region not supported"},
	{call.ErrRegionUnsure, http.StatusForbidden, CodeRegionUnknown, "Region unknown"},
	{errRoute, http.StatusNotFound, CodeNotFound, "Not found"},
	{store.ErrNotFound, http.StatusNotFound, CodeNotFound, "Not found"},
	{call.ErrNotFound, http.StatusNotFound, CodeNotFound, "Not found"},
	{store.ErrCursor, http.StatusBadRequest, CodeMalformed, "Malformed request"},
	{errMethod, http.StatusMethodNotAllowed, CodeMethodNotAllowed, "Method not allowed"},
	{call.ErrLostRace, http.StatusConflict, CodeLostRace, "Another device answered first"},
	{call.ErrEnded, http.StatusConflict, CodeCallEnded, "The call has ended"},
	{call.ErrAnswered, http.StatusConflict, CodeCallAnswered, "The call is answered"},
	{call.ErrSeqConflict, http.StatusConflict, CodeSeqConflict, "The seq was used"},
	{store.ErrInProgress, http.StatusConflict, CodeInProgress, "Still in progress"},
	{store.ErrOutgoingLimit, http.StatusConflict, CodeOutgoingLimit, "Outgoing call alive"},
	{errReceiptsTooLarge, http.StatusRequestEntityTooLarge, CodeTooLarge, "Body too large"},
	{errTooLarge, http.StatusRequestEntityTooLarge, CodeTooLarge, "Body too large"},
	{errUnsupportedMedia, http.StatusUnsupportedMediaType, CodeUnsupportedMedia, "Unsupported media type"},
	{errCharset, http.StatusUnsupportedMediaType, CodeUnsupportedMedia, "Unsupported media type"},
	{errCoding, http.StatusUnsupportedMediaType, CodeUnsupportedMedia, "Unsupported media type"},
	{call.ErrMedia, http.StatusUnprocessableEntity, CodeInvalid, "Invalid request"},
	{store.ErrTooManyHooks, http.StatusUnprocessableEntity, CodeInvalid, "Invalid request"},
	{store.ErrHookDisabled, http.StatusUnprocessableEntity, CodeInvalid, "Invalid request"},
	{store.ErrKeyReused, http.StatusUnprocessableEntity, CodeKeyReused, "Idempotency key reused"},
	{ErrStopping, http.StatusServiceUnavailable, CodeUnavailable, "Unavailable"},
	{store.ErrBusy, http.StatusServiceUnavailable, CodeUnavailable, "Unavailable"},
	{store.ErrUnavailable, http.StatusServiceUnavailable, CodeUnavailable, "Unavailable"},
}

// problem is an error as the client sees it (RFC 9457).
type problem struct {
	Type      string       `json:"type"`
	Title     string       `json:"title"`
	Status    int          `json:"status"`
	Detail    string       `json:"detail"`
	Code      Code         `json:"code"`
	RequestID string       `json:"request_id"`
	Errors    []fieldError `json:"errors,omitempty"`
}

// problemOf finds how an error is told. Unknown ones are told as nothing but
// our fault.
func problemOf(err error) problem {
	var malformed *malformedError
	var unacceptable *notAcceptableError
	var fields *invalidError
	switch {
	case errors.As(err, &malformed):
		return problem{Status: http.StatusBadRequest, Code: CodeMalformed, Title: "Malformed request", Detail: malformed.detail}
	case errors.As(err, &unacceptable):
		return problem{Status: http.StatusNotAcceptable, Code: CodeNotAcceptable, Title: "Not acceptable", Detail: unacceptable.Error()}
	case errors.As(err, &fields):
		return problem{Status: http.StatusUnprocessableEntity, Code: CodeInvalid, Title: "Invalid request", Detail: fields.Error(), Errors: fields.fields}
	}
	i := slices.IndexFunc(problemKinds, func(k problemKind) bool { return errors.Is(err, k.err) })
	if i < 0 {
		return problem{Status: http.StatusInternalServerError, Code: CodeInternal, Title: "Internal error", Detail: "Something went wrong on our side. The request id finds it in the log."}
	}
	k := problemKinds[i]
	p := problem{Status: k.status, Code: k.code, Title: k.title, Detail: k.err.Error()}
	var refused *refusedReport
	if errors.As(err, &refused) {
		p.Detail = refused.Error() + "; the reports before it stand, the ones after it were not applied"
		p.Errors = []fieldError{{Pointer: refused.pointer, Detail: k.err.Error()}}
	}
	return p
}

// fail writes an error; nothing else does. Where the answer has already begun,
// it cuts the connection instead, so that the client sees that the answer is
// incomplete. It writes nothing to a client that has left.
func (s *server) fail(w http.ResponseWriter, r *http.Request, err error) {
	err = causeOf(r.Context(), err)
	p := problemOf(err)
	about := requestOf(r.Context())
	about.err, about.status = err, p.Status
	gone := clientsDoing(err)
	if gone {
		about.status = statusClientLeft
	}
	if gone || begun(w) {
		about.cut = true
		panic(http.ErrAbortHandler)
	}
	p.Type, p.RequestID = "urn:relay:problem:"+string(p.Code), about.id
	if p.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	if errors.Is(err, errCoding) { // only then (RFC 9110, 12.5.3)
		w.Header().Set("Accept-Encoding", "gzip")
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the client may have left
}
