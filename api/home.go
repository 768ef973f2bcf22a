package api

import (
	_ "embed"
	"net/http"
)

// homePage names what is here. Its links are relative: a proxy may serve us
// under a path of its own.
//
//go:embed home.html
var homePage []byte

// homePolicy lets the page load nothing: it consists of itself.
const homePolicy = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// home is GET /, for people who open the service's address.
func (s *server) home(w http.ResponseWriter, _ *http.Request) error {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", homePolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	_, _ = w.Write(homePage) // a client that left cannot be told
	return nil
}
