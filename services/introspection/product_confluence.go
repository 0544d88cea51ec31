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

// confluencePage is how many groups Confluence is asked for at once; its own default.
const confluencePage = 200

// confluenceGroups asks who the user is, which groups he is in, and which groups those are in (Confluence 10.0 OpenAPI).
// Whether he may still log in is said by "status" when it is expanded; a Confluence that does not say it does not let
// him log in all the same, so his own credentials end with him.
func confluenceGroups(ctx context.Context, q *query, user string) (standing, []string, *remote.Problem) {
	var bean struct {
		Type     string `json:"type"`
		Username string `json:"username"`
		Status   string `json:"status"`
	}
	status, p := q.get(ctx, "/rest/api/user", url.Values{"username": {user}, "expand": {"status"}}, &bean)
	switch {
	case p != nil:
		return 0, nil, p
	case status == http.StatusNotFound || bean.Type == "unknown":
		return standingUnknown, nil, nil
	case bean.Type != "known" || !names.Same(bean.Username, user):
		return 0, nil, notAbout()
	case bean.Status != "" && bean.Status != "current" && bean.Status != "active":
		return standingInactive, nil, nil
	}
	direct, listed, p := confluenceList(ctx, q, "/rest/api/user/memberof", url.Values{"username": {user}})
	switch {
	case p != nil:
		return 0, nil, p
	case !listed:
		return 0, nil, notListed()
	}
	all := [][]string{direct}
	for _, group := range direct {
		if strings.ContainsAny(group, `/\`) {
			// Tomcat refuses such a path, and a list without those above it might lack the one that makes him read-only.
			return 0, nil, &remote.Problem{Result: remote.UnexpectedStatus, Text: "the name of one of the user's groups holds a slash, so Confluence cannot be asked what it is in"}
		}
		above, p := q.ancestors(group, func() ([]string, *remote.Problem) { return confluenceAbove(ctx, q, group) })
		if p != nil {
			return 0, nil, p
		}
		all = append(all, above)
	}
	return standingActive, union(all...), nil
}

// confluenceAbove gives the groups that a group is in; none of one that is gone meanwhile. That is asked about: a 404 for
// what it is in is also the word of a Confluence that cannot be asked (it is in the REST documentation from 9.4 on).
func confluenceAbove(ctx context.Context, q *query, group string) ([]string, *remote.Problem) {
	path := "/rest/api/group/" + url.PathEscape(group)
	above, listed, p := confluenceList(ctx, q, path+"/groupancestor", url.Values{})
	if listed || p != nil {
		return above, p
	}
	var bean struct{}
	switch status, p := q.get(ctx, path, nil, &bean); {
	case p != nil:
		return nil, p
	case status != http.StatusNotFound:
		return nil, notListed()
	default:
		return nil, nil
	}
}

// notListed is a 404 where a list of groups should be.
func notListed() *remote.Problem {
	return &remote.Problem{Result: remote.UnexpectedStatus, Text: "it answers 404 for a list of groups"}
}

// confluenceList reads all pages of a list of groups. listed is false when a page was not found.
func confluenceList(ctx context.Context, q *query, path string, values url.Values) (all []string, listed bool, _ *remote.Problem) {
	for len(all) <= maxGroups {
		var page struct {
			Results []named `json:"results"`
			Links   struct {
				Next string `json:"next"`
			} `json:"_links"`
		}
		values.Set("start", strconv.Itoa(len(all)))
		values.Set("limit", strconv.Itoa(confluencePage))
		status, p := q.get(ctx, path, values, &page)
		switch {
		case p != nil:
			return nil, false, p
		case status == http.StatusNotFound:
			return nil, false, nil
		case page.Results == nil || len(page.Results) == 0 && page.Links.Next != "":
			return nil, false, noGroups()
		}
		if all, p = add(all, page.Results); p != nil {
			return nil, false, p
		}
		if page.Links.Next == "" {
			break
		}
	}
	return all, true, nil
}

// confluence: GET /rest/api/user/current gives type known with a username, or type anonymous with a 200
// (Confluence 10.0 OpenAPI).
func confluence() product {
	return product{
		path:   "/rest/api/user/current",
		groups: confluenceGroups,
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
