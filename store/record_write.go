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

func (w *writes) queueAttempts(b *pgx.Batch) {
	rows := w.attempts
	if len(rows) == 0 {
		return
	}
	b.Queue(`INSERT INTO attempts (app_id, call_id, id, leg_id, number, channel, process, started_at, finished_at,
			outcome, blame, reason, status, code, message, request_id, purpose)
		SELECT app_id, call_id, id, leg_id, number, channel, process, started_at, finished_at,
			outcome, blame, nullif(reason, ''), nullif(status, 0), nullif(code, ''), nullif(message, ''), nullif(request_id, ''), purpose
		FROM unnest($1::text[], $2::uuid[], $3::uuid[], $4::uuid[], $5::integer[], $6::text[], $7::uuid[], $8::timestamptz[], $9::timestamptz[],
			$10::text[], $11::text[], $12::text[], $13::integer[], $14::text[], $15::text[], $16::text[], $17::text[])
		AS q (app_id, call_id, id, leg_id, number, channel, process, started_at, finished_at,
			outcome, blame, reason, status, code, message, request_id, purpose)
		ON CONFLICT DO NOTHING -- an outcome is sent again when the answer to its commit was lost`,
		column(rows, func(r *attemptWrite) string { return r.appID }),
		column(rows, func(r *attemptWrite) uuid.UUID { return r.callID }),
		column(rows, func(r *attemptWrite) uuid.UUID { return r.ID }),
		column(rows, func(r *attemptWrite) uuid.UUID { return r.legID }),
		column(rows, func(r *attemptWrite) int32 { return int32(r.Number) }),
		column(rows, func(r *attemptWrite) string { return string(r.Channel) }),
		column(rows, func(r *attemptWrite) uuid.UUID { return r.process }),
		column(rows, func(r *attemptWrite) time.Time { return r.StartedAt }),
		column(rows, func(r *attemptWrite) time.Time { return r.FinishedAt }),
		column(rows, func(r *attemptWrite) string { return r.Outcome }),
		column(rows, func(r *attemptWrite) string { return r.Blame }),
		column(rows, func(r *attemptWrite) string { return string(r.Reason) }),
		column(rows, func(r *attemptWrite) int32 { return int32(r.Status) }),
		column(rows, func(r *attemptWrite) string { return storable(r.Code) }),
		column(rows, func(r *attemptWrite) string { return storable(r.Message) }),
		column(rows, func(r *attemptWrite) string { return storable(r.RequestID) }),
		column(rows, func(r *attemptWrite) string { return string(cmp.Or(r.Purpose, call.PurposeRing)) }))
}

func (w *writes) queueConfirms(b *pgx.Batch) {
	rows := w.confirms
	if len(rows) == 0 {
		return
	}
	b.Queue(`INSERT INTO confirms (app_id, call_id, id, leg_id, at, source, vendor_call_id, verdict, reason, region)
		SELECT app_id, call_id, id, leg_id, at, source, nullif(vendor_call_id, ''), verdict, nullif(reason, ''), region::json
		FROM unnest($1::text[], $2::uuid[], $3::uuid[], $4::uuid[], $5::timestamptz[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[])
		AS q (app_id, call_id, id, leg_id, at, source, vendor_call_id, verdict, reason, region)`,
		column(rows, func(r *confirmWrite) string { return r.appID }),
		column(rows, func(r *confirmWrite) uuid.UUID { return r.callID }),
		column(rows, func(r *confirmWrite) uuid.UUID { return r.id }),
		column(rows, func(r *confirmWrite) uuid.UUID { return r.legID }),
		column(rows, func(r *confirmWrite) time.Time { return r.at }),
		column(rows, func(r *confirmWrite) string { return string(r.in.Source) }),
		column(rows, func(r *confirmWrite) string { return r.in.VendorCallID }),
		column(rows, func(r *confirmWrite) string { return string(r.answer.Verdict) }),
		column(rows, func(r *confirmWrite) string { return r.answer.Reason }),
		column(rows, func(r *confirmWrite) *string { return textOrNull(r.region) }))
}

func (w *writes) queueReports(b *pgx.Batch) {
	rows := w.reports
	if len(rows) == 0 {
		return
	}
	b.Queue(`INSERT INTO reports (app_id, call_id, leg_id, seq, received_at, body, refused, region)
		SELECT app_id, call_id, leg_id, seq, received_at, body, nullif(refused, ''), region::json
		FROM unnest($1::text[], $2::uuid[], $3::uuid[], $4::bigint[], $5::timestamptz[], $6::text[], $7::text[], $8::text[])
		AS q (app_id, call_id, leg_id, seq, received_at, body, refused, region)`,
		column(rows, func(r *reportWrite) string { return r.appID }),
		column(rows, func(r *reportWrite) uuid.UUID { return r.callID }),
		column(rows, func(r *reportWrite) uuid.UUID { return r.legID }),
		column(rows, func(r *reportWrite) int64 { return r.seq }),
		column(rows, func(r *reportWrite) time.Time { return r.at }),
		column(rows, func(r *reportWrite) string { return r.body }),
		column(rows, func(r *reportWrite) string { return r.refused }),
		column(rows, func(r *reportWrite) *string { return textOrNull(r.region) }))
}

// queueTokens marks refused tokens and adds an event for each dead one. A token
// is left alone if the device has registered another one meanwhile, or the same
// one again after the vendor's time of its death.
func (w *writes) queueTokens(b *pgx.Batch) {
	for _, t := range w.deadTokens {
		b.Queue(`WITH marked AS (
				UPDATE device_tokens SET state = $5
				WHERE app_id = $1 AND device_id = $2 AND name = $3 AND token = $4 AND state <> $5 AND state <> 'dead'
				  AND ($8::timestamptz IS NULL OR registered_at < $8)
				RETURNING app_id, device_id, name)
			INSERT INTO events (app_id, id, type, at, data)
			SELECT m.app_id, $6, 'device.token_dead', $7,
				json_build_object('device_id', m.device_id, 'user_id', d.user_id, 'token', m.name)
			FROM marked m JOIN devices d USING (app_id, device_id)
			WHERE $5 = 'dead'`, t.appID, t.deviceID, t.name, t.token, t.state, newID(t.at), t.at, orNull(t.since))
	}
}

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
