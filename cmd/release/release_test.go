package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-cmp/cmp"
)

const when = 1795651200 // 2026-11-26T00:00:00Z

// TestRelease builds this machine's platform from two copies of the source, in
// folders of different depth: the bytes are the same, and they are what the
// checksums, the archive and the bill of materials say.
func TestRelease(t *testing.T) {
	t.Parallel()
	first, second := build(t, "a"), build(t, filepath.Join("another", "folder", "b"))
	if diff := cmp.Diff(first["SHA256SUMS"], second["SHA256SUMS"]); diff != "" {
		t.Errorf("the second build differs:\n%s", diff)
	}
	name := "relay_9.8.7_" + runtime.GOOS + "_" + runtime.GOARCH
	var sums strings.Builder
	for _, file := range []string{name + ".tar.gz", name + ".cdx.json"} {
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(first[file]), file)
	}
	if diff := cmp.Diff(sums.String(), string(first["SHA256SUMS"])); diff != "" {
		t.Errorf("SHA256SUMS (-computed +written):\n%s", diff)
	}
	program := checkArchive(t, name, first[name+".tar.gz"])
	checkBill(t, program, first[name+".cdx.json"])
}

// build builds a release from a copy of the source and returns its files.
func build(t *testing.T, folder string) map[string][]byte {
	t.Helper()
	source, dist := filepath.Join(t.TempDir(), folder), filepath.Join(t.TempDir(), folder, "dist")
	if err := copySource(source); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := run(t.Context(), []string{
		"-version", "v9.8.7", "-time", fmt.Sprint(when), "-source", source, "-out", dist, "-platforms", runtime.GOOS + "/" + runtime.GOARCH,
	}, &out); err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	entries, err := os.ReadDir(dist)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if files[e.Name()], err = os.ReadFile(filepath.Join(dist, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(out.Bytes(), files["SHA256SUMS"]) {
		t.Errorf("printed %q", out.Bytes())
	}
	return files
}

// copySource copies the module without what git or a build keeps in it.
func copySource(to string) error {
	root := os.DirFS("../..")
	return fs.WalkDir(root, ".", func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && (strings.HasPrefix(e.Name(), ".") && name != "." || name == "bin" || name == "dist"):
			return fs.SkipDir
		case e.IsDir():
			return os.MkdirAll(filepath.Join(to, name), 0o755)
		case !e.Type().IsRegular():
			return nil
		}
		data, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, name), data, 0o600)
	})
}

// checkArchive unpacks the archive, runs the program in it and returns its path.
func checkArchive(t *testing.T, folder string, data []byte) string {
	t.Helper()
	packed, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "relay")
	var names []string
	for files := tar.NewReader(packed); ; {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, strings.TrimPrefix(h.Name, folder+"/"))
		if h.ModTime.Unix() != when || h.Uid != 0 || h.Gid != 0 || h.Uname != "" || h.Gname != "" {
			t.Errorf("%s: %v, owner %d:%d", h.Name, h.ModTime, h.Uid, h.Gid)
		}
		if h.Name == folder+"/relay" {
			content, err := io.ReadAll(files)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(program, content, fs.FileMode(h.Mode)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if diff := cmp.Diff([]string{"CHANGELOG.md", "README.md", "README.zh-CN.md", "SECURITY.md", "deploy/relay.service", "relay"}, names); diff != "" {
		t.Errorf("the archive (-want +got):\n%s", diff)
	}
	if out, err := exec.Command(program, "version").Output(); err != nil || !strings.HasPrefix(string(out), "relay v9.8.7, go1.") {
		t.Errorf("relay version: %q, %v", out, err)
	}
	return program
}

// checkBill compares the bill of materials with what `go version -m` prints.
func checkBill(t *testing.T, program string, data []byte) {
	t.Helper()
	out, err := exec.Command("go", "version", "-m", program).Output()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"pkg:golang/std@" + strings.TrimPrefix(runtime.Version(), "go")}
	for line := range strings.Lines(string(out)) {
		if words := strings.Fields(line); words[0] == "dep" {
			want = append(want, "pkg:golang/"+strings.ToLower(words[1])+"@"+words[2])
		}
	}
	var bom cyclonedx.BOM
	if err := cyclonedx.NewBOMDecoder(bytes.NewReader(data), cyclonedx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range *bom.Components {
		got = append(got, c.PackageURL)
	}
	if diff := cmp.Diff(want, got); diff != "" || len(got) < 20 {
		t.Errorf("%d components (-go version -m +bill):\n%s", len(got), diff)
	}
	if m := bom.Metadata; bom.SpecVersion != cyclonedx.SpecVersion1_6 || bom.SerialNumber != "" || m.Timestamp != "2026-11-26T00:00:00Z" || m.Component.PackageURL != "pkg:golang/github.com/pushwake/relay@v9.8.7" {
		t.Errorf("%v %q %+v", bom.SpecVersion, bom.SerialNumber, m)
	}
}

// TestClear holds that an older release is removed from the folder, and what
// is not a release's is left alone.
func TestClear(t *testing.T) {
	t.Parallel()
	dist := t.TempDir()
	for _, name := range []string{"relay_0.0.9_linux_amd64.tar.gz", "relay_0.0.9_linux_amd64.cdx.json", "SHA256SUMS", "notes.txt", "relay.go"} {
		if err := os.WriteFile(filepath.Join(dist, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := (release{dist: dist}).clear(); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dist)
	if err != nil || len(entries) != 2 || entries[0].Name() != "notes.txt" || entries[1].Name() != "relay.go" {
		t.Errorf("left: %v, %v", entries, err)
	}
}

// TestArguments holds that a release is never built without a version, a time
// and platforms that are ones.
func TestArguments(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{}, {"-version", "v1"}, {"-time", "1"}, {"-version", "v1", "-time", "0"}, {"-version", "v1", "-time", "1", "-platforms", "linux"}} {
		if err := run(t.Context(), append(args, "-out", t.TempDir()), io.Discard); err == nil {
			t.Errorf("%v was taken", args)
		}
	}
}
