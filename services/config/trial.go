package config

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	auditv1 "github.com/gatehouse-suite/gatehouse/proto/audit/v1"
	gatewayv1 "github.com/gatehouse-suite/gatehouse/proto/gateway/v1"
	identityv1 "github.com/gatehouse-suite/gatehouse/proto/identity/v1"
	"github.com/gatehouse-suite/gatehouse/shared/adminauth"
	"github.com/gatehouse-suite/gatehouse/shared/ask"
	"github.com/gatehouse-suite/gatehouse/shared/audittrail"
	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
	"github.com/go-chi/chi/v5"
	"github.com/nats-io/nats.go"

	"github.com/gatehouse-suite/gatehouse/services/config/document"
)

// attempt is the body of sites/{id}/test-token: a credential to be tried, and at which call.
type attempt struct {
	Type string `json:"type"`
	// Token of every type; of basic user:password, unless the two are given.
	Token    string `json:"token"`
	Username string `json:"username"`
	Password string `json:"password"`
	// Fetch has a token fetched by client credentials from Provider, as its own client or as ClientID.
	Fetch        bool   `json:"fetch"`
	Provider     string `json:"provider"`
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret"`
	// Test names a saved test, which says all of the above and below.
	Test     string `json:"test"`
	Method   string `json:"method"`
	Path     string `json:"path"`
	ClientIP string `json:"client_ip"`
	// Expect and User are what the answer is held against.
	Expect string `json:"expect"`
	User   string `json:"user"`
}

