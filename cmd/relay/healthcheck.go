package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"
)

type healthcheckCommand struct {
	Addr  string `env:"RELAY_ADDR" default:":8080" help:"Where the relay of this machine listens."`
	URL   string `name:"url" help:"Ask this instead, such as a simulator's /sim/healthz."`
	Ready bool   `help:"Ask whether calls can be taken in, the database included, and not only whether the process runs."`
}

// Run asks once. The image has no shell or curl that could.
func (c *healthcheckCommand) Run(ctx context.Context) error {
	url := c.URL
	if url == "" {
		host, port, err := net.SplitHostPort(c.Addr)
		if err != nil {
			return fmt.Errorf("--addr: %w", err)
		}
		if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
			host = "127.0.0.1"
		}
		url = "http://" + net.JoinHostPort(host, port) + "/healthz"
		if c.Ready {
			url = "http://" + net.JoinHostPort(host, port) + "/readyz"
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, resp.Status)
	}
	return nil
}
