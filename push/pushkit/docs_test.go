package pushkit_test

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/pushwake/relay/push"
	"github.com/pushwake/relay/push/pushkit"
)

var update = flag.Bool("update", false, "write the tables of docs/push-kit.md anew")

const page = "../../docs/push-kit.md"

// TestDocs holds the tables of the documentation equal to those of the code;
// with -update it writes them.
func TestDocs(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	for name, table := range map[string]string{"codes": codeTable(false), "reasons": codeTable(true), "statuses": statusTable()} {
		begin, end := "<!-- table: "+name+" -->\n", "<!-- end: "+name+" -->"
		before, rest, ok1 := strings.Cut(text, begin)
		got, after, ok2 := strings.Cut(rest, end)
		if !ok1 || !ok2 {
			t.Fatalf("the page has no table %q", name)
		}
		if *update {
			text = before + begin + table + end + after
			continue
		}
		if diff := gocmp.Diff(strings.Split(table, "\n"), strings.Split(got, "\n")); diff != "" {
			t.Errorf("table %s differs; go test ./push/pushkit -run TestDocs -update writes it (-code +page):\n%s", name, diff)
		}
	}
	if *update {
		if err := os.WriteFile(page, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func codeTable(reasons bool) string {
	var b strings.Builder
	b.WriteString("| code | vendor's text | meaning | outcome | reason of the leg | fault | sent again | token | advice |\n|---|---|---|---|---|---|---|---|---|\n")
	for _, c := range pushkit.Codes() {
		if strings.Contains(c.Key, "/") == reasons {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", c.Key, cmp.Or(c.Wire, "–"), c.Meaning, columns(c.Answer), c.Advice)
		}
	}
	return b.String()
}

func statusTable() string {
	var b strings.Builder
	b.WriteString("| HTTP status | meaning | outcome | reason of the leg | fault | sent again | token | advice |\n|---|---|---|---|---|---|---|---|\n")
	for _, s := range pushkit.Statuses() {
		name := "none"
		if s.Status != 0 {
			name = fmt.Sprint(s.Status)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", name, s.Meaning, columns(s.Answer), s.Advice)
	}
	return b.String()
}

func columns(a push.Answer) string {
	return fmt.Sprintf("%s | %s | %s | %s | %s", a.Outcome, cmp.Or(string(a.Reason), "–"), a.Blame, a.Retry, a.Token)
}
