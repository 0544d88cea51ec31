package introspection_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/go-jose/go-jose/v4"
)

// signer is a key a test signs tokens with.
type signer struct {
	id  string
	key crypto.Signer
	alg jose.SignatureAlgorithm
}

func rsaKey(t testing.TB, id string, bits int) signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return signer{id, key, jose.RS256}
}

func ecKey(t testing.TB, id string) signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signer{id, key, jose.ES256}
}

func edKey(t testing.TB, id string) signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signer{id, key, jose.EdDSA}
}

// jwk is the public key as it is published.
func (s signer) jwk() jose.JSONWebKey {
	return jose.JSONWebKey{Key: s.key.Public(), KeyID: s.id, Use: "sig"}
}

// sign makes a token of claims; headers come beside alg, kid and typ.
func (s signer) sign(t testing.TB, claims map[string]any, headers ...string) string {
	t.Helper()
	options := (&jose.SignerOptions{}).WithType("at+jwt")
	if s.id != "" {
		options = options.WithHeader("kid", s.id)
	}
	for i := 0; i < len(headers); i += 2 {
		options = options.WithHeader(jose.HeaderKey(headers[i]), headers[i+1])
	}
	made, err := jose.NewSigner(jose.SigningKey{Algorithm: s.alg, Key: s.key}, options)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := made.Sign(text)
	if err != nil {
		t.Fatal(err)
	}
	out, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// raw signs a header and a payload as they stand, by RS256.
func (s signer) raw(t testing.TB, header, payload string) string {
	t.Helper()
	text := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + payload
	sum := sha256.Sum256([]byte(text))
	signature, err := s.key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// issuer is a provider that publishes keys, by discovery, and introspects.
type issuer struct {
	*httptest.Server
	discoveries, fetches, asked atomic.Int64

	mu         sync.Mutex
	keys       []jose.JSONWebKey
	metadata   map[string]any
	misuse     map[string]http.HandlerFunc // by path
	introspect func(w http.ResponseWriter, token string)
}

// startIssuer starts one that answers at a path.
func startIssuer(t testing.TB, path string, keys ...signer) *issuer {
	t.Helper()
	p := &issuer{misuse: map[string]http.HandlerFunc{}}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	p.publish(keys...)
	p.metadata = map[string]any{"issuer": p.URL + path, "jwks_uri": p.URL + "/keys", "introspection_endpoint": p.URL + "/introspect"}
	return p
}

func (p *issuer) publish(keys ...signer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = nil
	for _, k := range keys {
		p.keys = append(p.keys, k.jwk())
	}
}

// say changes a member of the discovery document.
func (p *issuer) say(name string, value any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.metadata[name] = value
}

// on does h at a path; nil: as usual.
func (p *issuer) on(path string, h http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.misuse[path] = h
}

func (p *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	misuse, document, keys, say := p.misuse[r.URL.Path], p.metadata, p.keys, p.introspect
	text, _ := json.Marshal(document)
	p.mu.Unlock()
	path, _ := document["issuer"].(string)
	if len(path) >= len(p.URL) {
		path = path[len(p.URL):]
	}
	switch r.URL.Path {
	case path + "/.well-known/openid-configuration":
		p.discoveries.Add(1)
	case "/keys":
		p.fetches.Add(1)
	case "/introspect":
		p.asked.Add(1)
	}
	switch {
	case misuse != nil:
		misuse(w, r)
	case r.URL.Path == path+"/.well-known/openid-configuration":
		says(200, "application/json", string(text))(w, r)
	case r.URL.Path == "/keys":
		answer(w, map[string]any{"keys": keys})
	case r.URL.Path == "/introspect" && say != nil:
		say(w, r.PostFormValue("token"))
	default:
		http.NotFound(w, r)
	}
}

// signing is the provider that verifies this issuer's tokens.
func (w *world) signing(p *issuer) configlog.Provider {
	p.mu.Lock()
	defer p.mu.Unlock()
	name, _ := p.metadata["issuer"].(string)
	return configlog.Provider{
		ID: "corp", Kind: "custom", Validation: "jwt", Issuer: name, CallerAuth: "none",
		Cache: configlog.Cache{MaxTTL: configlog.Duration(time.Minute), NegativeTTL: configlog.Duration(5 * time.Second)},
	}
}

// claims are those of a good token of an issuer, changed by pairs; nil takes one away.
func claims(issuer string, changes ...any) map[string]any {
	now := time.Now().Unix()
	out := map[string]any{"iss": issuer, "sub": "ci-bot", "client_id": "ci-bot", "aud": "gatehouse", "scope": "read write", "iat": now, "exp": now + 300, "jti": rand.Text()}
	for i := 0; i < len(changes); i += 2 {
		name, _ := changes[i].(string)
		if out[name] = changes[i+1]; changes[i+1] == nil {
			delete(out, name)
		}
	}
	return out
}
