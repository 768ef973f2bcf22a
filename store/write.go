package store

import (
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/pushwake/relay/call"
)

// writes collects the rows of one batch; queue queues them as multi-row
// statements.
type writes struct {
	process    uuid.UUID
	newCalls   []callRow
	newLegs    []legRow
	calls      []callRow
	legs       []legRow
	events     []eventWrite
	keys       []keyWrite
	attempts   []attemptWrite
	confirms   []confirmWrite
	reports    []reportWrite
	deadTokens []tokenWrite
	regions    []regionWrite
	receipts   []receiptRow
	arrived    []foundReceipt // those of them that were waiting
	wakes      []Wake         // second wakes that begin with the commit
	notices    []noticeWrite
	observed   []func() // what the metrics count once it is committed

	noticeChanges []noticeWrite // changes of existing notices
}

// observe keeps a metric's observation until the batch is committed.
func (w *writes) observe(f func()) { w.observed = append(w.observed, f) }

// committed gives the batch's observations to the metrics.
func (w *writes) committed() {
	for _, f := range w.observed {
		f()
	}
}

type eventWrite struct {
	call.Event
	appID  string
	id     uuid.UUID
	callID uuid.UUID
	data   []byte
}

type keyWrite struct {
	scopedKey
	usedKey
	at time.Time
}

type confirmWrite struct {
	appID  string
	callID uuid.UUID
	id     uuid.UUID
	legID  uuid.UUID
	at     time.Time
	in     call.Confirmation
	answer call.Answer
	region []byte
}

type reportWrite struct {
	appID   string
	callID  uuid.UUID
	legID   uuid.UUID
	seq     int64
	at      time.Time
	body    string
	refused string
	region  []byte
}

type attemptWrite struct {
	Attempt
	appID  string
	callID uuid.UUID
	legID  uuid.UUID
}

type regionWrite struct {
	appID, deviceID string
	evidence        call.Evidence
}

// begin adds a new call with its legs and first events.
func (w *writes) begin(c *call.Call, now time.Time) {
	w.newCalls = append(w.newCalls, callRow{c, partiesRecord{recordParty(c.Caller), recordParty(c.Callee)}})
	for i := range c.Legs {
		l := &c.Legs[i]
		row := legRow{Leg: *l, appID: c.AppID, callID: c.ID, direction: c.Direction}
		if l.Status == call.LegWaking && l.Channel != call.Connection {
			row.wakeProcess, row.wakeAttempt = &w.process, 1
		}
		w.newLegs = append(w.newLegs, row)
	}
	placeDeadline(c, w.newLegs[len(w.newLegs)-len(c.Legs):])
	for i := range c.Legs {
		if p := c.Notice(&c.Legs[i]); p != "" { // the call has ended at once
			w.notice(c, &c.Legs[i], p, now)
		}
	}
	w.note(c, now)
}

// note adds the events of a call's last step, with what the step changed.
func (w *writes) note(c *call.Call, now time.Time) {
	events := c.TakeEvents()
	if len(events) == 0 {
		return
	}
	data := recordEvents(c, events)
	for i, e := range events {
		w.events = append(w.events, eventWrite{Event: e, appID: c.AppID, id: newID(now), callID: c.ID, data: data[i]})
	}
}

// queue queues all that was collected.
func (w *writes) queue(b *pgx.Batch) {
	callTable.insert(b, w.newCalls)
	legTable.insert(b, w.newLegs)
	callTable.update(b, w.calls)
	legTable.update(b, w.legs)
	eventTable.insert(b, w.events)
	keyTable.insert(b, w.keys)
	attemptTable.insert(b, w.attempts)
	confirmTable.insert(b, w.confirms)
	reportTable.insert(b, w.reports)
	receiptTable.insert(b, w.receipts)
	w.queueArrived(b)
	w.queueTokens(b)
	w.queueRegions(b)
	w.queueNotices(b)
	noticeTable.update(b, w.noticeChanges)
}
