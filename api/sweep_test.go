package api_test

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/pushwake/relay/api"
	"github.com/pushwake/relay/store"
	"github.com/pushwake/relay/store/storetest"
)

// sample is an operation with a request that it took.
type sample struct {
	operation
	exchange
	bearer string
}

// samples are the document's operations, each with the first request in the
// recording that it took. That every operation has one is asked elsewhere.
func (r *rig) samples() (all []sample) {
	r.t.Helper()
	d, err := published()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, op := range d.operations() {
		i := slices.IndexFunc(r.witness.kept.exchanges, func(e exchange) bool {
			asked, _ := d.route(e.method, e.url)
			return asked.path == op.path && asked.method == op.method && e.succeeded()
		})
		if i >= 0 {
			e := r.witness.kept.exchanges[i]
			all = append(all, sample{op, e, strings.TrimPrefix(e.sentHeader.Get("Authorization"), "Bearer ")})
		}
	}
	return all
}

// again sends a sample's request once more, for who is given.
func (r *rig) again(s sample, bearer string) answer {
	r.t.Helper()
	var body any
	if len(s.sent) > 0 {
		body = s.sent
	}
	return r.ask(bearer, s.exchange.method, s.url.RequestURI(), body, callbackHeader, s.sentHeader.Get(callbackHeader))
}

// sweep does to every operation what must be refused everywhere.
func (r *rig) sweep() {
	id := r.ask(r.backend, "POST", "/v1/calls", invite("u3")).want(201).text("id")
	wake := r.handedOver(id, secondToken)["token"].(string)
	schemes := map[string]string{"backendKey": r.backend, "adminKey": r.admin, "deviceToken": r.jwt("u3", "phone-3"), "wakeToken": wake}
	for _, s := range r.samples() {
		r.misuse(s, schemes)
		if s.exchange.method == http.MethodGet {
			r.head(s)
		}
	}
	r.otherMethods()
}

// misuse asks an operation for what it must refuse; schemes are tokens that
// are good, by the document's word for who has them.
func (r *rig) misuse(s sample, schemes map[string]string) {
	r.t.Helper()
	ask := func(bearer, uri string, body any, headers ...string) answer {
		return r.ask(bearer, s.exchange.method, uri, body, headers...)
	}
	allowed := s.allowed()
	good := ""
	if len(allowed) > 0 {
		good = schemes[allowed[0]]
	}
	if nobodys := withoutNames(s.path); nobodys != s.path {
		ask(good, nobodys, nil).refused(http.StatusNotFound, api.CodeNotFound)
	}
	if len(allowed) == 0 {
		ask("", s.url.EscapedPath()+"?cached=%zz", nil).refused(http.StatusBadRequest, api.CodeMalformed)
		ask("", s.url.EscapedPath()+"?cached=1", nil).want(s.status)
		return
	}
	path, uri, most := s.url.EscapedPath(), s.url.RequestURI(), 64<<10
	ask("", uri, nil).refused(http.StatusUnauthorized, api.CodeUnauthenticated)
	for scheme, token := range schemes {
		if !slices.Contains(allowed, scheme) {
			ask(token, uri, nil).refused(http.StatusUnauthorized, api.CodeUnauthenticated)
		}
	}
	if allowed[0] == "pushKitCallback" {
		most = 256 << 10
		ask = func(_, uri string, body any, headers ...string) answer {
			return r.ask("", s.exchange.method, uri, body, append(headers, callbackHeader, s.sentHeader.Get(callbackHeader))...)
		}
	}
	ask(good, uri, nil, "Accept", "text/html").refused(http.StatusNotAcceptable, api.CodeNotAcceptable)
	ask(good, path+"?no_such_parameter=1", nil).refused(http.StatusBadRequest, api.CodeMalformed)
	if s.exchange.method != http.MethodGet {
		ask(good, uri, strings.Repeat(" ", most+1)).refused(http.StatusRequestEntityTooLarge, api.CodeTooLarge)
		ask(good, uri, "{}", "Content-Type", "text/plain").refused(http.StatusUnsupportedMediaType, api.CodeUnsupportedMedia)
		ask(good, uri, "{}", "Content-Type", "application/json; charset=gbk").refused(http.StatusUnsupportedMediaType, api.CodeUnsupportedMedia)
		ask(good, uri, "{}", "Content-Encoding", "br").refused(http.StatusUnsupportedMediaType, api.CodeUnsupportedMedia)
		ask(good, uri, zipped(strings.Repeat(" ", most+1)), "Content-Encoding", "gzip").refused(http.StatusRequestEntityTooLarge, api.CodeTooLarge)
		ask(good, uri, zipped(`{"no_such_field": 1}`), "Content-Encoding", "gzip").refused(http.StatusUnprocessableEntity, api.CodeInvalid)
		ask(good, uri, `{"no_such_field": 1}`).refused(http.StatusUnprocessableEntity, api.CodeInvalid)
	}
}

