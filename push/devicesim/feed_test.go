package devicesim_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pushwake/relay/push/devicesim"
)

const confirmOwn = `relay POST /v1/device/calls/c1/confirm {"source":"connection","vendor_call_id":"c1"}`

// TestFeedRings is a call of which no push told, from its wake to its hang-up,
// and that what the feed says of it later is no new wake.
func TestFeedRings(t *testing.T) {
	t.Parallel()
	b, f := withFeed(t, devicesim.Script{Answer: true}, nil, nil)
	f.tell("l1", "waking", "")
	c := b.until(devicesim.StatusActive)
	for _, status := range []string{"handed_over", "confirmed", "ringing", "answered", "active"} {
		f.tell("l1", status, "")
	}
	if last := b.until(devicesim.StatusCompleted); last.VendorCallID != c.VendorCallID {
		t.Errorf("the system knew the call as %q and %q", c.VendorCallID, last.VendorCallID)
	}
	f.tell("l1", "ringing", "") // not yet told that the device hung up
	f.tell("l1", "completed", "completed")
	f.tell("l2", "waking", "")
	if c := b.until(devicesim.StatusRinging); c.LegID != "l2" {
		t.Errorf("leg %s rings", c.LegID)
	}
	want := []string{register, confirmOwn, showCall, ringing,
		answerIt, reported(`"seq":2,"event":"answered","at":"T","media":"video"`), "kit report-call-state-change 2", reported(`"seq":3,"event":"active","at":"T"`),
		ended, reported(`"seq":4,"event":"disconnected","at":"T"`)}
	if diff := cmp.Diff(want, b.requests()[:len(want)]); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	first := b.device.Calls()[0]
	if want := (devicesim.Call{ID: "c1", LegID: "l1", VendorCallID: "c1", Source: "connection", Presentation: "callkit", Media: "video", Verdict: "ring", Status: devicesim.StatusCompleted}); first != want {
		t.Errorf("got %+v, want %+v", first, want)
	}
	if n := len(b.device.Calls()); n != 2 {
		t.Errorf("%d wakes, want 2", n)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.auth["confirm Bearer device-jwt"] || !b.auth["ringing Bearer device-jwt"] {
		t.Errorf("the requests of %v lack the device's own token", b.auth)
	}
}

// TestFeedStops holds that what relay says on the feed silences a call at once:
// before it is shown, while it rings, and while it is up. Nothing is polled.
func TestFeedStops(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		script devicesim.Script
		at     devicesim.Status
		want   []string
	}{
		{"waking", devicesim.Script{ConfirmAfter: time.Hour}, devicesim.StatusWoken, []string{register}},
		{"ringing", devicesim.Script{}, devicesim.StatusRinging, []string{register, confirmOwn, showCall, ringing, ended}},
		{"active", devicesim.Script{Answer: true, HangUpAfter: -1}, devicesim.StatusActive, []string{register, confirmOwn, showCall, ringing,
			answerIt, reported(`"seq":2,"event":"answered","at":"T","media":"video"`), "kit report-call-state-change 2", reported(`"seq":3,"event":"active","at":"T"`), ended}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b, f := withFeed(t, tc.script, nil, nil)
			f.tell("l1", "waking", "")
			b.until(tc.at)
			f.tell("l1", "answered_elsewhere", "answered_elsewhere")
			if c := b.until(devicesim.StatusStopped); c.Reason != "answered_elsewhere" {
				t.Errorf("reason %q", c.Reason)
			}
			b.wantRequests(tc.want...)
		})
	}
	t.Run("of a push", func(t *testing.T) {
		t.Parallel()
		b, f := withFeed(t, devicesim.Script{ConfirmAfter: time.Hour}, nil, nil)
		b.wake("l1", nil)
		b.until(devicesim.StatusWoken)
		f.tell("l1", "handed_over", "") // known
		f.tell("l1", "canceled", "canceled")
		b.until(devicesim.StatusStopped)
		b.wantRequests(register, "kit report-incoming-call-error 0")
	})
}

