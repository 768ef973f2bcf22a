package store

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/pushwake/relay/call"
)

// callColumns and legColumns are what scanCall and scanLeg read, in order.
// Absent texts and times come as ” and null.
const callColumns = `c.app_id, c.id, coalesce(c.ref, ''), coalesce(c.client_id, ''), c.direction, c.status, coalesce(c.end_reason, ''),
	c.media, c.voice_answer, c.conference, c.parties, c.custom, c.reject_policy, c.max_seconds, c.rules_version,
	c.created_at, c.expires_at, c.deadline_at, c.ringing_at, c.answered_at, c.active_at, c.ended_at, coalesce(c.answered_by, ''), c.seq, c.more_skipped`

const legColumns = `l.app_id, l.call_id, l.id, l.device_id, l.user_id, l.platform, l.device_type, coalesce(l.channel, ''), coalesce(l.presentation, ''),
	l.status, coalesce(l.reason, ''), l.enterprise, coalesce(l.vendor_call_id, ''), coalesce(l.media, ''), l.last_seq,
	l.wake_process, l.wake_attempt, coalesce(l.wake_channel, ''), l.confirm_due_at, l.handed_over_at, l.confirmed_at, l.ringing_at, l.answered_at,
	l.no_wake_at, l.escalated_at, l.rewoken_at, l.ended_at, l.alerted_at`

// legRow is a leg with the columns that only the store uses.
type legRow struct {
	call.Leg
	appID        string
	callID       uuid.UUID
	wakeProcess  *uuid.UUID
	wakeAttempt  int
	confirmDueAt time.Time
}

// when reads a nullable time as a time in UTC, zero for null.
type when struct{ t *time.Time }

func (w when) ScanTimestamptz(v pgtype.Timestamptz) error {
	*w.t = time.Time{}
	if v.Valid {
		*w.t = v.Time.UTC()
	}
	return nil
}

func scanCall(row pgx.CollectableRow) (call.Call, error) {
	var c call.Call
	var parties []byte
	var custom *string
	var maxSeconds int
	err := row.Scan(&c.AppID, &c.ID, &c.Ref, &c.ClientID, &c.Direction, &c.Status, &c.EndReason,
		&c.Media, &c.VoiceAnswer, &c.Conference, &parties, &custom, &c.RejectPolicy, &maxSeconds, &c.RulesVersion,
		when{&c.CreatedAt}, when{&c.ExpiresAt}, when{&c.DeadlineAt}, when{&c.RingingAt}, when{&c.AnsweredAt}, when{&c.ActiveAt}, when{&c.EndedAt},
		&c.AnsweredBy, &c.Seq, &c.MoreSkipped)
	if err != nil {
		return c, err
	}
	c.MaxDuration = time.Duration(maxSeconds) * time.Second
	if custom != nil {
		c.Custom = []byte(*custom)
	}
	var p partiesRecord
	if err := json.Unmarshal(parties, &p); err != nil {
		return c, fmt.Errorf("parties of call %s: %w", c.ID, err)
	}
	c.Caller, c.Callee = p.Caller.party(), p.Callee.party()
	return c, nil
}

func scanLeg(row pgx.CollectableRow) (legRow, error) {
	var l legRow
	err := row.Scan(&l.appID, &l.callID, &l.ID, &l.DeviceID, &l.UserID, &l.Platform, &l.DeviceType, &l.Channel, &l.Presentation,
		&l.Status, &l.Reason, &l.Enterprise, &l.VendorCallID, &l.Media, &l.LastSeq,
		&l.wakeProcess, &l.wakeAttempt, &l.WakeChannel, when{&l.confirmDueAt}, when{&l.HandedOverAt}, when{&l.ConfirmedAt}, when{&l.RingingAt}, when{&l.AnsweredAt},
		when{&l.NoWakeAt}, when{&l.EscalatedAt}, when{&l.RewokenAt}, when{&l.EndedAt}, when{&l.AlertedAt})
	if err != nil {
		return l, err
	}
	if l.WakeChannel == "" && l.wakeProcess != nil { // written by a version without second wakes
		l.WakeChannel = l.Channel
	}
	return l, nil
}

// orNull is a time as a parameter: null where it is zero.
func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// column collects one field of many rows into one array parameter.
func column[T, V any](rows []T, field func(*T) V) []V {
	values := make([]V, len(rows))
	for i := range rows {
		values[i] = field(&rows[i])
	}
	return values
}
