package gateway_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/gatehouse-suite/gatehouse/services/lab"
)

// TestSeveralProviders: each token is judged by the provider that can have issued it, and shown to no other; what none of them
// can have issued goes to the product where its own OAuth 2.0 tokens are taken.
func TestSeveralProviders(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other, err := lab.Start(t.Context(), testkit.Logger(t), lab.Free(""))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close(context.Background()) })
	signing := &configv1.Provider{
		Id: "signing", Kind: "custom", Validation: "jwt", Issuer: other.Provider.Issuer(), RequiredScopes: []string{"read"}, ServiceAccount: "svc-api",
		CallerAuth: "none", CacheMaxTtl: durationpb.New(time.Minute), CacheNegativeTtl: durationpb.New(5 * time.Second),
	}
	gw := w.started(&configv1.ProviderTrusted{Site: "jira", Provider: signing})
	mint := func(p *lab.Provider, change ...func(*lab.TokenSpec)) string {
		spec := lab.TokenSpec{ClientID: lab.ClientID, Scopes: []string{"read"}, JWT: true}
		for _, c := range change {
			c(&spec)
		}
		token, err := p.MintToken(t.Context(), spec)
		if err != nil {
			t.Fatal(err)
		}
		return "Bearer " + token
	}
	w.lab.Provider.SetFault(lab.Fault{})
	asked := w.lab.Provider.Introspections()
	signed := mint(other.Provider)
	gw.runs(t, []try{
		{name: "of the one that signs", header: []string{"Authorization", signed}, status: 200, user: "svc-api"},
		{name: "expired", header: []string{"Authorization", mint(other.Provider, func(s *lab.TokenSpec) { s.Lifetime = -time.Hour })}, status: 401, reason: "token_inactive"},
		{name: "without the scope", header: []string{"Authorization", mint(other.Provider, func(s *lab.TokenSpec) { s.Scopes = []string{"write"} })}, status: 403, reason: "scope_missing"},
		{name: "tampered with", header: []string{"Authorization", signed[:len(signed)-6] + "AAAAAA"}, status: 401, reason: "token_inactive"},
	})
	if n := w.lab.Provider.Introspections() - asked; n != 0 {
		t.Errorf("the other provider was shown %d tokens that it cannot have issued", n)
	}
	gw.runs(t, []try{
		{name: "of the one that is asked", header: []string{"Authorization", mint(w.lab.Provider)}, status: 200, user: "svc-api"},
		{name: "an opaque one of it", header: []string{"Authorization", "Bearer " + w.token()}, status: 200, user: "svc-api"},
		{name: "of somebody else", header: []string{"Authorization", strangers(t)}, status: 401, reason: "token_inactive"},
	})
	if n := w.lab.Provider.Introspections() - asked; n != 2 {
		t.Errorf("the provider was asked about %d tokens of two", n)
	}
	seq := w.commit(&configv1.MethodsSet{Site: "jira", Oauth: true, Pat: true, ProductOauth: true})
	gw.reached(t, seq)
	mine := strangers(t)
	gw.runs(t, []try{
		{name: "still ours", header: []string{"Authorization", signed}, status: 200, user: "svc-api"},
		{name: "of the product itself", header: []string{"Authorization", mine}, status: 401, reason: "credential_refused"}, // it was asked, and has not issued it
		{name: "ours, on a page", path: "/secure/Dashboard.jspa", header: []string{"Authorization", signed}, status: 403, reason: "path_not_for_tokens"},
	})
	for _, n := range w.lab.Jira.Nodes() {
		for _, r := range n.Requests() {
			if r.Header.Get("Authorization") == signed {
				t.Error("a node saw a token of a provider")
			}
		}
	}
	w.lab.Provider.SetFault(lab.Status500())
	gw.runs(t, []try{
		{name: "with the asked one away", header: []string{"Authorization", "Bearer " + w.token()}, status: 503, reason: "provider_unavailable"},
		{name: "the other goes on", header: []string{"Authorization", mint(other.Provider)}, status: 200, user: "svc-api"},
	})
	other.Provider.Stop()
	if err := other.Provider.RotateKey(); err != nil {
		t.Fatal(err)
	}
	gw.runs(t, []try{{name: "a known key holds without its provider", header: []string{"Authorization", signed}, status: 200, user: "svc-api"}})
}

