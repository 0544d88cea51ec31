package lab_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/zitadel/oidc/v3/pkg/client/rp"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"golang.org/x/oauth2"

	"github.com/gatehouse-suite/gatehouse/services/lab"
)

const redirectURI = "http://127.0.0.1:18080/jira/plugins/servlet/restauth/token"

// flow is Gatehouse as the library of an OAuth client sees it.
func flow(p *lab.Provider, scopes ...string) *oauth2.Config {
	return &oauth2.Config{
		ClientID: lab.ResourceID, ClientSecret: lab.ResourceSecret, RedirectURL: redirectURI, Scopes: scopes,
		Endpoint: oauth2.Endpoint{
			AuthURL: p.AuthorizationEndpoint(), TokenURL: p.TokenEndpoint(), AuthStyle: oauth2.AuthStyleInHeader,
		},
	}
}

// begin asks for a code and gives the log-in page the browser was sent to.
func begin(t *testing.T, p *lab.Provider, c *oauth2.Config, verifier string, options ...oauth2.AuthCodeOption) string {
	t.Helper()
	got := get(t, c.AuthCodeURL("a state: &%+", append(options, oauth2.S256ChallengeOption(verifier))...))
	got.want(t, http.StatusFound)
	page := got.Header.Get("Location")
	if !strings.HasPrefix(page, "/lab/login?id=") {
		t.Fatalf("sent to %s: %s", page, got.body)
	}
	return p.Issuer() + page
}

// logIn fills in the page's form.
func logIn(t *testing.T, page, user, password string) reply {
	t.Helper()
	u, err := url.Parse(page)
	if err != nil {
		t.Fatal(err)
	}
	form := url.Values{"id": u.Query()["id"], "username": {user}, "password": {password}}
	u.RawQuery = ""
	return postForm(t, u.String(), form)
}

// codeFor is the whole way of alice's browser up to the redirect URI.
func codeFor(t *testing.T, p *lab.Provider, c *oauth2.Config, verifier string, options ...oauth2.AuthCodeOption) string {
	t.Helper()
	loggedIn := logIn(t, begin(t, p, c, verifier, options...), "alice", "alice-password")
	loggedIn.want(t, http.StatusSeeOther)
	back := get(t, loggedIn.Header.Get("Location"))
	back.want(t, http.StatusFound)
	at, query, _ := strings.Cut(back.Header.Get("Location"), "?")
	values, err := url.ParseQuery(query)
	if err != nil || at != c.RedirectURL || values.Get("state") != "a state: &%+" || values.Get("code") == "" {
		t.Fatalf("sent to %s", back.Header.Get("Location"))
	}
	return values.Get("code")
}

// signed tells a JWT from an opaque token: the library's are encrypted, in five parts.
func signed(token string) bool { return strings.Count(token, ".") == 2 }

func wantError(t *testing.T, err error, want string) {
	t.Helper()
	var said *oauth2.RetrieveError
	if !errors.As(err, &said) || said.ErrorCode != want {
		t.Errorf("error is %v, want %s", err, want)
	}
}

func TestCodeFlow(t *testing.T) {
	t.Parallel()
	p := start(t).Provider
	for _, style := range []oauth2.AuthStyle{oauth2.AuthStyleInHeader, oauth2.AuthStyleInParams} {
		c, verifier := flow(p, "read"), oauth2.GenerateVerifier()
		c.Endpoint.AuthStyle = style
		token, err := c.Exchange(t.Context(), codeFor(t, p, c, verifier), oauth2.VerifierOption(verifier))
		if err != nil {
			t.Fatal(err)
		}
		if token.RefreshToken != "" || token.Extra("id_token") != nil || signed(token.AccessToken) {
			t.Errorf("got %+v", token)
		}
		a := introspect(t, p, token.AccessToken)
		if d := time.Until(time.Unix(a.Expires, 0)); d < 55*time.Minute || d > time.Hour {
			t.Errorf("exp is %v away", d)
		}
		a.Expires, a.Issued = 0, 0
		want := answer{
			Active: true, Scope: "read", ClientID: "gatehouse", Username: "alice", Subject: "alice", TokenType: "Bearer",
			Issuer: p.Issuer(), Audience: []string{"gatehouse"},
		}
		if diff := cmp.Diff(want, a); diff != "" {
			t.Error(diff)
		}
	}
}

