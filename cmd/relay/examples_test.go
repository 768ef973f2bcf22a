package main_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// example is a running backend of examples/backend.
type example struct {
	url   string
	relay readyLine
}

// startExample runs an example against a relay until the test ends.
func startExample(t *testing.T, r readyLine, command ...string) example {
	t.Helper()
	if _, err := exec.LookPath(command[0]); err != nil {
		t.Fatalf("%v; make test installs it on Debian", err)
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = "../../examples/backend"
	cmd.Env = append(os.Environ(), "URL="+r.URL, "KEY="+r.APIKey, "ADDR=127.0.0.1:0")
	var errs lines
	cmd.Stderr, cmd.WaitDelay = &errs, 5*time.Second
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil && cmd.ProcessState.ExitCode() != 0 {
			t.Errorf("%v: %v", command, err)
		}
		if text := errs.String(); text != "" {
			t.Errorf("%v wrote %s", command, text)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	url, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if err != nil || !ok {
		t.Fatalf("%v says %q, %v: %s", command, line, err, errs.String())
	}
	return example{url, r}
}

// invite is the INVITE of a SIP-like caller. It returns what the caller was
// answered; a caller that hangs up does so after the answer that it is given.
func (e example) invite(t *testing.T, callID, to, hangUpAfter string) (answers []string) {
	t.Helper()
	ctx, hangUp := context.WithTimeout(t.Context(), patience)
	defer hangUp()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url+"/invite", strings.NewReader(`{"call_id": "`+callID+`", "from": "u1", "to": "`+to+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := httpClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		line := strings.TrimPrefix(lines.Text(), "SIP/2.0 ")
		if answers = append(answers, line); line == hangUpAfter {
			return answers
		}
	}
	return answers
}

// ended waits until the call of a ref has ended, and returns why.
func (e example) ended(t *testing.T, ref string) (reason string) {
	t.Helper()
	within(t, patience, "the end of the call", func() bool {
		calls := must[struct{ Data []callView }](t)(want[struct{ Data []callView }](t.Context(), e.relay.backend(), http.StatusOK, http.MethodGet, "/v1/calls?ref="+ref, nil)).Data
		if len(calls) != 1 {
			t.Fatalf("%d calls have the ref %s", len(calls), ref)
		}
		reason = calls[0].EndReason
		return calls[0].Status == "ended"
	})
	return reason
}

// TestExamples plays SIP-like callers against each backend of the guide, as it
// stands there: one that is answered, hung up and answered by nobody, one whose
// callee has no device, and one that hangs up while it rings.
func TestExamples(t *testing.T) {
	t.Parallel()
	r := startDev(t, setting{}, "--data", dataFolder(t)).ready(t)
	inGo := filepath.Join(t.TempDir(), "backend")
	if out, err := exec.Command("go", "build", "-o", inGo, "../../examples/backend").CombinedOutput(); err != nil { // go run would not pass signals on
		t.Fatalf("%v: %s", err, out)
	}
	for name, command := range map[string][]string{"go": {inGo}, "node": {"node", "backend.mjs"}, "python": {"python3", "backend.py"}} {
		t.Run(name, func(t *testing.T) {
			e := startExample(t, r, command...)
			if got := strings.Join(e.invite(t, name+"-1", "demo-user", ""), ", "); got != "100 Trying, 180 Ringing, 200 OK" {
				t.Errorf("a call that is answered: %s", got)
			}
			resp, err := httpClient.Post(e.url+"/bye", "application/json", strings.NewReader(`{"call_id": "`+name+`-1"}`))
			if err != nil || resp.StatusCode != http.StatusOK {
				t.Errorf("BYE: %v, %v", resp, err)
			} else {
				_ = resp.Body.Close()
			}
			if reason := e.ended(t, name+"-1"); reason != "completed" {
				t.Errorf("after BYE the call ended %s", reason)
			}
			if got := strings.Join(e.invite(t, name+"-2", "nobody", ""), ", "); got != "100 Trying, 480 Temporarily Unavailable" {
				t.Errorf("a call that reaches nobody: %s", got)
			}
			if got := strings.Join(e.invite(t, name+"-3", "demo-user", "180 Ringing"), ", "); got != "100 Trying, 180 Ringing" {
				t.Errorf("a caller that hangs up: %s", got)
			}
			if reason := e.ended(t, name+"-3"); reason != "canceled" {
				t.Errorf("after the caller hung up the call ended %s", reason)
			}
			e.forged(t)
		})
	}
}

// forged sends webhooks that relay did not sign, or long ago.
func (e example) forged(t *testing.T) {
	t.Helper()
	const body = `{"type": "call.answered", "timestamp": "2026-11-27T09:00:00Z", "data": {"type": "call.answered", "call": {"ref": "x", "status": "answered"}}}`
	for _, headers := range []map[string]string{
		{},
		{"webhook-id": "1", "webhook-timestamp": "1", "webhook-signature": "v1,"},
		{"webhook-id": "1", "webhook-timestamp": "soon", "webhook-signature": "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4="},
		{"webhook-id": "1", "webhook-timestamp": fmt.Sprint(time.Now().Unix()), "webhook-signature": "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4= v1a,x"},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, e.url+"/events", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range headers {
			req.Header.Set(name, value)
		}
		resp, err := httpClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		answer, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("a webhook with %v: %d %s", headers, resp.StatusCode, answer)
		}
	}
}
