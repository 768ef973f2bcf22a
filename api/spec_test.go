package api_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/pushwake/relay/api"
	"github.com/pushwake/relay/call"
	"github.com/pushwake/relay/push"
	"github.com/pushwake/relay/store"
)

func TestDocumentIsValid(t *testing.T) {
	t.Parallel()
	d, err := published()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.spec.Validate(t.Context()); err != nil {
		t.Error(err)
	}
	if d.spec.OpenAPI != "3.1.0" {
		t.Errorf("version %s", d.spec.OpenAPI)
	}
	ids := map[string]string{}
	for path, item := range d.spec.Paths.Map() {
		for method, op := range item.Operations() {
			if other, taken := ids[op.OperationID]; taken || op.OperationID == "" {
				t.Errorf("%s %s: operationId %q, also of %q", method, path, op.OperationID, other)
			}
			ids[op.OperationID] = method + " " + path
			if strings.HasPrefix(path, "/v1/") && (op.Security == nil || len(*op.Security) == 0) {
				t.Errorf("%s %s: nothing says who may ask", method, path)
			}
		}
	}
}

func TestDocumentHasTheRoutes(t *testing.T) {
	t.Parallel()
	d, err := published()
	if err != nil {
		t.Fatal(err)
	}
	var documented, served []string
	for path, item := range d.spec.Paths.Map() {
		for method := range item.Operations() {
			documented = append(documented, method+" "+path)
		}
	}
	routes := api.New(api.Config{}).(chi.Routes)
	err = chi.Walk(routes, func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		served = append(served, method+" "+route)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(documented)
	slices.Sort(served)
	if diff := cmp.Diff(served, documented); diff != "" {
		t.Errorf("operations (-served +documented):\n%s", diff)
	}
}

func texts[T ~string](set []T) []string {
	out := make([]string, len(set))
	for i, v := range set {
		out[i] = string(v)
	}
	return out
}

func TestDocumentHasTheSets(t *testing.T) {
	t.Parallel()
	d, err := published()
	if err != nil {
		t.Fatal(err)
	}
	ofCalls := slices.DeleteFunc(slices.Clone(call.EventTypes), func(e call.EventType) bool { return strings.HasPrefix(string(e), "device.") })
	sets := map[string][]string{
		"CallStatus": texts(call.Statuses), "EndReason": texts(call.EndReasons), "Direction": texts(call.Directions), "Media": texts(call.AllMedia),
		"LegStatus": texts(call.LegStatuses), "Reason": texts(call.Reasons), "Channel": texts(call.Channels), "Presentation": texts(call.Presentations),
		"Platform": texts(call.Platforms), "DeviceType": texts(call.DeviceTypes), "TokenName": texts(call.TokenNames),
		"TokenState": {string(call.TokenAlive), string(call.TokenDead), string(call.TokenSuspended)}, "ReportEvent": texts(call.ReportEvents),
		"ErrorReason": texts(call.ErrorReasons), "FailureCause": texts(call.FailureCauses), "ConfirmSource": texts(call.Sources), "Verdict": texts(call.Verdicts),
		"EventType": texts(ofCalls), "Area": texts([]call.Area{call.AreaMainland, call.AreaOther, call.AreaUnknown}), "EvidenceSource": texts(call.EvidenceSources),
		"SignalUse": texts([]call.SignalUse{call.UseDecided, call.UseOverruled, call.UseConflict, call.UseStale, call.UseNotCounted}),
		"Outcome":   texts(push.Outcomes), "Blame": texts([]push.Blame{push.BlameNone, push.BlameDevice, push.BlameVendor, push.BlameUs}),
		"ProblemCode": texts(api.Codes), "ReportRefusal": store.Refusals(), "EntryType": texts(api.EntryTypes), "Environment": api.Environments,
	}
	for name, schema := range d.spec.Components.Schemas {
		if len(schema.Value.Enum) == 0 {
			continue
		}
		var documented []string
		for _, v := range schema.Value.Enum {
			documented = append(documented, v.(string))
		}
		if diff := cmp.Diff(sets[name], documented); diff != "" {
			t.Errorf("%s (-code +document):\n%s", name, diff)
		}
		delete(sets, name)
	}
	for name := range sets {
		t.Errorf("the document has no enum %s", name)
	}
}
