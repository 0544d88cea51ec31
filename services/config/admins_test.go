package config

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/adminauth"
	"github.com/gatehouse-suite/gatehouse/shared/opaque"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/google/go-cmp/cmp"
)

// issue issues an admin token and gives the header that shows it.
func (i *instance) issue(name, role, more string) (token, bearer string) {
	i.t.Helper()
	var out adminToken
	i.call(http.MethodPost, "admin-tokens", `{"name":"`+name+`","role":"`+role+`"`+more+`}`).want(http.StatusCreated).json(&out)
	return out.Token, "Bearer " + out.Token
}

func TestAdminTokens(t *testing.T) {
	t.Parallel()
	i := start(t, testkit.StartNATS(t), nil).ready()
	token, bearer := i.issue("ci", "admin", `,"expires_in":"1h"`)
	if !opaque.WellFormed(adminauth.Prefix, token) {
		t.Errorf("token %q", token)
	}
	i.get("config", "Authorization", bearer).want(http.StatusOK)
	i.call(http.MethodPut, "config", simple(1), "Authorization", bearer, "If-Match", "*").changed()
	var page struct{ Events []event }
	i.get("config/events").json(&page)
	if last := page.Events[len(page.Events)-1]; last.Who.Name != "ci" {
		t.Errorf("it was %+v", last.Who)
	}
	var list struct {
		AdminTokens []adminToken `json:"admin_tokens"`
	}
	i.get("admin-tokens").want(http.StatusOK).json(&list)
	if len(list.AdminTokens) != 2 || list.AdminTokens[0].Name != "bootstrap" || list.AdminTokens[1].Name != "ci" || list.AdminTokens[1].ExpiresAt == nil || list.AdminTokens[1].Token != "" {
		t.Errorf("%+v", list)
	}
	for name, c := range map[string]struct {
		body   string
		status int
		paths  []string
	}{
		"taken":      {`{"name":"ci","role":"auditor"}`, http.StatusConflict, nil},
		"bootstrap":  {`{"name":"bootstrap","role":"admin"}`, http.StatusUnprocessableEntity, []string{"name"}},
		"everything": {`{"name":"a b","role":"god","expires_in":"-1h","x":1}`, http.StatusUnprocessableEntity, []string{"expires_in", "name", "role", "x"}},
		"types":      {`{"name":1,"role":null,"expires_in":60}`, http.StatusUnprocessableEntity, []string{"expires_in", "name", "role"}},
		"a list":     {`[]`, http.StatusUnprocessableEntity, nil},
	} {
		r := i.call(http.MethodPost, "admin-tokens", c.body).want(c.status)
		if c.paths != nil {
			if diff := cmp.Diff(c.paths, r.problems()); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
		}
	}
	i.call(http.MethodDelete, "admin-tokens/bootstrap", "").want(http.StatusConflict)
	i.call(http.MethodDelete, "admin-tokens/nobody", "").want(http.StatusNotFound)
	i.call(http.MethodDelete, "admin-tokens/ci?why=done", "").want(http.StatusOK)
	i.get("config", "Authorization", bearer).want(http.StatusUnauthorized)
	// A rollback of the document brings no token back.
	i.call(http.MethodPost, "config/rollback", `{"to":1}`, "If-Match", "*").want(http.StatusOK)
	i.get("config", "Authorization", bearer).want(http.StatusUnauthorized)
	_, short := i.issue("short", "admin", `,"expires_in":"1s"`)
	i.get("config", "Authorization", short).want(http.StatusOK)
	i.until("expired", func() bool { return i.get("config", "Authorization", short).status == http.StatusUnauthorized })
}

func TestRoles(t *testing.T) {
	t.Parallel()
	i := start(t, testkit.StartNATS(t), nil).ready()
	_, auditor := i.issue("a", "auditor", "")
	_, manager := i.issue("m", "token-manager", "")
	for _, c := range []struct {
		method, path     string
		auditor, manager int
	}{
		{http.MethodGet, "config", 200, 200},
		{http.MethodGet, "config/events", 200, 403},
		{http.MethodGet, "config/history", 200, 403},
		{http.MethodGet, "gateways", 200, 403},
		{http.MethodGet, "admin-tokens", 200, 403},
		{http.MethodGet, "audit/events", 503, 403},
		{http.MethodGet, "openapi.yaml", 200, 200},
		{http.MethodPut, "config", 403, 403},
		{http.MethodPost, "config/rollback", 403, 403},
		{http.MethodPost, "admin-tokens", 403, 403},
		{http.MethodDelete, "admin-tokens/a", 403, 403},
	} {
		i.call(c.method, c.path, "", "Authorization", auditor).want(c.auditor)
		i.call(c.method, c.path, "", "Authorization", manager).want(c.manager)
		if c.path != "openapi.yaml" {
			i.call(c.method, c.path, "", "Authorization", "").want(http.StatusUnauthorized)
			i.call(c.method, c.path, "", "Authorization", "Bearer "+adminauth.NewToken()).want(http.StatusUnauthorized)
		}
	}
}

