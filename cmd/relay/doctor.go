package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/migrations"
	"github.com/pushwake/relay/push/apns"
	"github.com/pushwake/relay/store"
)

type doctorCommand struct {
	database
	masterKeys
	vendors
	App string `help:"Look at the credentials of this app alone."`
}

// grade is how bad a finding is.
type grade string

const (
	fine    grade = "ok"
	worry   grade = "warn"
	trouble grade = "FAIL"
)

// examination collects findings and prints each as it is made.
type examination struct {
	out              io.Writer
	checks, failures int
}

// found prints the result of one check, with the advice, if any, below it.
func (e *examination) found(g grade, what, detail, advice string) {
	e.checks++
	if g == trouble {
		e.failures++
	}
	fmt.Fprintf(e.out, "%-5s %-22s %s\n", g, what, detail)
	if advice != "" && g != fine {
		fmt.Fprintf(e.out, "%28s %s\n", "", advice)
	}
}

// Run checks everything that relay needs and says what to fix.
func (c *doctorCommand) Run(ctx context.Context, io streams) error {
	e := &examination{out: io.out}
	c.examine(ctx, e)
	if e.failures > 0 {
		return fmt.Errorf("%d of %d checks failed", e.failures, e.checks)
	}
	_, err := fmt.Fprintf(io.out, "All %d checks passed.\n", e.checks)
	return err
}

func (c *doctorCommand) examine(ctx context.Context, e *examination) {
	url, keys, err := both(c.database, c.masterKeys)
	if err != nil {
		e.found(trouble, "configuration", err.Error(), "")
		return
	}
	apnsConfig, err := c.vendors.apns()
	if err != nil {
		e.found(trouble, "configuration", err.Error(), "")
		return
	}
	e.found(fine, "configuration", "DATABASE_URL and RELAY_MASTER_KEY are set", "")
	switch err := migrations.Check(ctx, url); {
	case errors.Is(err, migrations.ErrOldSchema):
		e.found(trouble, "schema", "older than this program", "Run `relay migrate`, or `relay serve --migrate`.")
		return
	case err != nil:
		e.found(trouble, "database", err.Error(), "Check DATABASE_URL, that the server runs and that this host may connect to it.")
		return
	}
	e.found(fine, "schema", "up to date", "")
	s, err := store.Open(ctx, store.Config{URL: url, MasterKeys: keys, MaxConns: 2})
	if err != nil {
		e.found(trouble, "database", err.Error(), "Check DATABASE_URL, and that its user owns the schema.")
		return
	}
	defer s.Close()
	server, err := s.Server(ctx)
	if err != nil {
		e.found(trouble, "database", err.Error(), "")
		return
	}
	e.found(judgeRoundTrip(server.RoundTrip), "database",
		fmt.Sprintf("PostgreSQL %s, %.1f ms away; relay processes alive: %d", server.Version, float64(server.RoundTrip.Microseconds())/1000, server.Processes),
		"A call takes two round trips. Run relay near its database.")
	e.pooling(server.Pooling)
	e.eventLog(s.CheckLog(ctx), server.Writing)
	e.clock("clock and database", time.Since(server.Now)-server.RoundTrip/2)
	c.examineApps(ctx, e, s, apnsConfig)
	c.examineTokens(ctx, e, s, server.Now)
}

// examineTokens tells of the alarms of the last day: so many tokens of an app
// were to die at once that something else must be wrong.
func (c *doctorCommand) examineTokens(ctx context.Context, e *examination, s *store.Store, now time.Time) {
	alarms, err := s.TokenAlarms(ctx, now.Add(-24*time.Hour))
	if err != nil {
		e.found(trouble, "tokens", err.Error(), "")
		return
	}
	for _, a := range alarms {
		if c.App != "" && a.AppID != c.App {
			continue
		}
		g := worry
		if now.Sub(a.LastAt) < time.Hour {
			g = trouble
		}
		e.found(g, a.AppID+", tokens", fmt.Sprintf("at %s, %d of %d tokens %s were to die within a minute; none was marked", a.RaisedAt.Format(time.DateTime), a.Spared, a.Alive, a.Name),
			"The vendor refused them all: check the credential's project or team, and that the key belongs to the app. The attempts in the log tell its code.")
	}
}

