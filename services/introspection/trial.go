package introspection

import (
	"context"
	"encoding/json"
	"math"

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
	var c configlog.Site
	if err := json.Unmarshal(r.GetDraft().GetSite(), &c); err != nil {
		return nil, fault.New(fault.Invalid, "the draft is no site in JSON")
	}
	seen := &witness.Witness{Why: func(err error) string { return remote.NotAnswered(ctx, err).Text }}
	t := &answering{
		config: a.config.draft(ctx, &c, r.GetDraft().GetSealed()), settings: a.settings, host: a.host, counters: a.counters, life: a.life,
		clients: clients{kept: seen.Over(a.clients.kept), once: seen.Over(a.clients.once)},
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

// draft gives the keeper of one site as it is given. Its nodes and its directory are those that are known here, where they are
// the same: a directory that refused our password must not be shown it again. Its providers are asked as if for the first time.
func (k *keeper) draft(ctx context.Context, c *configlog.Site, sealed map[string][]byte) *keeper {
	known := &site{id: c.ID}
	if x := k.current.Load(); x != nil && x.sites[c.ID] != nil {
		known.product, known.directory = x.sites[c.ID].product, x.sites[c.ID].directory
	}
	d := &keeper{opener: k.opener.With(sealed), revisions: k.revisions, settings: k.settings, log: k.log}
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
