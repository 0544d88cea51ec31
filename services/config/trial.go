package config

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
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
	reply, err := a.try(r.Context(), request)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	answer := newTrialAnswer(reply, s)
	a.recordTrial(r, s, answer)
	a.reply(w, r, http.StatusOK, answer)
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
	config, sealed := &now.Config, map[string][]byte{}
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
	return t, &identityv1.Draft{Site: data, Sealed: sealed}, err
}

// drafted gives a draft as it would be published, and its new secrets sealed, which are stored nowhere.
func (a *api) drafted(ctx context.Context, now *configlog.Snapshot, d *document.Draft) (*configlog.Config, map[string][]byte, error) {
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

// sealedApart seals secrets without storing them.
func (a *api) sealedApart(seals []seal) (map[string][]byte, error) {
	sealed := make(map[string][]byte, len(seals))
	for _, s := range seals {
		data, err := a.sealer.Encrypt(s.place.Owner, s.plain.Reveal())
		if err != nil {
			return nil, err
		}
		sealed[s.secret.Key()] = data
	}
	return sealed, nil
}

// request makes of an attempt what a gateway is asked. from is where the call comes from unless the attempt says it.
func (t *attempt) request(s *configlog.Site, from string) (*gatewayv1.TrialRequest, error) {
	if t.Test != "" {
		if s.Test(t.Test) == nil {
			return nil, unfit("the request cannot work", []fault.Problem{{Path: "test", Message: "the site has no test of that name"}})
		}
		return &gatewayv1.TrialRequest{Credential: &gatewayv1.TrialRequest_Saved{Saved: t.Test}}, nil
	}
	t.Type = strings.ReplaceAll(t.Type, " ", "_")
	if t.Type == "basic" && t.Username == "" {
		t.Username, t.Password, _ = strings.Cut(t.Token, ":")
	}
	test := configlog.Test{
		Name: "this", Type: t.Type, Fetch: t.Fetch, Provider: t.Provider, ClientID: t.ClientID, Username: t.Username,
		Method: t.Method, Path: t.Path, ClientIP: t.ClientIP,
	}
	field, value := t.credential()
	if value != "" {
		test.Credential.Ref = field
	}
	document.Complete(&test, s)
	if problems := document.Tried(&test, s); len(problems) > 0 {
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
	reply := new(gatewayv1.TrialReply)
	err := ask.Do(ctx, a.nc, topology.CallTrial, r, reply)
	if errors.Is(err, nats.ErrNoResponders) {
		err = fault.Wrap(fault.Unavailable, "no gateway is there to try it", err)
	}
	return reply, err
}

// recordTrial has the audit trail know who tried what.
func (a *api) recordTrial(r *http.Request, t *tried, answer *trialAnswer) {
	who := adminauth.From(r.Context())
	change, _ := json.Marshal(map[string]any{ // plain values always marshal
		"type": t.attempt.Type, "test": t.attempt.Test, "fetch": t.attempt.Fetch, "provider": answer.Provider, "draft": answer.Draft,
		"decision": answer.Decision, "reason": answer.Reason, "user": answer.User, "fingerprint": answer.Fingerprint,
	})
	err := a.trail.Post(&auditv1.Record{
		Kind: audittrail.CredentialTried, Time: uint64(time.Now().UnixNano()), Outcome: "completed", Credential: "admin_token", User: who.Name,
		Method: r.Method, Path: r.URL.Path, Site: t.site.ID, ConfigVersion: t.version, RequestId: requestID(r),
		ClientIp: who.Address, ClientIpSource: "peer", UserAgent: r.UserAgent(), Change: string(change),
	})
	if err != nil {
		a.log.LogAttrs(r.Context(), slog.LevelWarn, "a trial is not in the audit trail", slog.Any("error", err))
	}
}
