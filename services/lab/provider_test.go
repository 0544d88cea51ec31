package lab_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/gatehouse-suite/gatehouse/services/lab"
)

type answer struct {
	Active    bool     `json:"active"`
	Scope     string   `json:"scope"`
	ClientID  string   `json:"client_id"`
	Username  string   `json:"username"`
	Subject   string   `json:"sub"`
	TokenType string   `json:"token_type"`
	Issuer    string   `json:"iss"`
	Audience  []string `json:"aud"`
	Expires   int64    `json:"exp"`
	Issued    int64    `json:"iat"`
}

func introspect(t *testing.T, p *lab.Provider, token string) answer {
	t.Helper()
	got := postForm(t, p.IntrospectionEndpoint(), url.Values{"token": {token}}, basic(lab.ResourceID, lab.ResourceSecret))
	got.want(t, http.StatusOK)
	var a answer
	got.json(t, &a)
	return a
}

func clientToken(t *testing.T, p *lab.Provider, scopes ...string) string {
	t.Helper()
	config := clientcredentials.Config{
		ClientID: lab.ClientID, ClientSecret: lab.ClientSecret, TokenURL: p.TokenEndpoint(), Scopes: scopes,
	}
	token, err := config.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if token.Type() != "Bearer" || time.Until(token.Expiry) < 30*time.Minute {
		t.Errorf("token type %q, expiry %v", token.Type(), token.Expiry)
	}
	return token.AccessToken
}

func TestDiscovery(t *testing.T) {
	t.Parallel()
	p := start(t).Provider
	var doc struct {
		Issuer        string   `json:"issuer"`
		Token         string   `json:"token_endpoint"`
		Introspection string   `json:"introspection_endpoint"`
		Revocation    string   `json:"revocation_endpoint"`
		Keys          string   `json:"jwks_uri"`
		Grants        []string `json:"grant_types_supported"`
		Methods       []string `json:"introspection_endpoint_auth_methods_supported"`
	}
	get(t, p.DiscoveryURL()).json(t, &doc)
	got := []string{doc.Issuer, doc.Token, doc.Introspection, doc.Revocation, doc.Keys}
	want := []string{p.Issuer(), p.TokenEndpoint(), p.IntrospectionEndpoint(), p.RevocationEndpoint(), p.JWKSEndpoint()}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if !slices.Contains(doc.Grants, "client_credentials") || !slices.Contains(doc.Methods, "client_secret_post") {
		t.Errorf("grants %v, methods %v", doc.Grants, doc.Methods)
	}
}

func TestClientCredentialsAndIntrospection(t *testing.T) {
	t.Parallel()
	p := start(t).Provider
	token := clientToken(t, p, "read")
	a := introspect(t, p, token)
	if d := time.Until(time.Unix(a.Expires, 0)); d < 55*time.Minute || d > time.Hour {
		t.Errorf("exp is %v away", d)
	}
	if time.Since(time.Unix(a.Issued, 0)) > time.Minute {
		t.Errorf("iat = %d", a.Issued)
	}
	a.Expires, a.Issued = 0, 0
	want := answer{
		Active: true, Scope: "read", ClientID: "ci-bot", Subject: "ci-bot", TokenType: "Bearer",
		Issuer: p.Issuer(), Audience: []string{"gatehouse"},
	}
	if diff := cmp.Diff(want, a); diff != "" {
		t.Error(diff)
	}
	byPost := postForm(t, p.IntrospectionEndpoint(), url.Values{
		"token": {token}, "client_id": {lab.ResourceID}, "client_secret": {lab.ResourceSecret},
	})
	byPost.json(t, &a)
	if !a.Active {
		t.Errorf("client_secret_post: %s", byPost.body)
	}
	if got := introspect(t, p, clientToken(t, p)); got.Scope != "read write" {
		t.Errorf("scope when none was asked for = %q", got.Scope)
	}
	if got := introspect(t, p, "nonsense"); got.Active {
		t.Error("nonsense is active")
	}
	if n := p.Introspections(); n != 4 {
		t.Errorf("introspections = %d, want 4", n)
	}
}

func TestClientsThatAreRefused(t *testing.T) {
	t.Parallel()
	p := start(t).Provider
	grant := func(id, secret, scope string) reply {
		form := url.Values{"grant_type": {"client_credentials"}, "scope": {scope}}
		return postForm(t, p.TokenEndpoint(), form, basic(id, secret))
	}
	grant("ci-bot", "wrong", "read").want(t, http.StatusUnauthorized)
	grant("nobody", "ci-bot-secret", "read").want(t, http.StatusUnauthorized)
	grant("ci-bot", "ci-bot-secret", "admin").want(t, http.StatusBadRequest)
	grant("gatehouse", "gatehouse-secret", "read").want(t, http.StatusBadRequest)

	token := url.Values{"token": {clientToken(t, p)}}
	postForm(t, p.IntrospectionEndpoint(), token).want(t, http.StatusUnauthorized)
	postForm(t, p.IntrospectionEndpoint(), token, basic("gatehouse", "wrong")).want(t, http.StatusUnauthorized)

	if err := p.SetClientSecret("gatehouse", "a new one: %+"); err != nil {
		t.Fatal(err)
	}
	postForm(t, p.IntrospectionEndpoint(), token, basic("gatehouse", "gatehouse-secret")).want(t, http.StatusUnauthorized)
	postForm(t, p.IntrospectionEndpoint(), token, basic("gatehouse", url.QueryEscape("a new one: %+"))).want(t, http.StatusOK)
	if err := p.SetClientSecret("nobody", "x"); err == nil {
		t.Error("secret of an unknown client was set")
	}

	p.AddClient("other", "other-secret", "read")
	foreign := postForm(t, p.IntrospectionEndpoint(), token, basic("other", "other-secret"))
	if string(foreign.body) != "{\"active\":false}\n" {
		t.Errorf("a client that may not ask was told %s", foreign.body)
	}
	grant("other", "other-secret", "read").want(t, http.StatusOK)
}

