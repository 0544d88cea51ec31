package introspection

import (
	"context"
	"net/http"
	"net/url"

	"github.com/gatehouse-suite/gatehouse/shared/names"

	"github.com/gatehouse-suite/gatehouse/services/introspection/remote"
)

// jiraGroups: GET /rest/api/2/user?expand=groups gives the user's bean with his groups, nested ones included, and 404 of a
// user it does not know (Jira 10.3 OpenAPI). A list that is shorter than its size is not all of them.
func jiraGroups(ctx context.Context, q *query, user string) (standing, []string, *remote.Problem) {
	var bean struct {
		Name   string `json:"name"`
		Active *bool  `json:"active"`
		Groups struct {
			Size  *int    `json:"size"`
			Items []named `json:"items"`
		} `json:"groups"`
	}
	status, p := q.get(ctx, "/rest/api/2/user", url.Values{"username": {user}, "expand": {"groups"}}, &bean)
	switch {
	case p != nil:
		return 0, nil, p
	case status == http.StatusNotFound:
		return standingUnknown, nil, nil
	case bean.Active == nil || !names.Same(bean.Name, user):
		return 0, nil, notAbout()
	case !*bean.Active:
		return standingInactive, nil, nil
	case bean.Groups.Size == nil || bean.Groups.Items == nil || *bean.Groups.Size != len(bean.Groups.Items):
		return 0, nil, &remote.Problem{Result: remote.Malformed, Text: "the reply does not list all groups of the user"}
	}
	all, p := add(nil, bean.Groups.Items)
	if p != nil {
		return 0, nil, p
	}
	return standingActive, union(all), nil
}

// jira: GET /rest/api/2/myself gives the user's bean, and 401 to anonymous callers (Jira 10.3 OpenAPI).
func jira() product {
	return product{
		path:   "/rest/api/2/myself",
		groups: jiraGroups,
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
