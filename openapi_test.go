package relay_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pushwake/relay"
)

// TestOpenAPI is the lint of openapi.yaml: what can be said of the document
// without the service. What it says of the service is api's TestContract.
func TestOpenAPI(t *testing.T) {
	t.Parallel()
	if err := valid(relay.OpenAPI); err != nil {
		t.Error(err)
	}
	for _, complaint := range lint(relay.OpenAPI) {
		t.Error(complaint)
	}
}

// TestOpenAPILintComplains breaks the document in each way that lint knows: a
// check that cannot fail is no check.
func TestOpenAPILintComplains(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, from, to, complaint string }{
		{"no YAML", "paths:\n", "paths\n", "yaml"},
		{"an unknown reference", "schemas/Invite'}", "schemas/Colour'}", "Colour"},
		{"a misspelt keyword", "maxLength: 256, description: The company's name.", "maxLenght: 256, description: The company's name.", "maxLenght"},
		{"an example of another type", "                    conference: false\n", "                    conference: 'no'\n", "conference"},
		{"an example without a field", "                    reachable: 1\n", "", "reachable"},
		{"a default of another type", "default: 45,", "default: long,", "default"},
		{"an older version", "openapi: 3.1.0", "openapi: 3.1.1", "not 3.1.0"},
		{"no operationId", "      operationId: createCall\n", "", "operationId"},
		{"an operationId twice", "operationId: listCalls", "operationId: createCall", "operationId"},
		{"an operationId of another form", "operationId: listCalls", "operationId: list_calls", "operationId in camelCase"},
		{"no summary", "      summary: List the app's calls\n", "", "no summary"},
		{"an unknown tag", "      tags: [calls]", "      tags: [colours]", "one of the document's tags"},
		{"nobody who may ask", "      security: [{backendKey: []}]\n", "", "who may ask"},
		{"anybody may ask", "      security: [{backendKey: []}]\n", "      security: []\n", "who may ask"},
		{"a parameter without a description", "name: status, in: query, description: What the call is now.,", "name: status, in: query,", "the parameter status has no description"},
		{"a path parameter without an example", "      example: phone-1\n", "", "device_id has no example"},
		{"a parameter of a path", "  /v1/calls/{call_id}:\n", "  /v1/calls/{call_id}:\n    parameters: [{$ref: '#/components/parameters/Limit'}]\n", "to its operations"},
		{"a header without a description", "RetryAfter: {description: Seconds., ", "RetryAfter: {", "RetryAfter has no description"},
		{"a schema without a description", "      description: Whom to call.\n", "", "the schema Callee has no description"},
		{"a field without a description", "last_seq: {type: integer, minimum: 1, description: The highest seq seen.}", "last_seq: {type: integer, minimum: 1}", "the field last_seq has no description"},
		{"an open object", "      description: A field that is wrong.\n      type: object\n      additionalProperties: false\n", "      description: x\n      type: object\n", "whether it may have other fields"},
		{"an open object of parts", "      unevaluatedProperties: false\n", "", "whether it may have other fields"},
		{"a refusal that is open", "      description: Why a request was refused (RFC 9457).\n      type: object\n      additionalProperties: false\n", "      description: x\n      type: object\n", "whether it may have other fields"},
		{"a required field that is not there", "required: [status]", "required: [state]", "state is required"},
		{"an enum in a field", "environment: {$ref: '#/components/schemas/Environment'}", "environment: {enum: [production], description: x}", "the enum of environment"},
		{"a schema that nothing uses", "    Verdict: {", "    Colour: {type: string, description: x}\n    Verdict: {", "nothing uses #/components/schemas/Colour"},
		{"an example without a name", "              examples:\n                ready: {value: {status: ready}}\n", "              example: {status: ready}\n", "has no examples"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			text := string(relay.OpenAPI)
			if !strings.Contains(text, test.from) {
				t.Fatalf("the document has no %q", test.from)
			}
			broken := []byte(strings.Replace(text, test.from, test.to, 1))
			complaints := lint(broken)
			said := func() bool {
				return slices.ContainsFunc(complaints, func(c string) bool { return strings.Contains(c, test.complaint) })
			}
			if !said() {
				complaints = append(complaints, fmt.Sprint(valid(broken)))
			}
			if !said() {
				t.Errorf("nobody complains of %q, but of %q", test.complaint, complaints)
			}
		})
	}
}
