package call

import "time"

// Policy is what an app decides for all its calls. The zero value is not
// valid; DefaultPolicy makes a new app work.
type Policy struct {
	Reject      RejectPolicy
	Payload     PayloadPolicy
	MaxDuration time.Duration // of an answered call
	Rules       string        // a version of the rules; "" follows the latest
	MaxDevices  int           // to how many of a user's devices a call goes; see Rules.Plan

	// APNsVoIPExpiration is for how long APNs keeps a VoIP push for a phone that
	// it does not reach at once; 0 is one try. Apple advises 0 or a few seconds, so
	// that no old call rings later (Responding to VoIP notifications from PushKit).
	APNsVoIPExpiration time.Duration

	// Escalation is each platform's channels in order: where a wake was accepted and
	// the app does not confirm, one over the channel after the leg's own follows. An
	// empty order leaves that out.
	Escalation map[Platform][]Channel

	NoticeTexts map[string]NoticeText // of missed calls' notices, by locale; see MissedText
}

// To how many of a user's devices a call goes at most, by default and by policy.
const (
	DefaultMaxDevices = 20
	MostDevices       = 100
)

// MaxAPNsVoIPExpiration bounds APNsVoIPExpiration.
const MaxAPNsVoIPExpiration = 30 * time.Second

// DefaultPolicy is the policy of an app that sets none.
func DefaultPolicy() Policy {
	return Policy{
		Reject: RejectAll, Payload: PayloadFull, MaxDuration: DefaultMaxDuration, MaxDevices: DefaultMaxDevices, Escalation: DefaultEscalation(),
	}
}
