package lab

import (
	"log/slog"
	"net/http"
	"time"
)

// jira is what is behind the Jira-shaped product.
type jira struct {
	*Product
	issues *issues
}

func newJira(log *slog.Logger, contextPath string) *Product {
	j := &jira{
		Product: newProduct(log, "jira", contextPath, "/login.jsp", "jira-users"),
		issues:  newIssues(),
	}
	j.probeRoutes()
	j.patRoutes()
	j.pageRoutes("/secure/Dashboard.jspa")
	j.sessionRoutes()
	j.userRoutes()
	j.issueRoutes()
	j.attachmentRoutes()
	j.route("GET /rest/api/2/serverInfo", j.serverInfo)
	j.route("GET /rest/api/2/project", j.listProjects)
	j.route("GET /rest/api/2/project/{key}", j.oneProject)
	j.route("GET /rest/api/2/field", listFields)
	j.route("GET /rest/api/2/priority", listPriorities)
	j.route("GET /rest/api/2/issuetype", listIssueTypes)
	return j.Product
}

// serverInfo needs no user.
func (j *jira) serverInfo(w http.ResponseWriter, _ *http.Request, c call) {
	writeJSON(w, http.StatusOK, map[string]any{
		"baseUrl": c.base, "version": "10.3.24", "versionNumbers": []int{10, 3, 24},
		"deploymentType": "Server", "buildNumber": 10030024, "buildDate": "2026-06-01T00:00:00.000+0000",
		"databaseBuildNumber": 10030024, "serverTime": stamp(time.Now()),
		"scmInfo": "0000000000000000000000000000000000000000", "serverTitle": "Gatehouse lab",
	})
}

// project is one of two: LAB needs a login to be seen, OPEN does not.
type project struct {
	id, key, name string
	public        bool
}

func projects() []project {
	return []project{
		{id: "10000", key: "LAB", name: "Laboratory"},
		{id: "10001", key: "OPEN", name: "Open to everybody", public: true},
	}
}

// projectOf finds by key or id what the caller may see.
func projectOf(keyOrID string, c call) (project, bool) {
	for _, p := range projects() {
		if (p.key == keyOrID || p.id == keyOrID) && (p.public || !c.anonymous()) {
			return p, true
		}
	}
	return project{}, false
}

func projectView(p project, base string) map[string]any {
	return map[string]any{
		"self": base + "/rest/api/2/project/" + p.id, "id": p.id, "key": p.key, "name": p.name,
		"projectTypeKey": "software", "avatarUrls": map[string]string{},
	}
}

func (j *jira) listProjects(w http.ResponseWriter, _ *http.Request, c call) {
	views := []any{}
	for _, p := range projects() {
		if p.public || !c.anonymous() {
			views = append(views, projectView(p, c.base))
		}
	}
	writeJSON(w, http.StatusOK, views)
}

func (j *jira) oneProject(w http.ResponseWriter, r *http.Request, c call) {
	key := r.PathValue("key")
	p, ok := projectOf(key, c)
	if !ok {
		jiraError(w, http.StatusNotFound, "No project could be found with key '"+key+"'.")
		return
	}
	view := projectView(p, c.base)
	view["expand"] = "description,lead,url,projectKeys"
	view["description"] = ""
	view["components"], view["versions"] = []any{}, []any{}
	view["issueTypes"] = issueTypes(c.base)
	writeJSON(w, http.StatusOK, view)
}

func listFields(w http.ResponseWriter, _ *http.Request, _ call) {
	types := []struct{ id, name, kind string }{
		{"summary", "Summary", "string"},
		{"description", "Description", "string"},
		{"issuetype", "Issue Type", "issuetype"},
		{"project", "Project", "project"},
		{"status", "Status", "status"},
		{"priority", "Priority", "priority"},
		{"reporter", "Reporter", "user"},
		{"assignee", "Assignee", "user"},
		{"labels", "Labels", "array"},
		{"created", "Created", "datetime"},
		{"updated", "Updated", "datetime"},
	}
	views := make([]any, len(types))
	for i, t := range types {
		views[i] = map[string]any{
			"id": t.id, "name": t.name, "custom": false, "orderable": true, "navigable": true, "searchable": true,
			"clauseNames": []string{t.id}, "schema": map[string]string{"type": t.kind, "system": t.id},
		}
	}
	writeJSON(w, http.StatusOK, views)
}

func priority(base string) map[string]any {
	return map[string]any{"self": base + "/rest/api/2/priority/3", "id": "3", "name": "Medium", "iconUrl": "", "statusColor": "#ea7d24"}
}

func listPriorities(w http.ResponseWriter, _ *http.Request, c call) {
	writeJSON(w, http.StatusOK, []any{priority(c.base)})
}

func issueTypes(base string) []map[string]any {
	views := []map[string]any{}
	for _, t := range []struct{ id, name string }{{"10001", "Task"}, {"10002", "Bug"}, {"10003", "Story"}} {
		views = append(views, map[string]any{
			"self": base + "/rest/api/2/issuetype/" + t.id, "id": t.id, "name": t.name,
			"description": "", "iconUrl": "", "subtask": false,
		})
	}
	return views
}

func listIssueTypes(w http.ResponseWriter, _ *http.Request, c call) {
	writeJSON(w, http.StatusOK, issueTypes(c.base))
}
