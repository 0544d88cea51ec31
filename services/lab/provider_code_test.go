package lab_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"golang.org/x/oauth2"

	"github.com/gatehouse-suite/gatehouse/services/lab"
)

const redirect = "http://127.0.0.1:18080/plugins/servlet/restauth/token"

// person is somebody with a browser who wants a token.
type person struct {
	t      *testing.T
	p      *lab.Provider
	config oauth2.Config
	// verifier is that of the last sign-in.
	verifier string
}

func newPerson(t *testing.T) *person {
	t.Helper()
	p := start(t).Provider
	return &person{t: t, p: p, config: oauth2.Config{
		ClientID: lab.ResourceID, ClientSecret: lab.ResourceSecret, RedirectURL: redirect, Scopes: []string{"openid", "read"},
		Endpoint: oauth2.Endpoint{AuthURL: p.Issuer() + "/authorize", TokenURL: p.TokenEndpoint(), AuthStyle: oauth2.AuthStyleInHeader},
	}}
}

// begin goes to the provider and gives the address of the page to log in on.
func (p *person) begin() (status int, at string) {
	p.t.Helper()
	p.verifier = oauth2.GenerateVerifier()
	return p.get(p.config.AuthCodeURL("a state", oauth2.S256ChallengeOption(p.verifier)))
}

func (p *person) get(at string) (status int, location string) {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, at, http.NoBody)
	if err != nil {
		p.t.Fatal(err)
	}
	return p.do(r)
}

func (p *person) do(r *http.Request) (status int, location string) {
	p.t.Helper()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if location = resp.Header.Get("Location"); location == "" {
		return resp.StatusCode, string(body)
	}
	u, err := r.URL.Parse(location)
	if err != nil {
		p.t.Fatal(err)
	}
	return resp.StatusCode, u.String()
}

// login fills in the page.
func (p *person) login(at, user, password string) (status int, location string) {
	p.t.Helper()
	u, err := url.Parse(at)
	if err != nil {
		p.t.Fatal(err)
	}
	form := url.Values{"id": {u.Query().Get("id")}, "username": {user}, "password": {password}}
	r, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, p.p.Issuer()+"/lab/login", strings.NewReader(form.Encode()))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return p.do(r)
}

// code gets a code of alice's.
func (p *person) code() string {
	p.t.Helper()
	_, page := p.begin()
	status, callback := p.login(page, "alice", "alice-password")
	if status != http.StatusSeeOther {
		p.t.Fatal(status, callback)
	}
	status, back := p.get(callback)
	u, err := url.Parse(back)
	if err != nil || status != http.StatusFound || !strings.HasPrefix(back, redirect+"?") || u.Query().Get("state") != "a state" {
		p.t.Fatal(status, back, err)
	}
	return u.Query().Get("code")
}

func TestAPersonSignsIn(t *testing.T) {
	t.Parallel()
	p := newPerson(t)
	for _, style := range []oauth2.AuthStyle{oauth2.AuthStyleInHeader, oauth2.AuthStyleInParams} {
		p.config.Endpoint.AuthStyle = style
		code := p.code()
		token, err := p.config.Exchange(t.Context(), code, oauth2.VerifierOption(p.verifier))
		if err != nil || token.Extra("id_token") == nil || token.RefreshToken != "" {
			t.Fatal(token, err)
		}
		a := introspect(t, p.p, token.AccessToken)
		if !a.Active || a.Username != "alice" || a.Subject != "alice" || a.ClientID != lab.ResourceID || a.Scope != "openid read" {
			t.Errorf("%+v", a)
		}
		if token, err := p.config.Exchange(t.Context(), code, oauth2.VerifierOption(p.verifier)); err == nil {
			t.Errorf("a code twice: %v", token)
		}
	}
}

