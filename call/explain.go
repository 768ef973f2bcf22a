package call

var endRows = map[EndReason]Explanation{
	EndCompleted: {
		Say("A device answered, and the call is over: the winner hung up, the backend ended it, or it reached its longest duration.", "呼叫已被接听并已结束：接听的设备挂断、业务后台结束，或达到最长通话时长。"),
		Text{},
	},
	EndRejected: {
		Say("The callee refused the call.", "被叫拒接了呼叫。"),
		Say("Do not ring again at once; tell the caller that the call was declined.", "请勿立即重拨，并告知主叫对方已拒接。"),
	},
	EndBusy: {
		Say("Nobody refused the call, and a device was in another one or had as many as its system allows.", "没有人拒接，但有设备正在通话，或来电数已达到系统上限。"),
		Say("Call again later, or offer voicemail.", "请稍后再呼叫，或提供语音留言。"),
	},
	EndCanceled: {
		Say("The caller's side withdrew the call before an answer.", "主叫在接听前取消了呼叫。"),
		Text{},
	},
	EndMissed: {
		Say("Nobody answered within the ring, or the far end of an outgoing call within 120 seconds.", "振铃时间内无人接听；若为外呼，则对端在 120 秒内未接听。"),
		Say("Offer voicemail, or call back. The legs tell which devices rang and which never woke.", "请提供语音留言或回拨；各设备的记录说明哪些振铃、哪些未被唤醒。"),
	},
	EndUnreachable: {
		Say("No device could be woken.", "没有设备可以被唤醒。"),
		Say("Fall back at once: SMS, telephone, mail. The reason of each leg says what is missing.", "请立即改用其他方式，如短信、电话或邮件；各设备的 reason 说明缺少什么。"),
	},
	EndFailed: {
		Say("A device or a push vendor failed.", "设备或推送服务出错。"),
		Say("Read the timeline: it has the vendor's answers and what the apps reported.", "请查看时间线中推送服务的应答和应用的上报。"),
	},
}

// Meaning says in plain words what an end reason stands for; zero for none.
func (r EndReason) Meaning() Text { return endRows[r].Meaning }

// Advice says in plain words what to do about an end; zero where there is
// nothing to be done.
func (r EndReason) Advice() Text { return endRows[r].Advice }

// Refusal is one way in which an app says, by not_reported, that its system did
// not show the call. Of Report one of ErrorReason, ErrorCode and FailureCause
// is set.
type Refusal struct {
	Report
	Explanation
}

var againLater = Say("Call again later.", "请稍后再呼叫。")

// Refusals lists every known one (Call Service Kit reference, voipCall; Call
// Service Kit error codes).
var Refusals = []Refusal{
	{Report{ErrorReason: CellularCallExists}, Explanation{Say("The device is in a cellular call.", "设备正在进行运营商通话。"), againLater}},
	{Report{ErrorReason: VoIPCallExists}, Explanation{Say("The device is in another in-app call.", "设备正在进行其他应用内通话。"), againLater}},
	{Report{ErrorReason: UserAnswerCellularFirst}, Explanation{Say("The user took a cellular call first.", "用户先接听了运营商来电。"), againLater}},
	{Report{ErrorReason: InvalidCall}, Explanation{
		Say("The system does not know the call by the id that the app gave.", "系统不认识应用给出的通话 ID。"),
		Say("The app must give reportIncomingCall the callId that Push Kit handed over with the message, not an id of its own.", "应用须把 Push Kit 随消息给出的 callId 传给 reportIncomingCall，不能使用自己的 ID。"),
	}},
	{Report{ErrorCode: 401}, Explanation{
		Say("A parameter of reportIncomingCall is wrong.", "reportIncomingCall 的参数有误。"),
		Say("Compare the app's VoipCallAttribute with the reference of voipCall.", "请对照 voipCall 接口文档检查应用传入的 VoipCallAttribute。"),
	}},
	{Report{ErrorCode: 1007200001}, Explanation{
		Say("A value given to reportIncomingCall is invalid: a field is missing, the callId is unknown, or the call was reported twice.", "传给 reportIncomingCall 的值无效：缺少字段、callId 未知，或同一来电上报了两次。"),
		Say("Check that the app reports each callId of Push Kit once, with the state RINGING.", "请检查应用是否对每个 Push Kit 的 callId 只上报一次，且状态为 RINGING。"),
	}},
	{Report{ErrorCode: 1007200002}, Explanation{Say("The system's call service was not started.", "系统的通话服务未启动。"), againLater}},
	{Report{ErrorCode: tooManyCalls}, Explanation{Say("The system has no room for one more call, or a cellular call is in the way.", "系统来电数已满，或与运营商通话冲突。"), againLater}},
	{Report{ErrorCode: 1007200999}, Explanation{
		Say("The system refused the call for an unknown reason.", "系统因未知原因拒绝了来电。"),
		Say("See the log of the app and of its system.", "请查看应用和系统日志。"),
	}},
	{Report{FailureCause: CauseOther}, Explanation{
		Say("The app could not set the call up.", "应用无法建立该呼叫。"),
		Say("See the app's log.", "请查看应用日志。"),
	}},
	{Report{FailureCause: CauseRouteBusy}, Explanation{
		Say("The app already has this call over another way, or is in another call.", "应用已通过其他途径收到该呼叫，或正在其他通话中。"),
		Say("Nothing is to be done where the call rings over the other way; else call again later.", "若呼叫已通过其他途径振铃，则无需处理；否则请稍后再呼叫。"),
	}},
	{Report{FailureCause: CauseConnectionFailed}, Explanation{
		Say("The app could not reach its call server.", "应用无法连接其通话服务器。"),
		Say("Check the way from the app to your VoIP server.", "请检查应用到 VoIP 服务器的网络。"),
	}},
}

