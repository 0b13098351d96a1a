package wire

import _ "embed"

// OpenAPI is the description of the service's HTTP API (OpenAPI 3.0, YAML), as
// served at {ApiUrl}/openapi.yaml. It is written by hand; tests hold the
// handlers against it.
//
//go:embed openapi.yaml
var OpenAPI []byte