// writingWorry is for how long a transaction may run before it is a worry.
const writingWorry = 10 * time.Second

// eventLog tells whether readers of events hear all, and at once.
func (e *examination) eventLog(err error, writing time.Duration) {
	switch {
	case errors.Is(err, store.ErrRestored):
		e.found(trouble, "event log", "the database was restored into another server", "Stop relay, run `relay migrate --restored`, and start it again: readers of events would miss what comes now.")
	case err != nil:
		e.found(trouble, "event log", err.Error(), "")
	case writing > writingWorry:
		e.found(worry, "event log", fmt.Sprintf("a transaction in the cluster has been writing for %.0f s, and readers of events wait for its end", writing.Seconds()),
			"Look for it in pg_stat_activity; give relay a cluster of its own.")
	default:
		e.found(fine, "event log", "nothing holds its readers back", "")
	}
}

// pooling tells what stands between relay and its database.
func (e *examination) pooling(p store.Pooling) {
	switch p {
	case store.Direct:
		e.found(fine, "pooler", "none", "")
	case store.SessionPooling:
		e.found(fine, "pooler", "in session mode; each process takes RELAY_MAX_CONNS + 1 of its server connections", "")
	case store.TransactionPooling:
		e.found(worry, "pooler", "in transaction mode: relay works without LISTEN and prepared statements",
			"Changes by other processes are found within 0.1 s instead of some milliseconds, and `relay migrate` needs the database's own address. Session mode has neither limit.")
	}
}

// judgeRoundTrip compares the round trip to the database with the 50 ms or so
// that a caller does not notice.
func judgeRoundTrip(d time.Duration) grade {
	if d > 20*time.Millisecond {
		return worry
	}
	return fine
}

// Limits for errors of this machine's clock. The vendors do not document how
// much they allow; Apple refuses a provider token that is an hour off.
const (
	clockWorry   = 5 * time.Second
	clockTrouble = time.Minute
)

// clock judges how far this machine's clock is ahead of another.
func (e *examination) clock(what string, ahead time.Duration) {
	g := fine
	switch {
	case ahead.Abs() > clockTrouble:
		g = trouble
	case ahead.Abs() > clockWorry:
		g = worry
	}
	word := "ahead"
	if ahead < 0 {
		word = "behind"
	}
	e.found(g, what, fmt.Sprintf("this machine is %.1f s %s", ahead.Abs().Seconds(), word),
		"Set the clock by NTP: vendors refuse authorizations that are signed at a wrong time.")
}

// examineApps checks the credentials of every app, or of the one that was
// named.
func (c *doctorCommand) examineApps(ctx context.Context, e *examination, s *store.Store, apnsConfig apns.PoolsConfig) {
	apps, err := s.Apps(ctx)
	if err != nil {
		e.found(trouble, "apps", err.Error(), "")
		return
	}
	x, err := newVendorExam(c.vendors, apnsConfig, s, e)
	if err != nil {
		e.found(trouble, "configuration", err.Error(), "")
		return
	}
	defer x.close()
	looked := 0
	for _, app := range apps {
		if c.App != "" && app.ID != c.App {
			continue
		}
		looked++
		if len(app.Vendors) == 0 {
			e.found(worry, app.ID, "no credentials: its devices are skipped as channel_not_configured", "`relay app credential "+app.ID+" push_kit|apns FILE` gives it one.")
		}
		for _, vendor := range app.Vendors {
			x.credential(ctx, app.ID, vendor)
		}
	}
	switch {
	case looked == 0 && c.App != "":
		e.found(trouble, c.App, "there is no such app", "`relay app list` lists them.")
	case looked == 0:
		e.found(worry, "apps", "there are none", "`relay app put APP` makes one.")
	}
}

func vendorName(v call.Vendor) string {
	if v == call.APNs {
		return "APNs"
	}
	return "Push Kit"
}
