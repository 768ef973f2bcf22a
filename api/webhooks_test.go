package api_test

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/pushwake/relay/api"
	"github.com/pushwake/relay/store"
)

// backendServer is a backend's endpoint, which answers with one status.
func (r *rig) backendServer(status int) string {
	r.t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		if status != http.StatusNoContent {
			_, _ = w.Write([]byte(http.StatusText(status)))
		}
	}))
	r.t.Cleanup(s.Close)
	return s.URL + "/hooks"
}

// hooks is a backend that has its events delivered.
func (r *rig) hooks() {
	const hooks = "/v1/webhooks"
	good, gone, failing := r.backendServer(http.StatusNoContent), r.backendServer(http.StatusGone), r.backendServer(http.StatusInternalServerError)
	w := hooks + "/" + r.show("some").ask(r.backend, "POST", hooks, object{"url": good, "types": []string{"call.ended", "webhook.recovered"}, "description": "calls"}).want(201).has("enabled", "status").text("id")
	g := hooks + "/" + r.ask(r.backend, "POST", hooks, object{"url": gone, "types": []string{"call.created"}}).want(201).text("id")
	f := hooks + "/" + r.ask(r.backend, "POST", hooks, object{"url": failing, "types": []string{"call.created"}}).want(201).text("id")
	a := hooks + "/" + r.show("all").ask(r.backend, "POST", hooks, object{"url": good}).want(201).has(nil, "types").text("id")
	r.ask(r.backend, "DELETE", a, nil).want(204)
	r.ask(r.backend, "DELETE", a, nil).refused(404, api.CodeNotFound)
	for _, url := range []string{"http://8.8.8.8/", "https://10.1.2.3/", "https://169.254.169.254/latest", "https://[64:ff9b::7f00:1]/", "https://2130706433/", "https://u:p@example.com/", "ftp://example.com", "https://example.com/#a", "HTTPS://example.com"} {
		r.ask(r.backend, "POST", hooks, object{"url": url}).refused(422, api.CodeInvalid).has("/url", "errors", 0, "pointer")
	}
	r.ask(r.backend, "POST", hooks, object{"url": good, "types": []string{}}).refused(422, api.CodeInvalid)
	r.ask(r.backend, "POST", hooks, object{"url": good, "types": []string{"call.rang"}}).refused(422, api.CodeInvalid)

	r.ask(r.backend, "POST", "/v1/calls", invite("u9")).want(201)
	call := r.ask(r.backend, "POST", "/v1/calls", invite("u9")).want(201).text("id")
	eventually(r.t, "the deliveries", func() bool {
		return len(r.ask(r.backend, "GET", w+"/deliveries?status=delivered", nil).want(200).get("data").([]any)) == 2
	})
	page := r.show("taken").ask(r.backend, "GET", w+"/deliveries?limit=1", nil).want(200).has(call, "data", 0, "call_id").has(204.0, "data", 0, "attempt", "status")
	id := page.text("data", 0, "id")
	r.ask(r.backend, "GET", w+"/deliveries?cursor="+page.text("next_cursor"), nil).want(200).has("call.ended", "data", 0, "type")
	r.ask(r.backend, "GET", w+"/deliveries?cursor=AAAA", nil).refused(400, api.CodeMalformed)
	eventually(r.t, "a failure", func() bool { return r.ask(r.backend, "GET", f, nil).want(200).get("failing_since") != nil })
	eventually(r.t, "the outcome", func() bool {
		return r.ask(r.backend, "GET", f+"/deliveries?limit=1", nil).want(200).get("data", 0, "attempt") != nil
	})
	r.show("waiting").ask(r.backend, "GET", f+"/deliveries?status=pending&limit=1", nil).want(200).has("pending", "data", 0, "status")
	eventually(r.t, "the end", func() bool { return r.ask(r.backend, "GET", g, nil).want(200).get("status") == "disabled" })
	r.show("gone").ask(r.backend, "GET", g, nil).want(200).has("gone", "disabled_reason")
	r.show("failing").ask(r.backend, "GET", f, nil).want(200).has("enabled", "status")
	r.show("disabled").ask(r.backend, "GET", "/v1/events?type=webhook.disabled", nil).want(200).has("gone", "data", 0, "webhook", "disabled_reason")
	for _, what := range []string{"/test", "/deliveries/" + id + "/redeliver"} {
		r.ask(r.backend, "POST", g+what, nil).refused(422, api.CodeInvalid)
	}
	r.show("moved").ask(r.backend, "PATCH", g, object{"url": good, "types": []string{"call.answered"}, "description": "moved", "status": "enabled"}).want(200).has("enabled", "status")
	r.ask(r.backend, "PATCH", g, object{"types": nil, "description": nil}).want(200).has(nil, "types").has("", "description").has(good, "url")
	r.ask(r.backend, "PATCH", g, object{"status": "disabled"}).want(200).has("disabled", "status").has(nil, "disabled_reason")
	r.ask(r.backend, "PATCH", g, object{"url": nil}).refused(422, api.CodeInvalid)
	r.ask(r.backend, "PATCH", g, object{"status": "gone"}).refused(422, api.CodeInvalid)
	r.show("three").ask(r.backend, "GET", hooks, nil).want(200).has("calls", "data", 2, "description")

	r.show("new").ask(r.backend, "POST", w+"/rotate-secret", nil).want(200)
	r.show("test").ask(r.backend, "POST", w+"/test", nil).want(202).has("webhook.test", "type")
	r.show("again").ask(r.backend, "POST", w+"/deliveries/"+id+"/redeliver", nil).want(202).has("pending", "status")
	r.show("today").ask(r.backend, "POST", w+"/replay", object{"from": time.Now().Add(-time.Hour).UTC().Format(momentLayout)}).want(202)
	r.ask(r.backend, "POST", w+"/replay", object{"from": "yesterday"}).refused(422, api.CodeInvalid)
}

