package call

import (
	"net/netip"
	"strings"
	"time"

	"github.com/nyaruka/phonenumbers"
	"github.com/phuslu/iploc"
	"golang.org/x/text/language"
)

// MainlandChina is the only region with rules of its own. Hong Kong, Macao and
// Taiwan have codes of their own and are not part of it here, as in the Call
// Service Kit's and the App Store's documents.
const MainlandChina = "CN"

// EvidenceSource says who or what told a device's region.
type EvidenceSource string

const (
	FromBackend    EvidenceSource = "backend"     // region.country, given by the backend
	FromStorefront EvidenceSource = "storefront"  // the App Store account's region
	FromPhone      EvidenceSource = "phone"       // the account's E.164 number
	FromSIM        EvidenceSource = "sim_mcc"     // the SIM's home network
	FromNetwork    EvidenceSource = "network_mcc" // the network that serves it now
	FromDevice     EvidenceSource = "country"     // region.country, given by the device
	FromIP         EvidenceSource = "ip"          // the address of the device's own request
)

// EvidenceSources lists every source, strongest first.
var EvidenceSources = []EvidenceSource{FromBackend, FromStorefront, FromPhone, FromSIM, FromNetwork, FromDevice, FromIP}

// Evidence is one signal of a device's region.
type Evidence struct {
	Source  EvidenceSource
	Country string // ISO 3166-1 alpha-2, upper case
	At      time.Time
}

// EvidenceMaxAge is how long a signal counts. What the backend says never
// expires.
const EvidenceMaxAge = 90 * 24 * time.Hour

// Area is a region as the rules distinguish it.
type Area string

const (
	AreaMainland Area = "mainland_china"
	AreaOther    Area = "other"
	AreaUnknown  Area = "unknown"
)

// Signal is one piece of evidence as it counted in a verdict.
type Signal struct {
	Source  EvidenceSource
	Country string
	Age     time.Duration
	Use     SignalUse
}

// SignalUse says what a verdict did with a signal.
type SignalUse string

const (
	UseDecided    SignalUse = "decided"     // it decided the verdict, alone or with others that agree
	UseOverruled  SignalUse = "overruled"   // a stronger source decided, or newer evidence of the same source
	UseConflict   SignalUse = "conflict"    // it disagrees with another fresh signal
	UseStale      SignalUse = "stale"       // older than EvidenceMaxAge
	UseNotCounted SignalUse = "not_counted" // an IP address outside mainland China, or no country at all
)

// RegionVerdict is the region that a device is taken to be in, and why.
type RegionVerdict struct {
	Area    Area
	Country string // "" where unknown
	Signals []Signal
}

// JudgeRegion weighs the evidence of a device's region as of now. What the
// backend said decides; else, on iOS, a fresh storefront; else the fresh
// signals must agree. An IP address counts only as evidence for mainland China;
// VPNs and roaming make it worthless as evidence against. Without evidence, or
// with mixed or stale evidence, the region is unknown.
func JudgeRegion(p Platform, evidence []Evidence, now time.Time) RegionVerdict {
	v := RegionVerdict{Area: AreaUnknown, Signals: make([]Signal, 0, len(evidence))}
	alone := newest(evidence, FromBackend) // evidence that decides alone
	if alone == nil && p == IOS {
		if alone = newest(evidence, FromStorefront); alone != nil && now.Sub(alone.At) > EvidenceMaxAge {
			alone = nil
		}
	}
	agreed, mixed := "", false
	for _, e := range evidence {
		s := Signal{Source: e.Source, Country: e.Country, Age: max(0, now.Sub(e.At)), Use: UseDecided}
		switch {
		case alone != nil && (e.Source != alone.Source || e.At.Before(alone.At)):
			s.Use = UseOverruled
		case alone == nil && s.Age > EvidenceMaxAge:
			s.Use = UseStale
		case e.Country == "" || e.Source == FromIP && e.Country != MainlandChina:
			s.Use = UseNotCounted
		case agreed == "":
			agreed = e.Country
		case agreed != e.Country:
			mixed = true
		}
		v.Signals = append(v.Signals, s)
	}
	if mixed {
		for i := range v.Signals {
			if v.Signals[i].Use == UseDecided {
				v.Signals[i].Use = UseConflict
			}
		}
		return v
	}
	switch agreed {
	case "":
	case MainlandChina:
		v.Area, v.Country = AreaMainland, agreed
	default:
		v.Area, v.Country = AreaOther, agreed
	}
	return v
}

// newest is the latest evidence of a source; nil where it gave none.
func newest(evidence []Evidence, source EvidenceSource) (found *Evidence) {
	for i, e := range evidence {
		if e.Source == source && (found == nil || e.At.After(found.At)) {
			found = &evidence[i]
		}
	}
	return found
}

// CountryOfISO normalises an ISO 3166-1 alpha-2, alpha-3 (as App Store
// storefronts have it) or numeric code to alpha-2. ok is false for anything
// that is not a country's code.
func CountryOfISO(code string) (country string, ok bool) {
	r, err := language.ParseRegion(strings.ToUpper(strings.TrimSpace(code)))
	if err != nil || !r.IsCountry() {
		return "", false
	}
	return r.Canonicalize().String(), true // UK means GB; otherwise two signals of one country would disagree
}

// CountryOfMCC normalises a mobile country code (ITU-T E.212).
func CountryOfMCC(mcc string) (country string, ok bool) {
	country, ok = mccCountry[strings.TrimSpace(mcc)]
	return country, ok
}

// CountryOfPhone returns the country of an E.164 number, with its plus sign.
func CountryOfPhone(number string) (country string, ok bool) {
	n, err := phonenumbers.Parse(number, phonenumbers.UNKNOWN_REGION)
	if err != nil || !phonenumbers.IsPossibleNumber(n) {
		return "", false
	}
	region := phonenumbers.GetRegionCodeForNumber(n)
	if region == "" { // a possible number that no plan assigns still has its calling code's main region
		region = phonenumbers.GetRegionCodeForCountryCode(int(n.GetCountryCode()))
	}
	return CountryOfISO(region)
}

// CountryOfIP returns the country of a public address; ok is false for private,
// reserved and unlisted ones. The data are those of the iploc module.
func CountryOfIP(addr netip.Addr) (country string, ok bool) {
	addr = addr.Unmap()
	if !addr.IsValid() || !addr.IsGlobalUnicast() || addr.IsPrivate() {
		return "", false
	}
	return CountryOfISO(iploc.IPCountry(addr))
}
