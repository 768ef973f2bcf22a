package devicesim_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pushwake/relay/push/devicesim"
)

// carrierCall puts the phone into a carrier call.
func carrierCall(b *bench) {
	b.Helper()
	path := "/sim/devices/" + url.PathEscape(pushToken) + "/carrier-call"
	w := httptest.NewRecorder()
	b.sim.ServeHTTP(w, httptest.NewRequest("PUT", path, strings.NewReader(`{"active":true}`)))
	if w.Code != 200 {
		b.Fatalf("carrier call: %d %s", w.Code, w.Body)
	}
}

// TestCall is a call from its wake to its hang-up, request by request.
func TestCall(t *testing.T) {
	t.Parallel()
	b := start(t, devicesim.Script{Answer: true, Media: "voice"}, nil, nil)
	b.wake("l1", nil)
	c := b.until(devicesim.StatusCompleted)
	b.wantRequests(register, confirm, showCall, ringing,
		answerIt, reported(`"seq":2,"event":"answered","at":"T","media":"voice"`),
		"kit report-call-state-change 2", reported(`"seq":3,"event":"active","at":"T"`),
		ended, reported(`"seq":4,"event":"disconnected","at":"T"`))
	c.VendorCallID = ""
	want := devicesim.Call{ID: "c1", LegID: "l1", Source: "push", Presentation: "callkit", Media: "video", Verdict: "ring", Status: devicesim.StatusCompleted}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Error(diff)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, key := range []string{"register Bearer device-jwt", "confirm Bearer wake-l1", "ringing Bearer wake-l1", "disconnected Bearer wake-l1"} {
		if !b.auth[key] {
			t.Errorf("no request %q in %v", key, b.auth)
		}
	}
}

func TestReject(t *testing.T) {
	t.Parallel()
	b := start(t, devicesim.Script{Answer: true, Reject: true}, nil, nil)
	b.wake("l1", nil)
	b.until(devicesim.StatusRejected)
	b.wantRequests(register, confirm, showCall, ringing, ended, reported(`"seq":2,"event":"rejected","at":"T"`))
}

// TestNoRing holds the wakes that must not ring, and what Call Service Kit is told.
func TestNoRing(t *testing.T) {
	t.Parallel()
	failed := func(cause int) string { return fmt.Sprint("kit report-incoming-call-error ", cause) }
	for _, tc := range []struct {
		name   string
		edit   map[string]any
		answer answer
		status devicesim.Status
		reason string
		want   []string
	}{
		{"stop", nil, answer{200, `{"verdict":"stop","reason":"canceled","last_seq":0}`}, devicesim.StatusStopped, "canceled", []string{confirm, failed(0)}},
		{"region", nil, answer{403, `{"status":403,"code":"region_unknown"}`}, devicesim.StatusStopped, "region_unknown", []string{confirm, failed(0)}},
		{"relay away", nil, answer{502, `<html>`}, devicesim.StatusFailed, "status 502", []string{confirm, confirm, confirm, confirm, failed(2)}},
		{"no answer", nil, answer{-1, ""}, devicesim.StatusFailed, "POST: ", []string{confirm, confirm, confirm, confirm, failed(2)}},
		{"duplicate for relay", nil, answer{200, `{"verdict":"stop","reason":"duplicate","last_seq":7}`}, devicesim.StatusDuplicate, "route_busy",
			[]string{confirm, failed(1), reported(`"seq":8,"event":"not_reported","at":"T","vendor_call_id":"pk","failure_cause":"route_busy"`)}},
		{"expired", map[string]any{"expires_at": time.Now().Add(-time.Second).UnixMilli()}, answer{}, devicesim.StatusIgnored, "expired", []string{failed(0)}},
		{"other callee", map[string]any{"callee": "u3"}, answer{}, devicesim.StatusIgnored, "other_callee", []string{failed(0)}},
		{"unreadable", map[string]any{"call": 7}, answer{}, devicesim.StatusIgnored, "unreadable", []string{failed(0)}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b := start(t, devicesim.Script{Answer: true}, map[string][]answer{"confirm": {tc.answer}}, nil)
			b.wake("l1", tc.edit)
			if c := b.until(tc.status); !strings.HasPrefix(c.Reason, tc.reason) {
				t.Errorf("reason %q, want %q", c.Reason, tc.reason)
			}
			b.wantRequests(append([]string{register}, tc.want...)...)
		})
	}
}

