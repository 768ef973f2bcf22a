package api

import (
	"time"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/store"
)

// again words the second wakes of a leg whose app did not confirm, and their
// outcome; zero where there were none.
func (n *narrator) again(l *call.Leg) (said call.Text) {
	after := func(at time.Time) int { return int(at.Sub(l.HandedOverAt).Seconds()) }
	if !l.EscalatedAt.IsZero() {
		channel, last := n.escalated(l)
		said = cameTo(call.Say("After %d seconds without a confirm it was woken over %s as well", "%d 秒未确认后，又通过 %s 唤醒").With(after(l.EscalatedAt), channel), last)
	}
	if !l.RewokenAt.IsZero() {
		said = said.Then(cameTo(call.Say("After %d seconds another VoIP push followed, since %s keeps none for longer", "%d 秒后再次发送了 VoIP 消息，因为 %s 不再保留前一条").
			With(after(l.RewokenAt), vendorOf(l.Channel)), n.rewoken(l)))
	}
	return said
}

// escalated is the channel that a leg's wake was escalated to, and the last
// attempt over it; nil where none is on record.
func (n *narrator) escalated(l *call.Leg) (channel call.Channel, last *store.Attempt) {
	for _, a := range n.history(l.ID).attempts {
		if a.Channel != l.Channel {
			channel, last = a.Channel, a
		}
	}
	for _, c := range l.Platform.Channels() {
		if last == nil && c != l.Channel { // each platform has two channels
			channel = c
		}
	}
	return channel, last
}

// rewoken is the last attempt over a leg's own channel that was made after the
// vendor had accepted one; nil where none is on record.
func (n *narrator) rewoken(l *call.Leg) (last *store.Attempt) {
	for _, a := range n.history(l.ID).attempts {
		if a.Channel == l.Channel && a.StartedAt.After(l.HandedOverAt) {
			last = a
		}
	}
	return last
}

// cameTo ends a sentence with the outcome of an attempt, where one is on
// record.
func cameTo(said call.Text, last *store.Attempt) call.Text {
	if last == nil {
		return call.Say("%s.", "%s。").With(said)
	}
	return call.Say("%s: %s.", "%s：%s。").With(said, answered(last))
}
