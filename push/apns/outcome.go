package apns

import (
	"net/http"
	"slices"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/push"
)

// The verdicts that the rows share. Apple asks to wait 15 minutes after its own
// failures, which is longer than a ring: one more attempt is made on another
// connection, and then none.
var (
	accepted       = push.Answer{Outcome: push.Accepted, Retry: push.RetryNever, Blame: call.BlameNone, Token: push.TokenKeep}
	refusedUs      = push.Answer{Outcome: push.Refused, Reason: call.ReasonVendorRefused, Retry: push.RetryNever, Blame: call.BlameUs, Token: push.TokenKeep}
	badCredential  = push.Answer{Outcome: push.Unauthenticated, Reason: call.ReasonVendorRefused, Retry: push.RetryNever, Blame: call.BlameUs, Token: push.TokenKeep}
	staleToken     = push.Answer{Outcome: push.Unauthenticated, Reason: call.ReasonVendorRefused, Retry: push.RetryOnce, Blame: call.BlameUs, Token: push.TokenKeep}
	tokenDead      = push.Answer{Outcome: push.TokenRefused, Reason: call.ReasonTokenDead, Retry: push.RetryNever, Blame: call.BlameDevice, Token: push.TokenDead}
	tokenMisplaced = push.Answer{Outcome: push.TokenRefused, Reason: call.ReasonTokenSuspended, Retry: push.RetryNever, Blame: call.BlameDevice, Token: push.TokenSuspended}
	topicMisplaced = push.Answer{Outcome: push.TokenRefused, Reason: call.ReasonTokenSuspended, Retry: push.RetryNever, Blame: call.BlameUs, Token: push.TokenSuspended}
	throttled      = push.Answer{Outcome: push.Throttled, Reason: call.ReasonVendorThrottled, Retry: push.RetryNever, Blame: call.BlameVendor, Token: push.TokenKeep}
	throttledOnce  = push.Answer{Outcome: push.Throttled, Reason: call.ReasonVendorThrottled, Retry: push.RetryOnce, Blame: call.BlameUs, Token: push.TokenKeep}
	unavailable    = push.Answer{Outcome: push.Unavailable, Reason: call.ReasonVendorUnavailable, Retry: push.RetryOnce, Blame: call.BlameVendor, Token: push.TokenKeep}
	unreachable    = push.Answer{Outcome: push.Unavailable, Reason: call.ReasonVendorUnavailable, Retry: push.RetryLater, Blame: call.BlameVendor, Token: push.TokenKeep} // surely not sent
)

var byReason = func() map[string]Reason {
	m := make(map[string]Reason, len(reasons))
	for _, r := range reasons {
		m[r.Name] = r
	}
	return m
}()

// Status is one row of the table of HTTP statuses, which decide only where an
// answer has no known reason.
type Status struct {
	Status  int // 0: no answer
	Meaning call.Text
	Advice  call.Text // zero for nothing
	Answer  push.Answer

	retire bool // the connection takes no more requests
}

// Statuses lists the rules for answers without a known reason, in order. Others
// go by their class.
func Statuses() []Status { return slices.Clone(statuses) }

var statuses = []Status{
	{0, call.Say("APNs gave no answer.", "APNs 没有应答。"),
		call.Say("If it lasts, run `relay doctor` and check relay's way to Apple: names, proxy, firewall (port 443 or 2197). relay tries again by itself: inside the ring where the push was surely not sent, else once.", "若持续出现，请运行 `relay doctor`，并检查 relay 到 Apple 的网络：域名解析、代理、防火墙（443 或 2197 端口）。relay 会自动重试：确定未发出时在振铃时间内重试，否则重试一次。"), unavailable, true},
	{http.StatusOK, call.Say("Taken, and not yet delivered: only the app's confirm tells.", "已接受，但不等于送达，须以应用的确认为准。"), call.Text{}, accepted, false},
	{http.StatusForbidden, call.Say("The authorization was refused.", "鉴权被拒绝。"), call.Say("Check team id, key id and key file.", "请检查 Team ID、Key ID 和密钥文件。"), badCredential, true},
	{http.StatusGone, call.Say("The token is no longer active.", "设备令牌已失效。"), call.Say("The app must register again.", "应用须重新注册。"), tokenDead, false},
	{http.StatusTooManyRequests, call.Say("Apple limits the rate.", "Apple 限流。"), adviceRate, throttled, false},
	{http.StatusInternalServerError, vendorFails, adviceVendor, unavailable, true},
	{http.StatusServiceUnavailable, vendorAway, adviceVendor, unavailable, true},
}

func byStatus(status int) Status {
	for _, s := range statuses {
		if s.Status == status {
			return s
		}
	}
	switch {
	case status >= 500:
		return Status{status, call.Say("Apple, or a gateway on the way, failed.", "Apple 或途中的网关出错。"), adviceVendor, unavailable, true}
	case status >= 400:
		return Status{
			status, call.Say("The push was refused without a known reason.", "推送被拒绝，且没有已知原因。"),
			call.Say("Look the status up in Apple's documents, and check any proxy on the way.", "请在 Apple 文档中查询该状态码，并检查途中的代理。"), refusedUs, false,
		}
	}
	return Status{
		status, call.Say("An answer that is not of APNs.", "应答不是来自 APNs。"),
		call.Say("Check the address of APNs, and any proxy on the way.", "请检查 APNs 地址和途中的代理。"), unavailable, true,
	}
}

// Explain says what an answer means and what to do about it: by its reason, or
// by its HTTP status where it has none that is known.
func Explain(a push.Answer) call.Explanation {
	if r, ok := byReason[a.Code]; ok {
		return call.Explanation{Meaning: r.Meaning, Advice: r.Advice}
	}
	s := byStatus(a.Status)
	return call.Explanation{Meaning: s.Meaning, Advice: s.Advice}
}
