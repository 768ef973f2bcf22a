package store

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/pushwake/relay/call"
)

// The rows that a step leaves besides the call and its legs.

// storable turns a vendor's text into what Postgres can store: UTF-8 without
// NUL. Otherwise a strange answer could not be recorded at all.
func storable(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}

var eventTable = describe("events", "e", "id", "",
	text("app_id", func(r *eventWrite) *string { return &r.appID }),
	id("id", func(r *eventWrite) *uuid.UUID { return &r.id }),
	text("type", func(r *eventWrite) *call.EventType { return &r.Type }),
	moment("at", func(r *eventWrite) *time.Time { return &r.Time }),
	id("call_id", func(r *eventWrite) *uuid.UUID { return &r.callID }),
	integer("call_seq", func(r *eventWrite) *int { return &r.Seq }),
	idOrNone("leg_id", func(r *eventWrite) *uuid.UUID { return &r.Leg }),
	asJSON("data", func(r *eventWrite) *[]byte { return &r.data }),
)

var keyTable = describe("idempotency_keys", "k", "", `
	-- what is there is older than a key is remembered
	ON CONFLICT (app_id, scope, key) DO UPDATE
	SET body_hash = excluded.body_hash, call_id = excluded.call_id, created_at = excluded.created_at`,
	text("app_id", func(r *keyWrite) *string { return &r.appID }),
	text("scope", func(r *keyWrite) *string { return &r.scope }),
	text("key", func(r *keyWrite) *string { return &r.key }),
	bytea("body_hash", func(r *keyWrite) *[]byte { return &r.hash }),
	id("call_id", func(r *keyWrite) *uuid.UUID { return &r.callID }),
	moment("created_at", func(r *keyWrite) *time.Time { return &r.at }),
)

var attemptTable = describe("attempts", "a", "call_id", `
	-- an outcome is sent again when the answer to its commit was lost
	WHERE NOT EXISTS (SELECT FROM attempts o WHERE o.call_id = q.call_id AND o.id = q.id OFFSET 0)`,
	text("app_id", func(r *attemptWrite) *string { return &r.appID }),
	id("call_id", func(r *attemptWrite) *uuid.UUID { return &r.callID }),
	id("id", func(r *attemptWrite) *uuid.UUID { return &r.ID }),
	id("leg_id", func(r *attemptWrite) *uuid.UUID { return &r.legID }),
	integer("number", func(r *attemptWrite) *int { return &r.Number }),
	text("channel", func(r *attemptWrite) *call.Channel { return &r.Channel }),
	moment("started_at", func(r *attemptWrite) *time.Time { return &r.StartedAt }),
	moment("finished_at", func(r *attemptWrite) *time.Time { return &r.FinishedAt }),
	text("outcome", func(r *attemptWrite) *string { return &r.Outcome }),
	text("blame", func(r *attemptWrite) *string { return &r.Blame }),
	orNone("reason", func(r *attemptWrite) *call.Reason { return &r.Reason }),
	integerOrNone("status", func(r *attemptWrite) *int { return &r.Status }),
	foreign("code", func(r *attemptWrite) *string { return &r.Code }),
	foreign("message", func(r *attemptWrite) *string { return &r.Message }),
	foreign("request_id", func(r *attemptWrite) *string { return &r.RequestID }),
	text("purpose", func(r *attemptWrite) *call.Purpose {
		purpose := cmp.Or(r.Purpose, call.PurposeRing)
		return &purpose
	}),
)

// foreign is of a vendor's text.
func foreign(name string, at func(*attemptWrite) *string) field[attemptWrite] {
	return orNone(name, func(r *attemptWrite) *string {
		text := storable(*at(r))
		return &text
	})
}

var confirmTable = describe("confirms", "f", "call_id", "",
	text("app_id", func(r *confirmWrite) *string { return &r.appID }),
	id("call_id", func(r *confirmWrite) *uuid.UUID { return &r.callID }),
	id("id", func(r *confirmWrite) *uuid.UUID { return &r.id }),
	id("leg_id", func(r *confirmWrite) *uuid.UUID { return &r.legID }),
	moment("at", func(r *confirmWrite) *time.Time { return &r.at }),
	text("source", func(r *confirmWrite) *call.Source { return &r.in.Source }),
	orNone("vendor_call_id", func(r *confirmWrite) *string { return &r.in.VendorCallID }),
	text("verdict", func(r *confirmWrite) *call.Verdict { return &r.answer.Verdict }),
	orNone("reason", func(r *confirmWrite) *string { return &r.answer.Reason }),
	asJSON("region", func(r *confirmWrite) *[]byte { return &r.region }),
)

var reportTable = describe("reports", "r", "call_id", "",
	text("app_id", func(r *reportWrite) *string { return &r.appID }),
	id("call_id", func(r *reportWrite) *uuid.UUID { return &r.callID }),
	id("leg_id", func(r *reportWrite) *uuid.UUID { return &r.legID }),
	bigint("seq", func(r *reportWrite) *int64 { return &r.seq }),
	moment("received_at", func(r *reportWrite) *time.Time { return &r.at }),
	text("body", func(r *reportWrite) *string { return &r.body }),
	orNone("refused", func(r *reportWrite) *string { return &r.refused }),
	asJSON("region", func(r *reportWrite) *[]byte { return &r.region }),
)

// queueRegions stores the evidence of regions that requests of devices brought.
func (w *writes) queueRegions(b *pgx.Batch) {
	// Sorted, so that transactions lock the rows in one order.
	slices.SortFunc(w.regions, func(a, b regionWrite) int {
		return cmp.Or(cmp.Compare(a.appID, b.appID), cmp.Compare(a.deviceID, b.deviceID))
	})
	for _, r := range w.regions {
		b.Queue(upsertRegion, r.appID, r.deviceID, r.evidence.Source, r.evidence.Country, r.evidence.At)
	}
}

const upsertRegion = `INSERT INTO device_regions (app_id, device_id, source, country, observed_at) VALUES ($1, $2, $3, $4, $5)
	ON CONFLICT (app_id, device_id, source) DO UPDATE SET country = excluded.country, observed_at = excluded.observed_at`
