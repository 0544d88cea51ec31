package lab_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-suite/gatehouse/services/lab"
)

// start runs a lab on free ports for one test.
func start(t *testing.T, change ...func(*lab.Settings)) *lab.Lab {
	t.Helper()
	s := lab.Free("")
	for _, c := range change {
		c(&s)
	}
	l, err := lab.Start(t.Context(), slog.New(slog.DiscardHandler), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := l.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return l
}

func jiraURL(l *lab.Lab) string       { return l.Jira.Nodes()[0].URL() }
func confluenceURL(l *lab.Lab) string { return l.Confluence.Nodes()[0].URL() }

// reply is an answer with its body read.
type reply struct {
	*http.Response
	body []byte
}

func (r reply) json(t *testing.T, into any) {
	t.Helper()
	if err := json.Unmarshal(r.body, into); err != nil {
		t.Fatalf("%s: %v: %s", r.Status, err, r.body)
	}
}

func (r reply) want(t *testing.T, status int, header ...string) {
	t.Helper()
	if r.StatusCode != status {
		t.Errorf("status = %s, want %d; body %.300s", r.Status, status, r.body)
	}
	for i := 0; i+1 < len(header); i += 2 {
		if got := r.Header.Get(header[i]); got != header[i+1] {
			t.Errorf("%s = %q, want %q", header[i], got, header[i+1])
		}
	}
}

type option func(*http.Request)

func basic(user, password string) option {
	return func(r *http.Request) { r.SetBasicAuth(user, password) }
}

func head(name, value string) option {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func bearer(token string) option { return head("Authorization", "Bearer "+token) }

// do sends one request and follows no redirect.
func do(t *testing.T, method, target, body string, options ...option) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(body, "{") {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, o := range options {
		o(req)
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{resp, data}
}

func get(t *testing.T, target string, options ...option) reply {
	t.Helper()
	return do(t, http.MethodGet, target, "", options...)
}

func postForm(t *testing.T, target string, form url.Values, options ...option) reply {
	t.Helper()
	return do(t, http.MethodPost, target, form.Encode(),
		append([]option{head("Content-Type", "application/x-www-form-urlencoded")}, options...)...)
}

func TestFixed(t *testing.T) {
	t.Parallel()
	s := lab.Fixed()
	if s.ProviderListen != "127.0.0.1:9000" || len(s.JiraListen) != 2 || s.ConfluenceListen != "127.0.0.1:9103" {
		t.Errorf("fixed ports changed: %+v", s)
	}
}

func TestStartTwiceOnOnePort(t *testing.T) {
	t.Parallel()
	l := start(t)
	s := lab.Free(strings.TrimPrefix(l.Provider.Issuer(), "http://"))
	if second, err := lab.Start(t.Context(), slog.New(slog.DiscardHandler), s); err == nil {
		_ = second.Close(t.Context())
		t.Error("a second lab started on a port that is taken")
	}
}

func TestContextPath(t *testing.T) {
	t.Parallel()
	l := start(t, func(s *lab.Settings) { s.JiraContextPath = "/jira" })
	get(t, jiraURL(l)+"/jira/status").want(t, http.StatusOK)
	get(t, jiraURL(l)+"/status").want(t, http.StatusNotFound)
	got := get(t, jiraURL(l)+"/jira/rest/api/2/serverInfo")
	got.want(t, http.StatusOK, "X-AUSERNAME", "anonymous")
	if !strings.Contains(string(got.body), `"baseUrl":"`+jiraURL(l)+`/jira"`) {
		t.Errorf("base URL lacks the context path: %s", got.body)
	}
}
