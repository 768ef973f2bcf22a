package api_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/pushwake/relay/api"
)

// exchange is one request with its answer.
type exchange struct {
	example            string // its name in the document, where it stands there
	method             string
	url                *url.URL
	sentHeader, header http.Header
	sent, got          []byte
	status             int
}

func (e exchange) String() string { return e.method + " " + e.url.RequestURI() }

func (e exchange) succeeded() bool { return e.status < 400 }

// recording is what a test's exchanges were, in their order.
type recording struct {
	mu        sync.Mutex
	exchanges []exchange
}

// exampleName marks a request whose exchange is an example.
type exampleName struct{}

// witness judges every exchange of the tests by the document, and records those
// that a test wants to keep.
type witness struct {
	t    testing.TB
	next http.RoundTripper
	kept *recording
}

func (w *witness) RoundTrip(r *http.Request) (*http.Response, error) {
	e := exchange{method: r.Method, url: r.URL, sentHeader: r.Header}
	e.example, _ = r.Context().Value(exampleName{}).(string)
	var err error
	if r.Body != nil {
		if e.sent, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		r.Body = io.NopCloser(bytes.NewReader(e.sent))
		e.sent = unpacked(r.Header, e.sent)
	}
	resp, err := w.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	e.status, e.header = resp.StatusCode, resp.Header
	if strings.HasPrefix(resp.Header.Get("Content-Type"), eventStream) { // which has no end of its own
		resp.Body = &witnessed{ReadCloser: resp.Body, see: func(got []byte) {
			e.got = got
			w.see(e)
		}}
		return resp, nil
	}
	if e.got, err = io.ReadAll(resp.Body); err != nil {
		return nil, err
	}
	_ = resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(e.got))
	w.see(e)
	return resp, nil
}

// see judges and keeps an exchange.
func (w *witness) see(e exchange) {
	d, err := published()
	if err != nil {
		w.t.Error(err)
		return
	}
	for _, wrong := range d.judge(e) {
		w.t.Error(wrong)
	}
	if w.kept != nil {
		w.kept.mu.Lock()
		w.kept.exchanges = append(w.kept.exchanges, e)
		w.kept.mu.Unlock()
	}
}

// witnessed is a stream that is seen as far as it was read, when it is closed.
type witnessed struct {
	io.ReadCloser
	got bytes.Buffer
	see func([]byte)
}

func (w *witnessed) Read(b []byte) (int, error) {
	n, err := w.ReadCloser.Read(b)
	w.got.Write(b[:n])
	return n, err
}

func (w *witnessed) Close() error {
	whole := w.got.Bytes()
	w.see(whole[:bytes.LastIndex(whole, []byte("\n\n"))+1])
	return w.ReadCloser.Close()
}

// judge says in what an exchange is not as documented: the answer must be one
// that the document describes; what the document refuses, the server must
// refuse; what the document allows, the server may refuse only for a reason in
// beyondSchema. Of a body where it has none, the document says nothing.
func (d *document) judge(e exchange) (wrong []string) {
	complain := func(format string, args ...any) {
		wrong = append(wrong, fmt.Sprintf("%s: ", e)+fmt.Sprintf(format, args...))
	}
	if e.header.Get("X-Request-Id") == "" {
		complain("no X-Request-Id")
	}
	method, head := e.method, e.method == http.MethodHead
	if head {
		method = http.MethodGet // whose headers it asks for
	}
	if isPage(method, e.url.Path) && e.succeeded() {
		return wrong
	}
	op, params := d.route(method, e.url)
	if op.method == "" {
		if e.status != http.StatusNotFound && e.status != http.StatusMethodNotAllowed && e.status != http.StatusNotAcceptable {
			complain("it is not in the document and gets %d", e.status)
		}
		return wrong
	}
	if err := d.answered(op, e); err != nil {
		complain("the answer is not as documented: %v\n%s", err, e.got)
	}
	unasked := op.RequestBody == nil && len(e.sent) > 0
	refused := d.asked(op, e, params)
	switch {
	case refused != nil && (e.succeeded() || e.status > 499):
		complain("the document refuses it, the server answers %d: %v\n%s", e.status, refused, e.sent)
	case head: // tells no reason
	case refused == nil && !unasked && (e.status == http.StatusBadRequest || e.status == http.StatusUnprocessableEntity):
		if left := unlisted(e.got); left != "" {
			complain("the document allows what the server refuses with %q\n%s", left, e.sent)
		}
	}
	return wrong
}

