package pushkit

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
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
	a.Message = "no answer: " + push.DescribeFailure(err) + " " + at.String()
	return a
}