// TestFeedPasses holds what the feed tells that is nothing to ring for.
func TestFeedPasses(t *testing.T) {
	t.Parallel()
	b, f := withFeed(t, devicesim.Script{}, nil, nil)
	for _, status := range []string{"answered", "active", "held"} { // lost by a crash
		f.tell("l1", status, "")
	}
	f.tell("l2", "canceled", "canceled")
	f.say("event: call\ndata: {\n\n")
	f.say("event: call\ndata: {\"verdict\":\"ring\",\"call\":{\"id\":\"c1\",\"direction\":\"outgoing\"},\"leg\":{\"id\":\"l3\",\"status\":\"waking\"}}\n\n")
	f.say("event: call\ndata: {\"verdict\":\"ring\",\"call\":{\"id\":\"c1\",\"direction\":\"incoming\",\"callee\":{\"user_id\":\"u3\"}},\"leg\":{\"id\":\"l4\",\"status\":\"waking\"}}\n\n")
	f.say("event: news\ndata: {}\n\n: comment\n\n")
	f.tell("l5", "ringing", "") // an app that was started anew while its call rang
	if c := b.until(devicesim.StatusRinging); c.LegID != "l5" {
		t.Errorf("leg %s rings", c.LegID)
	}
	if n := len(b.device.Calls()); n != 1 {
		t.Errorf("%d wakes, want 1", n)
	}
}

// TestPushAndFeed holds that of a push and the feed, whichever is first, one
// rings and the other does not.
func TestPushAndFeed(t *testing.T) {
	t.Parallel()
	routeBusy := reported(`"seq":2,"event":"not_reported","at":"T","vendor_call_id":"pk","failure_cause":"route_busy"`)
	t.Run("push first", func(t *testing.T) {
		t.Parallel()
		b, f := withFeed(t, devicesim.Script{}, nil, nil)
		b.wake("l1", nil)
		b.until(devicesim.StatusRinging)
		f.tell("l1", "handed_over", "")
		f.tell("l1", "ringing", "")
		f.tell("l1", "canceled", "canceled")
		b.until(devicesim.StatusStopped)
		b.wantRequests(register, confirm, showCall, ringing, ended)
	})
	t.Run("feed first", func(t *testing.T) {
		t.Parallel()
		b, f := withFeed(t, devicesim.Script{}, nil, nil)
		f.tell("l1", "waking", "")
		b.until(devicesim.StatusRinging)
		b.wake("l1", nil)
		b.until(devicesim.StatusDuplicate)
		f.tell("l1", "canceled", "canceled")
		b.until(devicesim.StatusStopped)
		b.wantRequests(register, confirmOwn, showCall, ringing, "kit report-incoming-call-error 1", routeBusy, ended)
	})
	for range 10 {
		t.Run("at once", func(t *testing.T) {
			t.Parallel()
			b, f := withFeed(t, devicesim.Script{}, nil, nil)
			go f.tell("l1", "waking", "")
			b.wake("l1", nil)
			first := b.until(devicesim.StatusRinging)
			want := []string{register, confirm, showCall, ringing}
			if first.Source == "connection" {
				b.until(devicesim.StatusDuplicate)
				want = []string{register, confirmOwn, showCall, ringing, "kit report-incoming-call-error 1", routeBusy}
			}
			b.wantRequests(want...)
		})
	}
	t.Run("duplicate for relay", func(t *testing.T) { // another app of the device has it
		t.Parallel()
		b, f := withFeed(t, devicesim.Script{}, map[string][]answer{"confirm": {{200, `{"verdict":"stop","reason":"duplicate","last_seq":1}`}}}, nil)
		f.tell("l1", "ringing", "")
		b.until(devicesim.StatusDuplicate)
		f.tell("l1", "ringing", "")
		f.tell("l1", "canceled", "canceled")
		f.tell("l2", "waking", "")
		b.until(devicesim.StatusDuplicate)
		if n := len(b.device.Calls()); n != 2 {
			t.Errorf("%d wakes, want 2", n)
		}
	})
}

