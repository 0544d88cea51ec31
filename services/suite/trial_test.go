package suite_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gatehouse-suite/gatehouse/shared/testkit"

	"github.com/gatehouse-suite/gatehouse/services/lab"
)

// tried is what of a trial's answer the tests look at.
type tried struct {
	Decision, Reason, Detail, Observed, Row, Credential, Fingerprint, User, Provider string
	SeenAs                                                                           string `json:"seen_as"`
	Draft                                                                            bool
	Version                                                                          uint64
	Status                                                                           int
	Met                                                                              *bool
	Groups, Warnings                                                                 []string
	Token                                                                            *struct {
		Active bool
		Holder string
		Scopes []string
	}
	Steps []struct {
		Name, Result, Reason string
		Took                 float64 `json:"took_ms"`
		Exchanges            []struct {
			To, Method, URL, Received, Problem string
			Sent                               map[string][]string
			Status                             int
		}
	}
}

// asked gives the exchanges of a step, in short.
func (a *tried) asked(step string) (all []string) {
	for _, s := range a.Steps {
		if s.Name == step {
			for _, x := range s.Exchanges {
				all = append(all, x.To+" "+x.Method+" "+x.URL)
			}
		}
	}
	return all
}

// try tries a credential at a site.
func (r *running) try(site string, attempt map[string]any) *tried {
	r.t.Helper()
	body, err := json.Marshal(attempt)
	if err != nil {
		r.t.Fatal(err)
	}
	resp, text := r.admin(http.MethodPost, "sites/"+site+"/test-token", "", string(body))
	answer := new(tried)
	if err := json.Unmarshal([]byte(text), answer); err != nil || resp.StatusCode != http.StatusOK {
		r.t.Fatalf("%s %s", resp.Status, text)
	}
	for _, secret := range []string{lab.ClientSecret, lab.ResourceSecret, "alice-password"} {
		if strings.Contains(text, secret) {
			r.t.Errorf("%s is in %s", secret, text)
		}
	}
	if token, _ := attempt["token"].(string); len(token) > 20 && strings.Contains(text, token) {
		r.t.Errorf("the token is in %s", text)
	}
	return answer
}

// document gives the configuration, to be made a draft of.
func (r *running) document() map[string]any {
	r.t.Helper()
	_, body := r.admin(http.MethodGet, "config", "", "")
	var document map[string]any
	if err := json.Unmarshal([]byte(body), &document); err != nil {
		r.t.Fatal(err)
	}
	return document
}

// fetched is the attempt of a token that the lab's bot gets.
func fetched(more ...any) map[string]any {
	attempt := map[string]any{"type": "oauth", "fetch": true, "client_id": lab.ClientID, "client_secret": lab.ClientSecret}
	for i := 0; i+1 < len(more); i += 2 {
		name, _ := more[i].(string)
		attempt[name] = more[i+1]
	}
	return attempt
}

