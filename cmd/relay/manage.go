package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"

	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/migrations"
	"github.com/pushwake/relay/store"
)

// openStore connects a command that manages things, for as long as it runs.
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
	Put        appPutCommand        `cmd:"" help:"Make an app, or change its policy."`
	List       appListCommand       `cmd:"" help:"List the apps."`
	Credential appCredentialCommand `cmd:"" help:"Give an app a vendor credential, in the place of an older one."`
}

type appPutCommand struct {
	database
	ID             string `arg:"" help:"The app's id: small letters, digits, - and _."`
	Reject         string `enum:"all,one" default:"all" help:"What one device's rejection does: all ends the call, one leaves the other devices ringing."`
	Payload        string `enum:"full,minimal" default:"full" help:"What a wake says of the caller: full or minimal."`
	MaxCallSeconds int    `default:"14400" help:"When an answered call is ended, at most 86400."`
	MaxDevices     int    `default:"20" help:"To how many of a user's devices a call goes, from 1 to 100: to those heard from last."`
	RegionRules    string `help:"A version of the region rules; the latest by default."`

	Escalation map[string]string `placeholder:"PLATFORM=CHANNEL,…" help:"A platform's channels in order: where an app does not confirm, a wake over the channel after its own follows. By default harmonyos=push_kit_voip,push_kit_alert and ios=apns_voip,apns_alert; with no channel, as in ios=, none follows."`

	APNsVoIPExpirationSeconds int `name:"apns-voip-expiration-seconds" default:"0" help:"How long APNs keeps a VoIP push for a phone that it does not reach at once, at most 30; 0 is one try, so that no old call rings later."`

	NoticeVoice map[string]string `name:"notice-voice" mapsep:"none" placeholder:"LOCALE=TEXT" help:"What the notice of a missed voice call says to devices of a locale, such as zh-CN or zh; may be given for several. Others get English or Chinese of relay's own."`
	NoticeVideo map[string]string `name:"notice-video" mapsep:"none" placeholder:"LOCALE=TEXT" help:"The same of a missed video call."`
}

var goodAppID = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

// Run stores the app.
func (c *appPutCommand) Run(ctx context.Context, io streams) error {
	var problems error
	if !goodAppID.MatchString(c.ID) {
		problems = errors.Join(problems, fmt.Errorf("%q is no id for an app: use 1 to 63 small letters, digits, - and _", c.ID))
	}
	if c.MaxCallSeconds < 60 || c.MaxCallSeconds > 86400 {
		problems = errors.Join(problems, errors.New("--max-call-seconds must be from 60 to 86400"))
	}
	if c.MaxDevices < 1 || c.MaxDevices > call.MostDevices {
		problems = errors.Join(problems, fmt.Errorf("--max-devices must be from 1 to %d", call.MostDevices))
	}
	if most := int(call.MaxAPNsVoIPExpiration / time.Second); c.APNsVoIPExpirationSeconds < 0 || c.APNsVoIPExpirationSeconds > most {
		problems = errors.Join(problems, fmt.Errorf("--apns-voip-expiration-seconds must be from 0 to %d", most))
	}
	if _, ok := call.RulesVersion(c.RegionRules); !ok {
		problems = errors.Join(problems, fmt.Errorf("there are no region rules %q", c.RegionRules))
	}
	notices, err := c.noticeTexts()
	policy := call.Policy{
		Reject: call.RejectPolicy(c.Reject), Payload: call.PayloadPolicy(c.Payload), MaxDuration: time.Duration(c.MaxCallSeconds) * time.Second, Rules: c.RegionRules,
		MaxDevices:         c.MaxDevices,
		APNsVoIPExpiration: time.Duration(c.APNsVoIPExpirationSeconds) * time.Second, Escalation: c.escalation(), NoticeTexts: notices,
	}
	if problems = errors.Join(problems, policy.CheckEscalation(), err); problems != nil {
		return problems
	}
	s, err := openStore(ctx, c.database, nil)
	if err != nil {
		return err
	}
	defer s.Close()
	made, err := s.PutApp(ctx, c.ID, policy)
	if err != nil {
		return err
	}
	what := "changed"
	if made {
		what = "made"
	}
	_, err = fmt.Fprintf(io.out, "App %s %s. Next: `relay app credential %[1]s push_kit|apns KEYFILE` and `relay key create %[1]s`.\n", c.ID, what)
	return err
}

// escalation is the order of channels of each platform: the default, where none
// was given.
func (c *appPutCommand) escalation() map[call.Platform][]call.Channel {
	orders := call.DefaultEscalation()
	for platform, names := range c.Escalation {
		order := []call.Channel{}
		for name := range strings.SplitSeq(names, ",") {
			if name = strings.TrimSpace(name); name != "" {
				order = append(order, call.Channel(name))
			}
		}
		orders[call.Platform(platform)] = order
	}
	return orders
}

var goodLocale = regexp.MustCompile(`^[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8})*$`)

// noticeTexts checks what the notices of missed calls are to say.
func (c *appPutCommand) noticeTexts() (map[string]call.NoticeText, error) {
	var problems error
	texts := map[string]call.NoticeText{}
	put := func(flag, locale, text string, change func(*call.NoticeText)) {
		switch {
		case !goodLocale.MatchString(locale):
			problems = errors.Join(problems, fmt.Errorf("%s: %q is no locale, such as zh-CN or zh", flag, locale))
		case strings.TrimSpace(text) == "" || len(text) > call.MaxNoticeText:
			problems = errors.Join(problems, fmt.Errorf("%s: the text for %s must have 1 to %d bytes", flag, locale, call.MaxNoticeText))
		}
		t := texts[locale]
		change(&t)
		texts[locale] = t
	}
	for locale, text := range c.NoticeVoice {
		put("--notice-voice", locale, text, func(t *call.NoticeText) { t.Voice = text })
	}
	for locale, text := range c.NoticeVideo {
		put("--notice-video", locale, text, func(t *call.NoticeText) { t.Video = text })
	}
	return texts, problems
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
