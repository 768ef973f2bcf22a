package devicesim

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Script is what the person with the phone does. The zero value only rings.
type Script struct {
	ConfirmAfter time.Duration // from the wake to the confirm
	AnswerAfter  time.Duration // from the ringing report to the answer or the reject
	HangUpAfter  time.Duration // from active to the hang-up; negative: never hangs up
	Answer       bool
	Reject       bool   // wins over Answer
	Media        string // of the answer: "voice" or "video"; "" is the call's own
}

// Config describes one app on one phone.
type Config struct {
	RelayURL   string // base URL of relay
	PushKitURL string // base URL of the Push Kit simulator

	DeviceToken  string         // the device JWT that registers the device
	DeviceID     string         // for the log
	UserID       string         // wakes for another callee are ignored; "" takes any
	Registration map[string]any // body of PUT /v1/device
	PushKitToken string         // "" = no pushes reach this device

	Script  Script
	OnEvent func(Call)       // told after each change of a call; must not block; may be called at once for several calls
	Now     func() time.Time // nil: time.Now
	Logger  *slog.Logger     // nil discards

	HTTPClient *http.Client  // nil: http.DefaultClient
	Timeout    time.Duration // of one HTTP request; default 5 s
	RetryPause time.Duration // before the first repeat, doubling; default 200 ms
	PollEvery  time.Duration // how often a live call is looked up; default 1 s
	LongPoll   time.Duration // of one wait for deliveries, in whole seconds; default 25 s
}

// Status is what became of one wake on the device.
type Status string

const (
	StatusWoken     Status = "woken"     // the message arrived
	StatusRinging   Status = "ringing"   // shown, and relay knows
	StatusAnswered  Status = "answered"  // this device won the call
	StatusActive    Status = "active"    // media flow
	StatusIgnored   Status = "ignored"   // expired, unreadable or for another user
	StatusDuplicate Status = "duplicate" // its leg rang already
	StatusRefused   Status = "refused"   // Call Service Kit would not show it
	StatusStopped   Status = "stopped"   // relay said that it is over
	StatusMissed    Status = "missed"    // the ring ran out
	StatusRejected  Status = "rejected"  // the script rejected it
	StatusCompleted Status = "completed" // the script hung up
	StatusFailed    Status = "failed"    // relay could not be reached, or the app was stopped
)

// Call is one delivered VoIP message and what became of it.
type Call struct {
	ID           string // relay's call
	LegID        string
	VendorCallID string // Push Kit's callId
	Media        string // of the call
	Verdict      string // of the confirm; "" before
	Reason       string // why it does not ring, or no longer: relay's word, an error code, Call Service Kit's answer
	Status       Status
}

const keptCalls = 1000 // newest calls that Calls knows

// Device is one simulated app. Make one with [New]; it is safe for concurrent use.
type Device struct {
	cfg Config
	log *slog.Logger

	mu    sync.Mutex
	after int64 // cursor of the deliveries
	calls []*Call
	legs  map[string]*leg // those with a wake under way
	old   map[string]bool // callIds that an earlier app on this phone has dealt with
}

// New makes a device; it does nothing until [Device.Register] or [Device.Run].
func New(c Config) *Device {
	c.RelayURL, c.PushKitURL = strings.TrimRight(c.RelayURL, "/"), strings.TrimRight(c.PushKitURL, "/")
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	c.HTTPClient = cmp.Or(c.HTTPClient, http.DefaultClient)
	c.Timeout = cmp.Or(c.Timeout, 5*time.Second)
	c.RetryPause = cmp.Or(c.RetryPause, 200*time.Millisecond)
	c.PollEvery = cmp.Or(c.PollEvery, time.Second)
	c.LongPoll = cmp.Or(c.LongPoll, 25*time.Second)
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Device{cfg: c, log: c.Logger.With("device_id", c.DeviceID), legs: map[string]*leg{}}
}

