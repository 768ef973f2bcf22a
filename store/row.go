package store

import (
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/pushwake/relay/call"
)

// callRow is a row of calls: a call without its legs.
type callRow struct {
	*call.Call
	parties partiesRecord
}

var callTable = describe("calls", "c", "id", "",
	text("app_id", func(r *callRow) *string { return &r.AppID }).key(),
	id("id", func(r *callRow) *uuid.UUID { return &r.ID }).key(),
	orNone("ref", func(r *callRow) *string { return &r.Ref }),
	orNone("client_id", func(r *callRow) *string { return &r.ClientID }),
	text("direction", func(r *callRow) *call.Direction { return &r.Direction }),
	text("status", func(r *callRow) *call.Status { return &r.Status }).changes(),
	orNone("end_reason", func(r *callRow) *call.EndReason { return &r.EndReason }).changes(),
	text("media", func(r *callRow) *call.Media { return &r.Media }),
	flag("voice_answer", func(r *callRow) *bool { return &r.VoiceAnswer }),
	flag("conference", func(r *callRow) *bool { return &r.Conference }),
	text("caller_id", func(r *callRow) *string { return &r.Caller.UserID }),
	text("callee_id", func(r *callRow) *string { return &r.Callee.UserID }),
	recorded("parties", func(r *callRow) *partiesRecord { return &r.parties }),
	bytesText("custom", func(r *callRow) *[]byte { return &r.Custom }),
	text("reject_policy", func(r *callRow) *call.RejectPolicy { return &r.RejectPolicy }),
	seconds("max_seconds", func(r *callRow) *time.Duration { return &r.MaxDuration }),
	text("rules_version", func(r *callRow) *string { return &r.RulesVersion }),
	moment("created_at", func(r *callRow) *time.Time { return &r.CreatedAt }),
	moment("expires_at", func(r *callRow) *time.Time { return &r.ExpiresAt }),
	moment("deadline_at", func(r *callRow) *time.Time { return &r.DeadlineAt }).changes(),
	moment("ringing_at", func(r *callRow) *time.Time { return &r.RingingAt }).later(),
	moment("answered_at", func(r *callRow) *time.Time { return &r.AnsweredAt }).later(),
	moment("active_at", func(r *callRow) *time.Time { return &r.ActiveAt }).later(),
	moment("ended_at", func(r *callRow) *time.Time { return &r.EndedAt }).changes(),
	orNone("answered_by", func(r *callRow) *string { return &r.AnsweredBy }).later(),
	integer("seq", func(r *callRow) *int { return &r.Seq }).changes(),
	integer("more_skipped", func(r *callRow) *int { return &r.MoreSkipped }),
)

func scanCall(row pgx.CollectableRow) (call.Call, error) {
	r := callRow{Call: &call.Call{}}
	if err := callTable.scan(row, &r); err != nil {
		return call.Call{}, fmt.Errorf("a call: %w", err)
	}
	r.Caller, r.Callee = r.parties.Caller.party(r.Caller.UserID), r.parties.Callee.party(r.Callee.UserID)
	return *r.Call, nil
}

// legRow is a row of legs: a leg with the columns that only the store uses.
type legRow struct {
	call.Leg
	appID        string
	callID       uuid.UUID
	direction    call.Direction
	wakeProcess  *uuid.UUID
	wakeAttempt  int
	confirmDueAt time.Time
	deadlineAt   time.Time // the call's, at its first open leg
}

var legTable = describe("legs", "l", "call_id", "",
	text("app_id", func(r *legRow) *string { return &r.appID }).key(),
	id("call_id", func(r *legRow) *uuid.UUID { return &r.callID }).key(),
	id("id", func(r *legRow) *uuid.UUID { return &r.ID }).key(),
	text("direction", func(r *legRow) *call.Direction { return &r.direction }),
	text("device_id", func(r *legRow) *string { return &r.DeviceID }),
	text("user_id", func(r *legRow) *string { return &r.UserID }),
	text("platform", func(r *legRow) *call.Platform { return &r.Platform }),
	text("device_type", func(r *legRow) *call.DeviceType { return &r.DeviceType }),
	orNone("channel", func(r *legRow) *call.Channel { return &r.Channel }),
	orNone("presentation", func(r *legRow) *call.Presentation { return &r.Presentation }),
	text("status", func(r *legRow) *call.LegStatus { return &r.Status }).changes(),
	orNone("reason", func(r *legRow) *call.Reason { return &r.Reason }).changes(),
	orNone("country", func(r *legRow) *string { return &r.Decision.Region.Country }).unread(),
	flag("enterprise", func(r *legRow) *bool { return &r.Enterprise }),
	orNone("vendor_call_id", func(r *legRow) *string { return &r.VendorCallID }).later(),
	orNone("media", func(r *legRow) *call.Media { return &r.Media }).later(),
	bigint("last_seq", func(r *legRow) *int64 { return &r.LastSeq }).changes(),
	idPointer("wake_process", func(r *legRow) **uuid.UUID { return &r.wakeProcess }).changes(),
	integer("wake_attempt", func(r *legRow) *int { return &r.wakeAttempt }).changes(),
	orNone("wake_channel", func(r *legRow) *call.Channel { return &r.WakeChannel }).changes(),
	moment("confirm_due_at", func(r *legRow) *time.Time { return &r.confirmDueAt }).later(),
	moment("deadline_at", func(r *legRow) *time.Time { return &r.deadlineAt }).changes(),
	moment("handed_over_at", func(r *legRow) *time.Time { return &r.HandedOverAt }).later(),
	moment("alerted_at", func(r *legRow) *time.Time { return &r.AlertedAt }).later(),
	moment("confirmed_at", func(r *legRow) *time.Time { return &r.ConfirmedAt }).changes(),
	moment("ringing_at", func(r *legRow) *time.Time { return &r.RingingAt }).later(),
	moment("answered_at", func(r *legRow) *time.Time { return &r.AnsweredAt }).later(),
	moment("no_wake_at", func(r *legRow) *time.Time { return &r.NoWakeAt }).later(),
	moment("escalated_at", func(r *legRow) *time.Time { return &r.EscalatedAt }).later(),
	moment("rewoken_at", func(r *legRow) *time.Time { return &r.RewokenAt }).later(),
	moment("ended_at", func(r *legRow) *time.Time { return &r.EndedAt }).changes(),
)

func scanLeg(row pgx.CollectableRow) (legRow, error) {
	var l legRow
	if err := legTable.scan(row, &l); err != nil {
		return l, fmt.Errorf("a leg: %w", err)
	}
	if l.WakeChannel == "" && l.wakeProcess != nil { // written by a version without second wakes
		l.WakeChannel = l.Channel
	}
	return l, nil
}
