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

// accepts reports whether a request takes an answer of a media type (RFC 9110,
// 12.5.1): the range that names it best decides, and a weight of 0 rules it out.
func accepts(r *http.Request, mediaType string) bool {
	given := r.Header.Values("Accept")
	if len(given) == 0 {
		return true
	}
	kind, _, _ := strings.Cut(mediaType, "/")
	ranges := []string{"*/*", kind + "/*", mediaType}
	best, ok := -1, false
	for part := range strings.SplitSeq(strings.Join(given, ","), ",") {
		name, params, _ := mime.ParseMediaType(part) // what cannot be read names nothing
		if i := slices.Index(ranges, name); i > best {
			weight, err := strconv.ParseFloat(params["q"], 64)
			best, ok = i, err != nil || weight > 0
		}
	}
	return ok
}

// asksFor reports whether a request asks for a media type by its name.
func asksFor(r *http.Request, mediaType string) bool {
	for part := range strings.SplitSeq(strings.Join(r.Header.Values("Accept"), ","), ",") {
		if name, _, _ := mime.ParseMediaType(part); name == mediaType {
			return accepts(r, mediaType)
		}
	}
	return false
}
