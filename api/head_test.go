package api_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pushwake/relay/store/storetest"
)

// TestHeadOpensNothing: what a GET would hold open, a HEAD answers at once, and
// a feed that is open goes on.
func TestHeadOpensNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ask(r.backend, "PUT", "/v1/devices/phone", phone("u2", r.token("phone"))).want(200)
	device := r.jwt("u2", "phone")
	cursor := r.ask(device, "GET", "/v1/device/calls", nil).want(200).text("cursor")
	feed := r.follow(device, "after="+cursor)
	for _, ask := range []struct{ query, accept, kind string }{
		{"", "text/event-stream", "text/event-stream"},
		{"?after=" + cursor, "text/event-stream", "text/event-stream"},
		{"?wait=25&after=" + cursor, "application/json", "application/json"},
	} {
		began := time.Now()
		a := r.ask(device, "HEAD", "/v1/device/calls"+ask.query, nil, "Accept", ask.accept).want(200)
		if took := time.Since(began); took > 10*time.Second || a.header.Get("Content-Type") != ask.kind || len(a.body) > 0 {
			t.Errorf("%s: %s after %v, with %q", a.what, a.header.Get("Content-Type"), took, a.body)
		}
	}
	id := r.ask(r.backend, "POST", "/v1/calls", invite("u2")).want(201).text("id")
	feed.next(id, "ring", "")
}

// TestHeadOfAnExport tells its headers and reads no call: that the table of calls
// is away is not noticed.
func TestHeadOfAnExport(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ask(r.backend, "GET", "/v1/calls/export", nil).want(200)
	r.ask(r.admin, "GET", "/v1/admin/calls/export", nil).want(200)
	storetest.Exec(t, r.db, `ALTER TABLE calls RENAME TO elsewhere`)
	r.ask(r.backend, "GET", "/v1/calls/export", nil).want(500)
	for path, key := range map[string]string{"/v1/calls/export": r.backend, "/v1/admin/calls/export": r.admin} {
		for format, kind := range map[string]string{"ndjson": "application/x-ndjson", "csv": "text/csv; charset=utf-8; header=present"} {
			a := r.ask(key, "HEAD", path+"?format="+format, nil).want(200)
			if got := a.header.Get("Content-Type"); got != kind || !strings.Contains(a.header.Get("Content-Disposition"), "."+format) {
				t.Errorf("%s: %v", a.what, a.header)
			}
		}
		r.ask(key, "HEAD", path+"?format=xml", nil).want(400)
	}
	storetest.Exec(t, r.db, `ALTER TABLE elsewhere RENAME TO calls`)
}

// TestHome: the page at / leads to things that are here, and loads nothing.
func TestHome(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	page := r.ask("", "GET", "/", nil).want(200)
	if kind := page.header.Get("Content-Type"); kind != "text/html; charset=utf-8" {
		t.Errorf("it is %s", kind)
	}
	for _, part := range []string{"default-src 'none'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"} {
		if policy := page.header.Get("Content-Security-Policy"); !strings.Contains(policy, part) || strings.Contains(policy, "unsafe") {
			t.Errorf("the policy is %q, without %q", policy, part)
		}
	}
	links := regexp.MustCompile(`(?:href|src)="([^"]*)"`).FindAllStringSubmatch(string(page.body), -1)
	for _, link := range links {
		r.ask("", "GET", "/"+link[1], nil).want(200)
		r.ask("", "HEAD", "/"+link[1], nil).want(200)
	}
	for _, name := range []string{"docs/", "openapi.yaml", "healthz", "readyz", "metrics"} {
		if !strings.Contains(string(page.body), `href="`+name+`"`) {
			t.Errorf("no link to %s", name)
		}
	}
	if a := r.ask("", "HEAD", "/", nil).want(http.StatusOK); len(a.body) > 0 || a.header.Get("Content-Type") != page.header.Get("Content-Type") {
		t.Errorf("HEAD: %v, %q", a.header, a.body)
	}
}
