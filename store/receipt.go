package store

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/pushwake/relay/call"
)

// Receipt is what a vendor tells of a push that it had accepted.
type Receipt struct {
	Attempt   uuid.UUID          // which it is about
	Result    int64              // the vendor's code
	Action    call.ReceiptAction // what the result asks for
	Token     string             // that the push went to
	ToldAt    time.Time          // the vendor's time; zero where it gave none
	RequestID string             // the vendor's id of the push
	Signed    bool               // it is known to come from the vendor
}

// receiptKey identifies a receipt: what comes again changes nothing.
type receiptKey struct {
	attempt uuid.UUID
	result  int64
}

func (r *Receipt) key() receiptKey { return receiptKey{r.Attempt, r.Result} }

const (
	// receiptPatience is how long a receipt waits for its attempt: long enough
	// for an answer of the vendor to be recorded after an outage of the database.
	receiptPatience = 2 * time.Minute

	// mostReceipts is how many receipts of one attempt are kept.
	mostReceipts = 10

	// mostWaiting is how many unsigned receipts of one app may wait: anybody may
	// send those.
	mostWaiting = 1000
)

// foundReceipt is a receipt with the attempt that it is about.
type foundReceipt struct {
	Receipt
	appID     string
	callID    uuid.UUID
	legID     uuid.UUID
	deviceID  string
	purpose   call.Purpose
	channel   call.Channel
	startedAt time.Time
	waiting   bool // it lies among those that wait
}

// receiptRow is a row of receipts.
type receiptRow struct {
	receiptKey
	appID      string
	callID     uuid.UUID
	legID      uuid.UUID
	signed     bool
	action     call.ReceiptAction
	toldAt     time.Time
	receivedAt time.Time
	requestID  string
}

var receiptTable = describe("receipts", "r", "call_id", "ON CONFLICT DO NOTHING",
	text("app_id", func(r *receiptRow) *string { return &r.appID }),
	id("call_id", func(r *receiptRow) *uuid.UUID { return &r.callID }),
	id("attempt_id", func(r *receiptRow) *uuid.UUID { return &r.attempt }),
	bigint("result", func(r *receiptRow) *int64 { return &r.result }),
	id("leg_id", func(r *receiptRow) *uuid.UUID { return &r.legID }),
	flag("signed", func(r *receiptRow) *bool { return &r.signed }),
	text("action", func(r *receiptRow) *call.ReceiptAction { return &r.action }),
	moment("told_at", func(r *receiptRow) *time.Time { return &r.toldAt }),
	moment("received_at", func(r *receiptRow) *time.Time { return &r.receivedAt }),
	orNone("request_id", func(r *receiptRow) *string { return &r.requestID }),
)

// TakeReceipts records what a vendor told of an app's pushes, and does what
// follows from it. A receipt of an attempt that is not recorded yet waits for
// it; one of an attempt that the app never made is dropped. What comes again, or
// in another order, changes nothing.
//
// Errors: ErrBusy, ErrUnavailable; what was taken before stays, and may come again.
func (s *Store) TakeReceipts(ctx context.Context, appID string, receipts []Receipt) error {
	for i := range receipts {
		r := &receipts[i]
		if !r.Signed && r.Action.Trusting() {
			r.Action = call.ReceiptNone
		}
		r.Token, r.RequestID = storable(r.Token), storable(r.RequestID)
	}
	found, err := s.attemptsOf(ctx, column(receipts, func(*Receipt) string { return appID }), receipts)
	if err != nil {
		return err
	}
	known := map[receiptKey]bool{}
	for _, f := range found {
		known[f.key()] = true
	}
	if err := s.wait(ctx, appID, slices.DeleteFunc(slices.Clone(receipts), func(r Receipt) bool { return known[r.key()] })); err != nil {
		return err
	}
	return s.receive(ctx, found)
}

