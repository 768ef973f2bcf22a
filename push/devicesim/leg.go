package devicesim

import (
	"slices"
	"sync"
	"sync/atomic"
)

// Phases of a leg.
const (
	legFresh int32 = iota
	legShown       // relay knows that it rings
	legOver
)

// leg is what the wakes of one leg share.
type leg struct {
	callID  string
	users   int        // wakes under way; guarded by Device.mu
	attempt sync.Mutex // one wake at a time tries to ring: a second one must not be called busy before the first rings
	phase   atomic.Int32

	stopOnce sync.Once
	stopped  chan struct{} // closed when relay said on the feed that it is over
	reason   string        // why; set before stopped is closed

	reports sync.Mutex // held while a report is under way: relay gives a late lower seq no effect
	seq     int64
}

// enter begins to handle a wake of a leg.
func (d *Device) enter(callID, legID string) *leg {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.enterLocked(callID, legID)
}

// enterNew is enter where the leg neither rings nor rang here and no wake of it
// is under way; else it returns nil.
func (d *Device) enterNew(callID, legID string) *leg {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.legs[legID] != nil {
		return nil
	}
	return d.enterLocked(callID, legID)
}

func (d *Device) enterLocked(callID, legID string) *leg {
	l := d.legs[legID]
	if l == nil {
		l = &leg{callID: callID, stopped: make(chan struct{})}
		d.legs[legID] = l
	}
	if l.users++; l.users == 1 {
		d.rang = slices.DeleteFunc(d.rang, func(id string) bool { return id == legID })
	}
	return l
}

// exit ends a wake. A leg that rang is remembered: what is told of it later is
// no new wake.
func (d *Device) exit(legID string, l *leg) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if l.users--; l.users > 0 {
		return
	}
	if l.phase.Load() == legFresh {
		delete(d.legs, legID)
		return
	}
	d.rang = append(d.rang, legID)
	if len(d.rang) > keptCalls {
		delete(d.legs, d.rang[0])
		d.rang = append(d.rang[:0], d.rang[1:]...)
	}
}

// liveCalls are the calls that the app has.
func (d *Device) liveCalls() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	ids := []string{}
	for _, l := range d.legs {
		if l.users > 0 {
			ids = append(ids, l.callID)
		}
	}
	slices.Sort(ids)
	return ids
}

// silence ends a leg's call on this device because relay said so.
func (d *Device) silence(legID, reason string) {
	d.mu.Lock()
	l := d.legs[legID]
	d.mu.Unlock()
	if l != nil {
		l.stopOnce.Do(func() {
			l.reason = reason
			close(l.stopped)
		})
	}
}
