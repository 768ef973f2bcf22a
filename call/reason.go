package call

// Reason says why a leg was skipped, refused or failed.
type Reason string

const (
	// ReasonRegionNotSupported: the device's region is known, and calls may not be shown there.
	ReasonRegionNotSupported Reason = "region_not_supported"
	// ReasonRegionUnknown: the evidence of the device's region is missing, too old or in disagreement.
	ReasonRegionUnknown Reason = "region_unknown"
	// ReasonDeviceNotSupported: this kind of device or system version cannot show calls.
	ReasonDeviceNotSupported Reason = "device_not_supported"
	// ReasonEmulatorNotSupported: VoIP messages and the Call Service Kit do not work on emulators.
	ReasonEmulatorNotSupported Reason = "emulator_not_supported"
	// ReasonNotConnected: no push reaches this device and its feed is not open.
	ReasonNotConnected Reason = "not_connected"
	// ReasonIncomingLimit: as many incoming calls as the platform allows are alive on the device.
	ReasonIncomingLimit Reason = "incoming_limit"
	// ReasonNoToken: the device registered no token for the channel.
	ReasonNoToken Reason = "no_token"
	// ReasonTokenDead: the vendor said that the token will never work again.
	ReasonTokenDead Reason = "token_dead"
	// ReasonTokenSuspended: the token is not to be used until the app registers again.
	ReasonTokenSuspended Reason = "token_suspended"
	// ReasonChannelNotConfigured: the app has no credential for the channel.
	ReasonChannelNotConfigured Reason = "channel_not_configured"
	// ReasonDND: the user asked not to be disturbed.
	ReasonDND Reason = "dnd"
	// ReasonVendorRefused: the vendor refused the message for good.
	ReasonVendorRefused Reason = "vendor_refused"
	// ReasonVendorThrottled: the vendor limits the rate, and the ring ended first.
	ReasonVendorThrottled Reason = "vendor_throttled"
	// ReasonVendorUnavailable: the vendor did not answer, or failed, within the ring.
	ReasonVendorUnavailable Reason = "vendor_unavailable"
	// ReasonDeadlinePassed: too little of the ring was left to send a wake.
	ReasonDeadlinePassed Reason = "deadline_passed"
	// ReasonDuplicate: the call already rings on this device by another way.
	ReasonDuplicate Reason = "duplicate"
)

// Reasons lists every reason.
var Reasons = []Reason{
	ReasonRegionNotSupported, ReasonRegionUnknown, ReasonDeviceNotSupported, ReasonEmulatorNotSupported, ReasonNotConnected,
	ReasonIncomingLimit, ReasonNoToken, ReasonTokenDead, ReasonTokenSuspended, ReasonChannelNotConfigured, ReasonDND,
	ReasonVendorRefused, ReasonVendorThrottled, ReasonVendorUnavailable, ReasonDeadlinePassed, ReasonDuplicate,
}

var reasonAdvice = map[Reason]string{
	ReasonRegionNotSupported:   "The device is in a region where its system may not show calls. Reach the user another way, or send the right region if the evidence in the timeline is wrong.",
	ReasonRegionUnknown:        "Nothing recent tells the device's region, or the signals disagree. Send region.country from your backend, or let the app register with its SIM, network or storefront.",
	ReasonDeviceNotSupported:   "This kind of device or system version cannot show calls. Ask the user to update the system or to use a phone.",
	ReasonEmulatorNotSupported: "VoIP messages do not reach emulators. Test on a real device.",
	ReasonNotConnected:         "No push reaches this kind of device. It rings only while the app keeps its connection open.",
	ReasonIncomingLimit:        "The device already has as many incoming calls as its system allows. Call again when one has ended.",
	ReasonNoToken:              "The app registered no push token. Let it send its token at every start.",
	ReasonTokenDead:            "The push token is dead, as after a reinstall. The app must register with a new one.",
	ReasonTokenSuspended:       "The push token is set aside, as for a device long unused. It is used again when the app registers.",
	ReasonChannelNotConfigured: "The app has no credential for this push channel. An operator must add it.",
	ReasonDND:                  "The user asked not to be disturbed at this time.",
	ReasonVendorRefused:        "The push vendor refused the message. See the attempt's code; it is usually a matter of configuration.",
	ReasonVendorThrottled:      "The push vendor limits the rate. Spread the calls, or ask the vendor for a higher limit.",
	ReasonVendorUnavailable:    "The push vendor did not accept the message in time. Nothing is wrong with the device; call again.",
	ReasonDeadlinePassed:       "Too little of the ring was left to wake the device. Use a longer ring_timeout_seconds, or look for a backlog in the metrics.",
	ReasonDuplicate:            "The call already rings on this device over another way; this one is to be dropped.",
}

// Advice says in plain words what to do about a reason; "" for none.
func (r Reason) Advice() string { return reasonAdvice[r] }

// Region reports whether the reason is a verdict of the region gate.
func (r Reason) Region() bool { return r == ReasonRegionNotSupported || r == ReasonRegionUnknown }
