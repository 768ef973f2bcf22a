package call_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pushwake/relay/call"
)

const second = time.Second

var allConfigured = map[call.Channel]bool{call.PushKitVoIP: true, call.PushKitAlert: true, call.APNsVoIP: true, call.APNsAlert: true}

// accepted is a call whose one leg was handed to the vendor at start, and the
// leg's device with a living token for everything.
func accepted(t *testing.T, channel call.Channel, ring time.Duration) (*scene, call.Device) {
	t.Helper()
	d := decide("d1", "")
	d.Channel, d.Device.Tokens = channel, map[call.TokenName]call.Token{}
	if channel.Vendor() == call.APNs {
		d.Device.Platform = call.IOS
	}
	for _, name := range call.TokenNames {
		d.Device.Tokens[name] = call.Token{Value: string(name), State: call.TokenAlive}
	}
	s := &scene{t: t, call: blank(), now: start, seq: map[string]int64{}}
	s.call.Invite([]call.Decision{d}, ring, s.now, counter())
	if channel != call.Connection && !s.call.HandOver(s.leg("d1").ID, s.now) {
		t.Fatal("not handed over")
	}
	s.call.TakeEvents()
	return s, d.Device
}

// looks are the moments, in seconds from the acceptance, at which the only leg
// must be looked at, should nothing be done at any of them.
func (s *scene) looks(p call.Policy) (all []float64) {
	for at := s.call.NextLook(s.leg("d1").ID, p, time.Time{}); !at.IsZero(); at = s.call.NextLook(s.leg("d1").ID, p, at) {
		all = append(all, at.Sub(start).Seconds())
	}
	return all
}

