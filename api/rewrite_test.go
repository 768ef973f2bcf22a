package api_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// withExamples is the document's text with the examples of a recording. Only
// the media types whose examples differ are written anew; all else stays as it
// was written by hand.
func (d *document) withExamples(exchanges []exchange) ([]byte, error) {
	found, l := d.differences(exchanges)
	fresh := map[string][]*yaml.Node{} // names and examples, by media type
	for _, x := range found {
		fresh[x.mediaType] = nil
	}
	for _, x := range d.shown(exchanges) {
		if _, differs := fresh[x.mediaType]; differs {
			l.settle(x.body, x.in(&d.root))
			fresh[x.mediaType] = append(fresh[x.mediaType], key(x.name), x.entry(&d.root))
		}
	}
	lines := strings.Split(string(d.text), "\n")
	var edits []edit
	for mediaType, examples := range fresh {
		node := descend(&d.root, strings.Split(mediaType, "\n")...)
		if node.Style&yaml.FlowStyle != 0 || len(node.Content) == 0 {
			return nil, fmt.Errorf("line %d: write the media type as a block, so that examples can be put into it", node.Line)
		}
		edits = append(edits, replaceExamples(lines, node, examples))
	}
	slices.SortFunc(edits, func(a, b edit) int { return b.from - a.from })
	for _, e := range edits {
		lines = slices.Replace(lines, e.from, e.to, e.lines...)
	}
	return []byte(strings.Join(lines, "\n")), nil
}

// edit puts lines in the place of others, counted from 0; to is the first that
// stays.
type edit struct {
	from, to int
	lines    []string
}

// replaceExamples gives a media type other examples: in the place of those that
// it has, or at its end.
func replaceExamples(lines []string, mediaType *yaml.Node, examples []*yaml.Node) edit {
	first := mediaType.Content[0]
	e := edit{from: blockEnd(lines, first.Line-1, first.Column-2)}
	e.to = e.from
	for i := 0; i < len(mediaType.Content); i += 2 {
		if key := mediaType.Content[i]; key.Value == "examples" {
			e.from, e.to = key.Line-1, blockEnd(lines, key.Line-1, key.Column-1)
		}
	}
	if len(examples) > 0 {
		e.lines = under("examples", blockOf(examples, width-first.Column), false)
	}
	for i := range e.lines {
		e.lines[i] = strings.Repeat(" ", first.Column-1) + e.lines[i]
	}
	return e
}

// entry is an example with the summary that it has in the document by hand.
func (x example) entry(root *yaml.Node) *yaml.Node {
	var content []*yaml.Node
	place := x.place()
	if summary := descend(root, append(place[:len(place)-1:len(place)-1], "summary")...); summary != nil {
		content = append(content, key("summary"), summary)
	}
	return &yaml.Node{Kind: yaml.MappingNode, Content: append(content, key("value"), x.body)}
}

func key(text string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text} }

// blockEnd is the first line after a block's first one that is indented no
// deeper than what the block belongs to.
func blockEnd(lines []string, first, indent int) int {
	for i := first + 1; i < len(lines); i++ {
		text := strings.TrimLeft(lines[i], " ")
		if text != "" && len(lines[i])-len(text) <= indent {
			return i
		}
	}
	return len(lines)
}

// width is how long a line with a part of an example may be.
const width = 150

// render writes a value: on one line where there is room for it behind its key,
// an object of scalars on as many as it needs, and else each part on its own.
// inline says that it begins behind the key, which takes up lead; else its
// lines are to stand two columns further than the key.
func render(n *yaml.Node, lead, room int) (lines []string, inline bool) {
	line := flow(n)
	switch {
	case n.Kind == yaml.ScalarNode || lead+utf8.RuneCountInString(line) <= room:
		return []string{line}, true
	case n.Kind == yaml.SequenceNode:
		for _, item := range n.Content {
			part, _ := render(item, 2, room-2)
			lines = append(lines, "- "+part[0])
			for _, line := range part[1:] {
				lines = append(lines, "  "+line)
			}
		}
		return lines, false
	case slices.ContainsFunc(n.Content, func(c *yaml.Node) bool { return c.Kind != yaml.ScalarNode }):
		return blockOf(n.Content, room-2), false
	}
	line = ""
	for i := 0; i < len(n.Content); i += 2 {
		part := scalar(n.Content[i]) + ": " + scalar(n.Content[i+1])
		if line != "" && lead+utf8.RuneCountInString(line+part)+3 > room {
			lines, line, lead = append(lines, line+","), part, 2
			continue
		}
		line = strings.TrimPrefix(line+", "+part, ", ")
	}
	lines = append(lines, line+"}")
	lines[0] = "{" + lines[0]
	return lines, true
}

