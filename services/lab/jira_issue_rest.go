package lab

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const statusName = "To Do"

func (j *jira) issueRoutes() {
	j.route("GET /rest/api/2/search", j.searchByGet)
	j.route("POST /rest/api/2/search", j.searchByPost)
	j.route("POST /rest/api/2/issue", loggedIn(j.createIssue))
	j.route("GET /rest/api/2/issue/{key}", j.onIssue(j.readIssue))
	j.route("PUT /rest/api/2/issue/{key}", loggedIn(j.onIssue(j.editIssue)))
	j.route("DELETE /rest/api/2/issue/{key}", loggedIn(j.onIssue(j.deleteIssue)))
	j.route("GET /rest/api/2/issue/{key}/comment", j.onIssue(j.listComments))
	j.route("POST /rest/api/2/issue/{key}/comment", loggedIn(j.onIssue(j.addComment)))
}

type issueResource func(w http.ResponseWriter, r *http.Request, c call, i issue)

// onIssue finds the issue of the path, or answers as Jira does.
func (j *jira) onIssue(answer issueResource) resource {
	return func(w http.ResponseWriter, r *http.Request, c call) {
		i, ok := j.issues.find(r.PathValue("key"), c)
		switch {
		case ok:
			answer(w, r, c, i)
		case c.anonymous():
			unauthorized(w, c.base)
			jiraError(w, http.StatusUnauthorized, "You do not have the permission to see the specified issue.", "Login Required")
		default:
			jiraError(w, http.StatusNotFound, "Issue Does Not Exist")
		}
	}
}

// searchRequest is the body of POST search, and what the parameters of GET say.
type searchRequest struct {
	JQL        string   `json:"jql"`
	StartAt    int      `json:"startAt"`
	MaxResults *int     `json:"maxResults"`
	Fields     []string `json:"fields"`
}

func (j *jira) searchByGet(w http.ResponseWriter, r *http.Request, c call) {
	limit := number(r, "maxResults", 50)
	in := searchRequest{JQL: r.FormValue("jql"), StartAt: number(r, "startAt", 0), MaxResults: &limit}
	if fields := r.FormValue("fields"); fields != "" {
		in.Fields = strings.Split(fields, ",")
	}
	j.search(w, c, in)
}

func (j *jira) searchByPost(w http.ResponseWriter, r *http.Request, c call) {
	var in searchRequest
	if readJSON(w, r, &in) {
		j.search(w, c, in)
	}
}

func (j *jira) search(w http.ResponseWriter, c call, in searchRequest) {
	q, err := parseQuery(in.JQL, issueFields()...)
	if err != nil {
		jiraError(w, http.StatusBadRequest, "Error in the JQL Query: "+err.Error()+".")
		return
	}
	limit := 50
	if in.MaxResults != nil && *in.MaxResults >= 0 {
		limit = min(*in.MaxResults, 1000)
	}
	found := j.issues.search(q, c)
	from := min(max(in.StartAt, 0), len(found))
	views := []any{}
	for _, i := range found[from:min(from+limit, len(found))] {
		views = append(views, j.issueView(i, c.base, in.Fields))
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"expand": "schema,names", "startAt": in.StartAt, "maxResults": limit, "total": len(found), "issues": views,
	})
}

// issueInput is what create and edit take; an absent member is left as it is.
type issueInput struct {
	Fields struct {
		Project     struct{ Key, ID string }  `json:"project"`
		IssueType   struct{ Name, ID string } `json:"issuetype"`
		Summary     *string                   `json:"summary"`
		Description *string                   `json:"description"`
		Labels      []string                  `json:"labels"`
		Assignee    *struct{ Name string }    `json:"assignee"`
	} `json:"fields"`
}

func (in issueInput) onto(i *issue) {
	f := in.Fields
	if f.Summary != nil {
		i.summary = *f.Summary
	}
	if f.Description != nil {
		i.description = *f.Description
	}
	if f.Labels != nil {
		i.labels = f.Labels
	}
	if f.Assignee != nil {
		i.assignee = f.Assignee.Name
	}
	for _, t := range issueTypes("") {
		if t["name"] == f.IssueType.Name || t["id"] == f.IssueType.ID {
			i.kind = f.IssueType.Name
		}
	}
}

func (j *jira) createIssue(w http.ResponseWriter, r *http.Request, c call) {
	var in issueInput
	if !readJSON(w, r, &in) {
		return
	}
	p, ok := projectOf(cmp.Or(in.Fields.Project.Key, in.Fields.Project.ID), c)
	switch {
	case !ok:
		jiraFieldError(w, "project", "project is required")
		return
	case in.Fields.Summary == nil || strings.TrimSpace(*in.Fields.Summary) == "":
		jiraFieldError(w, "summary", "You must specify a summary of the issue.")
		return
	}
	i := issue{project: p, kind: "Task", reporter: c.name}
	in.onto(&i)
	i = j.issues.create(i)
	id := strconv.Itoa(i.id)
	writeJSON(w, http.StatusCreated, map[string]any{"id": id, "key": i.key, "self": c.base + "/rest/api/2/issue/" + id})
}

