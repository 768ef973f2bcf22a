package apns

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"
)

// suspicious is how long a connection must have been silent, with a request
// waiting on it, before a timeout of that request counts against the
// connection.
const suspicious = time.Second

// refusalPause keeps relay from asking a server that refuses every stream in a
// tight loop.
const refusalPause = 5 * time.Millisecond

const userAgent = "relay"

// exchange carries what apns2's types cannot: what a request needs in addition
// to its Notification, and the unparsed answer.
type exchange struct {
	authorization string
	expiration    int64

	sent   bool // a connection was found, so the push may have been received
	status int
	id     string // the header apns-id
	body   []byte
}

type exchangeKey struct{}

// transport is the http.RoundTripper under apns2's client.
type transport struct{ pool *pool }

// RoundTrip sends one request on a connection of the pool and reads its answer
// to the end. A request that the server left unprocessed is sent again, within
// the request's context.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	x, ok := r.Context().Value(exchangeKey{}).(*exchange)
	if !ok {
		return nil, errors.New("a request of this transport needs its exchange")
	}
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", x.authorization)
	r.Header.Set("User-Agent", userAgent)
	r.Header.Set("Apns-Expiration", strconv.FormatInt(x.expiration, 10))
	for try := 1; ; try++ {
		response, err := t.once(r, x)
		if err == nil || !unprocessed(err) {
			return response, err
		}
		x.sent = false
		if !wait(r.Context(), time.Duration(try)*refusalPause) {
			return nil, &waitError{cause: r.Context().Err()}
		}
		if r.Body, err = r.GetBody(); err != nil {
			return nil, err
		}
	}
}

// once makes one request on one connection.
func (t transport) once(r *http.Request, x *exchange) (*http.Response, error) {
	c, err := t.pool.acquire(r.Context())
	if err != nil {
		return nil, err
	}
	x.sent = true
	began := time.Now()
	response, err := c.cc.RoundTrip(r)
	if err != nil {
		t.pool.release(c, false, !goneAway(err) && !c.silentSince(began, err))
		return nil, err
	}
	c.heard.Store(time.Now().UnixNano())
	x.status, x.id = response.StatusCode, response.Header.Get("Apns-Id")
	x.body, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	_ = response.Body.Close() // resets the stream of an answer that is too long
	a := ParseAnswer(x.status, x.id, x.body, "")
	t.pool.release(c, true, err == nil && !retires(a))
	response.Body = io.NopCloser(bytes.NewReader(x.body))
	return response, nil // with its status, the answer stands even if its body was cut off
}

// silentSince reports whether the connection brought no answer at all while a
// request waited until its deadline: then it is probably dead, although its
// pings have not yet said so.
func (c *conn) silentSince(began time.Time, err error) bool {
	return errors.Is(err, context.DeadlineExceeded) && time.Since(began) >= suspicious && c.heard.Load() < began.UnixNano()
}

func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
