package api

import (
	"net/http"
	"strings"

	"github.com/pushwake/relay/call"
)

// speak chooses the language of an answer by Accept-Language and sets
// Content-Language. Call it only once success is certain: problems are in
// English.
func speak(w http.ResponseWriter, r *http.Request) call.Language {
	l := call.LanguageOf(strings.Join(r.Header.Values("Accept-Language"), ","))
	w.Header().Set("Content-Language", string(l))
	w.Header().Add("Vary", "Accept-Language")
	return l
}
