package main_test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	readme        = "../../README.md"
	readmeChinese = "../../README.zh-CN.md"
)

var (
	anyFence  = regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$")
	codeSpan  = regexp.MustCompile("`[^`\n]+`")
	target    = regexp.MustCompile(`\]\(([^)]+)\)`)
	remark    = regexp.MustCompile(`(?m) +# .*$`)
	otherLink = []string{"README.md", "README.zh-CN.md"} // each links the other
)

// readmeOf is what a README says that is the same in every language: blocks of
// commands without their remarks, names set as code, and links.
type readmeOf struct {
	Commands    []string
	Code, Links map[string]bool
}

func readReadme(t *testing.T, path string) (r readmeOf) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	for _, m := range anyFence.FindAllStringSubmatch(text, -1) {
		if m[1] == "sh" || m[1] == "console" {
			r.Commands = append(r.Commands, remark.ReplaceAllString(m[2], ""))
		}
	}
	text = anyFence.ReplaceAllString(text, "")
	r.Code, r.Links = map[string]bool{}, map[string]bool{}
	for _, span := range codeSpan.FindAllString(text, -1) {
		r.Code[span] = true
	}
	for _, m := range target.FindAllStringSubmatch(text, -1) {
		if !slices.Contains(otherLink, m[1]) {
			r.Links[m[1]] = true
		}
	}
	return r
}

// TestReadmesAgree holds the Chinese README to the English one: the same
// commands in the same order, the same names, the same links, each to the other.
func TestReadmesAgree(t *testing.T) {
	t.Parallel()
	english, chinese := readReadme(t, readme), readReadme(t, readmeChinese)
	if diff := cmp.Diff(english, chinese); diff != "" {
		t.Errorf("-README.md +README.zh-CN.md:\n%s", diff)
	}
	if len(english.Commands) < 4 || len(english.Code) < 50 || len(english.Links) < 10 {
		t.Errorf("of README.md too little was found: %d blocks, %d names, %d links", len(english.Commands), len(english.Code), len(english.Links))
	}
	for path, other := range map[string]string{readme: "](README.zh-CN.md)", readmeChinese: "](README.md)"} {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if head := string(data[:min(200, len(data))]); !strings.Contains(head, other) {
			t.Errorf("the top of %s does not link the other language: %q", path, head)
		}
	}
}

// TestReadmeCommands runs the README's requests against relay dev: those of its
// blocks, and those in its text, with the call that the first one made as ID.
func TestReadmeCommands(t *testing.T) {
	t.Parallel()
	text := readReadme(t, readme)
	var requests []string
	for _, block := range text.Commands {
		block = strings.TrimPrefix(block, "$ ")
		for _, answer := range []string{"\n{", "\nevent: "} {
			block, _, _ = strings.Cut(block, answer)
		}
		block = strings.ReplaceAll(block, "=ID", "=$ID")
		if strings.HasPrefix(block, "curl ") {
			requests = append(requests, block)
		}
	}
	for _, span := range slices.Sorted(maps.Keys(text.Code)) {
		if span = strings.Trim(span, "`"); strings.HasPrefix(span, "curl ") {
			requests = append(requests, strings.ReplaceAll(span, "/ID/", "/$ID/"))
		}
	}
	if len(requests) < 5 {
		t.Fatalf("README.md has %d requests: %q", len(requests), requests)
	}
	r, dir := startDev(t, setting{}, "--data", dataFolder(t)).ready(t), t.TempDir()
	var script strings.Builder
	// A stream has no end: the call in it takes some seconds.
	script.WriteString("set -eu\ncurl() { command curl -sS --fail-with-body --max-time 12 \"$@\" || { code=$?; [ $1 = -N ] && [ $code = 28 ]; }; echo; }\n")
	for i, request := range requests {
		fmt.Fprintf(&script, "{ %s\n} >%s/%d\n", request, dir, i)
		if i == 0 {
			fmt.Fprintf(&script, "ID=$(sed 's/^{\"id\":\"\\([^\"]*\\)\".*/\\1/' %s/0)\n", dir)
		}
	}
	sh := exec.CommandContext(t.Context(), "sh")
	sh.Stdin = strings.NewReader(script.String())
	sh.Env = append(os.Environ(), "URL="+r.URL, "KEY="+r.APIKey, "PUSHKIT_SIM="+r.PushKitSim, "APNS_SIM="+r.APNsSim)
	if out, err := sh.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s\n%s", err, out, script.String())
	}
	for i, request := range requests {
		answer, err := os.ReadFile(filepath.Join(dir, fmt.Sprint(i)))
		if strings.HasPrefix(request, "curl -N ") {
			for _, told := range []string{"call.created", "call.ringing", "call.answered", "call.ended"} {
				if !strings.Contains(string(answer), "\nevent: "+told+"\ndata: {") {
					t.Errorf("%s\ntells no %s: %v, %s", request, told, err, answer)
				}
			}
		} else if err != nil || !strings.HasPrefix(string(answer), "{") {
			t.Errorf("%s\nanswered %.200q, %v", request, answer, err)
		}
	}
}
