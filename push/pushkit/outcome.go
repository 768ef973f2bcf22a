package pushkit

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/push"
)

// Code is one row of the table of what the vendor may answer.
type Code struct {
	Key     string // as in push.Answer.Code: "80200001", or "80300007/noRight" for a reason inside illegalTokens
	Wire    string // the vendor's own text; "" where none is documented
	Meaning string
	Advice  string // what an operator should do
	Answer  push.Answer
}

// Codes lists every known code and reason in the order of their keys (Push Kit
// REST v3, response codes; the messages:send page, and what its neighbours
// answer). Only Outcome, Reason, Retry, Blame, Token and Code of each Answer
// are set.
func Codes() []Code { return slices.Clone(codes) }

// Codes that the client itself looks for.
const (
	codeAccepted   = "80000000"
	codePartial    = "80100000" // some tokens refused
	codeAllInvalid = "80300007" // all tokens refused
)

// The verdicts that the rows share.
var (
	accepted       = push.Answer{Outcome: push.Accepted, Retry: push.RetryNever, Blame: push.BlameNone, Token: push.TokenKeep}
	refusedUs      = push.Answer{Outcome: push.Refused, Reason: call.ReasonVendorRefused, Retry: push.RetryNever, Blame: push.BlameUs, Token: push.TokenKeep}
	refusedVendor  = push.Answer{Outcome: push.Refused, Reason: call.ReasonVendorRefused, Retry: push.RetryNever, Blame: push.BlameVendor, Token: push.TokenKeep}
	badCredential  = push.Answer{Outcome: push.Unauthenticated, Reason: call.ReasonVendorRefused, Retry: push.RetryNever, Blame: push.BlameUs, Token: push.TokenKeep}
	staleJWT       = push.Answer{Outcome: push.Unauthenticated, Reason: call.ReasonVendorRefused, Retry: push.RetryOnce, Blame: push.BlameUs, Token: push.TokenKeep}
	tokenDead      = push.Answer{Outcome: push.TokenRefused, Reason: call.ReasonTokenDead, Retry: push.RetryNever, Blame: push.BlameDevice, Token: push.TokenDead}
	tokenDoubtful  = push.Answer{Outcome: push.TokenRefused, Reason: call.ReasonVendorRefused, Retry: push.RetryNever, Blame: push.BlameUs, Token: push.TokenDoubtful}
	throttled      = push.Answer{Outcome: push.Throttled, Reason: call.ReasonVendorThrottled, Retry: push.RetryLater, Blame: push.BlameVendor, Token: push.TokenKeep}
	throttledTests = push.Answer{Outcome: push.Throttled, Reason: call.ReasonVendorThrottled, Retry: push.RetryNever, Blame: push.BlameUs, Token: push.TokenKeep}
	unavailable    = push.Answer{Outcome: push.Unavailable, Reason: call.ReasonVendorUnavailable, Retry: push.RetryLater, Blame: push.BlameVendor, Token: push.TokenKeep}
)

var (
	codes  = table()
	byCode = func() map[string]Code {
		m := make(map[string]Code, len(codes))
		for _, c := range codes {
			m[c.Key] = c
		}
		return m
	}()
)

