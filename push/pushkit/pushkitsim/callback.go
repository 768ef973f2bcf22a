package pushkitsim

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// run posts what is due until ctx ends.
func (r *receipts) run(ctx context.Context, now func() time.Time) {
	defer close(r.done)
	for {
		batch, config, wait := r.next()
		if len(batch) > 0 {
			r.post(ctx, config, batch, now)
			if config.Duplicate {
				r.post(ctx, config, batch, now)
			}
			continue
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-r.wake:
		case <-t.C:
		}
		t.Stop()
	}
}

// next takes one batch of due receipts, or tells how long to wait.
func (r *receipts) next() (batch []receipt, config ReceiptConfig, wait time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.config == nil || len(r.queue) == 0 {
		return nil, ReceiptConfig{}, time.Hour
	}
	now := time.Now()
	due := slices.IndexFunc(r.queue, func(v receipt) bool { return v.due.After(now) })
	if due == 0 {
		return nil, ReceiptConfig{}, r.queue[0].due.Sub(now)
	}
	if due < 0 {
		due = len(r.queue)
	}
	from, to := 0, min(due, r.config.Batch)
	if r.config.Reorder {
		from, to = max(due-r.config.Batch, 0), due
	}
	batch = slices.Clone(r.queue[from:to])
	if r.config.Reorder {
		slices.Reverse(batch)
	}
	r.queue = slices.Delete(r.queue, from, to)
	return batch, *r.config, 0
}

func (r *receipts) post(ctx context.Context, config ReceiptConfig, batch []receipt, now func() time.Time) {
	at := now()
	status, err := r.send(ctx, config, batch, at)
	p := ReceiptPost{AtMS: at.UnixMilli(), Count: len(batch), Status: status}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		p.Error = err.Error()
		r.stats.Failed += len(batch)
	} else {
		r.stats.Sent += len(batch)
	}
	r.stats.Posts = append(r.stats.Posts, p)
	if over := len(r.stats.Posts) - keptPosts; over > 0 {
		r.stats.Posts = slices.Delete(r.stats.Posts, 0, over)
	}
}

func (r *receipts) send(ctx context.Context, config ReceiptConfig, batch []receipt, at time.Time) (status int, err error) {
	body := compactJSON(struct {
		Statuses []receipt `json:"statuses"`
	}{batch})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, config.URL, bytes.NewReader([]byte(body)))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	if config.User != "" && config.Secret != "" {
		// The name is written as documented, not in Go's canonical form.
		id, err := callbackID(config, at, newUUID())
		if err != nil {
			return 0, err
		}
		req.Header[callbackIDHeader] = []string{id}
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return resp.StatusCode, err
	}
	var taken struct {
		Code string `json:"code"`
	}
	if resp.StatusCode != http.StatusOK {
		return resp.StatusCode, fmt.Errorf("the receiver answered HTTP %d", resp.StatusCode)
	}
	if json.Unmarshal(answer, &taken) != nil || taken.Code != "0" {
		return resp.StatusCode, errors.New(`the receiver did not answer {"code":"0"}`)
	}
	return resp.StatusCode, nil
}

// callbackID signs timestamp, nonce and user, plainly joined (Push Kit, message
// receipts). The body is not covered.
func callbackID(config ReceiptConfig, at time.Time, nonce string) (string, error) {
	key, err := config.signingKey()
	if err != nil {
		return "", err
	}
	timestamp := strconv.FormatInt(at.UnixMilli(), 10)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(timestamp + nonce + config.User))
	return fmt.Sprintf("timestamp=%s; nonce=%s; value=%s", timestamp, nonce, base64.StdEncoding.EncodeToString(mac.Sum(nil))), nil
}

// stop ends the worker and waits for it.
func (r *receipts) stop() {
	r.mu.Lock()
	cancel, done := r.cancel, r.done
	r.mu.Unlock()
	if done != nil {
		cancel()
		<-done
	}
	r.client.CloseIdleConnections()
}

// newUUID is a random UUID, version 4.
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // crypto/rand.Read never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
