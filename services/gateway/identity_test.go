package gateway_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	"github.com/gatehouse-suite/gatehouse/shared/secret"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/gatehouse-suite/gatehouse/services/lab"
)

const myself = "/rest/api/2/myself"

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// expect calls and holds status, reason ("" for a reply of the node) and a part of the body against the reply.
func expect(t *testing.T, gw *running, authorization, path string, status int, reason, part string) *http.Response {
	t.Helper()
	r := request(t, http.MethodGet, gw.url+path, nil)
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	resp, body := do(t, r)
	if resp.StatusCode != status || resp.Header.Get("X-Gatehouse-Reason") != reason || !strings.Contains(body, part) {
		t.Fatalf("%s with %.20q: %s, reason %q, %s; want %d, %q, %q", path, authorization, resp.Status, resp.Header.Get("X-Gatehouse-Reason"), body, status, reason, part)
	}
	if reason != "" {
		var shape struct {
			Message       string   `json:"message"`
			Dash          int      `json:"status-code"`
			Code          int      `json:"statusCode"`
			Reason        string   `json:"reason"`
			ErrorMessages []string `json:"errorMessages"`
		}
		if err := json.Unmarshal([]byte(body), &shape); err != nil || shape.Dash != status || shape.Code != status || shape.Reason != reason || len(shape.ErrorMessages) != 1 {
			t.Errorf("body %s: %v", body, err)
		}
	}
	return resp
}

func TestAClientCredentialsTokenActsAsTheServiceAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seq := w.commit(w.site()...)
	gw := w.gateway("")
	gw.reached(t, seq)
	token := w.token()
	for range 5 {
		resp := expect(t, gw, "bearer "+token, myself, http.StatusOK, "", `"name":"svc-api"`)
		if resp.Header.Get("Set-Cookie") != "" || resp.Header.Get("X-Ausername") != "svc-api" {
			t.Errorf("header %v", resp.Header)
		}
	}
	if n := w.lab.Provider.Introspections(); n != 1 {
		t.Errorf("the provider was asked %d times", n)
	}
	_, body := do(t, request(t, http.MethodGet, gw.url+"/rest/lab/1/echo?os_username=x&a=1&oauth_token=y", nil,
		"Authorization", "Bearer "+token, "Cookie", "JSESSIONID=1", "User-Agent", "Mozilla/5.0", "Origin", "https://evil", "X-Atlassian-Token", "no-check"))
	e := decode(t, body)
	if e.User != "svc-api" || e.RequestURI != "/rest/lab/1/echo?a=1" || e.Header["Cookie"] != nil || e.Header["Origin"] != nil ||
		e.Header["User-Agent"][0] != "Gatehouse" || e.Header["X-Atlassian-Token"] == nil || strings.Contains(body, token) {
		t.Errorf("node saw %s", body)
	}
}

func TestTokensThatAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	facts := w.site()
	seq := w.commit(facts...)
	gw := w.gateway("")
	gw.reached(t, seq)
	spec := func(change func(*lab.TokenSpec)) string { return "Bearer " + w.token(change) }

	resp := expect(t, gw, "Bearer wrong", myself, http.StatusUnauthorized, "token_inactive", "not active")
	if got := resp.Header.Get("WWW-Authenticate"); got != `Bearer realm="https://jira.example.com", error="invalid_token"` {
		t.Errorf("WWW-Authenticate: %s", got)
	}
	expect(t, gw, spec(func(s *lab.TokenSpec) { s.Lifetime = -time.Hour }), myself, http.StatusUnauthorized, "token_inactive", "")
	resp = expect(t, gw, spec(func(s *lab.TokenSpec) { s.Scopes = []string{"write"} }), myself, http.StatusForbidden, "scope_missing", "")
	if got := resp.Header.Get("WWW-Authenticate"); !strings.Contains(got, `error="insufficient_scope", scope="read"`) {
		t.Errorf("WWW-Authenticate: %s", got)
	}
	expect(t, gw, spec(func(s *lab.TokenSpec) { s.Subject, s.Username = "u1", "alice" }), myself, http.StatusForbidden, "not_a_client_token", "")
	expect(t, gw, "Bearer ght_"+strings.Repeat("a", 40), myself, http.StatusUnauthorized, "token_inactive", "")
	expect(t, gw, "Bearer "+strings.Repeat("a", 64<<10), myself, http.StatusBadRequest, "credential_malformed", "")
	expect(t, gw, "Bearer a b", myself, http.StatusBadRequest, "credential_malformed", "")
	expect(t, gw, "Bearer", myself, http.StatusBadRequest, "credential_malformed", "")
	expect(t, gw, "Digest x=y", myself, http.StatusUnauthorized, "scheme_unsupported", "")
	expect(t, gw, basic("alice", "\xff"), myself, http.StatusBadRequest, "credential_malformed", "")
	expect(t, gw, "Basic !!", myself, http.StatusBadRequest, "credential_malformed", "")

	two, body := do(t, request(t, http.MethodGet, gw.url+myself, nil, "Authorization", "Bearer a", "Authorization", "Bearer b"))
	if two.StatusCode != http.StatusBadRequest || two.Header.Get("X-Gatehouse-Reason") != "credential_malformed" {
		t.Errorf("two Authorization fields: %s %s", two.Status, body)
	}

	// Rules that change judge a token that is remembered at once.
	good := "Bearer " + w.token()
	expect(t, gw, good, myself, http.StatusOK, "", "svc-api")
	p := w.provider()
	p.Audience = "another"
	gw.reached(t, w.commit(&configv1.ProviderTrusted{Site: "jira", Provider: p}))
	expect(t, gw, good, myself, http.StatusForbidden, "audience_wrong", "")
	p.Audience, p.Clients = "", []*configv1.ClientMapping{{ClientId: "somebody-else"}}
	gw.reached(t, w.commit(&configv1.ProviderTrusted{Site: "jira", Provider: p}))
	expect(t, gw, good, myself, http.StatusForbidden, "no_upstream_account", "")
	gw.reached(t, w.commit(&configv1.MethodsSet{Site: "jira", Basic: true, Pat: true}))
	expect(t, gw, good, myself, http.StatusUnauthorized, "oauth_disabled", "")
}

