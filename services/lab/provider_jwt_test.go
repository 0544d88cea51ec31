package lab_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-suite/gatehouse/services/lab"
)

const jwtBearer = "urn:ietf:params:oauth:grant-type:jwt-bearer"

// assertion signs one for alice, with these claims changed.
func assertion(t *testing.T, p *lab.Provider, alg jose.SignatureAlgorithm, key crypto.PrivateKey, keyID string, change map[string]any) string {
	t.Helper()
	claims := map[string]any{
		"iss": "alice", "sub": "alice", "aud": p.Issuer(), "iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix(),
	}
	maps.Copy(claims, change)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", keyID))
	if err != nil {
		t.Fatal(err)
	}
	made, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func trust(t *testing.T, p *lab.Provider, user, keyID string, key crypto.Signer) {
	t.Helper()
	if err := p.TrustKey(user, keyID, key.Public()); err != nil {
		t.Fatal(err)
	}
}

func TestJWTBearer(t *testing.T) {
	t.Parallel()
	p := start(t).Provider
	onCurve := newKey(t)
	byRSA, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	trust(t, p, "alice", "ec", onCurve)
	trust(t, p, "alice", "rsa", byRSA)
	for _, tc := range []struct {
		alg          jose.SignatureAlgorithm
		key          crypto.PrivateKey
		id           string
		scope, grant string
	}{
		{jose.ES256, onCurve, "ec", "read", "read"},
		{jose.RS256, byRSA, "rsa", "", "read write"},
	} {
		got := postForm(t, p.TokenEndpoint(), url.Values{
			"grant_type": {jwtBearer}, "assertion": {assertion(t, p, tc.alg, tc.key, tc.id, nil)}, "scope": {tc.scope},
		})
		got.want(t, http.StatusOK, "Cache-Control", "no-store")
		var token struct {
			Access  string `json:"access_token"`
			Type    string `json:"token_type"`
			Expires int    `json:"expires_in"`
			Scope   string `json:"scope"`
		}
		got.json(t, &token)
		if token.Type != "Bearer" || token.Expires < 3500 || token.Scope != tc.grant || signed(token.Access) {
			t.Errorf("answer %s", got.body)
		}
		a := introspect(t, p, token.Access)
		a.Expires, a.Issued = 0, 0
		want := answer{
			Active: true, Scope: tc.grant, Username: "alice", Subject: "alice", TokenType: "Bearer",
			Issuer: p.Issuer(), Audience: []string{"gatehouse"},
		}
		if diff := cmp.Diff(want, a); diff != "" {
			t.Error(diff)
		}
	}
}

func TestAssertionsThatAreRefused(t *testing.T) {
	t.Parallel()
	p := start(t).Provider
	key, bobs := newKey(t), newKey(t)
	trust(t, p, "alice", "1", key)
	trust(t, p, "bob", "2", bobs)
	trust(t, p, "mallory", "1", key)
	ask := func(assertion, scope string) (reply, string) {
		got := postForm(t, p.TokenEndpoint(), url.Values{"grant_type": {jwtBearer}, "assertion": {assertion}, "scope": {scope}})
		var said struct {
			Error string `json:"error"`
		}
		got.json(t, &said)
		return got, said.Error
	}
	good := assertion(t, p, jose.ES256, key, "1", nil)
	for name, shown := range map[string]string{
		"expired":           assertion(t, p, jose.ES256, key, "1", map[string]any{"exp": time.Now().Add(-time.Minute).Unix()}),
		"endless":           assertion(t, p, jose.ES256, key, "1", map[string]any{"exp": 0}),
		"old":               assertion(t, p, jose.ES256, key, "1", map[string]any{"iat": time.Now().Add(-2 * time.Hour).Unix()}),
		"for another":       assertion(t, p, jose.ES256, key, "1", map[string]any{"aud": "https://other.example"}),
		"another key":       assertion(t, p, jose.ES256, newKey(t), "1", nil),
		"bob's key":         assertion(t, p, jose.ES256, bobs, "2", nil),
		"unknown key":       assertion(t, p, jose.ES256, key, "3", nil),
		"unknown user":      assertion(t, p, jose.ES256, key, "1", map[string]any{"iss": "nobody", "sub": "nobody"}),
		"inactive user":     assertion(t, p, jose.ES256, key, "1", map[string]any{"iss": "mallory", "sub": "mallory"}),
		"bob by alice":      assertion(t, p, jose.ES256, key, "1", map[string]any{"sub": "bob"}),
		"shared secret":     assertion(t, p, jose.HS256, []byte("0123456789abcdef0123456789abcdef"), "1", nil),
		"another signature": good[:strings.LastIndex(good, ".")+1] + strings.Repeat("A", 86),
		"no signature":      good[:strings.LastIndex(good, ".")+1],
		"nonsense":          "nonsense",
	} {
		if got, said := ask(shown, "read"); got.StatusCode != http.StatusBadRequest || said != "invalid_grant" {
			t.Errorf("%s: %s %s", name, got.Status, got.body)
		}
	}
	for scope, want := range map[string]string{"admin": "invalid_scope", "openid": "invalid_scope", "read offline_access": "invalid_scope"} {
		if got, said := ask(good, scope); got.StatusCode != http.StatusBadRequest || said != want {
			t.Errorf("scope %s: %s %s", scope, got.Status, got.body)
		}
	}
	if got, said := ask("", "read"); got.StatusCode != http.StatusBadRequest || said != "invalid_request" {
		t.Errorf("no assertion: %s %s", got.Status, got.body)
	}
	got, _ := ask(good, "read")
	got.want(t, http.StatusOK)
}

func TestTrustKey(t *testing.T) {
	t.Parallel()
	p := start(t).Provider
	edwards, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"unknown user": p.TrustKey("nobody", "1", newKey(t).Public()),
		"Ed25519":      p.TrustKey("alice", "1", edwards),
		"P-384":        p.TrustKey("alice", "1", p384.Public()),
		"private key":  p.TrustKey("alice", "1", newKey(t)),
		"no key":       p.TrustKey("alice", "1", nil),
	} {
		if err == nil {
			t.Errorf("%s is trusted", name)
		}
	}
}
