package lab_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	goconfluence "github.com/virtomize/confluence-go-api"

	"github.com/gatehouse-suite/gatehouse/services/lab"
)

func TestGoConfluence(t *testing.T) {
	t.Parallel()
	l := start(t, func(s *lab.Settings) { s.ConfluenceContextPath = "/wiki" })
	api, err := goconfluence.NewAPI(confluenceURL(l)+"/wiki/rest/api", "", l.Confluence.PAT("alice"))
	if err != nil {
		t.Fatal(err)
	}
	me, err := api.CurrentUser()
	if err != nil || me.Username != "alice" || me.Type != "known" {
		t.Fatalf("current user: %v %+v", err, me)
	}
	made, err := api.CreateContent(&goconfluence.Content{
		Type: "page", Title: "Spill kit", Space: &goconfluence.Space{Key: "LAB"},
		Body: goconfluence.Body{Storage: goconfluence.Storage{Value: "<p>sand</p>", Representation: "storage"}},
	})
	if err != nil || made.ID == "" || made.Version.Number != 1 {
		t.Fatalf("create: %v %+v", err, made)
	}
	made.Version.Number, made.Body.Storage.Value = 2, "<p>more sand</p>"
	if _, err := api.UpdateContent(made); err != nil {
		t.Error(err)
	}
	if _, err := api.UpdateContent(made); err == nil {
		t.Error("the same version was taken twice")
	}
	read, err := api.GetContentByID(made.ID, goconfluence.ContentQuery{Expand: []string{"body.storage", "version", "space"}})
	if err != nil || read.Body.Storage.Value != "<p>more sand</p>" || read.Version.Number != 2 || read.Space.Key != "LAB" {
		t.Fatalf("read: %v %+v", err, read)
	}
	list, err := api.GetContent(goconfluence.ContentQuery{SpaceKey: "LAB", Title: "Spill kit", Limit: 10})
	if err != nil || len(list.Results) != 1 {
		t.Fatalf("list: %v %+v", err, list)
	}
	found, err := api.Search(goconfluence.SearchQuery{CQL: `space = LAB and text ~ "sand"`})
	if err != nil || len(found.Results) != 1 || found.Results[0].Content.ID != made.ID {
		t.Fatalf("search: %v %+v", err, found)
	}
	if _, err := api.UploadAttachment(made.ID, "kit.txt", strings.NewReader("kit")); err != nil {
		t.Error(err)
	}
	files, err := api.GetAttachments(made.ID)
	if err != nil || len(files.Results) != 1 {
		t.Errorf("attachments: %v %+v", err, files)
	}
	spaces, err := api.GetAllSpaces(goconfluence.AllSpacesQuery{})
	if err != nil || len(spaces.Results) != 2 {
		t.Errorf("spaces: %v %+v", err, spaces)
	}
	if _, err := api.DelContent(made.ID); err != nil {
		t.Error(err)
	}
}

func TestConfluencePeople(t *testing.T) {
	t.Parallel()
	l := start(t)
	api, bob := confluenceURL(l)+"/rest/api", bearer(l.Confluence.PAT("bob"))
	nobody := get(t, api+"/user/current")
	nobody.want(t, http.StatusOK, "X-AUSERNAME", "anonymous")
	if !strings.Contains(string(nobody.body), `"type":"anonymous"`) {
		t.Errorf("anonymous: %s", nobody.body)
	}
	get(t, api+"/user?username=bob").want(t, http.StatusForbidden)
	get(t, api+"/user?username=nobody", bob).want(t, http.StatusNotFound)
	if l.Confluence.WhoAmICalls() != 1 {
		t.Errorf("who-am-I calls = %d", l.Confluence.WhoAmICalls())
	}
	type groups struct {
		Results []struct {
			Type string `json:"type"`
			Name string `json:"name"`
		} `json:"results"`
		Size  int               `json:"size"`
		Limit int               `json:"limit"`
		Links map[string]string `json:"_links"`
	}
	names := func(path string) (names []string, g groups) {
		t.Helper()
		got := get(t, api+path, bob)
		got.want(t, http.StatusOK)
		got.json(t, &g)
		for _, r := range g.Results {
			names = append(names, r.Name)
		}
		return names, g
	}
	all, page := names("/user/memberof?username=bob")
	if diff := cmp.Diff([]string{"confluence-users", "developers", "read-only"}, all); diff != "" || page.Limit != 200 {
		t.Errorf("limit %d: %s", page.Limit, diff)
	}
	_, page = names("/user/memberof?username=bob&limit=2")
	if page.Size != 2 || page.Links["next"] != "/rest/api/user/memberof?limit=2&start=2&username=bob" {
		t.Errorf("first page: %+v", page)
	}
	l.Confluence.Nest("developers", "engineering")
	l.Confluence.Nest("engineering", "staff", "developers")
	if got, _ := names("/group/developers/groupancestor"); cmp.Diff([]string{"engineering", "staff", "developers"}, got) != "" {
		t.Errorf("ancestors: %v", got)
	}
	get(t, api+"/group/nowhere/groupancestor", bob).want(t, http.StatusNotFound)
	get(t, api+"/group/developers/member", bob).want(t, http.StatusForbidden)
	get(t, api+"/group/developers/member", bearer(l.Confluence.PAT("carol"))).want(t, http.StatusOK)
}

func TestConfluenceAnonymous(t *testing.T) {
	t.Parallel()
	l := start(t)
	api := confluenceURL(l) + "/rest/api"
	var list struct {
		Results []struct {
			ID    string `json:"id"`
			Title string `json:"title"`
		} `json:"results"`
	}
	get(t, api+"/content/search?cql="+"type%3Dpage").json(t, &list)
	if len(list.Results) != 2 {
		t.Fatalf("anonymous sees %+v", list)
	}
	refused := do(t, http.MethodPost, api+"/content", `{"title":"x","space":{"key":"OPEN"}}`)
	refused.want(t, http.StatusForbidden)
	if !strings.Contains(string(refused.body), `"statusCode":403`) {
		t.Errorf("body: %s", refused.body)
	}
	do(t, http.MethodDelete, api+"/content/"+list.Results[0].ID, "").want(t, http.StatusForbidden)
	get(t, api+"/content/65537").want(t, http.StatusNotFound) // of the space LAB
	get(t, api+"/server-information").want(t, http.StatusUnauthorized)
	get(t, confluenceURL(l)+"/dashboard.action").want(t, http.StatusOK)
}
