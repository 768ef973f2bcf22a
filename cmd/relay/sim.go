package main

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/pushwake/relay/push/pushkit/pushkitsim"
)

type simCommand struct {
	PushKit simPushKitCommand `cmd:"" name:"push-kit" help:"Huawei's Push Kit, as its documents describe it."`
}

type simPushKitCommand struct {
	logLevel
	Addr string `default:"127.0.0.1:8091" help:"Loopback address to listen on; port 0 takes any."`
}

// Run simulates until it is told to stop.
func (c *simPushKitCommand) Run(ctx context.Context, io streams) error {
	sim := pushkitsim.New(pushkitsim.Options{Logger: slog.New(slog.NewTextHandler(io.err, &slog.HandlerOptions{Level: c.Level}))})
	url, err := sim.Start(c.Addr)
	if err != nil {
		return err
	}
	fmt.Fprintf(io.out, "Push Kit simulator: %s\nA key file for a project:  curl -X POST %[1]s/sim/projects/736430079244623999/service-accounts\nWhat it received:          curl %[1]s/sim/messages\n", url)
	<-ctx.Done()
	return sim.Close()
}
