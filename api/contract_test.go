package api_test

import (
	"flag"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/pushwake/relay/api"
	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/push"
	"github.com/pushwake/relay/store"
)

var update = flag.Bool("update", false, "write the exchanges of TestContract into openapi.yaml as its examples")

// service is what the code is, for the document to be held against.
type service struct {
	routes    []string            // method and path
	sets      map[string][]string // the closed sets, by the name of their schema
	exchanges []exchange
}

// wrong says where a document and a service differ.
func (d *document) wrong(s service) (wrong []string) {
	wrong = slices.Concat(d.wrongRoutes(s.routes), d.wrongSets(s.sets))
	for _, e := range s.exchanges {
		wrong = append(wrong, d.judge(e)...)
	}
	return slices.Concat(wrong, d.neverSeen(s.exchanges), d.examples(s.exchanges))
}

// pages are what is served to people, and no part of the API.
var pages = []string{"GET /", "GET /docs", "GET /docs/", "GET /docs/{file}"}

// isPage reports whether a request is for a page.
func isPage(method, path string) bool {
	return slices.ContainsFunc(pages, func(page string) bool {
		before, _, isFolder := strings.Cut(page, "{")
		rest, inside := strings.CutPrefix(method+" "+path, before)
		return inside && (rest == "" || isFolder && !strings.Contains(rest, "/"))
	})
}

// wrongRoutes compares the routes with the operations.
func (d *document) wrongRoutes(served []string) (wrong []string) {
	var documented []string
	for _, op := range d.operations() {
		documented = append(documented, op.String())
	}
	for _, route := range served {
		if !slices.Contains(documented, route) && !slices.Contains(pages, route) {
			wrong = append(wrong, route+" is served and not documented")
		}
	}
	for _, route := range slices.Concat(documented, pages) {
		if !slices.Contains(served, route) {
			wrong = append(wrong, route+" is documented and not served")
		}
	}
	return wrong
}

// wrongSets compares the closed sets with the document's enums.
func (d *document) wrongSets(sets map[string][]string) (wrong []string) {
	documented := map[string][]string{}
	for name, schema := range d.spec.Components.Schemas {
		for _, v := range schema.Value.Enum {
			text, _ := v.(string)
			documented[name] = append(documented[name], text)
		}
	}
	names := maps.Clone(sets)
	maps.Copy(names, documented)
	for name := range names {
		if diff := cmp.Diff(sets[name], documented[name]); diff != "" {
			wrong = append(wrong, "the enum "+name+" (-code +document):\n"+diff)
		}
	}
	return wrong
}

// TestContract plays the whole API once and holds the document against what was
// seen: routes, sets, every exchange, that all that is documented happened, and
// that the examples are what was exchanged. Then it breaks the document and the
// service in each way and sees that it is noticed.
//
// Who adds an operation plays it in scenario and writes the new examples by
//
//	go test ./api -run TestContract -update
func TestContract(t *testing.T) {
	t.Parallel()
	g := &gate{}
	r := newRig(t, g.through(t), func(c *store.Config) { c.LockWait = time.Second })
	r.witness.kept = &recording{}
	r.scenario()
	r.sweep()
	r.outage(g)
	r.breakage()
	r.drains()
	d, err := published()
	if err != nil {
		t.Fatal(err)
	}
	s := service{routes: served(t), sets: sets(), exchanges: r.witness.kept.exchanges}
	if *update {
		text, err := d.withExamples(s.exchanges)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("../openapi.yaml", text, 0o644); err != nil {
			t.Fatal(err)
		}
		if d, err = newDocument(text); err != nil {
			t.Fatal(err)
		}
	}
	for _, wrong := range d.wrong(s) {
		t.Error(wrong)
	}
	if !t.Failed() {
		t.Run("noticed", func(t *testing.T) { notices(t, d, s) })
		t.Run("rewritten", func(t *testing.T) { rewrites(t, d, s) })
	}
}

// served lists the routes.
func served(t *testing.T) (routes []string) {
	t.Helper()
	err := chi.Walk(api.New(api.Config{}).(chi.Routes), func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		routes = append(routes, method+" "+route)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return routes
}

func texts[T ~string](set []T) []string {
	out := make([]string, len(set))
	for i, v := range set {
		out[i] = string(v)
	}
	return out
}

// sets are the closed sets of the code, by the name of their schema.
func sets() map[string][]string {
	of := map[string][]string{} // event types by what they are of
	for _, e := range call.EventTypes {
		what, _, _ := strings.Cut(string(e), ".")
		if what == "leg" {
			what = "call"
		}
		of[what] = append(of[what], string(e))
	}
	return map[string][]string{
		"CallStatus": texts(call.Statuses), "EndReason": texts(call.EndReasons), "Direction": texts(call.Directions), "Media": texts(call.AllMedia),
		"LegStatus": texts(call.LegStatuses), "Reason": texts(call.Reasons), "Channel": texts(call.Channels), "Presentation": texts(call.Presentations),
		"Platform": texts(call.Platforms), "DeviceType": texts(call.DeviceTypes), "Environment": api.Environments, "TokenName": texts(call.TokenNames), "Purpose": texts(call.Purposes),
		"TokenState": texts([]call.TokenState{call.TokenAlive, call.TokenDead, call.TokenSuspended}), "ReportEvent": texts(call.ReportEvents),
		"ReportRefusal": store.Refusals(), "ErrorReason": texts(call.ErrorReasons), "FailureCause": texts(call.FailureCauses),
		"ConfirmSource": texts(call.Sources), "FeedEnd": api.FeedEnds, "Verdict": texts(call.Verdicts), "EntryType": texts(api.EntryTypes), "EventType": of["call"], "DeviceEventType": of["device"], "WebhookEventType": of["webhook"], "EventsEnd": api.EventsEnds,
		"Area": texts([]call.Area{call.AreaMainland, call.AreaOther, call.AreaUnknown}), "EvidenceSource": texts(call.EvidenceSources),
		"SignalUse": texts([]call.SignalUse{call.UseDecided, call.UseOverruled, call.UseConflict, call.UseStale, call.UseNotCounted}),
		"Day":       texts(call.Days), "ReceiptAction": texts(call.ReceiptActions), "Vendor": texts(call.Vendors), "TokenEvidenceSource": texts(store.TokenEvidenceSources),
		"WebhookStatus": texts(store.WebhookStatuses), "DisabledReason": texts(store.DisabledReasons), "DeliveryStatus": texts(store.DeliveryStatuses),
		"Outcome": texts(push.Outcomes), "Blame": texts(call.Blames),
		"ProblemCode": texts(api.Codes),
	}
}