func TestFirstAdminIsMade(t *testing.T) {
	t.Parallel()
	n, dir, keys, shown := testkit.StartNATS(t), t.TempDir(), keysDir(t), new(buffer)
	unset := func(s *Settings) {
		s.AdminToken, s.DataDir, s.KeysDir, s.Terminal = adminauth.Digest{}, dir, keys, shown
	}
	i := start(t, n, unset)
	var bearer string
	i.until("the file", func() bool {
		token, err := os.ReadFile(dir + "/admin-token")
		bearer = "Bearer " + strings.TrimSpace(string(token))
		return err == nil
	})
	i.until("ready", func() bool { return i.get("config", "Authorization", bearer).status == http.StatusOK })
	i.get("config").want(http.StatusUnauthorized)
	if log := i.log.String(); strings.Contains(log, bearer[7:]) || !strings.Contains(log, "admin-token") {
		t.Error(log)
	}
	if err := i.end(); err != nil {
		t.Fatal(err)
	}
	i = start(t, n, unset)
	i.until("ready again", func() bool { return i.get("config", "Authorization", bearer).status == http.StatusOK })
	if text := shown.String(); strings.Count(text, bearer[7:]) != 1 || !strings.Contains(text, dir+"/admin-token") || strings.Count(text, "\n") != 1 {
		t.Errorf("shown: %q", text)
	}
}

func TestWithoutADataFolderThereIsNoFirstAdmin(t *testing.T) {
	t.Parallel()
	i := start(t, testkit.StartNATS(t), func(s *Settings) { s.AdminToken = adminauth.Digest{} })
	i.until("it is said", func() bool {
		return strings.Contains(i.log.String(), "set GATEHOUSE_ADMIN_TOKEN, or GATEHOUSE_DATA_DIR")
	})
}

func TestAuditIsHandedOn(t *testing.T) {
	t.Parallel()
	more := make(chan struct{})
	audit := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/v1/audit/stream" || r.URL.RawQuery != "site=jira&x=%2F" || r.Header.Get("Authorization") != "Bearer "+firstToken || r.Header.Get("X-Request-Id") != "req-7" {
			http.Error(w, r.URL.String(), http.StatusTeapot)
			return
		}
		w.Header().Set("Cache-Control", "public")
		w.Header().Set("X-Gatehouse-Request-Id", "theirs")
		_, _ = w.Write([]byte("first\n"))
		w.(http.Flusher).Flush()
		select {
		case <-more:
			_, _ = w.Write([]byte("second\n"))
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(audit.Close)
	i := start(t, testkit.StartNATS(t), func(s *Settings) { s.AuditURL = audit.URL }).ready()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, i.url+"audit/stream?site=jira&x=%2F", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+firstToken)
	r.Header.Set("X-Request-Id", "req-7")
	resp, err := i.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	part := make([]byte, 64)
	n, err := resp.Body.Read(part)
	if err != nil || string(part[:n]) != "first\n" {
		t.Fatalf("it is not streamed: %q %v", part[:n], err)
	}
	close(more)
	n, _ = resp.Body.Read(part)
	if string(part[:n]) != "second\n" || len(resp.Header.Values("Cache-Control")) != 1 || resp.Header.Get("X-Gatehouse-Request-Id") != "req-7" {
		t.Errorf("%q %v", part[:n], resp.Header)
	}
	i.call(http.MethodPost, "audit/holds", "").want(http.StatusTeapot) // handed on, and answered as it likes
	i.call(http.MethodDelete, "audit/holds/1", "").want(http.StatusTeapot)
	i.call(http.MethodPut, "audit/holds/1", "").want(http.StatusMethodNotAllowed)
}

func TestAuditAway(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	n := testkit.StartNATS(t)
	for _, url := range []string{"", gone.URL} {
		i := start(t, n, func(s *Settings) { s.AuditURL = url }).ready()
		if r := i.get("audit/events").want(http.StatusServiceUnavailable); !strings.Contains(r.body, "unavailable") || r.header.Get("Retry-After") == "" {
			t.Errorf("%s %v", r.body, r.header)
		}
		i.get("config").want(http.StatusOK)
	}
}

// TestTooManyGuesses: a wrong token is answered late in the end, and logged, without the token.
func TestTooManyGuesses(t *testing.T) {
	t.Parallel()
	i := start(t, testkit.StartNATS(t), nil).ready()
	_, bearer := i.issue("a", "admin", "")
	begun := time.Now()
	for k := 0; i.get("config", "Authorization", "Bearer my-guess").status != http.StatusTooManyRequests; k++ {
		if k > 100 && time.Since(begun) < 30*time.Second {
			t.Fatal("guessing is not slowed")
		}
	}
	i.get("config", "Authorization", bearer).want(http.StatusOK)
	if log := i.log.String(); !strings.Contains(log, "admin refused") || strings.Contains(log, "my-guess") {
		t.Error(log)
	}
}
