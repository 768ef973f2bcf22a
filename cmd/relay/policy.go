package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/pushwake/relay/call"
)

// appPutCommand changes the settings whose flags are given; a nil one is not.
type appPutCommand struct {
	database
	ID             string  `arg:"" help:"The app's id: small letters, digits, - and _."`
	Reject         *string `placeholder:"all|one" help:"What one device's rejection does: all (by default) ends the call, one leaves the other devices ringing."`
	Payload        *string `placeholder:"full|minimal" help:"What a wake says of the caller: full (by default) or minimal."`
	MaxCallSeconds *int    `placeholder:"14400" help:"When an answered call is ended, at most 86400."`
	MaxDevices     *int    `placeholder:"20" help:"To how many of a user's devices a call goes, from 1 to 100: to those heard from last."`
	RetentionDays  *int    `placeholder:"0" help:"How long calls and events are kept, from 7 to 3650 days; what is older is deleted a week at a time. 0 (by default) is for ever."`
	RegionRules    *string `placeholder:"VERSION" help:"A version of the region rules; the latest by default."`

	Escalation map[string]string `placeholder:"PLATFORM=CHANNEL,…" help:"A platform's channels in order: where an app does not confirm, a wake over the channel after its own follows. By default harmonyos=push_kit_voip,push_kit_alert and ios=apns_voip,apns_alert; with no channel, as in ios=, none follows."`

	APNsVoIPExpirationSeconds *int `name:"apns-voip-expiration-seconds" placeholder:"0" help:"How long APNs keeps a VoIP push for a phone that it does not reach at once, at most 30; 0 (by default) is one try, so that no old call rings later."`

	NoticeVoice map[string]string `name:"notice-voice" mapsep:"none" placeholder:"LOCALE=TEXT" help:"What the notice of a missed voice call says to devices of a locale, such as zh-CN or zh; may be given for several. Others get English or Chinese of relay's own."`
	NoticeVideo map[string]string `name:"notice-video" mapsep:"none" placeholder:"LOCALE=TEXT" help:"The same of a missed video call."`

	Default []string `placeholder:"SETTING,…" help:"Settings that go back to their default, before others are set: reject, payload, max_call_seconds, max_devices, retention_days, region_rules, escalation, apns_voip_expiration_seconds, notice_texts."`
}

var goodAppID = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

// Run stores the change and prints what it was.
func (c *appPutCommand) Run(ctx context.Context, io streams) error {
	change, err := c.change()
	if err != nil {
		return err
	}
	s, err := openStore(ctx, c.database, nil)
	if err != nil {
		return err
	}
	defer s.Close()
	before, after, made, err := s.ChangeApp(ctx, c.ID, change)
	if err != nil {
		return err
	}
	var text strings.Builder
	changes := changesOf(before, after)
	switch {
	case made && len(changes) == 0:
		fmt.Fprintf(&text, "App %s made, with the default policy.", c.ID)
	case made:
		fmt.Fprintf(&text, "App %s made, with the default policy but for:", c.ID)
	case len(changes) == 0:
		fmt.Fprintf(&text, "App %s is as it was:", c.ID)
		changes = settingsOf(after)
	default:
		fmt.Fprintf(&text, "App %s changed:", c.ID)
	}
	for _, line := range changes {
		text.WriteString("\n  " + line)
	}
	if made {
		fmt.Fprintf(&text, "\nNext: `relay app credential %s push_kit|apns KEYFILE` and `relay key create %[1]s`.", c.ID)
	}
	_, err = fmt.Fprintln(io.out, text.String())
	return err
}

