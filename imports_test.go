package relay_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/pushwake/relay"

// mayImport is the shape of the house: each package and what of ours it may
// import. A package that is not here does not belong to the house yet.
var mayImport = map[string][]string{
	"":                        {},
	"call":                    {},
	"migrations":              {},
	"store":                   {"call", "migrations"},
	"store/localpg":           {},
	"store/storetest":         {"store", "migrations", "store/localpg"},
	"push":                    {"call", "store"},
	"push/keyfile":            {},
	"push/webhook":            {"call", "store"},
	"push/pushkit":            {"call", "push", "push/keyfile"},
	"push/pushkit/pushkitsim": {"push/simcontrol"},
	"push/apns":               {"call", "push", "push/keyfile"},
	"push/apns/apnssim":       {"push/simcontrol"},
	"push/simcontrol":         {},
	"push/devicesim":          {},
	"api":                     {"call", "store"},
	"cmd/release":             {},
	"examples/backend":        {},
	"cmd/relay": {
		"", "api", "call", "migrations", "push", "push/apns", "push/apns/apnssim", "push/devicesim", "push/keyfile", "push/pushkit", "push/pushkit/pushkitsim", "push/webhook", "store", "store/localpg",
	},
}

// fenced is which packages may import a library of others directly.
var fenced = map[string][]string{
	"github.com/go-chi/chi/v5":                 {"api", "push/apns/apnssim", "push/pushkit/pushkitsim", "push/simcontrol"},
	"github.com/golang-jwt/jwt/v5":             {"api", "push/apns", "push/apns/apnssim", "push/pushkit", "push/pushkit/pushkitsim"},
	"github.com/sideshow/apns2":                {"push/apns"},
	"golang.org/x/net":                         {"push/apns/apnssim"},
	"github.com/jackc/pgx/v5":                  {"store", "store/localpg", "store/storetest", "migrations"},
	"github.com/pressly/goose/v3":              {"migrations"},
	"github.com/alecthomas/kong":               {"cmd/relay"},
	"github.com/CycloneDX/cyclonedx-go":        {"cmd/release"},
	"github.com/sony/gobreaker/v2":             {"push"},
	"github.com/google/go-cmp":                 {},
	"github.com/swaggest/swgui":                {"api"},
	"github.com/santhosh-tekuri/jsonschema/v6": {},
	"go.yaml.in/yaml/v3":                       {},
	"pgregory.net/rapid":                       {},
	"github.com/standard-webhooks":             {},
	"github.com/getkin/kin-openapi":            {},
	"testing":                                  {"store/storetest"},
	"github.com/phuslu/iploc":                  {"call"},
	"github.com/nyaruka/phonenumbers":          {"call"},
	"database/sql":                             {"migrations"},
	"net/http":                                 {"api", "cmd/relay", "examples/backend", "push/apns", "push/apns/apnssim", "push/devicesim", "push/pushkit", "push/pushkit/pushkitsim", "push/simcontrol", "push/webhook", "store/localpg"},
	"encoding/json":                            nil, // anybody's
	"github.com/prometheus/client_golang":      {"api", "cmd/relay", "push", "push/webhook", "store"},
}

func TestImportsRunDownward(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	seen := 0
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		pkg := ours(words[0])
		allowed, known := mayImport[pkg]
		if !known {
			t.Errorf("package %q is not in the house's table", pkg)
		}
		seen++
		for _, imported := range words[1:] {
			if imported == module || strings.HasPrefix(imported, module+"/") {
				if !slices.Contains(allowed, ours(imported)) {
					t.Errorf("%q imports %q, which lies above it or beside it", pkg, ours(imported))
				}
				continue
			}
			for library, packages := range fenced {
				if packages != nil && (imported == library || strings.HasPrefix(imported, library+"/")) && !slices.Contains(packages, pkg) {
					t.Errorf("%q imports %s, which is fenced in %v", pkg, imported, packages)
				}
			}
		}
	}
	if seen != len(mayImport) {
		t.Errorf("the table names %d packages, there are %d", len(mayImport), seen)
	}
}

func ours(path string) string { return strings.TrimPrefix(strings.TrimPrefix(path, module), "/") }
