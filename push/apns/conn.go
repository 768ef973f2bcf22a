package apns

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// conn is one connection of a pool. Its fields but heard are the pool's, under
// its lock.
type conn struct {
	cc      *http.ClientConn
	primed  bool      // its first answer has come, so the server's limit of streams is known
	used    int       // requests that hold a place
	asked   time.Time // when the request before the first answer was sent
	retired bool      // takes no more requests, and closes when the last one ends

	heard atomic.Int64 // Unix nanoseconds of the last answer
}

// free reports whether the connection may take one more request, as far as the
// pool knows.
func (c *conn) free() bool { return !c.retired && (c.primed || c.used == 0) }

// dialer makes connections to one address.
type dialer struct {
	transport *http.Transport
	address   string // host:port
	timeout   time.Duration
}

func newDialer(address string, roots *x509.CertPool, timeout time.Duration) *dialer {
	var protocols http.Protocols
	protocols.SetHTTP2(true)
	d := &net.Dialer{Timeout: timeout, KeepAlive: 15 * time.Second}
	return &dialer{address: address, timeout: timeout, transport: &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            d.DialContext,
		TLSHandshakeTimeout:    timeout,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		Protocols:              &protocols,
		DisableCompression:     true,
		MaxResponseHeaderBytes: 32 << 10,
		HTTP2: &http.HTTP2Config{
			// A connection that died silently is found in seconds, not in the system's minutes.
			SendPingTimeout: 5 * time.Second,
			PingTimeout:     2 * time.Second,
		},
	}}
}

func (d *dialer) dial(ctx context.Context) (*http.ClientConn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	return d.transport.NewClientConn(ctx, "https", d.address)
}

// streamError has the form of the HTTP/2 error of a stream, which net/http lets
// errors.As fill in.
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

func (e streamError) Error() string { return "stream error" }

// refusedStream is the HTTP/2 code of a stream that was not processed (RFC 9113,
// section 8.7).
const refusedStream = 0x7

// unprocessed reports whether a request failed without having been read by the
// server: refused as over the limit of streams, or after the last stream that
// a GOAWAY named. It may be sent again without being received twice.
func unprocessed(err error) bool {
	var stream streamError
	if errors.As(err, &stream) {
		return stream.Code == refusedStream
	}
	return goneAway(err)
}

// goneAway reports whether a request was not read because the connection takes
// no more. net/http exports no value for these two; the case GOAWAY of
// TestCases holds the texts true.
func goneAway(err error) bool {
	text := err.Error()
	return strings.Contains(text, "graceful shutdown GOAWAY") || strings.Contains(text, "client conn not usable")
}