func TestACredentialIsTried(t *testing.T) {
	t.Parallel()
	r := start(t, "")
	issuer := r.Lab.Provider.Issuer()

	token := r.token()
	a := r.try("jira", map[string]any{"type": "oauth", "token": token, "expect": "allow", "user": "SVC-API"})
	if a.Decision != "allow" || a.Row != "node" || a.User != "svc-api" || a.SeenAs != "svc-api" || a.Status != 200 || a.Draft || a.Version == 0 || a.Met == nil || !*a.Met {
		t.Errorf("%+v", a)
	}
	if a.Token == nil || !a.Token.Active || a.Token.Holder != "client" || len(a.Token.Scopes) != 2 {
		t.Errorf("%+v", a.Token)
	}
	if asked := a.asked("10 who is it"); len(asked) != 1 || asked[0] != "provider lab POST "+issuer+"/oauth/introspect" {
		t.Errorf("%q", asked)
	}
	if asked := a.asked("node"); len(asked) != 1 || !strings.HasSuffix(asked[0], " GET /rest/api/2/myself") {
		t.Errorf("%q", asked)
	}
	// What is known is asked for anew: the provider has forgotten the token, and the gateway remembers it for the others.
	resp, _ := r.call("/rest/api/2/myself", "Bearer "+token)
	if resp.StatusCode != 200 {
		t.Fatal(resp.Status)
	}
	if called := r.recorded(resp.Header.Get("X-Gatehouse-Request-Id")); called.Fingerprint != a.Fingerprint || a.Fingerprint == "" {
		t.Errorf("fingerprint %q, in the trail %q", a.Fingerprint, called.Fingerprint)
	}
	r.Lab.Provider.Revoke(t.Context(), token)
	if a = r.try("jira", map[string]any{"type": "oauth", "token": token, "expect": "allow"}); a.Reason != "token_inactive" || a.Row != "10 who is it" || a.Status != 401 || *a.Met {
		t.Errorf("%+v", a)
	}
	if resp, _ := r.call("/rest/api/2/myself", "Bearer "+token); resp.StatusCode != 200 {
		t.Errorf("a trial has changed what the gateway remembers: %s", resp.Status)
	}

	a = r.try("jira", fetched("method", "POST", "path", "/rest/api/2/issue"))
	if a.Decision != "allow" || len(a.asked("fetch")) != 2 || a.Steps[0].Exchanges[1].Received == "" {
		t.Errorf("%+v", a)
	}
	if a = r.try("jira", map[string]any{"fetch": true, "type": "oauth"}); a.Reason != "token_not_issued" || a.Row != "fetch" || !strings.Contains(a.Detail, "unauthorized_client") {
		t.Errorf("%+v", a) // the resource client gets no tokens
	}
	for _, basic := range []map[string]any{{"username": "alice", "password": "alice-password"}, {"token": "alice:alice-password"}} {
		basic["type"] = "basic"
		if a = r.try("jira", basic); a.Decision != "allow" || a.User != "alice" || a.SeenAs != "alice" || len(a.asked("10 who is it")) != 1 {
			t.Errorf("%+v", a)
		}
	}
	if a = r.try("jira", map[string]any{"type": "none", "path": "/rest/api/2/search"}); a.Reason != "anonymous" || a.SeenAs != "anonymous" || a.Credential != "none" {
		t.Errorf("%+v", a)
	}
	if a = r.try("jira", map[string]any{"type": "pat", "token": "no-pat"}); a.Credential != "oauth" || len(a.Warnings) != 1 {
		t.Errorf("%+v", a)
	}
	if a = r.try("confluence", map[string]any{"type": "oauth", "token": r.token()}); a.Decision != "allow" || !strings.HasSuffix(a.asked("node")[0], "/rest/api/user/current") {
		t.Errorf("%+v", a)
	}

	r.Lab.Provider.Stop()
	if a = r.try("jira", map[string]any{"type": "oauth", "token": token}); a.Reason != "provider_unavailable" || !strings.Contains(a.Steps[len(a.Steps)-1].Exchanges[0].Problem, "refused") {
		t.Errorf("%+v", a)
	}
	for _, n := range r.Lab.Jira.Nodes() {
		n.Stop()
	}
	if a = r.try("jira", map[string]any{"type": "none", "path": "/rest/api/2/search"}); a.Reason != "upstream_unreachable" || a.Row != "node" || a.Decision != "deny" || a.Status != 502 {
		t.Errorf("%+v", a)
	}
}

