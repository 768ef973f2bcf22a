// Package migrations holds the schema as numbered SQL files and brings a
// database up to it. Changes are forward only and additive: the service runs
// before, during and after each. Two processes that migrate at once take turns.
package migrations

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed *.sql
var files embed.FS

// ErrOldSchema means that the database lacks migrations this program needs.
var ErrOldSchema = errors.New("the database's schema is older than this program: run `relay migrate`")

// Up applies what is missing and returns the names of the files applied.
func Up(ctx context.Context, url string) ([]string, error) {
	var applied []string
	err := with(url, func(p *goose.Provider) error {
		results, err := p.Up(ctx)
		for _, r := range results {
			applied = append(applied, r.Source.Path)
		}
		return err
	})
	return applied, err
}

// Check returns ErrOldSchema where a migration is missing. A newer schema is
// accepted, since changes are additive.
func Check(ctx context.Context, url string) error {
	return with(url, func(p *goose.Provider) error {
		pending, err := p.HasPending(ctx)
		if err == nil && pending {
			err = ErrOldSchema
		}
		return err
	})
}

func with(url string, do func(*goose.Provider) error) error {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return fmt.Errorf("database URL: %w", err)
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeExec // a pooler may have another client's prepared statements
	var db *sql.DB = stdlib.OpenDB(*config)
	defer db.Close()
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithSessionLocker(locker))
	if err != nil {
		return err
	}
	return do(p)
}
