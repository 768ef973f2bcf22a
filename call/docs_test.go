package call_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pushwake/relay/call"
)

const statesPage = "../docs/states.md"

func readStates(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(statesPage)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// section is the text under a heading, to the next one.
func section(t *testing.T, heading string) string {
	t.Helper()
	_, rest, ok := strings.Cut(readStates(t), "\n"+heading+"\n")
	if !ok {
		t.Fatalf("%s has no heading %q", statesPage, heading)
	}
	before, _, _ := strings.Cut(rest, "\n#")
	return before
}

// table reads the one table of a section; of each row the columns of free text
// are left out, after a look whether they say something.
func table(t *testing.T, heading string, freeText ...int) [][]string {
	t.Helper()
	var rows [][]string
	for _, line := range strings.Split(section(t, heading), "\n") {
		if !strings.HasPrefix(line, "| ") {
			continue
		}
		var row []string
		for i, cell := range strings.Split(strings.Trim(line, "| "), " | ") {
			if !slices.Contains(freeText, i) {
				row = append(row, cell)
			} else if len(cell) < 10 && len(rows) > 0 {
				t.Errorf("%s: column %d says %q in %q", heading, i, cell, line)
			}
		}
		rows = append(rows, row)
	}
	if len(rows) < 2 {
		t.Fatalf("no table under %q", heading)
	}
	return rows[1:] // without the head
}

func cell[T ~string](values ...T) string {
	var quoted []string
	for _, v := range values {
		if v != "" {
			quoted = append(quoted, "`"+string(v)+"`")
		}
	}
	if quoted == nil {
		return "–"
	}
	return strings.Join(quoted, ", ")
}

func next[T ~string](all []T, from T, can func(T) bool) string {
	var steps []T
	for _, s := range all {
		if can(s) {
			steps = append(steps, s)
		}
	}
	return cell(steps...)
}

// TestStatesPage holds every table of the page equal to the code.
func TestStatesPage(t *testing.T) {
	t.Parallel()
	want := map[string][][]string{}
	free := map[string][]int{"### Call status": {1}, "### Leg status": {2}, "### Without a confirm": {1}}
	add := func(heading string, row ...string) { want[heading] = append(want[heading], row) }
	for _, s := range call.Statuses {
		state, _ := s.HarmonyState()
		response := "–"
		if sip, ok := s.SIP(); ok {
			response = fmt.Sprintf("%d %s", sip.Code, sip.Phrase)
		}
		add("### Call status", cell(s), next(call.Statuses, s, s.CanBecome), cell(state.Name), response, cell(s.Twilio()))
	}
	for _, r := range call.EndReasons {
		sip, _ := r.SIP()
		add("### End reason", cell(r), fmt.Sprintf("%d %s", sip.Code, sip.Phrase), cell(sip.Reason), cell(r.Twilio()))
	}
	for _, s := range call.LegStatuses {
		state, _ := s.HarmonyState()
		open := map[bool]string{true: "yes", false: "no"}[s.Open()]
		add("### Leg status", cell(s), open, next(call.LegStatuses, s, s.CanBecome), cell(state.Name), cell(s.SIPReason()))
	}
	for _, r := range []struct {
		after time.Duration
		tells string
	}{{call.EscalateAfter, "escalated_at"}, {call.NoWakeAfter, "no_wake_at"}, {call.RewakeAfter, "rewoken_at"}} {
		add("### Without a confirm", fmt.Sprintf("%d s", int(r.after.Seconds())), cell(r.tells))
	}
	number := func(e call.HarmonyEnum) string { return fmt.Sprint(e.Value) }
	for _, r := range call.HarmonyStates {
		add("### VoipCallState", cell(r.Name), number(r.HarmonyEnum), cell(r.Call...), cell(r.Legs...), cell(r.Report))
	}
	for _, r := range call.HarmonyUIEvents {
		add("### VoipCallUiEvent", cell(r.Name), number(r.HarmonyEnum), cell(r.Report), cell(r.Media))
	}
	for _, r := range call.HarmonyAudioEvents {
		add("### CallAudioEvent", cell(r.Name), number(r.HarmonyEnum), cell(r.Report))
	}
	for _, r := range call.HarmonyErrorReasons {
		add("### ErrorReason", cell(r.Name), number(r.HarmonyEnum), cell(r.Reason))
	}
	for _, r := range call.HarmonyFailureCauses {
		add("### VoipCallFailureCause", cell(r.Name), number(r.HarmonyEnum), cell(r.Cause))
	}
	for heading, rows := range want {
		if diff := cmp.Diff(rows, table(t, heading, free[heading]...)); diff != "" {
			t.Errorf("%s (-code +page):\n%s", heading, diff)
		}
	}
	if got := len(regexp.MustCompile(`(?m)^\|---`).FindAllString(readStates(t), -1)); got != len(want) {
		t.Errorf("the page has %d tables, %d are compared", got, len(want))
	}
}

var arrow = regexp.MustCompile(`(?m)^    (\w+) --> (\w+)`)

// TestDiagrams: the call's diagram has every step, the leg's only steps that exist
// and every status.
func TestDiagrams(t *testing.T) {
	t.Parallel()
	drawn := map[[2]string]bool{}
	for _, m := range arrow.FindAllStringSubmatch(section(t, "## The call"), -1) {
		drawn[[2]string{m[1], m[2]}] = true
	}
	for _, from := range call.Statuses {
		for _, to := range call.Statuses {
			step := [2]string{string(from), string(to)}
			if drawn[step] != from.CanBecome(to) {
				t.Errorf("%s to %s is drawn: %v, in the table: %v", from, to, drawn[step], from.CanBecome(to))
			}
			delete(drawn, step)
		}
	}
	if len(drawn) > 0 {
		t.Errorf("unknown steps %v", drawn)
	}
	legs := section(t, "## The leg")
	for _, m := range arrow.FindAllStringSubmatch(legs, -1) {
		if from, to := call.LegStatus(m[1]), call.LegStatus(m[2]); !from.CanBecome(to) {
			t.Errorf("the leg's diagram has a step from %s to %s", from, to)
		}
	}
	for _, s := range call.LegStatuses {
		if !regexp.MustCompile(`--> ` + string(s) + `\b`).MatchString(legs) {
			t.Errorf("the leg's diagram lacks %s", s)
		}
	}
}

// guideWords are the words of ours and of HarmonyOS in the apps' guides, by how
// they stand there.
var guideWords = []struct {
	form  *regexp.Regexp
	known func(string) bool
}{
	{regexp.MustCompile(`\bVOIP_CALL_STATE_[A-Z]+\b`), func(w string) bool {
		return slices.ContainsFunc(call.HarmonyStates, func(e call.HarmonyState) bool { return e.Name == w })
	}},
	{regexp.MustCompile(`\bVOIP_CALL_EVENT_[A-Z_]+\b`), func(w string) bool {
		return slices.ContainsFunc(call.HarmonyUIEvents, func(e call.HarmonyUIEvent) bool { return e.Name == w })
	}},
	{regexp.MustCompile(`\bAUDIO_EVENT_[A-Z]+\b`), func(w string) bool {
		return slices.ContainsFunc(call.HarmonyAudioEvents, func(e call.HarmonyAudioEvent) bool { return e.Name == w })
	}},
	{regexp.MustCompile(`\bErrorReason\.([A-Z_]+)\b`), func(w string) bool {
		return slices.ContainsFunc(call.HarmonyErrorReasons, func(e call.HarmonyErrorReason) bool { return e.Name == w })
	}},
	{regexp.MustCompile(`\bVoipCallFailureCause\.([A-Z_]+)\b`), func(w string) bool {
		return slices.ContainsFunc(call.HarmonyFailureCauses, func(e call.HarmonyFailureCause) bool { return e.Name == w })
	}},
	{regexp.MustCompile(`event: '([a-z_]+)'|Report\("([a-z_]+)"`), known(call.ReportEvents)},
	{regexp.MustCompile(`error_reason: '([a-z_]+)'`), known(call.ErrorReasons)},
	{regexp.MustCompile(`failure_cause: '([a-z_]+)'|failureCause: "([a-z_]+)"`), known(call.FailureCauses)},
	{regexp.MustCompile(`leg\.status === '([a-z_]+)'`), known(call.LegStatuses)},
}

func known[T ~string](all []T) func(string) bool {
	return func(w string) bool { return slices.Contains(all, T(w)) }
}

// TestGuides holds the words of the apps' guides to those that exist.
func TestGuides(t *testing.T) {
	t.Parallel()
	seen := map[int]bool{}
	for _, page := range []string{"../docs/harmonyos.md", "../docs/ios.md"} {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for i, words := range guideWords {
			for _, m := range words.form.FindAllStringSubmatch(string(text), -1) {
				seen[i] = true
				word := strings.Join(m[1:], "")
				if word == "" {
					word = m[0]
				}
				if !words.known(word) {
					t.Errorf("%s: there is no %s", page, word)
				}
			}
		}
	}
	if len(seen) != len(guideWords) {
		t.Errorf("only the forms %v were found", seen)
	}
}