// change checks what is given. Its error names all that is wrong.
func (c *appPutCommand) change() (change call.PolicyChange, err error) {
	var problems []error
	wrong := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	within := func(flag string, n *int, least, most int) {
		if n != nil && (*n < least || *n > most) {
			wrong("%s must be from %d to %d", flag, least, most)
		}
	}
	if !goodAppID.MatchString(c.ID) {
		wrong("%q is no id for an app: use 1 to 63 small letters, digits, - and _", c.ID)
	}
	change.Reject, change.Payload = (*call.RejectPolicy)(c.Reject), (*call.PayloadPolicy)(c.Payload)
	if r := change.Reject; r != nil && !slices.Contains(call.RejectPolicies, *r) {
		wrong("--reject must be one of %v", call.RejectPolicies)
	}
	if p := change.Payload; p != nil && !slices.Contains(call.PayloadPolicies, *p) {
		wrong("--payload must be one of %v", call.PayloadPolicies)
	}
	within("--max-call-seconds", c.MaxCallSeconds, 60, 86400)
	within("--max-devices", c.MaxDevices, 1, call.MostDevices)
	within("--apns-voip-expiration-seconds", c.APNsVoIPExpirationSeconds, 0, int(call.MaxAPNsVoIPExpiration/time.Second))
	change.MaxDuration, change.APNsVoIPExpiration = seconds(c.MaxCallSeconds), seconds(c.APNsVoIPExpirationSeconds)
	change.MaxDevices = c.MaxDevices
	if c.RetentionDays != nil && *c.RetentionDays != 0 {
		within("--retention-days", c.RetentionDays, int(call.MinRetention/day), int(call.MaxRetention/day))
	}
	change.Retention = days(c.RetentionDays)
	if change.Rules = c.RegionRules; c.RegionRules != nil {
		if _, ok := call.RulesVersion(*c.RegionRules); !ok {
			wrong("there are no region rules %q", *c.RegionRules)
		}
	}
	change.Escalation = c.escalation()
	if err := (call.Policy{Escalation: change.Escalation}).CheckEscalation(); err != nil {
		problems = append(problems, err)
	}
	if change.NoticeTexts, err = c.noticeTexts(); err != nil {
		problems = append(problems, err)
	}
	for _, name := range c.Default {
		setting := call.PolicySetting(strings.ReplaceAll(strings.TrimSpace(name), "-", "_"))
		if !slices.Contains(call.PolicySettings, setting) {
			wrong("--default: there is no setting %q; there are %v", name, call.PolicySettings)
		}
		change.ToDefault = append(change.ToDefault, setting)
	}
	return change, errors.Join(problems...)
}

func seconds(n *int) *time.Duration {
	if n == nil {
		return nil
	}
	d := time.Duration(*n) * time.Second
	return &d
}

const day = 24 * time.Hour

func days(n *int) *time.Duration {
	if n == nil {
		return nil
	}
	d := time.Duration(*n) * day
	return &d
}

// escalation is the order of channels of each platform that was given.
func (c *appPutCommand) escalation() map[call.Platform][]call.Channel {
	orders := map[call.Platform][]call.Channel{}
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

// settings is a policy as flags name it and as people read it. What is not there
// is none.
func settings(p call.Policy) map[string]string {
	all := map[string]string{
		"reject": string(p.Reject), "payload": string(p.Payload), "max-call-seconds": fmt.Sprint(int(p.MaxDuration / time.Second)),
		"max-devices": fmt.Sprint(p.MaxDevices), "retention-days": fmt.Sprint(int(p.Retention / day)), "region-rules": cmp.Or(p.Rules, "the latest"),
		"apns-voip-expiration-seconds": fmt.Sprint(int(p.APNsVoIPExpiration / time.Second)),
	}
	for platform, order := range p.Escalation {
		names := make([]string, len(order))
		for i, channel := range order {
			names[i] = string(channel)
		}
		all["escalation "+string(platform)] = strings.Join(names, ",")
	}
	for locale, text := range p.NoticeTexts {
		for kind, words := range map[string]string{"voice": text.Voice, "video": text.Video} {
			if words != "" {
				all["notice-"+kind+" "+locale] = fmt.Sprintf("%q", words)
			}
		}
	}
	return all
}

// settingsOf tells a policy, a line each.
func settingsOf(p call.Policy) (lines []string) {
	all := settings(p)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		lines = append(lines, name+": "+cmp.Or(all[name], "none"))
	}
	return lines
}

// changesOf tells what another policy has otherwise, a line each.
func changesOf(before, after call.Policy) (lines []string) {
	was, is := settings(before), settings(after)
	names := maps.Clone(was)
	maps.Copy(names, is)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if was[name] != is[name] {
			lines = append(lines, fmt.Sprintf("%s: %s → %s", name, cmp.Or(was[name], "none"), cmp.Or(is[name], "none")))
		}
	}
	return lines
}
