package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestVersion builds relay in the three ways in which people do, and asks each
// program what it is.
func TestVersion(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		flags []string
		want  string
	}{
		"by the linker":      {[]string{"-ldflags", "-X main.version=v9.8.7-rc.1"}, "v9.8.7-rc.1"},
		"from the checkout":  {[]string{"-buildvcs=auto"}, checkout(t)},
		"without any source": {[]string{"-buildvcs=false"}, "unreleased"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			program := filepath.Join(t.TempDir(), "relay")
			args := append(append([]string{"build"}, c.flags...), "-o", program, ".")
			if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
				t.Fatalf("go %v: %v\n%s", args, err, out)
			}
			out, err := exec.Command(program, "version").Output()
			if err != nil {
				t.Fatal(err)
			}
			version, rest, _ := strings.Cut(strings.TrimPrefix(string(out), "relay "), ", ")
			if want := runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH + "\n"; !strings.Contains(version, c.want) || rest != want {
				t.Errorf("%q does not tell %q and %q", out, c.want, want)
			}
		})
	}
}

// checkout is what the go command puts into the version of a build: the tag, or
// the start of the revision where there is none.
func checkout(t *testing.T) string {
	t.Helper()
	if _, err := os.Stat("../../.git"); err != nil {
		return "unreleased"
	}
	if tag, err := exec.Command("git", "describe", "--tags", "--exact-match", "--match", "v*").Output(); err == nil {
		return strings.TrimSpace(string(tag))
	}
	revision, err := exec.Command("git", "rev-parse", "HEAD").Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(revision[:12])
}
