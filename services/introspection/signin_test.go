package introspection_test

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	identityv1 "github.com/gatehouse-suite/gatehouse/proto/identity/v1"
	"github.com/gatehouse-suite/gatehouse/shared/ask"
	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/gatehouse-suite/gatehouse/shared/topology"

	"github.com/gatehouse-suite/gatehouse/services/introspection"
)

func (w *world) authorize(site, provider, redirect string) (*identityv1.AuthorizeReply, error) {
	ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
	defer cancel()
	reply := new(identityv1.AuthorizeReply)
	return reply, ask.Do(ctx, w.gw, topology.Authorize, &identityv1.AuthorizeRequest{
		Site: site, Provider: provider, RedirectUri: redirect, ConfigSequence: w.at.Seq,
	}, reply)
}

func (w *world) exchange(r *identityv1.ExchangeRequest) (*identityv1.ExchangeReply, error) {
	ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
	defer cancel()
	reply := new(identityv1.ExchangeReply)
	return reply, ask.Do(ctx, w.gw, topology.Exchange, r, reply)
}

// browse goes to a URL as a browser does, until it is sent to the redirect URI, and gives what is said there.
func browse(t *testing.T, at, redirect string) url.Values {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), redirect) {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, at, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	back, err := url.Parse(resp.Header.Get("Location"))
	if err != nil || !strings.HasPrefix(back.String(), redirect) {
		t.Fatalf("%s: sent to %q, %v", resp.Status, back, err)
	}
	return back.Query()
}

// altered is a text with one character of another value.
func altered(text string) string {
	other := "A"
	if text[5] == 'A' {
		other = "B"
	}
	return text[:5] + other + text[6:]
}