// TestNextLook: what is due, and when, by channel, ring and policy.
func TestNextLook(t *testing.T) {
	t.Parallel()
	off := func(p *call.Policy) {
		p.Escalation = map[call.Platform][]call.Channel{call.HarmonyOS: {}, call.IOS: {call.APNsAlert, call.APNsVoIP}}
	}
	for _, tc := range []struct {
		name    string
		channel call.Channel
		ring    time.Duration
		policy  func(*call.Policy)
		want    []float64
	}{
		{"Push Kit", call.PushKitVoIP, 45 * second, nil, []float64{8, 15}},
		{"Push Kit, a long ring", call.PushKitVoIP, 120 * second, nil, []float64{8, 15, 60}},
		{"3 s are left of the ring at 60 s", call.PushKitVoIP, 63 * second, nil, []float64{8, 15}},
		{"a little more is left", call.PushKitVoIP, 63*second + 1, nil, []float64{8, 15, 60}},
		{"3 s are left of the ring at 8 s", call.PushKitVoIP, 11 * second, nil, []float64{15}},
		{"APNs", call.APNsVoIP, 120 * second, nil, []float64{8, 15}},
		{"an alert", call.PushKitAlert, 120 * second, nil, nil},
		{"an alert of APNs", call.APNsAlert, 120 * second, nil, nil},
		{"the app's connection", call.Connection, 120 * second, nil, nil},
		{"the policy leaves escalation out", call.PushKitVoIP, 120 * second, off, []float64{15, 60}},
		{"nothing follows the leg's own channel", call.APNsVoIP, 120 * second, off, []float64{15}},
		{"what follows is of another platform", call.APNsVoIP, 120 * second, func(p *call.Policy) {
			p.Escalation = map[call.Platform][]call.Channel{call.IOS: {call.APNsVoIP, call.PushKitAlert, call.Connection}}
		}, []float64{15}},
		{"the policy names no order", call.PushKitVoIP, 45 * second, func(p *call.Policy) { p.Escalation = nil }, []float64{15}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s, _ := accepted(t, tc.channel, tc.ring)
			p := call.DefaultPolicy()
			if tc.policy != nil {
				tc.policy(&p)
			}
			if diff := cmp.Diff(tc.want, s.looks(p)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestWakeAgain plays the moments of a long ring: escalated at 8 s, marked at
// 15, woken once more at 60; each once, and the leg stays handed over.
func TestWakeAgain(t *testing.T) {
	t.Parallel()
	s, d := accepted(t, call.PushKitVoIP, 120*second)
	p, l := call.DefaultPolicy(), s.leg("d1")
	if l.WakeChannel != call.PushKitVoIP {
		t.Errorf("the first wake is over %q", l.WakeChannel)
	}
	for _, step := range []struct {
		at      time.Duration
		channel call.Channel
		marked  bool
		next    float64
	}{
		{8*second - 1, "", false, 8},
		{8 * second, call.PushKitAlert, false, 15},
		{8 * second, "", false, 15},
		{15*second - 1, "", false, 15},
		{15 * second, "", true, 60},
		{59 * second, "", false, 60},
		{60 * second, call.PushKitVoIP, false, 0},
		{61 * second, "", false, 0},
	} {
		s.now = start.Add(step.at)
		if got := s.call.WakeAgain(l.ID, p, d, allConfigured, s.now); got != step.channel {
			t.Errorf("at %s woken over %q, want %q", step.at, got, step.channel)
		}
		if got := s.call.MarkNoWake(l.ID, s.now); got != step.marked {
			t.Errorf("at %s marked: %v", step.at, got)
		}
		next := 0.0
		if at := s.call.NextLook(l.ID, p, s.now); !at.IsZero() {
			next = at.Sub(start).Seconds()
		}
		if next != step.next {
			t.Errorf("after %s looked at again at %v s, want %v", step.at, next, step.next)
		}
	}
	if l.Status != call.LegHandedOver || l.Channel != call.PushKitVoIP || l.WakeChannel != call.PushKitVoIP {
		t.Errorf("the leg: %+v", *l)
	}
	if !l.EscalatedAt.Equal(start.Add(8*second)) || !l.NoWakeAt.Equal(start.Add(15*second)) || !l.RewokenAt.Equal(start.Add(60*second)) {
		t.Errorf("escalated %v, marked %v, woken once more %v", l.EscalatedAt, l.NoWakeAt, l.RewokenAt)
	}
	s.wantEvents(call.EventLegUpdated, call.EventLegUpdated, call.EventLegUpdated)
	s.mustConfirm("d1")
	if got := s.leg("d1"); !got.NoWakeAt.IsZero() || got.EscalatedAt.IsZero() || got.RewokenAt.IsZero() {
		t.Errorf("after the confirm: %+v", *got)
	}
}

// TestWakeAgainLate: whoever looks late finds all that is due, one wake at a time.
func TestWakeAgainLate(t *testing.T) {
	t.Parallel()
	s, d := accepted(t, call.PushKitVoIP, 120*second)
	p, l := call.DefaultPolicy(), s.leg("d1")
	s.now = start.Add(20 * second)
	if got := s.call.WakeAgain(l.ID, p, d, allConfigured, s.now); got != call.PushKitAlert || !s.call.MarkNoWake(l.ID, s.now) {
		t.Errorf("20 s late: %q, marked at %v", got, l.NoWakeAt)
	}
	s, d = accepted(t, call.PushKitVoIP, 120*second)
	l, s.now = s.leg("d1"), start.Add(70*second)
	for _, want := range []call.Channel{call.PushKitAlert, call.PushKitVoIP, ""} {
		if got := s.call.WakeAgain(l.ID, p, d, allConfigured, s.now); got != want {
			t.Errorf("70 s late: %q, want %q", got, want)
		}
	}
	if at := s.call.NextLook(l.ID, p, time.Time{}); !at.Equal(start.Add(15 * second)) {
		t.Errorf("what is still to be done is due at %v", at)
	}
}

// TestNotWokenAgain: what keeps a second wake from being made.
func TestNotWokenAgain(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		channel call.Channel
		change  func(*scene, *call.Device, map[call.Channel]bool)
	}{
		"no token for the next channel": {call.APNsVoIP, func(_ *scene, d *call.Device, _ map[call.Channel]bool) { delete(d.Tokens, call.TokenAPNsAlert) }},
		"its token is dead": {call.APNsVoIP, func(_ *scene, d *call.Device, _ map[call.Channel]bool) {
			d.Tokens[call.TokenAPNsAlert] = call.Token{Value: "T", State: call.TokenDead}
		}},
		"its token is suspended": {call.PushKitVoIP, func(_ *scene, d *call.Device, _ map[call.Channel]bool) {
			d.Tokens[call.TokenPushKit] = call.Token{Value: "T", State: call.TokenSuspended}
		}},
		"no credential": {call.PushKitVoIP, func(_ *scene, _ *call.Device, configured map[call.Channel]bool) {
			delete(configured, call.PushKitAlert)
			delete(configured, call.PushKitVoIP)
		}},
		"the device is another user's": {call.PushKitVoIP, func(_ *scene, d *call.Device, _ map[call.Channel]bool) { d.UserID = "u3" }},
		"the device is gone":           {call.PushKitVoIP, func(_ *scene, d *call.Device, _ map[call.Channel]bool) { *d = call.Device{} }},
		"the app confirmed":            {call.PushKitVoIP, func(s *scene, _ *call.Device, _ map[call.Channel]bool) { s.mustConfirm("d1") }},
		"the call was canceled":        {call.PushKitVoIP, func(s *scene, _ *call.Device, _ map[call.Channel]bool) { s.call.End(s.tick()) }},
		"an alert":                     {call.PushKitAlert, nil},
		"too little of the ring is left": {call.PushKitVoIP, func(s *scene, _ *call.Device, _ map[call.Channel]bool) {
			s.call.ExpiresAt = start.Add(65*second + call.WakeMargin)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, d := accepted(t, tc.channel, 120*second)
			configured := map[call.Channel]bool{}
			for c := range allConfigured {
				configured[c] = true
			}
			if tc.change != nil {
				tc.change(s, &d, configured)
			}
			s.call.TakeEvents()
			before := *s.leg("d1")
			if got := s.call.WakeAgain(before.ID, call.DefaultPolicy(), d, configured, start.Add(65*second)); got != "" {
				t.Errorf("woken again over %s", got)
			}
			if after := s.leg("d1"); after.WakeChannel != before.WakeChannel || !after.EscalatedAt.IsZero() || !after.RewokenAt.IsZero() || after.Status != before.Status {
				t.Errorf("the leg went from %+v to %+v", before, *after)
			}
			s.wantEvents()
		})
	}
}

// TestLateToken: a token that comes between two looks is used at the next.
func TestLateToken(t *testing.T) {
	t.Parallel()
	s, d := accepted(t, call.APNsVoIP, 45*second)
	without := d
	without.Tokens = nil
	l := s.leg("d1")
	if got := s.call.WakeAgain(l.ID, call.DefaultPolicy(), without, allConfigured, start.Add(8*second)); got != "" {
		t.Errorf("without a token: %q", got)
	}
	if got := s.call.WakeAgain(l.ID, call.DefaultPolicy(), d, allConfigured, start.Add(15*second)); got != call.APNsAlert {
		t.Errorf("with a token at 15 s: %q", got)
	}
}

// TestFailedSecondWake: neither its acceptance nor its failure changes the leg.
func TestFailedSecondWake(t *testing.T) {
	t.Parallel()
	s, d := accepted(t, call.PushKitVoIP, 45*second)
	l := s.leg("d1")
	s.call.WakeAgain(l.ID, call.DefaultPolicy(), d, allConfigured, start.Add(8*second))
	s.call.TakeEvents()
	before := *l
	s.call.FailWake(l.ID, call.ReasonTokenDead, start.Add(9*second))
	if s.call.HandOver(l.ID, start.Add(9*second)) {
		t.Error("handed over a second time")
	}
	if diff := cmp.Diff(before, *l); diff != "" {
		t.Error(diff)
	}
	s.wantEvents()
}

// TestCheckEscalation: all that is wrong with an order is told at once.
func TestCheckEscalation(t *testing.T) {
	t.Parallel()
	for _, p := range []call.Policy{call.DefaultPolicy(), {}, {Escalation: map[call.Platform][]call.Channel{call.HarmonyOS: {}, call.IOS: {call.APNsAlert}}}} {
		if err := p.CheckEscalation(); err != nil {
			t.Errorf("%v: %v", p.Escalation, err)
		}
	}
	err := call.Policy{Escalation: map[call.Platform][]call.Channel{
		call.HarmonyOS: {call.PushKitVoIP, call.APNsAlert, call.Connection, "sms"}, call.IOS: {call.APNsVoIP, call.APNsVoIP}, call.Android: {call.PushKitVoIP}, "symbian": nil,
	}}.CheckEscalation()
	for _, want := range []string{`"harmonyos": "apns_alert" does not`, `"connection" does not`, `"sms" does not`, `"ios": "apns_voip" is named twice`, `"android": no push`, `"symbian": no push`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}
