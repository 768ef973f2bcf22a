package call_test

import (
	"strconv"
	"testing"

	"github.com/pushwake/relay/call"
)

// TestEvidence: a country is read from what platforms really give.
func TestEvidence(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		source   call.EvidenceSource
		evidence string
		want     string // "" where none can be read
		nothing  bool
	}{
		{call.FromSIM, "460", "CN", false}, {call.FromSIM, "46000", "CN", false}, {call.FromSIM, "46001", "CN", false}, {call.FromNetwork, "310260", "US", false},
		{call.FromNetwork, "454-03", "HK", false}, {call.FromNetwork, "460 11", "CN", false}, {call.FromSIM, " 46000 ", "CN", false},
		{call.FromSIM, "4600", "", false}, {call.FromSIM, "4600000", "", false}, {call.FromSIM, "999", "", false}, {call.FromSIM, "00101", "", false}, {call.FromSIM, "CN", "", false},
		{call.FromSIM, "", "", true}, {call.FromSIM, "  ", "", true}, {call.FromSIM, "65535", "", true}, {call.FromNetwork, "--", "", true}, {call.FromSIM, "2147483647", "", true},
		{call.FromStorefront, "CHN", "CN", false}, {call.FromStorefront, "143465", "CN", false}, {call.FromStorefront, "143441", "US", false},
		{call.FromStorefront, "143463", "HK", false}, {call.FromStorefront, "143515", "MO", false}, {call.FromStorefront, "143470", "TW", false},
		{call.FromStorefront, "143465-19,29", "CN", false}, {call.FromStorefront, "143999", "", false}, {call.FromStorefront, "AAA", "", false},
		{call.FromPhone, "+8613800138000", "CN", false}, {call.FromPhone, "13800138000", "", false}, {call.FromPhone, "unknown", "", true},
		{call.FromDevice, "cn", "CN", false}, {call.FromDevice, "156", "CN", false}, {call.FromDevice, "143465", "", false}, {call.FromDevice, "--", "", true},
		{call.FromBackend, "HK", "HK", false}, {call.FromBackend, "ZZ", "", true}, {call.FromBackend, "XQ", "", false}, {call.FromBackend, "中国", "", false},
	} {
		got, ok := c.source.Country(c.evidence)
		if got != c.want || ok != (c.want != "") || call.SaysNothing(c.evidence) != c.nothing {
			t.Errorf("%s %q: %q, %v, nothing %v; want %q", c.source, c.evidence, got, ok, call.SaysNothing(c.evidence), c.want)
		}
	}
	for n := 143441; n < 143600; n++ {
		number := strconv.Itoa(n)
		if country, ok := call.FromStorefront.Country(number); ok {
			if iso, ok := call.CountryOfISO(country); !ok || iso != country {
				t.Errorf("the storefront %s is %q, which is no country", number, country)
			}
		}
	}
}