// TestWebhooksOfOthers: another app's are not found, and secrets are not shown again.
func TestWebhooksOfOthers(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const hooks = "/v1/webhooks"
	made := r.ask(r.backend, "POST", hooks, object{"url": "https://example.com/hooks"}).want(201)
	w := hooks + "/" + made.text("id")
	if made.text("secret") == "" || r.ask(r.backend, "GET", w, nil).want(200).get("secret") != nil {
		t.Error("the secret is not shown once")
	}
	for _, path := range []string{w, w + "/deliveries"} {
		r.ask(r.foreign, "GET", path, nil).refused(404, api.CodeNotFound)
	}
	for _, path := range []string{w + "/rotate-secret", w + "/test", w + "/deliveries/" + made.text("id") + "/redeliver"} {
		r.ask(r.foreign, "POST", path, nil).refused(404, api.CodeNotFound)
	}
	r.ask(r.foreign, "POST", w+"/replay", object{"from": now()}).refused(404, api.CodeNotFound)
	r.ask(r.foreign, "PATCH", w, object{"description": "mine"}).refused(404, api.CodeNotFound)
	r.ask(r.foreign, "DELETE", w, nil).refused(404, api.CodeNotFound)
	if list := r.ask(r.foreign, "GET", hooks, nil).want(200).get("data").([]any); len(list) != 0 {
		t.Errorf("another app sees %v", list)
	}
}

// TestMostWebhooks: an app has no more than it may have, also where they are made
// at once.
func TestMostWebhooks(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var made sync.Map
	var all sync.WaitGroup
	for i := range store.MaxWebhooks + 5 {
		all.Go(func() {
			made.Store(i, r.ask(r.backend, "POST", "/v1/webhooks", object{"url": "https://example.com/"}).status)
		})
	}
	all.Wait()
	count := map[any]int{}
	made.Range(func(_, status any) bool { count[status]++; return true })
	if count[201] != store.MaxWebhooks || count[422] != 5 {
		t.Errorf("answers %v", count)
	}
	r.ask(r.foreign, "POST", "/v1/webhooks", object{"url": "https://example.com/"}).want(201)
}
