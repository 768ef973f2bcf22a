package relay_test

import (
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
)

var (
	link      = regexp.MustCompile(`\]\(([^)#\s]+)(?:#[^)]*)?\)`)
	namedFile = regexp.MustCompile("`((?:[a-z]+/)+[a-z_.]+\\.(?:go|sql|md|yaml))`")
)

// TestDocuments holds that what the documents link to and which files they name
// exist, and that docs/architecture.md names every package.
func TestDocuments(t *testing.T) {
	t.Parallel()
	pages := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md"} {
		names, err := fs.Glob(os.DirFS("."), pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			pages[name] = string(data)
		}
	}
	if len(pages) < 12 {
		t.Errorf("%d documents were found", len(pages))
	}
	for name, text := range pages {
		var paths []string
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if !strings.Contains(m[1], "://") {
				paths = append(paths, path.Join(path.Dir(name), m[1]))
			}
		}
		for _, m := range namedFile.FindAllStringSubmatch(text, -1) {
			paths = append(paths, m[1])
		}
		for _, p := range paths {
			if _, err := os.Stat(p); err != nil {
				t.Errorf("%s names %s: %v", name, p, err)
			}
		}
	}
	for pkg := range mayImport {
		if pkg != "" && !strings.Contains(pages["docs/architecture.md"], "`"+pkg+"`") {
			t.Errorf("docs/architecture.md does not tell what %s is for", pkg)
		}
	}
}
