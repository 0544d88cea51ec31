package lab

import (
	"html"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

func (j *jira) userRoutes() {
	j.route("GET /rest/api/2/myself", j.myself)
	j.route("GET /rest/api/2/user", loggedIn(j.oneUser))
	j.route("GET /rest/api/2/groups/picker", j.pickGroups)
	j.route("GET /rest/api/2/group/member", loggedIn(j.groupMembers))
}

// userView is Jira's user bean; without expand=groups the group's items are empty
// though their number is given.
func userView(a account, base string, r *http.Request) map[string]any {
	items := []any{}
	if slices.Contains(strings.Split(r.FormValue("expand"), ","), "groups") {
		for _, g := range a.groups {
			items = append(items, map[string]any{"name": g, "self": base + "/rest/api/2/group?groupname=" + url.QueryEscape(g)})
		}
	}
	view := userRef(a, base)
	view["deleted"], view["locale"] = false, "en_US"
	view["lastLoginTime"] = stamp(time.Now())
	view["groups"] = map[string]any{"size": len(a.groups), "items": items}
	view["applicationRoles"] = map[string]any{"size": 1, "items": []any{}}
	view["expand"] = "groups,applicationRoles"
	return view
}

// userRef is a user inside another bean.
func userRef(a account, base string) map[string]any {
	return map[string]any{
		"self": base + "/rest/api/2/user?username=" + url.QueryEscape(a.name),
		"key":  a.key, "name": a.name, "emailAddress": a.name + "@example.com",
		"avatarUrls": map[string]string{}, "displayName": a.display, "active": a.active, "timeZone": "Etc/UTC",
	}
}

func (j *jira) myself(w http.ResponseWriter, r *http.Request, c call) {
	j.whoAmI.Add(1)
	loggedIn(func(w http.ResponseWriter, r *http.Request, c call) {
		writeJSON(w, http.StatusOK, userView(c.account, c.base, r))
	})(w, r, c)
}

func (j *jira) oneUser(w http.ResponseWriter, r *http.Request, c call) {
	name, key := r.FormValue("username"), r.FormValue("key")
	a, ok := j.users.find(name)
	if !ok {
		a, ok = j.users.findKey(key)
	}
	switch {
	case name == "" && key == "":
		jiraError(w, http.StatusBadRequest, "Either the 'username' or the 'key' query parameters need to be provided")
	case !ok:
		jiraError(w, http.StatusNotFound, "The user named '"+name+key+"' does not exist")
	default:
		writeJSON(w, http.StatusOK, userView(a, c.base, r))
	}
}

// pickGroups answers anonymous callers too, with nothing.
func (j *jira) pickGroups(w http.ResponseWriter, r *http.Request, c call) {
	var all []string
	if !c.anonymous() {
		all = j.users.groups()
	}
	if name := r.FormValue("userName"); name != "" {
		a, _ := j.users.find(name)
		all = slices.DeleteFunc(all, func(g string) bool { return !a.memberOf(g) })
	}
	text, excluded := strings.ToLower(r.FormValue("query")), r.Form["exclude"]
	all = slices.DeleteFunc(all, func(g string) bool {
		return !strings.Contains(strings.ToLower(g), text) || slices.Contains(excluded, g)
	})
	shown := all[:min(len(all), number(r, "maxResults", 20))]
	views := []any{}
	for _, g := range shown {
		views = append(views, map[string]any{"name": g, "html": html.EscapeString(g), "labels": []any{}})
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"header": "Showing " + strconv.Itoa(len(shown)) + " of " + strconv.Itoa(len(all)) + " matching groups",
		"total":  len(all), "groups": views,
	})
}

// groupMembers is for administrators.
func (j *jira) groupMembers(w http.ResponseWriter, r *http.Request, c call) {
	if !c.memberOf("jira-administrators") {
		jiraError(w, http.StatusForbidden, "You are not authorized to perform this action. Administrator privileges are required.")
		return
	}
	group := r.FormValue("groupname")
	members, known := j.users.members(group)
	if !known {
		jiraError(w, http.StatusNotFound, "The group named '"+group+"' does not exist.")
		return
	}
	if r.FormValue("includeInactiveUsers") != "true" {
		members = slices.DeleteFunc(members, func(a account) bool { return !a.active })
	}
	start, limit := number(r, "startAt", 0), number(r, "maxResults", 50)
	from := min(start, len(members))
	to := min(from+limit, len(members))
	views := []any{}
	for _, a := range members[from:to] {
		views = append(views, userRef(a, c.base))
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"self": c.base + r.URL.RequestURI(), "maxResults": limit, "startAt": start,
		"total": len(members), "isLast": to == len(members), "values": views,
	})
}
