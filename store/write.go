package store

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/pushwake/relay/call"
)

// writes collects the rows of one batch; queue queues them as multi-row
// statements.
type writes struct {
	process    uuid.UUID
	newCalls   []callWrite
	newLegs    []legWrite
	plans      []planWrite
	calls      []callWrite
	legs       []legWrite
	events     []eventWrite
	keys       []keyWrite
	attempts   []attemptWrite
	confirms   []confirmWrite
	reports    []reportWrite
	deadTokens []tokenWrite
	regions    []regionWrite
	wakes      []Wake // second wakes that begin with the commit
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

type callWrite struct {
	*call.Call
	parties []byte
}

type legWrite struct {
	*call.Leg
	appID        string
	callID       uuid.UUID
	direction    call.Direction
	wakeProcess  *uuid.UUID
	wakeAttempt  int
	confirmDueAt time.Time
}

type planWrite struct {
	appID     string
	callID    uuid.UUID
	decisions []byte
}

type eventWrite struct {
	call.Event
	appID  string
	id     uuid.UUID
	callID *uuid.UUID
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
	appID   string
	callID  uuid.UUID
	legID   uuid.UUID
	process uuid.UUID
}

type tokenWrite struct {
	appID, deviceID string
	name            call.TokenName
	token           string
	state           call.TokenState
	since           time.Time // the vendor's time of its death; zero where it gave none
	at              time.Time
}

type regionWrite struct {
	appID, deviceID string
	evidence        call.Evidence
}

// begin adds a new call with its legs and first events.
func (w *writes) begin(c *call.Call, now time.Time) {
	parties, _ := json.Marshal(partiesRecord{recordParty(c.Caller), recordParty(c.Callee)}) // plain strings cannot fail
	w.newCalls = append(w.newCalls, callWrite{c, parties})
	plan := make([]planRecord, len(c.Legs))
	for i := range c.Legs {
		l := &c.Legs[i]
		plan[i] = planRecord{l.ID, recordDecision(l.Decision)}
		row := legWrite{Leg: l, appID: c.AppID, callID: c.ID, direction: c.Direction}
		if l.Status == call.LegWaking && l.Channel != call.Connection {
			row.wakeProcess, row.wakeAttempt = &w.process, 1
		}
		w.newLegs = append(w.newLegs, row)
	}
	if len(plan) > 0 {
		decisions, _ := json.Marshal(plan) // as above
		w.plans = append(w.plans, planWrite{c.AppID, c.ID, decisions})
	}
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
		w.events = append(w.events, eventWrite{Event: e, appID: c.AppID, id: newID(now), callID: &c.ID, data: data[i]})
	}
}

// queue queues all that was collected.
func (w *writes) queue(b *pgx.Batch) {
	w.queueNewCalls(b)
	w.queueNewLegs(b)
	w.queuePlans(b)
	w.queueCalls(b)
	w.queueLegs(b)
	w.queueEvents(b)
	w.queueKeys(b)
	w.queueAttempts(b)
	w.queueConfirms(b)
	w.queueReports(b)
	w.queueTokens(b)
	w.queueRegions(b)
	w.queueNotices(b)
	w.queueNoticeChanges(b)
}

