package api_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// tree is a part of a document or of a body, to be changed.
type tree = map[string]any

// in goes down a tree by its keys.
func in(t tree, keys ...string) tree {
	for _, key := range keys {
		t = t[key].(tree)
	}
	return t
}

func schemaIn(doc tree, name string) tree { return in(doc, "components", "schemas", name) }

// responseIn is an operation's response in JSON.
func responseIn(doc tree, path, method, status string) tree {
	return in(doc, "paths", path, method, "responses", status, "content", "application/json")
}

// codesIn is the list of codes of a shared refusal.
func codesIn(doc tree, response string) tree {
	parts := in(doc, "components", "responses", response, "content", "application/problem+json", "schema")["allOf"].([]any)
	return in(parts[1].(tree), "properties", "code")
}

func grow(holder tree, key string, value any) { holder[key] = append(holder[key].([]any), value) }

func shrink(holder tree, key string) {
	list := holder[key].([]any)
	holder[key] = list[:len(list)-1]
}

// changesOfDocument each change the document alone, in one thing, with a part of
// what has to be said of it.
var changesOfDocument = []struct {
	name, said string
	change     func(doc tree)
}{
	{"a route taken away", "GET /v1/calls/{call_id} is served and not documented", func(doc tree) { delete(in(doc, "paths"), "/v1/calls/{call_id}") }},
	{"a method taken away", "DELETE /v1/device is served and not documented", func(doc tree) { delete(in(doc, "paths", "/v1/device"), "delete") }},
	{"a route added", "GET /v1/colours is documented and not served", func(doc tree) { in(doc, "paths")["/v1/colours"] = in(doc, "paths")["/healthz"] }},
	{"a field of answers renamed", "is not as documented", func(doc tree) {
		properties := in(schemaIn(doc, "Call"), "properties")
		properties["meeting"] = properties["conference"]
		delete(properties, "conference")
	}},
	{"a field of answers required", "is not as documented", func(doc tree) {
		in(schemaIn(doc, "Leg"), "properties")["colour"] = tree{"type": "string"}
		grow(schemaIn(doc, "Leg"), "required", "colour")
	}},
	{"a field of answers added", "never seen: field Leg.colour, answered", func(doc tree) { in(schemaIn(doc, "Leg"), "properties")["colour"] = tree{"type": "string"} }},
	{"a field of answers taken away", "is not as documented", func(doc tree) { delete(in(schemaIn(doc, "Signal"), "properties"), "use") }},
	{"a field of requests added", "never seen: field Invite.colour, sent", func(doc tree) { in(schemaIn(doc, "Invite"), "properties")["colour"] = tree{"type": "string"} }},
	{"a field of requests required", "the document refuses it, the server answers 201", func(doc tree) { grow(schemaIn(doc, "Invite"), "required", "ref") }},
	{"a field of requests loosened", "the document allows what the server refuses", func(doc tree) { in(schemaIn(doc, "Invite"), "properties")["media"] = tree{"type": "string"} }},
	{"a field of requests tightened", "the document refuses it, the server answers 201", func(doc tree) { in(schemaIn(doc, "Invite"), "properties", "ref")["maxLength"] = 2 }},
	{"a status taken away", "there is no status 409", func(doc tree) { delete(in(doc, "paths", "/v1/calls/{call_id}/cancel", "post", "responses"), "409") }},
	{"a status added", "never seen: GET /v1/calls answers 404", func(doc tree) {
		in(doc, "paths", "/v1/calls", "get", "responses")["404"] = tree{"$ref": "#/components/responses/NotFound"}
	}},
	{"a media type changed", "there is no media type application/json", func(doc tree) {
		content := in(doc, "paths", "/healthz", "get", "responses", "200", "content")
		content["text/json"] = content["application/json"]
		delete(content, "application/json")
	}},
	{"a media type added", "never seen: GET /healthz answers 200 in text/html", func(doc tree) {
		in(doc, "paths", "/healthz", "get", "responses", "200", "content")["text/html"] = tree{}
	}},
	{"a header added", "is not as documented", func(doc tree) {
		in(doc, "paths", "/healthz", "get", "responses", "200", "headers")["X-Colour"] = tree{"required": true, "schema": tree{"type": "string"}}
	}},
	{"a parameter added", "never seen: GET /v1/calls with query parameter colour", func(doc tree) {
		grow(in(doc, "paths", "/v1/calls", "get"), "parameters", tree{"name": "colour", "in": "query", "schema": tree{"type": "string"}})
	}},
	{"a parameter taken away", "the document refuses it, the server answers 200", func(doc tree) { shrink(in(doc, "paths", "/v1/calls", "get"), "parameters") }},
	{"a parameter tightened", "the document refuses it, the server answers 200", func(doc tree) { in(doc, "components", "parameters", "Limit", "schema")["minimum"] = 2 }},
	{"a parameter loosened", "the document allows what the server refuses", func(doc tree) { in(doc, "components", "parameters", "OfStatus")["schema"] = tree{"type": "string"} }},
	{"a parameter's example changed", "the example of the query parameter user_id was not sent", func(doc tree) { in(doc, "components", "parameters", "OfUser")["example"] = "u77" }},
	{"a refusal's code taken away", "is not as documented", func(doc tree) { shrink(codesIn(doc, "Report"), "enum") }},
	{"a refusal's code added", "never seen: POST /v1/calls/{call_id}/cancel answers 409 call_ended", func(doc tree) { grow(codesIn(doc, "Answered"), "enum", "call_ended") }},
	{"an error code taken away", "the enum ProblemCode", func(doc tree) { shrink(schemaIn(doc, "ProblemCode"), "enum") }},
	{"an error code added", "the enum ProblemCode", func(doc tree) { grow(schemaIn(doc, "ProblemCode"), "enum", "coloured") }},
	{"a reason taken away", "the enum Reason", func(doc tree) { shrink(schemaIn(doc, "Reason"), "enum") }},
	{"a channel added", "the enum Channel", func(doc tree) { grow(schemaIn(doc, "Channel"), "enum", "smoke") }},
	{"a presentation taken away", "the enum Presentation", func(doc tree) { shrink(schemaIn(doc, "Presentation"), "enum") }},
	{"an event added", "the enum EventType", func(doc tree) { grow(schemaIn(doc, "EventType"), "enum", "call.colored") }},
	{"a set taken away", "the enum Area", func(doc tree) { delete(schemaIn(doc, "Area"), "enum") }},
	{"an example changed", "the example waking", func(doc tree) {
		in(responseIn(doc, "/v1/calls", "post", "201"), "examples", "waking", "value")["media"] = "voice"
	}},
	{"an example's id changed", "the example completed", func(doc tree) {
		in(responseIn(doc, "/v1/calls/{call_id}/timeline", "get", "200"), "examples", "completed", "value", "call")["id"] = "01a20f7d-0000-7000-8000-000000000000"
	}},
	{"an example's list shortened", "the example two", func(doc tree) {
		shrink(in(responseIn(doc, "/v1/users/{user_id}/devices", "get", "200"), "examples", "two", "value"), "data")
	}},
	{"an example taken away", "the example unreachable", func(doc tree) { delete(in(responseIn(doc, "/v1/calls", "post", "201"), "examples"), "unreachable") }},
	{"an example added", "the example colourful", func(doc tree) {
		examples := in(responseIn(doc, "/v1/calls", "post", "201"), "examples")
		examples["colourful"] = examples["waking"]
	}},
	{"a request's example changed", "the example minted of paths /v1/device-tokens post requestBody", func(doc tree) {
		in(doc, "paths", "/v1/device-tokens", "post", "requestBody", "content", "application/json", "examples", "minted", "value")["user_id"] = "u77"
	}},
	{"a refusal's example changed", "the example too_large", func(doc tree) {
		in(doc, "components", "responses", "TooLarge", "content", "application/problem+json", "examples", "too_large", "value")["title"] = "Too much"
	}},
}

