package call

import "time"

// Platform is the operating system of a device.
type Platform string

const (
	HarmonyOS Platform = "harmonyos"
	IOS       Platform = "ios"
	Android   Platform = "android"
	Web       Platform = "web"
)

// Platforms lists every platform.
var Platforms = []Platform{HarmonyOS, IOS, Android, Web}

// DeviceType is the kind of machine.
type DeviceType string

const (
	Phone        DeviceType = "phone"
	Tablet       DeviceType = "tablet"
	PC           DeviceType = "pc"
	Wearable     DeviceType = "wearable"
	LiteWearable DeviceType = "lite_wearable" // a children's watch
	TV           DeviceType = "tv"
)

// DeviceTypes lists every device type.
var DeviceTypes = []DeviceType{Phone, Tablet, PC, Wearable, LiteWearable, TV}

// Channel is a way to wake an app.
type Channel string

const (
	PushKitVoIP  Channel = "push_kit_voip"  // Push Kit v3, push-type 10
	PushKitAlert Channel = "push_kit_alert" // Push Kit v3, push-type 0
	APNsVoIP     Channel = "apns_voip"      // APNs, apns-push-type voip
	APNsAlert    Channel = "apns_alert"     // APNs, apns-push-type alert
	Connection   Channel = "connection"     // the app's own open feed
)

// Channels lists every channel.
var Channels = []Channel{PushKitVoIP, PushKitAlert, APNsVoIP, APNsAlert, Connection}

// VoIP reports whether a wake over the channel starts the app, so that it
// should confirm without the user's tap.
func (c Channel) VoIP() bool { return c == PushKitVoIP || c == APNsVoIP }

// Presentation is how a device shows a call.
type Presentation string

const (
	CallServiceKit       Presentation = "call_service_kit" // HarmonyOS Call Service Kit
	CallKit              Presentation = "callkit"          // iOS CallKit
	LiveCommunicationKit Presentation = "lck"              // iOS LiveCommunicationKit, 17.4 or newer
	Alert                Presentation = "alert"            // an ordinary notification
)

// Presentations lists every presentation.
var Presentations = []Presentation{CallServiceKit, CallKit, LiveCommunicationKit, Alert}

// TokenName names one of a device's vendor tokens.
type TokenName string

const (
	TokenPushKit   TokenName = "push_kit"
	TokenAPNsVoIP  TokenName = "apns_voip"
	TokenAPNsAlert TokenName = "apns_alert"
)

// TokenNames lists every token name.
var TokenNames = []TokenName{TokenPushKit, TokenAPNsVoIP, TokenAPNsAlert}

// Token names the vendor token that a channel needs; "" where it needs none.
func (c Channel) Token() TokenName {
	switch c {
	case PushKitVoIP, PushKitAlert:
		return TokenPushKit
	case APNsVoIP:
		return TokenAPNsVoIP
	case APNsAlert:
		return TokenAPNsAlert
	}
	return ""
}

// TokenState is what is known of a vendor token.
type TokenState string

const (
	TokenAlive     TokenState = "alive"
	TokenDead      TokenState = "dead"      // the vendor said that it no longer works
	TokenSuspended TokenState = "suspended" // not to be used until the app registers again
)

// Token is one vendor token of a device.
type Token struct {
	Value string
	State TokenState
}

// Device is one install of the app, with what the rules need to know of it.
type Device struct {
	ID            string
	UserID        string
	Platform      Platform
	Type          DeviceType
	SystemVersion string // as registered, e.g. "6.1.0(23)" or "17.4"
	Emulator      bool
	CallUI        Presentation
	Environment   string // "production" or "sandbox"
	BundleID      string
	Locale        string
	Tokens        map[TokenName]Token
	Region        []Evidence
	Connected     bool      // its feed is open
	HeardAt       time.Time // when it was registered last; zero where that is not known
	AliveIncoming int       // legs of incoming calls that hold a slot
	AliveOutgoing int       // outgoing calls that are alive
	DND           DND       // its user's
}

// Vendor is the company that carries a channel. An app needs a credential of
// it.
type Vendor string

const (
	PushKit Vendor = "push_kit"
	APNs    Vendor = "apns"
)

// Vendors lists every vendor.
var Vendors = []Vendor{PushKit, APNs}

// Vendor is the channel's vendor; "" for the app's own connection.
func (c Channel) Vendor() Vendor {
	switch c {
	case PushKitVoIP, PushKitAlert:
		return PushKit
	case APNsVoIP, APNsAlert:
		return APNs
	}
	return ""
}
