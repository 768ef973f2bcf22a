package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// FillHistory gives an app n ended calls with 2.2 legs each on average, every so
// often, the last one ending at until. The rows are as the store leaves them,
// without events; a million of them takes a minute.
//
// Of each 20 calls 12 are completed, 3 missed, 2 canceled, 1 unreachable, 1
// failed and 1 is outgoing; each third carries voice. The n-th has the ref "r<n>".
func FillHistory(t testing.TB, url, app string, n int, every time.Duration, until time.Time) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatalf("a history for the test: %v", err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	b := &pgx.Batch{}
	b.Queue(fillCalls, app, n, until, every)
	b.Queue(fillLegs, app)
	if err := conn.SendBatch(t.Context(), b).Close(); err != nil {
		t.Fatalf("a history for the test: %v", err)
	}
	// The planner knows nothing of a table that was filled a moment ago.
	if _, err := conn.Exec(t.Context(), `VACUUM ANALYZE calls, legs`); err != nil {
		t.Fatalf("a history for the test: %v", err)
	}
}

// The n-th call is of the kind n % 20.
const fillCalls = `
	INSERT INTO calls (app_id, id, ref, client_id, direction, status, end_reason, media, voice_answer, conference, caller_id, callee_id,
		parties, custom, reject_policy, max_seconds, rules_version, created_at, expires_at, ringing_at, answered_at, active_at, ended_at, answered_by, seq)
	SELECT $1, (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(hash, 1, 3) || '8' || substr(hash, 4, 15))::uuid,
		'r' || n, CASE direction WHEN 'outgoing' THEN 'c' || n END, direction, 'ended', end_reason, CASE n % 3 WHEN 0 THEN 'voice' ELSE 'video' END, true, false,
		caller, callee, json_build_object(
			'caller', json_build_object('user_id', caller, 'name', 'Li Na, no. ' || n % 100, 'avatar_url', 'https://example.com/avatar/' || n % 100),
			'callee', json_build_object('user_id', callee)),
		CASE WHEN n % 2 = 0 THEN '{"room":"r' || n || '"}' END, 'all', 14400, '2026-11', at, at + interval '45 s',
		CASE WHEN rang THEN at + interval '1.2 s' END, CASE WHEN answered THEN at + interval '4 s' END, CASE WHEN answered THEN at + interval '4.1 s' END,
		at + interval '45 s', CASE WHEN answered THEN callee || '-phone' END, 0
	FROM generate_series(1, $2::int) AS n,
		LATERAL (SELECT $3::timestamptz - interval '45 s' - ($2 - n) * $4::interval AS at, md5($1 || n) AS hash, 'caller' || n % 100 AS caller, 'user' || n % 1000 AS callee) call,
		(VALUES
			(0, 11, 'incoming', 'completed', true, true),
			(12, 14, 'incoming', 'missed', true, false),
			(15, 16, 'incoming', 'canceled', false, false),
			(17, 17, 'incoming', 'unreachable', false, false),
			(18, 18, 'incoming', 'failed', false, false),
			(19, 19, 'outgoing', 'completed', false, true)
		) AS kind (first, last, direction, end_reason, rang, answered)
	WHERE n % 20 BETWEEN first AND last`

const fillLegs = `
	INSERT INTO legs (app_id, call_id, id, direction, device_id, user_id, platform, device_type, channel, presentation, status, reason, country,
		decision, enterprise, vendor_call_id, media, last_seq, wake_attempt, handed_over_at, confirmed_at, ringing_at, answered_at, no_wake_at, ended_at)
	SELECT c.app_id, c.id, md5(c.id || device)::uuid, c.direction, c.callee_id || '-' || device, c.callee_id, platform, type,
		channel, CASE WHEN channel IS NOT NULL THEN 'call_service_kit' END, leg.status, reason, country,
		json_build_object('channel', channel, 'reason', reason, 'rules', '2026-11', 'system_version', '6.1.0(23)', 'call_ui', 'call_service_kit',
			'environment', 'production', 'bundle_id', 'com.example.voip', 'locale', 'zh-CN', 'tokens', json_build_object('push_kit', 'alive'), 'region', json_build_object(
				'area', CASE country WHEN 'CN' THEN 'mainland_china' ELSE 'other' END, 'country', country, 'signals', json_build_array(
					json_build_object('source', 'sim_mcc', 'country', country, 'age_ms', 86400000, 'use', 'decided'),
					json_build_object('source', 'network_mcc', 'country', country, 'age_ms', 86400000, 'use', 'decided'))),
			'alive_incoming', 0, 'alive_outgoing', 0),
		false, CASE WHEN woke THEN 'pk-' || c.ref END, CASE leg.status WHEN 'completed' THEN c.media END, 0, 0,
		CASE channel WHEN 'push_kit_voip' THEN c.created_at + interval '60 ms' END, CASE WHEN woke THEN c.created_at + interval '900 ms' END,
		CASE WHEN woke THEN c.ringing_at END, CASE leg.status WHEN 'completed' THEN c.answered_at END,
		CASE leg.status WHEN 'no_wake' THEN c.created_at + interval '15.06 s' END, CASE leg.status WHEN 'skipped' THEN c.created_at ELSE c.ended_at END
	FROM calls c, (VALUES
		(0, 11, 'phone', 'harmonyos', 'phone', 'push_kit_voip', 'completed', NULL, 'CN', true),
		(0, 11, 'tablet', 'harmonyos', 'tablet', 'push_kit_voip', 'answered_elsewhere', NULL, 'CN', true),
		(0, 5, 'watch', 'harmonyos', 'wearable', NULL, 'skipped', 'not_connected', 'CN', false),
		(12, 14, 'phone', 'harmonyos', 'phone', 'push_kit_voip', 'missed', NULL, 'CN', true),
		(12, 14, 'tablet', 'harmonyos', 'tablet', 'push_kit_voip', 'no_wake', NULL, 'CN', false),
		(15, 16, 'phone', 'harmonyos', 'phone', 'push_kit_voip', 'canceled', NULL, 'CN', false),
		(15, 17, 'abroad', 'harmonyos', 'phone', NULL, 'skipped', 'region_not_supported', 'HK', false),
		(17, 17, 'iphone', 'ios', 'phone', NULL, 'skipped', 'channel_not_configured', 'CN', false),
		(18, 18, 'phone', 'harmonyos', 'phone', 'push_kit_voip', 'failed', 'token_dead', 'CN', false),
		(19, 19, 'phone', 'harmonyos', 'phone', 'connection', 'completed', NULL, 'CN', true)
	) AS leg (first, last, device, platform, type, channel, status, reason, country, woke)
	WHERE c.app_id = $1 AND substr(c.ref, 2)::int % 20 BETWEEN first AND last`
