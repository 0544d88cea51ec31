package gateway_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"strings"
	"testing"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	"github.com/gatehouse-suite/gatehouse/shared/secret"
	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-suite/gatehouse/services/lab"
)

// signing has the site act as any user by an application link, whose key it gives.
func (w *world) signing(seen string) (key *rsa.PrivateKey, facts []proto.Message) {
	w.t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		w.t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	return key, []proto.Message{
		&configv1.UpstreamDriverSet{Site: "jira", Driver: "oauth1-2loi", ConsumerKey: "gatehouse", PrivateKey: w.seal(secret.Gateway, string(text))},
		&configv1.UpstreamSignedUrlSet{Site: "jira", Url: seen},
	}
}

// TestRow15TwoLeggedOAuth: calls act as any user by a signature, which the lab checks with code of its own: over the URL as
// Tomcat sees it, with every parameter of query and form.
func TestRow15TwoLeggedOAuth(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key, facts := w.signing("")
	w.lab.Jira.TrustConsumer("gatehouse", &key.PublicKey, true)
	w.lab.Jira.SetConnector("https", "jira.example.com")
	gw := w.started(facts...)
	token := []string{"Authorization", "Bearer " + w.token()}
	clean := func(t *testing.T, e echoed) {
		if a := strings.Join(e.Header["Authorization"], ""); !strings.HasPrefix(a, "OAuth ") || strings.Contains(a, "Bearer") || e.Header["Cookie"] != nil {
			t.Errorf("the node saw %q, cookies %q", a, e.Header["Cookie"])
		}
		if strings.Count(e.RequestURI, "xoauth_requestor_id=") != 1 || strings.Contains(e.RequestURI, "carol") {
			t.Errorf("the node saw %s", e.RequestURI)
		}
	}
	var tries []try
	for _, target := range []string{
		echo, echo + "?", echo + "?a=1&b=2", echo + "?b=2&a=2&a=1", echo + "?jql=project%20%3D%20LAB%20AND%20a+b&x=%26%3D%2B", echo + "?x=d%C3%B6rte&%C3%B6=1",
		echo + "?a;b=1;2", echo + "?empty=&none&&=x", echo + "?broken=%zz&ok=1", echo + "/a%20b/c+d;p=1;q", echo + "/%7Etilde/~!$'()*,:@", echo + "?a=%2F%2f&a=*~-._",
		echo + "?xoauth_requestor_id=carol&user_id=carol&oauth_token=x&a=1",
	} {
		tries = append(tries, try{name: "GET", path: target, header: token, status: 200, user: "svc-api", check: clean})
	}
	tries = append(
		tries,
		try{name: "PUT", method: http.MethodPut, header: token, status: 200, user: "svc-api", check: clean},
		try{name: "a session beside", header: append([]string{"Cookie", "JSESSIONID=1; GATEHOUSE_NODE=n1"}, token...), status: 200, user: "svc-api", check: clean},
	)
	gw.runs(t, tries)
	for _, form := range []string{"a=1&b=2&a=3", "body=x+y%26&%C3%A4=%C3%B6", "", "xoauth_requestor_id=carol&user_id=carol", strings.Repeat("a=1&", 200_000)} {
		r := request(t, http.MethodPost, gw.url+echo+"?a=0", strings.NewReader(form), append(token, "Content-Type", "application/x-www-form-urlencoded; charset=UTF-8")...)
		if resp, body := do(t, r); resp.StatusCode != http.StatusOK || decode(t, body).User != "svc-api" || decode(t, body).BodyLength != int64(len(form)) {
			t.Errorf("form %.40q: %s %s", form, resp.Status, body)
		}
	}
	json := request(t, http.MethodPost, gw.url+echo, strings.NewReader(`{"a":1}`), append(token, "Content-Type", "application/json")...)
	if resp, body := do(t, json); resp.StatusCode != http.StatusOK || decode(t, body).User != "svc-api" {
		t.Errorf("JSON: %s %s", resp.Status, body)
	}
	// Little more than may be signed: of what is much longer a client may see no answer while it still sends.
	for _, form := range []string{"a=1&os_password=x", strings.Repeat("a=1&", 1<<19+1000)} {
		r := request(t, http.MethodPost, gw.url+echo, strings.NewReader(form), append(token, "Content-Type", "application/x-www-form-urlencoded")...)
		if resp, body := do(t, r); resp.StatusCode != http.StatusBadRequest {
			t.Errorf("form %.40q: %s %s", form, resp.Status, body)
		}
	}
}

// TestRow15WhoIsActedAs: a grant of users acts as whom the token names, whom the product must know.
func TestRow15WhoIsActedAs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key, facts := w.signing("http://jira.internal:8090")
	w.lab.Jira.TrustConsumer("gatehouse", &key.PublicKey, true)
	w.lab.Jira.SetConnector("http", "jira.internal:8090")
	w.lab.Jira.AddUser("dörte müller")
	w.lab.Jira.AddUser("admin")
	w.lab.Jira.AddUser("adm\u0130n")
	gw := w.started(append(facts, &configv1.GrantSwitched{Site: "jira", Grant: "authorization_code"})...)
	of := func(user string) []string {
		return []string{"Authorization", "Bearer " + w.token(func(s *lab.TokenSpec) { s.Username = user })}
	}
	gw.runs(t, []try{
		{name: "a user", header: of("alice"), status: 200, user: "alice"},
		{name: "in other capitals", header: of("Bob"), status: 200, user: "bob"},
		{name: "beyond ASCII", header: of("dörte müller"), status: 200, user: "dörte müller"},
		{name: "a client's own", header: []string{"Authorization", "Bearer " + w.token()}, status: 403, reason: "user_unknown"},
		{name: "who only looks like another", header: of("adm\u0130n"), status: 200, user: "adm\u0130n"},
		{name: "whom the product does not know", header: of("nobody"), status: 502, reason: "upstream_identity_mismatch"},
		{name: "who may not log in", header: of("mallory"), status: 502, reason: "upstream_identity_mismatch"},
	})
	w.lab.Jira.TrustConsumer("gatehouse", &key.PublicKey, false)
	gw.runs(t, []try{{name: "an application that may not", header: of("alice"), status: 502, reason: "upstream_identity_mismatch"}})
	w.lab.Jira.TrustConsumer("gatehouse", &key.PublicKey, true)
	w.lab.Jira.SetConnector("https", "jira.example.com")
	gw.runs(t, []try{{name: "a URL that is not the product's", header: of("alice"), status: 502, reason: "upstream_identity_mismatch"}})
	for r := range w.audited() {
		if strings.Contains(r.GetDetail(), `which says "signature_invalid"`) {
			break
		}
	}
	seq := w.commit(&configv1.UpstreamDriverSet{Site: "jira", Driver: "oauth1-2loi", ConsumerKey: "gatehouse", PrivateKey: w.seal(secret.Gateway, "no key")})
	gw.reached(t, seq)
	gw.runs(t, []try{{name: "a key that is none", header: of("alice"), status: 403, reason: "no_upstream_account"}})
}