func table() []Code {
	const v1 = "A code of HMS Core v1; version 3 does not document it."
	rows := []Code{
		{codeAccepted, "Success", "The vendor took the message. This is not yet a delivery.", "Nothing to do. Whether it reached the device, only the receipt and the app's confirm tell.", accepted},
		{codePartial, "Check Parameter Partial Success.", "Some tokens were refused, and ours is not among them.", "Nothing to do for this device.", accepted},
		{"80000001", "CommonService Error", "An internal error of the vendor.", "It is tried again inside the ring. If it lasts, ask Huawei.", unavailable},
		{"80100001", "Check Parameter Error.", "A parameter of the request is wrong.", "This is a fault of the relay. Report it with the request id.", refusedUs},
		{"80100003", "Illegal payload, {errorTips}", "The body's structure is wrong; the text says where.", "This is a fault of the relay. Report it with the message and the request id.", refusedUs},
		{"80100004", "Illegal expire time.", "The message had expired when the vendor received it.", "Check the relay host's clock; the relay always sends a ttl of at least one second.", refusedUs},
		{"80100013", "", v1, "Check that the base URL is that of version 3.", refusedUs},
		{"80100016", "", "The text was refused as sensitive. " + v1, "Check that the base URL is that of version 3, and what the caller's name says.", refusedUs},
		{"80100017", "", v1, "Check that the base URL is that of version 3.", refusedUs},
		{"80100018", "", v1, "Check that the base URL is that of version 3.", refusedUs},
		{"80100020", "", "Some parameters are wrong; an answer of the revoke call.", "This is a fault of the relay. Report it with the request id.", refusedUs},
		{"80100022", "Anti-Spam: image not verify.", "An image was not checked beforehand.", "The relay sends no image. Report it with the request id.", refusedUs},
		{"80200001", "Authentication Error.", "The authorization is missing or wrong, or its project is not the one in the address.", "If it returns after the renewed authorization: make sure that the key file belongs to this app's project, that its key was not deleted in the console, and that the relay host's clock is right.", staleJWT},
		{"80200003", "Access token expired.", "An OAuth token expired; the relay sends none.", "It is treated as an expired authorization. If it returns, check the base URL.", staleJWT},
		{"80200005", "Jwt token expired.", "The authorization expired.", "If it returns after the renewed authorization, the relay host's clock is wrong: check its time synchronisation.", staleJWT},
		{"80300002", "No permission to send message to these tmIDs.", "Push Kit is not enabled for the project, or the project is another one.", "Enable Push Kit for the project in AppGallery Connect, and make sure that the key file is of the app's project. Tokens are kept.", refusedUs},
		{codeAllInvalid, "All the tokens are invalid.", "The token was refused and no reason given: it may be dead, or the project may lack a right.", "If other devices of the app are reached, the token is dead and the app must register again; if none is, check the project and its rights in AppGallery Connect.", tokenDoubtful},
		{"80300008", "Push message size is too long.", "The body has more than 4096 bytes.", "The relay keeps below the limit as it is documented. Report it with the request id.", refusedUs},
		{"80300010", "token count should within {0} and {1}.", "Too many tokens, or none.", "The relay sends one token a request. Report it with the request id.", refusedUs},
		{"80300011", "", v1, "Check that the base URL is that of version 3.", refusedUs},
		{"80300013", "", "The receipt address is wrong. " + v1, "Check the receipt address in AppGallery Connect.", refusedUs},
		{"80300017", "", "The tokens belong to several apps; an answer of the revoke call.", "This is a fault of the relay. Report it with the request id.", refusedUs},
		{"80300028", "", "The token's app is not the one in the address; an answer of the revoke call.", "This is a fault of the relay. Report it with the request id.", refusedUs},
		{"80300029", "When send test message, the api request exceed limit.", "Test messages were sent too often.", "The relay sends no test messages. Wait until tomorrow, or stop what else sends them with this project.", throttledTests},
		{"80300030", "When send test message, token count exceed limit.", "A test message had more than 10 tokens.", "The relay sends no test messages. Report it with the request id.", refusedUs},
		{"80300032", "", "Token or notifyId is missing; an answer of the revoke call.", "This is a fault of the relay. Report it with the request id.", refusedUs},
		{"80300036", "JWT expire period over threshold.", "The authorization is valid for more than a day.", "The relay's are valid for an hour. Report it with the request id.", badCredential},
		{"80300037", "Disable send huawei msg because of penalty.", "The app is under a penalty.", "See the notice in AppGallery Connect and appeal there. No message is sent until it is lifted.", refusedUs},
		{"80600003", "", "The vendor's OAuth service failed. " + v1, "It is tried again inside the ring. If it lasts, ask Huawei.", unavailable},
		{"81000001", "Inner Error.", "An internal error of the vendor.", "It is tried again inside the ring. If it lasts, ask Huawei.", unavailable},
	}
	for _, code := range []string{codePartial, codeAllInvalid} {
		for _, r := range reasons {
			rows = append(rows, Code{Key: code + "/" + r.Key, Meaning: r.Meaning, Advice: r.Advice, Answer: r.Answer})
		}
	}
	slices.SortFunc(rows, func(a, b Code) int { return strings.Compare(a.Key, b.Key) })
	for i := range rows {
		rows[i].Answer.Code = rows[i].Key
	}
	return rows
}

