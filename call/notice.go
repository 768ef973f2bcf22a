package call

import (
	"strings"
	"time"
)

// Purpose is what a push is sent for.
type Purpose string

const (
	PurposeRing       Purpose = "ring"        // to wake the app, so that it rings
	PurposeMissedCall Purpose = "missed_call" // to tell the user of a call that is over
	PurposeRevoke     Purpose = "revoke"      // to take a notification of the call back
)

// Purposes lists every purpose.
var Purposes = []Purpose{PurposeRing, PurposeMissedCall, PurposeRevoke}

// NoticeLife is how long a vendor keeps a missed call's notice for a device
// that it does not reach, and how long after the ring one is sent at all.
const NoticeLife = 24 * time.Hour

// NoticePatience is for how long the sending of a notice is tried.
const NoticePatience = 10 * time.Minute

// NoticeChannel is the channel that carries a platform's notices: one whose
// messages the system shows by itself. "" where there is none.
func (p Platform) NoticeChannel() Channel {
	switch p {
	case HarmonyOS:
		return PushKitAlert
	case IOS:
		return APNsAlert
	}
	return ""
}

// Notifiable says why a notice cannot reach the device over the channel now; ""
// where it can.
func (d *Device) Notifiable(channel Channel, configured map[Channel]bool) Reason {
	return d.wakeable(channel, configured)
}

// Revocable reports whether a vendor takes a notification back that it carried
// over the channel (Push Kit REST v3, revoking messages: push-type 0).
func (c Channel) Revocable() bool { return c == PushKitAlert }

// Alert notes that a vendor accepted a notification of the call for a leg, also
// of one that has ended meanwhile.
func (c *Call) Alert(leg *Leg, over Channel, now time.Time) {
	if over.Revocable() && leg.AlertedAt.IsZero() {
		leg.AlertedAt = now
	}
}

// Notice is what a leg's device is to be sent as its call now stands: the
// notice of a missed call, the revoking of a notification that is not true any
// more, or "" for nothing. Once it is a missed call it stays one.
func (c *Call) Notice(l *Leg) Purpose {
	switch {
	case c.Direction != Incoming:
		return ""
	case c.missedBy(l):
		return PurposeMissedCall // which takes the place of a notification of the call
	case !l.AlertedAt.IsZero() && (!l.ConfirmedAt.IsZero() || !l.Status.Open()):
		return PurposeRevoke
	}
	return ""
}

// missedBy reports whether a leg's device is told that the call was missed:
// where it rang in vain, and where only the limit of calls or the user's own
// rest kept it from ringing. Never a user who answered or rejected, on
// whichever device; nor a device that the gate refused.
func (c *Call) missedBy(l *Leg) bool {
	if c.Live() || !c.AnsweredAt.IsZero() || l.Platform.NoticeChannel() == "" || c.EndedAt.Sub(c.ExpiresAt) > NoticeLife {
		return false
	}
	for i := range c.Legs {
		if c.Legs[i].Status == LegRejected {
			return false
		}
	}
	switch {
	case l.Status == LegSkipped:
		return l.Reason.missable()
	case c.EndReason == EndMissed, c.EndReason == EndCanceled:
		return !l.Reason.Region()
	}
	return false
}

// NoticeText is the body of a missed call's notice; "" leaves relay's own words.
type NoticeText struct{ Voice, Video string }

// MaxNoticeText bounds a NoticeText, in bytes.
const MaxNoticeText = 256

// MissedText is what the policy says to a device with a locale about a missed
// call: by the whole locale, else by its language; "" where relay's own words
// serve.
func (p Policy) MissedText(locale string, m Media) string {
	wanted := tag(locale)
	language, _, _ := strings.Cut(wanted, "-")
	for _, match := range []string{wanted, language} {
		for name, text := range p.NoticeTexts {
			words := text.Voice
			if m == Video {
				words = text.Video
			}
			if words != "" && match != "" && tag(name) == match {
				return words
			}
		}
	}
	return ""
}

// tag makes locales compare: zh_CN is zh-CN.
func tag(locale string) string { return strings.ToLower(strings.ReplaceAll(locale, "_", "-")) }