func (w *writes) queueNewCalls(b *pgx.Batch) {
	rows := w.newCalls
	if len(rows) == 0 {
		return
	}
	b.Queue(`INSERT INTO calls (app_id, id, ref, client_id, direction, status, end_reason, media, voice_answer, conference,
			caller_id, callee_id, parties, custom, reject_policy, max_seconds, rules_version,
			created_at, expires_at, deadline_at, ended_at, seq, more_skipped)
		SELECT app_id, id, nullif(ref, ''), nullif(client_id, ''), direction, status, nullif(end_reason, ''), media, voice_answer, conference,
			caller_id, callee_id, parties::json, custom, reject_policy, max_seconds, rules_version,
			created_at, expires_at, deadline_at, ended_at, seq, more_skipped
		FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::boolean[], $10::boolean[],
			$11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::integer[], $17::text[],
			$18::timestamptz[], $19::timestamptz[], $20::timestamptz[], $21::timestamptz[], $22::integer[], $23::integer[])
		AS q (app_id, id, ref, client_id, direction, status, end_reason, media, voice_answer, conference,
			caller_id, callee_id, parties, custom, reject_policy, max_seconds, rules_version,
			created_at, expires_at, deadline_at, ended_at, seq, more_skipped)`,
		column(rows, func(r *callWrite) string { return r.AppID }),
		column(rows, func(r *callWrite) uuid.UUID { return r.ID }),
		column(rows, func(r *callWrite) string { return r.Ref }),
		column(rows, func(r *callWrite) string { return r.ClientID }),
		column(rows, func(r *callWrite) string { return string(r.Direction) }),
		column(rows, func(r *callWrite) string { return string(r.Status) }),
		column(rows, func(r *callWrite) string { return string(r.EndReason) }),
		column(rows, func(r *callWrite) string { return string(r.Media) }),
		column(rows, func(r *callWrite) bool { return r.VoiceAnswer }),
		column(rows, func(r *callWrite) bool { return r.Conference }),
		column(rows, func(r *callWrite) string { return r.Caller.UserID }),
		column(rows, func(r *callWrite) string { return r.Callee.UserID }),
		column(rows, func(r *callWrite) string { return string(r.parties) }),
		column(rows, func(r *callWrite) *string { return textOrNull(r.Custom) }),
		column(rows, func(r *callWrite) string { return string(r.RejectPolicy) }),
		column(rows, func(r *callWrite) int32 { return int32(r.MaxDuration / time.Second) }),
		column(rows, func(r *callWrite) string { return r.RulesVersion }),
		column(rows, func(r *callWrite) time.Time { return r.CreatedAt }),
		column(rows, func(r *callWrite) time.Time { return r.ExpiresAt }),
		column(rows, func(r *callWrite) *time.Time { return orNull(r.DeadlineAt) }),
		column(rows, func(r *callWrite) *time.Time { return orNull(r.EndedAt) }),
		column(rows, func(r *callWrite) int32 { return int32(r.Seq) }),
		column(rows, func(r *callWrite) int32 { return int32(r.MoreSkipped) }))
}

func textOrNull(b []byte) *string {
	if b == nil {
		return nil
	}
	s := string(b)
	return &s
}

func (w *writes) queueNewLegs(b *pgx.Batch) {
	rows := w.newLegs
	if len(rows) == 0 {
		return
	}
	b.Queue(`INSERT INTO legs (app_id, call_id, id, direction, device_id, user_id, platform, device_type, channel, presentation,
			status, reason, country, enterprise, last_seq, wake_process, wake_attempt, wake_channel, confirmed_at, ended_at)
		SELECT app_id, call_id, id, direction, device_id, user_id, platform, device_type, nullif(channel, ''), nullif(presentation, ''),
			status, nullif(reason, ''), nullif(country, ''), enterprise, 0, wake_process, wake_attempt, nullif(wake_channel, ''), confirmed_at, ended_at
		FROM unnest($1::text[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[],
			$11::text[], $12::text[], $13::text[], $14::boolean[], $15::uuid[], $16::integer[], $17::text[],
			$18::timestamptz[], $19::timestamptz[])
		AS q (app_id, call_id, id, direction, device_id, user_id, platform, device_type, channel, presentation,
			status, reason, country, enterprise, wake_process, wake_attempt, wake_channel, confirmed_at, ended_at)`,
		column(rows, func(r *legWrite) string { return r.appID }),
		column(rows, func(r *legWrite) uuid.UUID { return r.callID }),
		column(rows, func(r *legWrite) uuid.UUID { return r.ID }),
		column(rows, func(r *legWrite) string { return string(r.direction) }),
		column(rows, func(r *legWrite) string { return r.DeviceID }),
		column(rows, func(r *legWrite) string { return r.UserID }),
		column(rows, func(r *legWrite) string { return string(r.Platform) }),
		column(rows, func(r *legWrite) string { return string(r.DeviceType) }),
		column(rows, func(r *legWrite) string { return string(r.Channel) }),
		column(rows, func(r *legWrite) string { return string(r.Presentation) }),
		column(rows, func(r *legWrite) string { return string(r.Status) }),
		column(rows, func(r *legWrite) string { return string(r.Reason) }),
		column(rows, func(r *legWrite) string { return r.Decision.Region.Country }),
		column(rows, func(r *legWrite) bool { return r.Enterprise }),
		column(rows, func(r *legWrite) *uuid.UUID { return r.wakeProcess }),
		column(rows, func(r *legWrite) int32 { return int32(r.wakeAttempt) }),
		column(rows, func(r *legWrite) string { return string(r.WakeChannel) }),
		column(rows, func(r *legWrite) *time.Time { return orNull(r.ConfirmedAt) }),
		column(rows, func(r *legWrite) *time.Time { return orNull(r.EndedAt) }))
}

