package store_test

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/store"
)

func inCountry(source call.EvidenceSource, country string) func(*store.Registration) {
	return func(r *store.Registration) { r.Region = map[call.EvidenceSource]string{source: country} }
}

// TestGateAtConfirm moves a device between the invitation and its confirm.
func TestGateAtConfirm(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		country string
		want    error
		reason  call.Reason
	}{
		"hong kong": {"HK", call.ErrRegionNot, call.ReasonRegionNotSupported},
		"nowhere":   {"", call.ErrRegionUnsure, call.ReasonRegionUnknown}, // the backend takes its word back
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			phone(t, r.Store, "u2", "d1")
			c, never := create(t, r.Store, invite("u2")), create(t, r.Store, invite("u2"))
			phone(t, r.other, "u2", "d1", inCountry(call.FromBackend, tc.country))
			for i := range 2 { // the second time the leg is closed already
				_, err := r.either(i).ConfirmLeg(t.Context(), party(c, "d1"), call.Confirmation{Source: call.SourcePush})
				wantErr(t, "confirm", err, tc.want)
			}
			l := legOf(t, look(t, r.Store, c.ID), "d1")
			if l.Status != call.LegFailed || l.Reason != tc.reason {
				t.Errorf("the leg: %s, %s", l.Status, l.Reason)
			}
			if end := look(t, r.Store, c.ID).EndReason; end != call.EndUnreachable {
				t.Errorf("the call ended %s", end)
			}
			for seq, e := range []call.ReportEvent{call.ReportRinging, call.ReportAnswered, call.ReportRejected, call.ReportMuted} {
				_, err := say(t, r.Store, c, "d1", said(int64(seq+1), e))
				wantErr(t, "report "+string(e), err, tc.want)
			}
			// A report that implies the confirm is gated as one.
			_, err := say(t, r.Store, never, "d1", said(1, call.ReportMuted), said(2, call.ReportRinging), said(3, call.ReportMuted))
			if i, verdict := refusedAt(err); i != 1 || !errors.Is(verdict, tc.want) {
				t.Errorf("a report without a confirm: %v", err)
			}
			if l := legOf(t, look(t, r.Store, never.ID), "d1"); l.Status != call.LegFailed || l.LastSeq != 2 {
				t.Errorf("its leg: %+v", l)
			}
			if n := read[int](t, r, `SELECT count(*)::int FROM confirms WHERE verdict = 'stop' AND reason = $1`, string(tc.reason)); n != 2 {
				t.Errorf("%d refused confirms on record, want 2", n)
			}
		})
	}
}

// TestSkippedForItsRegion: a device that was not woken may still hear of the call.
func TestSkippedForItsRegion(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	phone(t, r.Store, "u2", "d1")
	phone(t, r.Store, "u2", "d2", inCountry(call.FromBackend, "HK"))
	c := create(t, r.Store, invite("u2"))
	_, err := r.ConfirmLeg(t.Context(), party(c, "d2"), call.Confirmation{Source: call.SourceConnection})
	wantErr(t, "confirm of a skipped leg", err, call.ErrRegionNot)
	_, err = say(t, r.Store, c, "d2", said(1, call.ReportAnswered))
	wantErr(t, "report of a skipped leg", err, call.ErrRegionNot)
	if now := look(t, r.Store, c.ID); now.Status != call.StatusWaking {
		t.Errorf("the call for the other device: %+v", now)
	}
}

