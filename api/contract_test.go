package api_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"

	"github.com/pushwake/relay"
	"github.com/pushwake/relay/api"
)

// document is the OpenAPI document, loaded and validated once.
var document = sync.OnceValues(func() (*openapi3.T, error) {
	doc, err := openapi3.NewLoader().LoadFromData(relay.OpenAPI)
	if err != nil {
		return nil, err
	}
	return doc, doc.Validate(openapi3.NewLoader().Context)
})

var documentRouter = sync.OnceValues(func() (routers.Router, error) {
	doc, err := document()
	if err != nil {
		return nil, err
	}
	return legacy.NewRouter(doc)
})

const ndjson = "application/x-ndjson"

// witness looks at every exchange of the tests: the answer must be one that the
// document describes; what the document refuses, the server must refuse; what
// the document allows, the server may refuse only for a listed reason.
type witness struct {
	t    testing.TB
	next http.RoundTripper
}

func (w *witness) RoundTrip(r *http.Request) (*http.Response, error) {
	var sent []byte
	if r.Body != nil {
		var err error
		if sent, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		r.Body = io.NopCloser(bytes.NewReader(sent))
	}
	resp, err := w.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	_ = resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(got))
	w.judge(r, sent, resp, got)
	return resp, nil
}

func (w *witness) judge(r *http.Request, sent []byte, resp *http.Response, got []byte) {
	what := r.Method + " " + r.URL.RequestURI()
	if resp.Header.Get("X-Request-Id") == "" {
		w.t.Errorf("%s: no X-Request-Id", what)
	}
	router, err := documentRouter()
	if err != nil {
		w.t.Errorf("the document: %v", err)
		return
	}
	// As the server does, the path is matched before it is unescaped.
	asked := r.Clone(r.Context())
	asked.URL = &url.URL{Path: r.URL.EscapedPath(), RawQuery: r.URL.RawQuery}
	route, params, err := router.FindRoute(asked)
	if err == nil && strings.HasSuffix(asked.URL.Path, "/") { // which the router passes over, and the server does not
		err = routers.ErrPathNotFound
	}
	if err != nil {
		if resp.StatusCode != http.StatusNotFound && resp.StatusCode != http.StatusMethodNotAllowed && resp.StatusCode != http.StatusNotAcceptable {
			w.t.Errorf("%s is not in the document and gets %d", what, resp.StatusCode)
		}
		return
	}
	for name, escaped := range params {
		if params[name], err = url.PathUnescape(escaped); err != nil {
			w.t.Errorf("%s: %v", what, err)
		}
	}
	asked.Body = io.NopCloser(bytes.NewReader(sent))
	in := &openapi3filter.RequestValidationInput{
		Request: asked, PathParams: params, QueryParams: r.URL.Query(), Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, SkipSettingDefaults: true, IncludeResponseStatus: true},
	}
	refused := openapi3filter.ValidateRequest(r.Context(), in)
	out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: resp.StatusCode, Header: resp.Header, Options: in.Options}
	if resp.Header.Get("Content-Type") == ndjson {
		out.Options = &openapi3filter.Options{ExcludeResponseBody: true, IncludeResponseStatus: true}
		if err := linesAsDocumented(route, got); err != nil {
			w.t.Errorf("%s: the lines are not as documented: %v", what, err)
		}
	}
	out.SetBodyBytes(got)
	if err := openapi3filter.ValidateResponse(r.Context(), out); err != nil {
		w.t.Errorf("%s: the answer is not as documented: %v\n%s", what, err, got)
	}
	switch {
	case refused != nil && (resp.StatusCode < 400 || resp.StatusCode > 499):
		w.t.Errorf("%s: the document refuses it, the server answers %d: %v\n%s", what, resp.StatusCode, refused, sent)
	case refused == nil && (resp.StatusCode == 400 || resp.StatusCode == 422):
		if left := unlisted(got); left != "" {
			w.t.Errorf("%s: the document allows what the server refuses with %q\n%s", what, left, sent)
		}
	}
}

// linesAsDocumented validates the lines of an answer in NDJSON, of which the
// document describes one.
func linesAsDocumented(route *routers.Route, body []byte) error {
	lines := []any{}
	for line := range bytes.Lines(body) {
		var v any
		if err := json.Unmarshal(line, &v); err != nil {
			return err
		}
		lines = append(lines, v)
	}
	all := openapi3.NewArraySchema()
	all.Items = route.Operation.Responses.Status(http.StatusOK).Value.Content[ndjson].Schema
	return all.VisitJSON(lines, openapi3.VisitAsResponse(), openapi3.EnableJSONSchema2020())
}

// beyondSchema lists why the server may refuse what the document allows, by the
// words of the detail.
var beyondSchema = []string{
	"must not contain NUL", "bytes as sent", // text and custom
	"http or https address", "country code", "must be a phone number", "must be a time as in RFC 3339", // what a text means
	"does not exist on", "belongs to answered only", "belongs to not_reported only", "with these media", // between fields
	"does not exist here", "must be given once", "one that this service gave", "the query cannot be read", // the query
	"is not UTF-8", "is not JSON", // bytes that a lenient reader passes over
	"there is no such field", "must be an object", "the body is empty", // a body where the document has none
	"key was used with another body",
}

// unlisted is the first reason of a refusal that is not listed.
func unlisted(problem []byte) string {
	var p struct {
		Code   api.Code
		Detail string
		Errors []struct{ Pointer, Detail string }
	}
	if err := json.Unmarshal(problem, &p); err != nil {
		return err.Error()
	}
	details := []string{p.Detail}
	if len(p.Errors) > 0 {
		details = details[:0]
		for _, e := range p.Errors {
			details = append(details, e.Detail)
		}
	}
	for _, d := range details {
		if !slices.ContainsFunc(beyondSchema, func(known string) bool { return strings.Contains(d, known) }) {
			return d
		}
	}
	return ""
}
