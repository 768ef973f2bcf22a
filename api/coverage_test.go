package api_test

import (
	"bytes"
	"maps"
	"mime"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// A promise is something that the document says happens, in words: a status of
// an operation, with each code of a refusal; a parameter that is taken; a field
// of a body, for each way that bodies go; a media type. What nobody ever saw may
// not be so.

// neverSeen lists the promises of the document that no exchange has kept.
func (d *document) neverSeen(exchanges []exchange) []string {
	kept := map[string]bool{}
	for _, e := range exchanges {
		d.keep(e, kept)
	}
	var left []string
	for _, promise := range d.promises() {
		if !kept[promise] {
			left = append(left, "never seen: "+promise)
		}
	}
	return left
}

// promises lists all of them.
func (d *document) promises() []string {
	all, walked := map[string]bool{}, map[string]bool{}
	for _, op := range d.operations() {
		for _, p := range op.Parameters {
			all[op.String()+" with "+p.Value.In+" parameter "+p.Value.Name] = true
		}
		d.fields("sent", all, walked, op.keys("requestBody", "content", "application/json", "schema")...)
		for status, response := range op.Responses.Map() {
			all[op.String()+" answers "+status] = true
			for kind := range response.Value.Content {
				all[op.String()+" answers "+status+" in "+kind] = true
				schema := op.keys("responses", status, "content", kind, "schema")
				d.fields("answered", all, walked, schema...)
				for _, code := range d.codes(schema...) {
					all[op.String()+" answers "+status+" "+code] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// codes lists the problem codes that a response allows: those that each part of
// its schema allows.
func (d *document) codes(schema ...string) (codes []string) {
	_, found := d.at(schema...)
	node, _ := found.(map[string]any)
	for i, part := range parts(node) {
		_, enum := d.at(slices.Concat(schema, part, []string{"properties", "code", "enum"})...)
		var allowed []string
		for _, v := range asList(enum) {
			allowed = append(allowed, v.(string))
		}
		if i == 0 {
			codes = allowed
		}
		codes = slices.DeleteFunc(codes, func(code string) bool { return !slices.Contains(allowed, code) })
	}
	return codes
}

func asList(v any) []any {
	list, _ := v.([]any)
	return list
}

// fields adds each field of a schema, and of those that it is made of.
func (d *document) fields(way string, all, walked map[string]bool, schema ...string) {
	place, found := d.at(schema...)
	node, ok := found.(map[string]any)
	here := way + " " + strings.Join(place, "/")
	if !ok || walked[here] {
		return
	}
	walked[here] = true
	properties, _ := node["properties"].(map[string]any)
	for name := range properties {
		all[fieldName(way, place, name)] = true
		d.fields(way, all, walked, slices.Concat(place, []string{"properties", name})...)
	}
	for _, part := range slices.Concat(parts(node), [][]string{{"items"}, {"additionalProperties"}}) {
		d.fields(way, all, walked, slices.Concat(place, part)...)
	}
}

// parts is where the schemas stand of which a value has to fit all, any or one.
func parts(node map[string]any) (keys [][]string) {
	for _, how := range []string{"allOf", "anyOf", "oneOf"} {
		for i := range asList(node[how]) {
			keys = append(keys, []string{how, strconv.Itoa(i)})
		}
	}
	return keys
}

// fieldName names a field by its schema and the way that its body goes.
func fieldName(way string, place []string, name string) string {
	where := strings.TrimPrefix(strings.Join(place, "."), "components.schemas.")
	return "field " + strings.ReplaceAll(where, ".properties.", ".") + "." + name + ", " + way
}

// keep adds the promises that one exchange kept. A field that was null shows
// nothing, unless null is all that it may be.
func (d *document) keep(e exchange, kept map[string]bool) {
	op, _ := d.route(e.method, e.url)
	if op.method == "" {
		return
	}
	status := strconv.Itoa(e.status)
	kept[op.String()+" answers "+status] = true
	kind, _, _ := mime.ParseMediaType(e.header.Get("Content-Type"))
	kept[op.String()+" answers "+status+" in "+kind] = true
	for _, text := range described(kind, e.got) {
		answer, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			continue
		}
		d.keepFields("answered", answer, kept, op.keys("responses", status, "content", kind, "schema")...)
		if problem, ok := answer.(map[string]any); ok && kind == "application/problem+json" {
			code, _ := problem["code"].(string)
			kept[op.String()+" answers "+status+" "+code] = true
		}
	}
	if !e.succeeded() {
		return
	}
	for _, p := range op.Parameters {
		if p.Value.In == "path" || p.Value.In == "query" && e.url.Query().Has(p.Value.Name) || p.Value.In == "header" && e.sentHeader.Get(p.Value.Name) != "" {
			kept[op.String()+" with "+p.Value.In+" parameter "+p.Value.Name] = true
		}
	}
	if sent, err := jsonschema.UnmarshalJSON(bytes.NewReader(e.sent)); err == nil {
		d.keepFields("sent", sent, kept, op.keys("requestBody", "content", "application/json", "schema")...)
	}
}

// keepFields adds the fields that a value has.
func (d *document) keepFields(way string, value any, kept map[string]bool, schema ...string) {
	place, found := d.at(schema...)
	node, ok := found.(map[string]any)
	if !ok {
		return
	}
	for _, part := range parts(node) {
		d.keepFields(way, value, kept, slices.Concat(place, part)...)
	}
	switch value := value.(type) {
	case []any:
		for _, item := range value {
			d.keepFields(way, item, kept, slices.Concat(place, []string{"items"})...)
		}
	case map[string]any:
		properties, _ := node["properties"].(map[string]any)
		for name, v := range value {
			property, named := properties[name].(map[string]any)
			if !named {
				d.keepFields(way, v, kept, slices.Concat(place, []string{"additionalProperties"})...)
				continue
			}
			if v != nil || property["type"] == "null" {
				kept[fieldName(way, place, name)] = true
			}
			d.keepFields(way, v, kept, slices.Concat(place, []string{"properties", name})...)
		}
	}
}
