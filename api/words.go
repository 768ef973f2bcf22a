package api

import (
	"fmt"
	"strings"

	"golang.org/x/text/language"
	"golang.org/x/text/language/display"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/store"
)

// Clauses that several sentences share: without a full stop, and in English
// without a capital letter.

var vendorNames = map[call.Vendor]string{call.PushKit: "Push Kit", call.APNs: "APNs"}

func vendorOf(c call.Channel) string { return vendorNames[c.Vendor()] }

var platformNames = map[call.Platform]string{call.HarmonyOS: "HarmonyOS", call.IOS: "iOS", call.Android: "Android", call.Web: "Web"}

var deviceNames = map[call.DeviceType]call.Text{
	call.Phone:        call.Say("phone", "手机"),
	call.Tablet:       call.Say("tablet", "平板"),
	call.PC:           call.Say("PC", "PC"),
	call.Wearable:     call.Say("wearable", "穿戴设备"),
	call.LiteWearable: call.Say("children's watch", "儿童手表"),
	call.TV:           call.Say("TV", "智慧屏"),
}

var presentationNames = map[call.Presentation]call.Text{
	call.CallServiceKit:       call.Say("the Call Service Kit", "通话服务（Call Service Kit）"),
	call.CallKit:              call.Say("CallKit", "CallKit"),
	call.LiveCommunicationKit: call.Say("LiveCommunicationKit", "LiveCommunicationKit"),
	call.Alert:                call.Say("a notification", "通知"),
}

// countryNames are those that the rules tell apart, as the documents of the
// Call Service Kit name them.
var countryNames = map[string]call.Text{
	call.MainlandChina: call.Say("mainland China", "中国大陆"),
	"HK":               call.Say("Hong Kong", "中国香港"),
	"MO":               call.Say("Macao", "中国澳门"),
	"TW":               call.Say("Taiwan", "中国台湾"),
}

var (
	inEnglish = display.English.Regions()
	inChinese = display.Regions(language.SimplifiedChinese)
)

func countryName(code string) call.Text {
	if known, ok := countryNames[code]; ok {
		return known
	}
	r, err := language.ParseRegion(code)
	if err != nil {
		return call.Say(code, code)
	}
	return call.Say(inEnglish.Name(r), inChinese.Name(r))
}

// names joins words of the API, untranslated, to a list.
func names[T ~string](words []T) call.Text {
	said := make([]call.Text, len(words))
	for i, w := range words {
		said[i] = call.Say(string(w), string(w))
	}
	return call.List(said)
}

var evidenceNames = map[call.EvidenceSource]call.Text{
	call.FromBackend:    call.Say("the backend", "业务后台"),
	call.FromStorefront: call.Say("the storefront", "应用商店地区"),
	call.FromPhone:      call.Say("the phone number", "手机号"),
	call.FromSIM:        call.Say("the SIM", "SIM 卡"),
	call.FromNetwork:    call.Say("the network", "移动网络"),
	call.FromDevice:     call.Say("the device itself", "设备自报"),
	call.FromIP:         call.Say("the IP address", "IP 地址"),
}

// sources lists the sources of the signals that a verdict was based on.
func sources(v call.RegionVerdict, part call.SignalUse) call.Text {
	var found []call.Text
	for _, s := range v.Signals {
		if s.Use == part {
			found = append(found, evidenceNames[s.Source])
		}
	}
	return call.List(found)
}

// whereabouts says in which region a device is taken to be.
func whereabouts(v call.RegionVerdict) call.Text {
	if v.Country == "" {
		return call.Say("region unknown", "地区未知")
	}
	return call.Say("%s by %s", "%s，依据：%s").With(countryName(v.Country), sources(v, call.UseDecided))
}

// noRegion says why a region is not known.
func noRegion(v call.RegionVerdict) call.Text {
	var disagree []call.Text
	stale, notCounted := false, false
	for _, s := range v.Signals {
		switch s.Use {
		case call.UseConflict:
			disagree = append(disagree, call.Say("%s says %s", "%s：%s").With(evidenceNames[s.Source], countryName(s.Country)))
		case call.UseStale:
			stale = true
		case call.UseNotCounted:
			notCounted = true
		}
	}
	switch {
	case disagree != nil:
		return call.Say("the signals of its region disagree (%s)", "地区信号相互矛盾（%s）").With(call.List(disagree))
	case stale:
		return call.Say("what is known of its region is older than %d days (%s)", "地区信号已超过 %d 天（%s）").
			With(int(call.EvidenceMaxAge.Hours()/24), sources(v, call.UseStale))
	case notCounted:
		return call.Say("only its IP address tells its region, and outside mainland China that does not count", "只有 IP 地址能说明地区，而中国大陆以外的 IP 地址不作为依据")
	}
	return call.Say("nothing tells its region", "没有任何信息能说明其所在地区")
}

