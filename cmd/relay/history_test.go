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
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pushwake/relay/store/storetest"
)

// exportMemory is how far above its idle size a relay may grow by an export, in
// bytes.
const exportMemory = 64 << 20

// archive is a relay with a history to export.
type archive struct {
	*process
	backend caller
	idle    int64 // bytes that are resident while nothing is asked
}

func newArchive(t testing.TB, calls int) *archive {
	t.Helper()
	url := storetest.Database(t)
	s := setting{env: []string{"DATABASE_URL=" + url, "RELAY_MASTER_KEY=" + newMasterKey()}}
	s.must(t, "app", "put", "shop")
	key := strings.TrimSpace(s.must(t, "key", "create", "shop"))
	storetest.FillHistory(t, url, "shop", calls, time.Second, time.Now())
	a := &archive{}
	a.process, a.backend.url = s.serve(t)
	a.backend.key = key
	must[page](t)(want[page](t.Context(), a.backend, http.StatusOK, http.MethodGet, "/v1/calls?limit=1", nil))
	var err error
	if a.idle, _, err = a.memory(); err != nil {
		t.Fatal(err)
	}
	return a
}

// memory is how many bytes of the process are in memory, and how many were at
// most since it began; the same, where the system does not tell.
func (p *process) memory() (now, peak int64, err error) {
	pid := p.cmd.Process.Pid
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if errors.Is(err, os.ErrNotExist) { // not Linux
		out, err := exec.Command("ps", "-o", "rss=", "-p", strconv.Itoa(pid)).Output()
		if err != nil {
			return 0, 0, err
		}
		now, err = strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
		return now << 10, now << 10, err
	}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		switch name {
		case "VmRSS":
			now = kib << 10
		case "VmHWM":
			peak = kib << 10
		}
	}
	return now, max(now, peak), err
}

// open asks for an export and returns its body.
func (a *archive) open(ctx context.Context, query string) (io.ReadCloser, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, a.backend.url+"/v1/calls/export?"+query, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+a.backend.key)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, fmt.Errorf("export: %s", resp.Status)
	}
	return resp.Body, nil
}

// export reads an export to its end, and tells its lines, its bytes and how far
// the relay grew above its idle size meanwhile.
func (a *archive) export(t testing.TB, query string) (lines int, size, grown int64) {
	t.Helper()
	done := make(chan struct{})
	sampled := make(chan int64)
	go func() {
		var most int64
		for {
			_, peak, err := a.memory()
			if err != nil {
				t.Error(err)
			}
			most = max(most, peak)
			select {
			case <-done:
				sampled <- most
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	body, err := a.open(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	buffer := make([]byte, 64<<10)
	for err == nil {
		var n int
		n, err = body.Read(buffer)
		lines += bytes.Count(buffer[:n], []byte("\n"))
		size += int64(n)
	}
	if err != io.EOF {
		t.Errorf("the export was cut after %d lines: %v", lines, err)
	}
	close(done)
	return lines, size, <-sampled - a.idle
}

// TestExportMemory: an export is as small as the benchmark below proves it of a
// million calls.
func TestExportMemory(t *testing.T) {
	t.Parallel()
	const calls = 50_000
	a := newArchive(t, calls)
	for query, head := range map[string]int{"format=ndjson": 0, "format=csv": 1} {
		lines, size, grown := a.export(t, query)
		if lines != calls+head {
			t.Errorf("%s: %d lines", query, lines)
		}
		if grown > exportMemory {
			t.Errorf("%s: %.1f MiB above the idle size", query, mib(grown))
		}
		t.Logf("%s: %d calls, %.1f MiB; %.1f MiB above the idle size of %.1f MiB", query, calls, mib(size), mib(grown), mib(a.idle))
	}
}

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }

// BenchmarkExport exports a million calls from a relay in a process of its own
// and tells how far it grew above its idle size; more than 64 MiB is a failure.
func BenchmarkExport(b *testing.B) {
	const calls = 1_000_000
	a := newArchive(b, calls)
	for _, format := range []string{"ndjson", "csv"} {
		b.Run(format, func(b *testing.B) {
			for b.Loop() {
				began := time.Now()
				lines, size, grown := a.export(b, "format="+format)
				took := time.Since(began)
				if lines < calls {
					b.Errorf("%d lines", lines)
				}
				if grown > exportMemory {
					b.Errorf("%.1f MiB above the idle size", mib(grown))
				}
				b.Logf("%d calls, %.0f MiB in %s; idle %.1f MiB", calls, mib(size), took.Round(time.Millisecond), mib(a.idle))
				b.ReportMetric(calls/took.Seconds(), "calls/s")
				b.ReportMetric(mib(grown), "MiB_above_idle")
				b.ReportMetric(0, "ns/op") // an operation is a whole export
			}
		})
	}
}

// TestStopCutsExport: a process that is told to stop does not wait for an export
// without end, and its client sees that it is not whole.
func TestStopCutsExport(t *testing.T) {
	t.Parallel()
	a := newArchive(t, 20_000) // many times what the kernel keeps for a reader
	body, err := a.open(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if _, err := io.ReadFull(body, make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	a.signal(t, syscall.SIGTERM)
	if code := a.exit(t, patience); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if n, err := io.Copy(io.Discard, body); err == nil {
		t.Errorf("the export came to a clean end after %d bytes", n)
	}
	said := false
	for line := range strings.Lines(a.err.String()) {
		var entry struct {
			Route, Level string
			Status       int
			Cut          bool
		}
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Errorf("a line of the log is not JSON: %q", line)
		}
		said = said || entry.Route == "/v1/calls/export" && entry.Status == http.StatusServiceUnavailable && entry.Cut
	}
	if !said {
		t.Errorf("the log does not tell of the cut:\n%s", tail(a.err.String()))
	}
}
