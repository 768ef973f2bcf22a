package relay_test

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"go.yaml.in/yaml/v3"
)

// linter walks the document and collects complaints.
type linter struct {
	root       *yaml.Node
	complaints []string
	used       map[string]bool // references to components
	whole      map[string]bool // those that are not only parts of other schemas
	ids        map[string]int  // operationIds, by the line of their operation
}

// valid asks whether a document is one of OpenAPI, and its examples are of their
// schemas.
func valid(text []byte) error {
	spec, err := openapi3.NewLoader().LoadFromData(text)
	if err != nil {
		return err
	}
	return spec.Validate(context.Background(), openapi3.EnableMultiError(), openapi3.EnableExamplesValidation(), openapi3.EnableSchemaFormatValidation())
}

// lint looks for what is wrong with a document that is valid.
func lint(document []byte) []string {
	l := &linter{root: &yaml.Node{}, used: map[string]bool{}, whole: map[string]bool{}, ids: map[string]int{}}
	if err := yaml.Unmarshal(document, l.root); err != nil {
		return []string{err.Error()}
	}
	if version := get(l.root, "openapi"); text(version) != "3.1.0" {
		l.complain(l.root, "its version is %q, not 3.1.0", text(version))
	}
	l.references(l.root, false)
	for path, item := range entries(get(l.root, "paths")) {
		for method, op := range entries(item) {
			if slices.Contains([]string{"get", "put", "post", "delete", "patch"}, method) {
				l.operation(path, method, op)
			}
		}
		if shared := get(item, "parameters"); shared != nil {
			l.complain(shared, "give the parameters of %s to its operations: Swagger UI does not follow references here", path)
		}
	}
	l.components()
	return l.complaints
}

func (l *linter) complain(n *yaml.Node, format string, args ...any) {
	l.complaints = append(l.complaints, fmt.Sprintf("openapi.yaml:%d: ", n.Line)+fmt.Sprintf(format, args...))
}

// get is what a node has under a key; nil where it has nothing.
func get(n *yaml.Node, key string) *yaml.Node {
	for name, value := range entries(n) {
		if name == key {
			return value
		}
	}
	return nil
}

// entries goes through an object in its order.
func entries(n *yaml.Node) func(yield func(string, *yaml.Node) bool) {
	return func(yield func(string, *yaml.Node) bool) {
		if n != nil && n.Kind == yaml.DocumentNode {
			n = n.Content[0]
		}
		if n == nil || n.Kind != yaml.MappingNode {
			return
		}
		for i := 0; i < len(n.Content); i += 2 {
			if !yield(n.Content[i].Value, n.Content[i+1]) {
				return
			}
		}
	}
}

func items(n *yaml.Node) []*yaml.Node {
	if n == nil || n.Kind != yaml.SequenceNode {
		return nil
	}
	return n.Content
}

func text(n *yaml.Node) string {
	if n == nil {
		return ""
	}
	return n.Value
}

// references notes what is referred to, and what only as a part of another
// schema.
func (l *linter) references(n *yaml.Node, part bool) {
	if ref := text(get(n, "$ref")); ref != "" {
		l.used[ref] = true
		l.whole[ref] = l.whole[ref] || !part
	}
	for key, value := range entries(n) {
		if key == "allOf" {
			for _, part := range items(value) {
				l.references(part, true)
			}
			continue
		}
		l.references(value, false)
	}
	for _, item := range items(n) {
		l.references(item, false)
	}
}

// resolve follows a reference.
func (l *linter) resolve(n *yaml.Node) *yaml.Node {
	ref := text(get(n, "$ref"))
	if ref == "" {
		return n
	}
	n = l.root
	for key := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
		n = get(n, key)
	}
	return n
}

var idForm = regexp.MustCompile(`^[a-z]+([A-Z][a-z]+)*$`)

func (l *linter) operation(path, method string, op *yaml.Node) {
	id := get(op, "operationId")
	if id == nil || !idForm.MatchString(id.Value) {
		l.complain(op, "%s %s has no operationId in camelCase", method, path)
	} else if line, taken := l.ids[id.Value]; taken {
		l.complain(id, "the operationId %s is that of line %d", id.Value, line)
	} else {
		l.ids[id.Value] = op.Line
	}
	if s := text(get(op, "summary")); s == "" || strings.HasSuffix(s, ".") {
		l.complain(op, "%s %s has no summary, or one with a full stop", method, path)
	}
	tags := items(get(op, "tags"))
	if len(tags) != 1 || !slices.ContainsFunc(items(get(l.root, "tags")), func(t *yaml.Node) bool { return text(get(t, "name")) == tags[0].Value }) {
		l.complain(op, "%s %s does not have one of the document's tags", method, path)
	}
	security := get(op, "security")
	if security == nil || strings.HasPrefix(path, "/v1/") && len(security.Content) == 0 {
		l.complain(op, "%s %s does not say who may ask", method, path)
	}
	for _, requirement := range items(security) {
		for scheme := range entries(requirement) {
			l.used["#/components/securitySchemes/"+scheme] = true
		}
	}
	for _, p := range items(get(op, "parameters")) {
		l.parameter(p)
	}
	if body := get(op, "requestBody"); body != nil && get(body, "$ref") == nil {
		l.content(get(body, "content"), true)
	}
	for status, response := range entries(get(op, "responses")) {
		l.response(response, strings.HasPrefix(status, "2"))
	}
}

