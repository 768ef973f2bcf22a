package api

import (
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// acceptable refuses what will take none of the media types that a route has.
// Problems are sent whatever is asked for, and so are the operations' own formats.
func acceptable(r *http.Request, types []string) error {
	if !strings.HasPrefix(r.URL.Path, "/v1/") || slices.ContainsFunc(types, func(t string) bool { return accepts(r, t) }) {
		return nil
	}
	return &notAcceptableError{types}
}

// accepts reports whether a request takes an answer of a media type.
func accepts(r *http.Request, mediaType string) bool {
	weight, _ := weightOf(r, mediaType)
	return weight > 0
}

// asksFor reports whether a request asks for a media type by its name, and for
// JSON no rather.
func asksFor(r *http.Request, mediaType string) bool {
	weight, named := weightOf(r, mediaType)
	json, _ := weightOf(r, "application/json")
	return named && weight > 0 && weight >= json
}

// weightOf is how much a request wants an answer of a media type (RFC 9110,
// 12.5.1), and whether it says so by name: the range that names it best decides,
// and a weight of 0 rules it out.
func weightOf(r *http.Request, mediaType string) (weight float64, named bool) {
	given := r.Header.Values("Accept")
	if len(given) == 0 {
		return 1, false
	}
	kind, _, _ := strings.Cut(mediaType, "/")
	ranges := []string{"*/*", kind + "/*", mediaType}
	best := -1
	for part := range strings.SplitSeq(strings.Join(given, ","), ",") {
		name, params, _ := mime.ParseMediaType(part) // what cannot be read names nothing
		if i := slices.Index(ranges, name); i > best {
			q, err := strconv.ParseFloat(params["q"], 64)
			if err != nil {
				q = 1
			}
			best, weight = i, q
		}
	}
	return weight, best == len(ranges)-1
}
