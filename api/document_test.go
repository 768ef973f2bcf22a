package api_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/pushwake/relay"
)

// document is an OpenAPI document as the tests use it: typed, for parameters
// and headers, and as plain JSON, for the schemas of bodies.
type document struct {
	spec *openapi3.T
	tree map[string]any
	text []byte
	root yaml.Node // of the text, with the lines

	mu       sync.Mutex
	compiler *jsonschema.Compiler
	compiled map[string]*jsonschema.Schema
}

// published is the document that is served.
var published = sync.OnceValues(func() (*document, error) { return newDocument(relay.OpenAPI) })

// treeURL names the document for references between its parts.
const treeURL = "http://relay/openapi.yaml"

func newDocument(text []byte) (*document, error) {
	d := &document{text: text, compiler: jsonschema.NewCompiler(), compiled: map[string]*jsonschema.Schema{}}
	var err error
	if d.spec, err = openapi3.NewLoader().LoadFromData(text); err != nil {
		return nil, err
	}
	if err := yaml.Unmarshal(text, &d.root); err != nil {
		return nil, err
	}
	asJSON, err := json.Marshal(plain(&d.root))
	if err != nil {
		return nil, err
	}
	tree, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
	if err != nil {
		return nil, err
	}
	d.tree = tree.(map[string]any)
	d.compiler.DefaultDraft(jsonschema.Draft2020)
	d.compiler.AssertFormat()
	return d, d.compiler.AddResource(treeURL, tree)
}

// operation is one method of one path of the document.
type operation struct {
	*openapi3.Operation
	method, path string
}

func (o operation) String() string { return o.method + " " + o.path }

// keys is where the operation stands in the document.
func (o operation) keys(more ...string) []string {
	return append([]string{"paths", o.path, strings.ToLower(o.method)}, more...)
}

// operations lists the document's operations in the order of their paths.
func (d *document) operations() (all []operation) {
	paths := d.spec.Paths.Map()
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		methods := paths[path].Operations()
		for _, method := range slices.Sorted(maps.Keys(methods)) {
			all = append(all, operation{methods[method], method, path})
		}
	}
	return all
}

// route finds the operation that a request is for, and what its path says; one
// without a method is none. As the server does, it looks at the path as it was
// sent, and a slash at its end counts.
func (d *document) route(method string, u *url.URL) (best operation, params map[string]string) {
	asked := strings.Split(u.EscapedPath(), "/")
	for path, item := range d.spec.Paths.Map() {
		found := map[string]string{}
		matches := slices.EqualFunc(strings.Split(path, "/"), asked, func(want, got string) bool {
			name, isParam := strings.CutPrefix(want, "{")
			if !isParam {
				return want == got
			}
			text, err := url.PathUnescape(got)
			found[strings.TrimSuffix(name, "}")] = text
			return err == nil && got != ""
		})
		if op := item.GetOperation(method); matches && op != nil && (best.method == "" || len(found) < len(params)) {
			best, params = operation{op, method, path}, found
		}
	}
	return best, params
}

// at follows keys down the document and through references, and returns where
// that led: the keys of the place itself, and what stands there; nil where
// there is nothing.
func (d *document) at(keys ...string) ([]string, any) {
	var place []string
	var value any = d.tree
	for i := 0; ; i++ {
		if m, ok := value.(map[string]any); ok {
			if ref, ok := m["$ref"].(string); ok {
				return d.at(append(pointerKeys(ref), keys[i:]...)...)
			}
		}
		if i == len(keys) {
			return place, value
		}
		switch v := value.(type) {
		case map[string]any:
			value = v[keys[i]]
		case []any:
			n, err := strconv.Atoi(keys[i])
			if err != nil || n >= len(v) {
				return nil, nil
			}
			value = v[n]
		default:
			return nil, nil
		}
		if value == nil {
			return nil, nil
		}
		place = append(place, keys[i])
	}
}

var escapeKey, unescapeKey = strings.NewReplacer("~", "~0", "/", "~1"), strings.NewReplacer("~1", "/", "~0", "~")

// pointerKeys takes a reference into the same document apart.
func pointerKeys(ref string) []string {
	keys := strings.Split(strings.TrimPrefix(ref, "#/"), "/")
	for i := range keys {
		keys[i] = unescapeKey.Replace(keys[i])
	}
	return keys
}

// schema is the schema of a media type, a parameter or a header, compiled; nil
// where it has none.
func (d *document) schema(holder ...string) (*jsonschema.Schema, error) {
	place, found := d.at(holder...)
	if m, ok := found.(map[string]any); !ok || m["schema"] == nil {
		return nil, nil
	}
	where := treeURL + "#"
	for _, key := range append(place, "schema") {
		where += "/" + url.PathEscape(escapeKey.Replace(key))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if s, ok := d.compiled[where]; ok {
		return s, nil
	}
	s, err := d.compiler.Compile(where)
	if err != nil {
		return nil, err
	}
	d.compiled[where] = s
	return s, nil
}
