package store

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/pushwake/relay/call"
)

// stepTimeout bounds one transaction that changes calls.
const stepTimeout = 10 * time.Second

// step is one change of one call, made in memory under the call's lock.
type step struct {
	appID    string
	callID   uuid.UUID
	deviceID string                        // the device whose registration the step needs; "" for none
	notice   bool                          // the step is about a notice
	receipts bool                          // the step looks at what vendors told
	seqs     []int64                       // reports of that device, to recognize replays
	apply    func(*underLock) (any, error) // returns an error as a verdict; what the step changed is saved all the same
}

// underLock is a call while its lock is held.
type underLock struct {
	call    call.Call
	rows    []legRow // what only the store knows of the legs, in the order of call.Legs
	before  []legState
	seq     int
	now     time.Time
	tenant  tenant
	reports map[reportKey]keptReport
	devices map[appKey]deviceRow // by device id
	wakes   []Wake               // that the steps began
	writes  *writes
	metrics *metrics

	owedBefore             []call.Purpose // the notice that each leg's device was due before the steps
	notices, noticesBefore []noticeRow    // where a step is about one
	receipts               []receiptRow   // where a step looks at them: what it knows them by, and what follows from them
}

type reportKey struct {
	legID uuid.UUID
	seq   int64
}

type keptReport struct{ body, refused string }

// legState is the part of a leg that a step may change, as a comparable value.
type legState struct {
	status                                                       call.LegStatus
	reason                                                       call.Reason
	wakeChannel                                                  call.Channel
	vendorCallID                                                 string
	media                                                        call.Media
	lastSeq                                                      int64
	handedOver, confirmed, ringing, answered, noWake, ended, due time.Time
	escalated, rewoken, alerted, deadline                        time.Time
	wakeProcess                                                  uuid.UUID
	wakeAttempt                                                  int
}

func (u *underLock) state(i int) legState {
	l, r := &u.call.Legs[i], &u.rows[i]
	s := legState{
		l.Status, l.Reason, l.WakeChannel, l.VendorCallID, l.Media, l.LastSeq,
		l.HandedOverAt, l.ConfirmedAt, l.RingingAt, l.AnsweredAt, l.NoWakeAt, l.EndedAt, r.confirmDueAt, l.EscalatedAt, l.RewokenAt, l.AlertedAt, r.deadlineAt, uuid.Nil, r.wakeAttempt,
	}
	if r.wakeProcess != nil {
		s.wakeProcess = *r.wakeProcess
	}
	return s
}

// row finds what the store knows of a leg.
func (u *underLock) row(leg uuid.UUID) *legRow {
	for i := range u.call.Legs {
		if u.call.Legs[i].ID == leg {
			return &u.rows[i]
		}
	}
	return nil
}

// change makes one step of a call, through the lane.
func (s *Store) change(ctx context.Context, in step) (any, error) {
	return s.steps.do(ctx, in)
}

// writeSteps makes a batch of steps in one transaction.
func (s *Store) writeSteps(jobs []*job[step, any]) error {
	ctx, cancel := context.WithTimeout(context.Background(), stepTimeout)
	defer cancel()
	w := &writes{process: s.process}
	calls := map[uuid.UUID]*underLock{}
	load := &stepLoad{tenants: map[string]tenant{}, devices: map[appKey]deviceRow{}, calls: calls}
	err := s.transact(ctx, s.patience(jobs[0].again), func(b *pgx.Batch) { s.loadSteps(b, jobs, load) }, func(b *pgx.Batch) error {
		for _, u := range calls {
			u.open(load, w, s.metrics)
			u.expire()
		}
		for _, j := range jobs {
			u := calls[j.in.callID]
			if u == nil || u.call.AppID != j.in.appID {
				j.err = ErrNotFound
				continue
			}
			j.out, j.err = j.in.apply(u)
			w.note(&u.call, u.now)
		}
		for _, u := range calls {
			u.save()
		}
		s.own(w.wakes) // before the commit, as in writeBegins
		s.ownNotices(w.noticeKeys()...)
		w.queue(b)
		return nil
	})
	if err != nil {
		s.disown(w.wakes)
		s.disownNotices(w.noticeKeys()...)
		return err
	}
	w.committed()
	if len(w.events) > 0 {
		s.tail.committed()
	}
	if len(w.wakes) > 0 {
		s.config.OnWakes(w.wakes)
	}
	s.pickUp(w.notices)
	return nil
}

// stepLoad is what a batch of steps has read.
type stepLoad struct {
	now     time.Time
	tenants map[string]tenant
	devices map[appKey]deviceRow
	calls   map[uuid.UUID]*underLock
	kept    []keptRow
}

type keptRow struct {
	callID uuid.UUID
	reportKey
	keptReport
}

