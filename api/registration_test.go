package api_test

import (
	"strings"
	"testing"
)

// TestOneTokenInBothCases: upper and lower case of an APNs token are one token,
// which moves to whom registers it last, and long ones are kept.
func TestOneTokenInBothCases(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	long := strings.Repeat("0a1b2c3d4e", 16) // 160 digits
	tokens := func(of func(string) string) object {
		return object{"tokens": object{"apns_voip": of(r.hexToken("one")), "apns_alert": of(long)}}
	}
	r.ask(r.backend, "PUT", "/v1/devices/d1", r.iPhone("u1", "d1", tokens(strings.ToUpper))).want(200).has("apns_voip", "channel")
	r.ask(r.backend, "PUT", "/v1/devices/d2", r.iPhone("u2", "d2", tokens(strings.ToLower))).want(200).has("apns_voip", "channel")
	r.ask(r.backend, "GET", "/v1/devices/d1", nil).want(200).has("no_token", "reason").has(nil, "tokens", "apns_alert")
	r.ask(r.backend, "PUT", "/v1/devices/d1", r.iPhone("u1", "d1", tokens(strings.ToUpper))).want(200).has("apns_voip", "channel")
	r.ask(r.backend, "GET", "/v1/devices/d2", nil).want(200).has("no_token", "reason").has(nil, "tokens", "apns_alert")
}
