package call_test

import (
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/pushwake/relay/call"
)

func TestLanguageOf(t *testing.T) {
	t.Parallel()
	for wanted, want := range map[string]call.Language{
		"": call.English, "*": call.English, "en-GB": call.English, "fr": call.English, "ja": call.English, "!!": call.English, "zh;q=0": call.English,
		"en, zh;q=0.9": call.English, "zh;q=high": call.English, strings.Repeat("-", 5000): call.English,
		"zh": call.Chinese, "zh-CN": call.Chinese, "zh_CN": call.Chinese, "zh-Hans": call.Chinese, "zh-TW": call.Chinese, "zh-Hant-HK": call.Chinese,
		"ZH-cn": call.Chinese, "de, zh;q=0.5": call.Chinese, "en;q=0.1, zh;q=0.2": call.Chinese, "zh-CN,zh;q=0.9,en;q=0.8": call.Chinese,
	} {
		if got := call.LanguageOf(wanted); got != want {
			t.Errorf("%.40q is answered in %s, want %s", wanted, got, want)
		}
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	where := call.Say("in %[2]s by %[1]s", "%[1]s 说在%[2]s")
	both := where.With("sim_mcc", call.Say("Hong Kong", "香港")).Then(call.Say("Next.", "下一句。"))
	three := call.List([]call.Text{call.Say("a", "甲"), call.Say("b", "乙"), call.Say("c", "丙")})
	put := call.Say("over %s, %d", "通过%s展示，共%d台")
	for _, c := range []struct {
		text             call.Text
		english, chinese string
	}{
		{put.With("CallKit", 3), "over CallKit, 3", "通过 CallKit 展示，共 3 台"},
		{put.With(call.Say("a notice", "通知"), 3), "over a notice, 3", "通过通知展示，共 3 台"},
		{put.With("张三iPhone（旧）", 3), "over 张三iPhone（旧）, 3", "通过张三iPhone（旧）展示，共 3 台"},
		{put.With("Ａ", 3), "over Ａ, 3", "通过Ａ展示，共 3 台"},
		{put.With("", 3), "over , 3", "通过展示，共 3 台"},
		{call.Say("A.", "共 5").Then(call.Say("B.", "台。")), "A. B.", "共 5 台。"},
		{call.Say("%[2]s %[1]s", "%[2]s%[1]s").With("a", "乙"), "乙 a", "乙 a"},
		{call.Say("50%% of %s", "%s的 50%%").With("x"), "50% of x", "x 的 50%"},
		{both, "in Hong Kong by sim_mcc Next.", "sim_mcc 说在香港下一句。"},
		{three, "a, b and c", "甲、乙、丙"},
		{call.List([]call.Text{call.Say("a", "甲")}), "a", "甲"},
		{call.List(nil), "", ""},
		{call.Text{}.Then(three), "a, b and c", "甲、乙、丙"},
		{three.Then(call.Text{}), "a, b and c", "甲、乙、丙"},
	} {
		if got := c.text.In(call.English); got != c.english {
			t.Errorf("English %q, want %q", got, c.english)
		}
		if got := c.text.In(call.Chinese); got != c.chinese {
			t.Errorf("Chinese %q, want %q", got, c.chinese)
		}
	}
}

// wellSaid wants a sentence in both languages, each in its own script and with
// its own full stop.
func wellSaid(t *testing.T, about string, text call.Text) {
	t.Helper()
	english, chinese := text.In(call.English), text.In(call.Chinese)
	han := func(s string) bool {
		return strings.ContainsFunc(s, func(r rune) bool { return unicode.Is(unicode.Han, r) })
	}
	if !strings.ContainsAny(english[max(0, len(english)-1):], ".?") || han(english) {
		t.Errorf("%s: the English text is %q", about, english)
	}
	if !strings.HasSuffix(chinese, "。") || !han(chinese) {
		t.Errorf("%s: the Chinese text is %q", about, chinese)
	}
}

// TestExplanations: everything that has a name is explained, in both languages,
// and no two things alike.
func TestExplanations(t *testing.T) {
	t.Parallel()
	seen := map[call.Text]call.Reason{}
	for _, r := range call.Reasons {
		wellSaid(t, string(r), r.Meaning())
		wellSaid(t, string(r), r.Advice())
		if other, twice := seen[r.Advice()]; twice {
			t.Errorf("the advice for %s is that for %s", r, other)
		}
		seen[r.Advice()] = r
		if want := r == call.ReasonRegionNotSupported || r == call.ReasonRegionUnknown; r.Region() != want {
			t.Errorf("%s is a verdict of the region gate: %v", r, r.Region())
		}
		if !slices.Contains(call.Blames, r.Blame()) {
			t.Errorf("%s is the fault of %q", r, r.Blame())
		}
	}
	for _, r := range call.EndReasons {
		wellSaid(t, string(r), r.Meaning())
		if settled := r == call.EndCompleted || r == call.EndCanceled; r.Advice().IsZero() != settled {
			t.Errorf("%s: advice %v", r, r.Advice())
		} else if !settled {
			wellSaid(t, string(r), r.Advice())
		}
	}
	for _, c := range call.Channels {
		wellSaid(t, string(c), c.Unconfirmed())
	}
	none := call.Reason("")
	if !none.Meaning().IsZero() || !none.Advice().IsZero() || none.Blame() != "" || !call.EndReason("").Meaning().IsZero() {
		t.Error("something is said about nothing")
	}
}

// TestRefusals: every word and number by which an app may say that its system
// did not show a call is explained, and so is what nobody knows.
func TestRefusals(t *testing.T) {
	t.Parallel()
	unknown := call.Report{}.Explain()
	reports := []call.Report{{}, {ErrorCode: 42}}
	for _, r := range call.ErrorReasons {
		reports = append(reports, call.Report{ErrorReason: r})
	}
	for _, c := range call.FailureCauses {
		reports = append(reports, call.Report{FailureCause: c})
	}
	for _, r := range call.Refusals {
		reports = append(reports, r.Report)
	}
	for _, r := range reports {
		got := r.Explain()
		wellSaid(t, "not_reported", got.Meaning)
		wellSaid(t, "not_reported", got.Advice)
		if r != (call.Report{}) && got == unknown {
			t.Errorf("%+v is not explained", r)
		}
	}
	if got := (call.Report{ErrorCode: 42}).Explain().Meaning.In(call.English); got != "The system threw BusinessError 42." {
		t.Errorf("an unknown number: %s", got)
	}
}
