package api

import (
	"bytes"
	"compress/gzip"
	"embed"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-chi/chi/v5"
	swaggerui "github.com/swaggest/swgui/v5/static"
)

// docsPage is our part of the documentation's page; the rest is Swagger UI.
//
//go:embed docs
var docsPage embed.FS

// docsFiles is all that the page consists of. Swagger UI's files are kept
// compressed.
var docsFiles = map[string]struct {
	from embed.FS
	path string
	kind string
}{
	"index.html":           {docsPage, "docs/index.html", "text/html; charset=utf-8"},
	"page.js":              {docsPage, "docs/page.js", "text/javascript; charset=utf-8"},
	"page.css":             {docsPage, "docs/page.css", "text/css; charset=utf-8"},
	"swagger-ui-bundle.js": {swaggerui.FS, "swagger-ui-bundle.js.gz", "text/javascript; charset=utf-8"},
	"swagger-ui.css":       {swaggerui.FS, "swagger-ui.css.gz", "text/css; charset=utf-8"},
	"favicon-32x32.png":    {swaggerui.FS, "favicon-32x32.png", "image/png"},
}

// docsPolicy lets the page load only from its own origin. Images may be inline,
// as the icons in Swagger UI's style sheet are.
const docsPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// redirectDocs is GET /docs. The relative links of the page need the slash at
// the end.
func (s *server) redirectDocs(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Location", "docs/") // relative: a proxy may serve us under a path of its own
	w.WriteHeader(http.StatusPermanentRedirect)
	return nil
}

// docs is GET /docs/: the specification for people.
func (s *server) docs(w http.ResponseWriter, r *http.Request) error {
	return writeDocsFile(w, r, "index.html")
}

// docsFile is GET /docs/{file}.
func (s *server) docsFile(w http.ResponseWriter, r *http.Request) error {
	return writeDocsFile(w, r, chi.URLParam(r, "file"))
}

func writeDocsFile(w http.ResponseWriter, r *http.Request, name string) error {
	file, ok := docsFiles[name]
	if !ok {
		return errRoute
	}
	kept, err := file.from.ReadFile(file.path)
	if err != nil {
		return err
	}
	var content io.Reader = bytes.NewReader(kept)
	h := w.Header()
	if strings.HasSuffix(file.path, ".gz") {
		h.Add("Vary", "Accept-Encoding")
		if takesGzip(r) {
			h.Set("Content-Encoding", "gzip")
		} else if content, err = gzip.NewReader(content); err != nil {
			return err
		}
	}
	h.Set("Content-Type", file.kind)
	h.Set("Content-Security-Policy", docsPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	_, _ = io.Copy(w, content) // a client that left cannot be told
	return nil
}

// takesGzip reports whether a request takes gzip (RFC 9110, 12.5.3); a weight of
// 0 rules it out.
func takesGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(strings.Join(r.Header.Values("Accept-Encoding"), ","), ",") {
		coding, weight, _ := strings.Cut(part, ";")
		if strings.EqualFold(strings.TrimSpace(coding), "gzip") {
			q, err := strconv.ParseFloat(strings.TrimPrefix(strings.TrimSpace(weight), "q="), 64)
			return err != nil || q > 0
		}
	}
	return false
}
