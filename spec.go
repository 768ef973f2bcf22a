// Package relay carries the OpenAPI document, so that the service can serve the
// very file that stands at the top of the repository: an embedded file must lie
// in its package's folder.
package relay

import _ "embed"

// OpenAPI is the contract of the HTTP API, in OpenAPI 3.1.
//
//go:embed openapi.yaml
var OpenAPI []byte
