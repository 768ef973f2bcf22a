package devicesim

import (
	"cmp"
	"context"
	"time"
)

// legEnds are the leg statuses after which a device must not ring.
var legEnds = []string{
	"skipped", "answered_elsewhere", "declined_elsewhere", "rejected", "busy", "canceled", "missed", "failed", "completed",
}

// live runs a call on this device from its first ring to its end: by the
// script, by relay or by the end of the ring. It polls relay only while there
// is no feed.
func (d *Device) live(ctx context.Context, w *wake) {
	defer w.leg.phase.Store(legOver)
	script := d.cfg.Script
	poll := time.NewTicker(d.cfg.PollEvery)
	defer poll.Stop()
	ring := time.NewTimer(w.ringEnd.Sub(d.cfg.Now()))
	defer ring.Stop()
	var acts <-chan time.Time
	if script.Answer || script.Reject {
		acts = time.After(script.AnswerAfter)
	}
	active := false
	for {
		select {
		case <-ctx.Done():
			d.disconnect(ctx, w)
			d.set(w.Call, StatusFailed, "the app was stopped")
			return
		case <-w.leg.stopped:
			d.disconnect(ctx, w)
			d.set(w.Call, StatusStopped, w.leg.reason)
			return
		case <-poll.C:
			if d.feed.isOpen() {
				continue
			}
			if reason, over := d.poll(ctx, w); over {
				d.disconnect(ctx, w)
				d.set(w.Call, StatusStopped, reason)
				return
			}
		case <-ring.C:
			if active {
				continue
			}
			d.disconnect(ctx, w)
			d.set(w.Call, StatusMissed, "")
			return
		case <-acts:
			switch {
			case active:
				d.leave(ctx, w, "disconnected", StatusCompleted)
				return
			case script.Reject:
				d.leave(ctx, w, "rejected", StatusRejected)
				return
			}
			if !d.answer(ctx, w) {
				return
			}
			active, acts = true, nil
			if script.HangUpAfter >= 0 {
				acts = time.After(script.HangUpAfter)
			}
		}
	}
}

// answer answers the call and reports whether this device won it. It tells the
// system first, as the Call Service Kit's guide advises.
func (d *Device) answer(ctx context.Context, w *wake) bool {
	d.state(ctx, w, kitAnswered)
	err := d.report(ctx, w, report{Event: "answered", Media: cmp.Or(d.cfg.Script.Media, w.Media)})
	if err == nil {
		d.set(w.Call, StatusAnswered, "")
		d.state(ctx, w, kitActive)
		err = d.report(ctx, w, report{Event: "active"})
	}
	if err != nil {
		d.disconnect(ctx, w)
		d.fail(w.Call, err)
		return false
	}
	d.set(w.Call, StatusActive, "")
	return true
}

// leave ends the call for the user.
func (d *Device) leave(ctx context.Context, w *wake, event string, status Status) {
	d.disconnect(ctx, w)
	if err := d.report(ctx, w, report{Event: event}); err != nil {
		d.fail(w.Call, err)
		return
	}
	d.set(w.Call, status, "")
}

// disconnect ends the call on the phone, even when ctx has ended.
func (d *Device) disconnect(ctx context.Context, w *wake) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.cfg.Timeout)
	defer cancel()
	d.state(ctx, w, kitDisconnected)
}

// poll asks relay whether the call still concerns this device. A failed poll is
// not repeated, since the next one follows.
func (d *Device) poll(ctx context.Context, w *wake) (reason string, over bool) {
	var answer advice
	if err := d.once(ctx, request{method: "GET", url: d.callURL(w), bearer: d.bearer(w)}, nil, d.cfg.Timeout, &answer); err != nil {
		d.log.WarnContext(ctx, "poll", "call_id", w.ID, "error", err)
		return "", false
	}
	return answer.over()
}