func TestWhoDoesNotSignIn(t *testing.T) {
	t.Parallel()
	p := newPerson(t)
	_, page := p.begin()
	for user, password := range map[string]string{"alice": "wrong", "mallory": "mallory-password", "nobody": "nobody-password", "": ""} {
		if status, text := p.login(page, user, password); status != http.StatusUnauthorized || !strings.Contains(text, "Wrong user name") {
			t.Errorf("%s: %d %s", user, status, text)
		}
	}
	if status, text := p.login(page, `"><script>`, "x"); status != http.StatusUnauthorized || strings.Contains(text, "<script>") {
		t.Errorf("%d %s", status, text)
	}
	if status, _ := p.login(p.p.Issuer()+"/lab/login?id=unknown", "alice", "alice-password"); status != http.StatusNotFound {
		t.Error(status)
	}
	if status, _ := p.login(page, "alice", "alice-password"); status != http.StatusSeeOther {
		t.Error("who mistypes cannot try again:", status)
	}
	for _, uri := range []string{
		"http://127.0.0.1:18080/elsewhere", "https://evil.example.com/plugins/servlet/restauth/token/../../x", "https://h/plugins/servlet/restauth/token?x=1",
		"javascript:/plugins/servlet/restauth/token", "",
	} {
		other := *p
		other.config.RedirectURL = uri
		if status, at := other.begin(); status == http.StatusFound {
			t.Errorf("%s: sent to %s", uri, at)
		}
	}
	bot := *p
	bot.config.ClientID = lab.ClientID
	if status, at := bot.begin(); status == http.StatusFound {
		t.Errorf("ci-bot: sent to %s", at)
	}
	if _, at := p.get(p.config.AuthCodeURL("a state")); !strings.Contains(at, "error=invalid_request") {
		t.Errorf("without PKCE: %s", at)
	}
	code := p.code()
	if token, err := p.config.Exchange(t.Context(), code, oauth2.VerifierOption(oauth2.GenerateVerifier())); err == nil {
		t.Errorf("another verifier: %v", token)
	}
	elsewhere := p.config
	elsewhere.RedirectURL = strings.Replace(redirect, "18080", "18081", 1)
	if token, err := elsewhere.Exchange(t.Context(), p.code(), oauth2.VerifierOption(p.verifier)); err == nil {
		t.Errorf("another redirect URI: %v", token)
	}
	wrong := p.config
	wrong.ClientSecret = "guessed"
	if token, err := wrong.Exchange(t.Context(), p.code(), oauth2.VerifierOption(p.verifier)); err == nil {
		t.Errorf("another secret: %v", token)
	}
}

func TestAnAssertionIsExchanged(t *testing.T) {
	t.Parallel()
	p := start(t).Provider
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p.TrustKey("bob", "bob-1", &key.PublicKey)
	exchange := func(key *ecdsa.PrivateKey, user string, lasts time.Duration, scope string) (answer, error) {
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", "bob-1"))
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		assertion, err := jwt.Signed(signer).Claims(jwt.Claims{
			Issuer: user, Subject: user, Audience: jwt.Audience{p.Issuer()}, IssuedAt: jwt.NewNumericDate(now.Add(-time.Minute)), Expiry: jwt.NewNumericDate(now.Add(lasts)),
		}).Serialize()
		if err != nil {
			t.Fatal(err)
		}
		got := postForm(t, p.TokenEndpoint(), url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {assertion}, "scope": {scope}})
		if got.StatusCode != http.StatusOK {
			return answer{}, errors.New(string(got.body))
		}
		var token struct {
			AccessToken string `json:"access_token"`
		}
		got.json(t, &token)
		return introspect(t, p, token.AccessToken), nil
	}
	if a, err := exchange(key, "bob", time.Minute, "read"); err != nil || !a.Active || a.Username != "bob" || a.Scope != "read" {
		t.Errorf("%+v, %v", a, err)
	}
	for name, failed := range map[string]func() (answer, error){
		"ended":         func() (answer, error) { return exchange(key, "bob", -30*time.Second, "read") },
		"another key":   func() (answer, error) { return exchange(other, "bob", time.Minute, "read") },
		"another user":  func() (answer, error) { return exchange(key, "alice", time.Minute, "read") },
		"another scope": func() (answer, error) { return exchange(key, "bob", time.Minute, "admin") },
	} {
		if a, err := failed(); err == nil {
			t.Errorf("%s: %+v", name, a)
		}
	}
}
