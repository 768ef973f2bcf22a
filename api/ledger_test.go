package api_test

import (
	"regexp"
	"slices"
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"
)

// ledger tells what the values of a recording are in the document: those that
// change from run to run stay as they are there, so that the same exchanges
// give the same document.
type ledger struct {
	ids   map[string]string // of this run → in the document
	shift time.Duration     // from this run's time to the document's
}

// kind says in what way a value changes from run to run.
type kind int

const (
	fixed   kind = iota
	id           // where two are the same, the same thing is meant
	moment       // a time
	measure      // how long something took, or what nobody can foresee
)

var (
	idForm     = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	momentForm = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`)
	jwtForm    = regexp.MustCompile(`^(eyJ[A-Za-z0-9_-]+)\.[^.]+\.[^.]+$`)
	measures   = []string{"age_seconds", "cursor", "duration_ms", "expires_in_ms", "extraData", "next_cursor", "request_id", "secret", "ttl", "url"}
)

const momentLayout = "2006-01-02T15:04:05.000Z"

func kindOf(key string, n *yaml.Node) kind {
	switch {
	case n.Kind != yaml.ScalarNode || n.Tag == "!!null":
		return fixed
	case idForm.MatchString(n.Value):
		return id
	case momentForm.MatchString(n.Value):
		return moment
	case slices.Contains(measures, key):
		return measure
	}
	return fixed
}

// newLedger compares a recording's examples with the document's and learns what
// stands for what.
func newLedger(root *yaml.Node, fresh []example) *ledger {
	l := &ledger{ids: map[string]string{}}
	taken := map[string]bool{}
	for _, x := range fresh {
		pairs("", x.body, x.in(root), func(key string, fresh, old *yaml.Node) {
			if old == nil || kindOf(key, fresh) != kindOf(key, old) {
				return
			}
			_, known := l.ids[fresh.Value]
			switch kindOf(key, fresh) {
			case id:
				if !known && !taken[old.Value] {
					l.ids[fresh.Value], taken[old.Value] = old.Value, true
				}
			case moment:
				if l.shift == 0 {
					l.shift = timeOf(old).Sub(timeOf(fresh))
				}
			}
		})
	}
	return l
}

func timeOf(n *yaml.Node) time.Time {
	t, _ := time.Parse(momentLayout, n.Value) // it has the form
	return t
}

// id is an id as the document has it.
func (l *ledger) id(fresh string) string {
	if old, ok := l.ids[fresh]; ok {
		return old
	}
	return fresh
}

// settle makes of a recorded value what the document is to have in its place.
func (l *ledger) settle(fresh, old *yaml.Node) {
	pairs("", fresh, old, func(key string, fresh, old *yaml.Node) {
		k := kindOf(key, fresh)
		kept := old != nil && kindOf(key, old) == k && old.Tag == fresh.Tag
		switch {
		case k == id:
			fresh.Value = l.id(fresh.Value)
		case k != fixed && kept:
			fresh.Value = old.Value
		case k == moment:
			fresh.Value = timeOf(fresh).Add(l.shift).Format(momentLayout)
		case k == fixed: // a JWT is cut short: nobody can use it
			fresh.Value = jwtForm.ReplaceAllString(fresh.Value, "$1…")
		}
	})
}

// pairs calls do for each scalar of a value, with the key that it stands under
// and what the old value has in its place; nil where that is nothing.
func pairs(key string, fresh, old *yaml.Node, do func(key string, fresh, old *yaml.Node)) {
	switch fresh.Kind {
	case yaml.MappingNode:
		for i := 0; i < len(fresh.Content); i += 2 {
			key := fresh.Content[i].Value
			pairs(key, fresh.Content[i+1], child(old, key), do)
		}
	case yaml.SequenceNode:
		for i, item := range fresh.Content {
			pairs(key, item, child(old, strconv.Itoa(i)), do)
		}
	default:
		do(key, fresh, old)
	}
}

// child is what a node has under a key or an index; nil where it has nothing.
func child(n *yaml.Node, key string) *yaml.Node {
	switch {
	case n == nil:
	case n.Kind == yaml.DocumentNode:
		return child(n.Content[0], key)
	case n.Kind == yaml.MappingNode:
		for i := 0; i < len(n.Content); i += 2 {
			if n.Content[i].Value == key {
				return n.Content[i+1]
			}
		}
	case n.Kind == yaml.SequenceNode:
		if i, err := strconv.Atoi(key); err == nil && i < len(n.Content) {
			return n.Content[i]
		}
	}
	return nil
}

func descend(n *yaml.Node, keys ...string) *yaml.Node {
	for _, key := range keys {
		n = child(n, key)
	}
	return n
}
