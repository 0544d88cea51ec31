package introspection_test

import (
	"bytes"
	"compress/gzip"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	identityv1 "github.com/gatehouse-suite/gatehouse/proto/identity/v1"
	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/go-jose/go-jose/v4"

	"github.com/gatehouse-suite/gatehouse/services/introspection"
)

// TestTokensThatAreVerifiedByKeys: each algorithm, each form of token that real providers send; nobody is asked but for
// metadata and keys, once.
func TestTokensThatAreVerifiedByKeys(t *testing.T) {
	t.Parallel()
	r, e, d := rsaKey(t, "r", 2048), ecKey(t, "e"), edKey(t, "d")
	pss := r
	pss.alg = jose.PS256
	bare := e
	bare.id = ""
	w, p := newWorld(t), startIssuer(t, "/realms/one", r, e, d)
	w.site(w.signing(p))
	w.run(nil)
	iss := p.URL + "/realms/one"
	for name, token := range map[string]string{
		"RS256": r.sign(t, claims(iss)), "PS256": pss.sign(t, claims(iss)), "ES256": e.sign(t, claims(iss)), "EdDSA": d.sign(t, claims(iss)),
		"typ JWT": r.sign(t, claims(iss), "typ", "JWT"), "typ with application/": r.sign(t, claims(iss), "typ", "application/AT+JWT"),
		"no key id": bare.sign(t, claims(iss)), "an issuer with a slash": e.sign(t, claims(iss+"/")),
	} {
		got := w.active(token)
		if got.GetClientId() != "ci-bot" || got.GetProvider() != "corp" || strings.Join(got.GetScopes(), " ") != "read write" || got.GetAudience()[0] != "gatehouse" || got.GetExpiresAt() == nil || got.GetHolder() != identityv1.IntrospectReply_HOLDER_CLIENT {
			t.Errorf("%s: %v", name, got)
		}
	}
	if p.fetches.Load() != 1 || p.discoveries.Load() != 1 || p.asked.Load() != 0 {
		t.Errorf("%d fetches of keys, %d of metadata, asked about %d tokens", p.fetches.Load(), p.discoveries.Load(), p.asked.Load())
	}
}

// TestTokensThatAreNotTheProviders are inactive, whatever they try, and invented key ids make us ask for keys once.
func TestTokensThatAreNotTheProviders(t *testing.T) {
	t.Parallel()
	r, e, other := rsaKey(t, "r", 2048), ecKey(t, "e"), rsaKey(t, "r", 2048)
	unknown := ecKey(t, "unknown")
	w, p := newWorld(t), startIssuer(t, "", r, e)
	w.site(w.signing(p))
	w.run(nil)
	good := r.sign(t, claims(p.URL))
	w.active(good)
	part := strings.Split(good, ".")
	b64 := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	public, err := x509.MarshalPKIXPublicKey(r.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	shared := func(key []byte) string { // HS256 with the public key for a secret
		text := b64(`{"alg":"HS256","kid":"r"}`) + "." + part[1]
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(text))
		return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	}
	jwk, _ := r.jwk().MarshalJSON()
	embedded := func() string { // signed by a key it brings along
		made, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: other.key}, &jose.SignerOptions{EmbedJWK: true})
		if err != nil {
			t.Fatal(err)
		}
		text, _ := json.Marshal(claims(p.URL))
		signed, _ := made.Sign(text)
		out, _ := signed.CompactSerialize()
		return out
	}
	mixed := e
	mixed.id = "r"
	for name, token := range map[string]string{
		"alg none": b64(`{"alg":"none"}`) + "." + part[1] + ".", "alg None": b64(`{"alg":"None","kid":"r"}`) + "." + part[1] + ".", "alg none with a signature": b64(`{"alg":"none","kid":"r"}`) + "." + part[1] + "." + part[2],
		"no alg":              b64(`{"kid":"r"}`) + "." + part[1] + "." + part[2],
		"HS256, public key":   shared(public),
		"HS256, PEM":          shared(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})),
		"HS256, JWK":          shared(jwk),
		"another key":         other.sign(t, claims(p.URL)),
		"a key of its own":    embedded(),
		"a key by URL":        other.sign(t, claims(p.URL), "jku", "http://127.0.0.1:1/keys"),
		"another kind of key": mixed.sign(t, claims(p.URL)),
		"another payload":     part[0] + "." + b64(`{"iss":"`+p.URL+`","sub":"admin","exp":9999999999}`) + "." + part[2],
		"no signature":        part[0] + "." + part[1] + ".",
		"cut":                 good[:len(good)-4],
		"another issuer":      r.sign(t, claims("https://evil.example.com")),
		"no issuer":           r.sign(t, claims(p.URL, "iss", nil)),
		"the issuer and more": r.sign(t, claims(p.URL+"/x")),
		"never ends":          r.sign(t, claims(p.URL, "exp", nil)),
		"exp no time":         r.sign(t, claims(p.URL, "exp", "soon")),
		"bound to a key":      r.sign(t, claims(p.URL, "cnf", map[string]string{"jkt": "x"})),
		"an ID token by typ":  r.sign(t, claims(p.URL), "typ", "id_token+jwt"),
		"a logout token":      r.sign(t, claims(p.URL), "typ", "logout+jwt"),
		"a name twice":        r.sign(t, claims(p.URL, "client_id", []string{"a", "b"})),
		"opaque":              "0123456789abcdef",
		"dots":                "a.b.c", "more dots": good + ".x", "five parts": strings.Repeat("e30.", 4) + "e30",
		"a header that must be understood": r.raw(t, `{"alg":"RS256","kid":"r","crit":["exp"],"exp":1}`, part[1]),
	} {
		if got := w.inactive(token); got.GetDetail() == "" {
			t.Errorf("%s: no reason", name)
		}
	}
	for i := range 50 {
		unknown.id = fmt.Sprint("u", i)
		w.inactive(unknown.sign(t, claims(p.URL)))
	}
	if n := p.fetches.Load(); n != 1 {
		t.Errorf("keys were fetched %d times", n)
	}
	w.active(r.sign(t, claims(p.URL)))
}

