package introspection

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/names"

	"github.com/gatehouse-suite/gatehouse/services/introspection/remote"
)

// crowdPage is how many groups Crowd is asked for at once.
const crowdPage = 1000

// newCrowd makes ready a Crowd, as if it were a product of one node. The site's application is a client of it.
func newCrowd(c *configlog.Site, r revisions, s Settings) *upstream {
	u := &upstream{site: c.ID, revision: r.of(sourceCrowd, c.Directory.URL), gate: remote.NewGate(s.Concurrency), rest: s.NodeRest}
	u.nodes = []*node{{id: sourceCrowd, base: strings.TrimSuffix(c.Directory.URL, "/")}}
	return u
}

// crowdGroups asks Crowd's user management: first whether there is such a user, because of one it does not know it may
// say that he is in no group; then for all groups, nested ones included.
func crowdGroups(ctx context.Context, q *query, user string) (standing, []string, *remote.Problem) {
	const api = "/rest/usermanagement/1/user"
	var bean struct {
		Name   string `json:"name"`
		Active *bool  `json:"active"`
		Reason string `json:"reason"`
	}
	status, p := q.get(ctx, api, url.Values{"username": {user}}, &bean)
	switch {
	case p != nil:
		return 0, nil, p
	case status == http.StatusNotFound && bean.Reason == "USER_NOT_FOUND":
		return standingUnknown, nil, nil
	case status != http.StatusOK || bean.Active == nil || !names.Same(bean.Name, user):
		return 0, nil, notAbout()
	case !*bean.Active:
		return standingInactive, nil, nil
	}
	var all []string
	for len(all) <= maxGroups {
		var page struct {
			Groups []named `json:"groups"`
		}
		values := url.Values{"username": {user}, "start-index": {strconv.Itoa(len(all))}, "max-results": {strconv.Itoa(crowdPage)}}
		status, p := q.get(ctx, api+"/group/nested", values, &page)
		if p != nil {
			return 0, nil, p
		}
		if status != http.StatusOK || page.Groups == nil {
			return 0, nil, noGroups()
		}
		if len(page.Groups) == 0 { // a short page need not be the last: a server may give fewer than it was asked for
			break
		}
		if all, p = add(all, page.Groups); p != nil {
			return 0, nil, p
		}
	}
	return standingActive, union(all), nil
}

// notAbout is a reply of the right form that is not about what was asked.
func notAbout() *remote.Problem {
	return &remote.Problem{Result: remote.Malformed, Text: "the reply is not about the user who was asked about"}
}
