package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/push/webhook"
	"github.com/pushwake/relay/store"
)

type webhookCommand struct {
	Add          webhookAddCommand        `cmd:"" help:"Have an app's events delivered to a URL, and print the secret, once."`
	List         webhookListCommand       `cmd:"" help:"List an app's webhooks."`
	Remove       webhookRemoveCommand     `cmd:"" help:"Delete a webhook."`
	Enable       webhookEnableCommand     `cmd:"" help:"Enable a webhook that is disabled: it gets what happens from then on."`
	Disable      webhookDisableCommand    `cmd:"" help:"Disable a webhook, and give up what waits for it."`
	RotateSecret webhookRotateCommand     `cmd:"" help:"Give a webhook a new secret and print it, once. The old one is good for 24 hours more."`
	Test         webhookTestCommand       `cmd:"" help:"Send a test and tell what became of it."`
	Deliveries   webhookDeliveriesCommand `cmd:"" help:"List what was delivered to a webhook, the newest events first."`
	Redeliver    webhookRedeliverCommand  `cmd:"" help:"Deliver one event once more."`
	Replay       webhookReplayCommand     `cmd:"" help:"Deliver all events since a time once more."`
	Listen       webhookListenCommand     `cmd:"" help:"Receive deliveries on this machine, print them and verify their signatures."`
}

// oneWebhook is how a command names a webhook.
type oneWebhook struct {
	database
	App string `arg:"" help:"The app."`
	ID  string `arg:"" help:"The webhook's id, as relay webhook list prints it."`
}

// with does something with a webhook while the database is connected.
func (c *oneWebhook) with(ctx context.Context, keys [][]byte, do func(*store.Store, uuid.UUID) error) error {
	id, err := uuid.Parse(c.ID)
	if err != nil {
		return fmt.Errorf("%q is no webhook's id; `relay webhook list %s` prints them", c.ID, c.App)
	}
	s, err := openStore(ctx, c.database, keys)
	if err != nil {
		return err
	}
	defer s.Close()
	err = do(s, id)
	if errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("app %s has no webhook %s", c.App, id)
	}
	return err
}

type webhookAddCommand struct {
	database
	masterKeys
	webhookFlags
	App         string   `arg:"" help:"The app."`
	Address     string   `arg:"" name:"url" help:"Where its events are delivered, e.g. https://example.com/hooks."`
	Type        []string `help:"Deliver events of this type only; may be given several times."`
	Description string   `help:"A name to know the webhook by."`
}

// Run makes the webhook.
func (c *webhookAddCommand) Run(ctx context.Context, io streams) error {
	keys, err := c.masterKeys.parse()
	hooks, hooksErr := c.webhookFlags.parse()
	if err = errors.Join(err, hooksErr); err != nil {
		return err
	}
	if err := (webhook.Guard{Allow: hooks.allow}).CheckURL(c.Address); err != nil {
		return fmt.Errorf("%s %w", c.Address, err)
	}
	hook := store.Webhook{AppID: c.App, URL: c.Address, Description: c.Description}
	for _, t := range c.Type {
		if !slices.Contains(call.EventTypes, call.EventType(t)) {
			return fmt.Errorf("there is no event type %s; there are %v", t, call.EventTypes)
		}
		hook.Types = append(hook.Types, call.EventType(t))
	}
	s, err := openStore(ctx, c.database, keys)
	if err != nil {
		return err
	}
	defer s.Close()
	made, secret, err := s.CreateWebhook(ctx, hook)
	if errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("there is no app %s: `relay app put %[1]s` makes it", c.App)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(io.out, "%s\t%s\n", made.ID, secret)
	return err
}

type webhookListCommand struct {
	database
	App string `arg:"" help:"The app."`
}

// Run prints an app's webhooks as a table.
func (c *webhookListCommand) Run(ctx context.Context, io streams) error {
	s, err := openStore(ctx, c.database, nil)
	if err != nil {
		return err
	}
	defer s.Close()
	hooks, err := s.Webhooks(ctx, c.App)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(io.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tSTATUS\tFAILING SINCE\tURL\tTYPES\tDESCRIPTION\tMADE")
	for _, h := range hooks {
		types, status := "all", string(h.Status)
		if h.Types != nil {
			types = fmt.Sprint(h.Types)
		}
		if h.DisabledReason != "" {
			status += ": " + string(h.DisabledReason)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", h.ID, status, dateTime(h.FailingSince), h.URL, types, h.Description, dateTime(h.CreatedAt))
	}
	return w.Flush()
}

// dateTime is a time in a table; "" for none.
func dateTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.DateTime)
}

type webhookRemoveCommand struct{ oneWebhook }

// Run deletes the webhook.
func (c *webhookRemoveCommand) Run(ctx context.Context, io streams) error {
	return c.with(ctx, nil, func(s *store.Store, id uuid.UUID) error {
		if err := s.DeleteWebhook(ctx, c.App, id); err != nil {
			return err
		}
		_, err := fmt.Fprintf(io.out, "Webhook %s is deleted.\n", id)
		return err
	})
}

type webhookEnableCommand struct{ oneWebhook }

// Run enables the webhook.
func (c *webhookEnableCommand) Run(ctx context.Context, io streams) error {
	return c.set(ctx, io, store.WebhookEnabled)
}

type webhookDisableCommand struct{ oneWebhook }