// TestKeysRotate: a new key is found when a token names it; one that is no longer published is believed until the keys are
// fetched again.
func TestKeysRotate(t *testing.T) {
	t.Parallel()
	one, two := ecKey(t, "one"), ecKey(t, "two")
	w, p := newWorld(t), startIssuer(t, "", one)
	w.site(w.signing(p))
	w.run(func(s *introspection.Settings) {
		s.KeysPause, s.KeysRefresh = 50*time.Millisecond, 300*time.Millisecond
	})
	w.active(one.sign(t, claims(p.URL)))
	p.publish(one, two)
	testkit.Until(t, "the new key", func() bool {
		r, err := w.introspect("jira", two.sign(t, claims(p.URL)))
		return err == nil && r.GetActive()
	})
	p.publish(two)
	testkit.Until(t, "the old key to go", func() bool {
		r, err := w.introspect("jira", one.sign(t, claims(p.URL)))
		return err == nil && !r.GetActive()
	})
}

// TestKeysThatCannotBeFetched: those that are known are used up to their age; without any the provider is unavailable, and
// never is a token inactive for it.
func TestKeysThatCannotBeFetched(t *testing.T) {
	t.Parallel()
	testkit.Long(t)
	key, other := ecKey(t, "one"), ecKey(t, "two")
	w, p := newWorld(t), startIssuer(t, "", key)
	w.site(w.signing(p))
	w.run(func(s *introspection.Settings) {
		s.KeysPause, s.KeysRefresh, s.KeysMaxAge, s.BreakerFailures = 20*time.Millisecond, 100*time.Millisecond, 1500*time.Millisecond, 1000
	})
	w.active(key.sign(t, claims(p.URL)))
	p.on("/keys", says(503, "text/plain", "down"))
	began, held := time.Now(), 0
	testkit.Until(t, "the keys to be too old", func() bool {
		r, err := w.introspect("jira", key.sign(t, claims(p.URL)))
		if err == nil {
			held++
			if !r.GetActive() {
				t.Fatalf("inactive after %v: %v", time.Since(began), r)
			}
		}
		return err != nil
	})
	if d := time.Since(began); d < time.Second || held == 0 {
		t.Errorf("they held %v", d)
	}
	p.on("/keys", nil)
	testkit.Until(t, "the keys to come back", func() bool {
		r, err := w.introspect("jira", key.sign(t, claims(p.URL)))
		return err == nil && r.GetActive()
	})
	p.on("/keys", says(503, "text/plain", "down"))
	testkit.Until(t, "an unknown key that nobody can look up", func() bool {
		_, err := w.introspect("jira", other.sign(t, claims(p.URL)))
		return err != nil && strings.Contains(err.Error(), "cannot be fetched")
	})
	w.active(key.sign(t, claims(p.URL))) // others go on
}

