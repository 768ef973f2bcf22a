package devicesim

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Script is what the user of the phone does. The zero value only rings.
type Script struct {
	ConfirmAfter time.Duration // from the wake to the confirm
	AnswerAfter  time.Duration // from the ringing report to the answer or the reject
	HangUpAfter  time.Duration // from active to the hang-up; negative: never hangs up
	TapAfter     time.Duration // from an alert to the tap that starts the app
	Tap          bool          // without it, an alert stays a notification
	Answer       bool
	Reject       bool   // wins over Answer
	Media        string // of the answer: "voice" or "video"; "" is the call's own
}

// Config describes one simulated app on one phone.
type Config struct {
	RelayURL   string // base URL of relay
	PushKitURL string // base URL of the Push Kit simulator
	APNsURL    string // base URL of the APNs simulator's control side, for an iPhone

	DeviceToken  string         // the device JWT that registers the device
	DeviceID     string         // for the log
	UserID       string         // wakes for another callee are ignored; "" takes any
	Registration map[string]any // body of PUT /v1/device
	// The tokens by which pushes reach the device. Without any, none does; such a
	// device shows its calls on the app's own page, since the simulators know
	// phones by their tokens.
	PushKitToken                  string
	APNsVoIPToken, APNsAlertToken string

	NoFeed  bool // the app keeps no connection to relay, as one that does not run until a push starts it
	Script  Script
	OnEvent func(Call)       // called after each change of a call; must not block; may be called concurrently for several calls
	Now     func() time.Time // nil: time.Now
	Logger  *slog.Logger     // nil discards

	HTTPClient *http.Client  // nil: http.DefaultClient; its Timeout would cut feeds
	Timeout    time.Duration // time limit of one HTTP request; default 5 s
	RetryPause time.Duration // pause before the first repeat, doubling; default 200 ms
	PollEvery  time.Duration // how often a live call is looked up while no feed is open; default 1 s
	Heartbeat  time.Duration // relay's interval on a feed, which is dead after 2.5 silent intervals; default 30 s
	YieldFor   time.Duration // pause after another app took the feed over, if no push comes; default 10 s
	LongPoll   time.Duration // length of one wait for deliveries, in whole seconds; default 25 s
}

// Status is the state of one wake on the device.
type Status string

const (
	StatusNotified  Status = "notified"  // an alert is shown; the app does not run
	StatusWoken     Status = "woken"     // the message arrived, or its alert was tapped
	StatusRinging   Status = "ringing"   // shown, and relay knows
	StatusAnswered  Status = "answered"  // this device won the call
	StatusActive    Status = "active"    // media flow
	StatusIgnored   Status = "ignored"   // expired, unreadable or for another user
	StatusDuplicate Status = "duplicate" // its leg rang already
	StatusRefused   Status = "refused"   // the system would not show it
	StatusStopped   Status = "stopped"   // relay said that it is over
	StatusMissed    Status = "missed"    // the ring ran out
	StatusRejected  Status = "rejected"  // the script rejected it
	StatusCompleted Status = "completed" // the script hung up
	StatusFailed    Status = "failed"    // relay could not be reached, or the app was stopped
)

// Call is one wake and its state.
type Call struct {
	ID           string // relay's call
	LegID        string
	VendorCallID string // Push Kit's callId; on iOS and over the feed the id that the app gave the call
	Source       string // "push" or "connection"
	Presentation string // as relay asked for it
	Media        string // of the call
	Verdict      string // of the confirm; "" before
	Reason       string // why it does not ring, or no longer: relay's reason, an error code, or the Call Service Kit's answer
	Status       Status
}

const keptCalls = 1000 // newest calls that Calls knows

// Device is one simulated app. Make one with [New]; it is safe for concurrent use.
type Device struct {
	cfg    Config
	system system
	log    *slog.Logger

	feed *feed

	mu    sync.Mutex
	calls []*Call
	legs  map[string]*leg // by id: those with a wake under way, and the newest that rang
	rang  []string        // ids of the latter, oldest first
}

// New makes a device; it does nothing until [Device.Register] or [Device.Run].
func New(c Config) *Device {
	for _, url := range []*string{&c.RelayURL, &c.PushKitURL, &c.APNsURL} {
		*url = strings.TrimRight(*url, "/")
	}
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	c.HTTPClient = cmp.Or(c.HTTPClient, http.DefaultClient)
	c.Timeout = cmp.Or(c.Timeout, 5*time.Second)
	c.RetryPause = cmp.Or(c.RetryPause, 200*time.Millisecond)
	c.PollEvery = cmp.Or(c.PollEvery, time.Second)
	c.Heartbeat = cmp.Or(c.Heartbeat, 30*time.Second)
	c.YieldFor = cmp.Or(c.YieldFor, 10*time.Second)
	c.LongPoll = cmp.Or(c.LongPoll, 25*time.Second)
	if c.Now == nil {
		c.Now = time.Now
	}
	d := &Device{cfg: c, log: c.Logger.With("device_id", c.DeviceID), feed: newFeed(), legs: map[string]*leg{}}
	d.system = &harmony{d: d}
	if c.APNsURL != "" {
		d.system = &ios{d: d}
	}
	return d
}

// Register sends the registration, with the calls that the app has, and returns
// relay's answer. A refusal is a [*Refusal].
func (d *Device) Register(ctx context.Context) (answer json.RawMessage, err error) {
	body := map[string]any{"live_calls": d.liveCalls()}
	maps.Copy(body, d.cfg.Registration)
	err = d.exchange(ctx, request{"PUT", d.cfg.RelayURL + "/v1/device", d.cfg.DeviceToken, body}, &answer)
	if err != nil {
		return nil, fmt.Errorf("devicesim: register: %w", err)
	}
	return answer, nil
}

// Run registers, opens the feed and takes wakes, several at once, until ctx
// ends; it returns after the last call is put down. It returns nil then, and an
// error only when the registration failed. A later Run is the app started
// again: it gets no push twice, and learns of all live calls from its feed.
func (d *Device) Run(ctx context.Context) error {
	if _, err := d.Register(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	d.mu.Lock()
	d.legs, d.rang = map[string]*leg{}, nil
	d.mu.Unlock()
	var under sync.WaitGroup
	defer under.Wait()
	if !d.cfg.NoFeed {
		under.Go(func() { d.follow(ctx, &under) })
	}
	if d.cfg.PushKitToken == "" && d.cfg.APNsVoIPToken == "" && d.cfg.APNsAlertToken == "" {
		<-ctx.Done()
		return nil
	}
	for {
		found, err := d.system.pushes(ctx)
		if err != nil {
			if ctx.Err() == nil {
				d.log.WarnContext(ctx, "deliveries", "error", err)
			}
			if !pause(ctx, d.cfg.RetryPause) {
				return nil
			}
			continue
		}
		for _, a := range found {
			under.Go(func() { d.pushed(ctx, a) })
		}
	}
}

// deliveries asks a simulator for the pushes that reached the tokens, and waits
// for new ones.
func (d *Device) deliveries(ctx context.Context, base string, tokens []string, after int64, page any) error {
	q := url.Values{"token": tokens, "after": {strconv.FormatInt(after, 10)}, "wait": {strconv.Itoa(max(1, int(d.cfg.LongPoll.Seconds())))}}
	return d.once(ctx, request{method: "GET", url: base + "/sim/deliveries?" + q.Encode()}, nil, d.cfg.LongPoll+d.cfg.Timeout, page)
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

// set notes a change of a call and calls the observer. A reason of "" keeps the
// last one.
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
