package introspection_test

import (
	"bufio"
	"context"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	identityv1 "github.com/gatehouse-suite/gatehouse/proto/identity/v1"
	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/gatehouse-suite/gatehouse/services/introspection"
)

// second is an OAuth provider that is not ours: npm oidc-provider in a process of its own.
type second struct {
	t      *testing.T
	issuer string
}

// startSecond starts it; key is what client gatehouse-key signs with.
func startSecond(t *testing.T, key signer) *second {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "../../scripts/node.sh", "testdata/oidc-provider").Output()
	if err != nil {
		t.Fatalf("npm packages: %v", err)
	}
	jwk, err := key.jwk().MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), "node", filepath.Join(strings.TrimSpace(string(out)), "provider.mjs"))
	cmd.Env = append(os.Environ(), "GATEHOUSE_JWK="+string(jwk)) //nolint:forbidigo // node needs PATH and HOME
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	issuer, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("it does not start: %v", err)
	}
	return &second{t: t, issuer: strings.TrimSpace(issuer)}
}

// token fetches one by client credentials; resource decides its form.
func (s *second) token(resource string) string {
	s.t.Helper()
	c := clientcredentials.Config{
		ClientID: "ci-bot", ClientSecret: "ci-bot-secret", TokenURL: s.issuer + "/token", Scopes: []string{"read"},
		AuthStyle: oauth2.AuthStyleInHeader, EndpointParams: url.Values{"resource": {resource}},
	}
	token, err := c.Token(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return token.AccessToken
}

// revoke is RFC 7009.
func (s *second) revoke(token string) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.issuer+"/token/revocation", strings.NewReader(url.Values{"token": {token}}.Encode()))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("ci-bot", "ci-bot-secret")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		s.t.Fatal(resp.Status)
	}
}

// TestASecondProvider: opaque tokens by introspection with every way of showing ourselves, found by discovery; signed ones by
// its keys; revoked ones end.
func TestASecondProvider(t *testing.T) {
	t.Parallel()
	testkit.Long(t)
	key := ecKey(t, "k1")
	s, w := startSecond(t, key), newWorld(t)
	der, err := x509.MarshalPKCS8PrivateKey(key.key)
	if err != nil {
		t.Fatal(err)
	}
	text := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	base := configlog.Provider{ID: "second", Kind: "custom", Issuer: s.issuer, Cache: configlog.Cache{MaxTTL: configlog.Duration(200 * time.Millisecond)}}
	basic, post, byKey, signed, wrong := base, base, base, base, base
	basic.ClientID, basic.ClientSecret, basic.CallerAuth = "gatehouse", w.seal("a secret:+%/"), "client_secret_basic"
	post.ClientID, post.ClientSecret, post.CallerAuth = "gatehouse-post", w.seal("posted"), "client_secret_post"
	byKey.ClientID, byKey.PrivateKey, byKey.PrivateKeyID, byKey.CallerAuth = "gatehouse-key", w.seal(text), "k1", "private_key_jwt"
	signed.Validation, signed.CallerAuth = "jwt", "none"
	wrong.ClientID, wrong.ClientSecret, wrong.CallerAuth = "gatehouse", w.seal("guessed"), "client_secret_basic"
	for site, p := range map[string]configlog.Provider{"basic": basic, "post": post, "key": byKey, "signed": signed, "wrong": wrong} {
		w.commit(registered(site, "jira"), trusted(site, p))
	}
	w.run(func(s *introspection.Settings) { s.CallTimeout = 20 * time.Second })
	opaque := s.token("urn:opaque:jira")
	for _, site := range []string{"basic", "post", "key"} {
		r, err := w.introspect(site, opaque)
		if err != nil || !r.GetActive() || r.GetClientId() != "ci-bot" || r.GetHolder() != identityv1.IntrospectReply_HOLDER_CLIENT || strings.Join(r.GetScopes(), " ") != "read" || strings.Join(r.GetAudience(), " ") != "urn:opaque:jira" || r.GetExpiresAt() == nil {
			t.Errorf("%s: %v, %v", site, r, err)
		}
		if r, err := w.introspect(site, "unknown"); err != nil || r.GetActive() {
			t.Errorf("%s: %v, %v", site, r, err)
		}
	}
	if r, err := w.introspect("wrong", opaque); err == nil || !strings.Contains(err.Error(), "does not take our client id") {
		t.Errorf("a wrong secret: %v, %v", r, err)
	}
	if r, err := w.introspect("signed", opaque); err != nil || r.GetActive() {
		t.Errorf("an opaque token where signed ones are wanted: %v, %v", r, err)
	}
	token := s.token("urn:jwt:jira")
	if strings.Count(token, ".") != 2 {
		t.Fatalf("no signed token: %s", token)
	}
	r, err := w.introspect("signed", token)
	if err != nil || !r.GetActive() || r.GetClientId() != "ci-bot" || r.GetIssuer() != s.issuer || strings.Join(r.GetAudience(), " ") != "urn:jwt:jira" || strings.Join(r.GetScopes(), " ") != "read" {
		t.Errorf("signed: %v, %v", r, err)
	}
	s.revoke(opaque)
	testkit.Until(t, "a revoked token to end", func() bool {
		r, err := w.introspect("key", opaque)
		return err == nil && !r.GetActive()
	})
}
