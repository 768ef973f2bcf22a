package apns

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/sideshow/apns2"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/push"
)

// Config makes a [Client]. A zero field takes its default.
type Config struct {
	Credential []byte        // as [Credential.Marshal] wrote it
	Pools      *Pools        // the process's connections
	Timeout    time.Duration // time limit of one Send, connecting included; default 3 s
	Logger     *slog.Logger  // gets a line for each refused authorization; default none
}

// Client sends with one app's key to both environments. It is a [push.Sender].
type Client struct {
	key     Key
	pools   *Pools
	signer  *signer
	clients map[string]*apns2.Client // by environment
	timeout time.Duration
	log     *slog.Logger
	closing sync.Once
}

var _ push.Sender = (*Client)(nil)

// New checks the credential; it makes no connection. Its error is a
// [*CredentialError].
func New(c Config) (*Client, error) {
	key, err := ParseCredential(c.Credential)
	if err != nil {
		return nil, err
	}
	setDefault(&c.Timeout, 3*time.Second)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	client := &Client{key: key, pools: c.Pools, signer: c.Pools.signer(key), clients: map[string]*apns2.Client{}, timeout: c.Timeout, log: c.Logger}
	for _, environment := range []string{Production, Sandbox} {
		client.clients[environment] = &apns2.Client{
			Host: c.Pools.URL(environment),
			HTTPClient: &http.Client{
				Transport:     transport{c.Pools.of(environment, key)},
				CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			},
		}
	}
	return client, nil
}

// Close releases the client's connections after its credential was replaced.
// Requests under way end normally.
func (c *Client) Close() error {
	c.closing.Do(func() {
		for environment := range c.clients {
			c.pools.release(environment, c.key)
		}
	})
	return nil
}

// Serves implements [push.Sender]: APNs cannot revoke a notification.
func (c *Client) Serves(p call.Purpose) bool { return p != call.PurposeRevoke }

// Key is the key that the client signs with.
func (c *Client) Key() Key { return c.key }

// Send implements [push.Sender] with one request. After an answer that called
// the provider token expired it has already renewed it when it returns
// RetryOnce; it returns RetryNever where that cannot help.
func (c *Client) Send(ctx context.Context, m push.Message) push.Answer {
	request, err := Build(m, c.key.BundleID)
	if err != nil {
		return unsent(err)
	}
	b, err := c.signer.bearer()
	if err != nil {
		a := badCredential
		a.Code, a.Message = push.NotSent, "not sent: the provider token could not be signed"
		return a
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	x := &exchange{authorization: b.header, expiration: request.Expiration}
	// apns2's parsed answer is not used: it loses the status of an answer that
	// is not JSON, and the milliseconds of a timestamp.
	_, err = c.clients[m.Environment].PushWithContext(context.WithValue(ctx, exchangeKey{}, x), &request.Notification)
	if x.status == 0 {
		return noAnswer(err, x.sent)
	}
	a := ParseAnswer(x.status, x.id, x.body, m.Token, m.Payload.Token, b.header)
	if a.Outcome == push.Unauthenticated {
		c.refused(&a, b)
	}
	return a
}

// Preview implements [push.Previewer].
func (c *Client) Preview(m push.Message) (push.Request, error) {
	request, err := Build(m, c.key.BundleID)
	if err != nil {
		return push.Request{}, err
	}
	h := request.Header()
	h.Set("Content-Type", "application/json; charset=utf-8") // by apns2
	h.Set("Authorization", "bearer "+push.Mask)
	h.Set("User-Agent", userAgent)
	return push.Request{Method: http.MethodPost, URL: c.pools.URL(m.Environment) + "/3/device/" + push.Mask, Header: h, Body: request.Body()}, nil
}

// unsent is the verdict on a message that cannot be put into APNs's form.
func unsent(err error) push.Answer {
	a := byReason[push.NotSent].Answer
	if errors.Is(err, ErrToken) {
		a = tokenMisplaced
		a.Code = push.NotSent
	}
	a.Message = "not sent: " + err.Error()
	return a
}

// noAnswer is the verdict on a request without an answer.
func noAnswer(err error, sent bool) push.Answer {
	var wait *waitError
	if !sent && errors.As(err, &wait) {
		a := unreachable
		a.Message = "not sent: " + wait.plain()
		return a
	}
	a := unavailable
	a.Message = "no answer: " + push.DescribeFailure(err)
	return a
}

// plain says, without addresses, why a request found no connection.
func (e *waitError) plain() string {
	if e.dial != nil {
		return "no connection: " + push.DescribeFailure(e.dial)
	}
	return "no room on a connection: " + push.DescribeFailure(e.cause)
}

// refused handles a refused authorization.
func (c *Client) refused(a *push.Answer, b *bearer) {
	if a.Code == apns2.ReasonExpiredProviderToken && !c.signer.renew(b) {
		a.Retry = push.RetryNever
	}
	c.log.Warn("APNs refused the authorization", "team_id", c.key.TeamID, "key_id", c.key.KeyID,
		"status", a.Status, "code", a.Code, "vendor_request_id", a.RequestID, "retry", a.Retry)
}
