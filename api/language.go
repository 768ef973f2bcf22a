package api

import (
	"net/http"
	"strings"

	"github.com/pushwake/relay/call"
)

// speak chooses the language of an answer's words by Accept-Language, and names
// it in the answer. It is called where an answer is sure: problems are English.
func speak(w http.ResponseWriter, r *http.Request) call.Language {
	l := call.LanguageOf(strings.Join(r.Header.Values("Accept-Language"), ","))
	w.Header().Set("Content-Language", string(l))
	w.Header().Add("Vary", "Accept-Language")
	return l
}
