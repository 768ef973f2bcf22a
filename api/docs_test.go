package api_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/pushwake/relay/api"
)

// references are the places where a page, a style sheet or our own script names
// a URL.
var references = map[string]*regexp.Regexp{
	"text/html":       regexp.MustCompile(`(?:src|href)="([^"]*)"`),
	"text/css":        regexp.MustCompile(`(?:url\(|@import\s+)["']?([^"')]*)`),
	"text/javascript": regexp.MustCompile(`new URL\("([^"]*)"`),
}

// TestDocsNeedNoNetwork follows what the documentation's page refers to, and
// what that refers to: all of it is here.
func TestDocsNeedNoNetwork(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	home, err := url.Parse(r.url)
	if err != nil {
		t.Fatal(err)
	}
	seen, waiting := map[string]bool{}, []string{"/docs"} // which redirects
	for len(waiting) > 0 {
		path := waiting[0]
		waiting = waiting[1:]
		if seen[path] {
			continue
		}
		seen[path] = true
		a := r.ask("", "GET", path, nil).want(200)
		if path == "/docs" {
			path = "/docs/"
		}
		kind, _, _ := strings.Cut(a.header.Get("Content-Type"), ";")
		find, ok := references[kind]
		if !ok || strings.HasSuffix(path, "-bundle.js") { // which the page's policy holds
			continue
		}
		for _, found := range find.FindAllStringSubmatch(string(a.body), -1) {
			to, err := home.Parse(path)
			if err == nil {
				to, err = to.Parse(found[1])
			}
			switch {
			case err != nil:
				t.Errorf("%s refers to %q: %v", path, found[1], err)
			case to.Scheme == "data":
			case to.Host != home.Host || to.Scheme != home.Scheme:
				t.Errorf("%s refers to %s, which is elsewhere", path, to)
			default:
				waiting = append(waiting, to.Path)
			}
		}
	}
	for _, path := range []string{"/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css", "/docs/page.js", "/docs/favicon-32x32.png", "/openapi.yaml"} {
		if !seen[path] {
			t.Errorf("the page does not refer to %s", path)
		}
	}
}

// TestDocsPolicy: the browser itself keeps the page from loading anything from
// elsewhere, whatever is in the scripts.
func TestDocsPolicy(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, path := range []string{"/docs/", "/docs/swagger-ui-bundle.js"} {
		policy := map[string]string{}
		for part := range strings.SplitSeq(r.ask("", "GET", path, nil).want(200).header.Get("Content-Security-Policy"), ";") {
			name, sources, _ := strings.Cut(strings.TrimSpace(part), " ")
			policy[name] = sources
		}
		if policy["default-src"] != "'none'" || policy["script-src"] != "'self'" || policy["connect-src"] != "'self'" {
			t.Errorf("%s: the policy is %v", path, policy)
		}
		for name, sources := range policy {
			for source := range strings.FieldsSeq(sources) {
				if source != "'none'" && source != "'self'" && (name != "img-src" || source != "data:") {
					t.Errorf("%s: %s allows %s", path, name, source)
				}
			}
		}
	}
}

func TestDocsFiles(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const bundle = "/docs/swagger-ui-bundle.js"
	plain := r.ask("", "GET", bundle, nil, "Accept-Encoding", "identity").want(200)
	zipped := r.ask("", "GET", bundle, nil, "Accept-Encoding", "gzip").want(200) // which is then not unpacked on the way
	if plain.header.Get("Content-Encoding") != "" || zipped.header.Get("Content-Encoding") != "gzip" || len(plain.body) <= 2*len(zipped.body) {
		t.Errorf("plain: %d bytes, %v; zipped: %d bytes, %v", len(plain.body), plain.header, len(zipped.body), zipped.header)
	}
	if got := r.ask("", "GET", bundle, nil).want(http.StatusOK).body; string(got) != string(plain.body) {
		t.Error("unpacked, it is another file")
	}
	for _, path := range []string{"/docs/nothing", "/docs/.", "/docs/..", "/docs/docs.go", "/docs/swagger-ui.css.gz", "/docs/%2e%2e%2fserver.go", "/docs/a/b"} {
		r.ask("", "GET", path, nil).refused(404, api.CodeNotFound)
	}
}