// Run disables the webhook.
func (c *webhookDisableCommand) Run(ctx context.Context, io streams) error {
	return c.set(ctx, io, store.WebhookDisabled)
}

func (c *oneWebhook) set(ctx context.Context, io streams, status store.WebhookStatus) error {
	return c.with(ctx, nil, func(s *store.Store, id uuid.UUID) error {
		if _, err := s.ChangeWebhook(ctx, c.App, id, store.WebhookChange{Status: &status}); err != nil {
			return err
		}
		_, err := fmt.Fprintf(io.out, "Webhook %s is %s.\n", id, status)
		return err
	})
}

type webhookRotateCommand struct {
	oneWebhook
	masterKeys
}

// Run makes the secret.
func (c *webhookRotateCommand) Run(ctx context.Context, io streams) error {
	keys, err := c.masterKeys.parse()
	if err != nil {
		return err
	}
	return c.with(ctx, keys, func(s *store.Store, id uuid.UUID) error {
		secret, _, err := s.RotateWebhookSecret(ctx, c.App, id)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(io.out, secret)
		return err
	})
}

type webhookTestCommand struct{ oneWebhook }

// testPatience is how long the test's outcome is waited for: half a second until
// the webhook's process hears of it, and one request.
const testPatience = 15 * time.Second

// Run sends the test and waits for its first outcome.
func (c *webhookTestCommand) Run(ctx context.Context, io streams) error {
	return c.with(ctx, nil, func(s *store.Store, id uuid.UUID) error {
		sent, err := s.TestWebhook(ctx, c.App, id)
		if err != nil {
			return err
		}
		for deadline := time.Now().Add(testPatience); time.Now().Before(deadline); {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(100 * time.Millisecond):
			}
			d, err := s.Delivery(ctx, c.App, id, sent.EventID)
			if err != nil {
				return err
			}
			if d.Attempts == 0 {
				continue
			}
			if d.Status != store.DeliveryDelivered {
				return fmt.Errorf("the test was not taken: %s %s", d.Attempt.Error, strings.TrimSpace(d.Attempt.Body))
			}
			_, err = fmt.Fprintf(io.out, "The endpoint took the test with %d after %d ms.\n", d.Attempt.Status, d.Attempt.Duration.Milliseconds())
			return err
		}
		return errors.New("nobody has sent the test: is a relay running on this database?")
	})
}

type webhookDeliveriesCommand struct {
	oneWebhook
	Status string `help:"Only those that are ${enum}." enum:"pending,delivered,failed," default:""`
	Limit  int    `default:"50" help:"How many at most."`
}

// Run prints the deliveries as a table.
func (c *webhookDeliveriesCommand) Run(ctx context.Context, io streams) error {
	if c.Limit < 1 {
		return errors.New("--limit must be at least 1")
	}
	return c.with(ctx, nil, func(s *store.Store, id uuid.UUID) error {
		page, _, err := s.Deliveries(ctx, store.DeliveryFilter{AppID: c.App, WebhookID: id, Status: store.DeliveryStatus(c.Status), Limit: c.Limit})
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(io.out, 0, 4, 2, ' ', 0)
		fmt.Fprintln(w, "EVENT\tTYPE\tCALL\tSTATUS\tATTEMPTS\tNEXT\tLAST ATTEMPT\tANSWER")
		for _, d := range page {
			one, answer := "", d.Attempt.Error
			if d.CallID != uuid.Nil {
				one = d.CallID.String()
			}
			if d.Attempt.Status != 0 {
				answer = fmt.Sprint(d.Attempt.Status)
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\n", d.EventID, d.Type, one, d.Status, d.Attempts, dateTime(d.NextAt), dateTime(d.Attempt.At), answer)
		}
		return w.Flush()
	})
}

type webhookRedeliverCommand struct {
	oneWebhook
	Event string `arg:"" help:"The event's id, as relay webhook deliveries prints it."`
}

// Run has the event delivered once more.
func (c *webhookRedeliverCommand) Run(ctx context.Context, io streams) error {
	event, err := uuid.Parse(c.Event)
	if err != nil {
		return fmt.Errorf("%q is no event's id", c.Event)
	}
	return c.with(ctx, nil, func(s *store.Store, id uuid.UUID) error {
		if _, err := s.Redeliver(ctx, c.App, id, event); err != nil {
			return err
		}
		_, err := fmt.Fprintf(io.out, "Event %s is delivered once more.\n", event)
		return err
	})
}

type webhookReplayCommand struct {
	oneWebhook
	From string `required:"" help:"A time such as 2026-11-23T09:00:00Z, or how long ago, such as 90m."`
}

// Run has the events delivered once more.
func (c *webhookReplayCommand) Run(ctx context.Context, io streams) error {
	return c.with(ctx, nil, func(s *store.Store, id uuid.UUID) error {
		from, err := time.Parse(time.RFC3339, c.From)
		if ago, agoErr := time.ParseDuration(c.From); agoErr == nil {
			from, err = s.Now().Add(-ago), nil
		}
		if err != nil {
			return fmt.Errorf("--from %s is neither a time such as 2026-11-23T09:00:00Z nor how long ago, such as 90m", c.From)
		}
		if _, err := s.ReplayWebhook(ctx, c.App, id, from); err != nil {
			return err
		}
		_, err = fmt.Fprintf(io.out, "All events since %s are delivered once more.\n", from.UTC().Format(time.RFC3339))
		return err
	})
}