func (w *writes) queuePlans(b *pgx.Batch) {
	rows := w.plans
	if len(rows) == 0 {
		return
	}
	b.Queue(`INSERT INTO plans (app_id, call_id, decisions)
		SELECT app_id, call_id, decisions::json FROM unnest($1::text[], $2::uuid[], $3::text[]) AS q (app_id, call_id, decisions)`,
		column(rows, func(r *planWrite) string { return r.appID }),
		column(rows, func(r *planWrite) uuid.UUID { return r.callID }),
		column(rows, func(r *planWrite) string { return string(r.decisions) }))
}

func (w *writes) queueEvents(b *pgx.Batch) {
	rows := w.events
	if len(rows) == 0 {
		return
	}
	b.Queue(`INSERT INTO events (app_id, id, type, at, call_id, call_seq, leg_id, data)
		SELECT app_id, id, type, at, call_id, nullif(call_seq, 0), nullif(leg_id, '00000000-0000-0000-0000-000000000000'), data::json
		FROM unnest($1::text[], $2::uuid[], $3::text[], $4::timestamptz[], $5::uuid[], $6::integer[], $7::uuid[], $8::text[])
		AS q (app_id, id, type, at, call_id, call_seq, leg_id, data)`,
		column(rows, func(r *eventWrite) string { return r.appID }),
		column(rows, func(r *eventWrite) uuid.UUID { return r.id }),
		column(rows, func(r *eventWrite) string { return string(r.Type) }),
		column(rows, func(r *eventWrite) time.Time { return r.Time }),
		column(rows, func(r *eventWrite) *uuid.UUID { return r.callID }),
		column(rows, func(r *eventWrite) int32 { return int32(r.Seq) }),
		column(rows, func(r *eventWrite) uuid.UUID { return r.Leg }),
		column(rows, func(r *eventWrite) string { return string(r.data) }))
}

func (w *writes) queueKeys(b *pgx.Batch) {
	rows := w.keys
	if len(rows) == 0 {
		return
	}
	b.Queue(`INSERT INTO idempotency_keys (app_id, scope, key, body_hash, call_id, created_at)
		SELECT app_id, scope, key, body_hash, call_id, created_at
		FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::uuid[], $6::timestamptz[])
		AS q (app_id, scope, key, body_hash, call_id, created_at)
		-- what is there is older than a key is remembered
		ON CONFLICT (app_id, scope, key) DO UPDATE
		SET body_hash = excluded.body_hash, call_id = excluded.call_id, created_at = excluded.created_at`,
		column(rows, func(r *keyWrite) string { return r.appID }),
		column(rows, func(r *keyWrite) string { return r.scope }),
		column(rows, func(r *keyWrite) string { return r.key }),
		column(rows, func(r *keyWrite) []byte { return r.hash }),
		column(rows, func(r *keyWrite) uuid.UUID { return r.callID }),
		column(rows, func(r *keyWrite) time.Time { return r.at }))
}
