package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/pushwake/relay/push/apns/apnssim"
	"github.com/pushwake/relay/push/pushkit/pushkitsim"
)

type simCommand struct {
	PushKit simPushKitCommand `cmd:"" name:"push-kit" help:"Huawei's Push Kit, as its documents describe it."`
	APNs    simAPNsCommand    `cmd:"" name:"apns" help:"Apple's Push Notification service, as its documents describe it."`
}

// exposure is whether a simulator may be reached from other machines.
type exposure struct {
	Public bool `help:"Allow addresses that are not loopback ones, as a container needs. A simulator hands keys to anybody."`
}

type simPushKitCommand struct {
	logLevel
	exposure
	Addr string `default:"127.0.0.1:8091" help:"Loopback address to listen on; port 0 takes any."`
}

// Run simulates until it is told to stop.
func (c *simPushKitCommand) Run(ctx context.Context, io streams) error {
	sim := pushkitsim.New(pushkitsim.Options{Public: c.Public, Logger: slog.New(slog.NewTextHandler(io.err, &slog.HandlerOptions{Level: c.Level}))})
	url, err := sim.Start(c.Addr)
	if err != nil {
		return err
	}
	fmt.Fprintf(io.out, "Push Kit simulator: %s\nA key file for a project:  curl -X POST %[1]s/sim/projects/736430079244623999/service-accounts\nWhat it received:          curl %[1]s/sim/messages\n", url)
	<-ctx.Done()
	return sim.Close()
}

type simAPNsCommand struct {
	logLevel
	exposure
	Addr        string   `default:"127.0.0.1:8092" help:"Loopback address of production; port 0 takes any."`
	SandboxAddr string   `default:"127.0.0.1:8093" help:"Loopback address of the sandbox."`
	ControlAddr string   `default:"127.0.0.1:8094" help:"Loopback address of the control side, plain HTTP."`
	Hosts       []string `name:"host" help:"A name in the server's certificate, beside localhost." placeholder:"NAME"`
	CAFile      string   `name:"ca-file" help:"Write the certificate of its authority to this file, as relay serve --apns-ca-file reads it." placeholder:"FILE"`
}

// Run simulates until it is told to stop.
func (c *simAPNsCommand) Run(ctx context.Context, io streams) error {
	sim, err := apnssim.New(apnssim.Options{
		Public: c.Public, Hosts: c.Hosts, Logger: slog.New(slog.NewTextHandler(io.err, &slog.HandlerOptions{Level: c.Level})),
	})
	if err != nil {
		return err
	}
	if c.CAFile != "" {
		if err := os.WriteFile(c.CAFile, sim.RootPEM(), 0o644); err != nil {
			return err
		}
	}
	urls, err := sim.Start(apnssim.Addresses{Production: c.Addr, Sandbox: c.SandboxAddr, Control: c.ControlAddr})
	if err != nil {
		return err
	}
	fmt.Fprintf(io.out, `APNs simulator: %s
Sandbox:        %s
Its authority, for relay serve --apns-ca-file:  curl -o ca.pem %[3]s/sim/ca.pem
A signing key of a team:                        curl -X POST %[3]s/sim/keys -d '{"team_id": "TEAM123456"}'
What it received:                               curl %[3]s/sim/messages
`, urls.Production, urls.Sandbox, urls.Control)
	<-ctx.Done()
	return sim.Close()
}
