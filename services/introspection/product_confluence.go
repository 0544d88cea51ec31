package introspection

import "net/http"

// confluence: GET /rest/api/user/current gives type known with a username, or type anonymous with a 200
// (Confluence 10.0 OpenAPI).
func confluence() product {
	return product{
		path: "/rest/api/user/current",
		user: func(_ http.Header, body []byte) (string, error) {
			u, err := bean[struct {
				Type     string `json:"type"`
				Username string `json:"username"`
			}](body)
			if u.Type != "known" {
				return "", err
			}
			return u.Username, err
		},
	}
}
