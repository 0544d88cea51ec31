package introspection

import (
	"cmp"
	"context"
	"strings"
	"time"

	identityv1 "github.com/gatehouse-suite/gatehouse/proto/identity/v1"
	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// maxToken is the longest credential anybody is asked about; JWTs with many groups reach some 8 KiB.
const maxToken = 16 << 10

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
	if !tokenShaped(r.GetToken()) {
		return &identityv1.IntrospectReply{Detail: "malformed"}, nil // no provider is shown what cannot be a token
	}
	return t.firstActive(ctx, s.choose(r.GetToken()), r.GetToken())
}

// firstActive asks providers in their order until one says active. The token is inactive only when all of them
// have said so: one that is away might have known it.
func (t *tokens) firstActive(ctx context.Context, providers []*provider, token string) (proto.Message, error) {
	if len(providers) > 1 { // known to the last must not wait for the first
		for _, p := range providers {
			if a := t.asker.cached(p, token); a != nil && a.active {
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
		case a.active:
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

func reply(p *provider, a *answer) *identityv1.IntrospectReply {
	out := &identityv1.IntrospectReply{
		Provider: p.id, ProviderRevision: p.ask.revision,
		Age: durationpb.New(max(0, time.Since(a.at))), Stale: a.stale,
	}
	if !a.active {
		out.Detail = cmp.Or(a.detail, "inactive")
		return out
	}
	out.Active, out.Holder = true, identityv1.IntrospectReply_HOLDER_CLIENT
	if a.person {
		out.Holder = identityv1.IntrospectReply_HOLDER_PERSON
	}
	out.ClientId, out.Username, out.Subject, out.MappedUser = a.clientID, a.username, a.subject, a.mappedUser
	out.Scopes, out.Audience, out.Issuer, out.TokenType = a.scopes, a.audience, a.issuer, a.tokenType
	out.ExpiresAt, out.NotBefore, out.IssuedAt = stamp(a.expiresAt), stamp(a.notBefore), stamp(a.issuedAt)
	return out
}

func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// tokenShaped tells whether a credential can be one at all: visible ASCII (RFC 6750 §2.1, RFC 6749 A.12), and
// not endless.
func tokenShaped(token string) bool {
	return len(token) <= maxToken && !strings.ContainsFunc(token, func(c rune) bool { return c <= ' ' || c > '~' })
}