func TestIDToken(t *testing.T) {
	t.Parallel()
	p := start(t).Provider
	c, verifier := flow(p, "openid", "read"), oauth2.GenerateVerifier()
	code := codeFor(t, p, c, verifier, oauth2.SetAuthURLParam("nonce", "once"))
	token, err := c.Exchange(t.Context(), code, oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatal(err)
	}
	idToken, _ := token.Extra("id_token").(string)
	check := rp.NewIDTokenVerifier(p.Issuer(), lab.ResourceID, rp.NewRemoteKeySet(http.DefaultClient, p.JWKSEndpoint()),
		rp.WithNonce(func(context.Context) string { return "once" }))
	claims, err := rp.VerifyTokens[*oidc.IDTokenClaims](t.Context(), token.AccessToken, idToken, check)
	if err != nil {
		t.Fatal(err)
	}
	if claims.Subject != "alice" || claims.PreferredUsername != "alice" || time.Since(claims.GetAuthTime()) > time.Minute {
		t.Errorf("claims %+v", claims)
	}
	if a := introspect(t, p, token.AccessToken); a.Scope != "openid read" {
		t.Errorf("scope = %q", a.Scope)
	}
}

func TestCodeIsBound(t *testing.T) {
	t.Parallel()
	p := start(t).Provider
	p.AddClient("other", "other-secret", "read")
	right := oauth2.GenerateVerifier()
	for _, tc := range []struct {
		name, want string
		change     func(*oauth2.Config)
		verifier   string
	}{
		{"other verifier", "invalid_grant", nil, oauth2.GenerateVerifier()},
		{"no verifier", "invalid_request", nil, ""},
		{"other redirect URI", "invalid_grant", func(c *oauth2.Config) { c.RedirectURL += "/" }, right},
		{"other client", "invalid_grant", func(c *oauth2.Config) { c.ClientID, c.ClientSecret = "other", "other-secret" }, right},
		{"wrong secret", "invalid_client", func(c *oauth2.Config) { c.ClientSecret = "wrong" }, right},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := flow(p, "read")
			code := codeFor(t, p, c, right)
			if tc.change != nil {
				tc.change(c)
			}
			_, err := c.Exchange(t.Context(), code, oauth2.VerifierOption(tc.verifier))
			wantError(t, err, tc.want)
			_, err = flow(p).Exchange(t.Context(), code, oauth2.VerifierOption(right))
			wantError(t, err, "invalid_grant") // shown is spent
		})
	}
	_, err := flow(p).Exchange(t.Context(), "nonsense", oauth2.VerifierOption(right))
	wantError(t, err, "invalid_grant")
	_, err = flow(p).Exchange(t.Context(), "", oauth2.VerifierOption(right))
	wantError(t, err, "invalid_request")
}

func TestCodeTwice(t *testing.T) {
	t.Parallel()
	p := start(t).Provider
	c, verifier := flow(p, "read"), oauth2.GenerateVerifier()
	code := codeFor(t, p, c, verifier)
	token, err := c.Exchange(t.Context(), code, oauth2.VerifierOption(verifier))
	if err != nil || !introspect(t, p, token.AccessToken).Active {
		t.Fatal("no token", err)
	}
	other := clientToken(t, p)
	_, err = c.Exchange(t.Context(), code, oauth2.VerifierOption(verifier))
	wantError(t, err, "invalid_grant")
	if introspect(t, p, token.AccessToken).Active {
		t.Error("the token of a code that was shown twice is active")
	}
	if !introspect(t, p, other).Active {
		t.Error("another token was revoked")
	}
}