// strangers is a well-formed token of an issuer nobody knows.
func strangers(t *testing.T) string {
	t.Helper()
	l, err := lab.Start(t.Context(), testkit.Logger(t), lab.Free(""))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close(context.Background()) }()
	token, err := l.Provider.MintToken(t.Context(), lab.TokenSpec{JWT: true})
	if err != nil || strings.Count(token, ".") != 2 {
		t.Fatal(token, err)
	}
	return "Bearer " + token
}

// TestAProvidersRulesJudgeACachedTokenAtOnce: scopes, audience, issuer and client list are held against what is remembered on
// every call.
func TestAProvidersRulesJudgeACachedTokenAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gw := w.started()
	token := []string{"Authorization", "Bearer " + w.token()}
	gw.runs(t, []try{{name: "good", header: token, status: 200, user: "svc-api"}})
	for _, c := range []struct {
		name   string
		change func(*configv1.Provider)
		status int
		reason string
	}{
		{"another scope", func(p *configv1.Provider) { p.RequiredScopes = []string{"admin"} }, http.StatusForbidden, "scope_missing"},
		{"another audience", func(p *configv1.Provider) { p.Audience = "elsewhere" }, http.StatusForbidden, "audience_wrong"},
		{"another client", func(p *configv1.Provider) {
			p.Clients = []*configv1.ClientMapping{{ClientId: "nightly", ServiceAccount: "svc-api"}}
		}, http.StatusForbidden, "no_upstream_account"},
		{"as it was", func(*configv1.Provider) {}, http.StatusOK, ""},
	} {
		p := w.provider()
		p.ClientSecret = &configv1.Secret{Ref: "s1", Version: 1, Fingerprint: "s1"}
		c.change(p)
		gw.reached(t, w.commit(&configv1.ProviderTrusted{Site: "jira", Provider: p}))
		asked := w.lab.Provider.Introspections()
		gw.runs(t, []try{{name: c.name, header: token, status: c.status, reason: c.reason}, {name: c.name, header: token, status: c.status, reason: c.reason}})
		if n := w.lab.Provider.Introspections() - asked; n > 1 {
			t.Errorf("%s: asked %d times", c.name, n)
		}
	}
	p := w.provider()
	p.Issuer = "https://another.example.com"
	gw.reached(t, w.commit(&configv1.ProviderTrusted{Site: "jira", Provider: p}))
	gw.runs(t, []try{{name: "another issuer", header: token, status: http.StatusUnauthorized, reason: "token_inactive"}})
}

// TestAUsedTokenNeverWaits: before its time is over it is asked about behind the back of who uses it, so a provider that hangs
// is not noticed until then, and one that answers never.
func TestAUsedTokenNeverWaits(t *testing.T) {
	t.Parallel()
	testkit.Long(t)
	const maxTTL = 2 * time.Second
	w := newWorld(t)
	seq := w.commit(w.site()...)
	p := w.provider()
	p.CacheMaxTtl = durationpb.New(maxTTL)
	seq = max(seq, w.commit(&configv1.ProviderTrusted{Site: "jira", Provider: p}))
	gw := w.gateway("")
	gw.reached(t, seq)
	uses := func(token string, until func() bool) {
		testkit.Until(t, "the token to have been used for a while", func() bool {
			began := time.Now()
			resp, _ := do(t, request(t, http.MethodGet, gw.url+echo, nil, "Authorization", "Bearer "+token))
			if took := time.Since(began); resp.StatusCode != http.StatusOK || took > maxTTL {
				t.Fatalf("%s after %v", resp.Status, took)
			}
			return until()
		})
	}
	token := w.token()
	began, before := time.Now(), w.lab.Provider.Introspections()
	uses(token, func() bool { return time.Since(began) > 5*maxTTL/2 })
	if n := w.lab.Provider.Introspections() - before; n < 3 || n > 8 {
		t.Errorf("asked %d times in two and a half lives", n)
	}
	hung := w.token()
	uses(hung, func() bool { return true })
	w.lab.Provider.SetFault(lab.Slow(time.Hour))
	before = w.lab.Provider.Introspections()
	uses(hung, func() bool { return w.lab.Provider.Introspections() > before }) // a call that asked itself would be refused
}