func (j *jira) readIssue(w http.ResponseWriter, r *http.Request, c call, i issue) {
	var fields []string
	if names := r.FormValue("fields"); names != "" {
		fields = strings.Split(names, ",")
	} else {
		fields = []string{"*all"}
	}
	writeJSON(w, http.StatusOK, j.issueView(i, c.base, fields))
}

func (j *jira) editIssue(w http.ResponseWriter, r *http.Request, _ call, i issue) {
	var in issueInput
	if readJSON(w, r, &in) {
		j.issues.change(i.key, in.onto)
		w.WriteHeader(http.StatusNoContent)
	}
}

func (j *jira) deleteIssue(w http.ResponseWriter, _ *http.Request, _ call, i issue) {
	j.issues.remove(i.key)
	w.WriteHeader(http.StatusNoContent)
}

func (j *jira) commentView(cm comment, i issue, base string) map[string]any {
	author, _ := j.users.find(cm.author)
	return map[string]any{
		"self": base + "/rest/api/2/issue/" + strconv.Itoa(i.id) + "/comment/" + cm.id, "id": cm.id,
		"author": userRef(author, base), "updateAuthor": userRef(author, base), "body": cm.body,
		"created": stamp(cm.created), "updated": stamp(cm.created),
	}
}

func (j *jira) commentsView(i issue, base string) map[string]any {
	views := []any{}
	for _, cm := range i.comments {
		views = append(views, j.commentView(cm, i, base))
	}
	return map[string]any{"startAt": 0, "maxResults": 1048576, "total": len(views), "comments": views}
}

func (j *jira) listComments(w http.ResponseWriter, _ *http.Request, c call, i issue) {
	writeJSON(w, http.StatusOK, j.commentsView(i, c.base))
}

func (j *jira) addComment(w http.ResponseWriter, r *http.Request, c call, i issue) {
	var in struct {
		Body string `json:"body"`
	}
	if !readJSON(w, r, &in) {
		return
	}
	if strings.TrimSpace(in.Body) == "" {
		jiraFieldError(w, "comment", "Comment body can not be empty!")
		return
	}
	var added comment
	j.issues.change(i.key, func(i *issue) {
		added = comment{id: strconv.Itoa(i.id*100 + len(i.comments)), author: c.name, body: in.Body, created: time.Now()}
		i.comments = append(slices.Clone(i.comments), added)
	})
	writeJSON(w, http.StatusCreated, j.commentView(added, i, c.base))
}

// issueView is Jira's issue bean. Of fields, "*all" is everything, none or
// "*navigable" everything but attachments and comments, else the named ones.
func (j *jira) issueView(i issue, base string, fields []string) map[string]any {
	id := strconv.Itoa(i.id)
	view := map[string]any{
		"expand": "renderedFields,names,schema,operations,editmeta,changelog,versionedRepresentations",
		"id":     id, "self": base + "/rest/api/2/issue/" + id, "key": i.key,
	}
	values := j.fieldsView(i, base)
	all := slices.Contains(fields, "*all")
	navigable := len(fields) == 0 || slices.Contains(fields, "*navigable")
	for name := range values {
		keep := all || slices.Contains(fields, name) || (navigable && name != "attachment" && name != "comment")
		if !keep || slices.Contains(fields, "-"+name) {
			delete(values, name)
		}
	}
	view["fields"] = values
	return view
}

func (j *jira) fieldsView(i issue, base string) map[string]any {
	kind := map[string]any{"name": i.kind, "subtask": false}
	for _, t := range issueTypes(base) {
		if t["name"] == i.kind {
			kind = t
		}
	}
	reporter, _ := j.users.find(i.reporter)
	var assignee any
	if a, ok := j.users.find(i.assignee); ok {
		assignee = userRef(a, base)
	}
	attachments := []any{}
	for _, id := range i.attached {
		if f, ok := j.files.find(id); ok {
			attachments = append(attachments, j.fileView(f, base))
		}
	}
	labels := i.labels
	if labels == nil {
		labels = []string{}
	}
	return map[string]any{
		"summary": i.summary, "description": i.description, "labels": labels,
		"issuetype": kind, "project": projectView(i.project, base), "priority": priority(base),
		"status": map[string]any{
			"self": base + "/rest/api/2/status/10000", "id": "10000", "name": statusName,
			"statusCategory": map[string]any{
				"self": base + "/rest/api/2/statuscategory/2", "id": 2, "key": "new", "name": statusName, "colorName": "default",
			},
		},
		"reporter": userRef(reporter, base), "creator": userRef(reporter, base), "assignee": assignee,
		"created": stamp(i.created), "updated": stamp(i.updated),
		"attachment": attachments, "comment": j.commentsView(i, base),
	}
}
