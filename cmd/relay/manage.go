package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"

	"github.com/pushwake/relay/migrations"
	"github.com/pushwake/relay/store"
)

// openStore connects a management command to the database while it runs.
func openStore(ctx context.Context, d database, keys [][]byte) (*store.Store, error) {
	url, err := d.url()
	if err != nil {
		return nil, err
	}
	if err := migrations.Check(ctx, url); err != nil {
		return nil, err
	}
	return store.Open(ctx, store.Config{URL: url, MasterKeys: keys, MaxConns: 2})
}

type appCommand struct {
	Put        appPutCommand        `cmd:"" help:"Make an app, or change of its policy what is given. Without flags it shows the policy."`
	List       appListCommand       `cmd:"" help:"List the apps."`
	Credential appCredentialCommand `cmd:"" help:"Give an app a vendor credential, in the place of an older one."`
}

type appListCommand struct{ database }

// Run prints the apps as a table.
func (c *appListCommand) Run(ctx context.Context, io streams) error {
	s, err := openStore(ctx, c.database, nil)
	if err != nil {
		return err
	}
	defer s.Close()
	apps, err := s.Apps(ctx)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(io.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "APP\tREJECT\tPAYLOAD\tMAX CALL\tCREDENTIALS\tMADE")
	for _, a := range apps {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%v\t%s\n", a.ID, a.Policy.Reject, a.Policy.Payload, a.Policy.MaxDuration, a.Vendors, a.CreatedAt.UTC().Format(time.DateTime))
	}
	return w.Flush()
}

type keyCommand struct {
	Create keyCreateCommand `cmd:"" help:"Make an API key and print it, once."`
	List   keyListCommand   `cmd:"" help:"List the keys, without their text."`
	Revoke keyRevokeCommand `cmd:"" help:"Make a key worthless, within 5 seconds everywhere."`
}

type keyCreateCommand struct {
	database
	App   string `arg:"" optional:"" help:"The app whose backend gets the key."`
	Admin bool   `help:"Make an operator's key, which belongs to no app."`
	Label string `help:"A name to know the key by."`
}

// Run makes the key.
func (c *keyCreateCommand) Run(ctx context.Context, io streams) error {
	if c.Admin == (c.App != "") {
		return errors.New("give an app for a backend's key, or --admin for an operator's")
	}
	s, err := openStore(ctx, c.database, nil)
	if err != nil {
		return err
	}
	defer s.Close()
	principal := store.BackendKey
	if c.Admin {
		principal = store.AdminKey
	}
	text, _, err := s.CreateKey(ctx, c.App, principal, c.Label)
	if errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("there is no app %s: `relay app put %[1]s` makes it", c.App)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(io.out, text)
	return err
}

type keyListCommand struct{ database }

// Run prints the keys as a table.
func (c *keyListCommand) Run(ctx context.Context, io streams) error {
	s, err := openStore(ctx, c.database, nil)
	if err != nil {
		return err
	}
	defer s.Close()
	keys, err := s.Keys(ctx)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(io.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tPRINCIPAL\tAPP\tLABEL\tMADE\tREVOKED")
	for _, k := range keys {
		revoked := ""
		if !k.RevokedAt.IsZero() {
			revoked = k.RevokedAt.Format(time.DateTime)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, k.Principal, k.AppID, k.Label, k.CreatedAt.Format(time.DateTime), revoked)
	}
	return w.Flush()
}

type keyRevokeCommand struct {
	database
	ID string `arg:"" help:"The key's id, as relay key list prints it."`
}

// Run revokes the key.
func (c *keyRevokeCommand) Run(ctx context.Context, io streams) error {
	id, err := uuid.Parse(c.ID)
	if err != nil {
		return fmt.Errorf("%q is no key's id; `relay key list` prints them", c.ID)
	}
	s, err := openStore(ctx, c.database, nil)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.RevokeKey(ctx, id); err != nil {
		if errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("there is no key %s", id)
		}
		return err
	}
	_, err = fmt.Fprintf(io.out, "Key %s is revoked.\n", id)
	return err
}