func TestRefusedReportStopsRinging(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"lost_race", "call_ended"} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			b := start(t, devicesim.Script{Answer: true}, map[string][]answer{"answered": {{409, fmt.Sprintf(problem, code)}}}, nil)
			b.wake("l1", nil)
			if c := b.until(devicesim.StatusStopped); c.Reason != code {
				t.Errorf("reason %q, want %q", c.Reason, code)
			}
			b.wantRequests(register, confirm, showCall, ringing, answerIt, reported(`"seq":2,"event":"answered","at":"T","media":"video"`), ended)
		})
	}
	t.Run("ringing", func(t *testing.T) {
		t.Parallel()
		b := start(t, devicesim.Script{Answer: true}, map[string][]answer{"ringing": {{409, fmt.Sprintf(problem, "call_ended")}}}, nil)
		b.wake("l1", nil)
		b.until(devicesim.StatusStopped)
		b.wantRequests(register, confirm, showCall, ringing, ended)
	})
}

// TestPollStops holds that a device learns by its poll that the call is over,
// while it rings and while it is up.
func TestPollStops(t *testing.T) {
	t.Parallel()
	polls := map[string][]answer{
		"canceled":           {{200, polledRing}, {500, ""}, {200, `{"verdict":"stop","reason":"canceled","leg":{"status":"canceled"}}`}},
		"answered_elsewhere": {{200, `{"leg":{"status":"answered_elsewhere"}}`}},
	}
	for reason, answers := range polls {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			b := start(t, devicesim.Script{}, map[string][]answer{"poll": answers}, func(c *devicesim.Config) { c.PollEvery = time.Millisecond })
			b.wake("l1", nil)
			if c := b.until(devicesim.StatusStopped); c.Reason != reason {
				t.Errorf("reason %q", c.Reason)
			}
			b.wantRequests(register, confirm, showCall, ringing, ended)
		})
	}
	t.Run("active", func(t *testing.T) {
		t.Parallel()
		polled := map[string][]answer{"poll": {{200, polledRing}}}
		b := start(t, devicesim.Script{Answer: true, HangUpAfter: -1}, polled, func(c *devicesim.Config) { c.PollEvery = time.Millisecond })
		b.wake("l1", nil)
		b.until(devicesim.StatusActive)
		b.mu.Lock()
		b.answers["poll"] = []answer{{200, `{"verdict":"stop","reason":"completed","leg":{"status":"completed"}}`}}
		b.mu.Unlock()
		b.until(devicesim.StatusStopped)
		if got := b.requests(); got[len(got)-1] != ended {
			t.Errorf("last request %s", got[len(got)-1])
		}
	})
}

func TestRingRunsOut(t *testing.T) {
	t.Parallel()
	b := start(t, devicesim.Script{}, map[string][]answer{"confirm": {{200, `{"verdict":"ring","reason":null,"last_seq":0,"expires_in_ms":1}`}}}, nil)
	b.wake("l1", nil)
	b.until(devicesim.StatusMissed)
	b.wantRequests(register, confirm, showCall, ringing, ended)
}

// TestKitRefuses holds both ways of a refusal: an ErrorReason and a
// BusinessError, the latter for a fourth call at a time.
func TestKitRefuses(t *testing.T) {
	t.Parallel()
	t.Run("carrier call", func(t *testing.T) {
		t.Parallel()
		b := start(t, devicesim.Script{}, nil, nil)
		carrierCall(b)
		b.wake("l1", nil)
		if c := b.until(devicesim.StatusRefused); c.Reason != "cellular_call_exists" {
			t.Errorf("reason %q", c.Reason)
		}
		b.wantRequests(register, confirm, showCall, reported(`"seq":1,"event":"not_reported","at":"T","error_reason":"cellular_call_exists"`))
	})
	t.Run("fourth call", func(t *testing.T) {
		t.Parallel()
		b := start(t, devicesim.Script{}, nil, nil)
		for i := range 3 {
			b.wake(fmt.Sprint("l", i), nil)
			b.until(devicesim.StatusRinging)
		}
		b.wake("l9", nil)
		b.until(devicesim.StatusRefused)
		got := b.requests()
		want := reported(`"seq":1,"event":"not_reported","at":"T","error_code":1007200003`)
		if last := got[len(got)-1]; last != want {
			t.Errorf("got %s, want %s", last, want)
		}
	})
}

