package introspection

import "net/http"

// jira: GET /rest/api/2/myself gives the user's bean, and 401 to anonymous callers (Jira 10.3 OpenAPI).
func jira() product {
	return product{
		path: "/rest/api/2/myself",
		user: func(_ http.Header, body []byte) (string, error) {
			u, err := bean[struct {
				Name   string `json:"name"`
				Active *bool  `json:"active"`
			}](body)
			if u.Active != nil && !*u.Active {
				return "", err
			}
			return u.Name, err
		},
	}
}
