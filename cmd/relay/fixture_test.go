package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pushwake/relay/store/storetest"
)

// patience bounds what takes far less on an idle machine.
const patience = 30 * time.Second

var binary string // the program under test

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "relay-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "relay")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building relay: %v\n%s", err, out)
		return 1
	}
	return storetest.Run(m)
}

// lines collects what a process writes.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// process is a running relay.
type process struct {
	cmd      *exec.Cmd
	out, err lines
	done     chan struct{}
}

// setting is how a process is started.
type setting struct {
	dir string   // working folder; "" is the test's
	env []string // in addition to what every process needs
}

// start starts relay; it is ended with the test.
func (s setting) start(t testing.TB, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(binary, args...), done: make(chan struct{})}
	p.cmd.Dir = s.dir
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "RELAY_") && !strings.HasPrefix(kv, "DATABASE_URL") {
			p.cmd.Env = append(p.cmd.Env, kv)
		}
	}
	p.cmd.Env = append(p.cmd.Env, s.env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.err
	p.cmd.WaitDelay = 5 * time.Second // for what a child of its keeps open
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // ProcessState tells
		close(p.done)
	}()
	t.Cleanup(func() {
		p.signal(t, syscall.SIGTERM)
		select {
		case <-p.done:
		case <-time.After(patience):
			t.Errorf("relay %s did not end", strings.Join(args, " "))
			p.signal(t, syscall.SIGKILL)
			<-p.done
		}
		if t.Failed() {
			t.Logf("relay %s wrote:\n%s%s", strings.Join(args, " "), tail(p.out.String()), tail(p.err.String()))
		}
	})
	return p
}

func tail(s string) string { return s[max(0, len(s)-4000):] }

func (p *process) signal(t testing.TB, sig os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Error(err)
	}
}

// kill ends the process without a chance to say goodbye.
func (p *process) kill(t testing.TB) {
	t.Helper()
	p.signal(t, syscall.SIGKILL)
	<-p.done
}

// exit waits for the process's end and returns its exit code.
func (p *process) exit(t testing.TB, within time.Duration) int {
	t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(within):
		t.Fatalf("relay did not end within %v:\n%s", within, tail(p.err.String()))
		return -1
	}
}

// run runs a command to its end.
func (s setting) run(t testing.TB, args ...string) (code int, out, err string) {
	t.Helper()
	p := s.start(t, args...)
	code = p.exit(t, patience)
	return code, p.out.String(), p.err.String()
}

// must runs a command that must work and returns what it printed.
func (s setting) must(t testing.TB, args ...string) string {
	t.Helper()
	code, out, err := s.run(t, args...)
	if code != 0 {
		t.Fatalf("relay %s: exit code %d: %s", strings.Join(args, " "), code, err)
	}
	return out
}

// line waits for a complete line that find accepts.
func (p *process) line(t testing.TB, from *lines, find func(string) bool) {
	t.Helper()
	within(t, patience, "a line of output", func() bool {
		text := from.String()
		for text != "" {
			one, rest, whole := strings.Cut(text, "\n")
			if whole && find(one) {
				return true
			}
			text = rest
		}
		select {
		case <-p.done:
			t.Fatalf("relay ended with exit code %d:\n%s", p.cmd.ProcessState.ExitCode(), tail(p.err.String()))
		default:
		}
		return false
	})
}

// within polls until what is true holds.
func within(t testing.TB, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !holds(); {
		if time.Now().After(end) {
			t.Fatalf("waited %v in vain for %s", limit, what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// caller asks a relay over HTTP as one principal.
type caller struct {
	url, key string
}

var httpClient = &http.Client{
	Timeout:   20 * time.Second,
	Transport: &http.Transport{MaxIdleConnsPerHost: 128},
}

// ask sends a request and reads the whole answer. Header fields come as pairs.
func (c caller) ask(ctx context.Context, method, path string, body any, header ...string) (status int, answer []byte, err error) {
	var content io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return 0, nil, err
		}
		content = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(ctx, method, c.url+path, content)
	if err != nil {
		return 0, nil, err
	}
	if c.key != "" {
		r.Header.Set("Authorization", "Bearer "+c.key)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := httpClient.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(resp.Body)
	return resp.StatusCode, answer, err
}

// want asks for an answer of one status and decodes it; it may be used in any
// goroutine.
func want[T any](ctx context.Context, c caller, status int, method, path string, body any, header ...string) (v T, err error) {
	got, answer, err := c.ask(ctx, method, path, body, header...)
	if err != nil {
		return v, err
	}
	if got != status {
		return v, fmt.Errorf("%s %s: HTTP %d, want %d: %s", method, path, got, status, answer)
	}
	if len(answer) > 0 {
		err = json.Unmarshal(answer, &v)
	}
	return v, err
}

// must is the value of a call that must work, in the test's own goroutine.
func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// callView is what the tests look at of a call.
type callView struct {
	ID         string     `json:"id"`
	AppID      string     `json:"app_id"`
	Status     string     `json:"status"`
	EndReason  string     `json:"end_reason"`
	ExpiresAt  time.Time  `json:"expires_at"`
	EndedAt    *time.Time `json:"ended_at"`
	AnsweredBy string     `json:"answered_by"`
	Reachable  int        `json:"reachable"`
	Legs       []legView  `json:"legs"`
}

type legView struct {
	DeviceID string `json:"device_id"`
	Channel  string `json:"channel"`
	Status   string `json:"status"`
	Reason   string `json:"reason"`
}

func (c callView) leg(device string) legView {
	for _, l := range c.Legs {
		if l.DeviceID == device {
			return l
		}
	}
	return legView{}
}

type page struct {
	Data       []callView `json:"data"`
	NextCursor *string    `json:"next_cursor"`
}

// invitation is the body of an invite.
func invitation(callee string, ring int, ref string) map[string]any {
	return map[string]any{
		"ref": ref, "caller": map[string]any{"user_id": "u1", "name": "Li Na"}, "callee": map[string]any{"user_id": callee}, "media": "video", "ring_timeout_seconds": ring,
	}
}
