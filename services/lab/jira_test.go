package lab_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/andygrunwald/go-jira"
	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-suite/gatehouse/services/lab"
)

func TestGoJira(t *testing.T) {
	t.Parallel()
	l := start(t, func(s *lab.Settings) { s.JiraContextPath = "/jira" })
	transport := jira.PATAuthTransport{Token: l.Jira.PAT("svc-api")}
	client, err := jira.NewClient(transport.Client(), jiraURL(l)+"/jira/")
	if err != nil {
		t.Fatal(err)
	}
	self, _, err := client.User.GetSelf()
	if err != nil || self.Name != "svc-api" || !self.Active {
		t.Fatalf("self: %v %+v", err, self)
	}
	made, _, err := client.Issue.Create(&jira.Issue{Fields: &jira.IssueFields{
		Project: jira.Project{Key: "LAB"}, Type: jira.IssueType{Name: "Bug"}, Summary: "It leaks", Labels: []string{"wet"},
	}})
	if err != nil || !strings.HasPrefix(made.Key, "LAB-") {
		t.Fatalf("create: %v %+v", err, made)
	}
	found, resp, err := client.Issue.Search(`project = LAB AND text ~ "leak" AND reporter = currentUser() ORDER BY created DESC`, nil)
	if err != nil || resp.Total != 1 || len(found) != 1 || found[0].Key != made.Key {
		t.Fatalf("search: %v %d %+v", err, resp.Total, found)
	}
	content := []byte("a drop of water")
	attached, _, err := client.Issue.PostAttachment(made.ID, bytes.NewReader(content), "drop.txt")
	if err != nil || len(*attached) != 1 || (*attached)[0].Size != len(content) {
		t.Fatalf("attach: %v %+v", err, attached)
	}
	file, err := client.Issue.DownloadAttachment((*attached)[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Body.Close()
	if got, err := io.ReadAll(file.Body); err != nil || !bytes.Equal(got, content) {
		t.Errorf("download: %v %q", err, got)
	}
	issue, _, err := client.Issue.Get(made.Key, nil)
	if err != nil || issue.Fields.Reporter.Name != "svc-api" || issue.Fields.Type.Name != "Bug" || len(issue.Fields.Attachments) != 1 {
		t.Fatalf("get: %v %+v", err, issue)
	}
	if _, _, err := client.Issue.AddComment(made.ID, &jira.Comment{Body: "seen"}); err != nil {
		t.Error(err)
	}
	projects, _, err := client.Project.GetList()
	if err != nil || len(*projects) != 2 {
		t.Errorf("projects: %v %+v", err, projects)
	}
	if fields, _, err := client.Field.GetList(); err != nil || len(fields) == 0 {
		t.Errorf("fields: %v", err)
	}
	if priorities, _, err := client.Priority.GetList(); err != nil || len(priorities) == 0 {
		t.Errorf("priorities: %v", err)
	}
	if resp, err := client.Issue.Delete(made.Key); err != nil || resp.StatusCode != http.StatusNoContent {
		t.Errorf("delete: %v", err)
	}
}

func TestJiraUsersAndGroups(t *testing.T) {
	t.Parallel()
	l := start(t)
	api, carol := jiraURL(l)+"/rest/api/2", bearer(l.Jira.PAT("carol"))
	type user struct {
		Name   string `json:"name"`
		Key    string `json:"key"`
		Active bool   `json:"active"`
		Groups struct {
			Size  int `json:"size"`
			Items []struct {
				Name string `json:"name"`
			} `json:"items"`
		} `json:"groups"`
	}
	var bob user
	get(t, api+"/user?username=bob&expand=groups", carol).json(t, &bob)
	names := []string{}
	for _, g := range bob.Groups.Items {
		names = append(names, g.Name)
	}
	if diff := cmp.Diff([]string{"jira-users", "developers", "read-only"}, names); diff != "" {
		t.Error(diff)
	}
	var plain user
	get(t, api+"/user?key="+bob.Key, carol).json(t, &plain)
	if plain.Name != "bob" || plain.Groups.Size != 3 || len(plain.Groups.Items) != 0 {
		t.Errorf("without expand: %+v", plain)
	}
	l.Jira.SetGroups("bob", "developers")
	get(t, api+"/myself?expand=groups", bearer(l.Jira.PAT("bob"))).json(t, &bob)
	if bob.Groups.Size != 2 {
		t.Errorf("after SetGroups: %+v", bob)
	}
	get(t, api+"/user?username=bob").want(t, http.StatusUnauthorized)
	get(t, api+"/user?username=nobody", carol).want(t, http.StatusNotFound)

	var picked struct {
		Header string `json:"header"`
		Total  int    `json:"total"`
		Groups []struct {
			Name string `json:"name"`
		} `json:"groups"`
	}
	get(t, api+"/groups/picker?query=JIRA", carol).json(t, &picked)
	if picked.Total != 2 || picked.Groups[0].Name != "jira-administrators" || picked.Header != "Showing 2 of 2 matching groups" {
		t.Errorf("picker: %+v", picked)
	}
	get(t, api+"/groups/picker").json(t, &picked)
	if picked.Total != 0 {
		t.Errorf("anonymous picker: %+v", picked)
	}
	get(t, api+"/group/member?groupname=developers", bearer(l.Jira.PAT("bob"))).want(t, http.StatusForbidden)
	var members struct {
		Total int `json:"total"`
	}
	get(t, api+"/group/member?groupname=developers", carol).json(t, &members)
	if members.Total != 2 {
		t.Errorf("members of developers: %+v, want alice and bob", members)
	}
}

func TestSearchAndIssues(t *testing.T) {
	t.Parallel()
	l := start(t)
	api, alice := jiraURL(l)+"/rest/api/2", bearer(l.Jira.PAT("alice"))
	type result struct {
		Total, StartAt, MaxResults int
		Issues                     []struct {
			Key    string         `json:"key"`
			Fields map[string]any `json:"fields"`
		}
	}
	search := func(body string, o ...option) (keys []string, res result) {
		t.Helper()
		got := do(t, http.MethodPost, api+"/search", body, o...)
		got.want(t, http.StatusOK)
		got.json(t, &res)
		for _, i := range res.Issues {
			keys = append(keys, i.Key)
		}
		return keys, res
	}
	for body, want := range map[string][]string{
		`{"jql":"ORDER BY key ASC","maxResults":4}`:                      {"LAB-1", "LAB-2", "LAB-3", "OPEN-1"},
		`{"jql":"project in (OPEN, NONE) AND summary !~ scale"}`:         {"OPEN-3", "OPEN-2"},
		`{"jql":"key = lab-2"}`:                                          {"LAB-2"},
		`{"jql":"reporter = carol and labels in (seed)","startAt":5}`:    {"LAB-1"},
		`{"jql":"summary ~ \"order by\""}`:                               nil,
		`{"jql":"project = LAB order by summary","fields":["summary"]}`:  {"LAB-1", "LAB-2", "LAB-3"},
		`{"jql":"project = LAB and assignee = currentUser()"}`:           nil,
		`{"jql":"project not in (LAB) order by updated asc,","bad":""}x`: nil,
	} {
		if strings.HasSuffix(body, "x") {
			do(t, http.MethodPost, api+"/search", strings.TrimSuffix(body, "x"), alice).want(t, http.StatusBadRequest)
			continue
		}
		if got, _ := search(body, alice); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", body, got, want)
		}
	}
	keys, res := search(`{"jql":"","fields":["summary"]}`)
	if diff := cmp.Diff([]string{"OPEN-3", "OPEN-2", "OPEN-1"}, keys); diff != "" {
		t.Errorf("anonymous: %s", diff)
	}
	if len(res.Issues[0].Fields) != 1 {
		t.Errorf("fields: %v", res.Issues[0].Fields)
	}
	get(t, api+"/search?jql=nonsense", alice).want(t, http.StatusBadRequest)

	get(t, api+"/issue/LAB-1").want(t, http.StatusUnauthorized)
	get(t, api+"/issue/LAB-99", alice).want(t, http.StatusNotFound)
	get(t, api+"/issue/OPEN-1").want(t, http.StatusOK)
	do(t, http.MethodPost, api+"/issue", `{"fields":{"project":{"key":"OPEN"},"summary":"x"}}`).want(t, http.StatusUnauthorized)
	do(t, http.MethodPost, api+"/issue", `{"fields":{"project":{"key":"OPEN"}}}`, alice).want(t, http.StatusBadRequest)
	do(t, http.MethodPost, api+"/issue", `{"fields":{"summary":"x"}}`, alice).want(t, http.StatusBadRequest)
	do(t, http.MethodPut, api+"/issue/LAB-1", `{"fields":{"summary":"Changed"}}`, alice).want(t, http.StatusNoContent)
	other := get(t, l.Jira.Nodes()[1].URL()+"/rest/api/2/issue/LAB-1", alice) // the nodes share their state
	if !strings.Contains(string(other.body), "Changed") {
		t.Errorf("n2: %s", other.body)
	}
}

func TestLargeAttachment(t *testing.T) {
	t.Parallel()
	l := start(t)
	const size = 8 << 20
	alice := l.Jira.PAT("alice")
	body, out := io.Pipe()
	form := multipart.NewWriter(out)
	go func() {
		part, _ := form.CreateFormFile("file", "zeros.bin")
		_, err := part.Write(make([]byte, size))
		form.Close()
		out.CloseWithError(err)
	}()
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, jiraURL(l)+"/rest/api/2/issue/LAB-1/attachments", body)
	req.Header.Set("Content-Type", form.FormDataContentType())
	req.Header.Set("X-Atlassian-Token", "no-check")
	req.Header.Set("Authorization", "Bearer "+alice)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	files := l.Jira.Attachments()
	if len(files) != 1 {
		t.Fatalf("%s, %d attachments", resp.Status, len(files))
	}
	zeros := get(t, jiraURL(l)+"/secure/attachment/zeros/8388608", bearer(alice))
	sum := sha256.Sum256(zeros.body)
	f := files[0]
	if f.Size != size || f.Kept || f.SHA256 != hex.EncodeToString(sum[:]) || f.Author != "alice" {
		t.Errorf("attachment: %+v", f)
	}
	get(t, jiraURL(l)+"/secure/attachment/"+f.ID+"/zeros.bin", bearer(alice)).want(t, http.StatusNotFound)
	get(t, jiraURL(l)+"/secure/attachment/zeros/1").want(t, http.StatusFound)
	multi := head("Content-Type", "multipart/form-data; boundary=x")
	do(t, http.MethodPost, jiraURL(l)+"/rest/api/2/issue/LAB-1/attachments", "--x--\r\n", multi, bearer(alice)).want(t, http.StatusForbidden)
}
