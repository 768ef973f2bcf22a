package pushkit

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/pushwake/relay/push"
)

// maxAnswer bounds what is read of an answer; real ones have some hundred bytes.
const maxAnswer = 64 << 10

// newTransport makes the connections of one client: HTTP/2 where the vendor
// offers it over TLS, else HTTP/1.1 with keep-alive.
func newTransport(c Config) *http.Transport {
	dialer := &net.Dialer{Timeout: c.DialTimeout, KeepAlive: 15 * time.Second}
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dialer.DialContext,
		TLSHandshakeTimeout:    c.DialTimeout,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.RootCAs},
		ForceAttemptHTTP2:      true,
		MaxConnsPerHost:        c.MaxConns,
		MaxIdleConns:           c.MaxConns,
		MaxIdleConnsPerHost:    c.MaxConns,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 32 << 10,
		DisableCompression:     true, // answers are too small to gain by it
		HTTP2: &http.HTTP2Config{
			// A connection that died silently is found within one request's time, not the system's minutes.
			SendPingTimeout: 5 * time.Second,
			PingTimeout:     2 * time.Second,
		},
	}
}

// stage is how far a request came; it tells a message that was surely not sent
// from one that may have been.
type stage int32

const (
	connecting stage = iota
	sending
	waiting
)

func (s stage) String() string {
	return [...]string{"while connecting", "while sending the request", "while waiting for the answer"}[s]
}

// traced returns a context under which an HTTP request notes its stage.
func traced(ctx context.Context, at *atomic.Int32) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { at.Store(int32(sending)) },
		WroteRequest: func(info httptrace.WroteRequestInfo) {
			if info.Err == nil {
				at.Store(int32(waiting))
			}
		},
	})
}

// noAnswer is the verdict on a request without an answer. Errors of the network
// name addresses, so the message has words of our own.
func noAnswer(err error, at stage) push.Answer {
	a := unavailable
	a.Message = "no answer: " + describe(err) + " " + at.String()
	return a
}

func describe(err error) string {
	var (
		dns     *net.DNSError
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		invalid x509.CertificateInvalidError
		verify  *tls.CertificateVerificationError
		record  tls.RecordHeaderError
		timeout interface{ Timeout() bool }
	)
	switch {
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.As(err, &dns):
		return "the host's name was not resolved"
	case errors.As(err, &unknown), errors.As(err, &name), errors.As(err, &invalid), errors.As(err, &verify):
		return "the server's certificate is not trusted"
	case errors.As(err, &record):
		return "the server does not speak TLS"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "connection reset"
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return "the host cannot be reached"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "connection closed"
	}
	return "connection failed"
}
