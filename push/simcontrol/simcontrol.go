// Package simcontrol reads requests and writes answers for the control sides of
// the vendors' simulators: JSON in, JSON out, and errors that say what was wrong.
package simcontrol

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/go-chi/chi/v5"
)

const maxBody = 1 << 20 // bytes

// MaxWaitSeconds bounds how long a question for deliveries waits for one.
const MaxWaitSeconds = 60

// Error is a refusal with a status of its own; any other error is a 400.
type Error struct {
	Status int
	Text   string
}

func (e *Error) Error() string { return e.Text }

// Handle adapts a handler: a nil answer is a 204, an error becomes
// {"error": "..."}.
func Handle(h func(r *http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := h(r)
		switch {
		case err != nil:
			WriteError(w, err)
		case v == nil:
			w.WriteHeader(http.StatusNoContent)
		default:
			writeJSON(w, http.StatusOK, v)
		}
	}
}

// WriteError answers with an error.
func WriteError(w http.ResponseWriter, err error) {
	status := http.StatusBadRequest
	var own *Error
	if errors.As(err, &own) {
		status = own.Status
	}
	writeJSON(w, status, map[string]string{"error": err.Error()})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // fails only when the reader is gone
}

// Decode reads one JSON value and refuses unknown fields and anything after it.
func Decode(r *http.Request, v any) error {
	body, err := Body(r)
	if err != nil {
		return err
	}
	return DecodeStrict(body, v)
}

// DecodeList reads an array of values, or one value as an array of one.
func DecodeList[T any](r *http.Request) ([]T, error) {
	body, err := Body(r)
	if err != nil {
		return nil, err
	}
	if bytes.HasPrefix(bytes.TrimSpace(body), []byte("[")) {
		var list []T
		err = DecodeStrict(body, &list)
		return list, err
	}
	list := make([]T, 1)
	err = DecodeStrict(body, &list[0])
	return list, err
}

// Body reads a request's body, of 1 MiB at the most.
func Body(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return nil, fmt.Errorf("reading the body: %w", err)
	}
	if len(body) > maxBody {
		return nil, &Error{http.StatusRequestEntityTooLarge, "the body is over 1 MiB"}
	}
	return body, nil
}

// DecodeStrict is Decode of a body that was read.
func DecodeStrict(body []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return PlainError(err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("there is more after the JSON value")
	}
	return nil
}

// PlainError takes the package's prefix off a decoding error.
func PlainError(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the body is not complete JSON")
	}
	return errors.New(strings.TrimPrefix(err.Error(), "json: "))
}

// PathParam is one unescaped part of the path. The router gives the escaped
// text exactly when the path needed one of its own.
func PathParam(r *http.Request, name string) string {
	v := chi.URLParam(r, name)
	if r.URL.RawPath == "" {
		return v
	}
	if plain, err := url.PathUnescape(v); err == nil {
		return plain
	}
	return v
}

// IntParam is a whole number of the query within 0 and high, 0 when absent.
func IntParam(r *http.Request, name string, high int64) (int64, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > high {
		return 0, fmt.Errorf("%s is not a whole number within 0 and %d", name, high)
	}
	return n, nil
}