func TestPATsAndPasswords(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seq := w.commit(w.site()...)
	gw := w.gateway("")
	gw.reached(t, seq)
	pat := w.lab.Jira.PAT("alice")
	expect(t, gw, "BEARER "+pat, myself, http.StatusOK, "", `"name":"alice"`)
	expect(t, gw, basic("bob", "bob-password"), myself, http.StatusOK, "", `"name":"bob"`)
	expect(t, gw, "", myself+"?os_username=bob&os_password=bob-password", http.StatusOK, "", `"name":"bob"`)

	expect(t, gw, "Bearer "+w.lab.Confluence.PAT("alice"), myself, http.StatusUnauthorized, "credential_refused", "")
	before := w.lab.Jira.PasswordAttempts("carol")
	for range 5 {
		expect(t, gw, basic("carol", "wrong"), myself, http.StatusUnauthorized, "credential_refused", "")
	}
	if n := w.lab.Jira.PasswordAttempts("carol") - before; n != 1 {
		t.Errorf("a refused password was tried %d times", n)
	}
	for _, wrong := range []string{"w2", "w3", "w4"} {
		r := request(t, http.MethodGet, gw.url+myself, nil, "Authorization", basic("carol", wrong))
		do(t, r)
	}
	resp := expect(t, gw, basic("carol", "carol-password"), myself, http.StatusForbidden, "captcha_required", "CAPTCHA")
	if !strings.Contains(resp.Header.Get("X-Authentication-Denied-Reason"), "CAPTCHA_CHALLENGE") || resp.Header.Get("X-Seraph-LoginReason") == "" {
		t.Errorf("header %v", resp.Header)
	}

	gw.reached(t, w.commit(&configv1.MethodsSet{Site: "jira", Oauth: true}))
	expect(t, gw, "Bearer "+pat, myself, http.StatusUnauthorized, "pat_disabled", "")
	expect(t, gw, basic("bob", "bob-password"), myself, http.StatusUnauthorized, "basic_disabled", "")
	expect(t, gw, "", myself+"?os_username=bob&os_password=bob-password", http.StatusUnauthorized, "basic_disabled", "")
	expect(t, gw, basic("bob", "bob-password"), "/secure/Dashboard.jspa", http.StatusUnauthorized, "basic_disabled", "")
}

func TestWhatIsNotACallOfTheAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seq := w.commit(w.site()...)
	gw := w.gateway("")
	gw.reached(t, seq)
	expect(t, gw, "", "/secure/Dashboard.jspa", http.StatusOK, "", "")
	expect(t, gw, "Negotiate abc", "/secure/Dashboard.jspa", http.StatusOK, "", "")
	expect(t, gw, "", "/rest/api/2/serverInfo", http.StatusOK, "", "")
	expect(t, gw, "", myself, http.StatusUnauthorized, "", "")
	expect(t, gw, "", "/rest/gatehouse/1.0/x", http.StatusNotFound, "own", "")
	expect(t, gw, "", "/plugins/servlet/restauth/other", http.StatusNotFound, "own", "")
	expect(t, gw, "", "/rest%2fapi/2/myself", http.StatusBadRequest, "path_ambiguous", "")
	gw.reached(t, w.commit(&configv1.EnforcementSwitched{Site: "jira"}))
	_, body := do(t, request(t, http.MethodGet, gw.url+"/rest/lab/1/echo", nil, "Authorization", "Bearer some.provider.token"))
	if e := decode(t, body); e.Header["Authorization"] != nil {
		t.Errorf("a provider's token reached the node: %s", body)
	}
}

func TestARevokedUpstreamTokenPassesNoAnonymousBody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seq := w.commit(w.site()...)
	gw := w.gateway("")
	gw.reached(t, seq)
	token := "Bearer " + w.token()
	expect(t, gw, token, "/rest/api/2/serverInfo", http.StatusOK, "", "")
	w.lab.Jira.RevokePAT(w.lab.Jira.PAT("svc-api"))
	resp := expect(t, gw, token, "/rest/api/2/serverInfo", http.StatusBadGateway, "upstream_identity_mismatch", "")
	if resp.Header.Get("X-Ausername") != "" || resp.Header.Get("X-Anodeid") != "" {
		t.Errorf("the node's header was passed on: %v", resp.Header)
	}
}