// reasons are the keys inside illegalTokens (Push Kit REST v3, response codes).
// notSupportPlayVoice is documented under 80300007 alone; under 80100000 it
// would mean the same.
var reasons = []Code{
	{"tokenFormatError", "", "The token is malformed.", "The app must call getToken and register again.", tokenDead},
	{"tokenPlatformNotSupport", "", "The token comes from another vendor's proxy.", "The app must call getToken of Push Kit and register again.", tokenDead},
	{"noRight", "", "The token's app is not in this project, or the token is older than the device's upgrade to HarmonyOS 5.", "If other devices of the app are reached, the app must call getToken and register again; if none is, the key file is of another project.", tokenDoubtful},
	{"noPushTypeRight", "", "The app lacks the right to this kind of message.", "Apply in AppGallery Connect for the right to in-app call messages. Tokens are kept.", refusedUs},
	{"disableSendHuaweiMsgBecauseOfPenalty", "", "The app is under a penalty.", "See the notice in AppGallery Connect and appeal there. Tokens are kept.", refusedUs},
	{"appinfoError", "", "The app does not exist, or not yet.", "Make sure that the app is created in the project; after creating it, wait some minutes. Tokens are kept.", refusedUs},
	{"countryNotSupport", "", "The token's country is not supported.", "Open a ticket with Huawei. Tokens are kept.", refusedUs},
	{"atomicUnableSendUnsubscribedMsg", "", "An atomic service may not get this kind of message.", "Calls ring in apps only: register the app, not the atomic service.", refusedUs},
	{"differentImgVerifyPolicy", "", "An image was checked for another kind of message.", "The relay sends no image. Report it with the request id.", refusedUs},
	{"noRightToSendThisLiveNotificationEvent", "", "The right to live views is missing.", "The relay sends no live views. Report it with the request id.", refusedUs},
	{"notSupportPlayVoice", "", "The category PLAY_VOICE does not go with this kind of message.", "The relay does not use that category. Report it with the request id.", refusedUs},
}

// family is the rule for codes that the table does not have, by their
// beginnings. It is our reading of how the known ones are numbered.
type family struct {
	prefixes []string
	row      Code
}

var families = []family{
	{[]string{"8010", "8030"}, Code{Meaning: "An unknown code of a family that refuses the request.", Advice: "Look the code up in Huawei's documents of Push Kit. Tokens are kept.", Answer: refusedUs}},
	{[]string{"8020"}, Code{Meaning: "An unknown code of a family that refuses the authorization.", Advice: "If it returns after the renewed authorization, look the code up in Huawei's documents of Push Kit.", Answer: staleJWT}},
	{[]string{"8060", "81"}, Code{Meaning: "An unknown code of a family of failures at the vendor.", Advice: "It is tried again inside the ring. If it lasts, ask Huawei.", Answer: unavailable}},
}

// strangeReason is the row for a reason inside illegalTokens that the table does not have.
var strangeReason = Code{Meaning: "The token was refused for a reason that is not documented.", Advice: "Look the reason up in Huawei's documents of Push Kit. The token is kept.", Answer: refusedUs}

