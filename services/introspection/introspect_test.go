package introspection_test

import (
	"net/http"
	"slices"
	"testing"
	"time"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"

	"github.com/gatehouse-suite/gatehouse/services/introspection"
	"github.com/gatehouse-suite/gatehouse/services/lab"
)

func startLab(t testing.TB, s lab.Settings) *lab.Lab {
	t.Helper()
	l, err := lab.Start(t.Context(), testkit.Logger(t), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close(t.Context()) })
	return l
}

func mint(t testing.TB, p *lab.Provider, spec lab.TokenSpec) string {
	t.Helper()
	token, err := p.MintToken(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestARealProviderIsAskedInBothWays(t *testing.T) {
	t.Parallel()
	w, l := newWorld(t), startLab(t, lab.Free(""))
	difficult := `sp ace&+%=:"ü`
	l.Provider.AddClient("gate:house", difficult)
	p := w.provider(l.Provider.IntrospectionEndpoint())
	w.site(p)
	w.run(nil)
	for _, way := range []string{"client_secret_basic", "client_secret_post"} {
		p.CallerAuth = way
		w.commit(trusted("jira", p))
		token := mint(t, l.Provider, lab.TokenSpec{Username: "alice", Subject: "42", Scopes: []string{"read", "write"}, Lifetime: time.Hour})
		r := w.active(token)
		if r.GetClientId() != "ci-bot" || r.GetUsername() != "alice" || r.GetSubject() != "42" || r.GetProvider() != "corp" ||
			!slices.Equal(r.GetScopes(), []string{"read", "write"}) || !slices.Contains(r.GetAudience(), "gatehouse") ||
			time.Until(r.GetExpiresAt().AsTime()) < 59*time.Minute || r.GetProviderRevision() == "" || r.GetAge() == nil {
			t.Errorf("%s: facts %v", way, r)
		}
		gone := mint(t, l.Provider, lab.TokenSpec{})
		l.Provider.Revoke(t.Context(), gone)
		if r := w.inactive(gone); r.GetDetail() != "inactive" || r.GetProvider() != "corp" {
			t.Errorf("%s: revoked: %v", way, r)
		}
		w.inactive("never-heard-of")
	}
}

func TestClientIDAndSecretAreEncodedBeforeBasic(t *testing.T) { // RFC 6749 §2.3.1
	t.Parallel()
	w, f := newWorld(t), newFakeProvider(t)
	f.on("", func(w http.ResponseWriter, r *http.Request) {
		id, password, _ := r.BasicAuth()
		answer(w, map[string]any{
			"active": id == "gate%3Ahouse" && password == "sp+ace%26%2B%25%3D%3A%C3%BC" && r.PostFormValue("client_secret") == "" &&
				r.PostFormValue("token_type_hint") == "access_token" && r.Header.Get("Accept") == "application/json",
		})
	})
	p := w.provider(f.URL)
	p.ClientID, p.ClientSecret = "gate:house", w.seal("sp ace&+%=:ü")
	w.site(p)
	w.run(nil)
	w.active("good")
}

func TestAnAnswerIsAskedForOnceAndItsAgeGrows(t *testing.T) {
	t.Parallel()
	w, f := newWorld(t), newFakeProvider(t)
	w.site(w.provider(f.URL))
	i := w.run(nil)
	first, again := w.active("good"), w.active("good")
	if again.GetAge().AsDuration() <= first.GetAge().AsDuration() {
		t.Errorf("age %v, then %v", first.GetAge().AsDuration(), again.GetAge().AsDuration())
	}
	w.inactive("bad")
	w.inactive("bad")
	if f.calls.Load() != 2 {
		t.Errorf("%d calls, want 2", f.calls.Load())
	}
	if hits, calls := i.metric(t, "gatehouse_introspection_cache_lookups_total", `found="yes"`), i.metric(t, "gatehouse_introspection_provider_calls_total", `result="active"`); hits != 2 || calls != 1 {
		t.Errorf("%v hits, %v calls in the metrics", hits, calls)
	}
}

func TestNothingIsKeptWhereMaxTTLIsZero(t *testing.T) {
	t.Parallel()
	w, f := newWorld(t), newFakeProvider(t)
	p := w.provider(f.URL)
	p.Cache.MaxTTL = 0
	w.site(p)
	w.run(nil)
	w.active("good")
	w.active("good")
	w.inactive("bad")
	w.inactive("bad")
	if f.calls.Load() != 4 {
		t.Errorf("%d calls, want 4", f.calls.Load())
	}
}

func TestAChangedProviderNeverSeesAnOldAnswer(t *testing.T) {
	t.Parallel()
	w, f, g := newWorld(t), newFakeProvider(t), newFakeProvider(t)
	g.on("", func(w http.ResponseWriter, _ *http.Request) { answer(w, map[string]any{"active": false}) })
	p := w.provider(f.URL)
	w.site(p)
	w.run(nil)
	revision := w.active("good").GetProviderRevision()
	changes := []struct {
		what   string
		change func(*configlog.Provider)
	}{
		{"secret", func(p *configlog.Provider) { p.ClientSecret = w.seal("another") }},
		{"client", func(p *configlog.Provider) { p.ClientID = "another" }},
		{"caller auth", func(p *configlog.Provider) { p.CallerAuth = "client_secret_post" }},
		{"kind", func(p *configlog.Provider) { p.Kind = "okta" }},
		{"username claim", func(p *configlog.Provider) { p.UsernameClaim = "email" }},
		{"endpoint", func(p *configlog.Provider) { p.IntrospectionEndpoint = f.URL + "/other" }},
	}
	for i, c := range changes {
		c.change(&p)
		w.commit(trusted("jira", p))
		r := w.active("good")
		if r.GetProviderRevision() == revision || f.calls.Load() != int64(i+2) {
			t.Errorf("%s changed: revision %s, %d calls", c.what, r.GetProviderRevision(), f.calls.Load())
		}
		revision = r.GetProviderRevision()
	}
	p.Name, p.RequiredScopes = "Corp", []string{"read"} // what the gateway judges is not part of the question
	w.commit(trusted("jira", p))
	if r := w.active("good"); r.GetProviderRevision() != revision || f.calls.Load() != int64(len(changes)+1) {
		t.Errorf("name changed: revision %s, %d calls", r.GetProviderRevision(), f.calls.Load())
	}
	p.IntrospectionEndpoint = g.URL
	w.commit(trusted("jira", p))
	w.inactive("good")
}

// TestATokenThatIsUsedIsAskedAboutBeforeItsTimeIsOver: whoever uses it never waits, and a revoked one ends no later than without.
func TestATokenThatIsUsedIsAskedAboutBeforeItsTimeIsOver(t *testing.T) {
	t.Parallel()
	testkit.Long(t)
	const maxTTL = 2 * time.Second
	w, f := newWorld(t), newFakeProvider(t)
	p := w.provider(f.URL)
	p.Cache.MaxTTL = configlog.Duration(maxTTL)
	w.site(p)
	w.run(nil)
	w.active("good")
	w.active("good-and-not-used")
	uses := func(until func() bool) {
		testkit.Until(t, "the token to have been used for a while", func() bool {
			asked := time.Now()
			if w.active("good"); time.Since(asked) > maxTTL {
				t.Fatalf("somebody waited %v", time.Since(asked))
			}
			return until()
		})
	}
	began := time.Now()
	uses(func() bool { return time.Since(began) > 5*maxTTL/2 })
	if n := f.calls.Load(); n < 4 || n > 10 { // one was of the other
		t.Errorf("%d calls in two and a half lives", n)
	}
	release, before := make(chan struct{}), f.calls.Load()
	f.on("", func(w http.ResponseWriter, _ *http.Request) {
		<-release
		answer(w, map[string]any{"active": true, "client_id": "ci"})
	})
	uses(func() bool { return f.calls.Load() > before }) // the provider hangs, and nobody notices
	close(release)
	f.on("", func(w http.ResponseWriter, _ *http.Request) { answer(w, map[string]any{"active": false}) })
	revoked := time.Now()
	testkit.Until(t, "a revoked one to end", func() bool {
		r, err := w.introspect("jira", "good")
		return err == nil && !r.GetActive()
	})
	if d := time.Since(revoked); d > maxTTL+500*time.Millisecond {
		t.Errorf("it ended after %v", d)
	}
}

func TestTwoSitesShareNothing(t *testing.T) {
	t.Parallel()
	w, f, g := newWorld(t), newFakeProvider(t), newFakeProvider(t)
	g.on("", func(w http.ResponseWriter, _ *http.Request) { answer(w, map[string]any{"active": false}) })
	p := w.provider(f.URL)
	w.site(p)
	q := p
	q.IntrospectionEndpoint = g.URL
	w.commit(registered("wiki", "confluence"), trusted("wiki", q), registered("other", "jira"), trusted("other", p))
	w.run(nil)
	w.active("good")
	if r, err := w.introspect("wiki", "good"); err != nil || r.GetActive() {
		t.Errorf("wiki: %v, %v", r, err)
	}
	if r, err := w.introspect("other", "good"); err != nil || !r.GetActive() || f.calls.Load() != 2 {
		t.Errorf("the very same provider at another site: %v, %v, %d calls", r, err, f.calls.Load())
	}
}

func TestWhatCannotBeATokenIsShownToNobody(t *testing.T) {
	t.Parallel()
	w, f := newWorld(t), newFakeProvider(t)
	w.site(w.provider(f.URL))
	w.run(nil)
	for _, token := range []string{"good\n", "go od", "goodü", string(make([]byte, 17<<10))} {
		if r := w.inactive(token); r.GetDetail() != "malformed" {
			t.Errorf("%.10q: %v", token, r)
		}
	}
	if _, err := w.introspect("jira", ""); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("no token: %v", err)
	}
	if f.calls.Load() != 0 {
		t.Errorf("%d calls", f.calls.Load())
	}
}

func TestSitesAndProvidersThatAreNotThere(t *testing.T) {
	t.Parallel()
	w, f := newWorld(t), newFakeProvider(t)
	w.site(w.provider(f.URL))
	w.run(nil)
	if _, err := w.introspect("elsewhere", "good"); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("unknown site: %v", err)
	}
	w.active("good")
	w.commit(&configv1.ProviderDistrusted{Site: "jira", Provider: "corp"})
	if r := w.inactive("good"); r.GetDetail() != "no provider of the site can have issued it" {
		t.Errorf("distrusted: %v", r)
	}
	w.commit(&configv1.SiteRemoved{Site: "jira"})
	if _, err := w.introspect("jira", "good"); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("removed site: %v", err)
	}
}

