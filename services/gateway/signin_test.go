package gateway_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	"github.com/gatehouse-suite/gatehouse/shared/secret"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-suite/gatehouse/services/gateway"
)

const tokenPath = "/plugins/servlet/restauth/token"

// peopleSite is a site whose tokens act as who they are of; alice has a credential upstream.
func (w *world) peopleSite(more ...proto.Message) []proto.Message {
	w.t.Helper()
	p := w.provider()
	p.Name, p.Scope = "Corp & Sons", "openid read"
	return append([]proto.Message{
		&configv1.SiteAddressed{Site: "jira"},
		&configv1.GrantSwitched{Site: "jira", Grant: "authorization_code"},
		&configv1.ProviderTrusted{Site: "jira", Provider: p},
		&configv1.UpstreamAccountSet{Site: "jira", Account: "alice", Credential: w.seal(secret.Gateway, w.product.PAT("alice"))},
	}, more...)
}

// begins begins a sign-in and gives where the browser is sent.
func (p *person) begins() *url.URL {
	p.t.Helper()
	resp, body := p.get(tokenPath + "?provider=lab")
	at, err := resp.Location()
	if resp.StatusCode != http.StatusSeeOther || err != nil {
		p.t.Fatal(resp.Status, body)
	}
	return at
}

// atProvider goes where the page sends a person and logs in there; it gives where the provider sends the person back to.
func (p *person) atProvider(at, user string) string {
	p.t.Helper()
	resp, _ := p.do(request(p.t, http.MethodGet, at, nil))
	login, err := resp.Location()
	if err != nil {
		p.t.Fatal(resp.Status, err)
	}
	form := url.Values{"id": {login.Query().Get("id")}, "username": {user}, "password": {user + "-password"}}
	login.RawQuery = ""
	resp, body := p.do(request(p.t, http.MethodPost, login.String(), strings.NewReader(form.Encode()), "Content-Type", "application/x-www-form-urlencoded"))
	callback, err := resp.Location()
	if err != nil {
		p.t.Fatal(resp.Status, body)
	}
	resp, body = p.do(request(p.t, http.MethodGet, callback.String(), nil))
	if resp.StatusCode != http.StatusFound {
		p.t.Fatal(resp.Status, body)
	}
	return resp.Header.Get("Location")
}

// signIn signs a person in and gives the page that shows the token, and where it was.
func (p *person) signIn(user string) (resp *http.Response, page, at string) {
	p.t.Helper()
	at = p.atProvider(p.begins().String(), user)
	resp, page = p.do(request(p.t, http.MethodGet, at, nil))
	return resp, page, at
}

func shownToken(t *testing.T, page string) string {
	t.Helper()
	found := regexp.MustCompile(`<textarea id="token"[^>]*>([^<]+)</textarea>`).FindStringSubmatch(page)
	if found == nil {
		t.Fatal("no token is shown: " + page)
	}
	return found[1]
}

func TestAPersonGetsAToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gw := w.started(w.peopleSite()...)
	alice := gw.person(t)
	resp, page := alice.get(tokenPath)
	if resp.StatusCode != http.StatusOK || !strings.Contains(page, "Sign in with Corp &amp; Sons") || !strings.Contains(page, `href="`+tokenPath+`?provider=lab"`) {
		t.Errorf("%s %s", resp.Status, page)
	}
	resp, page, back := alice.signIn("alice")
	token := shownToken(t, page)
	if resp.StatusCode != http.StatusOK || !strings.Contains(page, "<dd>alice</dd>") || strings.Contains(page, `role="alert"`) {
		t.Errorf("%s %s", resp.Status, page)
	}
	for name, want := range map[string]string{
		"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY", "X-Gatehouse-Reason": "own", "Content-Type": "text/html; charset=utf-8",
	} {
		if resp.Header.Get(name) != want {
			t.Errorf("%s: %s", name, resp.Header.Get(name))
		}
	}
	if policy := resp.Header.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'; style-src 'sha256-") || strings.Contains(policy, "unsafe") {
		t.Error(policy)
	}
	if cookies := resp.Cookies(); len(cookies) != 1 || cookies[0].MaxAge >= 0 {
		t.Errorf("the sign-in is kept: %v", cookies)
	}
	called, _ := alice.do(request(t, http.MethodGet, gw.url+"/rest/api/2/myself", nil, "Authorization", "Bearer "+token))
	if called.StatusCode != http.StatusOK || called.Header.Get("X-AUSERNAME") != "alice" {
		t.Errorf("%s as %s", called.Status, called.Header.Get("X-AUSERNAME"))
	}
	// The page is not shown again, to her or to anybody else.
	if resp, page := alice.do(request(t, http.MethodGet, back, nil)); resp.StatusCode != http.StatusBadRequest || strings.Contains(page, token) {
		t.Errorf("%s %s", resp.Status, page)
	}
	for r := range w.audited() {
		if r.GetRequestId() != resp.Header.Get("X-Gatehouse-Request-Id") {
			continue
		}
		if r.GetUser() != "alice" || r.GetProvider() != "lab" || r.GetClientId() != "gatehouse" || r.GetCredentialFingerprint() == "" || r.GetDetail() != "token issued" || r.GetStatus() != 200 {
			t.Errorf("%v", r)
		}
		if text := r.String(); strings.Contains(text, token) || strings.Contains(text, "code=ey") {
			t.Error("the record holds the token or the code")
		}
		break
	}
	// The token of somebody without a credential upstream is shown, and that calls with it are refused.
	if _, page, _ := gw.person(t).signIn("bob"); !strings.Contains(page, "no_upstream_account") || shownToken(t, page) == "" {
		t.Error(page)
	}
}

// TestASignInOfAnotherBrowserIsRefused: who is sent to the redirect URI with somebody else's code gets nothing (RFC 6749 §10.12).
func TestASignInOfAnotherBrowserIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gw := w.started(w.peopleSite()...)
	mallory, alice := gw.person(t), gw.person(t)
	evil := mallory.atProvider(mallory.begins().String(), "bob")
	if resp, page := alice.do(request(t, http.MethodGet, evil, nil)); resp.StatusCode != http.StatusBadRequest || strings.Contains(page, `id="token"`) {
		t.Errorf("without a sign-in of her own: %s %s", resp.Status, page)
	}
	alice.get(tokenPath + "?provider=lab")
	if resp, page := alice.do(request(t, http.MethodGet, evil, nil)); resp.StatusCode != http.StatusBadRequest || strings.Contains(page, `id="token"`) {
		t.Errorf("with one: %s %s", resp.Status, page)
	}
	if resp, page := mallory.do(request(t, http.MethodGet, evil, nil)); resp.StatusCode != http.StatusOK {
		t.Errorf("his own: %s %s", resp.Status, page)
	}
}

func TestWhatTheTokenPageAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gw := w.started(w.peopleSite()...)
	p := gw.person(t)
	state := func() string { return p.begins().Query().Get("state") }
	for _, c := range []struct {
		name, query string
		status      int
		says        string
	}{
		{"an unknown provider", "?provider=nope", 400, "no such provider"},
		{"no sign-in", "?code=x&state=x", 400, "not begun in this browser"},
		{"a refusal", "?error=access_denied&state=" + state(), 400, "access_denied"},
		{"a refusal with more to say", "?error=%3Cscript%3E&error_description=call+us&state=" + state(), 400, "did not sign you in."},
		{"another state", "?code=x&state=" + state() + "x", 400, "not begun in this browser"},
		{"no state", "?code=x", 400, "not begun in this browser"},
		{"a stranger's refusal", "?error=access_denied&state=x", 400, "not begun in this browser"},
		{"a broken query", "?code=%zz", 400, "cannot be read"},
	} {
		resp, page := p.get(tokenPath + c.query)
		if resp.StatusCode != c.status || !strings.Contains(page, c.says) || strings.Contains(page, "<script") || strings.Contains(page, "call us") {
			t.Errorf("%s: %s %s", c.name, resp.Status, page)
		}
	}
	if resp, _ := p.do(request(t, http.MethodPost, gw.url+tokenPath, nil)); resp.StatusCode != http.StatusMethodNotAllowed || resp.Header.Get("Allow") != "GET, HEAD" {
		t.Error(resp.Status)
	}
	if resp, body := p.do(request(t, http.MethodHead, gw.url+tokenPath+"?provider=lab", nil)); resp.StatusCode != http.StatusOK || body != "" || len(resp.Cookies()) != 0 {
		t.Error(resp.Status, body)
	}
	// The code of a sign-in that the provider does not take: said, without what it said.
	if resp, page := p.get(tokenPath + "?code=invented&state=" + state()); resp.StatusCode != http.StatusBadRequest || !strings.Contains(page, "invalid_grant") {
		t.Errorf("%s %s", resp.Status, page)
	}
	w.lab.Provider.Stop()
	// Its endpoints are known by now.
	if resp, page := p.get(tokenPath + "?code=x&state=" + state()); resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(page, "refused") {
		t.Errorf("provider away: %s %s", resp.Status, page)
	}
	w.stopIntrospection()
	if resp, page := p.get(tokenPath + "?provider=lab"); resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(page, "did not work") {
		t.Errorf("introspection away: %s %s", resp.Status, page)
	}
	seq := w.commit(&configv1.GrantSwitched{Site: "jira", Grant: "client_credentials"})
	gw.reached(t, seq)
	if resp, page := p.get(tokenPath); resp.StatusCode != http.StatusOK || !strings.Contains(page, "client credentials") || strings.Contains(page, "Sign in with") {
		t.Errorf("%s %s", resp.Status, page)
	}
	if resp, page := p.get(tokenPath + "?provider=lab"); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("%s %s", resp.Status, page)
	}
}

// TestTheRedirectURIIsTheSites: what is registered at the provider does not depend on who calls under which host.
func TestTheRedirectURIIsTheSites(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gw := w.started(w.peopleSite(&configv1.SiteAddressed{Site: "jira", BaseUrl: "https://jira.example.com/jira", ContextPath: "/jira"})...)
	p := gw.person(t)
	resp, _ := p.get("/jira" + tokenPath + "?provider=lab")
	at, err := resp.Location()
	if err != nil || at.Query().Get("redirect_uri") != "https://jira.example.com/jira"+tokenPath || at.Query().Get("code_challenge_method") != "S256" || at.Query().Get("scope") != "openid read" {
		t.Errorf("%v, %v", at, err)
	}
	if cookies := resp.Cookies(); len(cookies) != 1 || cookies[0].Name != "__Secure-GATEHOUSE_SIGN_IN_"+at.Query().Get("state") || !cookies[0].Secure || !cookies[0].HttpOnly || cookies[0].SameSite != http.SameSiteLaxMode || cookies[0].Path != "/jira"+tokenPath {
		t.Errorf("%v", cookies)
	}
}

// TestWhereTokensOpenNothingNoneIsIssued: with OAuth off, or the site, nobody is sent to sign in; where the site only observes, the
// page says what it would be refused for, and the trail has the token's fingerprint all the same.
func TestWhereTokensOpenNothingNoneIsIssued(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gw := w.started(w.peopleSite(&configv1.ModeSet{Site: "jira", Mode: "observe"})...)
	p := gw.person(t)
	resp, page, _ := p.signIn("bob")
	if token := shownToken(t, page); token == "" || !strings.Contains(page, "no_upstream_account") || strings.Contains(page, "Acts as") {
		t.Error(page)
	}
	for r := range w.audited() {
		if r.GetRequestId() == resp.Header.Get("X-Gatehouse-Request-Id") {
			if r.GetCredentialFingerprint() == "" || !strings.Contains(r.GetDetail(), "no_upstream_account") {
				t.Errorf("%v", r)
			}
			break
		}
	}
	for name, fact := range map[string]proto.Message{
		"OAuth off": &configv1.MethodsSet{Site: "jira", Basic: true, Pat: true, ApiTokens: true, Links: true},
		"site off":  &configv1.EnforcementSwitched{Site: "jira"},
	} {
		seq := w.commit(&configv1.MethodsSet{Site: "jira", Basic: true, Oauth: true, Pat: true, ApiTokens: true, Links: true}, &configv1.EnforcementSwitched{Site: "jira", Enabled: true}, fact)
		gw.reached(t, seq)
		if resp, page := p.get(tokenPath); resp.StatusCode != http.StatusOK || strings.Contains(page, "Sign in with") || !strings.Contains(page, "takes no tokens") {
			t.Errorf("%s: %s %s", name, resp.Status, page)
		}
		if resp, page := p.get(tokenPath + "?provider=lab"); resp.StatusCode != http.StatusBadRequest || len(resp.Cookies()) > 0 {
			t.Errorf("%s: %s %s", name, resp.Status, page)
		}
	}
}