func TestAProviderThatIsAwayIsNotAnInvalidToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seq := w.commit(w.site()...)
	gw := w.gateway("")
	gw.reached(t, seq)
	known, fresh := "Bearer "+w.token(), "Bearer "+w.token()
	expect(t, gw, known, myself, http.StatusOK, "", "svc-api")
	for name, fault := range map[string]lab.Fault{
		"down": lab.Down(), "500": lab.Status500(), "html": lab.HTML200(), "not json": lab.NotJSON(), "huge": lab.Huge(), "redirect": lab.Redirect(),
	} {
		w.lab.Provider.SetFault(fault)
		resp := expect(t, gw, fresh, myself, http.StatusServiceUnavailable, "provider_unavailable", "")
		if resp.Header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", name)
		}
	}
	expect(t, gw, known, myself, http.StatusOK, "", "svc-api")
}

// TestNATSAway takes NATS away for half a minute: known tokens work all the time and new ones are not called invalid,
// also by a gateway that was restarted meanwhile, on what its Snapshot file holds.
func TestNATSAway(t *testing.T) {
	t.Parallel()
	testkit.Long(t)
	away := 30 * time.Second
	if testing.Short() {
		away = 2 * time.Second
	}
	w := newWorld(t)
	seq := w.commit(w.site()...)
	gw, restarted := w.gateway(""), w.gateway("")
	gw.reached(t, seq)
	restarted.reached(t, seq)
	known, pat := "Bearer "+w.token(), "Bearer "+w.lab.Jira.PAT("alice")
	expect(t, gw, known, myself, http.StatusOK, "", "svc-api")
	w.nats.Stop()
	restarted.stop()
	restarted = w.gateway(restarted.dir)
	restarted.reached(t, seq)

	calls := 0
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for began := time.Now(); time.Since(began) < away; calls++ {
		expect(t, gw, known, myself, http.StatusOK, "", "svc-api")
		for _, g := range []*running{gw, restarted} {
			expect(t, g, "", "/rest/api/2/serverInfo", http.StatusOK, "", "")
			resp := expect(t, g, "Bearer "+w.token(), myself, http.StatusServiceUnavailable, "provider_unavailable", "")
			if resp.Header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
			expect(t, g, pat, myself, http.StatusServiceUnavailable, "provider_unavailable", "")
		}
		<-again.C
	}
	t.Logf("%d rounds of calls while NATS was away", calls)

	w.nats.Start(t)
	token := "Bearer " + w.token()
	testkit.Until(t, "200, with the upstream credential out of the Snapshot file", func() bool {
		resp, _ := do(t, request(t, http.MethodGet, restarted.url+myself, nil, "Authorization", token))
		return resp.StatusCode == http.StatusOK
	})
}

func TestAConfigurationThatIsTooOldCloses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	facts := append(w.site(), &configv1.StalenessSet{Site: "jira", Max: durationpb.New(300 * time.Millisecond)})
	seq := w.commit(facts...)
	gw := w.gateway("")
	gw.reached(t, seq)
	expect(t, gw, "", "/rest/api/2/serverInfo", http.StatusOK, "", "")
	w.nats.Stop()
	testkit.Until(t, "configuration_stale", func() bool {
		resp, _ := do(t, request(t, http.MethodGet, gw.url+"/rest/api/2/serverInfo", nil))
		return resp.Header.Get("X-Gatehouse-Reason") == "configuration_stale"
	})
	w.nats.Start(t)
}

func TestACredentialThatCannotBeOpenedTakesOnlyItsAccountAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seq := w.commit(w.site()...)
	gw := w.gateway("")
	gw.reached(t, seq)
	sealedToAnother := w.seal(secret.Introspection, "x")
	gw.reached(t, w.commit(&configv1.UpstreamAccountSet{Site: "jira", Account: "svc-api", Credential: sealedToAnother}))
	expect(t, gw, "Bearer "+w.token(), myself, http.StatusForbidden, "no_upstream_account", "")
	expect(t, gw, "Bearer "+w.lab.Jira.PAT("alice"), myself, http.StatusOK, "", "alice")
}

func TestACallOfOddBytesIsRecordedAndStopsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seq := w.commit(w.site()...)
	gw := w.gateway("")
	gw.reached(t, seq)
	batches := w.audited()
	raw(t, gw.url, "GET /%ff?a=\xff HTTP/1.1\r\nHost: x\r\nUser-Agent: \xfe\xff\r\nConnection: close\r\n\r\n")
	resp := expect(t, gw, "", "/rest/api/2/serverInfo", http.StatusOK, "", "")
	want := resp.Header.Get("X-Gatehouse-Request-Id")
	var odd bool
	for record := range batches {
		odd = odd || record.GetReason() == "path_ambiguous"
		if record.GetRequestId() == want {
			break
		}
	}
	if !odd {
		t.Error("the odd call is not in the trail")
	}
}