// changesOfService each change what the service does, in one thing.
var changesOfService = []struct {
	name, said string
	change     func(s *service)
}{
	{"a route added", "GET /v1/colours is served and not documented", func(s *service) { s.routes = append(slices.Clone(s.routes), "GET /v1/colours") }},
	{"a route taken away", "is documented and not served", func(s *service) { s.routes = s.routes[1:] }},
	{"an error code added", "the enum ProblemCode", set("ProblemCode", "coloured")},
	{"a reason added", "the enum Reason", set("Reason", "colour")},
	{"a channel added", "the enum Channel", set("Channel", "smoke")},
	{"a presentation added", "the enum Presentation", set("Presentation", "flag")},
	{"an event added", "the enum EventType", set("EventType", "call.colored")},
	{"a set added", "the enum Colour", set("Colour", "red")},
	{"a field added", "is not as documented", answering("GET", "/v1/devices/phone-1", func(body tree) { body["colour"] = "red" })},
	{"a field taken away", "is not as documented", answering("GET", "/v1/devices/phone-1", func(body tree) { delete(body, "rules") })},
	{"a field renamed", "is not as documented", answering("GET", "/v1/devices/phone-1", func(body tree) { body["rule"] = body["rules"]; delete(body, "rules") })},
	{"a field of another type", "is not as documented", answering("GET", "/v1/devices/phone-1", func(body tree) { body["emulator"] = "no" })},
	{"a word of no set", "is not as documented", answering("GET", "/v1/devices/phone-1", func(body tree) { body["channel"] = "smoke" })},
	{"another value", "the example phone", answering("GET", "/v1/devices/phone-1", func(body tree) { body["locale"] = "en-GB" })},
	{"another status", "there is no status 202", exchanged("GET", "/v1/devices/phone-1", func(e *exchange) { e.status = http.StatusAccepted })},
	{"another media type", "there is no media type text/html", exchanged("GET", "/v1/devices/phone-1", func(e *exchange) { e.header.Set("Content-Type", "text/html") })},
	{"no request id", "no X-Request-Id", exchanged("GET", "/v1/devices/phone-1", func(e *exchange) { e.header.Del("X-Request-Id") })},
	{"a code of no set", "is not as documented", refusing(func(body tree) { body["code"] = "coloured" })},
	{"a code of another status", "is not as documented", refusing(func(body tree) { body["code"] = "lost_race" })},
	{"other words of a refusal", "the example unauthenticated", refusing(func(body tree) { body["detail"] = "go away" })},
}