// TestTwoTabsAreTwoSignIns, and who is led to the redirect URI by a stranger keeps what was begun; only so many are kept.
func TestTwoTabsAreTwoSignIns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gw := w.started(w.peopleSite()...)
	p := gw.person(t)
	first, second := p.begins().String(), p.begins().String()
	p.get(tokenPath + "?error=access_denied&state=x")
	for _, at := range []string{second, first} {
		if resp, page := p.do(request(t, http.MethodGet, p.atProvider(at, "alice"), nil)); resp.StatusCode != http.StatusOK || shownToken(t, page) == "" {
			t.Errorf("%s %s", resp.Status, page)
		}
	}
	all := []string{p.begins().String()}
	for range 5 {
		all = append(all, p.begins().String())
	}
	for i, status := range map[int]int{0: http.StatusBadRequest, 1: http.StatusOK, 5: http.StatusOK} {
		if resp, page := p.do(request(t, http.MethodGet, p.atProvider(all[i], "alice"), nil)); resp.StatusCode != status {
			t.Errorf("sign-in %d: %s %s", i, resp.Status, page)
		}
	}
}

// TestASignInBeginsWhereItEnds: who reaches the page by another name of the site is led to its own, for that is where the
// provider sends the browser.
func TestASignInBeginsWhereItEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gw := w.started(w.peopleSite(&configv1.SiteAddressed{Site: "jira", BaseUrl: "https://jira.example.com/jira", ContextPath: "/jira"})...)
	if _, page := gw.person(t).get("/jira" + tokenPath); !strings.Contains(page, `href="https://jira.example.com/jira`+tokenPath+`?provider=lab"`) {
		t.Error(page)
	}
}

// TestGuessedCodesAreSlowed as guessed tokens are.
func TestGuessedCodesAreSlowed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seq := w.commit(append(w.site(), w.peopleSite()...)...)
	gw := w.gateway("", func(s *gateway.Settings) { s.UnknownBurst, s.UnknownPerSecond = 3, 0.01 })
	gw.reached(t, seq)
	p := gw.person(t)
	var statuses []int
	for range 5 {
		resp, _ := p.get(tokenPath + "?provider=lab")
		at, err := resp.Location()
		if err != nil { // as many sign-ins have begun
			statuses = append(statuses, resp.StatusCode)
			continue
		}
		resp, _ = p.get(tokenPath + "?code=guessed&state=" + at.Query().Get("state"))
		statuses = append(statuses, resp.StatusCode)
		if resp.StatusCode == http.StatusTooManyRequests && resp.Header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
	}
	if want := []int{400, 400, 400, 429, 429}; !slices.Equal(statuses, want) {
		t.Errorf("%v, want %v", statuses, want)
	}
}