// TestWhatKeysAndMetadataMayBe: everything else is an error that says what, closed and bounded, and a provider beside is
// unharmed.
func TestWhatKeysAndMetadataMayBe(t *testing.T) {
	t.Parallel()
	testkit.Long(t)
	key := ecKey(t, "one")
	many := func(n int) string {
		set := jose.JSONWebKeySet{}
		for i := range n {
			one := key
			one.id = fmt.Sprint("k", i)
			set.Keys = append(set.Keys, one.jwk())
		}
		text, _ := json.Marshal(set)
		return string(text)
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(make([]byte, 64<<20))
	_ = z.Close()
	bomb := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(b.Bytes())
	}
	big := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(bytes.Repeat([]byte(" "), 5<<20))
	}
	small, private := rsaKey(t, "s", 1024), rsaKey(t, "p", 2048)
	secretKey, _ := json.Marshal(map[string]any{"keys": []any{jose.JSONWebKey{Key: private.key, KeyID: "p"}}})
	shortKey, _ := json.Marshal(map[string]any{"keys": []any{small.jwk()}})
	const keys, metadata = "/keys", "/.well-known/openid-configuration"
	for name, c := range map[string]struct {
		path string
		h    http.HandlerFunc
		text string
	}{
		"1,000 keys":                {keys, says(200, "application/json", many(1000)), "more than 100 keys"},
		"no keys":                   {keys, says(200, "application/json", `{"keys":[]}`), "no key that signs"},
		"no set":                    {keys, says(200, "application/json", `{}`), "no JWK set"},
		"broken":                    {keys, says(200, "application/json", `{"keys":[`), "no JWK set"},
		"a shared secret":           {keys, says(200, "application/json", `{"keys":[{"kty":"oct","k":"c2VjcmV0","kid":"one"}]}`), "no key that signs"},
		"a private key":             {keys, says(200, "application/json", string(secretKey)), "no key that signs"},
		"a short key":               {keys, says(200, "application/json", string(shortKey)), "no key that signs"},
		"keys for encryption":       {keys, says(200, "application/json", strings.Replace(many(1), `"sig"`, `"enc"`, 1)), "no key that signs"},
		"a page":                    {keys, says(200, "text/html", "<html>"), "Content-Type"},
		"redirect":                  {keys, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }, "302"},
		"gzip bomb":                 {keys, bomb, "compressed"},
		"5 MiB":                     {keys, big, "larger than 1024 KiB"},
		"hang":                      {keys, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "in time"},
		"403":                       {keys, says(403, "application/json", "{}"), "does not publish"},
		"metadata of another":       {metadata, says(200, "application/json", `{"issuer":"https://other"}`), "another issuer"},
		"metadata of nobody":        {metadata, says(200, "application/json", `{}`), "another issuer"},
		"metadata broken":           {metadata, says(200, "application/json", `{`), "broken JSON"},
		"metadata missing":          {metadata, says(404, "text/plain", ""), "404"},
		"metadata 500":              {metadata, says(500, "text/plain", ""), "500"},
		"metadata that redirects":   {metadata, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusFound) }, "302"},
		"metadata without keys":     {metadata, nil, "no jwks_uri"},
		"metadata with another URL": {metadata, nil, "no https URL"},
		"metadata, 5 MiB":           {metadata, big, "larger than 1024 KiB"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, p, beside := newWorld(t), startIssuer(t, "", key), startIssuer(t, "", key)
			switch {
			case c.h != nil:
				p.on(c.path, c.h)
			case strings.Contains(c.text, "jwks_uri"):
				p.say("jwks_uri", nil)
			default:
				p.say("jwks_uri", "file:///etc/passwd")
			}
			w.site(w.signing(p))
			fine := w.signing(beside)
			fine.ID = "beside"
			w.commit(trusted("jira", fine))
			w.run(func(s *introspection.Settings) { s.CallTimeout = 1500 * time.Millisecond })
			began := time.Now()
			w.unavailable(key.sign(t, claims(p.URL)), c.text)
			if d := time.Since(began); d > 5*time.Second {
				t.Errorf("after %v", d)
			}
			w.active(key.sign(t, claims(beside.URL)))
		})
	}
}

