package call

// Reason says why a leg was skipped, refused or failed.
type Reason string

// What each means, in words: Meaning.
const (
	ReasonRegionNotSupported   Reason = "region_not_supported"
	ReasonRegionUnknown        Reason = "region_unknown"
	ReasonDeviceNotSupported   Reason = "device_not_supported"
	ReasonEmulatorNotSupported Reason = "emulator_not_supported"
	ReasonNotConnected         Reason = "not_connected"
	ReasonIncomingLimit        Reason = "incoming_limit"
	ReasonNoToken              Reason = "no_token"
	ReasonTokenDead            Reason = "token_dead"
	ReasonTokenSuspended       Reason = "token_suspended"
	ReasonChannelNotConfigured Reason = "channel_not_configured"
	ReasonDND                  Reason = "dnd"
	ReasonVendorRefused        Reason = "vendor_refused"
	ReasonVendorThrottled      Reason = "vendor_throttled"
	ReasonVendorUnavailable    Reason = "vendor_unavailable"
	ReasonDeadlinePassed       Reason = "deadline_passed"
	ReasonDuplicate            Reason = "duplicate"
	ReasonDeviceLimit          Reason = "device_limit"
)

// Reasons lists every reason.
var Reasons = []Reason{
	ReasonRegionNotSupported, ReasonRegionUnknown, ReasonDeviceNotSupported, ReasonEmulatorNotSupported, ReasonNotConnected,
	ReasonIncomingLimit, ReasonNoToken, ReasonTokenDead, ReasonTokenSuspended, ReasonChannelNotConfigured, ReasonDND,
	ReasonVendorRefused, ReasonVendorThrottled, ReasonVendorUnavailable, ReasonDeadlinePassed, ReasonDuplicate, ReasonDeviceLimit,
}

// Blame says whose fault something is, for people, metrics and alarms.
type Blame string

const (
	BlameNone   Blame = "none"
	BlameDevice Blame = "device" // the app on it, or its token
	BlameVendor Blame = "vendor"
	BlameUs     Blame = "us" // relay, or its operator's configuration
)

// Blames lists every blame.
var Blames = []Blame{BlameNone, BlameDevice, BlameVendor, BlameUs}

type reasonRow struct {
	blame Blame
	Explanation
}