// TestAdmittedStays: a VPN switched on in mid-call keeps no call from ending,
// and neither does the backend's change of mind, nor a new account.
func TestAdmittedStays(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*testing.T, *rig){
		"moved to hong kong": func(t *testing.T, r *rig) { phone(t, r.Store, "u2", "d1", inCountry(call.FromBackend, "HK")) },
		"moved to nowhere":   func(t *testing.T, r *rig) { phone(t, r.Store, "u2", "d1", inCountry(call.FromBackend, "")) },
		"another account":    func(t *testing.T, r *rig) { phone(t, r.Store, "u3", "d1", inCountry(call.FromBackend, "HK")) },
		"deleted": func(t *testing.T, r *rig) {
			if err := r.DeleteDevice(t.Context(), app, "d1", ""); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			phone(t, r.Store, "u2", "d1")
			c := create(t, r.Store, invite("u2"))
			confirm(t, r.Store, c, "d1")
			report(t, r.other, c, "d1", call.ReportRinging, call.ReportAnswered)
			change(t, r)
			report(t, r.other, c, "d1", call.ReportActive)
			if out := report(t, r.Store, c, "d1", call.ReportDisconnected); out.Call.EndReason != call.EndCompleted {
				t.Errorf("the end: %+v", out.Call)
			}
		})
	}
}

// TestForeignAtConfirm: a phone that changed accounts, or logged out, does not
// ring for the old one, though the wake's own token speaks for the leg.
func TestForeignAtConfirm(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	phone(t, r.Store, "u2", "moved")
	phone(t, r.Store, "u2", "deleted")
	c := create(t, r.Store, invite("u2"))
	phone(t, r.Store, "u3", "moved")
	if err := r.DeleteDevice(t.Context(), app, "deleted", "u2"); err != nil {
		t.Fatal(err)
	}
	for _, device := range []string{"moved", "deleted"} {
		p := party(c, device)
		p.LegID = legOf(t, c, device).ID
		told, err := r.other.ConfirmLeg(t.Context(), p, call.Confirmation{Source: call.SourcePush})
		if err != nil || told.Verdict != call.VerdictStop || told.Reason != string(call.ReasonNoToken) {
			t.Errorf("confirm of %s: %+v, %v", device, told.Answer, err)
		}
		_, err = r.ReportLeg(t.Context(), p, []call.Report{said(1, call.ReportMuted), said(2, call.ReportAnswered)})
		wantErr(t, "report of "+device, err, call.ErrEnded)
		p.UserID = "u3"
		_, err = r.ConfirmLeg(t.Context(), p, call.Confirmation{Source: call.SourcePush})
		wantErr(t, "confirm by the new account of "+device, err, store.ErrNotFound)
	}
	if now := look(t, r.Store, c.ID); now.AnsweredBy != "" || now.EndReason != call.EndUnreachable {
		t.Errorf("the call: %+v", now)
	}
}

