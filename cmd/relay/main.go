// Command relay is a push-to-wake service for VoIP calls.
//
//	relay dev       everything on one machine, with simulated phones
//	relay serve     the service
//	relay migrate   bring the database's schema up to date
//	relay app       apps and their vendor credentials
//	relay key       API keys
//	relay webhook   where an app's events are delivered
//	relay doctor    check credentials, clocks, the database and the way to the vendors
//	relay sim       a vendor's simulator alone
//	relay version   what this is
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // a container has no time zones of its own

	"github.com/alecthomas/kong"
)

type cli struct {
	Dev     devCommand     `cmd:"" help:"Run everything on this machine: a private Postgres, the vendors' simulators, an app with simulated phones, the API."`
	Serve   serveCommand   `cmd:"" help:"Run the service."`
	Migrate migrateCommand `cmd:"" help:"Bring the database's schema up to date."`
	App     appCommand     `cmd:"" help:"Make apps and give them vendor credentials."`
	Key     keyCommand     `cmd:"" help:"Make, list and revoke API keys."`
	Webhook webhookCommand `cmd:"" help:"Have an app's events delivered to a URL, look at the deliveries, and receive them on this machine."`
	Doctor  doctorCommand  `cmd:"" help:"Check credentials, clocks, the database and the way to the vendors, and say what to mend."`
	Sim     simCommand     `cmd:"" help:"Run a vendor's simulator alone."`
	Version versionCommand `cmd:"" help:"Tell what this is."`

	Healthcheck healthcheckCommand `cmd:"" help:"Ask the relay of this machine whether it is well, for a container's health check."`
}

// streams are where a command writes: its result, and everything else.
type streams struct {
	out, err io.Writer
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], streams{os.Stdout, os.Stderr})
	stop()
	os.Exit(code)
}

// run carries out one command line and returns the exit code: 2 for a command
// line that is wrong, 1 for a command that failed.
func run(ctx context.Context, args []string, io streams) int {
	var commands cli
	exit := -1
	parser, err := kong.New(&commands, kong.Name("relay"), kong.Description("Push-to-wake for VoIP calls."), kong.UsageOnError(),
		kong.Writers(io.out, io.err), kong.Exit(func(code int) { exit = code }),
		kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(io))
	if err != nil {
		fmt.Fprintln(io.err, "relay:", err)
		return 1
	}
	parsed, err := parser.Parse(args)
	if exit >= 0 { // help was asked for and printed
		return exit
	}
	if err != nil {
		fmt.Fprintf(io.err, "relay: %v\nrelay: `relay --help` lists the commands.\n", err)
		return 2
	}
	if err := parsed.Run(); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(io.err, "relay:", err)
		return 1
	}
	return 0
}