// TestPeopleSignInAtASecondProvider with each way of showing ourselves, and what has been tampered with is not taken.
func TestPeopleSignInAtASecondProvider(t *testing.T) {
	t.Parallel()
	testkit.Long(t)
	key := ecKey(t, "k1")
	s, w := startSecond(t, key), newWorld(t)
	der, err := x509.MarshalPKCS8PrivateKey(key.key)
	if err != nil {
		t.Fatal(err)
	}
	text := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	base := configlog.Provider{ID: "second", Kind: "custom", Issuer: s.issuer, Scope: "openid read", UsernameClaim: "sub", Cache: configlog.Cache{MaxTTL: configlog.Duration(time.Minute)}}
	basic, post, byKey := base, base, base
	basic.ClientID, basic.ClientSecret, basic.CallerAuth = "gatehouse", w.seal("a secret:+%/"), "client_secret_basic"
	post.ClientID, post.ClientSecret, post.CallerAuth = "gatehouse-post", w.seal("posted"), "client_secret_post"
	byKey.ClientID, byKey.PrivateKey, byKey.PrivateKeyID, byKey.CallerAuth = "gatehouse-key", w.seal(text), "k1", "private_key_jwt"
	for site, p := range map[string]configlog.Provider{"basic": basic, "post": post, "key": byKey} {
		w.commit(registered(site, "jira"), trusted(site, p))
	}
	w.run(func(s *introspection.Settings) { s.CallTimeout = 20 * time.Second })
	redirect := s.issuer + "/plugins/servlet/restauth/token"
	for _, site := range []string{"basic", "post", "key"} {
		begun, err := w.authorize(site, "second", redirect)
		if err != nil || !strings.Contains(begun.GetUrl(), "code_challenge_method=S256") || strings.Contains(begun.GetUrl(), "secret") {
			t.Fatalf("%s: %v, %v", site, begun, err)
		}
		back := browse(t, begun.GetUrl(), redirect)
		good := &identityv1.ExchangeRequest{
			Site: site, Flow: begun.GetFlow(), State: back.Get("state"), Code: back.Get("code"), Issuer: back.Get("iss"), ConfigSequence: w.at.Seq,
		}
		for name, tampered := range map[string]*identityv1.ExchangeRequest{
			"state":        {Site: site, Flow: good.Flow, State: good.State + "x", Code: good.Code},
			"no state":     {Site: site, Flow: good.Flow, Code: good.Code},
			"flow":         {Site: site, Flow: altered(good.Flow), State: good.State, Code: good.Code},
			"no flow":      {Site: site, State: good.State, Code: good.Code},
			"another site": {Site: "other", Flow: good.Flow, State: good.State, Code: good.Code},
			"no code":      {Site: site, Flow: good.Flow, State: good.State},
			"no issuer":    {Site: site, Flow: good.Flow, State: good.State, Code: good.Code},
			"issuer":       {Site: site, Flow: good.Flow, State: good.State, Code: good.Code, Issuer: "https://evil.example.com"},
		} {
			if r, err := w.exchange(tampered); fault.CodeOf(err) != fault.Invalid {
				t.Errorf("%s, %s: %v, %v", site, name, r, err)
			}
		}
		issued, err := w.exchange(good)
		if err != nil || issued.GetProvider() != "second" || issued.GetToken().GetAccessToken() == "" || issued.GetToken().GetScope() != "openid read" || issued.GetToken().GetExpiresAt() == nil {
			t.Fatalf("%s: %v, %v", site, issued, err)
		}
		r, err := w.introspect(site, issued.GetToken().GetAccessToken())
		if err != nil || !r.GetActive() || r.GetMappedUser() != "alice" || r.GetHolder() != identityv1.IntrospectReply_HOLDER_PERSON && r.GetHolder() != identityv1.IntrospectReply_HOLDER_CLIENT {
			t.Errorf("%s: %v, %v", site, r, err)
		}
		if again, err := w.exchange(good); fault.CodeOf(err) != fault.Invalid || !strings.Contains(err.Error(), "invalid_grant") {
			t.Errorf("%s: a code twice: %v, %v", site, again, err)
		}
	}
	begun, err := w.authorize("basic", "second", redirect)
	if err != nil {
		t.Fatal(err)
	}
	if back := browse(t, begun.GetUrl()+"&ui_locales=no", redirect); back.Get("error") != "access_denied" || back.Get("code") != "" {
		t.Errorf("%v", back)
	}
	// Another provider under the same id is not shown the code, nor another token endpoint of the same.
	back := browse(t, begun.GetUrl(), redirect)
	moved := basic
	moved.TokenEndpoint = "https://evil.example.com/t"
	w.commit(trusted("basic", moved))
	if r, err := w.exchange(&identityv1.ExchangeRequest{Site: "basic", Flow: begun.GetFlow(), State: back.Get("state"), Code: back.Get("code"), ConfigSequence: w.at.Seq}); fault.CodeOf(err) != fault.Invalid || !strings.Contains(err.Error(), "another one") {
		t.Errorf("%v, %v", r, err)
	}
	basic.Issuer, basic.IntrospectionEndpoint, basic.TokenEndpoint = "", "https://evil.example.com/i", "https://evil.example.com/t"
	w.commit(trusted("basic", basic))
	if r, err := w.exchange(&identityv1.ExchangeRequest{Site: "basic", Flow: begun.GetFlow(), State: back.Get("state"), Code: back.Get("code"), ConfigSequence: w.at.Seq}); fault.CodeOf(err) != fault.Invalid || !strings.Contains(err.Error(), "another one") {
		t.Errorf("%v, %v", r, err)
	}
}

// TestASignInEnds when its time is over, though the provider might still take the code.
func TestASignInEnds(t *testing.T) {
	t.Parallel()
	w, f := newWorld(t), newFakeProvider(t)
	p := w.provider(f.URL)
	p.AuthorizationEndpoint, p.TokenEndpoint = f.URL+"/authorize", f.URL+"/token"
	w.site(p)
	w.run(func(s *introspection.Settings) { s.SignInFor = 200 * time.Millisecond })
	begun, err := w.authorize("jira", "corp", "https://jira.example.com/")
	if err != nil || begun.GetGoodFor().AsDuration() != 200*time.Millisecond {
		t.Fatal(begun, err)
	}
	at, err := url.Parse(begun.GetUrl())
	if err != nil {
		t.Fatal(err)
	}
	testkit.Until(t, "the sign-in to end", func() bool {
		_, err := w.exchange(&identityv1.ExchangeRequest{Site: "jira", Flow: begun.GetFlow(), State: at.Query().Get("state"), Code: "x"})
		return fault.CodeOf(err) == fault.Invalid && strings.Contains(err.Error(), "too long ago")
	})
}

