package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is set by the linker: -ldflags "-X main.version=v0.1.0".
var version string

type versionCommand struct{}

// Run prints the version, the Go toolchain and the platform.
func (versionCommand) Run(io streams) error {
	_, err := fmt.Fprintf(io.out, "relay %s, %s %s/%s\n", currentVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}

// currentVersion is what the linker was told; else what the go command noted of
// the module or of the checkout, which is nothing with -buildvcs=false.
func currentVersion() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unreleased"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	return "unreleased"
}