func TestNoRefreshTokens(t *testing.T) {
	t.Parallel()
	c := flow(start(t).Provider)
	_, err := c.TokenSource(t.Context(), &oauth2.Token{RefreshToken: "any"}).Token()
	wantError(t, err, "unsupported_grant_type")
}

func TestRedirectURIs(t *testing.T) {
	t.Parallel()
	p := start(t).Provider
	ask := func(client, uri string) reply {
		c := flow(p, "read")
		c.ClientID, c.RedirectURL = client, uri
		return get(t, c.AuthCodeURL("state", oauth2.S256ChallengeOption(oauth2.GenerateVerifier())))
	}
	const path = "/plugins/servlet/restauth/token"
	for _, uri := range []string{
		"http://127.0.0.1:18080" + path, "http://[::1]:18080" + path, "https://gatehouse.example" + path,
		"https://gatehouse.example/a/b" + path,
	} {
		if got := ask(lab.ResourceID, uri); !strings.HasPrefix(got.Header.Get("Location"), "/lab/login?id=") {
			t.Errorf("%s: %s %s", uri, got.Status, got.body)
		}
		if got := ask(lab.ClientID, uri); got.StatusCode != http.StatusBadRequest {
			t.Errorf("%s for ci-bot: %s", uri, got.Status)
		}
		if got := ask("nobody", uri); got.StatusCode != http.StatusBadRequest {
			t.Errorf("%s for nobody: %s", uri, got.Status)
		}
	}
	for _, uri := range []string{
		"", path, "https://evil.example", "https://evil.example/", "https://evil.example" + path + "/", "https://evil.example" + path + "s",
		"https://evil.example/plugins/servlet/restauth/", "https://evil.example/x?" + path, "https://evil.example?" + path, "https://evil.example#" + path,
		"https://evil.example/x#" + path, "https://evil.example" + path + "?a=b", "https://evil.example" + path + "#", "https://evil.example" + path + "?",
		"https://evil.example" + path + "?x=" + path, "https://gatehouse@evil.example" + path, "https://gatehouse:18080@evil.example" + path,
		"https://@evil.example" + path, `https://gatehouse\@evil.example` + path, "https://" + path, "https:///x" + path, "https:" + path,
		"ftp://evil.example" + path, "javascript://evil.example" + path, "//evil.example" + path, " https://evil.example" + path,
		"https://evil.example\n" + path, "https://:443" + path, "https://evil.example/x%2f..%2fplugins/servlet/restauth%2Ftoken",
	} {
		if got := ask(lab.ResourceID, uri); got.StatusCode != http.StatusBadRequest || got.Header.Get("Location") != "" {
			t.Errorf("%q: %s to %s", uri, got.Status, got.Header.Get("Location"))
		}
	}
}

// What is wrong beside the redirect URI is told there (RFC 6749 section 4.1.2.1).
func TestAuthorizationRequestsThatAreRefused(t *testing.T) {
	t.Parallel()
	p := start(t).Provider
	param := oauth2.SetAuthURLParam
	for _, tc := range []struct {
		want   string
		change oauth2.AuthCodeOption
	}{
		{"invalid_request", param("code_challenge", "")},
		{"invalid_request", param("code_challenge_method", "plain")},
		{"invalid_request", param("code_challenge_method", "")},
		{"invalid_scope", param("scope", "read offline_access")},
		{"invalid_scope", param("scope", "openid profile")},
		{"invalid_scope", param("scope", "admin")},
		{"unauthorized_client", param("response_type", "token")},
		{"unauthorized_client", param("response_type", "id_token token")},
		{"invalid_request", param("response_type", "")},
		{"login_required", param("prompt", "none")},
		{"request_not_supported", param("request", "a.b.c")},
	} {
		got := get(t, flow(p, "read").AuthCodeURL("s", oauth2.S256ChallengeOption(oauth2.GenerateVerifier()), tc.change))
		at, err := url.Parse(got.Header.Get("Location"))
		if err != nil {
			t.Fatal(err)
		}
		values := at.Query()
		if at.Fragment != "" { // of the implicit flow
			values, _ = url.ParseQuery(at.Fragment)
		}
		if !strings.HasPrefix(at.String(), redirectURI) || values.Get("error") != tc.want || values.Get("state") != "s" || values.Has("code") {
			t.Errorf("want %s, got %s %s", tc.want, got.Status, at)
		}
	}
}