func (s *Store) loadSteps(b *pgx.Batch, jobs []*job[step, any], load *stepLoad) {
	var locks []int64
	var apps, deviceApps, devices, seqApps, seqDevices []string
	var ids, seqCalls []uuid.UUID
	var seqs []int64
	for _, j := range jobs {
		in := &j.in
		locks = append(locks, lockKey("call", in.callID.String()))
		apps, ids = append(apps, in.appID), append(ids, in.callID)
		if in.deviceID != "" {
			deviceApps, devices = append(deviceApps, in.appID), append(devices, in.deviceID)
		}
		for _, seq := range in.seqs {
			seqApps, seqCalls, seqDevices, seqs = append(seqApps, in.appID), append(seqCalls, in.callID), append(seqDevices, in.deviceID), append(seqs, seq)
		}
	}
	low, high := span(ids)
	queueLocks(b, locks)
	queueTenants(b, apps, load.tenants)
	b.Queue(`SELECT `+callTable.columns+` FROM `+callsOf("$1", "$2", "$3", "$4"),
		apps, ids, low, high).Query(func(rows pgx.Rows) error {
		found, err := pgx.CollectRows(rows, scanCall)
		for _, c := range found {
			load.calls[c.ID] = &underLock{call: c, seq: c.Seq}
		}
		return err
	})
	b.Queue(`SELECT `+legTable.columns+` FROM `+legsOf("$1", "$2", "$3", "$4")+`
		ORDER BY l.call_id, l.device_id COLLATE "C"`, apps, ids, low, high).Query(func(rows pgx.Rows) error {
		found, err := pgx.CollectRows(rows, scanLeg)
		for _, l := range found {
			if u := load.calls[l.callID]; u != nil {
				u.call.Legs = append(u.call.Legs, l.Leg)
				u.rows = append(u.rows, l)
			}
		}
		return err
	})
	if len(devices) > 0 {
		b.Queue(`SELECT `+deviceColumns+`
			FROM unnest(@apps::text[], @devices::text[]) AS q (app_id, device_id)
			JOIN devices d USING (app_id, device_id)
			WHERE d.deleted_at IS NULL`,
			s.deviceArgs(s.Now(), pgx.NamedArgs{"apps": deviceApps, "devices": devices})).Query(func(rows pgx.Rows) error {
			found, err := pgx.CollectRows(rows, scanDevice)
			for _, d := range found {
				load.devices[appKey{d.appID, d.ID}] = d
			}
			return err
		})
	}
	if len(seqs) > 0 {
		b.Queue(`SELECT r.call_id, r.leg_id, r.seq, r.body, coalesce(r.refused, '')
			FROM unnest($1::text[], $2::uuid[], $3::text[], $4::bigint[]) AS q (app_id, call_id, device_id, seq)
			JOIN legs l ON l.app_id = q.app_id AND l.call_id = q.call_id AND l.device_id = q.device_id AND l.call_id BETWEEN $5 AND $6
			JOIN reports r ON r.app_id = l.app_id AND r.call_id = l.call_id AND r.leg_id = l.id AND r.seq = q.seq AND r.call_id BETWEEN $5 AND $6`,
			seqApps, seqCalls, seqDevices, seqs, low, high).Query(func(rows pgx.Rows) error {
			var r keptRow
			_, err := pgx.ForEachRow(rows, []any{&r.callID, &r.legID, &r.seq, &r.body, &r.refused}, func() error {
				load.kept = append(load.kept, r)
				return nil
			})
			return err
		})
	}
	s.loadNotices(b, jobs, load)
	s.loadReceipts(b, jobs, load)
	s.queueNow(b, &load.now)
}

// open completes a loaded call before its steps are made.
func (u *underLock) open(load *stepLoad, w *writes, m *metrics) {
	u.now, u.tenant, u.devices, u.writes, u.metrics = load.now, load.tenants[u.call.AppID], load.devices, w, m
	u.reports = map[reportKey]keptReport{}
	for _, r := range load.kept {
		if r.callID == u.call.ID {
			u.reports[r.reportKey] = r.keptReport
		}
	}
	u.before, u.owedBefore = make([]legState, len(u.rows)), make([]call.Purpose, len(u.rows))
	for i := range u.rows {
		u.before[i], u.owedBefore[i] = u.state(i), u.owed(i)
	}
}

// expire ends a call whose deadline has passed, before any other step. So the
// database's time decides, not which process sweeps first.
func (u *underLock) expire() {
	deadline := u.call.DeadlineAt
	if u.call.Expire(u.now) {
		u.writes.note(&u.call, u.now)
		u.writes.observe(func() { u.metrics.deadlineLag.Observe(u.now.Sub(deadline).Seconds()) })
	}
}

// save adds what the steps changed to the batch's writes.
func (u *underLock) save() {
	u.clearConfirmDue()
	u.handOut()
	placeDeadline(&u.call, u.rows)
	u.owe()
	u.saveNotices()
	for i := range u.rows {
		if u.state(i) == u.before[i] {
			continue
		}
		l, r := &u.call.Legs[i], u.rows[i]
		r.Leg = *l
		u.writes.legs = append(u.writes.legs, r)
		if u.call.Direction == call.Incoming {
			before, leg := u.before[i], *l
			u.writes.observe(func() { u.metrics.progress(u.call.CreatedAt, before, leg) })
		}
	}
	if u.call.Seq == u.seq {
		return
	}
	u.writes.calls = append(u.writes.calls, callRow{Call: &u.call})
	if !u.call.Live() {
		u.writes.observe(func() { u.metrics.callsEnded.WithLabelValues(string(u.call.EndReason)).Inc() })
	}
}
