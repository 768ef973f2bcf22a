package call_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/pushwake/relay/call"
)

func seen(source call.EvidenceSource, country string, age time.Duration) call.Evidence {
	return call.Evidence{Source: source, Country: country, At: start.Add(-age)}
}

const old = call.EvidenceMaxAge + time.Second

// TestJudgeRegion has each sentence of the contract on region gating.
func TestJudgeRegion(t *testing.T) {
	t.Parallel()
	all := call.Platforms
	notIOS := []call.Platform{call.HarmonyOS, call.Android, call.Web}
	iOS := []call.Platform{call.IOS}
	type evidence = []call.Evidence
	for _, tc := range []struct {
		name      string
		platforms []call.Platform
		evidence  evidence
		want      call.Area
		country   string
	}{
		{"nothing is known", all, nil, call.AreaUnknown, ""},
		{"the phone number alone", all, evidence{seen(call.FromPhone, "CN", 0)}, call.AreaMainland, "CN"},
		{"the SIM alone", all, evidence{seen(call.FromSIM, "CN", 0)}, call.AreaMainland, "CN"},
		{"the network alone", all, evidence{seen(call.FromNetwork, "CN", 0)}, call.AreaMainland, "CN"},
		{"the storefront alone", all, evidence{seen(call.FromStorefront, "CN", 0)}, call.AreaMainland, "CN"},
		{"the device's word alone", all, evidence{seen(call.FromDevice, "CN", 0)}, call.AreaMainland, "CN"},
		{"Hong Kong is not mainland China", all, evidence{seen(call.FromSIM, "HK", 0)}, call.AreaOther, "HK"},
		{"Macao is not mainland China", all, evidence{seen(call.FromSIM, "MO", 0)}, call.AreaOther, "MO"},
		{"Taiwan is not mainland China", all, evidence{seen(call.FromSIM, "TW", 0)}, call.AreaOther, "TW"},

		{"signals that agree", all, evidence{seen(call.FromPhone, "CN", 0), seen(call.FromSIM, "CN", 0), seen(call.FromNetwork, "CN", 0)}, call.AreaMainland, "CN"},
		{"signals that disagree", all, evidence{seen(call.FromPhone, "CN", 0), seen(call.FromNetwork, "TH", 0)}, call.AreaUnknown, ""},
		{"two regions elsewhere disagree too", all, evidence{seen(call.FromPhone, "DE", 0), seen(call.FromSIM, "FR", 0)}, call.AreaUnknown, ""},
		{"mainland and Hong Kong", all, evidence{seen(call.FromPhone, "CN", 0), seen(call.FromSIM, "HK", 0)}, call.AreaUnknown, ""},

		{"90 days old counts", all, evidence{seen(call.FromSIM, "CN", call.EvidenceMaxAge)}, call.AreaMainland, "CN"},
		{"a second more does not", all, evidence{seen(call.FromSIM, "CN", old)}, call.AreaUnknown, ""},
		{"a stale signal does not disagree", all, evidence{seen(call.FromSIM, "CN", 0), seen(call.FromPhone, "HK", old)}, call.AreaMainland, "CN"},
		{"a clock that runs ahead", all, evidence{seen(call.FromSIM, "CN", -time.Hour)}, call.AreaMainland, "CN"},
		{"no country", all, evidence{seen(call.FromDevice, "", 0), seen(call.FromSIM, "CN", 0)}, call.AreaMainland, "CN"},

		{"an IP of mainland China", all, evidence{seen(call.FromIP, "CN", 0)}, call.AreaMainland, "CN"},
		{"an IP elsewhere counts for nothing", all, evidence{seen(call.FromIP, "US", 0)}, call.AreaUnknown, ""},
		{"an IP elsewhere counts against nothing", all, evidence{seen(call.FromIP, "US", 0), seen(call.FromSIM, "CN", 0)}, call.AreaMainland, "CN"},
		{"an IP of mainland China against a SIM", all, evidence{seen(call.FromIP, "CN", 0), seen(call.FromSIM, "HK", 0)}, call.AreaUnknown, ""},
		{"a stale IP", all, evidence{seen(call.FromIP, "CN", old)}, call.AreaUnknown, ""},

		{"the backend overrides what agrees", all, evidence{seen(call.FromSIM, "US", 0), seen(call.FromPhone, "US", 0), seen(call.FromBackend, "CN", 0)}, call.AreaMainland, "CN"},
		{"the backend overrides the storefront", all, evidence{seen(call.FromStorefront, "CN", 0), seen(call.FromBackend, "HK", 0)}, call.AreaOther, "HK"},
		{"the backend overrides what is mixed", all, evidence{seen(call.FromSIM, "US", 0), seen(call.FromPhone, "CN", 0), seen(call.FromBackend, "CN", 0)}, call.AreaMainland, "CN"},
		{"the backend's word never ages", all, evidence{seen(call.FromBackend, "CN", 100*call.EvidenceMaxAge), seen(call.FromSIM, "HK", 0)}, call.AreaMainland, "CN"},
		{"the backend's latest word", all, evidence{seen(call.FromBackend, "HK", 0), seen(call.FromBackend, "CN", time.Hour)}, call.AreaOther, "HK"},

		{"iOS: the storefront decides", iOS, evidence{seen(call.FromStorefront, "CN", 0), seen(call.FromSIM, "US", 0), seen(call.FromPhone, "US", 0)}, call.AreaMainland, "CN"},
		{"iOS: a storefront elsewhere decides too", iOS, evidence{seen(call.FromStorefront, "US", 0), seen(call.FromSIM, "CN", 0), seen(call.FromIP, "CN", 0)}, call.AreaOther, "US"},
		{"iOS: a storefront 90 days old decides", iOS, evidence{seen(call.FromStorefront, "CN", call.EvidenceMaxAge), seen(call.FromSIM, "US", 0)}, call.AreaMainland, "CN"},
		{"iOS: a stale storefront does not", iOS, evidence{seen(call.FromStorefront, "CN", old), seen(call.FromSIM, "US", 0)}, call.AreaOther, "US"},
		{"iOS: a stale storefront alone", iOS, evidence{seen(call.FromStorefront, "CN", old)}, call.AreaUnknown, ""},
		{"iOS: the latest storefront", iOS, evidence{seen(call.FromStorefront, "CN", time.Hour), seen(call.FromStorefront, "US", 0)}, call.AreaOther, "US"},
		{"elsewhere a storefront is one signal among others", notIOS, evidence{seen(call.FromStorefront, "CN", 0), seen(call.FromSIM, "US", 0)}, call.AreaUnknown, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			for _, p := range tc.platforms {
				v := call.JudgeRegion(p, tc.evidence, start)
				if v.Area != tc.want || v.Country != tc.country {
					t.Errorf("%s: %s %q, want %s %q (%+v)", p, v.Area, v.Country, tc.want, tc.country, v.Signals)
				}
				if len(v.Signals) != len(tc.evidence) {
					t.Errorf("%s: %d signals of %d", p, len(v.Signals), len(tc.evidence))
				}
			}
		})
	}
}