func TestWhatCannotBeTried(t *testing.T) {
	t.Parallel()
	r := start(t, "")
	for _, c := range []struct {
		site, body string
		status     int
		named      string
	}{
		{"jira", `{}`, 422, `"type"`},
		{"jira", `{"type":"oauth"}`, 422, `"token"`},
		{"jira", `{"type":"basic","username":"alice"}`, 422, `"password"`},
		{"jira", `{"type":"oauth","fetch":true,"client_id":"x"}`, 422, `"client_secret"`},
		{"jira", `{"type":"oauth","fetch":true,"provider":"nope"}`, 422, `"provider"`},
		{"jira", `{"type":"none","path":"rest"}`, 422, `"path"`},
		{"jira", `{"type":"none","method":"G T"}`, 422, `"method"`},
		{"jira", `{"type":"none","client_ip":"here"}`, 422, `"client_ip"`},
		{"jira", `{"test":"nope"}`, 422, `"test"`},
		{"jira", `{"test":"nope","method":"DELETE"}`, 422, `"method"`},
		{"jira", `{"test":"nope","expect":"deny","client_ip":"127.0.0.1"}`, 422, `"client_ip"`},
		{"jira", `{"type":"basic","username":"alice","password":"x","token":"y"}`, 422, `"token"`},
		{"jira", `{"type":"oauth","token":"x","client_secret":"y"}`, 422, `"client_secret"`},
		{"jira", `{"type":"none","expect":"Allow!"}`, 422, `"expect"`},
		{"jira", `{"type":"none","tokne":"x"}`, 422, `"tokne"`},
		{"jira", `{"type":"none","document":{"sites":[{"id":"jira"}]}}`, 422, `"document.sites[0].nodes"`},
		{"jira", `{"type":"none","document":[]}`, 422, `"document"`},
		{"nope", `{"type":"none"}`, 404, "nope"},
		{"jira", `{"type":"none","document":{"sites":[]}}`, 404, "jira"},
	} {
		if resp, text := r.admin(http.MethodPost, "sites/"+c.site+"/test-token", "", c.body); resp.StatusCode != c.status || !strings.Contains(text, c.named) {
			t.Errorf("%s: %s %s", c.body, resp.Status, text)
		}
	}
}

// TestADraftIsTried: a credential is judged as if a document were published that is not, and its new secrets are used.
func TestADraftIsTried(t *testing.T) {
	t.Parallel()
	r := start(t, "")
	draft := func(edit func(site map[string]any)) map[string]any {
		d := r.document()
		edit(jiraSite(d))
		return fetched("document", d)
	}
	provider := func(site map[string]any) map[string]any {
		all, _ := site["providers"].([]any)
		p, _ := all[0].(map[string]any)
		return p
	}
	for name, c := range map[string]struct {
		edit   func(site map[string]any)
		reason string
	}{
		"nothing": {func(map[string]any) {}, "allowed"},
		"client secret": {func(s map[string]any) {
			provider(s)["client_secret"] = map[string]any{"value": "another-secret"}
		}, "provider_unavailable"},
		"same client secret": {func(s map[string]any) {
			provider(s)["client_secret"] = map[string]any{"value": lab.ResourceSecret}
		}, "allowed"},
		"scope": {func(s map[string]any) { provider(s)["scope"] = "read" }, "allowed"},
		"required scope": {func(s map[string]any) {
			provider(s)["scope"], provider(s)["required_scopes"] = "read", []string{"write"}
		}, "scope_missing"},
		"account": {func(s map[string]any) {
			s["upstream"] = map[string]any{"driver": "basic", "accounts": map[string]any{"svc-api": map[string]any{"value": "svc-api-password"}}}
		}, "allowed"},
		"wrong account": {func(s map[string]any) {
			s["upstream"] = map[string]any{"driver": "basic", "accounts": map[string]any{"svc-api": map[string]any{"value": "wrong"}}}
		}, "upstream_identity_mismatch"},
		"group": {func(s map[string]any) {
			s["groups"] = map[string]any{"require": true, "allowed": []string{"jira-administrators"}}
		}, "group_denied"},
		"grant":   {func(s map[string]any) { s["grant"] = "jwt" }, "user_unknown"},
		"methods": {func(s map[string]any) { s["methods"] = map[string]any{"oauth": false} }, "oauth_disabled"},
	} {
		if a := r.try("jira", draft(c.edit)); a.Reason != c.reason || !a.Draft || a.Version != 0 {
			t.Errorf("%s: %s, want %s: %+v", name, a.Reason, c.reason, a)
		}
	}
	if resp, _ := r.call("/rest/api/2/myself", "Bearer "+r.token()); resp.StatusCode != 200 {
		t.Errorf("a draft has changed something: %s", resp.Status)
	}
}