var reasonRows = map[Reason]reasonRow{
	ReasonRegionNotSupported: {BlameNone, Explanation{
		Say("The device's region is known, and its system may not show calls there.", "设备所在地区已确定，其系统在该地区不能展示来电。"),
		Say("Reach the user another way, or send the right region if the evidence is wrong.", "请换其他方式联系用户；如果地区依据有误，请传入正确的地区。"),
	}},
	ReasonRegionUnknown: {BlameDevice, Explanation{
		Say("Nothing recent tells the device's region, or the signals disagree.", "没有近期信息能确定设备所在地区，或各项信号相互矛盾。"),
		Say("Send region.country from your backend, or let the app register with its SIM, network or storefront.", "请由业务后台传入 region.country，或让应用注册时带上 SIM 卡、网络或应用商店的地区。"),
	}},
	ReasonDeviceNotSupported: {BlameNone, Explanation{
		Say("This kind of device or system version cannot show calls, or the version could not be read.", "该类设备或系统版本不支持展示来电，或系统版本无法识别。"),
		Say("Ask the user to update the system or to use a phone; if the version could not be read, send system_version as the system tells it.", "请提示用户升级系统，或改用手机；如果系统版本无法识别，请按系统给出的格式传入 system_version。"),
	}},
	ReasonEmulatorNotSupported: {BlameNone, Explanation{
		Say("VoIP pushes and the system's call screen do not work on emulators.", "VoIP 消息和系统来电界面在模拟器上不可用。"),
		Say("Test on a real device.", "请使用真机测试。"),
	}},
	ReasonNotConnected: {BlameNone, Explanation{
		Say("No push reaches this kind of device, and its app has no connection open.", "该类设备收不到推送，且应用没有保持连接。"),
		Say("It rings only while the app keeps its connection open.", "只有应用保持连接时，该设备才会振铃。"),
	}},
	ReasonIncomingLimit: {BlameNone, Explanation{
		Say("The device already has as many incoming calls as its system allows.", "设备上的来电数已达到系统上限。"),
		Say("Call again when one of them has ended; GET /v1/calls?device_id=… lists them. If they are over already, the app did not report it.", "请在其中一路来电结束后重新呼叫，可用 GET /v1/calls?device_id=… 查看；如果这些来电实际已经结束，说明应用没有上报。"),
	}},
	ReasonNoToken: {BlameDevice, Explanation{
		Say("The app registered no push token for the channel.", "应用没有注册该通道的推送 Token。"),
		Say("Let the app send its token at every start.", "请让应用在每次启动时上报 Token。"),
	}},
	ReasonTokenDead: {BlameDevice, Explanation{
		Say("The push vendor said that the token will never work again, as after the app was removed or reinstalled.", "推送服务判定该 Token 已永久失效，例如应用已被卸载或重装。"),
		Say("The app must get a new token and register with it.", "请让应用重新获取 Token 并注册。"),
	}},
	ReasonTokenSuspended: {BlameDevice, Explanation{
		Say("The push vendor refused the token for this app or environment, or said that the phone has been inactive for 30 days, so it is set aside.", "推送服务拒绝在该应用或该环境下使用此 Token，或称手机已超过 30 天不活跃，因此暂停使用。"),
		Say("Set right what was refused (environment, bundle_id, which token is which) and let the app register again: then the token is used again.", "请更正被拒绝的内容（environment、bundle_id、Token 的种类），再让应用重新注册，该 Token 随即恢复使用。"),
	}},
	ReasonChannelNotConfigured: {BlameUs, Explanation{
		Say("The app has no credential for the push channel, or one that cannot be used.", "该应用没有此推送通道的凭据，或凭据无法使用。"),
		Say("An operator must store it: `relay app credential`; `relay doctor` checks it.", "请管理员用 `relay app credential` 配置凭据，并用 `relay doctor` 检查。"),
	}},
	ReasonDND: {BlameNone, Explanation{
		Say("The user asked not to be disturbed at this time.", "用户设置了此时段免打扰。"),
		Say("Call again later, or leave a message.", "请稍后再呼叫，或留言。"),
	}},
	ReasonVendorRefused: {BlameUs, Explanation{
		Say("The push vendor refused the message for good.", "推送服务拒绝了该消息，重试无效。"),
		Say("See the attempt's code; it is usually a matter of configuration.", "请查看该次推送的错误码，通常是配置问题。"),
	}},
	ReasonVendorThrottled: {BlameVendor, Explanation{
		Say("The push vendor limited the rate, and the wake was given up.", "推送服务限流，唤醒被放弃。"),
		Say("Spread the calls, or ask the vendor for a higher limit.", "请把呼叫错开，或向推送服务申请提高限额。"),
	}},
	ReasonVendorUnavailable: {BlameVendor, Explanation{
		Say("The push vendor did not answer, or failed, and the wake was given up.", "推送服务无响应或出错，唤醒被放弃。"),
		Say("Nothing is wrong with the device: call again. If it lasts, run `relay doctor`.", "设备没有问题，请重新呼叫；若持续出现，请运行 `relay doctor` 检查。"),
	}},
	ReasonDeadlinePassed: {BlameUs, Explanation{
		Say("Too little of the ring was left to wake the device.", "剩余振铃时间不足，来不及唤醒设备。"),
		Say("Use a longer ring_timeout_seconds, or look for a backlog in the metrics.", "请增大 ring_timeout_seconds，或通过监控指标检查是否有积压。"),
	}},
	ReasonDuplicate: {BlameNone, Explanation{
		Say("The call already rings on this device over another way.", "该呼叫已通过另一途径在此设备上振铃。"),
		Say("The app drops this one; nothing is to be done.", "应用丢弃本次通知即可，无需处理。"),
	}},
	ReasonDeviceLimit: {BlameNone, Explanation{
		Say("The user has more devices than a call goes to, and the others were heard from more recently.", "用户的设备数超过一次呼叫的上限，其他设备最近更活跃。"),
		Say("Delete devices that are no longer used (DELETE /v1/devices/{device_id}), or raise the limit: `relay app put APP --max-devices N`. Opening the app on this device makes it one of the most recent again.",
			"请删除不再使用的设备（DELETE /v1/devices/{device_id}），或用 `relay app put APP --max-devices N` 提高上限；在该设备上打开应用，也会使其重新排到前面。"),
	}},
}

// Meaning says in plain words what a reason stands for; zero for none.
func (r Reason) Meaning() Text { return reasonRows[r].Meaning }

// Advice says in plain words what to do about a reason; zero for none.
func (r Reason) Advice() Text { return reasonRows[r].Advice }

// Blame says whose fault a reason is, as far as the reason alone tells; the
// answer to an attempt tells more. "" for none.
func (r Reason) Blame() Blame { return reasonRows[r].blame }

// missable reports whether a device skipped for the reason is told that it missed
// the call: it could have rung but for other calls or the user's own rest.
func (r Reason) missable() bool { return r == ReasonIncomingLimit || r == ReasonDND }

// Region reports whether the reason is a verdict of the region gate.
func (r Reason) Region() bool { return r == ReasonRegionNotSupported || r == ReasonRegionUnknown }
