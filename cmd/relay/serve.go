package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/pushwake/relay/migrations"
	"github.com/pushwake/relay/store"
)

type serveCommand struct {
	database
	masterKeys
	logLevel
	vendors
	webhookFlags
	Addr           string   `env:"RELAY_ADDR" default:":8080" help:"Address to listen on."`
	Migrate        bool     `env:"RELAY_MIGRATE" help:"Bring the schema up to date first, instead of refusing to start on an old one."`
	MaxConns       int      `env:"RELAY_MAX_CONNS" default:"16" help:"Connections to the database at most."`
	NoListen       bool     `env:"RELAY_NO_LISTEN" help:"Look for other processes' changes by polling alone, behind a pooler that does not pass LISTEN on."`
	TrustedProxies []string `env:"RELAY_TRUSTED_PROXIES" help:"Networks whose X-Forwarded-For names the client, e.g. 10.0.0.0/8." placeholder:"CIDR"`
}

// Run serves until it is told to stop.
func (c *serveCommand) Run(ctx context.Context, io streams) error {
	url, keys, err := both(c.database, c.masterKeys)
	proxies, proxiesErr := networks("trusted proxies", c.TrustedProxies)
	hooks, hooksErr := c.webhookFlags.parse()
	apnsPools, apnsErr := c.vendors.apns()
	err = errors.Join(err, proxiesErr, hooksErr, apnsErr)
	if c.MaxConns < 2 {
		err = errors.Join(err, errors.New("RELAY_MAX_CONNS must be at least 2"))
	}
	if err != nil {
		return err
	}
	logger := slog.New(slog.NewJSONHandler(io.err, &slog.HandlerOptions{Level: c.Level}))
	if c.Migrate {
		applied, err := migrate(ctx, url)
		if err != nil {
			return fmt.Errorf("migrating: %w", err)
		}
		logger.Info("schema", "applied", applied)
	} else if err := migrations.Check(ctx, url); err != nil {
		return err
	}
	s, err := newService(ctx, serviceConfig{
		databaseURL: url, maxConns: c.MaxConns, noListen: c.NoListen, masterKeys: keys, addr: c.Addr, pushKitURL: c.PushKitURL, apns: apnsPools, trustedProxies: proxies, webhooks: hooks,
		logger: logger,
	})
	if err != nil {
		return err
	}
	logger.Info("serving", "version", currentVersion(), "url", s.url(), "process", s.store.Process())
	return s.run(ctx)
}

type migrateCommand struct {
	database
	Restored bool `help:"The database was restored from a backup, or failed over to a server that lacks the last writes: begin a new epoch of the event log, so that readers of events miss nothing of what comes. All relay processes must be stopped."`
}

// Run brings the schema up to date and says what it did.
func (c *migrateCommand) Run(ctx context.Context, io streams) error {
	url, err := c.url()
	if err != nil {
		return err
	}
	applied, err := migrate(ctx, url)
	if err != nil {
		return err
	}
	if len(applied) == 0 {
		fmt.Fprintln(io.out, "The schema is up to date.")
	}
	for _, name := range applied {
		fmt.Fprintln(io.out, "applied", name)
	}
	if !c.Restored {
		return nil
	}
	s, err := openStore(ctx, c.database, nil)
	if err != nil {
		return err
	}
	defer s.Close()
	epoch, err := s.BeginEpoch(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(io.out, "The event log is in its epoch %d.\n", epoch)
	return nil
}

// errMigratePooled says why the schema is not changed through a pooler of
// transactions.
var errMigratePooled = errors.New("DATABASE_URL leads to a pooler in transaction mode, through which two migrations cannot take turns: " +
	"run `relay migrate` with the database's own address (the service itself may go through the pooler)")

// migrate brings the schema up to date. Migrations take turns by a lock that
// their session holds, so they need a session of their own.
func migrate(ctx context.Context, url string) ([]string, error) {
	pooling, err := store.FindPooling(ctx, url)
	if err != nil {
		return nil, err
	}
	if pooling == store.TransactionPooling {
		return nil, errMigratePooled
	}
	return migrations.Up(ctx, url)
}