// TestWhatATokenEndpointMayDoWrong: a clear word about it, and nothing of what it said.
func TestWhatATokenEndpointMayDoWrong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var answer http.HandlerFunc
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { answer(w, r) }))
	t.Cleanup(server.Close)
	p := w.provider(server.URL + "/introspect")
	p.AuthorizationEndpoint, p.TokenEndpoint = server.URL+"/authorize?tenant=1", server.URL+"/token"
	w.site(p)
	i := w.run(func(s *introspection.Settings) { s.CallTimeout = 300 * time.Millisecond })
	json := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}
	for _, c := range []struct {
		name, want string
		answer     http.HandlerFunc
	}{
		{"refusal", "400 invalid_grant", json(400, `{"error":"invalid_grant","error_description":"needle"}`)},
		{"odd refusal", "it answers 401", json(401, `{"error":"needle <script>"}`)},
		{"failure", "it answers 500", json(500, `needle`)},
		{"no token", "is no token", json(200, `{"token":"needle"}`)},
		{"no JSON", "is no token", json(200, `needle`)},
		{"an empty token", "is no token", json(200, `{"access_token":""}`)},
		{"a token with a line break", "no token", json(200, `{"access_token":"needle\nneedle"}`)},
		{"endless scopes", "is no token", json(200, `{"access_token":"t","scope":"`+strings.Repeat("needle ", 1<<12)+`"}`)},
		{"a list", "is no token", json(200, `["needle"]`)},
		{"redirect", "it answers 302", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere?needle", http.StatusFound)
		}},
		{"too long", "is no token", json(200, `{"access_token":"`+strings.Repeat("needle", 1<<20)+`"}`)},
		{"hangs", "no answer in time", func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // else the server does not see the client leave
			<-r.Context().Done()
		}},
	} {
		begun, err := w.authorize("jira", "corp", "https://jira.example.com/plugins/servlet/restauth/token")
		if err != nil || !strings.HasPrefix(begun.GetUrl(), p.AuthorizationEndpoint+"&") {
			t.Fatalf("%v, %v", begun, err)
		}
		u, err := url.Parse(begun.GetUrl())
		if err != nil {
			t.Fatal(err)
		}
		answer = c.answer
		r, err := w.exchange(&identityv1.ExchangeRequest{Site: "jira", Flow: begun.GetFlow(), State: u.Query().Get("state"), Code: "needle-code"})
		code := fault.Unavailable
		if c.name == "refusal" {
			code = fault.Invalid
		}
		if fault.CodeOf(err) != code || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "needle") {
			t.Errorf("%s: %v, %v", c.name, r, err)
		}
	}
	server.Close()
	begun, err := w.authorize("jira", "corp", "https://jira.example.com/plugins/servlet/restauth/token")
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(begun.GetUrl())
	if err != nil {
		t.Fatal(err)
	}
	if r, err := w.exchange(&identityv1.ExchangeRequest{Site: "jira", Flow: begun.GetFlow(), State: u.Query().Get("state"), Code: "needle-code"}); fault.CodeOf(err) != fault.Unavailable || !strings.Contains(err.Error(), "refused") {
		t.Errorf("not there: %v, %v", r, err)
	}
	if r, err := w.authorize("jira", "nope", "https://h/"); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("%v, %v", r, err)
	}
	if strings.Contains(i.logs.String()+i.metrics(), "needle") {
		t.Error("what was said is in the log or a metric")
	}
	if i.metric(t, "gatehouse_introspection_provider_calls_total", `call="token"`, `result="timeout"`) != 1 {
		t.Error("not counted")
	}
	// Where nobody says where people sign in, that is said.
	p.AuthorizationEndpoint = ""
	w.commit(trusted("jira", p))
	if r, err := w.authorize("jira", "corp", "https://h/"); fault.CodeOf(err) != fault.Unavailable || !strings.Contains(err.Error(), "authorization_endpoint") {
		t.Errorf("%v, %v", r, err)
	}
	p.AuthorizationEndpoint, p.ClientID = "https://h/a", ""
	w.commit(trusted("jira", p))
	if r, err := w.authorize("jira", "corp", "https://h/"); fault.CodeOf(err) != fault.Unavailable || !strings.Contains(err.Error(), "client_id") {
		t.Errorf("%v, %v", r, err)
	}
}