// testToken tries a credential at a site, as it is or as the document in the body has it.
func (a *api) testToken(w http.ResponseWriter, r *http.Request) {
	s, draft, err := a.trialSite(w, r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	request, err := s.attempt.request(s.site, adminauth.From(r.Context()).Address)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	request.Site, request.Draft = s.site.ID, draft
	if test := s.site.Test(request.GetSaved()); test != nil {
		draft.Fetches = fetches(test)
	}
	who := adminauth.From(r.Context())
	a.recordTrial(r.Context(), &auditv1.Record{
		User: who.Name, ClientIp: who.Address, Method: r.Method, Path: r.URL.Path, Site: s.site.ID, ConfigVersion: s.version,
		RequestId: requestID(r), UserAgent: r.UserAgent(),
	}, map[string]any{
		"type": s.attempt.Type, "test": s.attempt.Test, "fetch": s.attempt.Fetch, "provider": s.attempt.Provider, "client_id": s.attempt.ClientID,
		"draft": draftOf(s.version), "asks": addresses(s.site),
	})
	reply, err := a.try(r.Context(), request)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	a.reply(w, r, http.StatusOK, newTrialAnswer(reply, s))
}

// tried is what is tried: the site, where it comes from, and the credential.
type tried struct {
	attempt attempt
	site    *configlog.Site
	version uint64 // of the configuration; 0: of a draft
}

// trialSite reads the body and gives the site as it is to be tried.
func (a *api) trialSite(w http.ResponseWriter, r *http.Request) (*tried, *identityv1.Draft, error) {
	if _, err := query(r); err != nil {
		return nil, nil, err
	}
	now, err := a.loaded()
	if err != nil {
		return nil, nil, err
	}
	data, syntax, err := body(w, r)
	if err != nil {
		return nil, nil, err
	}
	t := &tried{version: now.State.Seq}
	draft, problems := document.ReadBeside(data, syntax, "document", &t.attempt)
	if len(problems) > 0 {
		return nil, nil, unfit("the request cannot be read", problems)
	}
	config, sealed := &now.Config, map[string]map[string][]byte{}
	if draft != nil {
		if config, sealed, err = a.drafted(r.Context(), now, draft); err != nil {
			return nil, nil, err
		}
		t.version = 0
	}
	id := chi.URLParam(r, "id")
	if t.site = config.Site(id); t.site == nil {
		return nil, nil, fault.Newf(fault.NotFound, "there is no site %.64q", id)
	}
	data, err = json.Marshal(t.site)
	return t, &identityv1.Draft{Site: data, Sealed: sealed[id]}, err
}

// drafted gives a draft as it would be published, and its new secrets sealed, which are stored nowhere.
func (a *api) drafted(ctx context.Context, now *configlog.Snapshot, d *document.Draft) (*configlog.Config, map[string]map[string][]byte, error) {
	p, err := a.proposed(ctx, now, d, nil)
	if err != nil {
		if f := fault.From(err); len(f.Problems) > 0 {
			err = unfit("the draft cannot work", document.Under("document", f.Problems))
		}
		return nil, nil, err
	}
	sealed, err := a.sealedApart(p.seals)
	return p.to, sealed, err
}

// sealedApart seals secrets without storing them, and gives them by site.
func (a *api) sealedApart(seals []seal) (map[string]map[string][]byte, error) {
	sealed := map[string]map[string][]byte{}
	for _, s := range seals {
		data, err := a.sealer.Encrypt(s.place.Owner, s.plain.Reveal())
		if err != nil {
			return nil, err
		}
		if sealed[s.place.Site] == nil {
			sealed[s.place.Site] = map[string][]byte{}
		}
		sealed[s.place.Site][s.secret.Key()] = data
	}
	return sealed, nil
}

// request makes of an attempt what a gateway is asked. from is where the call comes from unless the attempt says it.
func (t *attempt) request(s *configlog.Site, from string) (*gatewayv1.TrialRequest, error) {
	if t.Test != "" {
		if beside := t.beside("test"); len(beside) > 0 {
			return nil, unfit("the request cannot work", beside)
		}
		if s.Test(t.Test) == nil {
			return nil, unfit("the request cannot work", []fault.Problem{{Path: "test", Message: "the site has no test of that name"}})
		}
		return &gatewayv1.TrialRequest{Credential: &gatewayv1.TrialRequest_Saved{Saved: t.Test}}, nil
	}
	t.Type = strings.ReplaceAll(t.Type, " ", "_")
	if t.Type == "basic" && t.Username == "" {
		t.Username, t.Password, _ = strings.Cut(t.Token, ":")
		t.Token = ""
	}
	test := configlog.Test{
		Name: "this", Type: t.Type, Fetch: t.Fetch, Provider: t.Provider, ClientID: t.ClientID, Username: t.Username,
		Method: t.Method, Path: t.Path, ClientIP: t.ClientIP,
	}
	field, value := t.credential()
	var unused []fault.Problem
	for _, other := range [...]struct{ name, value string }{{"token", t.Token}, {"password", t.Password}, {"client_secret", t.ClientSecret}} {
		if other.name != field && other.value != "" {
			unused = append(unused, fault.Problem{Path: other.name, Message: "is not used: the credential is " + field})
		}
	}
	if t.Expect != "" && !document.IsVerdict(t.Expect) {
		unused = append(unused, fault.Problem{Path: "expect", Message: document.VerdictWanted})
	}
	if value != "" {
		test.Credential.Ref = field
	}
	document.Complete(&test, s)
	if problems := document.Join(unused, document.Tried(&test, s)); len(problems) > 0 {
		for i := range problems {
			problems[i].Path = strings.Replace(problems[i].Path, "credential", field, 1)
		}
		return nil, unfit("the request cannot work", problems)
	}
	r := &gatewayv1.TrialRequest{Method: t.Method, Path: t.Path, ClientIp: t.ClientIP}
	if r.GetClientIp() == "" {
		r.ClientIp = from
	}
	switch {
	case test.Fetch:
		r.Credential = &gatewayv1.TrialRequest_Fetch{Fetch: &identityv1.FetchRequest{Provider: test.Provider, ClientId: t.ClientID, ClientSecret: value}}
	case test.Type == "basic":
		r.Credential = &gatewayv1.TrialRequest_Authorization{Authorization: "Basic " + base64.StdEncoding.EncodeToString([]byte(t.Username+":"+value))}
	case value != "":
		r.Credential = &gatewayv1.TrialRequest_Authorization{Authorization: "Bearer " + value}
	}
	return r, nil
}

// beside names what is given though a saved test says it.
func (t *attempt) beside(test string) (all []fault.Problem) {
	fetch := ""
	if t.Fetch {
		fetch = "true"
	}
	for _, given := range [...]struct{ name, value string }{
		{"type", t.Type},
		{"token", t.Token},
		{"username", t.Username},
		{"password", t.Password},
		{"fetch", fetch},
		{"provider", t.Provider},
		{"client_id", t.ClientID},
		{"client_secret", t.ClientSecret},
		{"method", t.Method},
		{"path", t.Path},
		{"client_ip", t.ClientIP},
		{"expect", t.Expect},
		{"user", t.User},
	} {
		if given.value != "" {
			all = append(all, fault.Problem{Path: given.name, Message: "is said by the " + test + ": leave it out"})
		}
	}
	return all
}

// credential gives the field that holds the credential, and its value.
func (t *attempt) credential() (field, value string) {
	switch {
	case t.Fetch:
		return "client_secret", t.ClientSecret
	case t.Type == "basic":
		return "password", t.Password
	default:
		return "token", t.Token
	}
}

// trialTime bounds one trial: several calls of providers that may hang.
const trialTime = 20 * time.Second

// try has a gateway try a call. The error is a fault.
func (a *api) try(ctx context.Context, r *gatewayv1.TrialRequest) (*gatewayv1.TrialReply, error) {
	ctx, cancel := context.WithTimeout(ctx, trialTime)
	defer cancel()
	reply, made := new(gatewayv1.TrialReply), new(identityv1.DraftReply)
	if fetch := r.GetFetch(); fetch != nil {
		r.Draft.Fetches = &identityv1.Fetches{Provider: fetch.GetProvider(), ClientId: fetch.GetClientId()}
	}
	if err := ask.Do(ctx, a.nc, topology.Draft, r.GetDraft(), made); err != nil {
		if errors.Is(err, nats.ErrNoResponders) {
			err = fault.Wrap(fault.Unavailable, "no introspection service is there to try it", err)
		}
		return nil, err
	}
	r.Ticket = made.GetTicket()
	err := ask.Do(ctx, a.nc, topology.CallTrial, r, reply)
	if errors.Is(err, nats.ErrNoResponders) {
		err = fault.Wrap(fault.Unavailable, "no gateway is there to try it", err)
	}
	return reply, err
}

// recordWait is how long a trial waits to be in the trail before it goes on without.
const recordWait = 500 * time.Millisecond

// recordTrial has the audit trail know who tries what, before anything is asked of anybody: a draft can have secrets that are
// kept sent to where it says, and who has it tried may leave before it is answered.
func (a *api) recordTrial(ctx context.Context, record *auditv1.Record, change map[string]any) {
	text, _ := json.Marshal(change) // plain values always marshal
	record.Kind, record.Time, record.Outcome = audittrail.CredentialTried, uint64(time.Now().UnixNano()), "completed"
	record.Credential, record.ClientIpSource, record.Change = "admin_token", "peer", string(text)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordWait)
	defer cancel()
	if err := a.trail.Record(ctx, record); err != nil {
		a.log.LogAttrs(ctx, slog.LevelWarn, "a trial is not in the audit trail yet", slog.Any("error", err))
	}
}

func draftOf(version uint64) bool { return version == 0 }

// addresses are where a site's trial may send something.
func addresses(s *configlog.Site) []string {
	all := []string{s.Directory.URL}
	for i := range s.Providers {
		p := &s.Providers[i]
		all = append(all, p.Issuer, p.IntrospectionEndpoint, p.JWKSURI, p.TokenEndpoint)
	}
	for _, n := range s.Nodes {
		all = append(all, n.URL)
	}
	hosts := []string{}
	for _, raw := range all {
		if u, err := url.Parse(raw); err == nil && u.Host != "" && !slices.Contains(hosts, u.Host) {
			hosts = append(hosts, u.Host)
		}
	}
	slices.Sort(hosts)
	return hosts
}
