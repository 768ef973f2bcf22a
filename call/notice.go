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
	PurposeRevoke     Purpose = "revoke"      // to revoke a notification of the call
)

// Purposes lists every purpose.
var Purposes = []Purpose{PurposeRing, PurposeMissedCall, PurposeRevoke}

// NoticeLife is how long a vendor keeps a missed call's notice for a device
// that is offline, and how long after the ring relay still sends one.
const NoticeLife = 24 * time.Hour

// NoticePatience is how long relay tries to send a notice.
const NoticePatience = 10 * time.Minute

// NoticeChannel is the channel of a platform's notices: one whose messages the
// system itself shows. "" where there is none.
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

// Revocable reports whether a vendor can revoke a notification that was sent
// over the channel (Push Kit REST v3, revoking messages: push-type 0).
func (c Channel) Revocable() bool { return c == PushKitAlert }

// Alert notes that a vendor accepted a notification of the call for a leg, even
// for one that has ended meanwhile.
func (c *Call) Alert(leg *Leg, over Channel, now time.Time) {
	if over.Revocable() && leg.AlertedAt.IsZero() {
		leg.AlertedAt = now
	}
}

// Notice is the notice that a leg's device is due, as the call stands now: one
// of a missed call, the revoke of an outdated notification, or "" for none.
// Once it is a missed call it stays one.
func (c *Call) Notice(l *Leg) Purpose {
	switch {
	case c.Direction != Incoming:
		return ""
	case c.missedBy(l):
		return PurposeMissedCall // which replaces a notification of the call
	case !l.AlertedAt.IsZero() && (!l.ConfirmedAt.IsZero() || !l.Status.Open()):
		return PurposeRevoke
	}
	return ""
}

// missedBy reports whether a leg's device gets the notice of a missed call: it
// rang in vain, or it was skipped for the limit of calls or for do-not-disturb
// alone. A user who answered or rejected on any device gets none, nor does a
// device that the region rules refused.
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

// MissedText is the policy's text of a missed call's notice for a device's
// locale: by the whole locale, else by its language; "" where relay's own words
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

// tag normalises a locale for comparison: zh_CN is zh-CN.
func tag(locale string) string { return strings.ToLower(strings.ReplaceAll(locale, "_", "-")) }
