package apns

import (
	"slices"

	"github.com/sideshow/apns2"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/push"
)

// Reason is one row of the table of what Apple may answer.
type Reason struct {
	Status  int    // HTTP
	Name    string // as in the body's "reason", and in push.Answer.Code
	Meaning call.Text
	Advice  call.Text // what an operator should do
	Answer  push.Answer

	retire bool // the connection takes no more requests
}

// Reasons lists every known reason in the order of their statuses (Apple,
// Handling notification responses from APNs). Only Outcome, Reason, Retry,
// Blame, Token, Status and Code of each Answer are set.
func Reasons() []Reason { return slices.Clone(reasons) }

// Reasons that apns2 0.25.0 does not name.
const (
	reasonUnrelatedKeyID    = "UnrelatedKeyIdInToken"
	reasonBadEnvironmentKey = "BadEnvironmentKeyIdInToken" // the documents' spelling
	reasonBadEnvironment    = "BadEnvironmentKeyInToken"   // the spelling seen in the field
)

// Words that several rows share.
var (
	vendorFails = call.Say("Apple failed.", "Apple 服务内部错误。")
	vendorAway  = call.Say("Apple's service is unavailable.", "Apple 服务不可用。")
	otherKey    = call.Say("The key is restricted to the other environment.", "密钥仅限另一环境使用。")

	adviceFault       = call.Say("This is a fault of relay. Report it with the attempt's id.", "这是 relay 的缺陷，请附上该次推送的 ID 反馈。")
	adviceVendor      = call.Say("relay tries once more on another connection. If it lasts, see Apple's system status page.", "relay 会在另一条连接上重试一次；若持续出现，请查看 Apple 系统状态页面。")
	adviceRate        = call.Say("Call this device less often.", "请降低对该设备的呼叫频率。")
	adviceCertificate = call.Say("relay uses keys, not certificates. Report it with the attempt's id.", "relay 使用密钥而非证书，请附上该次推送的 ID 反馈。")
	adviceOtherKey    = call.Say("Make a key for this environment in the developer account, or check the device's environment.", "请在开发者账号中为该环境创建密钥，或检查设备注册的 environment。")
)

var reasons = table()