// lookup returns what is known of a code or of a code and reason; ok is false
// where not even a family is.
func lookup(key string) (row Code, ok bool) {
	if row, ok := byCode[key]; ok {
		return row, true
	}
	code, _, hasReason := strings.Cut(key, "/")
	if hasReason && (code == codePartial || code == codeAllInvalid) {
		row = strangeReason
		row.Key, row.Answer.Code = key, key
		return row, true
	}
	for _, f := range families {
		for _, p := range f.prefixes {
			if strings.HasPrefix(key, p) {
				row = f.row
				row.Key, row.Answer.Code = key, key
				return row, true
			}
		}
	}
	return Code{}, false
}

// Status is one row of the table of HTTP statuses, which decide only where an
// answer has no code.
type Status struct {
	Status  int // 0: no answer
	Meaning string
	Advice  string
	Answer  push.Answer
}

// Statuses lists the HTTP statuses that have a rule of their own (Push Kit REST
// v3, response codes), in order. Others go by their class.
func Statuses() []Status { return slices.Clone(statuses) }

var statuses = []Status{
	{0, "No answer came in time.", "It is tried again inside the ring. If it lasts, check the relay's way to the vendor: names, proxy, firewall.", unavailable},
	{http.StatusUnauthorized, "The authorization was refused.", byCode["80200001"].Advice, staleJWT},
	{http.StatusNotFound, "No such address.", "Check the base URL and the project id.", refusedUs},
	{http.StatusRequestTimeout, "The vendor gave up waiting for the request.", "It is tried again inside the ring.", unavailable},
	{http.StatusTooManyRequests, "The vendor limits the rate.", "Spread the calls, or see the limit in AppGallery Connect.", throttled},
	{http.StatusInternalServerError, "The vendor failed.", "It is tried again inside the ring. If it lasts, ask Huawei.", unavailable},
	{http.StatusBadGateway, "The vendor's gateway failed.", "It is tried again inside the ring. If it lasts, ask Huawei.", unavailable},
	{http.StatusServiceUnavailable, "Flow control: the app's rate is over its limit, or the vendor is overloaded.", "Spread the calls, or see the limit in AppGallery Connect; it grows with the app's active users.", throttled},
	{http.StatusGatewayTimeout, "The vendor's gateway timed out.", "It is tried again inside the ring. If it lasts, ask Huawei.", unavailable},
}

// byStatus returns the rule for an answer without a code.
func byStatus(status int) Status {
	for _, s := range statuses {
		if s.Status == status {
			return s
		}
	}
	switch {
	case status >= 500:
		return Status{status, "The vendor failed.", "It is tried again inside the ring. If it lasts, ask Huawei.", unavailable}
	case status >= 400:
		return Status{status, "The request was refused without a code.", "Check the base URL, and any proxy on the way.", refusedUs}
	case status >= 300:
		return Status{status, "A redirect, which is not followed.", "Check the base URL: Push Kit does not redirect.", refusedUs}
	}
	// A success that cannot be read: cut off, or not from the vendor at all. The message may have been taken; the app drops a second one.
	return Status{status, "An answer that cannot be read.", "It is tried again inside the ring. If it lasts, check the base URL, and any proxy on the way.", unavailable}
}

// unknownCode is the rule for a code of no known family: with an error status
// the status decides; a success is refused rather than sent again, since the
// vendor did answer.
func unknownCode(status int) push.Answer {
	if status >= 300 {
		return byStatus(status).Answer
	}
	return refusedVendor
}

// Advice says in plain English what to do about a code as push.Answer.Code has
// it, a reason inside illegalTokens included; "" for "".
func Advice(code string) string {
	if code == "" {
		return ""
	}
	if row, ok := lookup(code); ok {
		return row.Advice
	}
	return fmt.Sprintf("The code is of no known family. Look it up in Huawei's documents of Push Kit, and check that the base URL is %s.", DefaultBaseURL)
}

// Explain is [Advice] for a whole answer: by its code, or by its HTTP status
// where it has none.
func Explain(a push.Answer) string {
	if a.Code != "" {
		return Advice(a.Code)
	}
	return byStatus(a.Status).Advice
}
