package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/pushwake/relay/push/webhook"
)

type webhookListenCommand struct {
	Addr   string   `default:"127.0.0.1:0" help:"Address to listen on; port 0 takes any."`
	Secret string   `env:"RELAY_WEBHOOK_SECRET" help:"The secret of a webhook that leads here, whsec_…" placeholder:"WHSEC"`
	URL    string   `name:"url" env:"RELAY_URL" help:"A running relay, such as relay dev, at which a webhook to this machine is made, and deleted at the end." placeholder:"URL"`
	Key    string   `env:"RELAY_API_KEY" help:"The API key of the app, with --url." placeholder:"KEY"`
	Type   []string `help:"With --url: events of this type only; may be given several times."`
}

// mostDelivery is how long a delivery's body may be: larger ones are not ours.
const mostDelivery = 4 << 20

// Run listens until ctx ends.
func (c *webhookListenCommand) Run(ctx context.Context, out streams) (err error) {
	if (c.Secret == "") == (c.URL == "") || (c.URL == "") != (c.Key == "") {
		return errors.New("give --secret of a webhook that leads here, or --url and --key of a relay to make one at")
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Addr)
	if err != nil {
		return err
	}
	here := "http://" + l.Addr().String()
	receiver := &receiver{out: out.out}
	server := &http.Server{Handler: receiver, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	if c.Secret != "" {
		if receiver.secret, err = webhook.ParseSecret(c.Secret); err != nil {
			return errors.Join(err, l.Close())
		}
	} else {
		remove, registerErr := c.register(ctx, here, receiver)
		if registerErr != nil {
			return errors.Join(registerErr, l.Close())
		}
		defer func() { err = errors.Join(err, remove()) }()
	}
	go func() { served <- server.Serve(l) }()
	fmt.Fprintf(out.err, "Listening on %s; Ctrl-C ends it.\n", here)
	select {
	case err = <-served:
		return err
	case <-ctx.Done():
		return server.Close()
	}
}

// register makes a webhook that leads here at a running relay, and returns how to
// delete it.
func (c *webhookListenCommand) register(ctx context.Context, here string, r *receiver) (remove func() error, err error) {
	ask := map[string]any{"url": here, "description": "relay webhook listen"}
	if len(c.Type) > 0 {
		ask["types"] = c.Type
	}
	var made struct{ ID, Secret string }
	if err := c.ask(ctx, http.MethodPost, "/v1/webhooks", ask, &made); err != nil {
		return nil, err
	}
	if r.secret, err = webhook.ParseSecret(made.Secret); err != nil {
		return nil, err
	}
	return func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		return c.ask(ctx, http.MethodDelete, "/v1/webhooks/"+made.ID, nil, nil)
	}, nil
}

// ask asks the relay, and decodes its answer into what is not nil.
func (c *webhookListenCommand) ask(ctx context.Context, method, path string, body, into any) error {
	var sent []byte
	if body != nil {
		var err error
		if sent, err = json.Marshal(body); err != nil {
			return err
		}
	}
	r, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(c.URL, "/")+path, bytes.NewReader(sent))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+c.Key)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, bytes.TrimSpace(answer))
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(answer, into)
}

// receiver prints what arrives, a line for each delivery.
type receiver struct {
	secret []byte
	mu     sync.Mutex
	out    io.Writer
}

// ServeHTTP takes a delivery: 204 where its signature is good, 401 where not.
func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, q.Body, mostDelivery))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	verdict := "signature ok"
	if err := webhook.Verify(q.Header, body, r.secret, time.Now()); err != nil {
		verdict = "NOT VERIFIED: " + err.Error()
		http.Error(w, err.Error(), http.StatusUnauthorized)
	} else {
		w.WriteHeader(http.StatusNoContent)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(r.out, "%s  %s  %s  %s\n", time.Now().Format("15:04:05.000"), describe(body), q.Header.Get(webhook.HeaderID), verdict)
}

// describe is a delivery's body in a few words.
func describe(body []byte) string {
	var d struct {
		Type string
		Data struct {
			Seq  int `json:"call_seq"`
			Call *struct {
				ID        uuid.UUID
				Status    string
				EndReason *string `json:"end_reason"`
			}
			Device *struct {
				ID string `json:"device_id"`
			}
		}
	}
	if err := json.Unmarshal(body, &d); err != nil {
		return "not a delivery of relay"
	}
	text := fmt.Sprintf("%-18q", d.Type) // quoted, since anybody may send anything here
	text = strings.ReplaceAll(text, `"`, "")
	switch c := d.Data.Call; {
	case c != nil && c.EndReason != nil:
		return fmt.Sprintf("%s call %s #%d %q, %q", text, c.ID, d.Data.Seq, c.Status, *c.EndReason)
	case c != nil:
		return fmt.Sprintf("%s call %s #%d %q", text, c.ID, d.Data.Seq, c.Status)
	case d.Data.Device != nil:
		return fmt.Sprintf("%s device %q", text, d.Data.Device.ID)
	}
	return strings.TrimSpace(text)
}
