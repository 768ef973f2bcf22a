package api_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/pushwake/relay/api"
)

// zipped is a text as gzip.
func zipped(text string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(text)) // a buffer takes everything
	_ = z.Close()
	return b.Bytes()
}

// unpacked is a body as its Content-Encoding means it, and as it is where it
// cannot be unpacked.
func unpacked(h http.Header, body []byte) []byte {
	if !strings.Contains(strings.ToLower(h.Get("Content-Encoding")), "gzip") {
		return body
	}
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return body
	}
	plain, err := io.ReadAll(io.LimitReader(z, 1<<20))
	if err != nil {
		return body
	}
	return plain
}

func TestZippedBodies(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const body = `{"callee": {"user_id": "u2"}, "caller": {"user_id": "u1", "name": "李娜"}, "media": "video"}`
	ask := func(sent []byte, headers ...string) answer {
		t.Helper()
		return r.ask(r.backend, "POST", "/v1/calls", sent, headers...)
	}
	first := ask(zipped(body), "Content-Encoding", "gzip", "Idempotency-Key", "k").want(201).has("李娜", "caller", "name")
	if again := ask([]byte(body), "Idempotency-Key", "k").want(201); !bytes.Equal(again.body, first.body) {
		t.Error("the same body as it is gets another answer")
	}
	for _, coding := range []string{"GZIP", "x-gzip", " gzip "} {
		ask(zipped(body), "Content-Encoding", coding).want(201)
	}
	ask([]byte(body), "Content-Encoding", "identity").want(201)

	// 64 KiB and no more, whatever was sent.
	full := func(n int) string { return `{"ref":"` + strings.Repeat("r", n-10) + `"}` }
	ask(zipped(full(64<<10)), "Content-Encoding", "gzip").refused(422, api.CodeInvalid)
	ask(zipped(full(64<<10+1)), "Content-Encoding", "gzip").refused(413, api.CodeTooLarge)
	ask(zipped(strings.Repeat(" ", 8<<20)), "Content-Encoding", "gzip").refused(413, api.CodeTooLarge)
	ask(bytes.Repeat(zipped(""), 10_000), "Content-Encoding", "gzip").refused(413, api.CodeTooLarge)
	stored := func(n int) []byte {
		var b bytes.Buffer
		z, _ := gzip.NewWriterLevel(&b, gzip.NoCompression)
		_, _ = z.Write([]byte(full(n)))
		_ = z.Close()
		return b.Bytes()
	}
	ask(stored(64<<10), "Content-Encoding", "gzip").refused(422, api.CodeInvalid) // though over 64 KiB were sent

	whole := zipped(body)
	damaged := bytes.Clone(whole)
	damaged[len(damaged)-5] ^= 1 // in the checksum
	for name, sent := range map[string][]byte{
		"no gzip": []byte(body), "cut": whole[:len(whole)-9], "cut in its header": whole[:5], "damaged": damaged, "more after it": append(bytes.Clone(whole), "more"...), "nothing in it": zipped(""),
	} {
		t.Run(name, func(t *testing.T) {
			r := r.in(t)
			r.ask(r.backend, "POST", "/v1/calls", sent, "Content-Encoding", "gzip").refused(400, api.CodeMalformed)
		})
	}
	ask(nil, "Content-Encoding", "gzip").refused(400, api.CodeMalformed) // empty, as without it
	id := first.text("id")
	r.ask(r.backend, "POST", "/v1/calls/"+id+"/cancel", nil, "Content-Encoding", "gzip").want(200)
	r.ask(r.backend, "POST", "/v1/calls/"+id+"/cancel", zipped(""), "Content-Encoding", "gzip").want(200)
}

func TestUnknownCodings(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, coding := range []string{"br", "zstd", "deflate", "compress", "gzip, gzip", "identity, gzip", "gzip;q=1", "nonsense"} {
		a := r.ask(r.backend, "POST", "/v1/calls", invite("u2"), "Content-Encoding", coding).refused(415, api.CodeUnsupportedMedia)
		if got := a.header.Get("Accept-Encoding"); got != "gzip" {
			t.Errorf("%s: Accept-Encoding %q", coding, got)
		}
	}
	for _, kind := range []string{"application/json; charset=gbk", "application/json; charset=utf-16", `application/json; charset="ISO-8859-1"`, "text/plain"} {
		a := r.ask(r.backend, "POST", "/v1/calls", invite("u2"), "Content-Type", kind).refused(415, api.CodeUnsupportedMedia)
		if got := a.header.Get("Accept-Encoding"); got != "" {
			t.Errorf("%s: Accept-Encoding %q, which would blame the coding", kind, got)
		}
	}
	for _, kind := range []string{"application/json; charset=utf-8", `application/json; charset="UTF-8"`, "application/json;charset=utf8", "application/json; profile=x"} {
		r.ask(r.backend, "POST", "/v1/calls", invite("u2"), "Content-Type", kind).want(201)
	}
}
