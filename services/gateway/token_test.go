package gateway_test

import (
	"context"
	"encoding/base64"
	"net/http"
	"testing"
	"time"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	tokenv1 "github.com/gatehouse-suite/gatehouse/proto/token/v1"
	"github.com/gatehouse-suite/gatehouse/shared/eventlog"
	"github.com/gatehouse-suite/gatehouse/shared/factlog"
	"github.com/gatehouse-suite/gatehouse/shared/opaque"
	"github.com/gatehouse-suite/gatehouse/shared/secret"
	"github.com/gatehouse-suite/gatehouse/shared/testkit"
	"github.com/gatehouse-suite/gatehouse/shared/tokenlog"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gatehouse-suite/gatehouse/services/gateway"
)

// desk issues and revokes API tokens as config does.
type desk struct {
	w   *world
	log *eventlog.Log
	at  eventlog.State
}

func (w *world) desk() *desk {
	return &desk{w: w, log: eventlog.New(w.nats.JetStream(w.t, topology.Config), topology.TokenLog(), eventlog.Options{})}
}

func (d *desk) commit(facts ...proto.Message) {
	d.w.t.Helper()
	data, err := factlog.Encode(&configv1.Commit{RequestId: uuid.NewString(), At: timestamppb.Now()}, facts)
	if err != nil {
		d.w.t.Fatal(err)
	}
	if d.at, err = d.log.Append(context.WithoutCancel(d.w.t.Context()), d.at, data); err != nil {
		d.w.t.Fatal(err)
	}
}

// issue issues a token of svc-api, or as change has it.
func (d *desk) issue(change ...func(*tokenv1.TokenIssued)) string {
	d.w.t.Helper()
	token := opaque.New(tokenlog.Prefix)
	sum := opaque.Hash(token)
	fact := &tokenv1.TokenIssued{Sha256: sum[:], Name: "a script", Owner: "svc-api", Site: "jira", ExpiresAt: timestamppb.New(time.Now().Add(time.Hour))}
	for _, c := range change {
		c(fact)
	}
	d.commit(fact)
	return token
}

func (d *desk) revoke(token string) {
	d.w.t.Helper()
	d.commit(&tokenv1.TokenRevoked{Id: uint64(tokenlog.IDOf(opaque.Hash(token)))})
}

func bearer(token string) []string { return []string{"Authorization", "Bearer " + token} }

func basicOf(user, token string) []string {
	return []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+token))}
}

// knows waits until a gateway takes a token.
func (r *running) knows(t *testing.T, token string) {
	t.Helper()
	testkit.Until(t, "the gateway to know the token", func() bool {
		resp, _ := do(t, request(t, http.MethodGet, r.url+echo, nil, bearer(token)...))
		return resp.StatusCode == http.StatusOK
	})
}

func TestAPITokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gw := w.started(&configv1.UpstreamAccountSet{Site: "jira", Account: "Alice", Credential: w.seal(secret.Gateway, w.product.PAT("alice"))})
	d := w.desk()
	good, expired, revoked := d.issue(), d.issue(func(f *tokenv1.TokenIssued) { f.ExpiresAt = timestamppb.New(time.Now().Add(-time.Second)) }), d.issue()
	d.revoke(revoked)
	elsewhere := d.issue(func(f *tokenv1.TokenIssued) { f.Site = "confluence" })
	alices := d.issue(func(f *tokenv1.TokenIssued) { f.Owner = "alice" })
	carols := d.issue(func(f *tokenv1.TokenIssued) { f.Owner = "carol" })
	reads := d.issue(func(f *tokenv1.TokenIssued) { f.ReadOnly = true })
	far := d.issue(func(f *tokenv1.TokenIssued) { f.Ranges = []string{"192.0.2.0/24", "2001:db8::/32"} })
	near := d.issue(func(f *tokenv1.TokenIssued) { f.Ranges = []string{"192.0.2.0/24", "127.0.0.0/8"} })
	forever := d.issue(func(f *tokenv1.TokenIssued) { f.ExpiresAt = nil })
	gw.knows(t, forever)
	const inactive = "token_inactive"
	gw.runs(t, []try{
		{name: "good", header: bearer(good), status: 200, user: "svc-api"},
		{name: "another case of the scheme", header: []string{"Authorization", "bearer " + good}, status: 200, user: "svc-api"},
		{name: "as a password", header: basicOf("svc-api", good), status: 200, user: "svc-api"},
		{name: "as a password, the name in another case", header: basicOf("SVC-API", good), status: 200, user: "svc-api"},
		{name: "as another's password", header: basicOf("alice", good), status: 401, reason: inactive},
		{name: "in the query", path: echo + "?os_username=svc-api&os_password=" + good, status: 200, user: "svc-api"},
		{name: "of a person, whose account is spelt otherwise", header: bearer(alices), status: 200, user: "alice"},
		{name: "expired", header: bearer(expired), status: 401, reason: inactive},
		{name: "revoked", header: bearer(revoked), status: 401, reason: inactive},
		{name: "unknown", header: bearer(opaque.New(tokenlog.Prefix)), status: 401, reason: inactive},
		{name: "mistyped", header: bearer(good[:len(good)-1] + "_"), status: 401, reason: inactive},
		{name: "of another site", header: bearer(elsewhere), status: 401, reason: inactive},
		{name: "of an owner nobody can act as", header: bearer(carols), status: 403, reason: "no_upstream_account"},
		{name: "that reads, reads", header: bearer(reads), status: 200, user: "svc-api"},
		{name: "that reads, writes", method: http.MethodPost, header: bearer(reads), status: 403, reason: "read_only"},
		{name: "that writes, writes", method: http.MethodPost, header: bearer(good), status: 200, user: "svc-api"},
		{name: "from elsewhere", header: bearer(far), status: 403, reason: "ip_denied"},
		{name: "from here", header: bearer(near), status: 200, user: "svc-api"},
		{name: "for a page", path: "/browse/A-1", header: bearer(good), status: 403, reason: "path_not_for_tokens"},
	})
	var details []string
	for r := range w.audited() {
		if r.GetCredential() != "api_token" {
			continue
		}
		if r.GetReason() == inactive && r.GetDetail() != "" {
			details = append(details, r.GetDetail())
		}
		if r.GetUser() == "alice" && (r.GetCredentialFingerprint() != tokenlog.IDOf(opaque.Hash(alices)).String() || r.GetTokenId() != r.GetCredentialFingerprint() || r.GetDecision() != "allow") {
			t.Errorf("%v", r)
		}
		if r.GetPath() == "/browse/A-1" {
			break
		}
	}
	for _, want := range []string{"expired API token of svc-api", "revoked API token of svc-api", "unknown API token", "no API token, or mistyped", "API token of site confluence", "API token of svc-api, shown as another's"} {
		found := false
		for _, got := range details {
			found = found || got == want
		}
		if !found {
			t.Errorf("%q is not in the trail: %q", want, details)
		}
	}
	seq := w.commit(&configv1.MethodsSet{Site: "jira", Basic: true, Oauth: true, Pat: true, Links: true})
	gw.reached(t, seq)
	gw.runs(t, []try{{name: "switched off", header: bearer(good), status: 401, reason: "api_tokens_disabled"}})
}

// TestGuessedAPITokensAreSlowed as guessed tokens of providers are, and who has a good one is not.
func TestGuessedAPITokensAreSlowed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seq, good := w.commit(w.site()...), w.desk().issue() // before, for a token that is not known yet is a guess
	gw := w.gateway("", func(s *gateway.Settings) { s.UnknownBurst, s.UnknownPerSecond = 3, 0.01 })
	gw.reached(t, seq)
	gw.knows(t, good)
	for i, want := range []string{"token_inactive", "token_inactive", "token_inactive", "too_many_unknown"} {
		resp, _ := do(t, request(t, http.MethodGet, gw.url+echo, nil, bearer(opaque.New(tokenlog.Prefix))...))
		if resp.Header.Get("X-Gatehouse-Reason") != want {
			t.Errorf("guess %d: %s", i, resp.Header.Get("X-Gatehouse-Reason"))
		}
	}
	gw.runs(t, []try{{name: "good", header: bearer(good), status: 200, user: "svc-api"}})
}

// TestAPITokensWithoutNATS: what was read holds until the site's stale.max, and then nobody can know what was revoked.
func TestAPITokensWithoutNATS(t *testing.T) {
	t.Parallel()
	testkit.Long(t)
	w := newWorld(t)
	gw := w.started(&configv1.StalenessSet{Site: "jira", Max: durationpb.New(2 * time.Second)})
	good := w.desk().issue()
	gw.knows(t, good)
	w.nats.Stop()
	gw.runs(t, []try{{name: "known", header: bearer(good), status: 200, user: "svc-api"}})
	testkit.Until(t, "it to be too old", func() bool {
		resp, _ := do(t, request(t, http.MethodGet, gw.url+echo, nil, bearer(good)...))
		return resp.Header.Get("X-Gatehouse-Reason") == "configuration_stale" && resp.Header.Get("Retry-After") != ""
	})
}
