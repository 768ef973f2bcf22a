package api

import (
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// acceptable refuses a request whose Accept header rules out every media type
// of the route. Problems, and the answers of the operations endpoints, are sent
// whatever is asked for.
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

// asksFor reports whether a request names a media type and does not prefer
// JSON.
func asksFor(r *http.Request, mediaType string) bool {
	weight, named := weightOf(r, mediaType)
	json, _ := weightOf(r, "application/json")
	return named && weight > 0 && weight >= json
}

// weightOf is the weight (q) that a request gives a media type (RFC 9110,
// 12.5.1), and whether it names the type. The most specific range decides; a
// weight of 0 rules the type out.
func weightOf(r *http.Request, mediaType string) (weight float64, named bool) {
	given := r.Header.Values("Accept")
	if len(given) == 0 {
		return 1, false
	}
	kind, _, _ := strings.Cut(mediaType, "/")
	ranges := []string{"*/*", kind + "/*", mediaType}
	best := -1
	for part := range strings.SplitSeq(strings.Join(given, ","), ",") {
		name, params, _ := mime.ParseMediaType(part) // a range that cannot be parsed names nothing
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
