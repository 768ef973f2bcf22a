package main_test

import (
	"strings"
	"testing"

	"github.com/pushwake/relay/store/storetest"
)

// TestPooler: the command line works through PgBouncer as it comes, and where
// the schema cannot be changed through it, it says what to do.
func TestPooler(t *testing.T) {
	t.Parallel()
	database := storetest.Database(t)
	for mode, found := range map[string]string{"session": "in session mode", "transaction": "in transaction mode"} {
		s := setting{env: []string{"DATABASE_URL=" + storetest.Pooler(t, database, mode), "RELAY_MASTER_KEY=" + newMasterKey()}}
		s.must(t, "app", "put", "shop")
		code, out, _ := s.run(t, "doctor")
		if code != 0 || !strings.Contains(out, found) {
			t.Errorf("%s: doctor exits with %d:\n%s", mode, code, out)
		}
		code, out, err := s.run(t, "migrate")
		switch {
		case mode == "session" && (code != 0 || !strings.Contains(out, "up to date")):
			t.Errorf("session: migrate exits with %d: %s%s", code, out, err)
		case mode == "transaction" && (code == 0 || !strings.Contains(err, "the database's own address")):
			t.Errorf("transaction: migrate exits with %d: %s%s", code, out, err)
		}
	}
	direct := setting{env: []string{"DATABASE_URL=" + database, "RELAY_MASTER_KEY=" + newMasterKey()}}
	if _, out, _ := direct.run(t, "doctor"); !strings.Contains(out, "pooler                 none") {
		t.Errorf("without a pooler doctor says\n%s", out)
	}
}