func TestLoginPage(t *testing.T) {
	t.Parallel()
	p := start(t).Provider
	c, verifier := flow(p, "read"), oauth2.GenerateVerifier()
	page := begin(t, p, c, verifier)
	form := get(t, page)
	form.want(t, http.StatusOK, "Content-Type", "text/html;charset=UTF-8", "Cache-Control", "no-store")
	for _, part := range []string{`action="/lab/login"`, `name="username"`, `name="password" type="password"`, `name="id"`} {
		if !strings.Contains(string(form.body), part) {
			t.Errorf("the page lacks %s: %s", part, form.body)
		}
	}
	for _, as := range [][2]string{{"alice", "wrong"}, {"mallory", "mallory-password"}, {"nobody", "nobody-password"}, {"", ""}} {
		got := logIn(t, page, as[0], as[1])
		got.want(t, http.StatusUnauthorized)
		if !strings.Contains(string(got.body), "incorrect") || !strings.Contains(string(got.body), `name="password"`) {
			t.Errorf("%s is told %s", as[0], got.body)
		}
	}
	const hostile = `"><script>alert('&')</script>`
	if got := logIn(t, page, hostile, hostile); strings.Contains(string(got.body), "<script") || strings.Contains(string(got.body), `""`) {
		t.Errorf("not escaped: %s", got.body)
	}
	unknown := p.Issuer() + "/lab/login?id="
	for _, id := range []string{"", "unknown", url.QueryEscape(hostile)} {
		for _, got := range []reply{get(t, unknown+id), logIn(t, unknown+id, "alice", "alice-password")} {
			got.want(t, http.StatusBadRequest)
			if strings.Contains(string(got.body), "<script") || got.Header.Get("Location") != "" {
				t.Errorf("%q is told %s", id, got.body)
			}
		}
	}
	callback := strings.Replace(page, "/lab/login", "/authorize/callback", 1)
	if at := get(t, callback).Header.Get("Location"); !strings.Contains(at, "error=interaction_required") {
		t.Errorf("before the log-in the callback sends to %s", at)
	}

	// after all that alice can still log in, in any case, and nobody after her
	logIn(t, page, "ALICE", "alice-password").want(t, http.StatusSeeOther, "Location", callback)
	logIn(t, page, "bob", "bob-password").want(t, http.StatusBadRequest)
	get(t, callback).want(t, http.StatusFound)
	get(t, callback).want(t, http.StatusBadRequest)
	get(t, page).want(t, http.StatusBadRequest)
	get(t, p.Issuer()+"/authorize/callback?id=unknown").want(t, http.StatusBadRequest)
}

func TestDiscoveryOfGrants(t *testing.T) {
	t.Parallel()
	p := start(t).Provider
	var doc struct {
		Authorize  string   `json:"authorization_endpoint"`
		Token      string   `json:"token_endpoint"`
		Device     string   `json:"device_authorization_endpoint"`
		Grants     []string `json:"grant_types_supported"`
		Responses  []string `json:"response_types_supported"`
		Challenges []string `json:"code_challenge_methods_supported"`
		Scopes     []string `json:"scopes_supported"`
		Methods    []string `json:"token_endpoint_auth_methods_supported"`
	}
	get(t, p.DiscoveryURL()).json(t, &doc)
	if doc.Authorize != p.AuthorizationEndpoint() || doc.Token != p.TokenEndpoint() || doc.Device != "" {
		t.Errorf("endpoints: %+v", doc)
	}
	got := slices.Concat(doc.Grants, doc.Responses, doc.Challenges, doc.Scopes, doc.Methods)
	want := []string{
		"authorization_code", "client_credentials", "urn:ietf:params:oauth:grant-type:jwt-bearer", "code", "S256",
		"openid", "read", "write", "client_secret_basic", "client_secret_post",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