// unsuited says why the rules refuse a device in a region: its verdict is one
// of call.Reason.Region.
func unsuited(r call.Reason, v call.RegionVerdict) call.Text {
	if r == call.ReasonRegionUnknown {
		return noRegion(v)
	}
	return call.Say("its system may not show calls in %s (known by %s)", "其系统在%s不能展示来电（依据：%s）").With(countryName(v.Country), sources(v, call.UseDecided))
}

// skipped says why a device is not woken; zero where there is nothing to add to
// the reason's own meaning.
func skipped(d call.Decision) call.Text {
	device := d.Device
	switch d.Reason {
	case call.ReasonRegionNotSupported, call.ReasonRegionUnknown:
		return unsuited(d.Reason, d.Region)
	case call.ReasonDeviceNotSupported:
		if d.VersionUnread() {
			return call.Say(`the version of its system could not be read from %q`, "无法从 %q 中识别其系统版本").With(device.SystemVersion)
		}
		return call.Say("a %s with %s %s cannot show calls", "%s（%s %s）不支持展示来电").With(deviceNames[device.Type], platformNames[device.Platform], device.SystemVersion)
	case call.ReasonEmulatorNotSupported:
		return call.Say("it is an emulator, and VoIP pushes do not reach emulators", "它是模拟器，模拟器收不到 VoIP 消息")
	case call.ReasonNotConnected:
		return call.Say("no push reaches a %s, and its app has no connection open", "%s收不到推送，且应用没有保持连接").With(deviceNames[device.Type])
	case call.ReasonIncomingLimit:
		return call.Say("it already has %d incoming calls, as many as its system allows", "它已有 %d 路来电，达到系统上限").With(device.AliveIncoming)
	case call.ReasonNoToken:
		return call.Say("its app registered no token %s", "应用没有注册 %s Token").With(d.Channel.Token())
	case call.ReasonTokenDead:
		return call.Say("its token %s is dead: %s said that it will never work again", "其 %s Token 已失效：%s 判定其永久失效").With(d.Channel.Token(), vendorOf(d.Channel))
	case call.ReasonTokenSuspended:
		if d.Channel.Vendor() == call.PushKit {
			return call.Say("its token %s is set aside, since Huawei said that the phone has been inactive for 30 days", "其 %s Token 已暂停使用：华为称手机已超过 30 天不活跃").With(d.Channel.Token())
		}
		return call.Say("its token %s is set aside, since %s refused it for this app or environment", "其 %s Token 已暂停使用：%s 拒绝在该应用或环境下使用").
			With(d.Channel.Token(), vendorOf(d.Channel))
	case call.ReasonChannelNotConfigured:
		return call.Say("the app has no credential for %s", "该应用没有 %s 的凭据").With(vendorOf(d.Channel))
	}
	return call.Text{}
}

// abandoned is the outcome of an attempt whose answer is not known.
const abandoned = "abandoned"

// outcomes words a vendor's answer by store.Attempt.Outcome, given the vendor
// and its code.
var outcomes = map[string]call.Text{
	"accepted":        call.Say("%s accepted the push (%s)", "%s 已接受推送（%s）"),
	"token_refused":   call.Say("%s refused the token (%s)", "%s 拒绝了 Token（%s）"),
	"refused":         call.Say("%s refused the push (%s)", "%s 拒绝了推送（%s）"),
	"unauthenticated": call.Say("%s refused relay's credential (%s)", "%s 拒绝了 relay 的凭据（%s）"),
	"throttled":       call.Say("%s limits the rate (%s)", "%s 限流（%s）"),
	"unavailable":     call.Say("%s failed (%s)", "%s 出错（%s）"),
}

// answered says how an attempt ended.
func answered(a *store.Attempt) call.Text {
	words := strings.TrimPrefix(strings.TrimPrefix(a.Message, "not sent: "), "no answer: ")
	switch {
	case a.Outcome == abandoned:
		return call.Say("the process of relay that sent it stopped before an answer was recorded; %s may have the push", "发送推送的 relay 进程在记录应答前停止；%s 可能已收到推送").With(vendorOf(a.Channel))
	case a.Status == 0 && a.Code != "": // relay's own code
		return call.Say("relay could not send the push (%s: %s)", "relay 无法发送推送（%s：%s）").With(a.Code, words)
	case a.Status == 0:
		return call.Say("%s gave no answer (%s)", "%s 没有应答（%s）").With(vendorOf(a.Channel), words)
	}
	code := fmt.Sprintf("HTTP %d", a.Status)
	if a.Code != "" {
		code += ", " + a.Code
	}
	return outcomes[a.Outcome].With(vendorOf(a.Channel), code)
}
