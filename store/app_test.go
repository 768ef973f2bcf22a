package store_test

import (
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/store"
)

func ref[T any](v T) *T { return &v }

// TestChangeApp: each change keeps what it does not name, and of many at once none
// undoes another.
func TestChangeApp(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	changes := []call.PolicyChange{
		{Reject: ref(call.RejectOne)},
		{Payload: ref(call.PayloadMinimal)},
		{MaxDuration: ref(90 * time.Second)},
		{Rules: ref("2026-11")},
		{MaxDevices: ref(7)},
		{Retention: ref(30 * 24 * time.Hour)},
		{APNsVoIPExpiration: ref(10 * time.Second)},
		{Escalation: map[call.Platform][]call.Channel{call.IOS: {}}},
		{Escalation: map[call.Platform][]call.Channel{call.HarmonyOS: {call.PushKitVoIP}}},
		{NoticeTexts: map[string]call.NoticeText{"zh-CN": {Voice: "您有未接来电"}}},
		{NoticeTexts: map[string]call.NoticeText{"zh-CN": {Video: "您有未接视频来电"}}},
	}
	want := call.Policy{
		Reject: call.RejectOne, Payload: call.PayloadMinimal, MaxDuration: 90 * time.Second, Rules: "2026-11", MaxDevices: 7, Retention: 30 * 24 * time.Hour, APNsVoIPExpiration: 10 * time.Second,
		Escalation:  map[call.Platform][]call.Channel{call.HarmonyOS: {call.PushKitVoIP}, call.IOS: {}},
		NoticeTexts: map[string]call.NoticeText{"zh-CN": {Voice: "您有未接来电", Video: "您有未接视频来电"}},
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	made := 0
	for i, c := range changes {
		all.Go(func() {
			before, after, first, err := r.either(i).ChangeApp(t.Context(), "a", c)
			if err != nil || cmp.Diff(after, before.With(c)) != "" {
				t.Errorf("%+v: %+v, then %+v, %v", c, before, after, err)
			}
			mu.Lock()
			defer mu.Unlock()
			if first {
				made++
			}
		})
	}
	all.Wait()
	if a, err := r.App(t.Context(), "a"); err != nil || cmp.Diff(want, a.Policy) != "" || made != 1 {
		t.Errorf("made %d times, %v\n%s", made, err, cmp.Diff(want, a.Policy))
	}
	before, after, first, err := r.ChangeApp(t.Context(), "a", call.PolicyChange{})
	if err != nil || first || cmp.Diff(want, before) != "" || cmp.Diff(want, after) != "" {
		t.Errorf("no change: %v, %v\n%s", first, err, cmp.Diff(before, after))
	}
	_, after, _, err = r.ChangeApp(t.Context(), "a", call.PolicyChange{ToDefault: call.PolicySettings, MaxDevices: ref(3)})
	if want := call.DefaultPolicy().With(call.PolicyChange{MaxDevices: ref(3)}); err != nil || cmp.Diff(want, after) != "" {
		t.Errorf("back to the default: %v\n%s", err, cmp.Diff(want, after))
	}
}

// TestReplaceCredential: each sees what the one before it left, two at once too.
func TestReplaceCredential(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if _, _, _, err := r.ChangeApp(t.Context(), "a", call.PolicyChange{}); err != nil {
		t.Fatal(err)
	}
	replace := func(s *store.Store, app, name string) error {
		return s.ReplaceCredential(t.Context(), app, call.APNs, func(before store.Credential) (store.Credential, error) {
			about := maps.Clone(before.About)
			if about == nil {
				about = map[string]string{}
			}
			about[name] = "x"
			return store.Credential{AppID: app, Vendor: call.APNs, Secret: []byte(name), About: about}, nil
		})
	}
	var all sync.WaitGroup
	for i, name := range []string{"one", "two", "three", "four"} {
		all.Go(func() { wantErr(t, name, replace(r.either(i), "a", name), nil) })
	}
	all.Wait()
	c, err := r.Credential(t.Context(), "a", call.APNs)
	if err != nil || cmp.Diff(map[string]string{"one": "x", "two": "x", "three": "x", "four": "x"}, c.About) != "" {
		t.Errorf("%v, %v", c.About, err)
	}
	wantErr(t, "no app", replace(r.Store, "nobody", "one"), store.ErrNotFound)
	wantErr(t, "a credential that is none", r.ReplaceCredential(t.Context(), "a", call.APNs, func(before store.Credential) (store.Credential, error) {
		if len(before.Secret) == 0 || before.Vendor != call.APNs {
			t.Errorf("it replaces %+v", before)
		}
		return store.Credential{}, call.ErrAnswered
	}), call.ErrAnswered)
}