// TestAProviderThatIsAwayForAWhile: where the site says so its last word counts beyond max_ttl, and the record says so; the
// first word after it is back counts at once.
func TestAProviderThatIsAwayForAWhile(t *testing.T) {
	t.Parallel()
	testkit.Long(t)
	w := newWorld(t)
	seq := w.commit(w.site()...)
	p := w.provider()
	p.CacheMaxTtl, p.CacheStaleFor = durationpb.New(300*time.Millisecond), durationpb.New(time.Hour)
	seq = max(seq, w.commit(&configv1.ProviderTrusted{Site: "jira", Provider: p}))
	gw := w.gateway("")
	gw.reached(t, seq)
	plain := w.token()
	token := []string{"Authorization", "Bearer " + plain}
	gw.runs(t, []try{{name: "good", header: token, status: 200, user: "svc-api"}})
	w.lab.Provider.SetFault(lab.Status500())
	began := time.Now()
	testkit.Until(t, "a second without the provider", func() bool {
		gw.runs(t, []try{{name: "its last word", header: token, status: 200, user: "svc-api"}})
		return time.Since(began) > time.Second
	})
	gw.runs(t, []try{{name: "a new one", header: []string{"Authorization", "Bearer " + w.token()}, status: 503, reason: "provider_unavailable"}})
	if !w.lab.Provider.Revoke(t.Context(), plain) {
		t.Fatal("not revoked")
	}
	w.lab.Provider.SetFault(lab.Fault{})
	testkit.Until(t, "the provider to be asked again", func() bool {
		resp, _ := do(t, request(t, http.MethodGet, gw.url+echo, nil, token...))
		return resp.StatusCode == http.StatusUnauthorized
	})
	for r := range w.audited() {
		if strings.Contains(r.GetDetail(), "ago: it is away") {
			if r.GetDecision() != "allow" || r.GetReason() != "allowed_stale" {
				t.Errorf("%v", r)
			}
			break
		}
	}
	p.CacheStaleFor = nil
	w.lab.Provider.SetFault(lab.Fault{})
	gw.reached(t, w.commit(&configv1.ProviderTrusted{Site: "jira", Provider: p}))
	another := []string{"Authorization", "Bearer " + w.token()}
	gw.runs(t, []try{{name: "good", header: another, status: 200, user: "svc-api"}})
	w.lab.Provider.SetFault(lab.Status500())
	testkit.Until(t, "max_ttl to be the end of it", func() bool {
		resp, _ := do(t, request(t, http.MethodGet, gw.url+echo, nil, another...))
		return resp.StatusCode == http.StatusServiceUnavailable
	})
}

// TestOneQuestionOfEachIntrospectionService: 500 equal misses at two gateways and two introspection services ask the provider
// once for each of the two at most.
func TestOneQuestionOfEachIntrospectionService(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.startIntrospection() // a second one
	seq := w.commit(w.site()...)
	gateways := []*running{w.gateway(""), w.gateway("")}
	for _, gw := range gateways {
		gw.reached(t, seq)
	}
	for _, token := range []string{w.token(), "nobodys"} {
		w.lab.Provider.SetFault(lab.Slow(300 * time.Millisecond)) // so that all come before the answer
		before := w.lab.Provider.Introspections()
		var calls sync.WaitGroup
		var good, refused atomic.Int64
		start := make(chan struct{})
		for i := range 500 {
			calls.Go(func() {
				<-start
				resp, _ := do(t, request(t, http.MethodGet, gateways[i%2].url+echo, nil, "Authorization", "Bearer "+token))
				switch resp.StatusCode {
				case http.StatusOK:
					good.Add(1)
				case http.StatusUnauthorized:
					refused.Add(1)
				}
			})
		}
		close(start)
		calls.Wait()
		if good.Load()+refused.Load() != 500 || good.Load() > 0 && refused.Load() > 0 || (good.Load() == 500) != (token != "nobodys") {
			t.Errorf("%d good, %d refused", good.Load(), refused.Load())
		}
		if asked := w.lab.Provider.Introspections() - before; asked > 2 || asked == 0 {
			t.Errorf("the provider was asked %d times", asked)
		}
	}
}
