package call_test

import (
	"regexp"
	"slices"
	"testing"

	"github.com/pushwake/relay/call"
)

// TestHarmonyStates: every state of ours has exactly one of the system's.
func TestHarmonyStates(t *testing.T) {
	t.Parallel()
	calls, legs := map[call.Status]int{}, map[call.LegStatus]int{}
	for i, row := range call.HarmonyStates {
		if row.Value != i {
			t.Errorf("%s has the number %d in place %d", row.Name, row.Value, i)
		}
		for _, s := range row.Call {
			calls[s]++
			if got, ok := s.HarmonyState(); !ok || got != row.HarmonyEnum {
				t.Errorf("call %s is %v, want %s", s, got, row.Name)
			}
		}
		for _, s := range row.Legs {
			legs[s]++
			if got, ok := s.HarmonyState(); !ok || got != row.HarmonyEnum {
				t.Errorf("leg %s is %v, want %s", s, got, row.Name)
			}
		}
	}
	for _, s := range call.Statuses {
		if calls[s] != 1 {
			t.Errorf("call status %s has %d VoipCallStates", s, calls[s])
		}
	}
	for _, s := range call.LegStatuses {
		if legs[s] != 1 {
			t.Errorf("leg status %s has %d VoipCallStates", s, legs[s])
		}
	}
	if _, ok := call.Status("gone").HarmonyState(); ok {
		t.Error("an unknown call status has a VoipCallState")
	}
	if _, ok := call.LegStatus("gone").HarmonyState(); ok {
		t.Error("an unknown leg status has a VoipCallState")
	}
}

// TestHarmonyEvents: every report event but not_reported is what some state,
// UI event or audio event makes an app say, and nothing else is.
func TestHarmonyEvents(t *testing.T) {
	t.Parallel()
	said := map[call.ReportEvent]bool{"": true, call.ReportNotReported: true}
	for _, row := range call.HarmonyStates {
		said[row.Report] = true
	}
	for i, row := range call.HarmonyUIEvents {
		said[row.Report] = true
		event, media, ok := call.ReportOfUIEvent(row.Value)
		if row.Value != i || event != row.Report || media != row.Media || ok != (row.Report != "") {
			t.Errorf("%s in place %d: %q with %q, %v", row.Name, i, event, media, ok)
		}
		if (row.Report == call.ReportAnswered) != (row.Media != "") {
			t.Errorf("%s has the media %q", row.Name, row.Media)
		}
	}
	for _, row := range call.HarmonyAudioEvents {
		said[row.Report] = true
	}
	for _, e := range call.ReportEvents {
		if !said[e] {
			t.Errorf("nothing on HarmonyOS makes an app report %s", e)
		}
	}
	if len(said) != len(call.ReportEvents)+1 {
		t.Errorf("an unknown report event among %v", said)
	}
	if _, _, ok := call.ReportOfUIEvent(10); ok {
		t.Error("an unknown UI event has a report")
	}
}

// TestNotReportedNumbers reads the numbers that the system's calls resolve with.
func TestNotReportedNumbers(t *testing.T) {
	t.Parallel()
	for i, want := range append([]call.ErrorReason{""}, call.ErrorReasons...) {
		if got, ok := call.ErrorReasonOf(i); !ok || got != want {
			t.Errorf("ErrorReason %d is %q, %v, want %q", i, got, ok, want)
		}
	}
	for i, want := range call.FailureCauses {
		if got, ok := call.FailureCauseOf(i); !ok || got != want {
			t.Errorf("VoipCallFailureCause %d is %q, %v, want %q", i, got, ok, want)
		}
	}
	for _, n := range []int{-1, 5, 3} {
		if _, ok := call.FailureCauseOf(n); ok {
			t.Errorf("VoipCallFailureCause %d is known", n)
		}
	}
	for _, n := range []int{-1, 5} {
		if _, ok := call.ErrorReasonOf(n); ok {
			t.Errorf("ErrorReason %d is known", n)
		}
	}
}

// TestSIP: provisional while nobody answered, 200 from then on, and an error
// response for every end without an answer.
func TestSIP(t *testing.T) {
	t.Parallel()
	header := regexp.MustCompile(`^(SIP|Q\.850);cause=\d+(;text="[^"]+")?$`)
	for _, s := range call.Statuses {
		got, ok := s.SIP()
		up := s == call.StatusAnswered || s == call.StatusActive
		if ok == (s == call.StatusEnded) || up != (got.Code == 200) || (got.Code == 180) != (s == call.StatusRinging) {
			t.Errorf("%s is %+v, %v", s, got, ok)
		}
		if (s.Twilio() == "ringing") != (s == call.StatusRinging) || (s.Twilio() == "") == ok {
			t.Errorf("%s is %q at Twilio", s, s.Twilio())
		}
	}
	for _, r := range call.EndReasons {
		got, ok := r.SIP()
		if !ok || (r == call.EndCompleted) != (got.Code == 200) || r != call.EndCompleted && got.Code < 400 || got.Phrase == "" {
			t.Errorf("%s is %+v, %v", r, got, ok)
		}
		if got.Reason != "" && !header.MatchString(got.Reason) {
			t.Errorf("%s has the Reason header %q", r, got.Reason)
		}
		if !slices.Contains([]string{"completed", "busy", "no-answer", "canceled", "failed"}, r.Twilio()) {
			t.Errorf("%s is %q at Twilio", r, r.Twilio())
		}
	}
	for _, s := range call.LegStatuses {
		got, elsewhere := s.SIPReason(), s == call.LegAnsweredElsewhere || s == call.LegDeclinedElsewhere
		if elsewhere != (got != "") || got != "" && !header.MatchString(got) {
			t.Errorf("leg %s has the Reason header %q", s, got)
		}
	}
}
