package storetest_test

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/store"
	"github.com/pushwake/relay/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// TestBroken breaks each promise by SQL and sees that it is found, and no
// other that was not broken with it: a check that cannot fail is no check.
func TestBroken(t *testing.T) {
	t.Parallel()
	url := storetest.Database(t)
	s := storetest.Open(t, store.Config{URL: url, MaxConns: 4, MasterKeys: [][]byte{make([]byte, store.MasterKeyBytes)}})
	fill(t, s)
	if broken := storetest.Broken(t.Context(), url); len(broken) != 0 {
		t.Fatalf("before anything is broken: %v", broken)
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	const winner, live, ended = `SELECT id FROM calls WHERE ref = 'won'`, `SELECT id FROM calls WHERE ref = 'live'`, `SELECT id FROM calls WHERE ref = 'ended'`
	found := map[string]bool{}
	for _, tc := range []struct{ what, sql string }{
		{"not numbered 1 to its seq", `DELETE FROM events WHERE call_seq = 1`},
		{"not numbered 1 to its seq", `UPDATE calls SET seq = seq + 1 WHERE ref = 'live'`},
		{"not numbered 1 to its seq", `UPDATE events SET call_seq = 1 WHERE call_seq = 2`},
		{"state differs from its last event's", `UPDATE calls SET status = 'ringing' WHERE ref = 'live'`},
		{"state differs from its last event's", `UPDATE calls SET end_reason = 'busy' WHERE ref = 'ended'`},
		{"leg's state differs", `UPDATE legs SET status = 'handed_over' WHERE call_id = (` + live + `) AND device_id = 'd1'`},
		{"missing from the event of its call's creation", `UPDATE events SET data = '{"s":"waking","l":[]}' WHERE call_seq = 1 AND call_id = (` + live + `)`},
		{"leg has no decision", `UPDATE events SET data = (data::jsonb - 'p')::json WHERE call_id = (` + live + `)`},
		{"an ended call has a leg that is alive", `UPDATE legs SET ended_at = NULL WHERE call_id = (` + ended + `)`},
		{"a live call has no leg alive", `UPDATE legs SET ended_at = now() WHERE call_id = (` + live + `)`},
		{"two winners", `UPDATE legs SET answered_at = now() WHERE call_id = (` + winner + `)`},
		{"a winner was canceled", `UPDATE legs SET status = 'canceled' WHERE call_id = (` + winner + `) AND device_id = 'd1'`},
		{"a leg's end and its status disagree", `UPDATE legs SET ended_at = now() WHERE call_id = (` + live + `) AND device_id = 'd1'`},
		{"does not name its winner", `UPDATE calls SET answered_by = 'd2' WHERE ref = 'won'`},
		{"does not name its winner", `UPDATE calls SET answered_by = NULL WHERE ref = 'won'`},
		{"no deadline, or an ended one has", `UPDATE calls SET deadline_at = NULL WHERE ref = 'live'`},
		{"no deadline, or an ended one has", `UPDATE calls SET deadline_at = now() WHERE ref = 'ended'`},
		{"no deadline, or an ended one has", `UPDATE calls SET ended_at = NULL WHERE ref = 'ended'`},
		{"deadline cannot be found", `UPDATE legs SET deadline_at = NULL`},
		{"deadline cannot be found", `UPDATE legs SET deadline_at = deadline_at + interval '1 s'`},
		{"over its limit", `INSERT INTO legs SELECT app_id, call_id, gen_random_uuid(), direction, device_id, user_id, platform, device_type, channel, presentation, status, reason, country,
			decision, enterprise, vendor_call_id, media, last_seq, wake_process, wake_attempt FROM legs, generate_series(1, 3) WHERE call_id = (` + live + `) AND device_id = 'd1'`},
		{"over its limit", `INSERT INTO legs SELECT app_id, call_id, gen_random_uuid(), direction, device_id, user_id, platform, device_type, channel, presentation, status, reason, country,
			decision, enterprise, vendor_call_id, media, last_seq, wake_process, wake_attempt FROM legs WHERE direction = 'outgoing'`},
		{"out of order in the log", `UPDATE events SET seq = 0 WHERE call_seq = 2 AND call_id = (` + ended + `); UPDATE events SET xid = '9' WHERE call_id = (` + ended + `)`},
		{"woken again that no vendor had accepted", `UPDATE legs SET escalated_at = now() WHERE status = 'waking'`},
		{"or after its app confirmed", `UPDATE legs SET handed_over_at = confirmed_at, rewoken_at = confirmed_at + interval '1 s' WHERE status = 'active'`},
		{"a wake is owned that nobody wants", `UPDATE legs SET wake_process = gen_random_uuid() WHERE status = 'skipped'`},
		{"a receipt is about no attempt", `INSERT INTO receipts (app_id, call_id, attempt_id, result, leg_id, signed, action, told_at, received_at)
			SELECT app_id, call_id, gen_random_uuid(), 2, id, true, 'drop_token', now(), now() FROM legs WHERE call_id = (` + winner + `) AND device_id = 'd1'`},
		{"follows from a receipt that is not signed", `INSERT INTO receipts (app_id, call_id, attempt_id, result, leg_id, signed, action, told_at, received_at)
			SELECT app_id, call_id, gen_random_uuid(), 2, id, false, 'drop_token', now(), now() FROM legs WHERE call_id = (` + winner + `) AND device_id = 'd1'`},
		{"a disabled webhook has an owner", `UPDATE webhooks SET status = 'disabled', process = gen_random_uuid()`},
		{"or a delivery that waits", `UPDATE webhooks SET status = 'disabled'`},
		{"both waits and is done", `UPDATE webhook_deliveries SET done_at = now()`},
		{"or neither", `UPDATE webhook_deliveries SET status = 'failed'`},
		// What is inserted stays: these come last.
		{"a call that nobody missed", `INSERT INTO notices (app_id, call_id, leg_id, purpose, device_id, channel, process, attempt, created_at)
			SELECT app_id, call_id, id, 'missed_call', device_id, 'push_kit_alert', gen_random_uuid(), 1, now() FROM legs WHERE call_id = (` + winner + `)`},
		{"a call that nobody missed", `UPDATE notices SET call_id = (` + live + `)`},
		{"a call that nobody missed", `UPDATE notices SET call_id = (` + ended + `); UPDATE legs SET status = 'rejected' WHERE call_id = (` + ended + `) AND device_id = 'd2'`},
		{"the same notice twice", `INSERT INTO notices TABLE notices`},
		{"an attempt is recorded twice", `INSERT INTO attempts (app_id, call_id, id, leg_id, number, channel, process, started_at, finished_at, outcome, blame)
			SELECT app_id, call_id, call_id, id, 1, 'push_kit_voip', gen_random_uuid(), now(), now(), 'accepted', 'none' FROM legs WHERE call_id = (` + live + `)`},
	} {
		found[tc.what] = true
		tx := `BEGIN; CREATE TABLE saved_calls AS TABLE calls; CREATE TABLE saved_legs AS TABLE legs; CREATE TABLE saved_events AS TABLE events; CREATE TABLE saved_plans AS TABLE plans;
			CREATE TABLE saved_webhooks AS TABLE webhooks; CREATE TABLE saved_deliveries AS TABLE webhook_deliveries; COMMIT`
		if _, err := conn.Exec(t.Context(), tx); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Exec(t.Context(), tc.sql); err != nil {
			t.Fatalf("%s: %v", tc.sql, err)
		}
		if broken := strings.Join(storetest.Broken(t.Context(), url), "\n"); !strings.Contains(broken, tc.what) {
			t.Errorf("%s\nfound %q, want %q", tc.sql, broken, tc.what)
		}
		back := `BEGIN; TRUNCATE calls, legs, events, plans, receipts, webhooks, webhook_deliveries; INSERT INTO calls TABLE saved_calls; INSERT INTO legs TABLE saved_legs; INSERT INTO events TABLE saved_events;
			INSERT INTO plans TABLE saved_plans; INSERT INTO webhooks TABLE saved_webhooks; INSERT INTO webhook_deliveries TABLE saved_deliveries;
			DROP TABLE saved_calls, saved_legs, saved_events, saved_plans, saved_webhooks, saved_deliveries; COMMIT`
		if _, err := conn.Exec(t.Context(), back); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := conn.Exec(t.Context(), `TRUNCATE notices, attempts`); err != nil {
		t.Fatal(err)
	}
	for _, what := range storetest.Promises() {
		ok := false
		for part := range found {
			ok = ok || strings.Contains(what, part)
		}
		if !ok {
			t.Errorf("nobody has tried to break this: %s", what)
		}
	}
	if broken := storetest.Broken(t.Context(), "postgres:///nowhere?host=/nowhere"); len(broken) != 1 {
		t.Errorf("a database that is away: %v", broken)
	}
}

// fill makes a call of each kind.
func fill(t *testing.T, s *store.Store) {
	t.Helper()
	const app = "demo"
	if _, err := s.PutApp(t.Context(), app, call.DefaultPolicy()); err != nil {
		t.Fatal(err)
	}
	if err := s.PutCredential(t.Context(), store.Credential{AppID: app, Vendor: call.PushKit, Secret: []byte("{}")}); err != nil {
		t.Fatal(err)
	}
	for device, country := range map[string]string{"d1": "CN", "d2": "CN", "hk": "HK"} {
		_, err := s.PutDevice(t.Context(), store.Registration{
			AppID: app, Device: call.Device{ID: device, UserID: "u2", Platform: call.HarmonyOS, Type: call.Phone, SystemVersion: "6.1.0(23)", CallUI: call.CallServiceKit},
			Tokens: map[call.TokenName]string{call.TokenPushKit: "T" + device}, Region: map[call.EvidenceSource]string{call.FromBackend: country},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, ref := range []string{"live", "won", "ended"} {
		c, err := s.CreateCall(t.Context(), store.Invite{AppID: app, Ref: ref, Caller: call.Party{UserID: "u1"}, Callee: call.Party{UserID: "u2"}, Media: call.Voice, Ring: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		if ref == "won" {
			_, err = s.ReportLeg(t.Context(), store.Party{AppID: app, CallID: c.ID, DeviceID: "d1"}, []call.Report{{Seq: 1, Event: call.ReportActive}})
		} else if ref == "ended" {
			_, err = s.CancelCall(t.Context(), app, c.ID)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	hook, _, err := s.CreateWebhook(t.Context(), store.Webhook{AppID: app, URL: "https://example.com/"})
	if err == nil {
		_, err = s.TestWebhook(t.Context(), app, hook.ID)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.DialCall(t.Context(), store.Dial{AppID: app, UserID: "u2", DeviceID: "d1", ClientID: "c", Callee: call.Party{UserID: "u3"}, Media: call.Voice}); err != nil {
		t.Fatal(err)
	}
}