// blockOf writes keys and values below each other.
func blockOf(content []*yaml.Node, room int) (lines []string) {
	for i := 0; i < len(content); i += 2 {
		name := scalar(content[i])
		part, inline := render(content[i+1], len(name)+2, room)
		lines = append(lines, under(name, part, inline)...)
	}
	return lines
}

// under puts a value's lines under its key.
func under(key string, value []string, inline bool) (lines []string) {
	lines = []string{key + ":"}
	if inline {
		lines[0] += " " + value[0]
		value = value[1:]
	}
	for _, line := range value {
		lines = append(lines, "  "+line)
	}
	return lines
}

// flow writes a value on one line.
func flow(n *yaml.Node) string {
	var parts []string
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i < len(n.Content); i += 2 {
			parts = append(parts, scalar(n.Content[i])+": "+flow(n.Content[i+1]))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case yaml.SequenceNode:
		for _, item := range n.Content {
			parts = append(parts, flow(item))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	return scalar(n)
}

// sexagesimal is what readers of YAML 1.1 take for a number: 22:00 is 1320.
var sexagesimal = regexp.MustCompile(`^[-+]?\d+(:\d+)+$`)

// scalar writes a text plain where it is then read as the same text.
func scalar(n *yaml.Node) string {
	if n.Tag != "!!str" {
		return n.Value
	}
	var list yaml.Node
	if sexagesimal.MatchString(n.Value) {
		return "'" + n.Value + "'"
	}
	if err := yaml.Unmarshal([]byte("["+n.Value+"]"), &list); err == nil && len(list.Content[0].Content) == 1 {
		if as := list.Content[0].Content[0]; as.Kind == yaml.ScalarNode && as.Tag == n.Tag && as.Value == n.Value && as.Style == 0 {
			return n.Value
		}
	}
	if strings.ContainsAny(n.Value, "\n\t\\") {
		quoted, _ := json.Marshal(n.Value) // a text always can be
		return string(quoted)
	}
	return "'" + strings.ReplaceAll(n.Value, "'", "''") + "'"
}

// rewrites takes examples away and changes them, and wants the document's text
// back as it was.
func rewrites(t *testing.T, d *document, s service) {
	for name, change := range map[string]struct{ pattern, to string }{
		"nothing":           {`^openapi`, "openapi"},
		"a value":           {`media: video\n( +)voice_answer`, "media: voice\n${1}voice_answer"},
		"a field":           {` +conference: false\n`, ""},
		"an example":        {` +unreachable: \{value: [^\n]*\n`, ""},
		"examples":          {`            examples:\n              minted: [^\n]*\n`, ""},
		"an example's form": {`minted: \{value: \{(user_id: u2), (device_id: phone-1)\}\}`, "minted:\n                value: {$2, $1, colour: red}"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pattern := regexp.MustCompile(change.pattern)
			at := pattern.FindSubmatchIndex(d.text)
			if at == nil {
				t.Fatalf("the document has no %s", pattern)
			}
			other, err := newDocument(slices.Concat(d.text[:at[0]], pattern.Expand(nil, []byte(change.to), d.text, at), d.text[at[1]:]))
			if err != nil {
				t.Fatal(err)
			}
			got, err := other.withExamples(s.exchanges)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(d.text), string(got)); diff != "" {
				t.Errorf("-before +after:\n%s", diff)
			}
		})
	}
}
