package call_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/pushwake/relay/call"
)

func TestCountryOfISO(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]string{
		"CN": "CN", "CHN": "CN", "156": "CN", "cn": "CN", " chn ": "CN",
		"HK": "HK", "HKG": "HK", "344": "HK", "MO": "MO", "MAC": "MO", "446": "MO", "TW": "TW", "TWN": "TW", "158": "TW",
		"US": "US", "USA": "US", "840": "US", "GB": "GB", "GBR": "GB", "UK": "GB", "XK": "XK",
		"": "", "C": "", "CN1": "", "ZZ": "", "EU": "", "001": "", "419": "", "999": "", "AAA": "", "China": "", "中国": "", "zh-CN": "", "\x00\xff": "",
	} {
		if got, ok := call.CountryOfISO(code); got != want || ok != (want != "") {
			t.Errorf("%q is %q, %v, want %q", code, got, ok, want)
		}
	}
}

func TestCountryOfMCC(t *testing.T) {
	t.Parallel()
	for mcc, want := range map[string]string{
		"460": "CN", "461": "CN", " 460 ": "CN", "454": "HK", "455": "MO", "466": "TW",
		"202": "GR", "234": "GB", "235": "GB", "262": "DE", "302": "CA", "310": "US", "313": "US", "316": "US", "330": "PR", "404": "IN", "405": "IN",
		"440": "JP", "441": "JP", "450": "KR", "467": "KP", "502": "MY", "525": "SG", "655": "ZA", "724": "BR", "750": "FK",
		"": "", "001": "", "46": "", "4600": "", "46000": "", "462": "", "901": "", "999": "", "cn": "", "४६०": "",
	} {
		if got, ok := call.CountryOfMCC(mcc); got != want || ok != (want != "") {
			t.Errorf("%q is %q, %v, want %q", mcc, got, ok, want)
		}
	}
}

// TestMCCTable walks all codes: each that is assigned names a country as
// CountryOfISO spells it, or signals of one place would disagree.
func TestMCCTable(t *testing.T) {
	t.Parallel()
	assigned, countries := 0, map[string]bool{}
	for mcc := range 1000 {
		code := fmt.Sprintf("%03d", mcc)
		country, ok := call.CountryOfMCC(code)
		if !ok {
			continue
		}
		assigned++
		countries[country] = true
		if iso, ok := call.CountryOfISO(country); !ok || iso != country {
			t.Errorf("%s is %q, which ISO has as %q, %v", code, country, iso, ok)
		}
		if mcc < 200 || mcc >= 800 {
			t.Errorf("%s belongs to no country", code)
		}
	}
	if assigned < 235 || len(countries) < 215 {
		t.Errorf("%d codes of %d countries, want at least 235 of 215", assigned, len(countries))
	}
}

func TestCountryOfPhone(t *testing.T) {
	t.Parallel()
	for number, want := range map[string]string{
		"+8613800138000": "CN", "+86 10 6552 9988": "CN", "+85291234567": "HK", "+85366123456": "MO", "+886912345678": "TW",
		"+12125550123": "US", "+14165550123": "CA", "+442079460000": "GB",
		"": "", "+": "", "+86": "", "+861": "", "13800138000": "", "008613800138000": "", "+999123456": "", "+80012345678": "", "call me": "", "\xff+86": "",
	} {
		if got, ok := call.CountryOfPhone(number); got != want || ok != (want != "") {
			t.Errorf("%q is %q, %v, want %q", number, got, ok, want)
		}
	}
}

func FuzzCountryOfPhone(f *testing.F) {
	for _, s := range []string{"+8613800138000", "+85291234567", "+1 (212) 555-0123", "+80012345678", "tel:+86-138;ext=1", "", "+", "+\xff", "＋８６１３８００１３８０００"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, number string) {
		country, ok := call.CountryOfPhone(number)
		if ok != (country != "") {
			t.Fatalf("%q: %q, %v", number, country, ok)
		}
		if iso, valid := call.CountryOfISO(country); ok && (!valid || iso != country) {
			t.Fatalf("%q gives %q, which is no country", number, country)
		}
	})
}

func TestCountryOfIP(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{
		"114.114.114.114": "CN", "223.5.5.5": "CN", "2400:3200::1": "CN", "::ffff:114.114.114.114": "CN",
		"203.80.96.10": "HK", "1.36.0.1": "HK", "2404:c805::1": "HK", "202.175.3.3": "MO", "60.246.0.1": "MO",
		"168.95.1.1": "TW", "2001:b000:168::1": "TW", "8.8.8.8": "US", "2001:4860:4860::8888": "US",
		"10.0.0.1": "", "172.16.0.1": "", "192.168.1.1": "", "::ffff:10.0.0.1": "", "fd00::1": "", "100.64.0.1": "", "192.0.2.1": "",
		"127.0.0.1": "", "::1": "", "0.0.0.0": "", "::": "", "169.254.1.1": "", "fe80::1%eth0": "", "224.0.0.1": "", "255.255.255.255": "", "2001:db8::1": "",
	} {
		if got, ok := call.CountryOfIP(netip.MustParseAddr(addr)); got != want || ok != (want != "") {
			t.Errorf("%s is %q, %v, want %q", addr, got, ok, want)
		}
	}
	if got, ok := call.CountryOfIP(netip.Addr{}); ok || got != "" {
		t.Errorf("no address is %q, %v", got, ok)
	}
}
