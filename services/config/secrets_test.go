package config

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"github.com/gatehouse-suite/gatehouse/shared/secret"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"
)

// sealedKeys lists what is in bucket SECRETS.
func sealedKeys(t testing.TB, n *testkit.NATS) []string {
	t.Helper()
	stream, err := n.JetStream(t, topology.Config).Stream(t.Context(), "KV_"+topology.BucketSecrets)
	if err != nil {
		t.Fatal(err)
	}
	info, err := stream.Info(t.Context(), jetstream.WithSubjectFilter(">"))
	if err != nil {
		t.Fatal(err)
	}
	return slices.Sorted(maps.Keys(info.State.Subjects))
}

// opens reads a secret as its owner does.
func opens(t testing.TB, n *testkit.NATS, keys string, owner secret.Owner, s configlog.Secret) string {
	t.Helper()
	identity, err := secret.ReadIdentity(secret.IdentityFile(keys, owner))
	if err != nil {
		t.Fatal(err)
	}
	user := topology.Introspection
	if owner == secret.Gateway {
		user = topology.Gateway
	}
	text, err := secret.NewOpener(n.JetStream(t, user), identity, nil, "").Open(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (i *instance) site() configlog.Site {
	i.t.Helper()
	var c configlog.Config
	i.get("config").want(http.StatusOK).json(&c)
	return c.Sites[0]
}

func TestSecretsLife(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	i := start(t, n, nil).ready()
	i.put(oneSite(value("provider-1"), value("account-1"))).changed()
	first := i.site()
	a, b := first.Providers[0].ClientSecret, first.Upstream.Accounts["svc-api"]
	if got := opens(t, n, i.keys, secret.Introspection, a); got != "provider-1" {
		t.Errorf("introspection reads %q", got)
	}
	if got := opens(t, n, i.keys, secret.Gateway, b); got != "account-1" {
		t.Errorf("gateways read %q", got)
	}
	if a.Version != 1 || a.Ref == b.Ref || a.Fingerprint == "" {
		t.Errorf("%+v %+v", a, b)
	}

	out := i.put(oneSite(value("provider-1"), value("account-2"))).changed()
	second := i.site()
	if diff := cmp.Diff(a, second.Providers[0].ClientSecret); diff != "" || len(out.Changes) != 1 {
		t.Errorf("the same value is a change: %s", diff)
	}
	c := second.Upstream.Accounts["svc-api"]
	if c.Ref != b.Ref || c.Version != 2 || opens(t, n, i.keys, secret.Gateway, c) != "account-2" || opens(t, n, i.keys, secret.Gateway, b) != "account-1" {
		t.Errorf("the next version: %+v", c)
	}

	ref := func(s configlog.Secret) string {
		return fmt.Sprintf(`{"ref":%q,"version":%d,"fingerprint":%q}`, s.Ref, s.Version, s.Fingerprint)
	}
	for name, kept := range map[string]string{"as GET shows it": ref(c), "ref alone": fmt.Sprintf(`{"ref":%q}`, c.Ref)} {
		if out := i.put(oneSite(ref(a), kept)).changed(); len(out.Changes) != 0 {
			t.Errorf("%s is a change: %+v", name, out.Changes)
		}
	}
	for name, dangling := range map[string]string{
		"another place's": ref(a), "an old version": ref(b), "nobody's": `{"ref":"nobody"}`,
		"another fingerprint": fmt.Sprintf(`{"ref":%q,"fingerprint":"00"}`, c.Ref),
	} {
		if got := i.put(oneSite(ref(a), dangling)).want(http.StatusUnprocessableEntity).problems(); len(got) != 1 || got[0] != "sites[0].upstream.accounts.svc-api" {
			t.Errorf("%s: %v", name, got)
		}
	}
	i.put(oneSite(ref(a), "null")).want(http.StatusUnprocessableEntity)
	i.put(oneSite(`{"env":"GATEHOUSE_SECRET_P"}`, `{"file":"accounts/svc"}`)).changed()
	if s := i.site(); s.Providers[0].ClientSecret.Env == "" || s.Upstream.Accounts["svc-api"].File == "" {
		t.Errorf("%+v", s)
	}
	if keys := sealedKeys(t, n); len(keys) != 3 {
		t.Errorf("sealed: %v", keys)
	}
}

// TestLongNamesKeepTheirOwnSecrets: two accounts whose names differ only where a message no longer shows it.
func TestLongNamesKeepTheirOwnSecrets(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	i := start(t, n, nil).ready()
	long := strings.Repeat("long-name.", 8)
	i.put(fmt.Sprintf(`{"sites":[{"id":"jira","product":"jira","nodes":[{"id":"n1","url":"http://h"}],"upstream":{"accounts":{"%s1":%s,"%s2":%s}}}]}`,
		long, value("one"), long, value("two"))).changed()
	accounts := i.site().Upstream.Accounts
	for name, want := range map[string]string{long + "1": "one", long + "2": "two"} {
		if got := opens(t, n, i.keys, secret.Gateway, accounts[name]); got != want {
			t.Errorf("account %s has the secret %q", name, got)
		}
	}
}

// TestALostSecretIsEnteredAgain: the same values, once the gateways' key was lost and made anew, and once the bucket
// was. What its owner can still open stays as it is.
func TestALostSecretIsEnteredAgain(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	i := start(t, n, nil).ready()
	document := oneSite(value("p"), value("a"))
	i.put(document).changed()
	first := i.site()
	if err := i.end(); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"gateway.age", "gateway.pub"} {
		if err := os.Remove(filepath.Join(i.keys, file)); err != nil {
			t.Fatal(err)
		}
	}
	if err := secret.Init(i.keys); err != nil {
		t.Fatal(err)
	}
	i = start(t, n, func(s *Settings) { s.KeysDir = i.keys }).ready()
	kept := i.get("config")
	const account = "sites[0].upstream.accounts.svc-api"
	if out := i.put(strings.Replace(kept.body, `"requests": 1000`, `"requests": 1001`, 1)).changed(); !slices.ContainsFunc(out.Warnings, func(p fault.Problem) bool {
		return p.Path == account && strings.Contains(p.Message, "a key that is no more")
	}) {
		t.Errorf("it is not said: %+v", out.Warnings)
	}
	i.put(document).changed()
	second := i.site()
	if a := second.Upstream.Accounts["svc-api"]; a.Version != 2 || opens(t, n, i.keys, secret.Gateway, a) != "a" {
		t.Errorf("gateways: %+v", a)
	}
	if diff := cmp.Diff(first.Providers, second.Providers); diff != "" {
		t.Errorf("introspection: %s", diff)
	}
	if out := i.put(document).changed(); len(out.Changes) != 0 {
		t.Errorf("the same again is a change: %+v", out.Changes)
	}

	bucket, err := n.JetStream(t, topology.Config).KeyValue(t.Context(), topology.BucketSecrets)
	if err != nil {
		t.Fatal(err)
	}
	if err := bucket.Delete(t.Context(), second.Providers[0].ClientSecret.Key()); err != nil {
		t.Fatal(err)
	}
	i.put(document).changed()
	third := i.site()
	if p := third.Providers[0].ClientSecret; p.Version != 2 || opens(t, n, i.keys, secret.Introspection, p) != "p" {
		t.Errorf("introspection: %+v", p)
	}
	if diff := cmp.Diff(second.Upstream, third.Upstream); diff != "" {
		t.Errorf("gateways: %s", diff)
	}
}

func TestATakenVersionIsNotOverwritten(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	i := start(t, n, nil).ready()
	i.put(oneSite(value("p"), value("a"))).changed()
	s := i.site().Upstream.Accounts["svc-api"]
	bucket, err := n.JetStream(t, topology.Config).KeyValue(t.Context(), topology.BucketSecrets)
	if err != nil {
		t.Fatal(err)
	}
	for v := uint32(2); v <= 4; v++ { // as another instance does whose commit was never stored
		if _, err := bucket.Create(t.Context(), configlog.Secret{Ref: s.Ref, Version: v}.Key(), []byte("theirs")); err != nil {
			t.Fatal(err)
		}
	}
	i.put(oneSite(value("p"), value("a2"))).changed()
	if got := i.site().Upstream.Accounts["svc-api"]; got.Ref != s.Ref || got.Version != 5 || opens(t, n, i.keys, secret.Gateway, got) != "a2" {
		t.Errorf("got %+v", got)
	}
	for v := uint32(6); v <= 20; v++ {
		if _, err := bucket.Create(t.Context(), configlog.Secret{Ref: s.Ref, Version: v}.Key(), []byte("theirs")); err != nil {
			t.Fatal(err)
		}
	}
	i.put(oneSite(value("p"), value("a3"))).changed()
	if got := i.site().Upstream.Accounts["svc-api"]; got.Ref == s.Ref || opens(t, n, i.keys, secret.Gateway, got) != "a3" {
		t.Errorf("got %+v", got)
	}
}

func TestATokenIsOne(t *testing.T) {
	t.Parallel()
	i := start(t, testkit.StartNATS(t), nil).ready()
	password := oneSite(value("p"), value("with a space"))
	if got := i.put(password).want(http.StatusUnprocessableEntity).problems(); len(got) != 1 || got[0] != "sites[0].upstream.accounts.svc-api.value" {
		t.Errorf("got %v", got)
	}
	i.put(strings.Replace(password, `"upstream":{`, `"upstream":{"driver":"basic",`, 1)).changed()
	i.put(oneSite(value("p"), value("MDEyMzQ1Njc4OTA6+/-._~=="))).changed()
}

func TestPrivateKey(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	i := start(t, n, nil).ready()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	doc := func(private string) string {
		return fmt.Sprintf(`{"sites":[{"id":"jira","product":"jira","nodes":[{"id":"n1","url":"http://h"}],
			"upstream":{"driver":"oauth1-2loi","consumer_key":"gatehouse","private_key":%s}}]}`, value(private))
	}
	for _, private := range []string{
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})),
	} {
		i.put(doc(private)).changed()
		if got := opens(t, n, i.keys, secret.Gateway, i.site().Upstream.PrivateKey); got != private {
			t.Errorf("gateways read %q", got)
		}
	}
	i.put(doc("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")).want(http.StatusUnprocessableEntity)
}