// TestFeedSystems: what the system refuses is told to relay, and a call on a
// device without a token is shown by the app itself.
func TestFeedSystems(t *testing.T) {
	t.Parallel()
	t.Run("carrier call", func(t *testing.T) {
		t.Parallel()
		b, f := withFeed(t, devicesim.Script{}, nil, nil)
		carrierCall(b)
		f.tell("l1", "waking", "")
		b.until(devicesim.StatusRefused)
		b.wantRequests(register, confirmOwn, showCall, reported(`"seq":1,"event":"not_reported","at":"T","error_reason":"cellular_call_exists"`))
	})
	t.Run("watch", func(t *testing.T) {
		t.Parallel()
		b, f := withFeed(t, devicesim.Script{}, nil, func(c *devicesim.Config) { c.PushKitToken = "" })
		f.tell("l1", "waking", "")
		b.until(devicesim.StatusRinging)
		f.tell("l1", "canceled", "canceled")
		b.until(devicesim.StatusStopped)
		b.wantRequests(register, confirmOwn, ringing)
	})
	t.Run("iPhone", func(t *testing.T) {
		t.Parallel()
		b, push := iPhone(t, devicesim.Script{}, nil, func(c *devicesim.Config) { c.NoFeed = false })
		f := b.feed()
		f.tell("l1", "waking", "")
		b.until(devicesim.StatusRinging)
		push("voip")
		b.until(devicesim.StatusDuplicate)
		f.tell("l1", "declined_elsewhere", "declined_elsewhere")
		b.until(devicesim.StatusStopped)
		b.wantRequests(registerIPhone, `relay POST /v1/device/calls/c1/confirm {"source":"connection","vendor_call_id":"c1"}`, ringing,
			reported(`"seq":2,"event":"not_reported","at":"T","vendor_call_id":"c1","failure_cause":"route_busy"`))
	})
}

// TestFeedResumes holds that a feed that breaks, ends or falls silent is opened
// again behind what it told.
func TestFeedResumes(t *testing.T) {
	t.Parallel()
	fast := func(c *devicesim.Config) { c.Heartbeat = 20 * time.Millisecond }
	for _, tc := range []struct {
		name   string
		change func(*devicesim.Config)
		end    func(f *feed)
	}{
		{"cut", nil, (*feed).cut},
		{"cut in the middle", nil, func(f *feed) {
			f.say("id: cur9\nevent: call\ndata: {}\n")
			f.cut()
		}},
		{"draining", nil, func(f *feed) { f.close("draining") }},
		{"an unknown end", nil, func(f *feed) { f.close("moved") }},
		{"silent", fast, (*feed).gone},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b, f := withFeed(t, devicesim.Script{}, nil, tc.change)
			if f.last != "" {
				t.Errorf("the first feed goes on from %q", f.last)
			}
			f.tell("l1", "waking", "")
			b.until(devicesim.StatusRinging)
			tc.end(f)
			next := b.feed()
			if next.last != "cur1" {
				t.Errorf("the feed goes on from %q, want cur1", next.last)
			}
			next.tell("l1", "canceled", "canceled")
			if c := b.until(devicesim.StatusStopped); c.Reason != "canceled" {
				t.Errorf("reason %q", c.Reason)
			}
			b.wantRequests(register, confirmOwn, showCall, ringing, ended)
		})
	}
	t.Run("heartbeats", func(t *testing.T) {
		t.Parallel()
		b, f := withFeed(t, devicesim.Script{}, nil, func(c *devicesim.Config) { c.Heartbeat = 400 * time.Millisecond })
		for range 15 { // 1.5 s, longer than a silent feed lives
			time.Sleep(100 * time.Millisecond)
			f.say(":\n\n")
		}
		select {
		case <-f.ended:
			t.Error("a feed that is heard is taken for dead")
		default:
		}
		f.tell("l1", "waking", "")
		b.until(devicesim.StatusRinging)
	})
}

