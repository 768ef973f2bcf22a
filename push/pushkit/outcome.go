package pushkit

import (
	"net/http"
	"slices"
	"strings"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/push"
)

// The verdicts that the rows share.
var (
	accepted       = push.Answer{Outcome: push.Accepted, Retry: push.RetryNever, Blame: call.BlameNone, Token: push.TokenKeep}
	refusedUs      = push.Answer{Outcome: push.Refused, Reason: call.ReasonVendorRefused, Retry: push.RetryNever, Blame: call.BlameUs, Token: push.TokenKeep}
	refusedVendor  = push.Answer{Outcome: push.Refused, Reason: call.ReasonVendorRefused, Retry: push.RetryNever, Blame: call.BlameVendor, Token: push.TokenKeep}
	badCredential  = push.Answer{Outcome: push.Unauthenticated, Reason: call.ReasonVendorRefused, Retry: push.RetryNever, Blame: call.BlameUs, Token: push.TokenKeep}
	staleJWT       = push.Answer{Outcome: push.Unauthenticated, Reason: call.ReasonVendorRefused, Retry: push.RetryOnce, Blame: call.BlameUs, Token: push.TokenKeep}
	tokenDead      = push.Answer{Outcome: push.TokenRefused, Reason: call.ReasonTokenDead, Retry: push.RetryNever, Blame: call.BlameDevice, Token: push.TokenDead}
	tokenDoubtful  = push.Answer{Outcome: push.TokenRefused, Reason: call.ReasonVendorRefused, Retry: push.RetryNever, Blame: call.BlameUs, Token: push.TokenDoubtful}
	throttled      = push.Answer{Outcome: push.Throttled, Reason: call.ReasonVendorThrottled, Retry: push.RetryLater, Blame: call.BlameVendor, Token: push.TokenKeep}
	throttledTests = push.Answer{Outcome: push.Throttled, Reason: call.ReasonVendorThrottled, Retry: push.RetryNever, Blame: call.BlameUs, Token: push.TokenKeep}
	unavailable    = push.Answer{Outcome: push.Unavailable, Reason: call.ReasonVendorUnavailable, Retry: push.RetryLater, Blame: call.BlameVendor, Token: push.TokenKeep}
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

// family is the rule for unknown codes, by their first digits. It is an
// assumption, based on how the known codes are numbered.
type family struct {
	prefixes []string
	row      Code
}

var families = []family{
	{[]string{"8010", "8030"}, Code{
		Meaning: call.Say("An unknown code of a family that refuses the request.", "未知错误码，所属号段表示请求被拒绝。"),
		Advice:  call.Say("Look the code up in Huawei's documents of Push Kit. Tokens are kept.", "请在华为 Push Kit 文档中查询该错误码；Token 会保留。"), Answer: refusedUs,
	}},
	{[]string{"8020"}, Code{
		Meaning: call.Say("An unknown code of a family that refuses the authorization.", "未知错误码，所属号段表示鉴权失败。"),
		Advice:  call.Say("If it returns after the renewed authorization, look the code up in Huawei's documents of Push Kit.", "若重新签名后仍出现，请在华为 Push Kit 文档中查询该错误码。"), Answer: staleJWT,
	}},
	{[]string{"8060", "81"}, Code{
		Meaning: call.Say("An unknown code of a family of failures at the vendor.", "未知错误码，所属号段表示推送服务出错。"),
		Advice:  adviceVendor, Answer: unavailable,
	}},
}

// strangeReason is the row for a reason inside illegalTokens that the table does not have.
var strangeReason = Code{
	Meaning: call.Say("The token was refused for a reason that is not documented.", "Token 因文档中没有的原因被拒绝。"),
	Advice:  call.Say("Look the reason up in Huawei's documents of Push Kit. The token is kept.", "请在华为 Push Kit 文档中查询该原因；Token 会保留。"), Answer: refusedUs,
}

// lookup returns the row of a code, or of a code and reason, else that of its
// family; ok is false where there is none.
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
	Meaning call.Text
	Advice  call.Text
	Answer  push.Answer
}

