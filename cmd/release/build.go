package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

type platform struct{ system, arch string }

type release struct {
	source, dist string
	version      string
	time         time.Time
	platforms    []platform
}

// build makes the files and returns the content of SHA256SUMS.
func (r release) build(ctx context.Context) (string, error) {
	if err := r.clear(); err != nil {
		return "", err
	}
	work, err := os.MkdirTemp("", "relay-release-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	var sums strings.Builder
	for _, p := range r.platforms {
		name := fmt.Sprintf("relay_%s_%s_%s", strings.TrimPrefix(r.version, "v"), p.system, p.arch)
		program := filepath.Join(work, name)
		if err := r.compile(ctx, p, program); err != nil {
			return "", err
		}
		archive, err := r.archive(name, program)
		if err != nil {
			return "", err
		}
		bill, err := r.bill(program)
		if err != nil {
			return "", err
		}
		for _, file := range []struct {
			name string
			data []byte
		}{{name + ".tar.gz", archive}, {name + ".cdx.json", bill}} {
			if err := os.WriteFile(filepath.Join(r.dist, file.name), file.data, 0o644); err != nil {
				return "", err
			}
			fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(file.data), file.name)
		}
	}
	return sums.String(), os.WriteFile(filepath.Join(r.dist, "SHA256SUMS"), []byte(sums.String()), 0o644)
}

// clear removes what an earlier release left, and nothing else.
func (r release) clear() error {
	if err := os.MkdirAll(r.dist, 0o755); err != nil {
		return err
	}
	for _, pattern := range []string{"relay_*.tar.gz", "relay_*.cdx.json", "SHA256SUMS"} {
		old, err := filepath.Glob(filepath.Join(r.dist, pattern))
		if err != nil {
			return err
		}
		for _, name := range old {
			if err := os.Remove(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// compile builds the program for one platform. Whatever of the environment
// would change its bytes is set here.
func (r release) compile(ctx context.Context, p platform, to string) error {
	to, err := filepath.Abs(to)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-X main.version="+r.version, "-o", to, "./cmd/relay")
	cmd.Dir = r.source
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+p.system, "GOARCH="+p.arch,
		"GOAMD64=v1", "GOARM64=v8.0", "GOEXPERIMENT=", "GOFIPS140=off", "GOFLAGS=-mod=readonly", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building for %s/%s: %w\n%s", p.system, p.arch, err, out)
	}
	return nil
}