// attemptsOf finds the attempts that receipts are about. apps are those of each.
func (s *Store) attemptsOf(ctx context.Context, apps []string, receipts []Receipt) (found []foundReceipt, err error) {
	if len(receipts) == 0 {
		return nil, nil
	}
	ids := column(receipts, func(r *Receipt) uuid.UUID { return r.Attempt })
	lows := column(receipts, func(r *Receipt) uuid.UUID { return floorID(callTimeOf(r.Attempt)) })
	highs := column(receipts, func(r *Receipt) uuid.UUID { return ceilingID(callTimeOf(r.Attempt)) })
	low, _ := span(lows)
	_, high := span(highs)
	err = s.readTogether(ctx, func(b *pgx.Batch) {
		b.Queue(`SELECT q.n, a.call_id, a.leg_id, a.purpose, a.channel, a.started_at, l.device_id
			FROM unnest($1::text[], $2::uuid[], $3::uuid[], $4::uuid[]) WITH ORDINALITY AS q (app_id, id, low, high, n) CROSS JOIN LATERAL (
				SELECT a.* FROM attempts a WHERE a.app_id = q.app_id AND a.id = q.id
				AND a.call_id BETWEEN q.low AND q.high AND a.call_id BETWEEN $5 AND $6 OFFSET 0) a
			CROSS JOIN LATERAL (
				SELECT l.device_id FROM legs l WHERE l.app_id = a.app_id AND l.call_id = a.call_id AND l.id = a.leg_id AND l.call_id BETWEEN $5 AND $6 OFFSET 0) l
			ORDER BY q.n`, apps, ids, lows, highs, low, high).Query(func(rows pgx.Rows) error {
			var n int
			var f foundReceipt
			_, err := pgx.ForEachRow(rows, []any{&n, &f.callID, &f.legID, &f.purpose, &f.channel, when{&f.startedAt}, &f.deviceID}, func() error {
				f.appID, f.Receipt = apps[n-1], receipts[n-1]
				found = append(found, f)
				return nil
			})
			return err
		})
	})
	return found, err
}

// receive makes the step of each receipt.
func (s *Store) receive(ctx context.Context, found []foundReceipt) error {
	return eachAtOnce(found, func(f foundReceipt) error {
		_, err := s.change(ctx, step{appID: f.appID, callID: f.callID, deviceID: f.deviceID, receipts: true, apply: func(u *underLock) (any, error) {
			u.receive(s.process, f)
			return nil, nil
		}})
		if errors.Is(err, ErrNotFound) {
			return nil // the call is gone, and with it what the receipt is about
		}
		return err
	})
}

// receive is the step itself, under the call's lock.
func (u *underLock) receive(process uuid.UUID, f foundReceipt) {
	if f.waiting {
		u.writes.arrived = append(u.writes.arrived, f)
	}
	l, row := u.call.Leg(f.legID), u.row(f.legID)
	if l == nil {
		return
	}
	of := 0
	for _, r := range u.receipts {
		if r.receiptKey == f.key() {
			u.count(f, "repeated")
			return
		}
		if r.attempt == f.Attempt {
			of++
		}
	}
	if of >= mostReceipts {
		return
	}
	told := f.ToldAt
	if told.IsZero() {
		told = u.now
	}
	r := receiptRow{
		receiptKey: f.key(), appID: f.appID, callID: f.callID, legID: f.legID, signed: f.Signed, action: f.Action, toldAt: told, receivedAt: u.now, requestID: f.RequestID,
	}
	u.receipts = append(u.receipts, r)
	u.writes.receipts = append(u.writes.receipts, r)
	standing := "signed"
	if !f.Signed {
		standing = "unsigned"
	}
	u.count(f, standing)
	switch f.Action {
	case call.ReceiptDropToken:
		u.condemn(f, call.TokenDead)
	case call.ReceiptSuspendToken:
		u.condemn(f, call.TokenSuspended)
	case call.ReceiptWakeAgain:
		u.wakeOnceMore(process, f, l, row)
	}
}

