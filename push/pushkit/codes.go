package pushkit

import (
	"slices"
	"strings"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/push"
)

// Code is one row of the table of what the vendor may answer.
type Code struct {
	Key     string    // as in push.Answer.Code: "80200001", or "80300007/noRight" for a reason inside illegalTokens
	Wire    string    // the vendor's own text; "" where none is documented
	Meaning call.Text // what it says
	Advice  call.Text // what an operator should do; zero for nothing
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

// Words that several rows share.
var (
	none        call.Text
	codeOfV1    = call.Say("A code of HMS Core v1; version 3 does not document it.", "HMS Core v1 的错误码，v3 文档中没有。")
	ofRevoking  = call.Say("An answer of the revoke call.", "撤回消息接口的应答。")
	vendorFails = call.Say("The vendor failed.", "推送服务内部错误。")
	penalty     = call.Say("The app is under a penalty.", "应用正处于处罚期。")

	adviceFault    = call.Say("This is a fault of relay. Report it with the request id.", "这是 relay 的缺陷，请附上 requestId 反馈。")
	adviceURL      = call.Say("Check that the base URL is that of version 3.", "请检查接口地址是否为 v3 版本。")
	adviceVendor   = call.Say("relay tries again inside the ring. If it lasts, ask Huawei.", "振铃时间内会自动重试；若持续出现，请联系华为。")
	adviceAppeal   = call.Say("See the notice in AppGallery Connect and appeal there. No call reaches the app until it is lifted; tokens are kept.", "请在 AppGallery Connect 查看通知并申诉，解除前应用收不到来电；Token 会保留。")
	adviceNoTests  = call.Say("relay sends no test messages. Report it with the request id.", "relay 不发送测试消息，请附上 requestId 反馈。")
	adviceNoImages = call.Say("relay sends no image. Report it with the request id.", "relay 不发送图片，请附上 requestId 反馈。")
	adviceKey      = call.Say(
		"If it returns after the renewed authorization: make sure that the key file belongs to this app's project, that its key was not deleted in the console, and that the clock of relay's host is right.",
		"若重新签名后仍出现：请确认密钥文件属于本应用所在项目、密钥未在控制台被删除，且 relay 主机时钟准确。")
	adviceClock = call.Say(
		"If it returns after the renewed authorization, the clock of relay's host is wrong: check its time synchronisation.",
		"若重新签名后仍出现，说明 relay 主机时钟不准，请检查时间同步。")
)

func table() []Code {
	rows := []Code{
		{push.NotSent, "",
			call.Say("relay could not build the message, and Push Kit was not asked; the attempt's message says why.", "relay 无法生成消息，未请求 Push Kit；原因见该次推送的 message。"),
			call.Say("Store the key file anew if it is about the authorization, else report it with the attempt's id.", "若与鉴权有关，请重新配置密钥文件；否则请附上该次推送的 ID 反馈。"), refusedUs},
		{codeAccepted, "Success",
			call.Say("Taken, and not yet delivered: only the receipt and the app's confirm tell.", "已接受，但不等于送达，须以回执和应用的确认为准。"), none, accepted},
		{codePartial, "Check Parameter Partial Success.",
			call.Say("Some tokens were refused, and this device's is not among them: it is taken, and not yet delivered.", "部分 Token 被拒绝，但不包括本设备的 Token：已接受，但不等于送达。"), none, accepted},
		{"80000001", "CommonService Error", vendorFails, adviceVendor, unavailable},
		{"80100001", "Check Parameter Error.", call.Say("A parameter of the request is wrong.", "请求参数错误。"), adviceFault, refusedUs},
		{"80100003", "Illegal payload, {errorTips}", call.Say("The body's structure is wrong; the vendor's text says where.", "消息体结构错误，具体见返回的文字说明。"), adviceFault, refusedUs},
		{"80100004", "Illegal expire time.", call.Say("The message had expired when Push Kit received it.", "Push Kit 收到消息时，消息已过期。"),
			call.Say("Check the clock of relay's host; relay always sends a ttl of at least one second.", "请检查 relay 主机时钟；relay 发送的 ttl 至少为 1 秒。"), refusedUs},
		{"80100013", "", codeOfV1, adviceURL, refusedUs},
		{"80100016", "", call.Say("The text was refused as sensitive.", "文本因包含敏感内容被拒绝。").Then(codeOfV1),
			call.Say("Check that the base URL is that of version 3, and what the caller's name says.", "请检查接口地址是否为 v3 版本，以及主叫名称的内容。"), refusedUs},
		{"80100017", "", codeOfV1, adviceURL, refusedUs},
		{"80100018", "", codeOfV1, adviceURL, refusedUs},
		{"80100020", "", call.Say("Some parameters are wrong.", "部分参数错误。").Then(ofRevoking), adviceFault, refusedUs},
		{"80100022", "Anti-Spam: image not verify.", call.Say("An image was not checked beforehand.", "图片未经预先审核。"), adviceNoImages, refusedUs},
		{"80200001", "Authentication Error.", call.Say("The authorization is missing or wrong, or its project is not the one in the address.", "鉴权信息缺失或错误，或其项目与请求地址中的项目不一致。"), adviceKey, staleJWT},
		{"80200003", "Access token expired.", call.Say("An OAuth token expired; relay sends none.", "OAuth Token 已过期；relay 不使用 OAuth Token。"),
			call.Say("It is treated as an expired authorization. If it returns, check the base URL.", "按鉴权过期处理；若再次出现，请检查接口地址。"), staleJWT},
		{"80200005", "Jwt token expired.", call.Say("The authorization expired.", "鉴权令牌（JWT）已过期。"), adviceClock, staleJWT},
		{"80300002", "No permission to send message to these tmIDs.", call.Say("Push Kit is not enabled for the project, or the project is another one.", "项目未开通 Push Kit，或项目不匹配。"),
			call.Say("Enable Push Kit for the project in AppGallery Connect, and make sure that the key file is of the app's project. Tokens are kept.", "请在 AppGallery Connect 为项目开通推送服务，并确认密钥文件属于应用所在项目；Token 会保留。"), refusedUs},
		{codeAllInvalid, "All the tokens are invalid.", call.Say("The token was refused and no reason given: it may be dead, or the project may lack a right.", "Token 被拒绝且未说明原因：可能 Token 已失效，也可能项目缺少权益。"),
			call.Say("If other devices of the app are reached, the token is dead and the app must register again; if none is, check the project and its rights in AppGallery Connect.", "若应用的其他设备推送正常，则该 Token 已失效，应用须重新注册；若全部失败，请在 AppGallery Connect 检查项目及其权益。"), tokenDoubtful},
		{"80300008", "Push message size is too long.", call.Say("The body has more than 4096 bytes.", "消息体超过 4096 字节。"),
			call.Say("relay keeps below the limit as it is documented. Report it with the request id.", "relay 已按文档控制长度，请附上 requestId 反馈。"), refusedUs},
		{"80300010", "token count should within {0} and {1}.", call.Say("Too many tokens, or none.", "Token 数量过多或为零。"),
			call.Say("relay sends one token a request. Report it with the request id.", "relay 每次请求只带一个 Token，请附上 requestId 反馈。"), refusedUs},
		{"80300011", "", codeOfV1, adviceURL, refusedUs},
		{"80300013", "", call.Say("The receipt address is wrong.", "回执地址错误。").Then(codeOfV1), call.Say("Check the receipt address in AppGallery Connect.", "请在 AppGallery Connect 检查回执地址。"), refusedUs},
		{"80300017", "", call.Say("The tokens belong to several apps.", "Token 分属多个应用。").Then(ofRevoking), adviceFault, refusedUs},
		{"80300028", "", call.Say("The token's app is not the one in the address.", "Token 所属应用与请求地址不一致。").Then(ofRevoking),
			call.Say("Store the key file again with the client id of this app (`relay app credential … --client-id`), as AppGallery Connect shows it.", "请用本应用在 AppGallery Connect 中的 Client ID 重新配置密钥文件（`relay app credential … --client-id`）。"), refusedUs},
		{"80300029", "When send test message, the api request exceed limit.", call.Say("Test messages were sent too often.", "测试消息发送过于频繁。"),
			call.Say("relay sends no test messages. Wait until tomorrow, or stop what else sends them with this project.", "relay 不发送测试消息。请次日再试，或停止使用本项目发送测试消息的其他程序。"), throttledTests},
		{"80300030", "When send test message, token count exceed limit.", call.Say("A test message had more than 10 tokens.", "测试消息的 Token 超过 10 个。"), adviceNoTests, refusedUs},
		{"80300032", "", call.Say("Token or notifyId is missing.", "缺少 Token 或 notifyId。").Then(ofRevoking), adviceFault, refusedUs},
		{"80300036", "JWT expire period over threshold.", call.Say("The authorization is valid for more than a day.", "鉴权令牌（JWT）有效期超过一天。"),
			call.Say("relay's are valid for an hour. Report it with the request id.", "relay 签发的有效期为一小时，请附上 requestId 反馈。"), badCredential},
		{"80300037", "Disable send huawei msg because of penalty.", penalty, adviceAppeal, refusedUs},
		{"80600003", "", call.Say("The vendor's OAuth service failed.", "OAuth 服务出错。").Then(codeOfV1), adviceVendor, unavailable},
		{"81000001", "Inner Error.", vendorFails, adviceVendor, unavailable},
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
	{"tokenFormatError", "", call.Say("The token is malformed.", "Token 格式错误。"), call.Say("The app must call getToken and register again.", "应用须重新调用 getToken 并注册。"), tokenDead},
	{"tokenPlatformNotSupport", "", call.Say("The token comes from another vendor's proxy.", "Token 来自第三方代理。"), call.Say("The app must call getToken of Push Kit and register again.", "应用须调用 Push Kit 的 getToken 重新获取并注册。"), tokenDead},
	{"noRight", "", call.Say("The token's app is not in this project, or the token is older than the device's upgrade to HarmonyOS 5.", "Token 所属应用不在本项目中，或 Token 是设备升级到 HarmonyOS 5 之前获取的。"),
		call.Say("If other devices of the app are reached, the app must call getToken and register again; if none is, the key file is of another project.", "若应用的其他设备推送正常，应用须重新调用 getToken 并注册；若全部失败，则密钥文件属于其他项目。"), tokenDoubtful},
	{"noPushTypeRight", "", call.Say("The app lacks the entitlement to this kind of message: in-app call messages (push-type 10), or for alerts the category VOIP.", "应用没有该类消息的推送权益：应用内通话消息（push-type 10），通知则为 VOIP 类别。"),
		call.Say("Apply in AppGallery Connect for the entitlement to push in-app call messages. Tokens are kept.", "请在 AppGallery Connect 申请推送应用内通话消息的权益；Token 会保留。"), refusedUs},
	{"disableSendHuaweiMsgBecauseOfPenalty", "", penalty, adviceAppeal, refusedUs},
	{"appinfoError", "", call.Say("The app does not exist, or not yet.", "应用不存在或尚未创建完成。"), call.Say("Make sure that the app is created in the project; after creating it, wait some minutes. Tokens are kept.", "请确认应用已在项目中创建，创建后请等待几分钟；Token 会保留。"), refusedUs},
	{"countryNotSupport", "", call.Say("The token's country is not supported.", "不支持 Token 所在的国家/地区。"), call.Say("Open a ticket with Huawei. Tokens are kept.", "请向华为提交工单；Token 会保留。"), refusedUs},
	{"atomicUnableSendUnsubscribedMsg", "", call.Say("An atomic service may not get this kind of message.", "元服务不能接收该类消息。"), call.Say("Calls ring in apps only: register the app, not the atomic service.", "来电只能在应用中振铃，请注册应用而不是元服务。"), refusedUs},
	{"differentImgVerifyPolicy", "", call.Say("An image was checked for another kind of message.", "图片是按其他消息类型审核的。"), adviceNoImages, refusedUs},
	{"noRightToSendThisLiveNotificationEvent", "", call.Say("The right to live views is missing.", "缺少实况窗权益。"), call.Say("relay sends no live views. Report it with the request id.", "relay 不发送实况窗消息，请附上 requestId 反馈。"), refusedUs},
	{"notSupportPlayVoice", "", call.Say("The category PLAY_VOICE does not go with this kind of message.", "PLAY_VOICE 类别不适用于该类消息。"), call.Say("relay does not use that category. Report it with the request id.", "relay 不使用该类别，请附上 requestId 反馈。"), refusedUs},
}
