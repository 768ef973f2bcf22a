package api

import (
	"compress/gzip"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"
)

// maxBody is the size of a request's body at most, as it is or unpacked.
const maxBody = 64 << 10

// gzipExtra is by how much gzip may make a body longer that it cannot shorten.
const gzipExtra = 1 << 10

// bodyOf reads the JSON body of a request that takes no parameters.
func bodyOf(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if err := queryOf(r).done(); err != nil {
		return nil, err
	}
	return readBody(w, r)
}

// readBody reads a JSON body, unpacked. It may be empty, and then needs no
// Content-Type.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	return readBodyUpTo(w, r, maxBody, errTooLarge)
}

// readBodyUpTo is readBody for bodies of most bytes at most, with the error that
// refuses longer ones.
func readBodyUpTo(w http.ResponseWriter, r *http.Request, most int64, errTooLarge error) ([]byte, error) {
	zipped, err := isZipped(r)
	if err != nil {
		return nil, err
	}
	var body []byte
	if zipped {
		body, err = unzip(http.MaxBytesReader(w, r.Body, most+gzipExtra), most)
	} else {
		body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	}
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge) || int64(len(body)) > most:
		return nil, errTooLarge
	case err != nil && zipped:
		return nil, &malformedError{"the body cannot be unpacked: it is not gzip, or not whole"}
	case err != nil:
		return nil, &malformedError{"the body could not be read to its end"}
	case len(body) == 0:
		return nil, nil
	}
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return nil, errUnsupportedMedia
	}
	if charset := params["charset"]; charset != "" && !strings.EqualFold(charset, "utf-8") && !strings.EqualFold(charset, "utf8") {
		return nil, errCharset
	}
	if !utf8.Valid(body) {
		return nil, &malformedError{"the body is not UTF-8"}
	}
	return body, nil
}

// isZipped reports whether a request's body comes as gzip. It may come as it is,
// and in no other way (RFC 9110, 8.4).
func isZipped(r *http.Request) (bool, error) {
	switch strings.ToLower(strings.TrimSpace(strings.Join(r.Header.Values("Content-Encoding"), ","))) {
	case "", "identity":
		return false, nil
	case "gzip", "x-gzip":
		return true, nil
	}
	return false, errCoding
}

// unzip unpacks gzip, up to one byte more than the most that a body may have.
func unzip(packed io.Reader, most int64) ([]byte, error) {
	z, err := gzip.NewReader(packed)
	if err == io.EOF { // nothing was sent
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(z, most+1))
}

// noBody reads a body that has nothing to say: none, or an object without fields.
func noBody(w http.ResponseWriter, r *http.Request) error {
	body, err := bodyOf(w, r)
	if err != nil || len(body) == 0 {
		return err
	}
	f, err := decode(body)
	if err != nil {
		return err
	}
	return f.done()
}
