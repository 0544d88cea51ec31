package introspection

import (
	"cmp"
	"context"
	"time"

	identityv1 "github.com/gatehouse-suite/gatehouse/proto/identity/v1"
	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/gatehouse-suite/gatehouse/services/introspection/provider"
)

// tokens answers identity.v1.introspect.
type tokens struct {
	config *keeper
	asker  *asker
}

func (t *tokens) introspect(ctx context.Context, r *identityv1.IntrospectRequest) (proto.Message, error) {
	if r.GetToken() == "" {
		return nil, fault.New(fault.Invalid, "no token")
	}
	x, err := t.config.at(ctx, r.GetConfigSequence())
	if err != nil {
		return nil, err
	}
	s := x.sites[r.GetSite()]
	if s == nil {
		return nil, fault.Newf(fault.NotFound, "no site %.64q", r.GetSite())
	}
	if !provider.TokenShaped(r.GetToken()) {
		return &identityv1.IntrospectReply{Detail: "malformed"}, nil // no provider is shown what cannot be a token
	}
	return t.firstActive(ctx, s.choose(r.GetToken()), r.GetToken())
}

// firstActive asks providers in their order until one says active. The token is inactive only when all of them
// have said so: one that is away might have known it.
func (t *tokens) firstActive(ctx context.Context, providers []*trusted, token string) (proto.Message, error) {
	if len(providers) > 1 { // known to the last must not wait for the first
		for _, p := range providers {
			if a := t.asker.cached(p, token); a != nil && a.Active {
				return reply(p, a), nil
			}
		}
	}
	var away error
	inactive := &identityv1.IntrospectReply{Detail: "no provider of the site can have issued it"}
	for _, p := range providers {
		a, err := t.asker.ask(ctx, p, token)
		switch {
		case err != nil && away == nil:
			away = err
		case err != nil:
		case a.Active:
			return reply(p, a), nil
		default:
			inactive = older(inactive, reply(p, a))
		}
	}
	if away != nil {
		return nil, away
	}
	return inactive, nil
}

// older gives the reply with the greater age.
func older(a, b *identityv1.IntrospectReply) *identityv1.IntrospectReply {
	if a.GetAge() != nil && a.GetAge().AsDuration() >= b.GetAge().AsDuration() {
		return a
	}
	return b
}

func reply(p *trusted, a *answer) *identityv1.IntrospectReply {
	out := &identityv1.IntrospectReply{
		Provider: p.id, ProviderRevision: p.ask.Revision,
		Age: durationpb.New(max(0, time.Since(a.at))), Stale: a.stale,
	}
	if !a.Active {
		out.Detail = cmp.Or(a.Detail, "inactive")
		return out
	}
	out.Active, out.Holder = true, identityv1.IntrospectReply_HOLDER_CLIENT
	if a.Person {
		out.Holder = identityv1.IntrospectReply_HOLDER_PERSON
	}
	out.ClientId, out.Username, out.Subject, out.MappedUser = a.ClientID, a.Username, a.Subject, a.MappedUser
	out.Scopes, out.Audience, out.Issuer, out.TokenType = a.Scopes, a.Audience, a.Issuer, a.TokenType
	out.ExpiresAt, out.NotBefore, out.IssuedAt = provider.Stamp(a.ExpiresAt), provider.Stamp(a.NotBefore), provider.Stamp(a.IssuedAt)
	return out
}
