package call

import (
	"maps"
	"slices"
	"time"
)

// Policy is an app's settings for all its calls. The zero value is not valid;
// DefaultPolicy makes a new app work.
type Policy struct {
	Reject      RejectPolicy
	Payload     PayloadPolicy
	MaxDuration time.Duration // of an answered call
	Rules       string        // a version of the rules; "" follows the latest
	MaxDevices  int           // to how many of a user's devices a call goes; see Rules.Plan
	Retention   time.Duration // for how long calls and events are kept, in days; 0 is for ever

	// APNsVoIPExpiration is for how long APNs keeps a VoIP push for a phone that
	// it does not reach at once; 0 is one try. Apple advises 0 or a few seconds, so
	// that no old call rings later (Responding to VoIP notifications from PushKit).
	APNsVoIPExpiration time.Duration

	// Escalation is the order of each platform's channels: where the vendor
	// accepted a wake and the app does not confirm, a second wake goes over the
	// channel after the leg's own. With an empty order there is none.
	Escalation map[Platform][]Channel

	NoticeTexts map[string]NoticeText // of missed calls' notices, by locale; see MissedText
}

// To how many of a user's devices a call goes at most, by default and by policy.
const (
	DefaultMaxDevices = 20
	MostDevices       = 100
)

// The bounds of Retention where it is not 0. It is a matter of whole weeks.
const (
	MinRetention = 7 * 24 * time.Hour
	MaxRetention = 3650 * 24 * time.Hour
)

// MaxAPNsVoIPExpiration bounds APNsVoIPExpiration.
const MaxAPNsVoIPExpiration = 30 * time.Second

// DefaultPolicy is the policy of an app that sets none.
func DefaultPolicy() Policy {
	return Policy{
		Reject: RejectAll, Payload: PayloadFull, MaxDuration: DefaultMaxDuration, MaxDevices: DefaultMaxDevices, Escalation: DefaultEscalation(),
	}
}

// PolicyChange is what is to be changed of a policy. What is nil stays as it is.
type PolicyChange struct {
	Reject             *RejectPolicy
	Payload            *PayloadPolicy
	MaxDuration        *time.Duration
	Rules              *string
	MaxDevices         *int
	Retention          *time.Duration
	APNsVoIPExpiration *time.Duration
	Escalation         map[Platform][]Channel // of these platforms
	NoticeTexts        map[string]NoticeText  // of these locales; what is "" stays as it is

	// What goes back to its default, before anything above is set.
	ToDefault []PolicySetting
}

// PolicySetting names one setting of a policy, as the API does.
type PolicySetting string

// The settings of a policy.
const (
	SettingReject             PolicySetting = "reject"
	SettingPayload            PolicySetting = "payload"
	SettingMaxDuration        PolicySetting = "max_call_seconds"
	SettingRules              PolicySetting = "region_rules"
	SettingMaxDevices         PolicySetting = "max_devices"
	SettingRetention          PolicySetting = "retention_days"
	SettingAPNsVoIPExpiration PolicySetting = "apns_voip_expiration_seconds"
	SettingEscalation         PolicySetting = "escalation"
	SettingNoticeTexts        PolicySetting = "notice_texts"
)

// PolicySettings lists every setting.
var PolicySettings = []PolicySetting{
	SettingReject, SettingPayload, SettingMaxDuration, SettingRules, SettingMaxDevices, SettingRetention, SettingAPNsVoIPExpiration, SettingEscalation, SettingNoticeTexts,
}

// With is the policy with a change made. It shares no map with p.
func (p Policy) With(c PolicyChange) Policy {
	p.Escalation, p.NoticeTexts = maps.Clone(p.Escalation), maps.Clone(p.NoticeTexts)
	for _, s := range c.ToDefault {
		p.toDefault(s)
	}
	set(&p.Reject, c.Reject)
	set(&p.Payload, c.Payload)
	set(&p.MaxDuration, c.MaxDuration)
	set(&p.Rules, c.Rules)
	set(&p.MaxDevices, c.MaxDevices)
	set(&p.Retention, c.Retention)
	set(&p.APNsVoIPExpiration, c.APNsVoIPExpiration)
	if p.Escalation == nil && c.Escalation != nil {
		p.Escalation = map[Platform][]Channel{}
	}
	maps.Copy(p.Escalation, c.Escalation)
	for _, locale := range slices.Sorted(maps.Keys(c.NoticeTexts)) {
		p.setNotice(locale, c.NoticeTexts[locale])
	}
	return p
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

func (p *Policy) toDefault(s PolicySetting) {
	d := DefaultPolicy()
	switch s {
	case SettingReject:
		p.Reject = d.Reject
	case SettingPayload:
		p.Payload = d.Payload
	case SettingMaxDuration:
		p.MaxDuration = d.MaxDuration
	case SettingRules:
		p.Rules = d.Rules
	case SettingMaxDevices:
		p.MaxDevices = d.MaxDevices
	case SettingRetention:
		p.Retention = d.Retention
	case SettingAPNsVoIPExpiration:
		p.APNsVoIPExpiration = d.APNsVoIPExpiration
	case SettingEscalation:
		p.Escalation = d.Escalation
	case SettingNoticeTexts:
		p.NoticeTexts = d.NoticeTexts
	}
}

// setNotice changes the texts of a locale, however it was written before: one that
// is there as zh-CN and as zh_CN would say either.
func (p *Policy) setNotice(locale string, t NoticeText) {
	for _, name := range slices.Sorted(maps.Keys(p.NoticeTexts)) {
		if tag(name) != tag(locale) {
			continue
		}
		if t.Voice == "" {
			t.Voice = p.NoticeTexts[name].Voice
		}
		if t.Video == "" {
			t.Video = p.NoticeTexts[name].Video
		}
		delete(p.NoticeTexts, name)
	}
	if p.NoticeTexts == nil {
		p.NoticeTexts = map[string]NoticeText{}
	}
	p.NoticeTexts[locale] = t
}
