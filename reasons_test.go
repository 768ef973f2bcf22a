package relay_test

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/push"
	"github.com/pushwake/relay/push/apns"
	"github.com/pushwake/relay/push/pushkit"
)

var update = flag.Bool("update", false, "write the tables of docs/reasons.md anew")

const reasonsPage = "docs/reasons.md"

// TestReasonsPage holds the page that explains every reason and every vendor's
// code equal to the code that explains them; with -update it writes the tables.
func TestReasonsPage(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(reasonsPage)
	if err != nil {
		t.Fatal(err)
	}
	page := string(data)
	tables := map[string][][]string{
		"leg reasons": legReasons(), "end reasons": endReasons(), "not reported": refusals(),
		"Push Kit codes": pushKitCodes(), "Push Kit reasons": pushKitReasons(t), "Push Kit statuses": pushKitStatuses(),
		"Push Kit receipts": pushKitReceipts(),
		"APNs reasons":      apnsReasons(), "APNs statuses": apnsStatuses(),
	}
	for name, rows := range tables {
		begin, end := "<!-- table: "+name+" -->\n", "<!-- end: "+name+" -->"
		before, rest, ok1 := strings.Cut(page, begin)
		got, after, ok2 := strings.Cut(rest, end)
		if !ok1 || !ok2 {
			t.Fatalf("the page has no table %q", name)
		}
		want := table(t, rows)
		if *update {
			page = before + begin + want + end + after
		} else if diff := gocmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")); diff != "" {
			t.Errorf("the table %q differs; go test . -run TestReasonsPage -update writes it (-code +page):\n%s", name, diff)
		}
	}
	if *update {
		if err := os.WriteFile(reasonsPage, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(page, "<!-- table: "); n != len(tables) {
		t.Errorf("the page has %d tables, %d are compared", n, len(tables))
	}
}

// table writes rows, the first of which are the names of the columns.
func table(t *testing.T, rows [][]string) string {
	var b strings.Builder
	for i, row := range rows {
		if text := strings.Join(row, ""); strings.ContainsAny(text, "|\n") || len(row) != len(rows[0]) {
			t.Errorf("the row %q does not fit a table", row)
		}
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
		if i == 0 {
			b.WriteString(strings.Repeat("|---", len(row)) + "|\n")
		}
	}
	return b.String()
}

// explained is the columns of an explanation: meaning, advice, both in Chinese.
func explained(meaning, advice call.Text) []string {
	chinese := meaning.In(call.Chinese)
	if !advice.IsZero() {
		chinese += "<br>" + advice.In(call.Chinese)
	}
	return []string{meaning.In(call.English), cmp.Or(advice.In(call.English), "–"), chinese}
}

func code[T ~string](s T) string { return "`" + string(s) + "`" }

// alone plays a call to one phone, of which the reason is all that is known.
func alone(r call.Reason) *call.Call {
	c := &call.Call{Media: call.Voice, RejectPolicy: call.RejectAll}
	phone := call.Decision{Device: call.Device{ID: "d1", Platform: call.HarmonyOS, Type: call.Phone}, Channel: call.PushKitVoIP, Reason: r}
	c.Invite([]call.Decision{phone}, call.DefaultRing, time.Unix(0, 0), uuid.New)
	return c
}

func legReasons() [][]string {
	rows := [][]string{{"reason", "fault", "the call ends", "meaning", "what to do", "中文"}}
	for _, r := range call.Reasons {
		rows = append(rows, append([]string{code(r), string(r.Blame()), ends(r)}, explained(r.Meaning(), r.Advice())...))
	}
	return rows
}

// ends is how a call ends whose one device has a reason: at the invitation, or
// when it is woken.
func ends(r call.Reason) string {
	c := alone(r)
	switch r {
	case call.ReasonDuplicate:
		return "–" // it rings another way
	case call.ReasonVendorRefused, call.ReasonVendorThrottled, call.ReasonVendorUnavailable, call.ReasonDeadlinePassed:
		c = alone("")
		c.FailWake(c.Legs[0].ID, r, time.Unix(1, 0))
	}
	return code(c.EndReason)
}

func endReasons() [][]string {
	rows := [][]string{{"end_reason", "meaning", "what to do", "中文"}}
	for _, r := range call.EndReasons {
		rows = append(rows, append([]string{code(r)}, explained(r.Meaning(), r.Advice())...))
	}
	return rows
}

func refusals() [][]string {
	rows := [][]string{{"field", "value", "the leg ends", "meaning", "what to do", "中文"}}
	for _, r := range call.Refusals {
		field, value := "error_code", fmt.Sprint(r.ErrorCode)
		switch {
		case r.ErrorReason != "":
			field, value = "error_reason", string(r.ErrorReason)
		case r.FailureCause != "":
			field, value = "failure_cause", string(r.FailureCause)
		}
		c := alone("")
		r.Seq, r.Event = 1, call.ReportNotReported
		_ = c.Report(c.Legs[0].ID, r.Report, "", time.Unix(1, 0)) // the status tells
		rows = append(rows, append([]string{code(field), code(value), code(c.Legs[0].Status)}, explained(r.Meaning, r.Advice)...))
	}
	return rows
}

// verdict is the columns of what relay makes of an answer.
func verdict(a push.Answer) []string {
	reason := "–"
	if a.Reason != "" {
		reason = code(a.Reason)
	}
	return []string{code(a.Outcome), reason, string(a.Blame), string(a.Retry), string(a.Token)}
}

var verdictColumns = []string{"outcome", "reason of the leg", "fault", "sent again", "token", "meaning", "what to do", "中文"}

func pushKitCodes() [][]string {
	rows := [][]string{append([]string{"code", "vendor's text"}, verdictColumns...)}
	for _, c := range pushkit.Codes() {
		if !strings.Contains(c.Key, "/") {
			rows = append(rows, append(append([]string{code(c.Key), cmp.Or(c.Wire, "–")}, verdict(c.Answer)...), explained(c.Meaning, c.Advice)...))
		}
	}
	return rows
}

// pushKitReasons are the same for both codes that have them.
func pushKitReasons(t *testing.T) [][]string {
	rows := map[string][][]string{}
	for _, c := range pushkit.Codes() {
		if prefix, reason, found := strings.Cut(c.Key, "/"); found {
			rows[prefix] = append(rows[prefix], append(append([]string{code(reason)}, verdict(c.Answer)...), explained(c.Meaning, c.Advice)...))
		}
	}
	if diff := gocmp.Diff(rows["80100000"], rows["80300007"]); diff != "" || len(rows) != 2 {
		t.Errorf("the reasons are not the same for both codes:\n%s", diff)
	}
	return append([][]string{append([]string{"reason"}, verdictColumns...)}, rows["80300007"]...)
}

func status(n int) string {
	if n == 0 {
		return "none"
	}
	return fmt.Sprint(n)
}

func pushKitStatuses() [][]string {
	rows := [][]string{append([]string{"HTTP status"}, verdictColumns...)}
	for _, s := range pushkit.Statuses() {
		rows = append(rows, append(append([]string{status(s.Status)}, verdict(s.Answer)...), explained(s.Meaning, s.Advice)...))
	}
	return rows
}

func pushKitReceipts() [][]string {
	rows := [][]string{{"result", "what follows", "meaning", "what to do", "中文"}}
	for _, r := range pushkit.Receipts() {
		rows = append(rows, append([]string{code(fmt.Sprint(r.Result)), code(r.Action)}, explained(r.Meaning, r.Advice)...))
	}
	return rows
}

func apnsReasons() [][]string {
	rows := [][]string{append([]string{"HTTP status", "reason"}, verdictColumns...)}
	for _, r := range apns.Reasons() {
		rows = append(rows, append(append([]string{status(r.Status), code(r.Name)}, verdict(r.Answer)...), explained(r.Meaning, r.Advice)...))
	}
	return rows
}

func apnsStatuses() [][]string {
	rows := [][]string{append([]string{"HTTP status"}, verdictColumns...)}
	for _, s := range apns.Statuses() {
		rows = append(rows, append(append([]string{status(s.Status)}, verdict(s.Answer)...), explained(s.Meaning, s.Advice)...))
	}
	return rows
}