func (l *linter) parameter(p *yaml.Node) {
	if get(p, "$ref") == nil {
		l.described(p, "the parameter "+text(get(p, "name")))
		if text(get(p, "in")) == "path" && get(p, "example") == nil {
			l.complain(p, "the path parameter %s has no example", text(get(p, "name")))
		}
		l.schema(get(p, "schema"))
	}
}

func (l *linter) response(r *yaml.Node, shown bool) {
	if get(r, "$ref") != nil {
		return
	}
	l.described(r, "the response")
	l.headers(get(r, "headers"))
	l.content(get(r, "content"), shown)
}

func (l *linter) headers(all *yaml.Node) {
	for name, h := range entries(all) {
		if get(h, "$ref") == nil {
			l.described(h, "the header "+name)
		}
	}
}

// content wants bodies in JSON to have a schema and named examples.
func (l *linter) content(all *yaml.Node, shown bool) {
	for kind, mediaType := range entries(all) {
		l.schema(get(mediaType, "schema"))
		if !strings.HasSuffix(kind, "json") {
			continue
		}
		if get(mediaType, "schema") == nil {
			l.complain(mediaType, "%s has no schema", kind)
		}
		if shown && get(mediaType, "examples") == nil {
			l.complain(mediaType, "%s has no examples", kind)
		}
	}
}

func (l *linter) components() {
	all := get(l.root, "components")
	for section, members := range entries(all) {
		for name, member := range entries(members) {
			if ref := "#/components/" + section + "/" + name; !l.used[ref] {
				l.complain(member, "nothing uses %s", ref)
			}
			switch section {
			case "schemas":
				l.described(member, "the schema "+name)
			case "responses":
				l.response(member, true)
			case "parameters":
				l.parameter(member)
			default:
				l.described(member, section+" "+name)
			}
		}
	}
	for name, schema := range entries(get(all, "schemas")) {
		if l.whole["#/components/schemas/"+name] {
			l.schema(schema)
		} else {
			l.parts(schema) // what it is a part of is closed
		}
	}
	for _, tag := range items(get(l.root, "tags")) {
		l.described(tag, "the tag "+text(get(tag, "name")))
	}
}

func (l *linter) described(n *yaml.Node, what string) {
	if text(get(n, "description")) == "" {
		l.complain(n, "%s has no description", what)
	}
}

// schema wants an object to say whether it may have other fields.
func (l *linter) schema(s *yaml.Node) {
	if s == nil || get(s, "$ref") != nil {
		return
	}
	types := append(items(get(s, "type")), get(s, "type"))
	object := slices.ContainsFunc(types, func(t *yaml.Node) bool { return text(t) == "object" })
	if (object || get(s, "allOf") != nil) && !l.closed(s) {
		l.complain(s, "the object does not say whether it may have other fields")
	}
	l.parts(s)
}

func (l *linter) closed(s *yaml.Node) bool {
	return get(s, "additionalProperties") != nil || get(s, "unevaluatedProperties") != nil ||
		slices.ContainsFunc(items(get(s, "allOf")), func(part *yaml.Node) bool { return l.closed(l.resolve(part)) })
}

// keywords are those of JSON Schema that the document uses: a misspelt one
// would mean nothing.
var keywords = []string{
	"type", "description", "enum", "const", "default", "examples", "format", "pattern", "minLength", "maxLength", "minimum", "maximum",
	"items", "minItems", "maxItems", "uniqueItems", "properties", "required", "additionalProperties", "unevaluatedProperties", "propertyNames", "maxProperties",
	"allOf", "anyOf", "oneOf", "$ref",
}

// parts looks at what a schema is made of. Every field is described, there or
// by the schema that it refers to.
func (l *linter) parts(s *yaml.Node) {
	for keyword, value := range entries(s) {
		if !slices.Contains(keywords, keyword) {
			l.complain(value, "the schema has the keyword %s", keyword)
		}
	}
	properties := get(s, "properties")
	for name, p := range entries(properties) {
		if get(p, "$ref") == nil {
			l.described(p, "the field "+name)
		}
		if get(p, "enum") != nil {
			l.complain(p, "the enum of %s is not a schema of its own, which could be compared with the code's set", name)
		}
		l.schema(p)
	}
	for _, name := range items(get(s, "required")) {
		if properties != nil && get(properties, name.Value) == nil {
			l.complain(name, "%s is required and not among the fields", name.Value)
		}
	}
	l.schema(get(s, "items"))
	l.schema(get(s, "additionalProperties"))
	for _, how := range []string{"anyOf", "oneOf"} {
		for _, part := range items(get(s, how)) {
			if get(part, "type") != nil { // else it is a condition on the schema around it
				l.schema(part)
			}
		}
	}
}