// TestAddress: a public address in mainland China is evidence, is kept, and is
// not written anew within the hour; others are not evidence for it.
func TestAddress(t *testing.T) {
	t.Parallel()
	china, elsewhere, private := netip.MustParseAddr("114.114.114.114"), netip.MustParseAddr("8.8.8.8"), netip.MustParseAddr("10.1.2.3")
	r := newRig(t)
	phone(t, r.Store, "u2", "d1", inCountry(call.FromSIM, "CN"))
	ask := func(ip netip.Addr) (store.Confirmed, error) {
		t.Helper()
		c := create(t, r.Store, invite("u2"))
		defer func() { _, _ = r.CancelCall(t.Context(), app, c.ID) }()
		p := party(c, "d1")
		p.IP = ip
		return r.ConfirmLeg(t.Context(), p, call.Confirmation{Source: call.SourcePush})
	}
	kept := func() string {
		t.Helper()
		return read[string](t, r, `SELECT coalesce(string_agg(source || ' ' || country, ', ' ORDER BY source), '') FROM device_regions`)
	}
	if _, err := ask(private); err != nil || kept() != "sim_mcc CN" {
		t.Errorf("a private address: %v, kept %s", err, kept())
	}
	if _, err := ask(china); err != nil || kept() != "ip CN, sim_mcc CN" {
		t.Errorf("an address in China: %v, kept %s", err, kept())
	}
	at := read[time.Time](t, r, `SELECT observed_at FROM device_regions WHERE source = 'ip'`)
	if _, err := ask(china); err != nil || !read[time.Time](t, r, `SELECT observed_at FROM device_regions WHERE source = 'ip'`).Equal(at) {
		t.Errorf("the evidence was written again at once: %v", err)
	}
	r.exec(t, `UPDATE device_regions SET observed_at = observed_at - interval '61 min' WHERE source = 'ip'`)
	if _, err := ask(china); err != nil || !read[time.Time](t, r, `SELECT observed_at FROM device_regions WHERE source = 'ip'`).After(at) {
		t.Errorf("the evidence was not renewed after an hour: %v", err)
	}
	// Against a SIM elsewhere, the address makes it unclear; an address elsewhere says nothing.
	if _, err := ask(elsewhere); err != nil || kept() != "ip US, sim_mcc CN" {
		t.Errorf("an address elsewhere: %v, kept %s", err, kept())
	}
	phone(t, r.Store, "u2", "d2", inCountry(call.FromSIM, "CN"))
	c := create(t, r.Store, invite("u2"))
	phone(t, r.Store, "u2", "d2", inCountry(call.FromSIM, "JP"))
	p := party(c, "d2")
	p.IP = china
	_, err := r.ConfirmLeg(t.Context(), p, call.Confirmation{Source: call.SourcePush})
	wantErr(t, "a SIM of Japan at an address in China", err, call.ErrRegionUnsure)
	if n := read[int](t, r, `SELECT count(*)::int FROM confirms WHERE region IS NOT NULL`); n != 6 {
		t.Errorf("%d confirms with evidence on record, want 6", n)
	}
}

// TestEvidenceAges: what a device said counts for 90 days, what the backend
// says for ever.
func TestEvidenceAges(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	phone(t, r.Store, "u2", "said", inCountry(call.FromSIM, "CN"))
	phone(t, r.Store, "u2", "given", inCountry(call.FromBackend, "CN"))
	age := func(days string) map[string]call.Reason {
		t.Helper()
		r.exec(t, `UPDATE device_regions SET observed_at = clock_timestamp() - $1::interval`, days+" days")
		devices, err := r.UserDevices(t.Context(), app, "u2")
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]call.Reason{}
		for _, d := range devices {
			got[d.ID] = d.Decision.Reason
		}
		return got
	}
	if diff := cmp.Diff(map[string]call.Reason{"said": "", "given": ""}, age("89")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]call.Reason{"said": call.ReasonRegionUnknown, "given": ""}, age("91")); diff != "" {
		t.Error(diff)
	}
	l := legOf(t, create(t, r.Store, invite("u2")), "said")
	if l.Reason != call.ReasonRegionUnknown || len(l.Decision.Region.Signals) != 1 || l.Decision.Region.Signals[0].Use != call.UseStale {
		t.Errorf("the leg's decision: %+v", l.Decision)
	}
}

// TestGateOfReport: an app that reports without a confirm asks the gate too, and
// the timeline shows what it knew.
func TestGateOfReport(t *testing.T) {
	t.Parallel()
	for country, want := range map[string]error{"CN": nil, "HK": call.ErrRegionNot} {
		r := newRig(t)
		phone(t, r.Store, "u2", "d1")
		c := create(t, r.Store, invite("u2"))
		phone(t, r.Store, "u2", "d1", inCountry(call.FromBackend, country))
		if _, err := say(t, r.Store, c, "d1", said(1, call.ReportRinging)); !errors.Is(err, want) {
			t.Errorf("in %s: %v, want %v", country, err, want)
		}
		_, entries, err := r.Timeline(t.Context(), app, c.ID)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(entries, func(e store.Entry) bool { return e.Report != nil })
		if g := entries[i].Report.Gate; g == nil || g.Region.Country != country || len(g.Region.Signals) == 0 || g.RulesVersion == "" {
			t.Errorf("in %s the report's gate is %+v", country, g)
		}
	}
}
