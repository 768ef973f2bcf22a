package store

import (
	"context"
	"encoding/json"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"github.com/pushwake/relay/call"
)

// Party is a device that acts on its own leg of a call. UserID must be the
// leg's user, so that a phone that changed accounts cannot act for the old
// account.
type Party struct {
	AppID    string
	CallID   uuid.UUID
	DeviceID string
	UserID   string     // "" where LegID is enough
	LegID    uuid.UUID  // of a wake's token; zero for a device JWT
	IP       netip.Addr // of the device's own request
}

// Confirmed is the answer to a confirm.
type Confirmed struct {
	call.Answer
	Call call.Call
	Leg  call.Leg
	Now  time.Time // the database's
}

// ConfirmLeg records that a device is awake for a call and says whether it
// should ring.
//
// Errors: ErrNotFound, ErrForeignDevice, call.ErrRegionNot,
// call.ErrRegionUnsure, ErrBusy, ErrUnavailable.
func (s *Store) ConfirmLeg(ctx context.Context, p Party, in call.Confirmation) (Confirmed, error) {
	out, err := s.change(ctx, p.step(nil, func(u *underLock) (any, error) {
		l, err := u.legOf(p)
		if err != nil {
			return nil, err
		}
		gate, region, err := u.gate(l, p)
		if err != nil {
			return nil, err
		}
		answer, refusal := u.call.Confirm(l.ID, in, gate, u.now)
		kept := confirmWrite{appID: p.AppID, callID: p.CallID, id: newID(u.now), legID: l.ID, at: u.now, in: in, answer: answer, region: region}
		if refusal != nil {
			kept.answer = call.Answer{Verdict: call.VerdictStop, Reason: string(l.Reason)}
		}
		u.writes.confirms = append(u.writes.confirms, kept)
		if refusal != nil {
			return nil, refusal
		}
		return Confirmed{Answer: answer, Call: u.snapshot(), Leg: *l, Now: u.now}, nil
	}))
	if err != nil {
		return Confirmed{}, err
	}
	return out.(Confirmed), nil
}

// step makes the step of a call that a device asks for.
func (p Party) step(seqs []int64, apply func(*underLock) (any, error)) step {
	return step{appID: p.AppID, callID: p.CallID, deviceID: p.DeviceID, seqs: seqs, apply: apply}
}

// legOf finds the leg that a device may act on: its own, and only while the
// install belongs to the leg's user.
func (u *underLock) legOf(p Party) (*call.Leg, error) {
	l := u.call.LegOf(p.DeviceID)
	if l == nil || p.LegID != uuid.Nil && l.ID != p.LegID || p.UserID != "" && l.UserID != p.UserID {
		return nil, ErrNotFound
	}
	return l, nil
}

// gate applies the region rules to a leg that has not been admitted yet. The
// address of this request counts as evidence. An install that was deleted or
// belongs to another user is refused.
func (u *underLock) gate(l *call.Leg, p Party) (call.Reason, []byte, error) {
	if !l.Status.Open() || !l.ConfirmedAt.IsZero() {
		return "", nil, nil
	}
	d, ok := u.devices[appKey{p.AppID, p.DeviceID}]
	if !ok || d.UserID != l.UserID {
		return "", nil, ErrForeignDevice
	}
	device := d.Device
	if seen, ok := observeIP(&device, p.IP, u.now); ok {
		u.writes.regions = append(u.writes.regions, regionWrite{p.AppID, p.DeviceID, seen})
	}
	decision := u.tenant.rules.Gate(device, u.now)
	evidence, err := json.Marshal(gateRecord{recordRegion(decision.Region), decision.RulesVersion})
	if err != nil {
		return "", nil, err
	}
	if !decision.Reason.Region() {
		decision.Reason = "" // the kind of device was checked at the invitation
	}
	return decision.Reason, evidence, nil
}

// ipFresh is the age at which the stored evidence of an address is written
// again.
const ipFresh = time.Hour

// observeIP adds the country of a request's address to a device's evidence. ok
// reports whether it is new enough to store.
func observeIP(d *call.Device, ip netip.Addr, now time.Time) (call.Evidence, bool) {
	country, known := call.CountryOfIP(ip)
	if !known {
		return call.Evidence{}, false
	}
	seen := call.Evidence{Source: call.FromIP, Country: country, At: now}
	for i, e := range d.Region {
		if e.Source == call.FromIP {
			news := e.Country != country || now.Sub(e.At) > ipFresh
			d.Region[i] = seen
			return seen, news
		}
	}
	d.Region = append(d.Region, seen)
	return seen, true
}

// snapshot is a copy of the call that later steps of the batch do not touch.
func (u *underLock) snapshot() call.Call {
	c := u.call
	c.Legs = append([]call.Leg(nil), c.Legs...)
	return c
}
