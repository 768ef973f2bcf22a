package call_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pushwake/relay/call"
)

// TestPolicyWith: a changed policy shares nothing with the one it was made from,
// and a locale is one however it is written.
func TestPolicyWith(t *testing.T) {
	t.Parallel()
	p := call.DefaultPolicy().With(call.PolicyChange{NoticeTexts: map[string]call.NoticeText{"zh_CN": {Voice: "甲"}, "en": {Voice: "a"}}})
	changed := p.With(call.PolicyChange{
		Escalation:  map[call.Platform][]call.Channel{call.IOS: {}},
		NoticeTexts: map[string]call.NoticeText{"zh-cn": {Video: "乙"}},
	})
	if got := len(p.Escalation[call.IOS]); got != 2 || len(p.NoticeTexts) != 2 || p.NoticeTexts["zh_CN"].Video != "" {
		t.Errorf("the policy before was changed too: %+v", p)
	}
	want := map[string]call.NoticeText{"zh-cn": {Voice: "甲", Video: "乙"}, "en": {Voice: "a"}}
	if diff := cmp.Diff(want, changed.NoticeTexts); diff != "" {
		t.Error(diff)
	}
	if got := (call.Policy{}).With(call.PolicyChange{Escalation: map[call.Platform][]call.Channel{call.IOS: {}}}); len(got.Escalation) != 1 {
		t.Errorf("from nothing: %+v", got)
	}
	all := changed.With(call.PolicyChange{ToDefault: call.PolicySettings})
	if diff := cmp.Diff(call.DefaultPolicy(), all); diff != "" {
		t.Errorf("all settings to their default: %s", diff)
	}
}
