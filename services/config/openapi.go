package config

import (
	_ "embed"
	"net/http"
)

//go:embed openapi.yaml
var openAPI []byte

// getOpenAPI answers the description of this API. It is no secret, so that a tool can read it without a token.
func (a *api) getOpenAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/yaml")
	_, _ = w.Write(openAPI)
}
