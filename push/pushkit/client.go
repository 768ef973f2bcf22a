package pushkit

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/push"
)

// DefaultBaseURL is the one host that Huawei names (Push Kit REST v3).
const DefaultBaseURL = "https://push-api.cloud.huawei.com"

// Config makes a [Client]. A zero field takes its default.
type Config struct {
	KeyFile []byte // the service account's JSON key file
	BaseURL string // scheme and host; default [DefaultBaseURL]

	Timeout     time.Duration  // time limit of one Send, connecting included; default 3 s
	DialTimeout time.Duration  // of one connection and of its TLS handshake; default 2 s
	MaxConns    int            // connections to the vendor at most; default 64 over https, 256 over http. Over HTTP/1.1 it bounds the sends in flight
	RootCAs     *x509.CertPool // default the system's
	RenewEvery  time.Duration  // least time between renewals of a JWT that never worked; default 30 s

	Now    func() time.Time // default time.Now
	Logger *slog.Logger     // gets a line for each refused authorization; default none
}

// Client sends to one project. It is a [push.Sender].
type Client struct {
	key     KeyFile
	url     *url.URL // of messages:send
	revoke  *url.URL // of messages:revoke; nil without the app's client id
	timeout time.Duration
	signer  *signer
	http    *http.Client
	log     *slog.Logger
}

var _ push.Sender = (*Client)(nil)

// New checks the configuration and signs the first JWT; it makes no connection.
// All problems are reported at once; those of the key file as a [*KeyFileError].
func New(c Config) (*Client, error) {
	key, keyErr := ParseKeyFile(c.KeyFile)
	base, baseErr := parseBase(c.BaseURL)
	if err := errors.Join(keyErr, baseErr); err != nil {
		return nil, err
	}
	setDefault(&c.Timeout, 3*time.Second)
	setDefault(&c.DialTimeout, 2*time.Second)
	setDefault(&c.MaxConns, defaultMaxConns(base.Scheme))
	setDefault(&c.RenewEvery, 30*time.Second)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	s := &signer{key: key, now: c.Now, renewEvery: c.RenewEvery}
	if _, err := s.bearer(); err != nil {
		return nil, err
	}
	client := &Client{
		key:     key,
		url:     base.JoinPath("v3", key.ProjectID, "messages:send"),
		timeout: c.Timeout,
		signer:  s,
		log:     c.Logger,
		http: &http.Client{
			Transport:     newTransport(c),
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	if key.ClientID != "" {
		client.revoke = base.JoinPath("v1", key.ClientID, "messages:revoke")
	}
	return client, nil
}

// defaultMaxConns is a compromise between two protocols. Over HTTP/1.1 a
// connection carries one send at a time, so the number bounds the sends in
// flight. Over HTTP/2 a few connections carry everything, but a burst that
// finds none open dials as many as allowed before the first one is shared, and
// each costs a TLS handshake.
func defaultMaxConns(scheme string) int {
	if scheme == "http" {
		return 256
	}
	return 64
}

func setDefault[T int | time.Duration](v *T, def T) {
	if *v <= 0 {
		*v = def
	}
}

func parseBase(text string) (*url.URL, error) {
	if text == "" {
		text = DefaultBaseURL
	}
	u, err := url.Parse(strings.TrimRight(text, "/"))
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("the base URL of Push Kit must be https://host[:port], such as %s", DefaultBaseURL)
	}
	return u, nil
}

// URL is where wakes and notices go.
func (c *Client) URL() string { return c.url.String() }

// Serves implements [push.Sender]: to revoke a notification, the key file must
// contain the app's client id.
func (c *Client) Serves(p call.Purpose) bool { return p != call.PurposeRevoke || c.revoke != nil }

// build is Build for what this client serves, and where the request goes.
func (c *Client) build(m push.Message, token string) (Request, *url.URL, error) {
	if !c.Serves(m.Purpose) {
		return Request{}, nil, ErrNoClientID
	}
	request, err := build(m, token)
	if m.Purpose == call.PurposeRevoke {
		return request, c.revoke, err
	}
	return request, c.url, err
}

// KeyFile is the service account of the client.
func (c *Client) KeyFile() KeyFile { return c.key }

// Close closes the connections that are not in use.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Send implements [push.Sender] with one request. After an answer that refuses
// the authorization it has already renewed it when it returns RetryOnce; it
// returns RetryNever where the renewed one was refused as well.
func (c *Client) Send(ctx context.Context, m push.Message) push.Answer {
	request, to, err := c.build(m, m.Token)
	if err != nil {
		a := refusedUs
		a.Code, a.Message = push.NotSent, "not sent: "+err.Error()
		return a
	}
	b, err := c.signer.bearer()
	if err != nil {
		a := badCredential
		a.Code, a.Message = push.NotSent, "not sent: the authorization could not be signed"
		return a
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	a := c.post(ctx, to, request, b, m)
	switch {
	case a.Status == 0:
	case a.Retry == push.RetryOnce:
		c.renew(&a, b)
	case a.Code != "":
		b.answered.Store(true)
	}
	return a
}

// Preview implements [push.Previewer].
func (c *Client) Preview(m push.Message) (push.Request, error) {
	request, to, err := c.build(m, push.Mask)
	if err != nil {
		return push.Request{}, err
	}
	header(request, "Bearer "+push.Mask)
	return push.Request{Method: http.MethodPost, URL: to.String(), Header: request.Header, Body: request.Body}, nil
}

// header adds what every request of a client has.
func header(request Request, authorization string) {
	request.Header.Set("Authorization", authorization)
	request.Header.Set("User-Agent", "relay")
}

// renew handles a refused authorization.
func (c *Client) renew(a *push.Answer, refused *bearer) {
	if !c.signer.renew(refused) {
		a.Retry = push.RetryNever
	}
	c.log.Warn("push kit refused the authorization", "project_id", c.key.ProjectID, "key_id", c.key.KeyID,
		"status", a.Status, "code", a.Code, "vendor_request_id", a.RequestID, "renewed", a.Retry == push.RetryOnce)
}

// post makes the one request and reads its answer.
func (c *Client) post(ctx context.Context, to *url.URL, request Request, b *bearer, m push.Message) push.Answer {
	var at atomic.Int32
	r, err := http.NewRequestWithContext(traced(ctx, &at), http.MethodPost, to.String(), bytes.NewReader(request.Body))
	if err != nil {
		return noAnswer(err, connecting)
	}
	header(request, b.header)
	r.Header = request.Header
	response, err := c.http.Do(r)
	if err != nil {
		return noAnswer(err, stage(at.Load()))
	}
	defer func() { _ = response.Body.Close() }() // nothing to be done about it
	// Reading to the end is what lets the connection be used again.
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		a := byStatus(response.StatusCode).Answer
		a.Status = response.StatusCode
		a.Message = "the answer was cut off: " + push.DescribeFailure(err)
		return a
	}
	return ParseAnswer(response.StatusCode, text, m.Token, m.Payload.Token, strings.TrimPrefix(b.header, "Bearer "))
}
