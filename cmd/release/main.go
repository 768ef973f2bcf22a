// Command release builds the files of a release: for each platform an archive
// with the program and a bill of materials, and one list of checksums.
//
//	relay_VERSION_OS_ARCH.tar.gz     the program, both READMEs, the changelog, the systemd unit
//	relay_VERSION_OS_ARCH.cdx.json   the modules in that program, as CycloneDX JSON
//	SHA256SUMS                       of all of them, for sha256sum --check
//
// The same source, version and Go toolchain give the same bytes, on whichever
// machine and in whichever folder. `make release` runs it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"
)

const platforms = "linux/amd64,linux/arm64,darwin/amd64,darwin/arm64"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// run reads the command line, builds the release and prints the checksums.
func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("release", flag.ContinueOnError)
	version := flags.String("version", "", "the version that the program tells, such as v0.1.0")
	seconds := flags.Int64("time", 0, "the time of every file in the archives, in Unix seconds; the commit's, so that it does not change from build to build")
	source := flags.String("source", ".", "the folder with go.mod")
	dist := flags.String("out", "dist", "the folder to write to; an earlier release in it is removed")
	names := flags.String("platforms", platforms, "what to build for")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *version == "" || *seconds <= 0 {
		return errors.New("-version and -time are needed; `make release` takes both from git")
	}
	r := release{source: *source, dist: *dist, version: *version, time: time.Unix(*seconds, 0).UTC()}
	for name := range strings.SplitSeq(*names, ",") {
		system, arch, ok := strings.Cut(name, "/")
		if !ok {
			return fmt.Errorf("%q is not a platform such as linux/amd64", name)
		}
		r.platforms = append(r.platforms, platform{system, arch})
	}
	sums, err := r.build(ctx)
	if err != nil {
		return err
	}
	_, err = io.WriteString(out, sums)
	return err
}
