package main

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/pushwake/relay/push/apns"
	"github.com/pushwake/relay/push/keyfile"
	"github.com/pushwake/relay/push/webhook"
	"github.com/pushwake/relay/store"
)

// database is the address of the database, for every command that needs one.
type database struct {
	URL     string `name:"database-url" env:"DATABASE_URL" help:"The Postgres database, e.g. postgres://user@host/relay." placeholder:"URL"`
	URLFile string `name:"database-url-file" env:"DATABASE_URL_FILE" help:"A file that holds the database URL." placeholder:"FILE"`
}

func (d database) url() (string, error) {
	return secret("DATABASE_URL", "--database-url", d.URL, d.URLFile)
}

// masterKeys encrypt credentials and sign device tokens.
type masterKeys struct {
	Key  string `name:"master-key" env:"RELAY_MASTER_KEY" help:"Seals vendor credentials and signs device tokens: 32 bytes in base64. Several, separated by commas: the first seals and signs, all are accepted." placeholder:"BASE64"`
	File string `name:"master-key-file" env:"RELAY_MASTER_KEY_FILE" help:"A file that holds the master key." placeholder:"FILE"`
}

func (m masterKeys) parse() ([][]byte, error) {
	text, err := secret("RELAY_MASTER_KEY", "--master-key", m.Key, m.File)
	if err != nil {
		return nil, err
	}
	var keys [][]byte
	for i, part := range strings.Split(text, ",") {
		key, err := masterKey(part)
		if err != nil {
			return nil, fmt.Errorf("master key %d %w; `openssl rand -base64 %d` makes one", i+1, err, store.MasterKeyBytes)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// masterKey reads one key, in either alphabet of base64, with or without its
// padding. Its error completes a sentence, and quotes nothing of the key.
func masterKey(part string) ([]byte, error) {
	text, err := keyfile.Text([]byte(part))
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	wrong := fmt.Sprintf("is not %d bytes in base64", store.MasterKeyBytes)
	if name, _, found := strings.Cut(text, "="); found && name == "RELAY_MASTER_KEY" {
		return nil, errors.New(wrong + ": the variable's name is written before it")
	}
	if raw, err := hex.DecodeString(text); err == nil && len(raw) == store.MasterKeyBytes {
		return nil, errors.New(wrong + ", but in hexadecimal digits")
	}
	key, err := base64.RawStdEncoding.DecodeString(strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(text, "=")))
	if err != nil {
		return nil, errors.New(wrong)
	}
	if len(key) != store.MasterKeyBytes {
		return nil, fmt.Errorf("%s, but %d", wrong, len(key))
	}
	return key, nil
}

// secret is a value that may also lie in a file, as orchestrators mount them.
func secret(name, flag, value, file string) (string, error) {
	switch {
	case value != "" && file != "":
		return "", fmt.Errorf("%s and %s_FILE are both set; give one", name, name)
	case value != "":
		text, err := keyfile.Text([]byte(value))
		if err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
		if text == "" {
			return "", fmt.Errorf("%s is empty", name)
		}
		return text, nil
	case file != "":
		b, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("%s_FILE: %w", name, err)
		}
		text, err := keyfile.Text(b)
		if err != nil {
			return "", fmt.Errorf("%s_FILE: %s: %w", name, file, err)
		}
		if text != "" {
			return text, nil
		}
		return "", fmt.Errorf("%s_FILE: %s is empty", name, file)
	}
	return "", fmt.Errorf("%s is not set (or %s_FILE, or %s)", name, name, flag)
}

// both reads the two settings that most commands need and reports all that is
// wrong with them at once.
func both(d database, m masterKeys) (url string, keys [][]byte, err error) {
	url, urlErr := d.url()
	keys, keyErr := m.parse()
	return url, keys, errors.Join(urlErr, keyErr)
}

// vendors has the addresses of the vendors' services.
type vendors struct {
	PushKitURL     string `name:"push-kit-url" env:"RELAY_PUSH_KIT_URL" default:"https://push-api.cloud.huawei.com" help:"Where Push Kit is; a simulator's address for tests."`
	APNsURL        string `name:"apns-url" env:"RELAY_APNS_URL" default:"https://api.push.apple.com" help:"Where APNs is; port 2197 serves as well as 443. A simulator's address for tests."`
	APNsSandboxURL string `name:"apns-sandbox-url" env:"RELAY_APNS_SANDBOX_URL" default:"https://api.sandbox.push.apple.com" help:"Where the sandbox of APNs is, for devices of that environment."`
	APNsCAFile     string `name:"apns-ca-file" env:"RELAY_APNS_CA_FILE" help:"A PEM file of the authorities trusted for APNs instead of the system's, as a simulator needs it." placeholder:"FILE"`
}

// apns makes the configuration of the connections to APNs.
func (v vendors) apns() (apns.PoolsConfig, error) {
	c := apns.PoolsConfig{ProductionURL: v.APNsURL, SandboxURL: v.APNsSandboxURL}
	if v.APNsCAFile == "" {
		return c, nil
	}
	data, err := os.ReadFile(v.APNsCAFile)
	if err != nil {
		return c, fmt.Errorf("RELAY_APNS_CA_FILE: %w", err)
	}
	text, err := keyfile.Text(data)
	if err == nil && strings.Contains(text, "-----BEGIN ") {
		text, err = keyfile.PEM(text)
	}
	if err != nil {
		return c, fmt.Errorf("RELAY_APNS_CA_FILE: %s: %w", v.APNsCAFile, err)
	}
	if c.RootCAs = x509.NewCertPool(); !c.RootCAs.AppendCertsFromPEM([]byte(text)) {
		return c, fmt.Errorf("RELAY_APNS_CA_FILE: %s holds no certificate in PEM", v.APNsCAFile)
	}
	return c, nil
}

// logLevel is a level as a flag.
type logLevel struct {
	Level slog.Level `name:"log-level" env:"RELAY_LOG_LEVEL" default:"info" help:"debug, info, warn or error."`
}

// networks reads a list of networks; what names it for an error.
func networks(what string, texts []string) (all []netip.Prefix, err error) {
	for _, text := range texts {
		p, parseErr := netip.ParsePrefix(text)
		if parseErr != nil {
			err = errors.Join(err, fmt.Errorf("%s: %q is not a network such as 10.0.0.0/8", what, text))
		}
		all = append(all, p)
	}
	return all, err
}

// webhookFlags say where events may be delivered, and how often it is tried.
type webhookFlags struct {
	WebhookAllow   []string        `env:"RELAY_WEBHOOK_ALLOW" help:"Networks that webhooks may lead to although they are private, and without TLS, e.g. 10.7.0.0/16." placeholder:"CIDR"`
	WebhookRetries []time.Duration `env:"RELAY_WEBHOOK_RETRIES" default:"30s,5m,30m,2h,5h,10h,24h" help:"Pauses between the tries of a webhook's delivery, once its call is over or the first quick tries have failed; after the last one it is given up."`
}

// webhooks is what a process needs to deliver to them.
type webhooks struct {
	allow   []netip.Prefix
	retries []time.Duration // nil means the default
}

func (f webhookFlags) parse() (webhooks, error) {
	allow, err := networks("networks for webhooks", f.WebhookAllow)
	for _, pause := range f.WebhookRetries {
		if pause <= 0 {
			err = errors.Join(err, fmt.Errorf("RELAY_WEBHOOK_RETRIES: %v is no pause", pause))
		}
	}
	return webhooks{allow, f.WebhookRetries}, err
}

func (w webhooks) schedule() webhook.Schedule {
	s := webhook.DefaultSchedule
	if w.retries != nil {
		s.Late = w.retries
	}
	return s
}