// condemn marks the token that a push went to, unless it was registered after
// the push was sent, or after what the vendor tells happened: then the app lives.
func (u *underLock) condemn(f foundReceipt, state call.TokenState) {
	since := f.startedAt
	if !f.ToldAt.IsZero() && f.ToldAt.Before(since) {
		since = f.ToldAt
	}
	u.writes.deadTokens = append(u.writes.deadTokens, tokenWrite{
		f.appID, f.deviceID, f.channel.Token(), f.Token, state, since, u.now, evidence(evidenceReceipt, f.channel.Vendor(), strconv.FormatInt(f.Result, 10), f.Attempt, f.ToldAt),
	})
}

// wakeOnceMore begins a second wake of a leg whose first one did not start the
// app. This process owns it. While another wake is under way there is none: it
// is the second one.
func (u *underLock) wakeOnceMore(process uuid.UUID, f foundReceipt, l *call.Leg, row *legRow) {
	if f.purpose != call.PurposeRing || f.channel != l.Channel || row.wakeProcess != nil {
		return
	}
	l.HeldBack = u.heldBack(l.ID)
	device := u.devices[appKey{f.appID, f.deviceID}].Device
	if u.call.WakeOnceMore(l.ID, device, u.tenant.configured, u.now) == "" {
		return
	}
	u.wake(process, l, row, device)
}

// wake begins a second wake of a leg, which this process owns.
func (u *underLock) wake(process uuid.UUID, l *call.Leg, row *legRow, device call.Device) {
	row.wakeProcess, row.wakeAttempt = &process, row.wakeAttempt+1
	u.wakes = append(u.wakes, newWake(&u.call, l, device, u.tenant.policy, row.wakeAttempt, time.Now().Add(u.call.ExpiresAt.Sub(u.now))))
}

// heldBack reports whether the vendor told that it limits pushes to the leg's device.
func (u *underLock) heldBack(leg uuid.UUID) bool {
	return slices.ContainsFunc(u.receipts, func(r receiptRow) bool { return r.legID == leg && r.action == call.ReceiptHoldBack })
}

func (u *underLock) count(f foundReceipt, standing string) {
	u.writes.observe(func() {
		u.metrics.receipts.WithLabelValues(string(f.Action), standing).Inc()
		if standing == "signed" && f.Action == call.ReceiptDelivered && f.purpose == call.PurposeRing && !f.ToldAt.IsZero() {
			u.metrics.stage.WithLabelValues("delivered", string(f.channel)).Observe(max(0, f.ToldAt.Sub(u.call.CreatedAt).Seconds()))
		}
	})
}

// loadReceipts queues the reading of the receipts of a batch's calls that have a
// step about them.
func (s *Store) loadReceipts(b *pgx.Batch, jobs []*job[step, any], load *stepLoad) {
	var apps []string
	var ids []uuid.UUID
	for _, j := range jobs {
		if j.in.receipts {
			apps, ids = append(apps, j.in.appID), append(ids, j.in.callID)
		}
	}
	if len(ids) == 0 {
		return
	}
	low, high := span(ids)
	b.Queue(`SELECT r.call_id, r.leg_id, r.attempt_id, r.result, r.action
		FROM (SELECT DISTINCT unnest($2::uuid[])) AS wanted (id) CROSS JOIN LATERAL ( -- see callsOf
			SELECT r.* FROM receipts r WHERE r.app_id = ANY($1) AND r.call_id = wanted.id AND r.call_id BETWEEN $3 AND $4 OFFSET 0) r`,
		apps, ids, low, high).Query(func(rows pgx.Rows) error {
		var r receiptRow
		_, err := pgx.ForEachRow(rows, []any{&r.callID, &r.legID, &r.attempt, &r.result, &r.action}, func() error {
			if u := load.calls[r.callID]; u != nil {
				u.receipts = append(u.receipts, r)
			}
			return nil
		})
		return err
	})
}