// set adds a word to a closed set.
func set(name, word string) func(*service) {
	return func(s *service) {
		s.sets = maps.Clone(s.sets)
		s.sets[name] = append(slices.Clone(s.sets[name]), word)
	}
}

// exchanged changes the first exchange of a path.
func exchanged(method, path string, change func(*exchange)) func(*service) {
	return func(s *service) {
		s.exchanges = slices.Clone(s.exchanges)
		e := &s.exchanges[slices.IndexFunc(s.exchanges, func(e exchange) bool { return e.method == method && e.url.Path == path })]
		e.header = e.header.Clone()
		change(e)
	}
}

func answering(method, path string, change func(body tree)) func(*service) {
	return exchanged(method, path, func(e *exchange) { e.got = changed(e.got, change) })
}

// refusing changes the first refusal of a request without a key.
func refusing(change func(body tree)) func(*service) {
	return func(s *service) {
		s.exchanges = slices.Clone(s.exchanges)
		e := &s.exchanges[slices.IndexFunc(s.exchanges, func(e exchange) bool { return e.status == http.StatusUnauthorized })]
		e.got = changed(e.got, change)
	}
}

// changed is JSON with a change; what it was made of was read before.
func changed(text []byte, change func(tree)) []byte {
	var t tree
	if err := json.Unmarshal(text, &t); err != nil {
		panic(err)
	}
	change(t)
	text, err := json.Marshal(t)
	if err != nil {
		panic(err)
	}
	return text
}

// notices changes one thing at a time, on one side, and wants it to be said: a
// check that cannot fail is no check.
func notices(t *testing.T, d *document, s service) {
	published, err := json.Marshal(d.tree)
	if err != nil {
		t.Fatal(err)
	}
	say := func(t *testing.T, wrong []string, said string) {
		t.Helper()
		if !slices.ContainsFunc(wrong, func(w string) bool { return strings.Contains(w, said) }) {
			t.Errorf("nobody says %q; said was: %q", said, wrong)
		}
	}
	for _, c := range changesOfDocument {
		t.Run("document: "+c.name, func(t *testing.T) {
			t.Parallel()
			other, err := newDocument(changed(published, c.change))
			if err != nil {
				t.Fatal(err)
			}
			say(t, other.wrong(s), c.said)
		})
	}
	for _, c := range changesOfService {
		t.Run("service: "+c.name, func(t *testing.T) {
			t.Parallel()
			other := s
			c.change(&other)
			say(t, d.wrong(other), c.said)
		})
	}
	t.Run("nothing", func(t *testing.T) {
		t.Parallel()
		d, err := newDocument(changed(published, func(tree) {}))
		if err != nil {
			t.Fatal(err)
		}
		if wrong := d.wrong(s); len(wrong) > 0 {
			t.Errorf("nothing was changed: %q", wrong)
		}
	})
}