func TestRevocation(t *testing.T) {
	t.Parallel()
	p := start(t).Provider
	first, second := clientToken(t, p), clientToken(t, p)
	revoke := func(token, id, secret string) reply {
		return postForm(t, p.RevocationEndpoint(), url.Values{"token": {token}}, basic(id, secret))
	}
	revoke(first, lab.ResourceID, lab.ResourceSecret).want(t, http.StatusUnauthorized) // not its token
	revoke(first, lab.ClientID, lab.ClientSecret).want(t, http.StatusOK)
	revoke("nonsense", lab.ClientID, lab.ClientSecret).want(t, http.StatusOK)
	if introspect(t, p, first).Active || !introspect(t, p, second).Active {
		t.Error("the revoked token is active, or the other is not")
	}
	if !p.Revoke(t.Context(), second) || p.Revoke(t.Context(), second) || introspect(t, p, second).Active {
		t.Error("Revoke did not revoke once")
	}
}

func TestMintToken(t *testing.T) {
	t.Parallel()
	p := start(t).Provider
	mint := func(spec lab.TokenSpec) string {
		t.Helper()
		token, err := p.MintToken(t.Context(), spec)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	issued := time.Now().Add(-24 * time.Hour).Truncate(time.Second)
	a := introspect(t, p, mint(lab.TokenSpec{
		ClientID: "portal", Subject: "u-17", Username: "alice", Scopes: []string{"read", "profile"},
		Audience: []string{"a", "b"}, IssuedAt: issued,
	}))
	if a.Issued != issued.Unix() {
		t.Errorf("iat = %d, want %d", a.Issued, issued.Unix())
	}
	a.Expires, a.Issued = 0, 0
	want := answer{
		Active: true, Scope: "read profile", ClientID: "portal", Subject: "u-17", Username: "alice",
		TokenType: "Bearer", Issuer: p.Issuer(), Audience: []string{"a", "b"},
	}
	if diff := cmp.Diff(want, a); diff != "" {
		t.Error(diff)
	}
	if introspect(t, p, mint(lab.TokenSpec{Lifetime: -time.Minute})).Active {
		t.Error("an expired token is active")
	}
	if _, err := p.MintToken(t.Context(), lab.TokenSpec{Subject: "a:b"}); err == nil {
		t.Error("a subject with a colon was taken")
	}
	signed := mint(lab.TokenSpec{JWT: true, Username: "alice"})
	if strings.Count(signed, ".") != 2 || !introspect(t, p, signed).Active {
		t.Errorf("no active JWT: %s", signed)
	}
	if err := p.RotateKey(); err != nil {
		t.Fatal(err)
	}
	var set struct {
		Keys []struct {
			KeyID string `json:"kid"`
			Alg   string `json:"alg"`
		} `json:"keys"`
	}
	get(t, p.JWKSEndpoint()).json(t, &set)
	if len(set.Keys) != 2 || set.Keys[0].Alg != "RS256" || !introspect(t, p, signed).Active {
		t.Errorf("keys after a rotation: %+v", set.Keys)
	}
	if !p.Revoke(t.Context(), signed) || introspect(t, p, signed).Active {
		t.Error("the JWT was not revoked")
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	p := start(t).Provider
	token := clientToken(t, p)
	ask := func(f lab.Fault) reply {
		t.Helper()
		p.SetFault(f)
		return postForm(t, p.IntrospectionEndpoint(), url.Values{"token": {token}}, basic(lab.ResourceID, lab.ResourceSecret))
	}
	ask(lab.Status500()).want(t, http.StatusInternalServerError)
	ask(lab.HTML200()).want(t, http.StatusOK, "Content-Type", "text/html;charset=UTF-8")
	if json.Valid(ask(lab.NotJSON()).body) {
		t.Error("NotJSON is JSON")
	}
	if huge := ask(lab.Huge()); len(huge.body) != 5<<20 || !json.Valid(huge.body) {
		t.Errorf("Huge has %d bytes", len(huge.body))
	}
	ask(lab.Redirect()).want(t, http.StatusTemporaryRedirect, "Location", "/lab/redirected")
	if p.Redirected() != 0 {
		t.Error("nobody followed yet")
	}
	var odd map[string]any
	ask(lab.WrongTypes()).json(t, &odd)
	if odd["active"] != "true" || odd["aud"] != "gatehouse" {
		t.Errorf("WrongTypes: %v", odd)
	}
	if _, ok := odd["exp"].(string); !ok {
		t.Errorf("exp is a %T", odd["exp"])
	}
	clear(odd)
	ask(lab.Without("exp", "aud")).json(t, &odd)
	if _, ok := odd["exp"]; ok || odd["active"] != true {
		t.Errorf("Without: %v", odd)
	}
	if r := ask(lab.Slow(20 * time.Millisecond)); !strings.Contains(string(r.body), `"active":true`) {
		t.Errorf("Slow: %s", r.body)
	}
	ask(lab.Fault{}).want(t, http.StatusOK)

	for _, cut := range []func(){func() { p.SetFault(lab.Down()) }, p.Stop} {
		cut()
		if resp, err := http.PostForm(p.IntrospectionEndpoint(), nil); err == nil {
			resp.Body.Close()
			t.Errorf("answered %s", resp.Status)
		}
	}
	if err := p.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	p.SetFault(lab.Fault{})
	if !introspect(t, p, token).Active {
		t.Error("the token did not survive the restart")
	}
}
