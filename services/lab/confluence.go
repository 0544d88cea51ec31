package lab

import (
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// wiki is what is behind the Confluence-shaped product.
type wiki struct {
	*Product
	pages *pages
}

func newConfluence(log *slog.Logger, contextPath string) *Product {
	k := &wiki{
		Product: newProduct(log, "confluence", contextPath, "/login.action", "confluence-users"),
		pages:   newPages(),
	}
	k.probeRoutes()
	k.patRoutes()
	k.pageRoutes("/dashboard.action")
	k.personRoutes()
	k.contentRoutes()
	k.route("GET /rest/api/space", k.listSpaces)
	k.route("GET /rest/api/space/{key}", k.oneSpace)
	k.route("GET /rest/api/accessmode", func(w http.ResponseWriter, _ *http.Request, _ call) {
		writeJSON(w, http.StatusOK, "READ_WRITE")
	})
	k.route("GET /rest/api/server-information", loggedIn(func(w http.ResponseWriter, _ *http.Request, c call) {
		writeJSON(w, http.StatusOK, map[string]any{
			"version": "10.2.19", "buildNumber": "10219", "baseUrl": c.base, "title": "Gatehouse lab",
		})
	}))
	return k.Product
}

func (k *wiki) personRoutes() {
	k.route("GET /rest/api/user/current", k.currentPerson)
	k.route("GET /rest/api/user/anonymous", func(w http.ResponseWriter, _ *http.Request, c call) {
		writeJSON(w, http.StatusOK, anonymousView(c.base))
	})
	k.route("GET /rest/api/user", k.onlyKnown(k.onePerson))
	k.route("GET /rest/api/user/memberof", k.onlyKnown(k.memberships))
	k.route("GET /rest/api/group", k.onlyKnown(k.listGroups))
	k.route("GET /rest/api/group/{name}", k.onlyKnown(k.oneGroup))
	k.route("GET /rest/api/group/{name}/groupancestor", k.onlyKnown(k.groupAncestors))
	k.route("GET /rest/api/group/{name}/member", k.onlyKnown(k.groupMembers))
}

// onlyKnown refuses anonymous callers as Confluence's user resources do: 403.
func (k *wiki) onlyKnown(answer resource) resource {
	return func(w http.ResponseWriter, r *http.Request, c call) {
		if c.anonymous() {
			confluenceError(w, http.StatusForbidden, "Not permitted to view users or groups")
			return
		}
		answer(w, r, c)
	}
}

func personView(a account, base string) map[string]any {
	key := strings.ToLower(strings.ReplaceAll(a.key, "JIRAUSER", "4028b28800000000000000000000"))
	return map[string]any{
		"type": "known", "username": a.name, "userKey": key, "displayName": a.display,
		"profilePicture": picture(),
		"_links":         map[string]any{"base": base, "context": "", "self": base + "/rest/api/user?key=" + key},
		"_expandable":    map[string]any{"status": ""},
	}
}

func picture() map[string]any {
	return map[string]any{"path": "/images/icons/profilepics/default.svg", "width": 48, "height": 48, "isDefault": true}
}

func anonymousView(base string) map[string]any {
	return map[string]any{
		"type": "anonymous", "displayName": "Anonymous", "profilePicture": picture(),
		"_links": map[string]any{"base": base, "context": "", "self": base + "/rest/api/user/anonymous"},
	}
}

// currentPerson answers anonymous callers with 200 as well.
func (k *wiki) currentPerson(w http.ResponseWriter, _ *http.Request, c call) {
	k.whoAmI.Add(1)
	if c.anonymous() {
		writeJSON(w, http.StatusOK, anonymousView(c.base))
		return
	}
	writeJSON(w, http.StatusOK, personView(c.account, c.base))
}

// person finds the user of ?username= or ?key=, or answers 404.
func (k *wiki) person(w http.ResponseWriter, r *http.Request, c call) (account, bool) {
	a, ok := k.users.find(r.FormValue("username"))
	if key := r.FormValue("key"); !ok && key != "" {
		for _, member := range k.everybody() {
			if personView(member, c.base)["userKey"] == key {
				return member, true
			}
		}
	}
	if !ok {
		confluenceError(w, http.StatusNotFound, "No user found with username : "+r.FormValue("username"))
	}
	return a, ok
}

func (k *wiki) everybody() []account {
	all, _ := k.users.members(k.users.everybody)
	return all
}

func (k *wiki) onePerson(w http.ResponseWriter, r *http.Request, c call) {
	if a, ok := k.person(w, r, c); ok {
		view := personView(a, c.base)
		if slices.Contains(strings.Split(r.FormValue("expand"), ","), "status") {
			view["status"], view["_expandable"] = "current", map[string]any{}
			if !a.active {
				view["status"] = "deactivated"
			}
		}
		writeJSON(w, http.StatusOK, view)
	}
}

func (k *wiki) memberships(w http.ResponseWriter, r *http.Request, c call) {
	if a, ok := k.person(w, r, c); ok {
		writeGroups(w, r, c, a.groups)
	}
}

func (k *wiki) listGroups(w http.ResponseWriter, r *http.Request, c call) {
	writeGroups(w, r, c, k.users.groups())
}

func groupView(name, base string) map[string]any {
	return map[string]any{
		"type": "group", "name": name,
		"_links": map[string]any{"base": base, "context": "", "self": base + "/rest/api/group/" + url.PathEscape(name)},
	}
}

// group is the one in the path, or a 404.
func (k *wiki) group(w http.ResponseWriter, r *http.Request) (string, []account, bool) {
	name := r.PathValue("name")
	members, known := k.users.members(name)
	if !known {
		confluenceError(w, http.StatusNotFound, "No group found with name : "+name)
	}
	return name, members, known
}

func (k *wiki) oneGroup(w http.ResponseWriter, r *http.Request, c call) {
	if name, _, ok := k.group(w, r); ok {
		writeJSON(w, http.StatusOK, groupView(name, c.base))
	}
}

func (k *wiki) groupAncestors(w http.ResponseWriter, r *http.Request, c call) {
	if name, _, ok := k.group(w, r); ok {
		writeGroups(w, r, c, k.users.ancestorsOf(name))
	}
}

// groupMembers is for administrators.
func (k *wiki) groupMembers(w http.ResponseWriter, r *http.Request, c call) {
	if !c.memberOf("jira-administrators") {
		confluenceError(w, http.StatusForbidden, "Only administrators may list the members of a group")
		return
	}
	_, members, ok := k.group(w, r)
	if !ok {
		return
	}
	views := []map[string]any{}
	for _, a := range members {
		views = append(views, personView(a, c.base))
	}
	writePaged(w, r, c, views, 200)
}

func writeGroups(w http.ResponseWriter, r *http.Request, c call, names []string) {
	views := []map[string]any{}
	for _, name := range names {
		views = append(views, groupView(name, c.base))
	}
	writePaged(w, r, c, views, 200)
}

// writePaged is Confluence's page of a list, by ?start= and ?limit=.
func writePaged(w http.ResponseWriter, r *http.Request, c call, views []map[string]any, limit int) {
	start, limit := number(r, "start", 0), min(number(r, "limit", limit), 1000)
	from := min(start, len(views))
	to := min(from+limit, len(views))
	links := map[string]any{"base": c.base, "context": "", "self": c.base + r.URL.RequestURI()}
	if to < len(views) && limit > 0 {
		links["next"] = pageLink(r.URL, to, limit)
	}
	if from > 0 {
		links["prev"] = pageLink(r.URL, max(0, from-limit), limit)
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"results": slices.Clone(views[from:to]), "start": start, "limit": limit, "size": to - from, "_links": links,
	})
}

func pageLink(u *url.URL, start, limit int) string {
	q := u.Query()
	q.Set("start", strconv.Itoa(start))
	q.Set("limit", strconv.Itoa(limit))
	return u.EscapedPath() + "?" + q.Encode()
}
