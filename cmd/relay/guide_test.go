package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const backendGuide = "../../docs/backend.md"

// step is a block of commands in a guide, and the answer that the guide says the
// last of them gets, in parts; nil where it says none.
type step struct {
	commands string
	answer   any
}

var fence = regexp.MustCompile("(?ms)^```(sh|json)\n(.*?)^```$")

// steps reads a guide's commands.
func steps(t *testing.T, path string) (found []step) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range fence.FindAllStringSubmatch(string(text), -1) {
		switch {
		case m[1] == "sh":
			found = append(found, step{commands: m[2]})
		case len(found) == 0 || found[len(found)-1].answer != nil:
			t.Fatalf("%s: an answer without commands:\n%s", path, m[2])
		default:
			if err := json.Unmarshal([]byte(m[2]), &found[len(found)-1].answer); err != nil {
				t.Fatalf("%s: %v:\n%s", path, err, m[2])
			}
		}
	}
	return found
}

// TestBackendGuide runs the commands of the guide against relay dev, one after
// the other in one shell as a reader would, and compares what the guide says
// that they answer.
func TestBackendGuide(t *testing.T) {
	t.Parallel()
	all, dir := steps(t, backendGuide), t.TempDir()
	if len(all) < 10 {
		t.Fatalf("%s has %d blocks of commands", backendGuide, len(all))
	}
	r := startDev(t, setting{}, "--data", dataFolder(t)).ready(t)
	// Each answer's head is kept, since the guide's commands print bodies alone.
	script := bytes.NewBufferString("set -eu\ncurl() { command curl -S --max-time 20 -D \"$(mktemp \"$STEP.head.XXXXXX\")\" \"$@\"; }\n")
	for i, s := range all {
		fmt.Fprintf(script, "STEP=%s/%d\n{\n%s} >$STEP.out\n", dir, i, s.commands)
	}
	sh := exec.CommandContext(t.Context(), "sh")
	sh.Stdin = script
	sh.Env = append(os.Environ(), "URL="+r.URL, "KEY="+r.APIKey, "DATABASE_URL="+r.DatabaseURL, "PATH="+filepath.Dir(binary)+":"+os.Getenv("PATH"))
	if out, err := sh.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for i, s := range all {
		checkStep(t, filepath.Join(dir, fmt.Sprint(i)), s)
	}
}

// checkStep compares what a step's commands got with what the guide says. An
// answer that the guide shows as a problem is one; every other is a success.
func checkStep(t *testing.T, files string, s step) {
	t.Helper()
	problem, _ := s.answer.(map[string]any)
	wanted, refused := problem["status"].(float64)
	heads, err := filepath.Glob(files + ".head.*")
	if err != nil || len(heads) < strings.Count(s.commands, "curl ") {
		t.Fatalf("%s\nanswers: %v, %v", s.commands, heads, err)
	}
	for _, name := range heads {
		head, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var got int
		if _, err := fmt.Sscanf(string(head), "HTTP/1.1 %d", &got); err != nil || refused && got != int(wanted) || !refused && got/100 != http.StatusOK/100 {
			t.Errorf("%s\ngot %.60q", s.commands, head)
		}
	}
	if s.answer == nil {
		return
	}
	out, err := os.ReadFile(files + ".out")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	var got any
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &got); err != nil {
		t.Errorf("%s\ngot %s: %v", s.commands, out, err)
	} else if !holds(s.answer, got) {
		t.Errorf("%s\ngot %s\nwant in it %v", s.commands, out, s.answer)
	}
}

// holds reports whether what a guide shows is in an answer: its fields, its
// items in their order, and its texts, of which … stands for any rest.
func holds(shown, got any) bool {
	switch shown := shown.(type) {
	case map[string]any:
		fields, ok := got.(map[string]any)
		for name, value := range shown {
			field, there := fields[name]
			ok = ok && there && holds(value, field)
		}
		return ok
	case []any:
		items, ok := got.([]any)
		for _, item := range shown {
			at := slices.IndexFunc(items, func(other any) bool { return holds(item, other) })
			if at < 0 {
				return false
			}
			items = items[at+1:]
		}
		return ok
	case string:
		text, ok := got.(string)
		if start, any := strings.CutSuffix(shown, "…"); any {
			return ok && strings.HasPrefix(text, start)
		}
		return ok && text == shown
	default:
		return shown == got
	}
}
