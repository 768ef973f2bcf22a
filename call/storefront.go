package call

// storefronts tells the country of an App Store storefront's number, which
// StoreKit gave before its country codes and which old apps and receipts keep.
// The numbers are those that Apple's search and affiliate documents listed; one
// that is missing here is told as not understood [A].
var storefronts = map[string]string{
	"143441": "US", "143442": "FR", "143443": "DE", "143444": "GB", "143445": "AT", "143446": "BE", "143447": "FI", "143448": "GR",
	"143449": "IE", "143450": "IT", "143451": "LU", "143452": "NL", "143453": "PT", "143454": "ES", "143455": "CA", "143456": "SE",
	"143457": "NO", "143458": "DK", "143459": "CH", "143460": "AU", "143461": "NZ", "143462": "JP", "143463": "HK", "143464": "SG",
	"143465": "CN", "143466": "KR", "143467": "IN", "143468": "MX", "143469": "RU", "143470": "TW", "143471": "VN", "143472": "ZA",
	"143473": "MY", "143474": "PH", "143475": "TH", "143476": "ID", "143477": "PK", "143478": "PL", "143479": "SA", "143480": "TR",
	"143481": "AE", "143515": "MO",
}