// TestTheKeyOfAProviderIsSealedToIntrospection: RSA, EC and Ed25519 sign client assertions; what signs none is refused.
func TestTheKeyOfAProviderIsSealedToIntrospection(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	i := start(t, n, nil).ready()
	doc := func(private string) string {
		return fmt.Sprintf(`{"sites":[{"id":"jira","product":"jira","nodes":[{"id":"n1","url":"http://h"}],"providers":[{"id":"p","issuer":"https://h","audience":"a",
			"caller_auth":"private_key_jwt","client_id":"c","private_key":%s,"private_key_id":"1"}]}]}`, value(private))
	}
	ec := func(curve elliptic.Curve) *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	encoded := func(kind string, der []byte, err error) string {
		if err != nil {
			t.Fatal(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	pkcs8 := func(key any) string {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		return encoded("PRIVATE KEY", der, err)
	}
	sec1, err := x509.MarshalECPrivateKey(ec(elliptic.P384()))
	for _, private := range []string{pkcs8(ec(elliptic.P256())), pkcs8(edwards), encoded("EC PRIVATE KEY", sec1, err)} {
		i.put(doc(private)).changed()
		if got := opens(t, n, i.keys, secret.Introspection, i.site().Providers[0].PrivateKey); got != private {
			t.Errorf("introspection reads %q", got)
		}
	}
	for _, private := range []string{pkcs8(ec(elliptic.P224())), "a secret", encoded("PUBLIC KEY", []byte("x"), nil)} {
		if r := i.put(doc(private)); r.status != http.StatusUnprocessableEntity || !strings.Contains(r.body, "providers[0].private_key.value") {
			t.Errorf("%d %s", r.status, r.body)
		}
	}
}

// TestTheDirectorysAccountIsSealedToBoth who use it, the gateways and introspection; one that was sealed to the gateways
// alone must be given again before a rule asks for groups.
func TestTheDirectorysAccountIsSealedToBoth(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	i := start(t, n, nil).ready()
	doc := func(a, b, directory, groups string) string {
		return fmt.Sprintf(`{"sites":[{"id":"jira","product":"jira","nodes":[{"id":"n1","url":"http://h"}],
			"upstream":{"accounts":{"a":%s,"b":%s}},"directory":%s,"groups":%s}]}`, a, b, directory, groups)
	}
	i.put(doc(value("pat-a"), value("pat-b"), `{"account":"a"}`, `{}`)).changed()
	accounts := func() map[string]configlog.Secret { return i.site().Upstream.Accounts }
	for _, owner := range []secret.Owner{secret.Gateway, secret.Introspection} {
		if got := opens(t, n, i.keys, owner, accounts()["a"]); got != "pat-a" {
			t.Errorf("%s reads %q", owner, got)
		}
	}
	identity, err := secret.ReadIdentity(secret.IdentityFile(i.keys, secret.Introspection))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := secret.NewOpener(n.JetStream(t, topology.Introspection), identity, nil, "").Open(t.Context(), accounts()["b"]); err == nil {
		t.Error("introspection opens an account that is none of the directory's")
	}
	ref := func(name string) string { return fmt.Sprintf(`{"ref":%q}`, accounts()[name].Ref) }
	const rules = `{"read_only":["readers"]}`
	if warned := i.put(doc(ref("a"), ref("b"), `{"account":"b"}`, `{}`)).want(http.StatusOK); !strings.Contains(warned.body, "sealed to the gateways alone") {
		t.Errorf("not warned: %s", warned.body)
	}
	if got := i.put(doc(ref("a"), ref("b"), `{"account":"b"}`, rules)).want(http.StatusUnprocessableEntity).problems(); !slices.Equal(got, []string{"sites[0].upstream.accounts.b"}) {
		t.Errorf("got %v", got)
	}
	i.put(doc(ref("a"), value("pat-b"), `{"account":"b"}`, rules)).changed()
	if got := opens(t, n, i.keys, secret.Introspection, accounts()["b"]); got != "pat-b" {
		t.Errorf("introspection reads %q", got)
	}
	if warned := i.put(doc(ref("a"), ref("b"), `{"account":"b"}`, `{"read_only":["readers","others"]}`)).want(http.StatusOK); !strings.Contains(warned.body, "still sealed to introspection too") {
		t.Errorf("not warned: %s", warned.body)
	}
	if quiet := i.put(doc(value("pat-a"), ref("b"), `{"account":"b"}`, rules)).want(http.StatusOK); strings.Contains(quiet.body, "sealed to") {
		t.Errorf("warned: %s", quiet.body)
	}
	if _, err := secret.NewOpener(n.JetStream(t, topology.Introspection), identity, nil, "").Open(t.Context(), accounts()["a"]); err == nil {
		t.Error("introspection opens an account that is none of the directory's any more")
	}
	// A Crowd's password may be anything, and is introspection's alone.
	i.put(doc(ref("a"), ref("b"), `{"source":"crowd","url":"https://crowd","account":"app","credential":{"value":"a pass word"}}`, rules)).changed()
	if got := opens(t, n, i.keys, secret.Introspection, i.site().Directory.Credential); got != "a pass word" {
		t.Errorf("introspection reads %q", got)
	}
	for directory, want := range map[string]string{
		`{"account":"a","credential":{"value":"a pass word"}}`:                "sites[0].directory.credential.value",
		`{"source":"crowd","url":"https://crowd","account":"app"}`:            "sites[0].directory.account",
		`{"source":"crowd","url":"https://crowd","credential":{"value":"x"}}`: "sites[0].directory.account",
		`{"source":"crowd","account":"app","credential":{"value":"x"}}`:       "sites[0].directory.url",
		`{"account":"a","credential":{"file":"../x"}}`:                        "sites[0].directory.credential.file",
		`{"source":"crowd","url":"https://u:p@crowd","account":"a"}`:          "sites[0].directory.url",
	} {
		if got := i.put(doc(ref("a"), ref("b"), directory, rules)).want(http.StatusUnprocessableEntity).problems(); !slices.Contains(got, want) {
			t.Errorf("%s: %v", directory, got)
		}
	}
}

// TestSecretsAreNowhere: after every way a secret can take, good and bad, its value is in no log line, no
// answer, no commit, no metric and no file of NATS.
func TestSecretsAreNowhere(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t)
	i := start(t, n, nil).ready()
	const mark = "hunter2SECRETvalue"
	var answers strings.Builder
	keep := func(r reply) { fmt.Fprintf(&answers, "%v %s\n", r.header, r.body) }
	keep(i.put(oneSite(value(mark+"1"), value(mark+"2"))))
	keep(i.put(oneSite(value(mark+"3"), value(mark+"2")), "X-Request-Id", "r"))
	keep(i.call(http.MethodPut, "config?dry_run=true", oneSite(value(mark+"4"), value(mark+"5")), "If-Match", "*"))
	for _, given := range []string{
		fmt.Sprintf("%q", mark), fmt.Sprintf(`{"%s":1}`, mark), fmt.Sprintf(`{"value":["%s"]}`, mark), fmt.Sprintf(`{"value":"%s\n"}`, mark),
		fmt.Sprintf(`{"value":"%s","ref":"x"}`, mark), fmt.Sprintf(`["%s"]`, mark), fmt.Sprintf(`{"value":"%s"`, mark),
	} {
		keep(i.put(oneSite(given, value(mark))))
	}
	for _, yaml := range []string{"value: *" + mark, "value: *hun'ter" + mark, `value: *hun"ter` + mark, "value: &a'" + mark + "' *b", "value: !" + mark + " x", "value: 'x" + mark, "{" + mark + "}", "value: @" + mark, "? " + mark, "value: " + mark + "\n\t" + mark} {
		keep(i.put("sites:\n- id: a\n  upstream:\n    private_key:\n      "+yaml, "Content-Type", "application/yaml"))
	}
	var token struct{ Token string }
	i.call(http.MethodPost, "admin-tokens", `{"name":"eve","role":"admin"}`).want(http.StatusCreated).json(&token)
	keep(i.get("config", "Authorization", "Bearer "+mark))
	for _, path := range []string{"config", "config?at=1", "config/events", "config/history", "admin-tokens", "gateways"} {
		keep(i.get(path).want(http.StatusOK))
	}
	metrics := httptest.NewRecorder()
	i.process.Handler().ServeHTTP(metrics, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	ready := httptest.NewRecorder()
	i.process.Handler().ServeHTTP(ready, httptest.NewRequest(http.MethodGet, "/readyz", nil))
	if err := i.end(); err != nil {
		t.Fatal(err)
	}
	n.Stop()
	for name, text := range map[string]string{
		"the answers": answers.String(), "the log": i.log.String(), "the metrics": metrics.Body.String(), "readiness": ready.Body.String(), "NATS": files(t, n.Store()),
	} {
		if len(text) < 100 {
			t.Errorf("%s: only %q", name, text)
		}
		for _, never := range []string{mark, firstToken, token.Token} {
			if at := strings.Index(text, never); at >= 0 {
				t.Errorf("%s hold %q: …%s…", name, never, text[max(0, at-200):min(len(text), at+100)])
			}
		}
	}
}

func files(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(&all, f)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}