// asked says what the document has against a request.
func (d *document) asked(op operation, e exchange, params map[string]string) error {
	query := e.url.Query()
	for i, p := range op.Parameters {
		var given []string
		switch p.Value.In {
		case "path":
			given = []string{params[p.Value.Name]}
		case "query":
			given = query[p.Value.Name]
			delete(query, p.Value.Name)
		case "header":
			given = e.sentHeader.Values(p.Value.Name)
		}
		if err := d.value(given, p.Value.Required, op.keys("parameters", strconv.Itoa(i))...); err != nil {
			return fmt.Errorf("the parameter %s: %w", p.Value.Name, err)
		}
	}
	if len(query) > 0 && strings.HasPrefix(op.path, "/v1/") {
		return fmt.Errorf("there are no parameters %v", query)
	}
	switch {
	case op.RequestBody == nil || len(e.sent) == 0 && !op.RequestBody.Value.Required:
		return nil
	case len(e.sent) == 0:
		return errors.New("there is no body")
	}
	return d.body(e.sent, e.sentHeader.Get("Content-Type"), op.keys("requestBody", "content")...)
}

// answered says in what an answer is none that the document describes.
func (d *document) answered(op operation, e exchange) error {
	response, place := op.Responses.Status(e.status), op.keys("responses", strconv.Itoa(e.status))
	if response == nil {
		return fmt.Errorf("there is no status %d", e.status)
	}
	for name, h := range response.Value.Headers {
		if err := d.value(e.header.Values(name), h.Value.Required, append(place, "headers", name)...); err != nil {
			return fmt.Errorf("the header %s: %w", name, err)
		}
	}
	switch {
	case e.method == http.MethodHead && len(e.got) == 0 && len(response.Value.Content) > 0:
		_, _, err := d.mediaType(e.header.Get("Content-Type"), append(place, "content")...)
		return err
	case e.method != http.MethodHead && len(response.Value.Content) > 0:
		return d.body(e.got, e.header.Get("Content-Type"), append(place, "content")...)
	case len(e.got) > 0:
		return errors.New("there is a body")
	}
	return nil
}

// value says in what the values of a parameter or header are not as documented.
func (d *document) value(given []string, required bool, place ...string) error {
	switch {
	case len(given) == 0 && required:
		return errors.New("it is not there")
	case len(given) == 0:
		return nil
	}
	schema, err := d.schema(place...)
	if err != nil || schema == nil {
		return err
	}
	if schema.Types != nil && slices.Contains(schema.Types.ToStrings(), "array") {
		all := make([]any, len(given))
		for i, v := range given {
			all[i] = v
		}
		return schema.Validate(all)
	}
	if len(given) > 1 {
		return errors.New("it is there more than once")
	}
	if schema.Types != nil && !slices.Contains(schema.Types.ToStrings(), "string") { // a number, true or false
		if v, err := jsonschema.UnmarshalJSON(strings.NewReader(given[0])); err == nil {
			return schema.Validate(v)
		}
	}
	return schema.Validate(given[0])
}

// mediaType finds a media type among those at a place.
func (d *document) mediaType(contentType string, content ...string) (kind string, place []string, err error) {
	kind, _, err = mime.ParseMediaType(contentType)
	if err != nil {
		return "", nil, fmt.Errorf("the media type %q: %w", contentType, err)
	}
	place = append(slices.Clone(content), kind)
	if _, documented := d.at(place...); documented == nil {
		return "", nil, fmt.Errorf("there is no media type %s", kind)
	}
	return kind, place, nil
}

// body says in what a body is not as the media types at a place have it.
func (d *document) body(body []byte, contentType string, content ...string) error {
	kind, place, err := d.mediaType(contentType, content...)
	if err != nil {
		return err
	}
	schema, err := d.schema(place...)
	if err != nil || schema == nil || !strings.HasSuffix(kind, "json") && kind != eventStream {
		return err
	}
	for _, text := range described(kind, body) {
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			return err
		}
		if err := schema.Validate(value); err != nil {
			return err
		}
	}
	return nil
}

// Kinds of bodies of which the document describes a part.
const (
	ndjson      = "application/x-ndjson"
	eventStream = "text/event-stream"
)

// described is the values in a body that the document describes: each line of
// NDJSON, the data of each event.
func described(kind string, body []byte) (values [][]byte) {
	switch kind {
	case ndjson:
		return slices.Collect(bytes.Lines(body))
	case eventStream:
		for line := range bytes.Lines(body) {
			if data, ok := bytes.CutPrefix(line, []byte("data: ")); ok {
				values = append(values, data)
			}
		}
		return values
	}
	return [][]byte{body}
}

// beyondSchema lists why the server may refuse what the document allows, by the
// words of the detail.
var beyondSchema = []string{
	"must not contain NUL", "bytes as sent", // text and custom
	"http or https address", "country code", "must be a time as in RFC 3339", "time zone of the IANA", // what a text means
	"does not exist on", "belongs to answered only", "belongs to not_reported only", "with these media", // between fields
	"must differ from `from`", "is required with windows", "must have a window", // and of a wish not to be disturbed
	"must be an https address", "must be a public address", "must be a name, or an address", "must be an address such as https", "as many webhooks", "disabled; enable it first", // webhooks
	"one that this service gave", "bytes of text", "the query cannot be read", // the query
	"is not UTF-8", "cannot be unpacked", // bytes that a lenient reader passes over
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
