package introspection

import (
	"context"
	"encoding/json"
	"log/slog"
	"math"
	"time"

	identityv1 "github.com/gatehouse-suite/gatehouse/proto/identity/v1"
	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-suite/gatehouse/services/introspection/remote"
	"github.com/gatehouse-suite/gatehouse/services/introspection/witness"
)

// trial answers identity.v1.trial: one of the other questions, about a site as it is given, with nothing remembered and every
// call noted. Nothing of it stays.
func (a *answering) trial(ctx context.Context, r *identityv1.TrialRequest) (proto.Message, error) {
	d, c, err := a.drafted(r.GetTicket())
	if err != nil {
		return nil, err
	}
	seen := &witness.Witness{Why: func(err error) string { return remote.NotAnswered(ctx, err).Text }}
	quiet := *a.host // what is tried is in nobody's log, and in no metric
	quiet.Log = slog.New(slog.DiscardHandler)
	t := &answering{
		config: a.config.draft(ctx, c, d.Sealed), settings: a.settings, host: &quiet, counters: newCounters(), life: a.life,
		clients: clients{kept: seen.Over(a.clients.kept), once: seen.Over(a.clients.once)},
	}
	if f := r.GetFetch(); f != nil && (d.Fetches == nil || *d.Fetches != fetches{f.GetProvider(), f.GetClientId()}) {
		return nil, fault.New(fault.Forbidden, "the draft was not made to have this fetched")
	}
	t.config.hideSecrets(seen)
	if err := t.remember(); err != nil {
		return nil, err
	}
	out := &identityv1.TrialReply{}
	if err := t.try(ctx, seen, r, out); err != nil {
		f := fault.From(err)
		out.FaultCode, out.Fault = string(f.Code), f.Message
	}
	out.Exchanges = seen.Exchanges()
	return out, nil
}

// draft is what a trial is about, while a gateway has it in hand.
type draft struct {
	Site   json.RawMessage   `json:"site"`
	Sealed map[string][]byte `json:"sealed"`
	// Fetches is what a token may be fetched by; nil: nothing.
	Fetches *fetches  `json:"fetches,omitempty"`
	Until   time.Time `json:"until"`
}

type fetches struct {
	Provider string `json:"provider"`
	ClientID string `json:"client_id"`
}

// draftFor is how long a draft is good.
const draftFor = time.Minute

// draft answers identity.v1.draft: it seals a site for introspection itself, so that who asks for a trial cannot say where secrets
// are sent.
func (a *answering) draft(_ context.Context, r *identityv1.Draft) (proto.Message, error) {
	var c configlog.Site
	if err := json.Unmarshal(r.GetSite(), &c); err != nil {
		return nil, fault.New(fault.Invalid, "the draft is no site in JSON")
	}
	d := draft{Site: r.GetSite(), Sealed: r.GetSealed(), Until: time.Now().Add(draftFor)}
	if f := r.GetFetches(); f != nil {
		d.Fetches = &fetches{Provider: f.GetProvider(), ClientID: f.GetClientId()}
	}
	text, err := json.Marshal(d)
	return &identityv1.DraftReply{Ticket: a.flows.sealed(text, "draft")}, err
}

// drafted gives the draft of a ticket.
func (a *answering) drafted(ticket []byte) (*draft, *configlog.Site, error) {
	text, err := a.flows.opened(ticket, "draft")
	d, c := new(draft), new(configlog.Site)
	if err != nil || json.Unmarshal(text, d) != nil || json.Unmarshal(d.Site, c) != nil {
		return nil, nil, fault.New(fault.Invalid, "this is no draft that config has made")
	}
	if time.Now().After(d.Until) {
		return nil, nil, fault.New(fault.Invalid, "the draft was made too long ago")
	}
	return d, c, nil
}

// try asks the question of a trial.
func (a *answering) try(ctx context.Context, seen *witness.Witness, r *identityv1.TrialRequest, out *identityv1.TrialReply) error {
	switch q := r.GetQuestion().(type) {
	case *identityv1.TrialRequest_Introspect:
		seen.Hide(q.Introspect.GetToken())
		reply, err := answered[*identityv1.IntrospectReply](a.tokens.introspect(ctx, q.Introspect))
		if err == nil {
			out.Answer = &identityv1.TrialReply_Introspect{Introspect: reply}
		}
		return err
	case *identityv1.TrialRequest_Whoami:
		seen.Hide(q.Whoami.GetPat())
		seen.Hide(q.Whoami.GetPassword().GetPassword())
		seen.Hide(q.Whoami.GetSession().GetCookies())
		reply, err := answered[*identityv1.WhoAmIReply](a.people.whoAmI(ctx, q.Whoami))
		if err == nil {
			out.Answer = &identityv1.TrialReply_Whoami{Whoami: reply}
		}
		return err
	case *identityv1.TrialRequest_Groups:
		reply, err := answered[*identityv1.GroupsReply](a.groups.groups(ctx, q.Groups))
		if err == nil {
			out.Answer = &identityv1.TrialReply_Groups{Groups: reply}
		}
		return err
	case *identityv1.TrialRequest_Fetch:
		seen.Hide(q.Fetch.GetClientSecret())
		token, err := a.fetch(ctx, q.Fetch, seen.Hide)
		if err == nil {
			seen.Hide(token.GetAccessToken())
			out.Answer = &identityv1.TrialReply_Fetch{Fetch: token}
		}
		return err
	default:
		return fault.New(fault.Invalid, "no question")
	}
}

// answered gives an answer as what it is.
func answered[M proto.Message](m proto.Message, err error) (M, error) {
	reply, _ := m.(M)
	return reply, err
}

// draft gives the keeper of one site as it is given. Its nodes are those that are known here, where they are the same.
// Its providers and its directory are asked as if for the first time, but for a directory that has refused our password: it is not
// shown it again.
func (k *keeper) draft(ctx context.Context, c *configlog.Site, sealed map[string][]byte) *keeper {
	known := &site{id: c.ID}
	if x := k.current.Load(); x != nil && x.sites[c.ID] != nil {
		known.product = x.sites[c.ID].product
		if d := x.sites[c.ID].directory; d != nil && d.ask != nil {
			known.directory = &directory{maxAge: d.maxAge, ask: d.ask.apart(k.settings)}
		}
	}
	d := &keeper{opener: k.opener.With(sealed), revisions: k.revisions, settings: k.settings, log: slog.New(slog.DiscardHandler)}
	s := d.site(ctx, &index{sites: map[string]*site{c.ID: known}}, c)
	d.current.Store(&index{seq: math.MaxUint64, sites: map[string]*site{c.ID: s}})
	return d
}

// hideSecrets names every secret that was opened.
func (k *keeper) hideSecrets(seen *witness.Witness) {
	for _, s := range k.current.Load().sites {
		for _, p := range s.providers {
			if p.ask != nil {
				seen.Hide(p.ask.How.Secret())
			}
		}
		if s.directory != nil && s.directory.ask != nil {
			seen.Hide(s.directory.ask.how.value)
		}
	}
}