// TestDuplicateWake sends a leg's second wake while it rings.
func TestDuplicateWake(t *testing.T) {
	t.Parallel()
	b := start(t, devicesim.Script{}, nil, nil)
	b.wake("l1", nil)
	first := b.until(devicesim.StatusRinging)
	b.wake("l1", nil)
	second := b.until(devicesim.StatusDuplicate)
	if first.VendorCallID == second.VendorCallID || second.VendorCallID == "" {
		t.Errorf("vendor call ids %q, %q", first.VendorCallID, second.VendorCallID)
	}
	b.wantRequests(register, confirm, showCall, ringing, "kit report-incoming-call-error 1",
		reported(`"seq":2,"event":"not_reported","at":"T","vendor_call_id":"pk","failure_cause":"route_busy"`))
	calls := b.device.Calls()
	if len(calls) != 2 || calls[0].Status != devicesim.StatusRinging || calls[1].Status != devicesim.StatusDuplicate {
		t.Errorf("calls %+v", calls)
	}
}

// TestTwoWakesAtOnce holds that of two wakes which arrive together one rings
// and the other is busy after it, never before.
func TestTwoWakesAtOnce(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	b := start(t, devicesim.Script{}, nil, func(c *devicesim.Config) {
		told := c.OnEvent
		c.OnEvent = func(c devicesim.Call) {
			told(c)
			if c.Status == devicesim.StatusWoken {
				<-release // hold both before they confirm
			}
		}
	})
	b.wake("l1", nil)
	b.wake("l1", nil)
	b.until(devicesim.StatusWoken)
	b.until(devicesim.StatusWoken)
	close(release)
	b.until(devicesim.StatusDuplicate)
	b.wantRequests(register, confirm, showCall, ringing, "kit report-incoming-call-error 1",
		reported(`"seq":2,"event":"not_reported","at":"T","vendor_call_id":"pk","failure_cause":"route_busy"`))
}

// TestLostAnswerIsRepeated drops the answer of a report, then is away: the
// same seq comes again, byte for byte.
func TestLostAnswerIsRepeated(t *testing.T) {
	t.Parallel()
	b := start(t, devicesim.Script{}, map[string][]answer{"ringing": {{-1, ""}, {503, ""}, {200, "{}"}}}, nil)
	b.wake("l1", nil)
	b.until(devicesim.StatusRinging)
	b.wantRequests(register, confirm, showCall, ringing, ringing, ringing)
	b.mu.Lock()
	defer b.mu.Unlock()
	if raw := b.log[3:]; raw[0] != raw[1] || raw[1] != raw[2] {
		t.Errorf("the repeats differ: %q", raw)
	}
}

// TestStop holds that an app that ends leaves no call on the phone, and that
// the next one does not take old messages for new ones.
func TestStop(t *testing.T) {
	t.Parallel()
	b := start(t, devicesim.Script{}, nil, nil)
	b.wake("l1", nil)
	b.until(devicesim.StatusRinging)
	b.stop()
	b.wantEnd(b.done)
	b.wantRequests(register, confirm, showCall, ringing, ended)

	next := b.run(devicesim.Script{}, nil)
	b.wake("l2", nil)
	if c := b.until(devicesim.StatusRinging); c.LegID != "l2" {
		t.Errorf("leg %s rings", c.LegID)
	}
	if calls := next.Calls(); len(calls) != 1 {
		t.Errorf("calls %+v", calls)
	}
}

func TestRegister(t *testing.T) {
	t.Parallel()
	relay := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer good" {
			_, _ = w.Write([]byte(`{"presentation":"call_service_kit"}`))
			return
		}
		w.WriteHeader(401)
		_, _ = w.Write([]byte(`{"code":"unauthenticated"}`))
	}))
	t.Cleanup(relay.Close)
	got, err := devicesim.New(devicesim.Config{RelayURL: relay.URL + "/", DeviceToken: "good"}).Register(t.Context())
	if err != nil || string(got) != `{"presentation":"call_service_kit"}` {
		t.Errorf("got %s, %v", got, err)
	}
	err = devicesim.New(devicesim.Config{RelayURL: relay.URL}).Run(t.Context())
	var no *devicesim.Refusal
	if !errors.As(err, &no) || no.Status != 401 || no.Code != "unauthenticated" {
		t.Errorf("got %v, want the refusal", err)
	}
	// A device without pushes lives until it is told to end.
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- devicesim.New(devicesim.Config{RelayURL: relay.URL, DeviceToken: "good"}).Run(ctx) }()
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
