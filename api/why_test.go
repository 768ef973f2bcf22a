package api_test

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/pushwake/relay/push/apns/apnssim"
	"github.com/pushwake/relay/push/pushkit/pushkitsim"
)

// ownVendors gives the rig simulators of its own, into which it may put faults.
// At the sandbox of its APNs nobody listens.
func (r *rig) ownVendors() {
	r.t.Helper()
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	_ = nobody.Close()
	if r.vendor, err = newPushKit(); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = r.vendor.sim.Close() })
	if r.apple, err = newAPNs("https://" + nobody.Addr().String()); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		r.apple.pools.Close()
		_ = r.apple.sim.Close()
	})
	r.install(app)
}

// TestTenCallsThatDidNotRing: a stranger who has the timeline alone learns from
// it why each of ten calls did not ring, and what to do.
func TestTenCallsThatDidNotRing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ownVendors()
	huawei, apple := r.vendor.sim, r.apple.sim
	for device, state := range map[string]apnssim.Token{
		"dead": {State: apnssim.Dead}, "foreign": {State: apnssim.Foreign}, "sandbox": {State: apnssim.Alive, Environment: apnssim.Sandbox},
	} {
		if err := apple.SetToken(r.hexToken(device), state); err != nil {
			t.Fatal(err)
		}
	}
	if err := huawei.SetToken(r.token("entitlement"), pushkitsim.Token{State: pushkitsim.NoRight}); err != nil {
		t.Fatal(err)
	}
	if err := huawei.SetFaults(pushkitsim.Fault{Token: r.token("throttled"), Status: 503}); err != nil {
		t.Fatal(err)
	}
	own := object{"bundle_id": "com.example.voip"}
	for n, c := range []struct {
		name   string
		device object
		calls  int // before the one that is looked at, which stay alive

		text, advice, chineseText, chineseAdvice string // what they must contain
	}{
		{
			name: "region", device: phone("region", r.token("region"), object{"region": object{"sim_mcc": "454", "network_mcc": "454"}}),
			text: "may not show calls in Hong Kong (known by the network and the SIM)", advice: "Reach the user another way",
			chineseText: "在中国香港不能展示来电", chineseAdvice: "请换其他方式联系用户",
		},
		{
			name: "emulator", device: phone("emulator", r.token("emulator"), object{"emulator": true}),
			text: "VoIP pushes do not reach emulators", advice: "Test on a real device", chineseText: "模拟器收不到 VoIP 消息", chineseAdvice: "请使用真机测试",
		},
		{
			name: "limit", device: phone("limit", r.token("limit")), calls: 3,
			text: "already has 3 incoming calls, as many as its system allows", advice: "Call again when one of them has ended",
			chineseText: "已有 3 路来电，达到系统上限", chineseAdvice: "请在其中一路来电结束后重新呼叫",
		},
		{
			name: "dead token", device: r.iPhone("dead token", "dead", own),
			text: "APNs refused the token (HTTP 410, Unregistered). The app was removed from the device", advice: "must register again",
			chineseText: "应用已从设备卸载", chineseAdvice: "应用须重新注册",
		},
		{
			name: "wrong topic", device: r.iPhone("wrong topic", "foreign", own),
			text: "APNs refused the token (HTTP 400, DeviceTokenNotForTopic). The token belongs to another topic: to another app, or it is an alert token registered as a VoIP token. The push went to production with the bundle id com.example.voip", advice: "registers PushKit's token as apns_voip",
			chineseText: "设备令牌属于其他 topic", chineseAdvice: "把 PushKit 的令牌注册为 apns_voip",
		},
		{
			name: "wrong environment", device: r.iPhone("wrong environment", "sandbox", own),
			text: "APNs refused the token (HTTP 400, BadDeviceToken). The token is malformed, or it is of the other environment. The push went to production", advice: "builds from Xcode are sandbox",
			chineseText: "推送发往 production 环境", chineseAdvice: "Xcode 直接安装的为 sandbox",
		},
		{
			name: "entitlement", device: phone("entitlement", r.token("entitlement")),
			text: "80300007/noPushTypeRight). The app lacks the entitlement", advice: "Apply in AppGallery Connect for the entitlement",
			chineseText: "应用没有该类消息的推送权益", chineseAdvice: "申请推送应用内通话消息的权益",
		},
		{
			name: "throttled", device: phone("throttled", r.token("throttled")),
			text: "Push Kit limits the rate (HTTP 503)", advice: "Spread the calls", chineseText: "Push Kit 限流（HTTP 503）", chineseAdvice: "请把呼叫错开",
		},
		{
			name: "vendor down", device: r.iPhone("vendor down", "down", own, object{"environment": "sandbox"}),
			text: "APNs gave no answer (no connection: connection refused)", advice: "check relay's way to Apple",
			chineseText: "APNs 没有应答", chineseAdvice: "检查 relay 到 Apple 的网络",
		},
		{
			name: "no confirm", device: phone("no confirm", r.token("silent")),
			text: "Push Kit accepted the push for phone-10, but the app never confirmed that it woke", advice: "was the phone on, online",
			chineseText: "应用始终没有确认被唤醒", chineseAdvice: "手机是否开机、联网",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := r.in(t)
			r.ask(r.backend, "PUT", fmt.Sprintf("/v1/devices/phone-%d", n+1), c.device).want(200) // a name that gives nothing away
			for range c.calls {
				r.ask(r.backend, "POST", "/v1/calls", invite(c.name, object{"ring_timeout_seconds": 120})).want(201)
			}
			path := "/v1/calls/" + r.ask(r.backend, "POST", "/v1/calls", invite(c.name, object{"ring_timeout_seconds": 10})).want(201).text("id")
			eventually(t, "the end of the call", func() bool { return r.ask(r.backend, "GET", path, nil).want(200).get("status") == "ended" })
			for _, in := range []struct{ wanted, language, text, advice, not string }{
				{"", "en", c.text, c.advice, "It did not ring. "}, {"zh-CN, zh;q=0.9", "zh-Hans", c.chineseText, c.chineseAdvice, "呼叫没有振铃。"},
			} {
				told := r.ask(r.backend, "GET", path+"/timeline", nil, "Accept-Language", in.wanted).want(200)
				if got := told.header.Get("Content-Language"); got != in.language {
					t.Errorf("asked for %q, answered in %q", in.wanted, got)
				}
				summary, text, advice := told.text("summary"), told.text("legs", 0, "text"), told.text("legs", 0, "advice")
				t.Logf("%s\n%s", summary, advice) // to be read as a stranger would
				if !strings.HasPrefix(summary, in.not+text) || !strings.Contains(text, in.text) {
					t.Errorf("the timeline does not say %q", in.text)
				}
				if !strings.Contains(advice, in.advice) {
					t.Errorf("the timeline does not advise %q", in.advice)
				}
			}
		})
	}
}
