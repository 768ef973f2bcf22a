package pushkitsim

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Results of a receipt that the simulator gives by itself (Push Kit, message
// receipts).
const (
	resultReached     = 0
	resultUninstalled = 2
	resultOverwritten = 15
)

// reachesApp tells a result after which the message is with the app; 27 is a
// background message cached, 31 a missing target page, 191 a failed badge.
func reachesApp(result int) bool { return slices.Contains([]int{0, 27, 31, 191}, result) }

const (
	maxReceiptBatch   = 100 // Push Kit, message receipts
	maxReceiptQueue   = 100_000
	keptPosts         = 100
	receiptTimeout    = 5 * time.Second
	callbackIDHeader  = "X-HUAWEI-CALLBACK-ID"
	maxReceiptDelayMS = 600_000
)

// How the secret becomes the key of the signature.
const (
	KeyBase64 = "base64" // Base64-decoded: configurations made today
	KeyRaw    = "raw"    // its UTF-8 bytes: older ones
)

// ReceiptConfig says where receipts go. They are off without a URL. Widget
// refreshes (push-type 1), whose receipts have another shape, give none. A
// receipt that the receiver does not take is not sent again: Huawei documents no
// such rule.
type ReceiptConfig struct {
	URL string `json:"url"` // http or https, a loopback address or localhost
	// User and Secret sign the callback; without both the header is left out.
	User    string `json:"user,omitempty"`
	Secret  string `json:"secret,omitempty"`
	KeyMode string `json:"key_mode,omitempty"` // base64 (default) or raw
	DelayMS int    `json:"delay_ms,omitempty"` // real time from the result to its callback
	Batch   int    `json:"batch,omitempty"`    // most receipts in one callback, 1..100; default 100
	// Duplicate posts each callback twice; Reorder posts the newest of what is
	// due first.
	Duplicate bool `json:"duplicate,omitempty"`
	Reorder   bool `json:"reorder,omitempty"`
}

// receipt is one entry of a callback.
type receipt struct {
	BiTag          string         `json:"biTag"`
	PushType       int            `json:"pushType"`
	AppPackageName string         `json:"appPackageName"`
	Token          string         `json:"token"`
	RequestID      string         `json:"requestId"`
	DeliveryStatus deliveryStatus `json:"deliveryStatus"`

	due time.Time
}

type deliveryStatus struct {
	Result    int   `json:"result"`
	Timestamp int64 `json:"timestamp"` // Unix ms
}

func (p *push) receipt(result int, now time.Time) receipt {
	return receipt{BiTag: p.biTag, PushType: p.pushType, AppPackageName: p.pkg, Token: p.token, RequestID: p.requestID,
		DeliveryStatus: deliveryStatus{Result: result, Timestamp: now.UnixMilli()}}
}

// ReceiptPost is one callback that was made.
type ReceiptPost struct {
	AtMS   int64  `json:"at_ms"`
	Count  int    `json:"count"`
	Status int    `json:"status"`          // HTTP status; 0 without an answer
	Error  string `json:"error,omitempty"` // why it counts as failed
}

// ReceiptStats counts receipts, not callbacks, except Posts: the last callbacks,
// oldest first.
type ReceiptStats struct {
	URL     string        `json:"url"`
	Pending int           `json:"pending"`
	Sent    int           `json:"sent"`
	Failed  int           `json:"failed"`
	Dropped int           `json:"dropped"` // the queue was full
	Posts   []ReceiptPost `json:"posts"`
}

type receipts struct {
	mu     sync.Mutex
	config *ReceiptConfig
	queue  []receipt
	stats  ReceiptStats
	wake   chan struct{}
	cancel context.CancelFunc
	done   chan struct{}
	client *http.Client
}

func (r *receipts) init() {
	r.wake = make(chan struct{}, 1)
	dialer := &net.Dialer{Timeout: receiptTimeout, Control: loopbackOnly}
	r.client = &http.Client{
		Timeout:       receiptTimeout,
		Transport:     &http.Transport{DialContext: dialer.DialContext, MaxIdleConnsPerHost: 2, IdleConnTimeout: 30 * time.Second},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// loopbackOnly refuses every other address, whatever a name resolves to.
func loopbackOnly(_, address string, _ syscall.RawConn) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil || !isLoopbackHost(host) {
		return fmt.Errorf("%s is not a loopback address", address)
	}
	return nil
}

func (c *ReceiptConfig) check() error {
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return errors.New("url is not an http or https address")
	}
	if !isLoopbackHost(u.Hostname()) {
		return errors.New("url is not on a loopback address")
	}
	if c.Batch == 0 {
		c.Batch = maxReceiptBatch
	}
	if c.Batch < 1 || c.Batch > maxReceiptBatch {
		return fmt.Errorf("batch is not within 1 and %d", maxReceiptBatch)
	}
	if c.DelayMS < 0 || c.DelayMS > maxReceiptDelayMS {
		return fmt.Errorf("delay_ms is not within 0 and %d", maxReceiptDelayMS)
	}
	_, err = c.signingKey()
	return err
}

func (c *ReceiptConfig) signingKey() ([]byte, error) {
	switch c.KeyMode {
	case "", KeyBase64:
		key, err := base64.StdEncoding.DecodeString(c.Secret)
		if err != nil {
			return nil, errors.New("secret is not base64; key_mode raw takes its bytes as they are")
		}
		return key, nil
	case KeyRaw:
		return []byte(c.Secret), nil
	}
	return nil, fmt.Errorf("key_mode is not %s or %s", KeyBase64, KeyRaw)
}

// SetReceipts sends receipts from now on as c says. The zero ReceiptConfig
// switches them off and drops those that wait.
func (s *Sim) SetReceipts(c ReceiptConfig) error {
	r := &s.receipts
	if c.URL == "" {
		if c != (ReceiptConfig{}) {
			return errors.New("url is missing")
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.config, r.queue = nil, nil
		return nil
	}
	if err := c.check(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.closed() {
		return errors.New("the simulator is closed")
	}
	r.config = &c
	if r.done == nil {
		ctx, cancel := context.WithCancel(context.Background())
		r.cancel, r.done = cancel, make(chan struct{})
		go r.run(ctx, s.now)
	}
	return nil
}

// ReceiptStats tells what became of the receipts so far.
func (s *Sim) ReceiptStats() ReceiptStats {
	r := &s.receipts
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.stats
	out.Pending, out.Posts = len(r.queue), append([]ReceiptPost{}, r.stats.Posts...)
	if r.config != nil {
		out.URL = r.config.URL
	}
	return out
}

func (r *receipts) enqueue(list []receipt) {
	if len(list) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.config == nil {
		return
	}
	due := time.Now().Add(time.Duration(r.config.DelayMS) * time.Millisecond)
	for _, v := range list {
		if v.PushType == pushForm {
			continue
		}
		if len(r.queue) >= maxReceiptQueue {
			r.stats.Dropped++
			continue
		}
		v.due = due
		r.queue = append(r.queue, v)
	}
	select {
	case r.wake <- struct{}{}:
	default: // it was told already
	}
}