func table() []Reason {
	rows := []Reason{
		{0, push.NotSent, call.Say("relay could not build the push, and Apple was not asked; the attempt's message says why.", "relay 无法生成推送，未请求 Apple；原因见该次推送的 message。"),
			call.Say("Give the device or the credential a bundle_id, and let the app register the token in hexadecimal.", "请为设备或凭据设置 bundle_id，并让应用以十六进制注册设备令牌。"), refusedUs, false},
		{400, apns2.ReasonBadCollapseID, call.Say("The collapse id is longer than 64 bytes.", "apns-collapse-id 超过 64 字节。"), adviceFault, refusedUs, false},
		{400, apns2.ReasonBadDeviceToken, call.Say("The token is malformed, or it is of the other environment.", "设备令牌格式错误，或属于另一环境。"),
			call.Say("Compare the device's environment with its build: builds from Xcode are sandbox; TestFlight and App Store builds are production. The app must register again with the right environment; until then the token is set aside.", "请核对设备注册的 environment 与应用构建方式：Xcode 直接安装的为 sandbox，TestFlight 和 App Store 版本为 production。应用须以正确的 environment 重新注册，在此之前令牌暂停使用。"), tokenMisplaced, false},
		{400, apns2.ReasonBadExpirationDate, call.Say("The expiration is wrong.", "apns-expiration 无效。"), adviceFault, refusedUs, false},
		{400, apns2.ReasonBadMessageID, call.Say("The message id is not a UUID.", "apns-id 不是 UUID。"), adviceFault, refusedUs, false},
		{400, apns2.ReasonBadPriority, call.Say("The priority is wrong.", "apns-priority 无效。"), adviceFault, refusedUs, false},
		{400, apns2.ReasonBadTopic, call.Say("The topic is wrong.", "apns-topic 无效。"),
			call.Say("Check the bundle_id that the device registered, or the credential's.", "请检查设备注册的 bundle_id，或凭据中的 bundle_id。"), refusedUs, false},
		{400, apns2.ReasonDeviceTokenNotForTopic, call.Say("The token belongs to another topic: to another app, or it is an alert token registered as a VoIP token.", "设备令牌属于其他 topic：来自其他应用，或把普通通知的令牌注册成了 VoIP 令牌。"),
			call.Say("Check bundle_id, and that the app registers PushKit's token as apns_voip and the ordinary one as apns_alert. The token is set aside until the app registers again.", "请检查 bundle_id，并确认应用把 PushKit 的令牌注册为 apns_voip、普通通知的令牌注册为 apns_alert。应用重新注册前，该令牌暂停使用。"), topicMisplaced, false},
		{400, apns2.ReasonDuplicateHeaders, call.Say("A header was sent twice.", "请求头重复。"), adviceFault, refusedUs, false},
		{400, apns2.ReasonIdleTimeout, call.Say("The connection had been idle for too long.", "连接空闲时间过长。"), call.Say("relay tries once more on another connection.", "relay 会在另一条连接上重试一次。"), unavailable, true},
		{400, apns2.ReasonInvalidPushType, call.Say("The push type is wrong.", "apns-push-type 无效。"), adviceFault, refusedUs, false},
		{400, apns2.ReasonMissingDeviceToken, call.Say("The request names no token.", "请求中没有设备令牌。"), adviceFault, refusedUs, false},
		{400, apns2.ReasonMissingTopic, call.Say("The request names no topic.", "请求中没有 apns-topic。"), adviceFault, refusedUs, false},
		{400, apns2.ReasonPayloadEmpty, call.Say("The body is empty.", "消息体为空。"), adviceFault, refusedUs, false},
		{400, apns2.ReasonTopicDisallowed, call.Say("The key may not push to this topic.", "密钥无权向该 topic 推送。"),
			call.Say("Check bundle_id, and in the developer account which topics the key is for. VoIP needs the app's push entitlement.", "请检查 bundle_id，并在开发者账号中确认密钥可用的 topic；VoIP 推送要求应用具备推送权限（entitlement）。"), badCredential, false},
		{403, apns2.ReasonBadCertificate, call.Say("The certificate is wrong.", "证书无效。"), adviceCertificate, badCredential, true},
		{403, apns2.ReasonBadCertificateEnvironment, call.Say("The certificate is of the other environment.", "证书属于另一环境。"), adviceCertificate, badCredential, true},
		{403, reasonBadEnvironmentKey, otherKey, adviceOtherKey, badCredential, false},
		{403, reasonBadEnvironment, otherKey, adviceOtherKey, badCredential, false},
		{403, apns2.ReasonExpiredProviderToken, call.Say("The provider token is older than an hour, or from a time to come.", "鉴权令牌（provider token）签发已超过一小时，或签发时间在未来。"),
			call.Say("If it returns after the renewed token, the clock of relay's host is wrong.", "若更新令牌后仍出现，说明 relay 主机时钟不准。"), staleToken, false},
		{403, apns2.ReasonForbidden, call.Say("The action is not allowed.", "操作不被允许。"),
			call.Say("Check in the developer account that the key was not revoked and that the app has the push entitlement.", "请在开发者账号中确认密钥未被吊销，且应用具备推送权限（entitlement）。"), badCredential, false},
		{403, apns2.ReasonInvalidProviderToken, call.Say("The provider token is wrong.", "鉴权令牌（provider token）无效。"),
			call.Say("Check team id, key id and key file: `relay app credential` stores them anew. A revoked key is refused like this too.", "请检查 Team ID、Key ID 和密钥文件，可用 `relay app credential` 重新配置；密钥被吊销时也会出现此错误。"), badCredential, true},
		{403, apns2.ReasonMissingProviderToken, call.Say("The request has no provider token.", "请求中没有鉴权令牌（provider token）。"), adviceFault, badCredential, false},
		{403, reasonUnrelatedKeyID, call.Say("The key differs from the one first used on the connection.", "密钥与该连接首次使用的密钥不同。"),
			call.Say("relay tries once more on a new connection. If it lasts, report it.", "relay 会在新连接上重试一次；若持续出现，请反馈。"), staleToken, true},
		{404, apns2.ReasonBadPath, call.Say("No such path.", "请求路径错误。"), adviceFault, refusedUs, false},
		{405, apns2.ReasonMethodNotAllowed, call.Say("Not a POST.", "请求方法不是 POST。"), adviceFault, refusedUs, false},
		{410, apns2.ReasonExpiredToken, call.Say("The token has expired.", "设备令牌已过期。"),
			call.Say("The app must register again. A token registered after the time that Apple tells stays in use.", "应用须重新注册；在 Apple 给出的时间之后注册的令牌继续有效。"), tokenDead, false},
		{410, apns2.ReasonUnregistered, call.Say("The app was removed from the device, or the token is no longer active for the topic.", "应用已从设备卸载，或设备令牌对该 topic 已失效。"),
			call.Say("The app must register again, as it does when it is installed again. A token registered after the time that Apple tells stays in use.", "应用须重新注册（重新安装后会自动注册）；在 Apple 给出的时间之后注册的令牌继续有效。"), tokenDead, false},
		{413, apns2.ReasonPayloadTooLarge, call.Say("The payload is too large.", "消息体过大。"), adviceFault, refusedUs, false},
		{429, apns2.ReasonTooManyProviderTokenUpdates, call.Say("The provider token changed too often on the connection.", "该连接上鉴权令牌（provider token）更换过于频繁。"),
			call.Say("relay tries once more on a new connection. If it lasts, look for other servers that sign with this key.", "relay 会在新连接上重试一次；若持续出现，请检查是否有其他服务器在使用同一密钥。"), throttledOnce, true},
		{429, apns2.ReasonTooManyRequests, call.Say("Too many pushes went to this one device.", "发往该设备的推送过多。"), adviceRate, throttled, false},
		{500, apns2.ReasonInternalServerError, vendorFails, adviceVendor, unavailable, true},
		{503, apns2.ReasonServiceUnavailable, vendorAway, adviceVendor, unavailable, true},
		{503, apns2.ReasonShutdown, call.Say("Apple's server is shutting down.", "Apple 服务器正在关闭。"), adviceVendor, unavailable, true},
	}
	for i := range rows {
		rows[i].Answer.Code, rows[i].Answer.Status = rows[i].Name, rows[i].Status
	}
	return rows
}