func TestSeveralProvidersAreAskedInTheirOrder(t *testing.T) {
	t.Parallel()
	w, f, g := newWorld(t), newFakeProvider(t), newFakeProvider(t)
	f.on("second", says(200, "application/json", `{"active":false}`))
	g.on("second", says(200, "application/json", `{"active":true}`))
	p := w.provider(f.URL)
	q := p
	q.ID, q.IntrospectionEndpoint = "partner", g.URL
	w.site(p)
	w.commit(trusted("jira", q))
	w.run(nil)
	if r := w.active("good"); r.GetProvider() != "corp" || g.calls.Load() != 0 {
		t.Errorf("the first knows it: %v, the second was asked %d times", r, g.calls.Load())
	}
	if r := w.active("second"); r.GetProvider() != "partner" {
		t.Errorf("the second knows it: %v", r)
	}
	w.inactive("neither")
	f.on("", says(500, "text/plain", "sorry"))
	f.on("second", nil)
	w.active("second") // from the cache, without the first
	w.unavailable("neither-2", "500")
	g.on("late", says(200, "application/json", `{"active":true}`))
	if r := w.active("late"); r.GetProvider() != "partner" {
		t.Errorf("the first is away, the second knows it: %v", r)
	}
}

func TestTheMappedUserIsTheClaimThatWasNamed(t *testing.T) {
	t.Parallel()
	w, f := newWorld(t), newFakeProvider(t)
	f.on("", says(200, "application/json", `{"active":true,"email":"alice@example.com","username":"alice"}`))
	p := w.provider(f.URL)
	p.UsernameClaim = "email"
	w.site(p)
	w.run(nil)
	if r := w.active("good"); r.GetMappedUser() != "alice@example.com" || r.GetUsername() != "alice" {
		t.Errorf("%v", r)
	}
}

func TestAProviderWithoutCallerAuthentication(t *testing.T) {
	t.Parallel()
	w, f := newWorld(t), newFakeProvider(t)
	f.on("", func(w http.ResponseWriter, r *http.Request) {
		answer(w, map[string]any{"active": r.Header.Get("Authorization") == "" && r.PostFormValue("client_id") == "gatehouse" && r.PostFormValue("client_secret") == ""})
	})
	p := w.provider(f.URL)
	p.CallerAuth, p.ClientSecret = "none", configlog.Secret{}
	w.site(p)
	w.run(func(s *introspection.Settings) { s.Workers = 4 })
	w.active("good")
}