// TestAnOutageIsNoGuess: people who try to sign in while the provider is away do not use up what their address may guess.
func TestAnOutageIsNoGuess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seq := w.commit(append(w.site(), w.peopleSite()...)...)
	gw := w.gateway("", func(s *gateway.Settings) { s.UnknownBurst, s.UnknownPerSecond = 2, 0.01 })
	gw.reached(t, seq)
	p := gw.person(t)
	resp, _ := p.get(tokenPath + "?provider=lab")
	at, err := resp.Location()
	if err != nil {
		t.Fatal(resp.Status, err)
	}
	flow := resp.Cookies()[0] // kept by no browser: each try has it
	w.lab.Provider.Stop()
	for range 5 {
		r := request(t, http.MethodGet, gw.url+tokenPath+"?code=x&state="+at.Query().Get("state"), nil, "Cookie", flow.Name+"="+flow.Value)
		if resp, page := gw.person(t).do(r); resp.StatusCode != http.StatusServiceUnavailable {
			t.Fatal(resp.Status, page)
		}
	}
}

// TestTokensAreForWhoMayCall: an address that may not call is not sent to sign in either.
func TestTokensAreForWhoMayCall(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gw := w.started(w.peopleSite(&configv1.IpRestrictionSwitched{Site: "jira", Restrict: true}, &configv1.IpRangeAllowed{Site: "jira", Range: "192.0.2.0/24"})...)
	for _, query := range []string{"", "?provider=lab", "?code=x&state=x"} {
		if resp, page := gw.person(t).get(tokenPath + query); resp.StatusCode != http.StatusForbidden || resp.Header.Get("X-Gatehouse-Reason") != "ip_denied" || len(resp.Cookies()) > 0 {
			t.Errorf("%s: %s %s", query, resp.Status, page)
		}
	}
}

// TestAnAssertionsTokenActsAsItsUser: with grant jwt, tokens that were got by JWT bearer (RFC 7523 §2.1) act as whom they name.
func TestAnAssertionsTokenActsAsItsUser(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gw := w.started(w.peopleSite(&configv1.GrantSwitched{Site: "jira", Grant: "jwt"})...)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	token := func(user string) string {
		if err := w.lab.Provider.TrustKey(user, "k1", &key.PublicKey); err != nil {
			t.Fatal(err)
		}
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", "k1"))
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		assertion, err := jwt.Signed(signer).Claims(jwt.Claims{
			Issuer: user, Subject: user, Audience: jwt.Audience{w.lab.Provider.Issuer()}, IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(time.Minute)),
		}).Serialize()
		if err != nil {
			t.Fatal(err)
		}
		form := url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {assertion}, "scope": {"read"}}
		_, body := gw.person(t).do(request(t, http.MethodPost, w.lab.Provider.TokenEndpoint(), strings.NewReader(form.Encode()), "Content-Type", "application/x-www-form-urlencoded"))
		var issued struct {
			AccessToken string `json:"access_token"`
		}
		if err := json.Unmarshal([]byte(body), &issued); err != nil || issued.AccessToken == "" {
			t.Fatal(body, err)
		}
		return issued.AccessToken
	}
	p := gw.person(t)
	resp, _ := p.do(request(t, http.MethodGet, gw.url+"/rest/api/2/myself", nil, "Authorization", "Bearer "+token("alice")))
	if resp.StatusCode != http.StatusOK || resp.Header.Get("X-AUSERNAME") != "alice" {
		t.Errorf("%s as %s", resp.Status, resp.Header.Get("X-AUSERNAME"))
	}
	resp, _ = p.do(request(t, http.MethodGet, gw.url+"/rest/api/2/myself", nil, "Authorization", "Bearer "+token("bob")))
	if resp.Header.Get("X-Gatehouse-Reason") != "no_upstream_account" {
		t.Error(resp.Status, resp.Header)
	}
	resp, _ = p.do(request(t, http.MethodGet, gw.url+"/rest/api/2/myself", nil, "Authorization", "Bearer "+w.token()))
	if resp.Header.Get("X-Gatehouse-Reason") != "user_unknown" {
		t.Error("a client's own token:", resp.Status, resp.Header)
	}
	if resp, page := p.get(tokenPath); resp.StatusCode != http.StatusOK || strings.Contains(page, "Sign in with") {
		t.Errorf("%s %s", resp.Status, page)
	}
}
