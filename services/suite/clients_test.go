package suite_test

import (
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/andygrunwald/go-jira"
	goconfluence "github.com/virtomize/confluence-go-api"
)

// The clients people use, through the gateway, unchanged.

func TestGoJiraThroughTheGateway(t *testing.T) {
	t.Parallel()
	r := start(t, "")
	for user, client := range map[string]*http.Client{
		"svc-api": (&jira.BearerAuthTransport{Token: r.token()}).Client(),
		"alice":   (&jira.PATAuthTransport{Token: r.Lab.Jira.PAT("alice")}).Client(),
		"bob":     (&jira.BasicAuthTransport{Username: "bob", Password: "bob-password"}).Client(),
	} {
		c, err := jira.NewClient(client, "http://"+r.Gateway.String())
		if err != nil {
			t.Fatal(err)
		}
		self, _, err := c.User.GetSelf()
		if err != nil || self.Name != user {
			t.Fatalf("%s: %v %+v", user, err, self)
		}
		made, _, err := c.Issue.Create(&jira.Issue{Fields: &jira.IssueFields{
			Project: jira.Project{Key: "LAB"}, Type: jira.IssueType{Name: "Task"}, Summary: "made by " + user,
		}})
		if err != nil {
			t.Fatalf("%s: create: %v", user, err)
		}
		if _, _, err := c.Issue.PostAttachment(made.ID, strings.NewReader("hello"), "note.txt"); err != nil {
			t.Errorf("%s: attach: %v", user, err)
		}
		issue, _, err := c.Issue.Get(made.Key, nil)
		if err != nil || issue.Fields.Summary != "made by "+user || issue.Fields.Reporter.Name != user || len(issue.Fields.Attachments) != 1 {
			t.Errorf("%s: get: %v %+v", user, err, issue)
		}
		if _, resp, err := c.Issue.Search("project = LAB ORDER BY created DESC", nil); err != nil || resp.Total == 0 {
			t.Errorf("%s: search: %v", user, err)
		}
	}
	stranger, err := jira.NewClient((&jira.PATAuthTransport{Token: "wrong"}).Client(), "http://"+r.Gateway.String())
	if err != nil {
		t.Fatal(err)
	}
	if _, resp, err := stranger.User.GetSelf(); err == nil || resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("a wrong token: %v", err)
	}
}

func TestJiraJSThroughTheGateway(t *testing.T) {
	t.Parallel()
	r := start(t, "")
	out, err := exec.CommandContext(t.Context(), "../../scripts/node.sh", "testdata/jira.js").Output()
	if err != nil {
		t.Fatalf("npm packages: %v", err)
	}
	for user, credential := range map[string]string{
		"svc-api": "TOKEN=" + r.token(), "alice": "TOKEN=" + r.Lab.Jira.PAT("alice"), "bob": "PASSWORD=bob-password",
	} {
		cmd := exec.CommandContext(t.Context(), "node", filepath.Join(strings.TrimSpace(string(out)), "check.mjs"))
		cmd.Env = append(os.Environ(), "HOST=http://"+r.Gateway.String(), credential, "EXPECT_USER="+user) //nolint:forbidigo // node needs PATH and HOME
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", user, err, text)
		}
	}
}

func TestConfluenceGoAPIThroughTheGateway(t *testing.T) {
	t.Parallel()
	r := start(t, "")
	// The site is found by its host: a client is told the host's address, as a name server would.
	_, port, _ := strings.Cut(r.Gateway.String(), ":")
	base := "http://confluence.localhost:" + port + "/rest/api"
	for user, shown := range map[string][2]string{"svc-api": {"", r.token()}, "alice": {"", r.Lab.Confluence.PAT("alice")}, "bob": {"bob", "bob-password"}} {
		api, err := goconfluence.NewAPI(base, shown[0], shown[1])
		if err != nil {
			t.Fatal(err)
		}
		api.Client = &http.Client{Transport: &http.Transport{DialContext: dialTo(r.Gateway.String()), DisableKeepAlives: true}}
		me, err := api.CurrentUser()
		if err != nil || me.Username != user {
			t.Fatalf("%s: %v %+v", user, err, me)
		}
		made, err := api.CreateContent(&goconfluence.Content{
			Type: "page", Title: "made by " + user, Space: &goconfluence.Space{Key: "LAB"},
			Body: goconfluence.Body{Storage: goconfluence.Storage{Value: "<p>hello</p>", Representation: "storage"}},
		})
		if err != nil {
			t.Fatalf("%s: create: %v", user, err)
		}
		if got, err := api.GetContentByID(made.ID, goconfluence.ContentQuery{}); err != nil || got.Title != "made by "+user {
			t.Errorf("%s: get: %v %+v", user, err, got)
		}
		if found, err := api.Search(goconfluence.SearchQuery{CQL: `type = page and space = LAB`}); err != nil || found.Size == 0 {
			t.Errorf("%s: search: %v %+v", user, err, found)
		}
	}
}

// dialTo makes every connection go to one address.
func dialTo(address string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}
}
