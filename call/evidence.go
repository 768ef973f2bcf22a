package call

import (
	"regexp"
	"slices"
	"strings"
)

// nothing is what platforms give where they know no country: iOS 16.4 and newer
// have 65535 and "--" for the SIM, Android the largest of its numbers, ISO has
// ZZ; the words come from programs that print what they lack.
var nothing = []string{"", "-", "--", "0", "00", "000", "-1", "65535", "2147483647", "zz", "null", "nil", "none", "n/a", "undefined", "unknown"}

// SaysNothing reports whether a piece of evidence is what platforms give where
// they know no country.
func SaysNothing(evidence string) bool {
	return slices.Contains(nothing, strings.ToLower(strings.TrimSpace(evidence)))
}

// operator is a network's number: the country's code, and its own of two or
// three digits (ITU-T E.212).
var operator = regexp.MustCompile(`^([0-9]{3})[ -]?[0-9]{2,3}$`)

// Country reads a piece of evidence of the source as platforms give it. ok is
// false where no country can be read from it.
func (s EvidenceSource) Country(evidence string) (country string, ok bool) {
	if SaysNothing(evidence) { // 65535 would be one of South Africa (655)
		return "", false
	}
	evidence = strings.TrimSpace(evidence)
	switch s {
	case FromPhone:
		return CountryOfPhone(evidence)
	case FromSIM, FromNetwork:
		if m := operator.FindStringSubmatch(evidence); m != nil {
			evidence = m[1]
		}
		return CountryOfMCC(evidence)
	case FromStorefront:
		// A web request has a language after the number: "143465-19,29".
		number, _, _ := strings.Cut(evidence, "-")
		if country, ok = storefrontCountry[number]; ok {
			return country, true
		}
	}
	return CountryOfISO(evidence)
}

// Form says what evidence of the source looks like.
func (s EvidenceSource) Form() Text {
	switch s {
	case FromPhone:
		return Say("a phone number in E.164, with its plus sign", "带加号的 E.164 手机号")
	case FromSIM, FromNetwork:
		return Say("a mobile country code such as 460, or an operator's number such as 46000", "移动国家代码（如 460）或运营商号码（如 46000）")
	case FromStorefront:
		return Say("a country code of ISO 3166-1, as StoreKit gives it", "StoreKit 给出的 ISO 3166-1 国家或地区代码")
	}
	return Say("a country code of ISO 3166-1", "ISO 3166-1 国家或地区代码")
}