// head asks for the headers of what GET answers with, and with a key that is not
// good.
func (r *rig) head(s sample) {
	r.t.Helper()
	get := r.again(s, s.bearer)
	a := r.ask(s.bearer, http.MethodHead, s.url.RequestURI(), nil).want(get.status)
	if got, want := a.header.Get("Content-Type"), get.header.Get("Content-Type"); got != want || len(a.body) > 0 {
		r.t.Errorf("%s: %s and %d bytes, want %s and none", a.what, got, len(a.body), want)
	}
	if len(s.allowed()) > 0 {
		r.ask("rk_unknown", http.MethodHead, s.url.RequestURI(), nil).want(http.StatusUnauthorized)
	}
}

// allowed are the ways to say who asks that the operation takes.
func (s sample) allowed() (schemes []string) {
	if s.Security == nil {
		return nil
	}
	for _, requirement := range *s.Security {
		schemes = slices.AppendSeq(schemes, maps.Keys(requirement))
	}
	return schemes
}

// withoutNames is a path with names in it that can be nobody's.
func withoutNames(path string) string {
	keys := strings.Split(path, "/")
	for i, key := range keys {
		if strings.HasPrefix(key, "{") {
			keys[i] = "%00"
		}
	}
	return strings.Join(keys, "/")
}

// otherMethods asks each path for the methods that it does not have.
func (r *rig) otherMethods() {
	uris, methods := map[string]string{}, map[string][]string{}
	for _, s := range r.samples() {
		uris[s.path], methods[s.path] = s.url.EscapedPath(), append(methods[s.path], s.exchange.method)
	}
	for path, has := range methods {
		if slices.Contains(has, http.MethodGet) {
			has = append(has, http.MethodHead)
		} else if got := r.ask(r.backend, "HEAD", uris[path], nil).want(http.StatusMethodNotAllowed).header.Get("Allow"); got != strings.Join(has, ", ") {
			r.t.Errorf("HEAD %s: Allow %q, want %q", path, got, has)
		}
		slices.Sort(has)
		for _, method := range []string{"DELETE", "GET", "PATCH", "POST", "PUT"} {
			if slices.Contains(has, method) {
				continue
			}
			a := r.ask(r.backend, method, uris[path], nil).refused(http.StatusMethodNotAllowed, api.CodeMethodNotAllowed)
			if got := a.header.Get("Allow"); got != strings.Join(has, ", ") {
				r.t.Errorf("%s: Allow %q, want %q", a.what, got, has)
			}
		}
	}
}

// outage shuts the database off, and asks everything that needs it.
func (r *rig) outage(g *gate) {
	r.fails(http.StatusServiceUnavailable, api.CodeUnavailable, func() { g.set(true) })
	g.set(false)
	eventually(r.t, "the database to be back", func() bool { return r.ask("", "GET", "/readyz", nil).status == http.StatusOK })
}

// breakage takes the tables away, which no code expects.
func (r *rig) breakage() {
	r.fails(http.StatusInternalServerError, api.CodeInternal, func() { storetest.Exec(r.t, r.db, `ALTER SCHEMA public RENAME TO elsewhere`) })
	storetest.Exec(r.t, r.db, `ALTER SCHEMA elsewhere RENAME TO public`)
}

// fails breaks something and asks every operation that documents the status:
// with a key that is known, where the operation itself fails if it needs what
// is broken, and with one that would have to be looked up, where all fail.
func (r *rig) fails(status int, code api.Code, breaks func()) {
	samples := r.samples()
	unknown := map[string]string{r.backend: r.key(app, store.BackendKey), r.admin: r.key("", store.AdminKey)}
	breaks()
	for _, s := range samples {
		if s.Responses.Status(status) == nil {
			continue
		}
		if a := r.again(s, s.bearer); a.status >= http.StatusBadRequest {
			a.refused(status, code)
		}
		if key, ok := unknown[s.bearer]; ok {
			r.again(s, key).refused(status, code)
		}
	}
}
