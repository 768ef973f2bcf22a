package apns_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/push"
	"github.com/pushwake/relay/push/apns"
	"github.com/pushwake/relay/push/apns/apnssim"
)

func TestSendVoIP(t *testing.T) {
	t.Parallel()
	b := newBench(t, apnssim.Options{}, apnssim.KeyOptions{})
	m := message(call.APNsVoIP, token(1))
	if a := b.client.Send(t.Context(), m); a.Outcome != push.Accepted || a.Status != 200 || a.RequestID != m.Attempt.String() {
		t.Fatalf("%+v", a)
	}
	got := sentTo(t, b.sim, m.Token)
	want := map[string]string{
		"apns-push-type": "voip", "apns-topic": bundle + ".voip", "apns-expiration": "0", "apns-priority": "10", "apns-id": m.Attempt.String(), "apns-collapse-id": "",
	}
	for name, value := range want {
		if got.Headers[name] != value {
			t.Errorf("%s: %q, want %q", name, got.Headers[name], value)
		}
	}
	var body struct {
		APS  map[string]any
		Wake struct {
			Call   string
			Caller struct{ Name string }
		}
	}
	if err := json.Unmarshal(got.Body, &body); err != nil || len(body.APS) != 0 || body.Wake.Call != m.Payload.Call.String() || body.Wake.Caller.Name != "李娜" {
		t.Errorf("%s", got.Body)
	}
}

func TestSendAlert(t *testing.T) {
	t.Parallel()
	b := newBench(t, apnssim.Options{}, apnssim.KeyOptions{})
	m := message(call.APNsAlert, token(1))
	m.BundleID = "com.example.other"
	if a := b.client.Send(t.Context(), m); a.Outcome != push.Accepted {
		t.Fatalf("%+v", a)
	}
	got := sentTo(t, b.sim, m.Token)
	want := map[string]string{
		"apns-push-type": "alert", "apns-topic": "com.example.other", "apns-expiration": strconv.FormatInt(m.Payload.ExpiresAt.Unix(), 10),
		"apns-collapse-id": m.Payload.Call.String(),
	}
	for name, value := range want {
		if got.Headers[name] != value {
			t.Errorf("%s: %q, want %q", name, got.Headers[name], value)
		}
	}
	var body struct {
		APS map[string]any
	}
	if err := json.Unmarshal(got.Body, &body); err != nil {
		t.Fatal(err)
	}
	aps := map[string]any{"alert": map[string]any{"title": "李娜", "body": "视频来电"}, "sound": "default", "mutable-content": 1.0}
	if diff := cmp.Diff(aps, body.APS); diff != "" {
		t.Error(diff)
	}
}

// TestMissedCall: a notice is an alert that takes the place of the call's own and
// is kept for a day; nothing else is ever sent as one.
func TestMissedCall(t *testing.T) {
	t.Parallel()
	b := newBench(t, apnssim.Options{}, apnssim.KeyOptions{})
	m := message(call.APNsAlert, token(1))
	m.Purpose, m.Payload.Purpose, m.Text = call.PurposeMissedCall, call.PurposeMissedCall, "您有未接来电"
	if a := b.client.Send(t.Context(), m); a.Outcome != push.Accepted {
		t.Fatalf("%+v", a)
	}
	got := sentTo(t, b.sim, m.Token)
	want := map[string]string{
		"apns-push-type": "alert", "apns-topic": bundle, "apns-expiration": strconv.FormatInt(m.Payload.SentAt.Add(24*time.Hour).Unix(), 10),
		"apns-collapse-id": m.Payload.Call.String(),
	}
	for name, value := range want {
		if got.Headers[name] != value {
			t.Errorf("%s: %q, want %q", name, got.Headers[name], value)
		}
	}
	var body struct {
		APS  struct{ Alert map[string]any }
		Wake struct{ Purpose, Call string }
	}
	if err := json.Unmarshal(got.Body, &body); err != nil || body.Wake.Purpose != "missed_call" || body.Wake.Call != m.Payload.Call.String() {
		t.Errorf("%s, %v", got.Body, err)
	}
	if diff := cmp.Diff(map[string]any{"title": "李娜", "body": "您有未接来电"}, body.APS.Alert); diff != "" {
		t.Error(diff)
	}
	m.Channel = call.APNsVoIP
	if _, err := apns.Build(m, bundle); !errors.Is(err, apns.ErrPurpose) {
		t.Errorf("a notice as a VoIP push: %v", err)
	}
	m.Channel, m.Purpose = call.APNsAlert, call.PurposeRevoke
	if _, err := apns.Build(m, bundle); !errors.Is(err, apns.ErrPurpose) || b.client.Serves(call.PurposeRevoke) {
		t.Errorf("a revoke: %v", err)
	}
}

