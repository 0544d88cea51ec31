package introspection

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/gatehouse-suite/gatehouse/shared/names"

	"github.com/gatehouse-suite/gatehouse/services/introspection/remote"
)

// bitbucketGroups asks who the user is, by the slug that Bitbucket makes of his name, and then for his groups
// (Bitbucket 9 REST: users/{slug}, admin/users/more-members).
func bitbucketGroups(ctx context.Context, q *query, user string) (standing, []string, *remote.Problem) {
	const api = "/rest/api/latest"
	var bean struct {
		Name   string `json:"name"`
		Active *bool  `json:"active"`
	}
	status, p := q.get(ctx, api+"/users/"+url.PathEscape(slug(user)), url.Values{}, &bean)
	switch {
	case p != nil:
		return 0, nil, p
	case status == http.StatusNotFound:
		return standingUnknown, nil, nil
	case bean.Active == nil || !names.Same(bean.Name, user):
		return 0, nil, notAbout()
	case !*bean.Active:
		return standingInactive, nil, nil
	}
	var all []string
	for start := 0; len(all) <= maxGroups; {
		var page struct {
			Values []named `json:"values"`
			Last   *bool   `json:"isLastPage"`
			Next   int     `json:"nextPageStart"`
		}
		status, p := q.get(ctx, api+"/admin/users/more-members", url.Values{"context": {user}, "start": {strconv.Itoa(start)}, "limit": {"1000"}}, &page)
		if p != nil {
			return 0, nil, p
		}
		if status != http.StatusOK || page.Values == nil || page.Last == nil || !*page.Last && page.Next <= start {
			return 0, nil, noGroups()
		}
		if all, p = add(all, page.Values); p != nil {
			return 0, nil, p
		}
		if *page.Last {
			break
		}
		start = page.Next
	}
	return standingActive, union(all), nil
}

// slug is what Bitbucket calls a user in its paths.
func slug(user string) string {
	return strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_' || c == '.' || c == '-' {
			return c
		}
		return '_'
	}, names.Fold(user))
}

// bitbucket has no who-am-I in REST; what it has is X-AUSERNAME on every reply to somebody it knows
// (community.developer.atlassian.com/t/24422). application-properties is small and open to everybody. A reply
// without the header is anonymous.
func bitbucket() product {
	return product{
		path:   "/rest/api/latest/application-properties",
		groups: bitbucketGroups,
		user:   func(h http.Header, _ []byte) (string, error) { return userHeader(h), nil },
	}
}
