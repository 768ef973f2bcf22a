package api_test

import (
	"encoding/json"
	"fmt"
	"mime"
	"slices"
	"strconv"
	"strings"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// example is a body that was exchanged and that the document shows.
type example struct {
	mediaType string // the keys of its place, a line each
	name      string
	body      *yaml.Node
}

func (x example) String() string {
	return fmt.Sprintf("the example %s of %s", x.name, strings.ReplaceAll(x.mediaType, "\n", " "))
}

func (x example) place() []string {
	return append(strings.Split(x.mediaType, "\n"), "examples", x.name, "value")
}

// in is the example as a document has it; nil where it has none.
func (x example) in(root *yaml.Node) *yaml.Node { return descend(root, x.place()...) }

// shown lists what the document is to show of a recording: the bodies of the
// exchanges that have a name, and of each refusal the first with its code.
func (d *document) shown(exchanges []exchange) (all []example) {
	add := func(name string, body []byte, contentType string, content ...string) {
		kind, _, _ := mime.ParseMediaType(contentType)
		place, found := d.at(append(content, kind)...)
		x := example{mediaType: strings.Join(place, "\n"), name: name}
		taken := slices.ContainsFunc(all, func(y example) bool { return x.mediaType == y.mediaType && x.name == y.name })
		var doc yaml.Node
		if found == nil || taken || !strings.HasSuffix(kind, "json") || yaml.Unmarshal(body, &doc) != nil || len(doc.Content) == 0 {
			return
		}
		x.body = doc.Content[0]
		all = append(all, x)
	}
	for _, e := range exchanges {
		op, _ := d.route(e.method, e.url)
		if op.method == "" {
			continue
		}
		name := e.example
		switch {
		case !e.succeeded():
			var problem struct{ Code string }
			_ = json.Unmarshal(e.got, &problem) // which was judged
			name = problem.Code
		case name != "":
			add(name, e.sent, e.sentHeader.Get("Content-Type"), op.keys("requestBody", "content")...)
		}
		if name != "" {
			add(name, e.got, e.header.Get("Content-Type"), op.keys("responses", strconv.Itoa(e.status), "content")...)
		}
	}
	return all
}

// difference is an example that is not in the document as it was exchanged:
// another one, a missing one, or one that nobody exchanged.
type difference struct {
	example
	diff string
}

// differences compares the document's examples with a recording.
func (d *document) differences(exchanges []exchange) ([]difference, *ledger) {
	fresh := d.shown(exchanges)
	l := newLedger(&d.root, fresh)
	var all []difference
	for _, x := range fresh {
		old := x.in(&d.root)
		l.settle(x.body, old)
		if diff := cmp.Diff(plain(old), plain(x.body)); diff != "" {
			all = append(all, difference{x, diff})
		}
	}
	for mediaType := range d.mediaTypes() {
		examples := descend(&d.root, append(strings.Split(mediaType, "\n"), "examples")...)
		for i := 0; examples != nil && i < len(examples.Content); i += 2 {
			x := example{mediaType: mediaType, name: examples.Content[i].Value}
			if !slices.ContainsFunc(fresh, func(y example) bool { return x.mediaType == y.mediaType && x.name == y.name }) {
				all = append(all, difference{x, "nobody exchanged it"})
			}
		}
	}
	return all, l
}

// plain is a node as plain values.
func plain(n *yaml.Node) (v any) {
	if n != nil {
		_ = n.Decode(&v) // a node that was read can be decoded
	}
	return v
}

// mediaTypes is where the operations' bodies are described.
func (d *document) mediaTypes() map[string]bool {
	all := map[string]bool{}
	add := func(content ...string) {
		place, found := d.at(content...)
		kinds, _ := found.(map[string]any)
		for kind := range kinds {
			all[strings.Join(append(slices.Clone(place), kind), "\n")] = true
		}
	}
	for _, op := range d.operations() {
		add(op.keys("requestBody", "content")...)
		for status := range op.Responses.Map() {
			add(op.keys("responses", status, "content")...)
		}
	}
	return all
}

// examples says where the document's examples are not what was exchanged.
func (d *document) examples(exchanges []exchange) (wrong []string) {
	found, l := d.differences(exchanges)
	for _, x := range found {
		wrong = append(wrong, fmt.Sprintf("%s (-document +exchange; see the comment on TestContract for the way to renew them): %s", x, x.diff))
	}
	return append(wrong, d.parameterExamples(exchanges, l)...)
}

// parameterExamples says which parameters show a value that no successful
// request gave.
func (d *document) parameterExamples(exchanges []exchange, l *ledger) (wrong []string) {
	given := map[string][]string{}
	for _, e := range exchanges {
		op, params := d.route(e.method, e.url)
		if op.method == "" || !e.succeeded() {
			continue
		}
		for name, value := range params {
			given["path "+name] = append(given["path "+name], l.id(value))
		}
		for name, values := range e.url.Query() {
			given["query "+name] = append(given["query "+name], values...)
		}
		for name, values := range e.sentHeader {
			given["header "+name] = append(given["header "+name], values...)
		}
	}
	for _, op := range d.operations() {
		for _, p := range op.Parameters {
			key := p.Value.In + " " + p.Value.Name
			if p.Value.Example != nil && !slices.Contains(given[key], fmt.Sprint(p.Value.Example)) {
				wrong = append(wrong, fmt.Sprintf("%s: the example of the %s parameter %s was not sent; these were: %q", op, p.Value.In, p.Value.Name, given[key]))
			}
		}
	}
	return wrong
}