// TestATrialTouchesNothingLive: a draft whose node calls our password wrong, and never stops to talk, does not take the account
// from the calls that run; and the trail knows who tried it, and where, before it was answered.
func TestATrialTouchesNothingLive(t *testing.T) {
	t.Parallel()
	r := start(t, "")
	r.change(func(d map[string]any) {
		jiraSite(d)["upstream"] = map[string]any{"driver": "basic", "accounts": map[string]any{"svc-api": map[string]any{"value": "svc-api-password"}}}
	})
	node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/rest/api/2/myself" {
			t.Error("a draft's node is asked for " + r.URL.Path)
		}
		w.Header().Set("X-Seraph-LoginReason", "AUTHENTICATED_FAILED")
		w.Header().Set("X-AUSERNAME", "anonymous")
		for {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	}))
	t.Cleanup(node.Close)
	d := r.document()
	jiraSite(d)["nodes"] = []any{map[string]any{"id": "n1", "url": node.URL}}
	if a := r.try("jira", fetched("document", d)); a.Reason != "upstream_identity_mismatch" || a.Row != "node" {
		t.Errorf("%+v", a)
	}
	if a := r.try("jira", map[string]any{"type": "none", "path": "/rest/api/2/search", "document": d}); a.SeenAs != "anonymous" {
		t.Errorf("endless: %+v", a)
	}
	if resp, body := r.call("/rest/api/2/myself", "Bearer "+r.token()); resp.StatusCode != 200 {
		t.Errorf("a trial has taken the account: %s %s", resp.Status, body)
	}
	var text string
	testkit.Until(t, "both trials to be in the trail", func() bool {
		_, text = r.admin(http.MethodGet, "audit/events?kind=admin.credential_tried", "", "")
		return strings.Count(text, `"admin.credential_tried"`) == 2
	})
	if !strings.Contains(text, strings.TrimPrefix(node.URL, "http://")) || strings.Contains(text, lab.ClientSecret) {
		t.Error(text)
	}
}

// TestAPasswordThatRestsIsNotTried: the product counts wrong ones, so one that it refused in a call is not shown in a trial.
func TestAPasswordThatRestsIsNotTried(t *testing.T) {
	t.Parallel()
	r := start(t, "")
	r.change(func(d map[string]any) {
		jiraSite(d)["upstream"] = map[string]any{"driver": "basic", "accounts": map[string]any{"svc-api": map[string]any{"value": "wrong"}}}
	})
	if resp, body := r.call("/rest/api/2/myself", "Bearer "+r.token()); resp.StatusCode != 502 {
		t.Fatal(resp.Status, body)
	}
	if a := r.try("jira", fetched()); a.Reason != "upstream_identity_mismatch" || a.Row != "11 as whom" {
		t.Errorf("%+v", a)
	}
	d := r.document()
	jiraSite(d)["upstream"].(map[string]any)["accounts"] = map[string]any{"svc-api": map[string]any{"value": "svc-api-password"}}
	if a := r.try("jira", fetched("document", d)); a.Decision != "allow" {
		t.Errorf("another password: %+v", a)
	}
}