// Explain says what a not_reported means.
func (r Report) Explain() Explanation {
	for _, known := range Refusals {
		if known.ErrorReason != "" && known.ErrorReason == r.ErrorReason || known.ErrorCode != 0 && known.ErrorCode == r.ErrorCode ||
			known.FailureCause != "" && known.FailureCause == r.FailureCause {
			return known.Explanation
		}
	}
	if r.ErrorCode != 0 {
		return Explanation{
			Say("The system threw BusinessError %d.", "系统抛出 BusinessError %d。").With(r.ErrorCode),
			Say("Look the number up in the reference of the device's system.", "请在设备系统的接口文档中查询该错误码。"),
		}
	}
	return Explanation{
		Say("The app did not say why.", "应用没有说明原因。"),
		Say("Let the app tell error_reason, error_code or failure_cause.", "请让应用上报 error_reason、error_code 或 failure_cause。"),
	}
}

var unconfirmedAdvice = map[Channel]Text{
	PushKitVoIP: Say(
		"Acceptance is not delivery. Check in this order: was the phone on, online, and unlocked once since it was started; is the app still installed, for Push Kit takes the token of a removed app too; does its UIAbility with the skill action.ohos.push.listener call receiveMessage('VoIP') first thing in onCreate; does its confirm reach relay?",
		"推送服务接受不等于送达。请依次检查：手机是否开机、联网，且开机后解锁过；应用是否仍已安装（已卸载应用的 Token，Push Kit 同样会接受）；带有 action.ohos.push.listener 的 UIAbility 是否在 onCreate 中最先调用 receiveMessage('VoIP')；应用的 confirm 请求能否到达 relay。"),
	PushKitAlert: Say(
		"An alert does not start the app: the app confirms when the user taps it. Check that the phone was on and online, that the user allows notifications, and that the app has Push Kit's right to the category VOIP, without which the alert is silent.",
		"通知消息不会拉起应用，用户点击后应用才会确认。请检查手机是否开机、联网，用户是否允许通知，以及应用是否已获得 Push Kit 的 VOIP 类别自分类权益（没有该权益时通知静默展示）。"),
	APNsVoIP: Say(
		"Acceptance is not delivery. Check in this order: was the phone on and online, for with apns-expiration 0 Apple tries once; does the app report every VoIP push to CallKit or LiveCommunicationKit at once, for iOS stops starting one that does not; has it the background mode voip; does its confirm reach relay?",
		"推送服务接受不等于送达。请依次检查：手机是否开机、联网（apns-expiration 为 0 时 Apple 只尝试一次）；应用是否把每个 VoIP 推送立即上报给 CallKit 或 LiveCommunicationKit（否则 iOS 会停止拉起该应用）；是否启用了 voip 后台模式；应用的 confirm 请求能否到达 relay。"),
	APNsAlert: Say(
		"An alert does not start the app: the app confirms when the user taps it, or from its notification service extension. Check that the phone was on and online and that the user allows notifications.",
		"普通通知不会拉起应用，用户点击后（或由通知服务扩展）应用才会确认。请检查手机是否开机、联网，以及用户是否允许通知。"),
	Connection: Say(
		"The app heard of the call over its own connection alone. Check that it reads its calls and confirms.",
		"应用只能通过自己的连接获知该呼叫。请检查应用是否读取呼叫并确认。"),
}

// Unconfirmed says what to look at where a wake went out over the channel and
// the app never said that it is awake (Push Kit guide, in-app call messages;
// Apple, Responding to VoIP notifications from PushKit).
func (c Channel) Unconfirmed() Text { return unconfirmedAdvice[c] }
