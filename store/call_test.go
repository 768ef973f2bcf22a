package store_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/store"
)

func TestACallFromInviteToEnd(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	phone(t, r.Store, "u2", "d1")
	phone(t, r.Store, "u2", "d2")
	c := create(t, r.Store, invite("u2"))
	if c.Status != call.StatusWaking || len(c.Legs) != 2 || c.Reachable() != 2 {
		t.Fatalf("call after the invitation: %+v", c)
	}
	for _, device := range []string{"d1", "d2"} {
		if out := confirm(t, r.other, c, device); out.Verdict != call.VerdictRing {
			t.Fatalf("confirm of %s: %+v", device, out)
		}
	}
	if got := report(t, r.Store, c, "d1", call.ReportRinging); got.Call.Status != call.StatusRinging {
		t.Fatalf("while it rings: %+v", got.Call)
	}
	if got := report(t, r.other, c, "d1", call.ReportAnswered, call.ReportActive); got.Call.Status != call.StatusActive || got.Call.AnsweredBy != "d1" {
		t.Fatalf("after the answer: %+v", got.Call)
	}
	if got := report(t, r.Store, c, "d1", call.ReportDisconnected); got.Call.EndReason != call.EndCompleted {
		t.Fatalf("after the end: %+v", got.Call)
	}
	// Every process reads the same, and what was answered is what is stored.
	one, other := look(t, r.Store, c.ID), look(t, r.other, c.ID)
	if diff := cmp.Diff(one, other, cmp.AllowUnexported(call.Call{})); diff != "" {
		t.Error(diff)
	}
	want := map[string]call.LegStatus{"d1": call.LegCompleted, "d2": call.LegAnsweredElsewhere}
	if diff := cmp.Diff(want, legStatuses(one)); diff != "" {
		t.Error(diff)
	}
}

// TestAnswerIsWhatIsStored reads a call back and finds what CreateCall said.
func TestAnswerIsWhatIsStored(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	phone(t, r.Store, "u2", "d1")
	phone(t, r.Store, "u2", "d2", func(r *store.Registration) { r.Region[call.FromBackend] = "HK" })
	in := invite("u2")
	in.Ref, in.Conference, in.Custom = "sip-8f3", true, []byte(`{"room" : "<r9>", "n":1.50}`)
	in.Caller.AvatarURL, in.Caller.Enterprise = "https://a/b", &call.Enterprise{Company: "A & B", EmployeeID: "7"}
	c := create(t, r.Store, in)
	stored, _, err := r.other.Timeline(t.Context(), app, c.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []*call.Call{&c, &stored} {
		for i := range x.Legs { // the store keeps what was decided, not the tokens and the registration behind it
			d := &x.Legs[i].Decision
			d.Device.Tokens, d.Device.Region, d.Enterprise = nil, nil, false
			d.Region.Signals = nil
		}
	}
	if diff := cmp.Diff(c, stored, cmp.AllowUnexported(call.Call{})); diff != "" {
		t.Error(diff)
	}
}

func TestCancelAndEnd(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	phone(t, r.Store, "u2", "d1")
	ringing, answered := create(t, r.Store, invite("u2")), create(t, r.Store, invite("u2"))
	report(t, r.Store, answered, "d1", call.ReportAnswered)

	c, err := r.CancelCall(t.Context(), app, ringing.ID)
	if err != nil || c.EndReason != call.EndCanceled || c.Legs[0].Status != call.LegCanceled {
		t.Errorf("cancel: %+v, %v", c, err)
	}
	_, err = r.CancelCall(t.Context(), app, answered.ID)
	wantErr(t, "cancel of an answered call", err, call.ErrAnswered)
	if c, err = r.EndCall(t.Context(), app, answered.ID); err != nil || c.EndReason != call.EndCompleted {
		t.Errorf("end: %+v, %v", c, err)
	}
	for what, end := range map[string]func() (call.Call, error){
		"cancel": func() (call.Call, error) { return r.other.CancelCall(t.Context(), app, answered.ID) },
		"end":    func() (call.Call, error) { return r.other.EndCall(t.Context(), app, answered.ID) },
	} {
		again, err := end()
		if diff := cmp.Diff(c.EndedAt, again.EndedAt); err != nil || diff != "" || again.EndReason != call.EndCompleted {
			t.Errorf("%s of an ended call: %+v, %v", what, again, err)
		}
	}
	for _, id := range []uuid.UUID{{}, uuid.Max, store.NewID(r.Now())} {
		_, err = r.CancelCall(t.Context(), app, id)
		wantErr(t, "cancel of no call", err, store.ErrNotFound)
	}
	_, err = r.EndCall(t.Context(), "stranger", answered.ID)
	wantErr(t, "another app's end", err, store.ErrNotFound)
}

// TestOnlyOnesOwnLeg lets strangers act on a call.
func TestOnlyOnesOwnLeg(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	phone(t, r.Store, "u2", "d1")
	phone(t, r.Store, "u3", "d9")
	c := create(t, r.Store, invite("u2"))
	right := party(c, "d1")
	for what, wrong := range map[string]func(*store.Party){
		"another app":    func(p *store.Party) { p.AppID = "other" },
		"another device": func(p *store.Party) { p.DeviceID = "d9" },
		"another user":   func(p *store.Party) { p.UserID = "u3" },
		"another leg":    func(p *store.Party) { p.LegID = uuid.New() },
		"another call":   func(p *store.Party) { p.CallID = uuid.New() },
	} {
		p := right
		wrong(&p)
		_, err := r.ConfirmLeg(t.Context(), p, call.Confirmation{Source: call.SourcePush})
		wantErr(t, what+" confirms", err, store.ErrNotFound)
		_, err = r.ReportLeg(t.Context(), p, []call.Report{said(1, call.ReportRejected)})
		wantErr(t, what+" reports", err, store.ErrNotFound)
	}
	right.UserID, right.LegID = "u2", c.Legs[0].ID
	if _, err := r.ConfirmLeg(t.Context(), right, call.Confirmation{Source: call.SourcePush}); err != nil {
		t.Errorf("the leg itself: %v", err)
	}
}
