package store

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/pushwake/relay/call"
)

// lookAgain does what is due on a leg whose app has not confirmed. If a second
// wake begins, this process owns it.
func (s *Store) lookAgain(ctx context.Context, d due) error {
	_, err := s.change(ctx, step{appID: d.AppID, callID: d.CallID, deviceID: d.DeviceID, receipts: true, apply: func(u *underLock) (any, error) {
		u.lookAgain(s.process, d)
		return nil, nil
	}})
	return err
}

// lookAgain is the step itself, under the call's lock: the rules say what is
// due now, and when to look again.
func (u *underLock) lookAgain(process uuid.UUID, d due) {
	l, row := u.call.Leg(d.LegID), u.row(d.LegID)
	if l == nil || row.confirmDueAt.IsZero() || row.confirmDueAt.After(u.now) {
		return // the app confirmed, or another process was faster
	}
	l.HeldBack = u.heldBack(l.ID)
	device := u.devices[appKey{d.AppID, d.DeviceID}].Device
	if row.wakeProcess == nil && u.call.WakeAgain(l.ID, u.tenant.policy, device, u.tenant.configured, u.now) != "" {
		u.wake(process, l, row, device)
	}
	u.call.MarkNoWake(l.ID, u.now)
	row.confirmDueAt = u.call.NextLook(l.ID, u.tenant.policy, u.now)
}

// letGo ends a leg's wake. A leg has one wake at a time, so what became due
// meanwhile is done now.
func (u *underLock) letGo(l *call.Leg, row *legRow) {
	row.wakeProcess = nil
	row.confirmDueAt = u.call.NextLook(l.ID, u.tenant.policy, time.Time{})
}

// handOut collects the wakes that the steps began, except those that a later
// step of the same batch made unnecessary.
func (u *underLock) handOut() {
	for _, w := range u.wakes {
		if l, row := u.call.Leg(w.LegID), u.row(w.LegID); waits(l) {
			u.writes.wakes = append(u.writes.wakes, w)
		} else {
			u.letGo(l, row)
		}
	}
}

// clearConfirmDue takes away the due time of legs that confirmed or ended, so
// that the sweep finds only what is due.
func (u *underLock) clearConfirmDue() {
	for i := range u.rows {
		if l := &u.call.Legs[i]; !u.rows[i].confirmDueAt.IsZero() && l.Status != call.LegHandedOver {
			u.rows[i].confirmDueAt = time.Time{}
		}
	}
}