// TestFeedEnds holds when a device does not open its feed again, or not at once.
func TestFeedEnds(t *testing.T) {
	t.Parallel()
	none := func(b *bench) {
		b.Helper()
		select {
		case f := <-b.feeds:
			b.Errorf("a feed is opened from %q", f.last)
		case <-time.After(100 * time.Millisecond):
		}
	}
	t.Run("logged out", func(t *testing.T) {
		t.Parallel()
		b, f := withFeed(t, devicesim.Script{}, nil, nil)
		f.close("logged_out")
		none(b)
		b.wake("l1", nil)
		b.until(devicesim.StatusRinging)
		none(b)
		if err := b.device.Connected(t.Context()); err == nil {
			t.Error("a device that is logged out is connected")
		}
	})
	t.Run("refused", func(t *testing.T) {
		t.Parallel()
		b, _ := withFeed(t, devicesim.Script{}, map[string][]answer{"feed": {{401, `{"code":"unauthenticated"}`}}}, nil)
		none(b)
	})
	t.Run("replaced", func(t *testing.T) {
		t.Parallel()
		b, f := withFeed(t, devicesim.Script{}, nil, func(c *devicesim.Config) { c.YieldFor = time.Hour })
		b.wake("l0", map[string]any{"callee": "u3"}) // a push of before is no reason to come back
		b.until(devicesim.StatusIgnored)
		f.tell("l9", "canceled", "canceled")
		f.close("replaced")
		none(b)
		b.wake("l1", nil)
		if next := b.feed(); next.last != "cur1" {
			t.Errorf("the feed goes on from %q, want cur1", next.last)
		}
	})
	t.Run("replaced for a while", func(t *testing.T) {
		t.Parallel()
		b, f := withFeed(t, devicesim.Script{}, nil, func(c *devicesim.Config) { c.YieldFor = 50 * time.Millisecond })
		started := time.Now()
		f.close("replaced")
		b.feed()
		if took := time.Since(started); took < 50*time.Millisecond {
			t.Errorf("the feed came back after %v", took)
		}
	})
	t.Run("unavailable", func(t *testing.T) {
		t.Parallel()
		answers := map[string][]answer{"feed": {{503, ""}, {-1, ""}, {502, "<html>"}, {200, `{"data":[]}`}}}
		b, _ := withFeed(t, devicesim.Script{}, answers, nil)
		for range 3 {
			b.feed()
		}
		b.feed().tell("l1", "waking", "")
		b.until(devicesim.StatusRinging)
	})
	t.Run("a cursor of before a restore", func(t *testing.T) {
		t.Parallel()
		b, f := withFeed(t, devicesim.Script{}, map[string][]answer{"feed": {{200, ""}, {400, `{"code":"malformed"}`}}}, nil)
		f.tell("l1", "canceled", "canceled")
		f.cut()
		if refused := b.feed(); refused.last != "cur1" {
			t.Errorf("the feed goes on from %q", refused.last)
		}
		if next := b.feed(); next.last != "" {
			t.Errorf("the feed goes on from %q, want the beginning", next.last)
		}
	})
}

// TestFeedRetry holds that the device waits as long as relay asks for.
func TestFeedRetry(t *testing.T) {
	t.Parallel()
	b, f := withFeed(t, devicesim.Script{}, nil, nil)
	f.say("retry: 150\n")
	f.close("draining")
	started := time.Now()
	b.feed()
	if took := time.Since(started); took < 100*time.Millisecond {
		t.Errorf("the feed came back after %v", took)
	}
}

// TestPollsWithoutFeed: while the feed is away, a live call is looked up.
func TestPollsWithoutFeed(t *testing.T) {
	t.Parallel()
	polled := map[string][]answer{"poll": {{200, `{"verdict":"stop","reason":"canceled","leg":{"status":"canceled"}}`}}}
	b, f := withFeed(t, devicesim.Script{}, polled, func(c *devicesim.Config) { c.PollEvery, c.YieldFor = 5*time.Millisecond, time.Hour })
	f.tell("l1", "waking", "")
	b.until(devicesim.StatusRinging)
	time.Sleep(50 * time.Millisecond)
	if calls := b.device.Calls(); calls[0].Status != devicesim.StatusRinging {
		t.Fatalf("with a feed: %+v", calls)
	}
	f.close("replaced")
	b.until(devicesim.StatusStopped)
}

func TestConnected(t *testing.T) {
	t.Parallel()
	b, f := withFeed(t, devicesim.Script{}, nil, nil)
	if err := b.device.Connected(t.Context()); err != nil {
		t.Error(err)
	}
	f.close("logged_out")
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := devicesim.New(devicesim.Config{}).Connected(over); err == nil {
		t.Error("a device that does not run is connected")
	}
	if err := devicesim.New(devicesim.Config{NoFeed: true}).Connected(t.Context()); err == nil {
		t.Error("a device without feed is connected")
	}
}

// TestLiveCalls: an app says at its start that it has no calls, and later which.
func TestLiveCalls(t *testing.T) {
	t.Parallel()
	b, f := withFeed(t, devicesim.Script{}, nil, nil)
	f.tell("l1", "waking", "")
	b.until(devicesim.StatusRinging)
	if _, err := b.device.Register(t.Context()); err != nil {
		t.Error(err)
	}
	b.stop()
	b.wantEnd(b.done)
	if _, err := b.device.Register(t.Context()); err != nil {
		t.Error(err)
	}
	has := `relay PUT /v1/device {"live_calls":["c1"],"platform":"harmonyos"}`
	b.wantRequests(register, confirmOwn, showCall, ringing, has, ended, register)
}
