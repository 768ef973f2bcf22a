package devicesim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	repeats       = 3               // after the first request
	maxRetryAfter = 5 * time.Second // what a Retry-After may ask for
	maxAnswer     = 1 << 20         // bytes
)

// Refusal is an answer with an error status.
type Refusal struct {
	Status     int
	Code       string // of the problem document; "" where there is none
	Detail     string
	retryAfter time.Duration
}

func (e *Refusal) Error() string {
	return strings.TrimSpace(fmt.Sprintf("status %d %s %s", e.Status, e.Code, e.Detail))
}

// final is the refusal in an error; nil where a repeat may succeed.
func final(err error) *Refusal {
	var no *Refusal
	if !errors.As(err, &no) || no.Status >= 500 || no.Status == http.StatusTooManyRequests {
		return nil
	}
	return no
}

type request struct {
	method, url, bearer string
	body                any
}

// exchange sends a request and decodes its answer. A temporary failure (no
// answer, 429, 5xx) is repeated with the same bytes.
func (d *Device) exchange(ctx context.Context, r request, answer any) error {
	var body []byte
	if r.body != nil {
		var err error
		if body, err = json.Marshal(r.body); err != nil {
			return err
		}
	}
	wait := d.cfg.RetryPause
	for n := 0; ; n++ {
		err := d.once(ctx, r, body, d.cfg.Timeout, answer)
		if err == nil || n == repeats || final(err) != nil {
			return err
		}
		rest := wait
		if no := (*Refusal)(nil); errors.As(err, &no) {
			rest = max(rest, no.retryAfter)
		}
		if !pause(ctx, rest) {
			return err
		}
		wait *= 2
	}
}

func (d *Device) once(ctx context.Context, r request, body []byte, timeout time.Duration, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, r.method, r.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.bearer != "" {
		req.Header.Set("Authorization", "Bearer "+r.bearer)
	}
	resp, err := d.cfg.HTTPClient.Do(req)
	if err != nil {
		if own := (*url.Error)(nil); errors.As(err, &own) {
			err = own.Err // without the URL, which may hold a push token
		}
		return fmt.Errorf("%s: %w", r.method, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	if resp.StatusCode >= 300 {
		return refusal(resp, text)
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return fmt.Errorf("the answer: %w", err)
	}
	return nil
}

func refusal(resp *http.Response, text []byte) *Refusal {
	no := &Refusal{Status: resp.StatusCode}
	var problem struct{ Code, Detail string }
	if json.Unmarshal(text, &problem) == nil { // else some proxy's page
		no.Code, no.Detail = problem.Code, problem.Detail
	}
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
		no.retryAfter = min(time.Duration(s)*time.Second, maxRetryAfter)
	}
	return no
}

// pause waits d, and reports false when ctx ended before.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
