package suite_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/gatehouse-suite/gatehouse/shared/service"
	"github.com/gatehouse-suite/gatehouse/shared/telemetry"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"go.uber.org/goleak"

	"github.com/gatehouse-suite/gatehouse/services/lab"
	"github.com/gatehouse-suite/gatehouse/services/suite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// running is a suite of a test, on free ports and a folder of its own.
type running struct {
	*suite.Suite
	t       testing.TB
	dir     string
	logs    *logs
	process *service.Process
}

// logs keeps everything the suite logs, so that a test can search it for what must not be there.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// start starts a suite with its lab; dir "" makes a new folder.
func start(t testing.TB, dir string) *running {
	t.Helper()
	if dir == "" {
		dir = testkit.OpenDir(t)
	}
	s, err := suite.Load([]string{
		"GATEHOUSE_DATA_DIR=" + dir, "GATEHOUSE_GATEWAY_LISTEN=127.0.0.1:0", "GATEHOUSE_ADMIN_LISTEN=127.0.0.1:0",
		"GATEHOUSE_NATS_LISTEN=127.0.0.1:0", "GATEHOUSE_LAB_LISTEN=127.0.0.1:0",
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Lab = true
	r := &running{t: t, dir: dir, logs: new(logs)}
	r.process = service.NewProcess(telemetry.Logger(r.logs, slog.LevelDebug, "suite"), nil)
	r.Suite, err = suite.Start(context.WithoutCancel(t.Context()), r.process, s)
	if err != nil {
		t.Fatalf("%v\n%s", err, r.logs)
	}
	t.Cleanup(func() {
		r.stop()
		if t.Failed() {
			t.Log(r.logs)
		}
	})
	return r
}

func (r *running) stop() {
	if err := r.Stop(); err != nil {
		r.t.Error(err)
	}
}

// token gets an access token by client credentials, as the printed command does.
func (r *running) token() string {
	r.t.Helper()
	request, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, r.Lab.Provider.TokenEndpoint(),
		strings.NewReader("grant_type=client_credentials&scope=read+write"))
	if err != nil {
		r.t.Fatal(err)
	}
	request.SetBasicAuth(lab.ClientID, lab.ClientSecret)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	if _, body := do(r.t, request); json.Unmarshal([]byte(body), &answer) != nil || answer.AccessToken == "" {
		r.t.Fatalf("no token: %s", body)
	}
	return answer.AccessToken
}

func do(t testing.TB, r *http.Request) (*http.Response, string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// call calls through the gateway.
func (r *running) call(path, authorization string) (*http.Response, string) {
	r.t.Helper()
	request, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, "http://"+r.Gateway.String()+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	if authorization != "" {
		request.Header.Set("Authorization", authorization)
	}
	return do(r.t, request)
}

// admin calls the admin API as the first admin.
func (r *running) admin(method, path, ifMatch, body string) (*http.Response, string) {
	r.t.Helper()
	request, err := http.NewRequestWithContext(r.t.Context(), method, "http://"+r.Admin.String()+"/api/v1/"+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+r.AdminToken)
	request.Header.Set("Content-Type", "application/json")
	if ifMatch != "" {
		request.Header.Set("If-Match", ifMatch)
	}
	return do(r.t, request)
}

// change gets the document, lets edit change it and puts it back.
func (r *running) change(edit func(document map[string]any)) string {
	r.t.Helper()
	resp, body := r.admin(http.MethodGet, "config", "", "")
	var document map[string]any
	if err := json.Unmarshal([]byte(body), &document); err != nil {
		r.t.Fatalf("%v in %s", err, body)
	}
	edit(document)
	changed, err := json.Marshal(document)
	if err != nil {
		r.t.Fatal(err)
	}
	answer, text := r.admin(http.MethodPut, "config?wait=applied", resp.Header.Get("ETag"), string(changed))
	if answer.StatusCode != http.StatusOK {
		r.t.Fatalf("PUT config: %s %s", answer.Status, text)
	}
	return text
}

// jiraSite is the first site of a document.
func jiraSite(document map[string]any) map[string]any {
	sites, _ := document["sites"].([]any)
	s, _ := sites[0].(map[string]any)
	return s
}

// event is what the audit trail answers of a call.
type event struct {
	ID        int64  `json:"id"`
	RequestID string `json:"request_id"`
	Site      string `json:"site"`
	ClientID  string `json:"client_id"`
	User      string `json:"user"`
	Decision  string `json:"decision"`
	Reason    string `json:"reason"`
	Status    int    `json:"status"`
	Path      string `json:"path"`
	Outcome   string `json:"outcome"`
	Node      string `json:"node"`

	Fingerprint string `json:"credential_fingerprint"`
}

// recorded waits until the trail holds the call of that id and gives it.
func (r *running) recorded(requestID string) event {
	r.t.Helper()
	var page struct {
		Events []event `json:"events"`
	}
	testkit.Until(r.t, "call "+requestID+" to be in the trail", func() bool {
		resp, body := r.admin(http.MethodGet, "audit/events?request_id="+requestID, "", "")
		if err := json.Unmarshal([]byte(body), &page); err != nil || resp.StatusCode != http.StatusOK {
			r.t.Fatalf("%s %s", resp.Status, body)
		}
		if len(page.Events) > 1 {
			r.t.Fatalf("recorded %d times: %s", len(page.Events), body)
		}
		return len(page.Events) == 1
	})
	return page.Events[0]
}

func TestTheMainJob(t *testing.T) {
	t.Parallel()
	r := start(t, "")
	token := "Bearer " + r.token()

	let, body := r.call("/rest/api/2/myself", token)
	if let.StatusCode != http.StatusOK || !strings.Contains(body, `"name":"svc-api"`) {
		t.Fatalf("%s %s", let.Status, body)
	}
	refused, body := r.call("/rest/api/2/myself", "Bearer wrong")
	if refused.StatusCode != http.StatusUnauthorized || refused.Header.Get("X-Gatehouse-Reason") != "token_inactive" {
		t.Fatalf("%s %s", refused.Status, body)
	}
	if e := r.recorded(let.Header.Get("X-Gatehouse-Request-Id")); e.Decision != "allow" || e.User != "svc-api" || e.ClientID != lab.ClientID ||
		e.Status != http.StatusOK || e.Site != "jira" || e.Path != "/rest/api/2/myself" || e.Node == "" || e.Outcome != "completed" {
		t.Errorf("recorded as %+v", e)
	}
	if e := r.recorded(refused.Header.Get("X-Gatehouse-Request-Id")); e.Decision != "deny" || e.Reason != "token_inactive" || e.Status != http.StatusUnauthorized {
		t.Errorf("recorded as %+v", e)
	}

	r.change(func(d map[string]any) { jiraSite(d)["methods"].(map[string]any)["oauth"] = false })
	if resp, body := r.call("/rest/api/2/myself", token); resp.Header.Get("X-Gatehouse-Reason") != "oauth_disabled" {
		t.Fatalf("the next call does not obey: %s %s", resp.Status, body)
	}

	confluence, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+r.Gateway.String()+"/rest/api/user/current", nil)
	if err != nil {
		t.Fatal(err)
	}
	confluence.Host = "confluence.localhost:8080"
	confluence.Header.Set("Authorization", token)
	if resp, body := do(t, confluence); resp.StatusCode != http.StatusOK || !strings.Contains(body, `"svc-api"`) {
		t.Fatalf("confluence: %s %s", resp.Status, body)
	}
}

// TestExportsThroughTheAdminAPI come whole, in both formats, and are in the trail.
func TestExportsThroughTheAdminAPI(t *testing.T) {
	t.Parallel()
	r := start(t, "")
	last, _ := r.call("/rest/api/2/myself", "Bearer "+r.token())
	id := last.Header.Get("X-Gatehouse-Request-Id")
	want := r.recorded(id)
	for format, lines := range map[string]int{"ndjson": 1, "csv": 2} {
		resp, body := r.admin(http.MethodGet, "audit/export?format="+format+"&request_id="+id, "", "")
		if resp.Trailer.Get("Gatehouse-Export-Complete") != "true" || resp.Trailer.Get("Gatehouse-Export-Records") != "1" ||
			strings.Count(body, "\n") != lines || !strings.Contains(body, want.Path) {
			t.Errorf("%s: %s, %v, %s", format, resp.Status, resp.Trailer, body)
		}
		r.recorded(resp.Header.Get("X-Gatehouse-Request-Id"))
	}
}

func TestASecondStartKeepsTheData(t *testing.T) {
	t.Parallel()
	r := start(t, "")
	let, _ := r.call("/rest/api/2/myself", "Bearer "+r.token())
	id := let.Header.Get("X-Gatehouse-Request-Id")
	r.recorded(id)
	r.change(func(d map[string]any) { jiraSite(d)["methods"].(map[string]any)["basic"] = false })
	adminToken := r.AdminToken
	r.stop()

	again := start(t, r.dir)
	if again.AdminToken != adminToken {
		t.Error("another admin token")
	}
	if e := again.recorded(id); e.Decision != "allow" {
		t.Errorf("%+v", e)
	}
	if resp, body := again.call("/rest/api/2/myself", "Bearer "+again.token()); resp.StatusCode != http.StatusOK {
		t.Errorf("after the second start: %s %s", resp.Status, body) // the lab listens on other ports now
	}
	again.change(func(d map[string]any) {
		if jiraSite(d)["methods"].(map[string]any)["basic"] != false {
			t.Errorf("the change is gone: %v", d)
		}
	})
}

func TestTwoSuitesDoNotShareAFolder(t *testing.T) {
	t.Parallel()
	r := start(t, "")
	s, err := suite.Load([]string{"GATEHOUSE_DATA_DIR=" + r.dir, "GATEHOUSE_NATS_LISTEN=127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := suite.Start(t.Context(), service.NewProcess(testkit.Logger(t), nil), s); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("in use by process %d", os.Getpid())) {
		t.Fatalf("got %v", err)
	}
}

// TestASecretIsGreppableNowhere puts a secret in and searches everything that is kept, answered or logged.
func TestASecretIsGreppableNowhere(t *testing.T) {
	t.Parallel()
	r := start(t, "")
	const needle = "correct-horse-battery-staple"
	r.change(func(d map[string]any) {
		provider := jiraSite(d)["providers"].([]any)[0].(map[string]any)
		provider["client_secret"] = map[string]any{"value": needle}
		jiraSite(d)["upstream"].(map[string]any)["accounts"].(map[string]any)["other"] = map[string]any{"value": needle}
	})
	token := r.token()
	tries(r, needle)
	last, _ := r.call("/rest/api/2/myself?access_token="+needle+"&os_password="+needle, "Bearer "+token)
	r.recorded(last.Header.Get("X-Gatehouse-Request-Id"))
	seen := map[string]string{"log": r.logs.String()}
	for _, path := range []string{"config", "config/events", "config/history", "gateways", "audit/events?limit=100"} {
		_, seen[path] = r.admin(http.MethodGet, path, "", "")
	}
	for _, path := range []string{"/metrics", "/readyz"} {
		w := httptest.NewRecorder()
		r.process.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		seen[path] = w.Body.String()
	}
	if !strings.Contains(seen["/metrics"], "gatehouse_") || !strings.Contains(seen["/readyz"], "gateway") || !strings.Contains(seen["config"], "fingerprint") {
		t.Fatal("what should be searched is not there")
	}
	r.stop() // NATS and Postgres write everything out
	err := filepath.WalkDir(r.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if strings.Contains(path, "/keys/") || err != nil {
			return nil
		}
		seen[path] = string(data)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(seen) < 50 {
		t.Fatalf("only %d places were searched", len(seen))
	}
	for place, text := range seen {
		if strings.Contains(text, needle) {
			t.Errorf("the secret is in %s", place)
		}
		if strings.Contains(text, token) {
			t.Errorf("the access token is in %s", place)
		}
	}
}

// tries has credentials tried that hold a needle, on the configuration, on drafts and as a saved test, and signs in with them.
func tries(r *running, needle string) {
	r.t.Helper()
	draft := r.document()
	provider := jiraSite(draft)["providers"].([]any)[0].(map[string]any)
	provider["client_secret"] = map[string]any{"value": needle + "-of-a-draft"}
	jiraSite(draft)["upstream"].(map[string]any)["accounts"].(map[string]any)["draft"] = map[string]any{"value": needle + "-draft"}
	for _, attempt := range []map[string]any{
		{"type": "oauth", "token": needle},
		{"type": "pat", "token": needle},
		{"type": "api_token", "token": "ght_" + needle},
		{"type": "basic", "username": "alice", "password": needle},
		{"type": "oauth", "token": needle, "document": draft},
		{"type": "oauth", "fetch": true, "client_id": "ci-bot", "client_secret": needle},
		{"type": "oauth", "fetch": true, "document": draft},
		{"type": "none", "path": "/rest/api/2/myself?access_token=" + needle},
	} {
		body, err := json.Marshal(attempt)
		if err != nil {
			r.t.Fatal(err)
		}
		resp, text := r.admin(http.MethodPost, "sites/jira/test-token", "", string(body))
		if resp.StatusCode != http.StatusOK || strings.Contains(text, needle) {
			r.t.Errorf("%v: %s %s", attempt, resp.Status, text)
		}
	}
	body, err := json.Marshal(func() any {
		d := r.document()
		jiraSite(d)["tests"] = []any{map[string]any{"name": "t", "type": "oauth", "credential": map[string]any{"value": needle}, "expect": "deny"}}
		jiraSite(d)["grant"] = "authorization_code"
		return d
	}())
	if err != nil {
		r.t.Fatal(err)
	}
	if resp, text := r.admin(http.MethodPut, "config?wait=applied&confirm=grant&force=tests", "*", string(body)); resp.StatusCode != http.StatusOK || strings.Contains(text, needle) {
		r.t.Errorf("%s %s", resp.Status, text)
	}
	r.call("/plugins/servlet/restauth/token?provider=lab", "")
	r.call("/plugins/servlet/restauth/token?state=x&code="+needle, "")
}