// Register sends the registration and returns relay's answer. A refusal is a
// [*Refusal].
func (d *Device) Register(ctx context.Context) (answer json.RawMessage, err error) {
	err = d.exchange(ctx, request{"PUT", d.cfg.RelayURL + "/v1/device", d.cfg.DeviceToken, d.cfg.Registration}, &answer)
	if err != nil {
		return nil, fmt.Errorf("devicesim: register: %w", err)
	}
	return answer, nil
}

// Run registers and then takes wakes, several at once, until ctx ends; it
// returns after the last call is put down. It returns nil then, and an error
// only when the registration failed. A later Run goes on where this one
// stopped.
func (d *Device) Run(ctx context.Context) error {
	if _, err := d.Register(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	if d.cfg.PushKitToken == "" {
		<-ctx.Done()
		return nil
	}
	var wakes sync.WaitGroup
	defer wakes.Wait()
	for {
		found, err := d.deliveries(ctx)
		if err != nil {
			if ctx.Err() == nil {
				d.log.WarnContext(ctx, "deliveries", "error", err)
			}
			if !pause(ctx, d.cfg.RetryPause) {
				return nil
			}
			continue
		}
		for _, m := range found {
			if m.Type == "VoIP" {
				wakes.Go(func() { d.wake(ctx, m.Data) })
			}
		}
	}
}

type delivery struct {
	Type string `json:"type"`
	Data string `json:"data"`
}

func (d *Device) deliveries(ctx context.Context) ([]delivery, error) {
	if err := d.lookBack(ctx); err != nil {
		return nil, err
	}
	d.mu.Lock()
	after := d.after
	d.mu.Unlock()
	var page struct {
		Deliveries []delivery `json:"deliveries"`
		After      int64      `json:"after"`
	}
	url := fmt.Sprintf("%s/sim/deliveries?token=%s&after=%d&wait=%d",
		d.cfg.PushKitURL, url.QueryEscape(d.cfg.PushKitToken), after, max(1, int(d.cfg.LongPoll.Seconds())))
	if err := d.once(ctx, request{method: "GET", url: url}, nil, d.cfg.LongPoll+d.cfg.Timeout, &page); err != nil {
		return nil, err
	}
	d.mu.Lock()
	d.after = max(d.after, page.After)
	d.mu.Unlock()
	return page.Deliveries, nil
}

// lookBack learns once what the phone was told before this app started: the
// simulator hands out old deliveries again, and Push Kit does not.
func (d *Device) lookBack(ctx context.Context) error {
	d.mu.Lock()
	done := d.old != nil
	d.mu.Unlock()
	if done {
		return nil
	}
	var phone struct {
		Calls []struct {
			CallID string `json:"call_id"`
			Status string `json:"status"`
		} `json:"calls"`
	}
	if err := d.exchange(ctx, request{method: "GET", url: d.phoneURL("")}, &phone); err != nil {
		return err
	}
	old := map[string]bool{}
	for _, c := range phone.Calls {
		if c.Status != "delivered" {
			old[c.CallID] = true
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.old = old
	return nil
}

// Calls returns the newest wakes of this device, at most 1000, oldest first.
func (d *Device) Calls() []Call {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := make([]Call, len(d.calls))
	for i, c := range d.calls {
		out[i] = *c
	}
	return out
}

func (d *Device) keep(c *Call) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.calls) == keptCalls {
		d.calls = append(d.calls[:0], d.calls[1:]...)
	}
	d.calls = append(d.calls, c)
}

// set notes a change of a call and tells it. A reason of "" keeps the last one.
func (d *Device) set(c *Call, status Status, reason string) {
	d.mu.Lock()
	c.Status, c.Reason = status, cmp.Or(reason, c.Reason)
	now := *c
	d.mu.Unlock()
	d.log.Info("call", "call_id", now.ID, "leg_id", now.LegID, "status", string(now.Status), "reason", now.Reason)
	if d.cfg.OnEvent != nil {
		d.cfg.OnEvent(now)
	}
}

// fail notes a call that an error ended: a refusal by relay stops it.
func (d *Device) fail(c *Call, err error) {
	if no := final(err); no != nil {
		d.set(c, StatusStopped, cmp.Or(no.Code, no.Error()))
		return
	}
	d.set(c, StatusFailed, err.Error())
}
