package introspection_test

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	identityv1 "github.com/gatehouse-suite/gatehouse/proto/identity/v1"
	"github.com/gatehouse-suite/gatehouse/shared/configlog"

	"github.com/gatehouse-suite/gatehouse/services/introspection"
	"github.com/gatehouse-suite/gatehouse/services/lab"
)

// parrot answers what it was sent, as no HTTP reply can be: the standard library quotes such replies in its errors.
func parrot(t *testing.T, prefix string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				r, err := http.ReadRequest(bufio.NewReader(c))
				if err != nil {
					return
				}
				_ = r.ParseForm()
				_, _ = fmt.Fprintf(c, prefix+"%s %s %s\r\n\r\n", r.Form.Get("token"), r.Form.Get("client_secret"), r.Header.Get("Authorization"))
			}()
		}
	}()
	return "http://" + l.Addr().String()
}

// TestSecretsAreNowhere makes every kind of trouble and looks for the credentials in all that leaves the service.
func TestSecretsAreNowhere(t *testing.T) {
	t.Parallel()
	w, f, l := newWorld(t), newFakeProvider(t), startLab(t, lab.Free(""))
	echo := func(status int, kind string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			_ = r.ParseForm()
			id, password, _ := r.BasicAuth()
			w.Header().Set("X-Echo", r.PostForm.Get("token"))
			says(status, kind, `{"error":"`+r.PostForm.Encode()+id+password+`"`)(w, r)
		}
	}
	p := w.provider(f.URL)
	p.CallerAuth, p.ClientSecret = "client_secret_post", w.seal("S3CRET-value")
	w.site(p)
	w.products2(l)
	i := w.run(func(s *introspection.Settings) { s.CallTimeout, s.BreakerFailures = 200*time.Millisecond, 1000 })
	var told strings.Builder
	note := func(v any, err error) { _, _ = fmt.Fprintln(&told, v, err) }
	try := func(c configlog.Provider, token string) { // as trials, and as who gets tokens
		note(w.tryToken(siteOf(c), nil, token), nil)
		c.AuthorizationEndpoint, c.TokenEndpoint = "https://provider.example.com/authorize", cmp.Or(c.IntrospectionEndpoint, f.URL)
		note(w.try(siteOf(c), nil, &identityv1.TrialRequest{Question: &identityv1.TrialRequest_Fetch{
			Fetch: &identityv1.FetchRequest{Site: "jira", Provider: c.ID},
		}}))
		note(w.try(siteOf(c), nil, &identityv1.TrialRequest{Question: &identityv1.TrialRequest_Fetch{
			Fetch: &identityv1.FetchRequest{Site: "jira", Provider: c.ID, ClientId: "another", ClientSecret: "S3CRET-of-another"},
		}}))
		w.commit(trusted("jira", c))
		begun, err := w.authorize("jira", c.ID, "https://jira.example.com/plugins/servlet/restauth/token")
		if err != nil {
			note(nil, err)
			return
		}
		at, err := url.Parse(begun.GetUrl())
		if err != nil {
			t.Fatal(err)
		}
		note(w.exchange(&identityv1.ExchangeRequest{Site: "jira", Flow: begun.GetFlow(), State: at.Query().Get("state"), Code: "S3CRET-code", ConfigSequence: w.at.Seq}))
	}
	ask := func() {
		r, err := w.introspect("jira", "S3CRET-token")
		note(r, err)
		r, err = w.introspect("jira", "good-S3CRET-token")
		note(r, err)
		try(p, "S3CRET-token")
		try(p, "good-S3CRET-token")
	}
	for _, h := range []http.HandlerFunc{
		nil, echo(200, "application/json"), echo(200, "text/html"), echo(400, "application/json"), echo(401, "application/json"), echo(500, "application/json"),
		func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/?"+r.PostFormValue("token"), http.StatusFound)
		},
	} {
		f.on("", h)
		ask()
	}
	for _, prefix := range []string{"", "HTTP/1.1 ", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: "} {
		p.IntrospectionEndpoint = parrot(t, prefix)
		w.commit(trusted("jira", p))
		ask()
	}
	f.on("", echo(400, "application/json"))
	own := func(c configlog.Provider, token string) { // the ways that are not RFC 7662's
		w.commit(trusted("jira", c))
		note(w.introspect("jira", token))
		try(c, token)
	}
	repeats := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		http.Redirect(w, r, "/?"+r.URL.RawQuery+string(body)+r.Header.Get("Authorization"), http.StatusFound)
	}))
	t.Cleanup(repeats.Close)
	signedToken := ecKey(t, "k").sign(t, claims(repeats.URL, "sub", "S3CRET-subject"), "kid", "S3CRET-key-id")
	for _, endpoint := range []string{parrot(t, ""), parrot(t, "HTTP/1.1 "), parrot(t, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"), repeats.URL, "https" + strings.TrimPrefix(repeats.URL, "http"), "http://127.0.0.1:1"} {
		c := p
		c.IntrospectionEndpoint = endpoint
		c.Kind, c.CallerAuth = "google", "none"
		own(c, "ya29.S3CRET-token")
		c.Kind, c.CallerAuth = "github", "client_secret_basic"
		own(c, "gho_S3CRET-token")
		c.Kind, c.CallerAuth, c.PrivateKey = "custom", "private_key_jwt", w.seal("-----BEGIN PRIVATE KEY-----\nS3CRET-value\n-----END PRIVATE KEY-----\n")
		own(c, "S3CRET-token")
		c.Validation, c.Issuer, c.IntrospectionEndpoint = "jwt", repeats.URL, ""
		own(c, signedToken)
		c.CallerAuth = "client_secret_post"
		own(c, signedToken)
	}
	for _, site := range []string{"lab-jira", "lab-confluence", "parrot"} {
		r, err := w.pat(site, "S3CRET-pat")
		note(r, err)
		r, err = w.password(site, "alice", "S3CRET-password")
		note(r, err)
		s := &configlog.Site{ID: site, Product: "jira", Nodes: []configlog.Node{{ID: "n", URL: parrot(t, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")}}}
		for _, q := range []*identityv1.WhoAmIRequest{
			{Site: site, Credential: &identityv1.WhoAmIRequest_Pat{Pat: "S3CRET-pat"}},
			{Site: site, Credential: &identityv1.WhoAmIRequest_Password{Password: &identityv1.Password{Username: "alice", Password: "S3CRET-password"}}},
		} {
			note(w.try(s, nil, &identityv1.TrialRequest{Question: &identityv1.TrialRequest_Whoami{Whoami: q}}))
		}
	}
	for _, s := range i.spans.GetSpans() {
		note(s.Name, fmt.Errorf("%v %v %v", s.Attributes, s.Events, s.Status))
	}
	if len(i.spans.GetSpans()) < 20 {
		t.Errorf("only %d spans", len(i.spans.GetSpans()))
	}
	for name, text := range map[string]string{"log": i.logs.String(), "metrics": i.metrics(), "readyz": i.get("/readyz"), "answers and spans": told.String()} {
		if at := strings.Index(text, "S3CRET"); at >= 0 {
			t.Errorf("%s: …%s…", name, text[max(0, at-200):min(len(text), at+50)])
		}
	}
	if !strings.Contains(i.logs.String(), `"provider":"corp"`) {
		t.Error("nothing was logged at all")
	}
}

// products2 configures the lab's products, and one whose node is a parrot.
func (w *world) products2(l *lab.Lab) {
	w.t.Helper()
	t, _ := w.t.(*testing.T)
	w.commit(
		registered("lab-jira", "jira"), &configv1.NodeAttached{Site: "lab-jira", Node: "n", Url: l.Jira.Nodes()[0].URL()},
		registered("lab-confluence", "confluence"), &configv1.NodeAttached{Site: "lab-confluence", Node: "n", Url: l.Confluence.Nodes()[0].URL()},
		registered("parrot", "jira"), &configv1.NodeAttached{Site: "parrot", Node: "n", Url: parrot(t, "HTTP/1.1 ")},
	)
}
