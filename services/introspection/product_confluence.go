package introspection

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// confluencePage is how many groups Confluence is asked for at once; its own default.
const confluencePage = 200

// confluenceGroups asks who the user is, which groups he is in, and which groups those are in (Confluence 10.0 OpenAPI).
// Whether he may still log in is said by "status" when it is expanded; a Confluence that does not say it does not let
// him log in all the same, so his own credentials end with him.
func confluenceGroups(ctx context.Context, q *query, user string) (standing, []string, *problem) {
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
	case bean.Type != "known" || !strings.EqualFold(bean.Username, user):
		return 0, nil, notAbout()
	case bean.Status != "" && bean.Status != "current" && bean.Status != "active":
		return standingInactive, nil, nil
	}
	direct, p := confluenceList(ctx, q, "/rest/api/user/memberof", url.Values{"username": {user}})
	if p != nil {
		return 0, nil, p
	}
	all := [][]string{direct}
	for _, group := range direct {
		if strings.ContainsAny(group, `/\`) {
			// Tomcat refuses such a path, and a list without those above it might lack the one that makes him read-only.
			return 0, nil, &problem{result: resultStatus, text: "the name of one of the user's groups holds a slash, so Confluence cannot be asked what it is in"}
		}
		above, p := q.ancestors(group, func() ([]string, *problem) {
			return confluenceList(ctx, q, "/rest/api/group/"+url.PathEscape(group)+"/groupancestor", url.Values{})
		})
		if p != nil {
			return 0, nil, p
		}
		all = append(all, above)
	}
	return standingActive, union(all...), nil
}

// confluenceList reads all pages of a list of groups; none of a group that is gone meanwhile.
func confluenceList(ctx context.Context, q *query, path string, values url.Values) ([]string, *problem) {
	var all []string
	for len(all) <= maxGroups {
		var page struct {
			Results []struct {
				Name string `json:"name"`
			} `json:"results"`
			Links struct {
				Next string `json:"next"`
			} `json:"_links"`
		}
		values.Set("start", strconv.Itoa(len(all)))
		values.Set("limit", strconv.Itoa(confluencePage))
		status, p := q.get(ctx, path, values, &page)
		switch {
		case p != nil:
			return nil, p
		case status == http.StatusNotFound:
			return all, nil
		case page.Results == nil || len(page.Results) == 0 && page.Links.Next != "":
			return nil, &problem{result: resultMalformed, text: "the reply is no list of groups"}
		}
		for _, g := range page.Results {
			all = append(all, g.Name)
		}
		if page.Links.Next == "" {
			break
		}
	}
	return all, nil
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