// TestSignalUse explains each piece of evidence in a verdict.
func TestSignalUse(t *testing.T) {
	t.Parallel()
	sim, phone := seen(call.FromSIM, "CN", 0), seen(call.FromPhone, "HK", 0)
	for _, tc := range []struct {
		name     string
		platform call.Platform
		evidence []call.Evidence
		want     []call.SignalUse
	}{
		{"agreed", call.HarmonyOS, []call.Evidence{sim, seen(call.FromIP, "CN", 0)}, []call.SignalUse{call.UseDecided, call.UseDecided}},
		{"conflict, with bystanders", call.HarmonyOS,
			[]call.Evidence{sim, phone, seen(call.FromIP, "US", 0), seen(call.FromNetwork, "CN", old)},
			[]call.SignalUse{call.UseConflict, call.UseConflict, call.UseNotCounted, call.UseStale}},
		{"overruled by the backend", call.HarmonyOS,
			[]call.Evidence{sim, seen(call.FromBackend, "HK", old), seen(call.FromIP, "US", old), seen(call.FromBackend, "CN", old+1)},
			[]call.SignalUse{call.UseOverruled, call.UseDecided, call.UseOverruled, call.UseOverruled}},
		{"overruled by the storefront", call.IOS, []call.Evidence{seen(call.FromStorefront, "US", 0), sim},
			[]call.SignalUse{call.UseDecided, call.UseOverruled}},
		{"the backend contradicts itself at one instant", call.HarmonyOS,
			[]call.Evidence{seen(call.FromBackend, "CN", 0), seen(call.FromBackend, "HK", 0), sim},
			[]call.SignalUse{call.UseConflict, call.UseConflict, call.UseOverruled}},
	} {
		v := call.JudgeRegion(tc.platform, tc.evidence, start)
		for i, s := range v.Signals {
			if s.Use != tc.want[i] || s.Source != tc.evidence[i].Source || s.Country != tc.evidence[i].Country || s.Age != start.Sub(tc.evidence[i].At) {
				t.Errorf("%s: signal %d is %+v, want %s", tc.name, i, s, tc.want[i])
			}
		}
	}
}

// TestSignalAge: a device's clock that runs ahead makes no negative age.
func TestSignalAge(t *testing.T) {
	t.Parallel()
	v := call.JudgeRegion(call.HarmonyOS, []call.Evidence{seen(call.FromSIM, "CN", -time.Hour), seen(call.FromPhone, "CN", time.Hour)}, start)
	if v.Signals[0].Age != 0 || v.Signals[1].Age != time.Hour {
		t.Errorf("ages %v and %v, want 0 and an hour", v.Signals[0].Age, v.Signals[1].Age)
	}
}

// TestVerdictOrder shuffles random evidence: the verdict stays.
func TestVerdictOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		one := rapid.Custom(func(t *rapid.T) call.Evidence {
			age := rapid.SampledFrom([]time.Duration{0, time.Hour, call.EvidenceMaxAge, old, 2 * old}).Draw(t, "age")
			return seen(rapid.SampledFrom(call.EvidenceSources).Draw(t, "source"), rapid.SampledFrom([]string{"", "CN", "CN", "HK", "US"}).Draw(t, "country"), age)
		})
		evidence := rapid.SliceOfN(one, 0, 8).Draw(t, "evidence")
		platform := rapid.SampledFrom(call.Platforms).Draw(t, "platform")
		want := call.JudgeRegion(platform, evidence, start)
		got := call.JudgeRegion(platform, rapid.Permutation(evidence).Draw(t, "shuffled"), start)
		if got.Area != want.Area || got.Country != want.Country {
			t.Fatalf("%s %q, shuffled %s %q", want.Area, want.Country, got.Area, got.Country)
		}
		if (want.Area == call.AreaUnknown) != (want.Country == "") || (want.Area == call.AreaMainland) != (want.Country == call.MainlandChina) {
			t.Fatalf("area %s with country %q", want.Area, want.Country)
		}
	})
}