// TestASetWithOddKeys: what cannot be read, or is for something else, is passed over.
func TestASetWithOddKeys(t *testing.T) {
	t.Parallel()
	key := ecKey(t, "one")
	good, _ := key.jwk().MarshalJSON()
	w, p := newWorld(t), startIssuer(t, "", key)
	p.on("/keys", says(200, "application/json", `{"keys":[{"kty":"AKP","alg":"ML-DSA-44","pub":"x","kid":"pq"},{"kty":"RSA","n":"!","e":"AQAB"},7,{},`+string(good)+`]}`))
	w.site(w.signing(p))
	w.run(nil)
	w.active(key.sign(t, claims(p.URL)))
}

// TestDiscoveryByRFC8414 where there is no OpenID Connect: the well-known part goes before the path.
func TestDiscoveryByRFC8414(t *testing.T) {
	t.Parallel()
	key := ecKey(t, "one")
	w, p := newWorld(t), startIssuer(t, "/tenant", key)
	text, _ := json.Marshal(p.metadata)
	p.on("/tenant/.well-known/openid-configuration", says(404, "text/plain", ""))
	p.on("/.well-known/oauth-authorization-server/tenant", says(200, "application/json", string(text)))
	w.site(w.signing(p))
	w.run(nil)
	w.active(key.sign(t, claims(p.URL+"/tenant")))
}

// TestATokenHasOneSpelling: bits that base64 decoders pass over make no second token of one.
func TestATokenHasOneSpelling(t *testing.T) {
	t.Parallel()
	key := rsaKey(t, "r", 2048)
	w, p := newWorld(t), startIssuer(t, "", key)
	w.site(w.signing(p))
	w.run(nil)
	token := key.sign(t, claims(p.URL))
	active := 0
	for _, last := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_" {
		if r, err := w.introspect("jira", token[:len(token)-1]+string(last)); err == nil && r.GetActive() {
			active++
		}
	}
	if active != 1 {
		t.Errorf("%d spellings are active", active)
	}
}

// TestAKeyIsReplacedUnderItsName: keys are fetched again too when a signature fits none of those known, with a key id or without.
func TestAKeyIsReplacedUnderItsName(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"default", ""} {
		one, two := ecKey(t, id), ecKey(t, id)
		w, p := newWorld(t), startIssuer(t, "", one)
		w.site(w.signing(p))
		w.run(func(s *introspection.Settings) { s.KeysPause = 50 * time.Millisecond })
		w.active(one.sign(t, claims(p.URL)))
		p.publish(two)
		testkit.Until(t, "the new key", func() bool {
			r, err := w.introspect("jira", two.sign(t, claims(p.URL)))
			return err == nil && r.GetActive()
		})
	}
}

// TestANewKeyIsSeenAfterThePause, though a stranger's invented key id had the keys fetched just before it came: that nobody has
// it is as old as the keys.
func TestANewKeyIsSeenAfterThePause(t *testing.T) {
	t.Parallel()
	testkit.Long(t)
	one, two, junk := ecKey(t, "one"), ecKey(t, "two"), ecKey(t, "junk")
	w, p := newWorld(t), startIssuer(t, "", one)
	const pause = 2 * time.Second
	c := w.signing(p)
	c.Cache.NegativeTTL = configlog.Duration(pause)
	w.site(c)
	w.run(func(s *introspection.Settings) { s.KeysPause = pause })
	w.active(one.sign(t, claims(p.URL)))
	fetched, at := p.fetches.Load(), time.Now()
	testkit.Until(t, "a stranger to have them fetched", func() bool {
		at = time.Now()
		w.inactive(junk.sign(t, claims(p.URL)))
		return p.fetches.Load() > fetched
	})
	p.publish(one, two)
	testkit.Until(t, "most of the pause", func() bool { return time.Since(at) > pause*17/20 })
	good := two.sign(t, claims(p.URL))
	testkit.Until(t, "the new key", func() bool { r, err := w.introspect("jira", good); return err == nil && r.GetActive() })
	if d := time.Since(at); d > pause*8/5 {
		t.Errorf("it took %v", d)
	}
}