// TestExpiration holds how long Apple may keep a VoIP push: by the app's policy,
// and never beyond the ring.
func TestExpiration(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ keep, ring, want time.Duration }{{0, 45 * time.Second, 0}, {20 * time.Second, 45 * time.Second, 20 * time.Second}, {30 * time.Second, 8 * time.Second, 8 * time.Second}} {
		m := message(call.APNsVoIP, token(1))
		m.KeepFor, m.RingLeft = test.keep, test.ring
		want := int64(0)
		if test.want > 0 {
			want = m.Payload.SentAt.Add(test.want).Unix()
		}
		r, err := apns.Build(m, bundle)
		if got := r.Header().Get("Apns-Expiration"); err != nil || got != strconv.FormatInt(want, 10) {
			t.Errorf("kept for %v of a ring of %v: expiration %s, want %d (%v)", test.keep, test.ring, got, want, err)
		}
	}
}

// TestSizes holds payloads under the limits whatever the caller is called, and
// shows that the simulator would have refused more.
func TestSizes(t *testing.T) {
	t.Parallel()
	b := newBench(t, apnssim.Options{}, apnssim.KeyOptions{})
	for channel, limit := range map[call.Channel]int{call.APNsVoIP: apns.MaxVoIPPayload, call.APNsAlert: apns.MaxAlertPayload} {
		m := message(channel, token(1))
		m.Payload.Caller.Name, m.Payload.Caller.AvatarURL = long, "https://example.com/"+long
		r, err := apns.Build(m, bundle)
		if err != nil || len(r.Body()) > limit || len(r.Body()) < limit-10 {
			t.Errorf("%s: %d bytes, %v", channel, len(r.Body()), err)
		}
		if a := b.client.Send(t.Context(), m); a.Outcome != push.Accepted {
			t.Errorf("%s: %+v", channel, a)
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	b := newBench(t, apnssim.Options{}, apnssim.KeyOptions{Topics: []string{bundle}})
	since := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	for n, told := range map[int]apnssim.Token{
		1: {State: apnssim.Dead}, 2: {State: apnssim.Expired}, 3: {State: apnssim.Foreign},
		4: {State: apnssim.Alive, Environment: apnssim.Sandbox}, 5: {State: apnssim.NoRight},
	} {
		told.SinceMS = since.UnixMilli()
		if err := b.sim.SetToken(token(n), told); err != nil {
			t.Fatal(err)
		}
	}
	otherTopic := message(call.APNsVoIP, token(6))
	otherTopic.BundleID = "com.example.other"
	noHex := message(call.APNsVoIP, "../../x")
	for name, tc := range map[string]struct {
		m    push.Message
		want push.Answer
	}{
		"dead":              {message(call.APNsVoIP, token(1)), push.Answer{Outcome: push.TokenRefused, Reason: call.ReasonTokenDead, Token: push.TokenDead, DeadSince: since, Status: 410, Code: "Unregistered"}},
		"expired":           {message(call.APNsVoIP, token(2)), push.Answer{Outcome: push.TokenRefused, Reason: call.ReasonTokenDead, Token: push.TokenDead, DeadSince: since, Status: 410, Code: "ExpiredToken"}},
		"of another topic":  {message(call.APNsVoIP, token(3)), push.Answer{Outcome: push.TokenRefused, Reason: call.ReasonTokenSuspended, Token: push.TokenSuspended, Status: 400, Code: "DeviceTokenNotForTopic"}},
		"wrong environment": {message(call.APNsVoIP, token(4)), push.Answer{Outcome: push.TokenRefused, Reason: call.ReasonTokenSuspended, Token: push.TokenSuspended, Status: 400, Code: "BadDeviceToken"}},
		"no right":          {message(call.APNsVoIP, token(5)), push.Answer{Outcome: push.Unauthenticated, Reason: call.ReasonVendorRefused, Token: push.TokenKeep, Status: 403, Code: "Forbidden"}},
		"topic disallowed":  {otherTopic, push.Answer{Outcome: push.Unauthenticated, Reason: call.ReasonVendorRefused, Token: push.TokenKeep, Status: 400, Code: "TopicDisallowed"}},
		"no token at all":   {noHex, push.Answer{Outcome: push.TokenRefused, Reason: call.ReasonTokenSuspended, Token: push.TokenSuspended, Code: "NotSent"}},
	} {
		got := b.client.Send(t.Context(), tc.m)
		if apns.Explain(got).Advice.IsZero() || got.Retry != push.RetryNever {
			t.Errorf("%s: %+v", name, got)
		}
		got.RequestID, got.Message, got.Retry, got.Blame = "", "", "", ""
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
	}
	if n := len(b.sim.Messages("", 0)); n != 6 {
		t.Errorf("%d pushes were sent, want 6: the one without a token stays here", n)
	}
}

// TestExpiredProviderToken lets a clock that was wrong come right: the refused
// token is renewed once it is 20 minutes old, and not before.
func TestExpiredProviderToken(t *testing.T) {
	t.Parallel()
	b := newBench(t, apnssim.Options{}, apnssim.KeyOptions{})
	back := 2 * time.Hour
	now := func() time.Time { return time.Now().Add(-back) }
	client := b.newClient(t, newPools(t, b, func() time.Time { return now() }))
	m := message(call.APNsVoIP, token(1))
	if a := client.Send(t.Context(), m); a.Code != "ExpiredProviderToken" || a.Retry != push.RetryNever {
		t.Fatalf("a token signed a moment ago was to be renewed: %+v", a)
	}
	back = 0
	if a := client.Send(t.Context(), m); a.Outcome != push.Accepted {
		t.Fatalf("%+v", a)
	}
}

// TestOneProviderToken holds that everybody shares one token: 200 at once on a
// fresh client, through two clients of one key, in the eyes of a server that
// refuses a second token within 20 minutes.
func TestOneProviderToken(t *testing.T) {
	t.Parallel()
	b := newBench(t, apnssim.Options{}, apnssim.KeyOptions{})
	other := b.newClient(t, b.pools)
	answers := make(chan push.Answer)
	for n := range 200 {
		sender := b.client
		if n%2 == 1 {
			sender = other
		}
		go func() { answers <- sender.Send(context.WithoutCancel(t.Context()), message(call.APNsVoIP, token(n))) }()
	}
	for range 200 {
		if a := <-answers; a.Outcome != push.Accepted {
			t.Errorf("%+v", a)
		}
	}
}

// TestDeadlineBindsDialling lets a server accept and never shake hands.
func TestDeadlineBindsDialling(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	b := newBench(t, apnssim.Options{}, apnssim.KeyOptions{})
	pools, err := apns.NewPools(apns.PoolsConfig{ProductionURL: "https://" + silent.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	defer pools.Close()
	client := b.newClient(t, pools)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	began := time.Now()
	a := client.Send(ctx, message(call.APNsVoIP, token(1)))
	if took := time.Since(began); took > time.Second || a.Outcome != push.Unavailable || a.Retry != push.RetryLater || !strings.HasPrefix(a.Message, "not sent") {
		t.Fatalf("after %v: %+v", took, a)
	}
}

// TestClose: connections are shared by the clients of a key, and end with the
// last of them, after what is under way.
func TestClose(t *testing.T) {
	t.Parallel()
	b := newBench(t, apnssim.Options{}, apnssim.KeyOptions{})
	other := b.newClient(t, b.pools)
	if a := b.client.Send(t.Context(), message(call.APNsVoIP, token(0))); a.Outcome != push.Accepted {
		t.Fatalf("%+v", a)
	}
	for range 2 {
		_ = b.client.Close() // twice is once
	}
	set(t, b.sim, apnssim.Fault{LatencyMS: 100})
	under := make(chan push.Answer, 1)
	go func() { under <- other.Send(context.WithoutCancel(t.Context()), message(call.APNsVoIP, token(1))) }()
	until(t, "the request on its way", func() bool { return b.sim.Connections().Streams == 1 })
	_ = other.Close()
	if a := <-under; a.Outcome != push.Accepted {
		t.Errorf("what was under way: %+v", a)
	}
	until(t, "the end of the connection", func() bool { return b.sim.Connections().Open == 0 })
	if a := other.Send(t.Context(), message(call.APNsVoIP, token(2))); a.Outcome != push.Unavailable || a.Retry != push.RetryLater {
		t.Errorf("after the end: %+v", a)
	}
}

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	b := newBench(t, apnssim.Options{}, apnssim.KeyOptions{})
	_ = b.sim.Close()
	a := b.client.Send(t.Context(), message(call.APNsVoIP, token(1)))
	if a.Outcome != push.Unavailable || a.Retry != push.RetryLater || a.Message != "not sent: no connection: connection refused" {
		t.Fatalf("%+v", a)
	}
}

func TestAnswersThatAreNotApples(t *testing.T) {
	t.Parallel()
	b := newBench(t, apnssim.Options{}, apnssim.KeyOptions{})
	for name, tc := range map[string]struct {
		fault apnssim.Fault
		want  push.Answer
	}{
		"a proxy's page":          {apnssim.Fault{Status: 502, Body: "<html>"}, push.Answer{Outcome: push.Unavailable, Status: 502, Retry: push.RetryOnce, Message: "<html>"}},
		"a timestamp as a string": {apnssim.Fault{Status: 410, Body: `{"reason":"Unregistered","timestamp":"1700000000123"}`}, push.Answer{Outcome: push.TokenRefused, Status: 410, Code: "Unregistered", Retry: push.RetryNever, DeadSince: time.UnixMilli(1700000000123)}},
		"an unknown reason":       {apnssim.Fault{Status: 400, Code: "FeatureNotEnabled"}, push.Answer{Outcome: push.Refused, Status: 400, Code: "FeatureNotEnabled", Retry: push.RetryNever}},
		"a lost answer":           {apnssim.Fault{LoseAnswer: true}, push.Answer{Outcome: push.Unavailable, Retry: push.RetryOnce, Message: "no answer: connection failed"}},
		"throttled":               {apnssim.Fault{Status: 429, Code: "TooManyRequests"}, push.Answer{Outcome: push.Throttled, Status: 429, Code: "TooManyRequests", Retry: push.RetryNever}},
	} {
		tc.fault.Count = 1
		if err := b.sim.SetFaults(tc.fault); err != nil {
			t.Fatal(err)
		}
		got := b.client.Send(t.Context(), message(call.APNsVoIP, token(1)))
		if apns.Explain(got).Advice.IsZero() {
			t.Errorf("%s: no advice", name)
		}
		if got.Outcome != tc.want.Outcome || got.Status != tc.want.Status || got.Code != tc.want.Code || got.Retry != tc.want.Retry || got.Message != tc.want.Message || !got.DeadSince.Equal(tc.want.DeadSince) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