// TestAChangeThatBreaksATestIsRefused, and nothing else is.
func TestAChangeThatBreaksATestIsRefused(t *testing.T) {
	t.Parallel()
	r := start(t, "")
	put := func(query string, edit func(document map[string]any)) (int, string) {
		d := r.document()
		edit(d)
		body, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		resp, text := r.admin(http.MethodPut, "config?wait=applied&"+query, "*", string(body))
		return resp.StatusCode, text
	}
	basic := func(on bool) func(map[string]any) {
		return func(d map[string]any) { jiraSite(d)["methods"].(map[string]any)["basic"] = on }
	}
	tests := []any{
		fetchedTest("bot", "allow", "svc-api"),
		map[string]any{"name": "alice", "type": "basic", "username": "alice", "credential": map[string]any{"value": "alice-password"}, "expect": "allow", "user": "alice"},
	}
	if status, text := put("", func(d map[string]any) { jiraSite(d)["tests"] = append(tests, fetchedTest("wrong", "deny", "")) }); status != 409 || !strings.Contains(text, "tests_failed") || !strings.Contains(text, "sites[0].tests[2]") || strings.Contains(text, "sites[0].tests[1]") {
		t.Fatalf("a new test that fails: %d %s", status, text)
	}
	if status, text := put("", func(d map[string]any) { jiraSite(d)["tests"] = tests }); status != 200 || strings.Contains(text, `"path"`) {
		t.Fatalf("%d %s", status, text)
	}
	if a := r.try("jira", map[string]any{"test": "alice"}); a.User != "alice" || a.Met == nil || !*a.Met {
		t.Errorf("%+v", a)
	}
	if status, text := put("dry_run=true", basic(false)); status != 409 || !strings.Contains(text, "basic_disabled") {
		t.Errorf("dry run: %d %s", status, text)
	}
	if status, text := put("", basic(false)); status != 409 || !strings.Contains(text, "sites[0].tests[1]") {
		t.Errorf("%d %s", status, text)
	}
	if resp, _ := r.call("/rest/api/2/myself", "Basic YWxpY2U6YWxpY2UtcGFzc3dvcmQ="); resp.StatusCode != 200 {
		t.Errorf("a refused change was made: %s", resp.Status)
	}
	if status, text := put("force=tests", basic(false)); status != 200 || !strings.Contains(text, "basic_disabled") {
		t.Errorf("%d %s", status, text)
	}
	// It fails without the next change too: that one has not broken it.
	if status, text := put("", func(d map[string]any) { jiraSite(d)["token_creation"] = false }); status != 200 || !strings.Contains(text, "sites[0].tests[1]") {
		t.Errorf("%d %s", status, text)
	}
	otherwise := func(d map[string]any) { // fails too, and is another test
		jiraSite(d)["tests"].([]any)[1].(map[string]any)["expect"] = "read_only"
	}
	if status, text := put("", otherwise); status != 409 || !strings.Contains(text, "sites[0].tests[1]") {
		t.Errorf("%d %s", status, text)
	}
	if status, text := put("", basic(true)); status != 200 || strings.Contains(text, "sites[0].tests[1]") {
		t.Errorf("%d %s", status, text)
	}
	// A provider that is away holds up no change; a change of another site runs no test of this one.
	r.Lab.Provider.Stop()
	if status, text := put("", func(d map[string]any) { jiraSite(d)["token_creation"] = true }); status != 200 || !strings.Contains(text, "sites[0].tests[0]") {
		t.Errorf("%d %s", status, text)
	}
	if status, text := put("", func(d map[string]any) { d["sites"].([]any)[1].(map[string]any)["token_creation"] = false }); status != 200 || strings.Contains(text, "tests[") {
		t.Errorf("%d %s", status, text)
	}
	if resp, text := r.admin(http.MethodPost, "config/rollback", "*", `{"to":1}`); resp.StatusCode != 200 {
		t.Errorf("%s %s", resp.Status, text) // to a document without tests
	}
}

func fetchedTest(name, expect, user string) map[string]any {
	return map[string]any{
		"name": name, "fetch": true, "client_id": lab.ClientID, "credential": map[string]any{"value": lab.ClientSecret}, "expect": expect, "user": user,
	}
}
