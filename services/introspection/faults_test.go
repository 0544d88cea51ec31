package introspection_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"

	"github.com/gatehouse-suite/gatehouse/services/introspection"
	"github.com/gatehouse-suite/gatehouse/services/lab"
)

// TestWhatAProviderMayDoWrong is the rows of the failure table about a provider that is there. None of them
// ever means that a token is bad, none is remembered, and none but those marked opens the breaker.
func TestWhatAProviderMayDoWrong(t *testing.T) {
	t.Parallel()
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	_, _ = io.Copy(z, io.LimitReader(zeros{}, 64<<20))
	_ = z.Close()
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	for _, c := range []struct {
		name, result, text string
		handler            http.HandlerFunc
		opens              bool
	}{
		{name: "401", result: "credentials_refused", text: "does not take our client id", handler: says(401, "application/json", `{"error":"invalid_client"}`)},
		{name: "403", result: "credentials_refused", text: "403", handler: says(403, "text/html", `<html>`)},
		{name: "400", result: "unexpected_status", text: "400", handler: says(400, "application/json", `{"error":"invalid_request"}`)},
		{name: "404", result: "unexpected_status", text: "404", handler: says(404, "text/plain", `no`)},
		{name: "429", result: "unexpected_status", text: "429", handler: says(429, "text/plain", `slow down`)},
		{name: "204", result: "unexpected_status", text: "204", handler: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }},
		{name: "redirect", result: "unexpected_status", text: "307", handler: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/redirected", http.StatusTemporaryRedirect)
		}},
		{name: "html", result: "malformed", text: "Content-Type", handler: says(200, "text/html", `{"active":true}`)},
		{name: "no type", result: "malformed", text: "Content-Type", handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = nil
			_, _ = io.WriteString(w, `{"active":true}`)
		}},
		{name: "jwt", result: "malformed", text: "Content-Type", handler: says(200, "application/token-introspection+jwt", `e30.e30.`)},
		{name: "cut", result: "malformed", text: "broken JSON", handler: says(200, "application/json", `{"active":true,"scope":"re`)},
		{name: "no active", result: "malformed", text: "lacks active", handler: says(200, "application/json", `{"scope":"read"}`)},
		{name: "active in quotes", result: "malformed", text: "neither true nor false", handler: says(200, "application/json", `{"active":"true"}`)},
		{name: "oversized", result: "oversized", text: "larger", handler: says(200, "application/json", `{"active":true,"x":"`+strings.Repeat("x", 1<<20)+`"}`)},
		{name: "endless", result: "oversized", text: "larger", handler: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			for r.Context().Err() == nil {
				_, _ = w.Write(bytes.Repeat([]byte(" "), 64<<10))
			}
		}},
		{name: "gzip bomb", result: "malformed", text: "compressed", handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(bomb.Bytes())
		}},
		{name: "500", result: "server_error", text: "500", handler: says(500, "application/json", `{"active":false}`), opens: true},
		{name: "hang", result: "timeout", text: "no answer in time", handler: hang, opens: true},
		{name: "hang in the body", result: "timeout", text: "no answer in time", handler: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"active":`)
			_ = http.NewResponseController(w).Flush()
			hang(w, r)
		}, opens: true},
		{name: "connection cut", result: "unreachable", text: "connection closed", handler: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, opens: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w, f := newWorld(t), newFakeProvider(t)
			f.on("", c.handler)
			f.on("good", says(200, "application/json; charset=utf-8", `{"active":true}`))
			w.site(w.provider(f.URL))
			i := w.run(func(s *introspection.Settings) {
				s.BreakerPause, s.BreakerWindow = time.Minute, time.Minute
				if c.result == "timeout" {
					s.CallTimeout = 200 * time.Millisecond
				}
			})
			for n := range 6 { // one more than opens the breaker
				w.unavailable("t"+strconv.Itoa(min(n, 4)), "")
			}
			w.unavailableOrOpen(c.opens, "t4", c.text)
			if got := i.metric(t, "gatehouse_introspection_provider_calls_total", `result="`+c.result+`"`); got == 0 {
				t.Errorf("no call counted as %s:\n%s", c.result, i.metrics())
			}
			if opens := i.metric(t, "gatehouse_introspection_breaker_state") == 2; opens != c.opens {
				t.Errorf("breaker open: %v", opens)
			}
			if c.opens {
				w.unavailable("good", "left alone")
			} else {
				w.active("good")
			}
			if calls := f.calls.Load(); !c.opens && calls != 8 { // nothing followed, repeated or remembered
				t.Errorf("%d calls, want 8", calls)
			}
		})
	}
}

func (w *world) unavailableOrOpen(open bool, token, text string) {
	w.t.Helper()
	if open {
		text = "left alone"
	}
	w.unavailable(token, text)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestWhatTheLabProviderMayDoWrong(t *testing.T) {
	t.Parallel()
	w, l := newWorld(t), startLab(t, lab.Free(""))
	w.site(w.provider(l.Provider.IntrospectionEndpoint()))
	w.run(func(s *introspection.Settings) { s.CallTimeout = time.Second })
	for name, fault := range map[string]lab.Fault{
		"html": lab.HTML200(), "not json": lab.NotJSON(), "huge": lab.Huge(), "redirect": lab.Redirect(),
		"wrong types": lab.WrongTypes(), "without active": lab.Without("active"), "slow": lab.Slow(time.Minute), "500": lab.Status500(),
	} {
		l.Provider.SetFault(fault)
		w.unavailable(mint(t, l.Provider, lab.TokenSpec{}), "")
		l.Provider.SetFault(lab.Fault{})
		if r := w.active(mint(t, l.Provider, lab.TokenSpec{})); r.GetClientId() != "ci-bot" {
			t.Errorf("after %s: %v", name, r)
		}
	}
	if l.Provider.Redirected() != 0 {
		t.Error("a redirect was followed, with the token and our secret")
	}
	l.Provider.SetFault(lab.Edited(func(o map[string]any) {
		o["exp"], o["aud"], o["scope"] = strconv.FormatInt(time.Now().Unix()+60, 10), "gatehouse", []string{"read", "write"}
	}))
	if r := w.active(mint(t, l.Provider, lab.TokenSpec{})); len(r.GetScopes()) != 2 || r.GetAudience()[0] != "gatehouse" || r.GetExpiresAt() == nil {
		t.Errorf("a careless provider: %v", r)
	}
	if err := l.Provider.SetClientSecret(lab.ResourceID, "changed"); err != nil {
		t.Fatal(err)
	}
	l.Provider.SetFault(lab.Fault{})
	w.unavailable(mint(t, l.Provider, lab.TokenSpec{}), "does not take our client id and secret")
}

func TestAProviderThatIsNotThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + l.Addr().String()
	_ = l.Close()
	w.site(w.provider(url))
	i := w.run(nil)
	w.unavailable("good", "connection refused")
	if got := i.metric(t, "gatehouse_introspection_provider_calls_total", `result="unreachable"`); got != 1 {
		t.Errorf("%v calls counted", got)
	}
}

func TestTLSIsTrustedByItsAuthorityOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	server := httptest.NewUnstartedServer(says(200, "application/json", `{"active":true}`))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	w.site(w.provider(server.URL))
	stranger := w.run(nil)
	w.unavailable("good", "certificate refused")
	if err := stranger.stop(); err != nil {
		t.Fatal(err)
	}
	file := t.TempDir() + "/ca.pem"
	if err := os.WriteFile(file, pemOf(server.Certificate().Raw), 0o600); err != nil {
		t.Fatal(err)
	}
	w.run(func(s *introspection.Settings) { s.ProviderCAFile = file })
	w.active("good")
	plain := w.provider(strings.Replace(server.URL, "https", "http", 1))
	w.commit(trusted("jira", plain))
	w.unavailable("good-2", "400") // what a TLS server says to plain HTTP
}

func TestAKeptConnectionThatDiedIsNoFailure(t *testing.T) {
	t.Parallel()
	w, f := newWorld(t), newFakeProvider(t)
	w.site(w.provider(f.URL))
	w.run(nil)
	for i := range 5 {
		w.active("good-" + strconv.Itoa(i))
		f.CloseClientConnections()
	}
}

func TestAProviderWhoseSecretCannotBeOpened(t *testing.T) {
	t.Parallel()
	w, f := newWorld(t), newFakeProvider(t)
	dir := t.TempDir()
	p := w.provider(f.URL)
	w.site(p)
	late := p
	late.ClientSecret = configlog.Secret{Ref: "late", Version: 1, Fingerprint: "f"}
	file := p
	file.ClientSecret = configlog.Secret{File: "secret.txt"}
	env := p
	env.ClientSecret = configlog.Secret{Env: "GATEHOUSE_SECRET_CORP"}
	foreign := p
	foreign.ClientSecret = configlog.Secret{Ref: "foreign", Version: 1}
	if err := w.sealer.Seal(t.Context(), "gateway", foreign.ClientSecret.Key(), "for another"); err != nil {
		t.Fatal(err)
	}
	odd := p
	odd.Kind = "of a later version"
	for site, q := range map[string]configlog.Provider{"late": late, "file": file, "env": env, "foreign": foreign, "odd": odd} {
		w.commit(registered(site, "jira"), trusted(site, q))
	}
	i := w.run(func(s *introspection.Settings) {
		s.SecretsDir, s.SecretRead = dir, 20*time.Millisecond
		s.LookupEnv = func(name string) (string, bool) { return "from-env", name == "GATEHOUSE_SECRET_CORP" }
	})
	w.active("good")
	for site, want := range map[string]string{"late": "cannot be opened", "file": "cannot be opened", "foreign": "cannot be opened", "odd": "kind is not known"} {
		if _, err := w.introspect(site, "good"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", site, err)
		}
		if !strings.Contains(i.get("/readyz"), `"`+site+`/corp"`) {
			t.Errorf("%s is not named by /readyz: %s", site, i.get("/readyz"))
		}
	}
	first, err := w.introspect("env", "good")
	if err != nil || !first.GetActive() {
		t.Errorf("env: %v, %v", first, err)
	}
	if err := w.sealer.Seal(t.Context(), "introspection", late.ClientSecret.Key(), "here at last"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/secret.txt", []byte("one\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	testkit.Until(t, "a secret that came late", func() bool { r, err := w.introspect("late", "good"); return err == nil && r.GetActive() })
	testkit.Until(t, "a secret that came late", func() bool { r, err := w.introspect("file", "good"); return err == nil && r.GetActive() })
	if strings.Contains(i.logs.String(), "google") && !strings.Contains(i.logs.String(), "odd") {
		t.Error("a provider that cannot be asked is not named in the log")
	}
}

func TestASecretFileThatChangesIsReadAgain(t *testing.T) {
	t.Parallel()
	w, f := newWorld(t), newFakeProvider(t)
	dir := t.TempDir()
	write := func(value string) {
		if err := os.WriteFile(dir+"/new", []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(dir+"/new", dir+"/secret.txt"); err != nil { // whole at every moment
			t.Fatal(err)
		}
	}
	write("one\n")
	p := w.provider(f.URL)
	p.ClientSecret = configlog.Secret{File: "secret.txt"}
	w.site(p)
	w.run(func(s *introspection.Settings) { s.SecretsDir, s.SecretRead = dir, 40*time.Millisecond })
	one := w.active("good").GetProviderRevision()
	write("two\n")
	testkit.Until(t, "the new secret to be read", func() bool { return w.active("good").GetProviderRevision() != one })
	write("one\n")
	testkit.Until(t, "the old secret to be read again", func() bool { return w.active("good").GetProviderRevision() == one })
	if f.calls.Load() != 2 { // the same secret again is the same provider again, with what is known of it
		t.Errorf("%d calls", f.calls.Load())
	}
}