// TestKeysThatHangHoldNobodyElseUp: only so many wait for them.
func TestKeysThatHangHoldNobodyElseUp(t *testing.T) {
	t.Parallel()
	key, good := ecKey(t, "one"), ecKey(t, "good")
	w, p, beside := newWorld(t), startIssuer(t, "", key), startIssuer(t, "", good)
	w.site(w.signing(p))
	fine := w.signing(beside)
	fine.ID = "beside"
	w.commit(trusted("jira", fine))
	w.run(func(s *introspection.Settings) { s.Workers, s.Concurrency, s.KeysPause = 64, 4, time.Millisecond })
	w.active(good.sign(t, claims(beside.URL)))
	w.active(key.sign(t, claims(p.URL)))
	released := make(chan struct{})
	p.on("/keys", func(http.ResponseWriter, *http.Request) { <-released })
	var all sync.WaitGroup
	for i := range 200 {
		junk := ecKey(t, fmt.Sprint("j", i))
		token := junk.sign(t, claims(p.URL))
		all.Go(func() { _, _ = w.introspect("jira", token) })
	}
	testkit.Until(t, "the keys to be asked for", func() bool { return p.fetches.Load() > 1 })
	for range 20 {
		began := time.Now()
		w.active(good.sign(t, claims(beside.URL)))
		if d := time.Since(began); d > 4*time.Second {
			t.Errorf("another provider's token took %v", d)
		}
	}
	close(released)
	all.Wait()
}

// TestWhatIsPublishedSaysNothingOfTheRest: keys that can be fetched do not close the breaker of an introspection that is down.
func TestWhatIsPublishedSaysNothingOfTheRest(t *testing.T) {
	t.Parallel()
	key := ecKey(t, "one")
	w, p := newWorld(t), startIssuer(t, "", key)
	p.introspect = func(w http.ResponseWriter, _ string) { says(503, "text/plain", "down")(w, nil) }
	c := w.signing(p)
	c.Validation, c.CallerAuth, c.ClientID, c.ClientSecret = "jwt_and_introspection", "client_secret_basic", "gatehouse", w.seal("s")
	w.site(c)
	w.run(func(s *introspection.Settings) {
		s.KeysPause, s.BreakerPause = time.Millisecond, time.Hour
		s.BreakerMaxPause = time.Hour
	})
	for i := range 40 {
		if i%4 == 3 {
			w.inactive(ecKey(t, fmt.Sprint("j", i)).sign(t, claims(p.URL)))
		}
		_, _ = w.introspect("jira", key.sign(t, claims(p.URL)))
	}
	if n := p.asked.Load(); n != 5 {
		t.Errorf("it was asked %d times", n)
	}
}

// TestVerifiedFirstThenAsked: what was not signed by the provider is never sent to it, what was is asked about, and revoked
// tokens end.
func TestVerifiedFirstThenAsked(t *testing.T) {
	t.Parallel()
	key, other := ecKey(t, "one"), ecKey(t, "one")
	w, p := newWorld(t), startIssuer(t, "", key)
	var mu sync.Mutex
	said := map[string]any{"active": true, "client_id": "ci-bot", "scope": "less"}
	p.introspect = func(w http.ResponseWriter, _ string) {
		mu.Lock()
		defer mu.Unlock()
		answer(w, said)
	}
	c := w.signing(p)
	c.Validation, c.CallerAuth, c.ClientID, c.ClientSecret = "jwt_and_introspection", "client_secret_basic", "gatehouse", w.seal("s")
	w.site(c)
	w.run(nil)
	if r := w.active(key.sign(t, claims(p.URL))); strings.Join(r.GetScopes(), " ") != "less" || r.GetExpiresAt() == nil || r.GetIssuer() != p.URL {
		t.Errorf("%v", r)
	}
	w.inactive(other.sign(t, claims(p.URL)))
	w.inactive("opaque")
	if p.asked.Load() != 1 {
		t.Errorf("asked about %d tokens", p.asked.Load())
	}
	soon := time.Now().Unix() + 500
	r := w.active(key.sign(t, claims(p.URL, "sub", "u1", "preferred_username", "alice", "typ", "ID", "nbf", soon)))
	if r.GetHolder() != identityv1.IntrospectReply_HOLDER_PERSON || r.GetUsername() != "alice" || r.GetTokenType() != "ID" || r.GetNotBefore().GetSeconds() != soon || strings.Join(r.GetAudience(), " ") != "gatehouse" {
		t.Errorf("what the token says itself is lost: %v", r)
	}
	mu.Lock()
	said = map[string]any{"active": true, "client_id": "another"}
	mu.Unlock()
	w.unavailable(key.sign(t, claims(p.URL)), "not what it has signed")
	mu.Lock()
	said = map[string]any{"active": false}
	mu.Unlock()
	w.inactive(key.sign(t, claims(p.URL)))
}