// Statuses lists the HTTP statuses that have a rule of their own (Push Kit REST
// v3, response codes), in order. Others go by their class.
func Statuses() []Status { return slices.Clone(statuses) }

var statuses = []Status{
	{0, call.Say("Push Kit gave no answer.", "Push Kit 没有应答。"),
		call.Say("If it lasts, run `relay doctor` and check relay's way to Push Kit: names, proxy, firewall. relay tries again by itself inside the ring.", "若持续出现，请运行 `relay doctor`，并检查 relay 到 Push Kit 的网络：域名解析、代理、防火墙。relay 会在振铃时间内自动重试。"), unavailable},
	{http.StatusUnauthorized, call.Say("The authorization was refused.", "鉴权被拒绝。"), adviceKey, staleJWT},
	{http.StatusNotFound, call.Say("No such address.", "请求地址不存在。"), call.Say("Check the base URL and the project id.", "请检查接口地址和项目 ID。"), refusedUs},
	{http.StatusRequestTimeout, call.Say("The vendor gave up waiting for the request.", "推送服务等待请求超时。"), adviceVendor, unavailable},
	{http.StatusTooManyRequests, call.Say("The vendor limits the rate.", "推送服务限流。"), adviceRate, throttled},
	{http.StatusInternalServerError, vendorFails, adviceVendor, unavailable},
	{http.StatusBadGateway, call.Say("The vendor's gateway failed.", "推送服务网关出错。"), adviceVendor, unavailable},
	{http.StatusServiceUnavailable, call.Say("Flow control: the app's rate is over its limit, or the vendor is overloaded.", "流控：应用的推送速率超过限额，或推送服务过载。"), adviceRate, throttled},
	{http.StatusGatewayTimeout, call.Say("The vendor's gateway timed out.", "推送服务网关超时。"), adviceVendor, unavailable},
}

var adviceRate = call.Say(
	"Spread the calls, or see the limit in AppGallery Connect; it grows with the app's active users.",
	"请把呼叫错开，或在 AppGallery Connect 查看限额，限额随应用活跃用户数增长。")

// byStatus returns the rule for an answer without a code.
func byStatus(status int) Status {
	for _, s := range statuses {
		if s.Status == status {
			return s
		}
	}
	switch {
	case status >= 500:
		return Status{status, vendorFails, adviceVendor, unavailable}
	case status >= 400:
		return Status{status, call.Say("The request was refused without a code.", "请求被拒绝，且没有错误码。"), call.Say("Check the base URL, and any proxy on the way.", "请检查接口地址和途中的代理。"), refusedUs}
	case status >= 300:
		return Status{status, call.Say("A redirect, which is not followed.", "收到重定向，relay 不跟随。"), call.Say("Check the base URL: Push Kit does not redirect.", "请检查接口地址：Push Kit 不会重定向。"), refusedUs}
	}
	// A success that cannot be read: cut off, or not from the vendor at all. The message may have been taken; the app drops a second one.
	return Status{
		status, call.Say("An answer that cannot be read.", "应答无法解析。"),
		call.Say("relay tries again inside the ring. If it lasts, check the base URL, and any proxy on the way.", "振铃时间内会自动重试；若持续出现，请检查接口地址和途中的代理。"), unavailable,
	}
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

// Explain says what an answer means and what to do about it: by its code, or by
// its HTTP status where it has none.
func Explain(a push.Answer) call.Explanation {
	if a.Code == "" {
		s := byStatus(a.Status)
		return call.Explanation{Meaning: s.Meaning, Advice: s.Advice}
	}
	if row, ok := lookup(a.Code); ok {
		return call.Explanation{Meaning: row.Meaning, Advice: row.Advice}
	}
	return call.Explanation{
		Meaning: call.Say("A code of no known family.", "未知号段的错误码。"),
		Advice: call.Say("Look it up in Huawei's documents of Push Kit, and check that the base URL is %s.", "请在华为 Push Kit 文档中查询，并确认接口地址为 %s。").
			With(DefaultBaseURL),
	}
}
