package pushkit

import (
	"cmp"
	"slices"

	"github.com/pushwake/relay/call"
)

// Receipt is one row of the table of results that a receipt may have.
type Receipt struct {
	Result  int64
	Meaning call.Text // what the vendor says of the push
	Advice  call.Text // what an operator should do; zero for nothing
	Action  call.ReceiptAction
}

// Receipts lists every known result of a receipt, in order (Push Kit, message
// receipts).
func Receipts() []Receipt { return slices.Clone(receipts) }

// ReceiptOf is the row of a result; of one that is not in the table nothing
// follows.
func ReceiptOf(result int64) Receipt {
	i, found := slices.BinarySearchFunc(receipts, result, func(r Receipt, result int64) int { return cmp.Compare(r.Result, result) })
	if found {
		return receipts[i]
	}
	return Receipt{
		result, call.Say("Huawei's receipt has a result that is not known.", "华为回执的结果码未知。"),
		call.Say("Look it up in Huawei's documents of Push Kit, under message receipts.", "请在华为 Push Kit 的消息回执文档中查询。"), call.ReceiptNone,
	}
}

// Words that several rows share.
var (
	adviceNewToken = call.Say("The app must call getToken and register again; until then the token is dead.", "应用须重新调用 getToken 并注册，在此之前该 Token 视为失效。")
	adviceNotOurs  = call.Say("relay sends no such message: look for what else sends with this project.", "relay 不发送该类消息，请检查是否有其他程序使用本项目推送。")
	ofLiveViews    = call.Say("Huawei's receipt is about live views, cards or subscriptions.", "华为回执针对实况窗、卡片或订阅消息。")
)

var receipts = []Receipt{
	{0, call.Say("Huawei says that the push reached the phone, and nothing of what the app made of it.", "华为称推送已到达手机，但未说明应用是否处理。"), none, call.ReceiptDelivered},
	{2, call.Say("Huawei says that the app was removed from the phone.", "华为称应用已从手机上卸载。"), adviceNewToken, call.ReceiptDropToken},
	{5, call.Say("Huawei says that the token is not the phone's any more: the app was reinstalled, its data were cleared, or it deleted the token.", "华为称 Token 与手机不再匹配：应用已重装、数据被清除，或应用删除了 Token。"), adviceNewToken, call.ReceiptDropToken},
	{6, call.Say("Huawei says that the phone did not show the notification: notifications are switched off for the app, or the phone is in minor mode.", "华为称手机未展示通知：应用的通知开关已关闭，或手机处于未成年人模式。"),
		call.Say("Let the app ask the user for notifications.", "请让应用引导用户开启通知权限。"), call.ReceiptNone},
	{10, call.Say("Huawei says that the phone has been inactive for 30 days, and did not send the push.", "华为称手机已超过 30 天不活跃，未下发推送。"),
		call.Say("The token is used again as soon as the app registers on the phone.", "应用在该手机上重新注册后，该 Token 恢复使用。"), call.ReceiptSuspendToken},
	{14, call.Say("Huawei says that the push was not delivered, for example for the phone's network.", "华为称推送未送达，例如手机网络原因。"),
		call.Say("relay pushes once more while the call rings.", "振铃期间 relay 会再推送一次。"), call.ReceiptWakeAgain},
	{15, call.Say("Huawei says that the phone was offline, and that newer messages took the place of the push.", "华为称手机离线，推送被之后的消息覆盖。"), none, call.ReceiptNone},
	{22, call.Say("Huawei says that another user of the phone is active than the one whom the token belongs to.", "华为称手机当前用户不是该 Token 所属用户（如隐私空间）。"), none, call.ReceiptNone},
	{27, call.Say("Huawei says that the app did not run, and that the message waits for it.", "华为称应用进程不存在，消息已缓存。"), none, call.ReceiptNone},
	{31, call.Say("Huawei says that the page that the notification was to open does not exist in the app.", "华为称通知要打开的应用页面不存在。"),
		call.Say("Compare the app's abilities with what a notification of relay opens: its main page.", "请检查应用的 Ability 配置，relay 的通知会打开应用首页。"), call.ReceiptNone},
	{51, call.Say("Huawei says that the phone had not been unlocked since it was switched on.", "华为称手机开机后尚未解锁。"),
		call.Say("Nothing is wrong: no app runs before the first unlocking.", "属正常情况：首次解锁之前应用无法运行。"), call.ReceiptNone},
	{102, call.Say("Huawei says that the phone got too many pushes, and held this one back.", "华为称推送过于频繁，已被手机限频。"),
		call.Say("Look for what else pushes to the phone, and for apps that do not show the calls that they are woken for.", "请检查是否有其他推送发往该手机，以及应用被唤醒后是否未展示来电。"), call.ReceiptHoldBack},
	{144, call.Say("Huawei says that the profile that the notification was meant for is not known.", "华为称通知所指定的 profileId 不存在。"), adviceNotOurs, call.ReceiptNone},
	{151, call.Say("Huawei says that the notification was not shown.", "华为称通知未展示。"), none, call.ReceiptNone},
	{155, ofLiveViews, adviceNotOurs, call.ReceiptNone},
	{156, ofLiveViews, adviceNotOurs, call.ReceiptNone},
	{158, ofLiveViews, adviceNotOurs, call.ReceiptNone},
	{188, call.Say("Huawei says that the push reached the phone, and that starting the app failed.", "华为称推送已到达手机，但拉起应用失败。"),
		call.Say("relay pushes once more while the call rings. If it lasts, see why the app's ability does not start.", "振铃期间 relay 会再推送一次；若持续出现，请检查应用的 Ability 为何无法启动。"), call.ReceiptWakeAgain},
	{191, call.Say("Huawei says that the badge could not be set.", "华为称角标设置失败。"), adviceNotOurs, call.ReceiptNone},
	{256, call.Say("Huawei says that pushes of this kind came too often.", "华为称该场景的推送或测试消息超出频次限制。"),
		call.Say("Spread the calls, or see the limit in AppGallery Connect.", "请把呼叫错开，或在 AppGallery Connect 查看限额。"), call.ReceiptHoldBack},
	{259, call.Say("Huawei says that the content or an address in it was refused.", "华为称推送内容或其中的链接被拒绝。"),
		call.Say("Look at the caller's name and avatar that the backend sends.", "请检查业务后台传入的主叫名称和头像地址。"), call.ReceiptNone},
	{261, ofLiveViews, adviceNotOurs, call.ReceiptNone},
	{262, ofLiveViews, adviceNotOurs, call.ReceiptNone},
	{264, ofLiveViews, adviceNotOurs, call.ReceiptNone},
	{265, ofLiveViews, adviceNotOurs, call.ReceiptNone},
	{268, ofLiveViews, adviceNotOurs, call.ReceiptNone},
	{269, ofLiveViews, adviceNotOurs, call.ReceiptNone},
}
