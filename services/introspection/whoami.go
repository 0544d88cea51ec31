package introspection

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"

	identityv1 "github.com/gatehouse-suite/gatehouse/proto/identity/v1"
	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"github.com/gatehouse-suite/gatehouse/shared/names"
	"github.com/maypok86/otter/v2"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/gatehouse-suite/gatehouse/services/introspection/flight"
	"github.com/gatehouse-suite/gatehouse/services/introspection/provider"
)

// credential is a PAT, a password or a session.
type credential struct {
	kind         credentialKind
	user, secret string
	node         string // that is to be asked about a session; empty: any
}

type credentialKind string

const (
	kindPAT      credentialKind = "pat"
	kindPassword credentialKind = "password"
	kindSession  credentialKind = "session"
)

// credentialOf reads a request. possible is false for what no product could take, and none is shown.
func credentialOf(r *identityv1.WhoAmIRequest) (c credential, possible bool, err error) {
	switch x := r.GetCredential().(type) {
	case *identityv1.WhoAmIRequest_Pat:
		c = credential{kind: kindPAT, secret: x.Pat}
		return c, c.secret != "" && provider.TokenShaped(c.secret), nil
	case *identityv1.WhoAmIRequest_Password:
		c = credential{kind: kindPassword, user: x.Password.GetUsername(), secret: x.Password.GetPassword()}
		// RFC 7617 §2: no colon in a user name, no control characters in either.
		possible = c.user != "" && c.secret != "" && len(c.user) <= provider.MaxWord && len(c.secret) <= provider.MaxToken &&
			!strings.Contains(c.user, ":") && !strings.ContainsFunc(c.user+c.secret, unicode.IsControl)
		return c, possible, nil
	case *identityv1.WhoAmIRequest_Session:
		c = credential{kind: kindSession, node: x.Session.GetNode(), secret: x.Session.GetCookies()}
		return c, c.secret != "" && len(c.secret) <= provider.MaxToken && !strings.ContainsFunc(c.secret, unicode.IsControl), nil
	default:
		return c, false, fault.New(fault.Invalid, "no credential")
	}
}

// show puts the credential into a request. The products' PAT filter takes "Bearer" in this case only.
func (c credential) show(r *http.Request) {
	if c.kind == kindPAT {
		r.Header.Set("Authorization", "Bearer "+c.secret)
		return
	}
	if c.kind == kindSession {
		r.Header.Set("Cookie", c.secret)
		return
	}
	r.SetBasicAuth(c.user, c.secret)
}

// people answers identity.v1.whoami. What a product has said is remembered: a known user for knownTTL, a
// refusal for refusedTTL, in its own small room.
type people struct {
	config               *keeper
	client               *productClient
	keys                 *keyer
	known, refused       *otter.Cache[key, *verdict]
	knownTTL, refusedTTL time.Duration
	flights              flight.Group[*verdict]
	tracer               trace.Tracer
	counters             *counters
}

func newVerdicts(entries int) (*otter.Cache[key, *verdict], error) {
	c, err := otter.New(&otter.Options[key, *verdict]{MaximumSize: max(entries, 1)})
	if err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	return c, nil
}

func (p *people) whoAmI(ctx context.Context, r *identityv1.WhoAmIRequest) (proto.Message, error) {
	c, possible, err := credentialOf(r)
	if err != nil {
		return nil, err
	}
	x, err := p.config.at(ctx, r.GetConfigSequence())
	if err != nil {
		return nil, err
	}
	s := x.sites[r.GetSite()]
	switch {
	case s == nil:
		return nil, fault.Newf(fault.NotFound, "no site %.64q", r.GetSite())
	case s.product == nil:
		return nil, fault.New(fault.Unavailable, "how to ask this product who somebody is, is not known")
	case !possible:
		return &identityv1.WhoAmIReply{Verdict: identityv1.WhoAmIReply_VERDICT_REFUSED, Detail: "malformed"}, nil
	}
	v, err := p.ask(ctx, s.product, c)
	if err != nil {
		return nil, err
	}
	return &identityv1.WhoAmIReply{
		Verdict: v.kind, User: v.user, Age: durationpb.New(max(0, time.Since(v.at))), Detail: v.detail,
		LoginReason: v.loginReason, DeniedReason: v.deniedReason,
	}, nil
}

// ask gives a product's word on a credential: from memory, else once for all who ask the same at the same time.
// The products do not tell Alice from alice, so neither does the key: one wrong password is tried once.
func (p *people) ask(ctx context.Context, u *upstream, c credential) (*verdict, error) {
	k := p.keys.of("whoami", u.site, u.revision, string(c.kind), names.Fold(c.user), c.node, c.secret)
	if v := p.lookup(k, time.Now()); v != nil {
		p.counters.looked("whoami", true)
		return v, nil
	}
	p.counters.looked("whoami", false)
	return p.flights.Do(ctx, k, "the product has not answered yet", func(ctx context.Context) (*verdict, error) { return p.shared(ctx, u, c, k) })
}

func (p *people) lookup(k key, now time.Time) *verdict {
	if v, ok := p.known.GetIfPresent(k); ok && now.Sub(v.at) < p.knownTTL {
		return v
	}
	if v, ok := p.refused.GetIfPresent(k); ok && now.Sub(v.at) < p.refusedTTL {
		return v
	}
	return nil
}

func (p *people) keep(k key, v *verdict) {
	if v.kind == identityv1.WhoAmIReply_VERDICT_KNOWN {
		p.refused.Invalidate(k)
		p.known.Set(k, v)
		return
	}
	p.known.Invalidate(k)
	p.refused.Set(k, v)
}

// shared is the one call of all who ask now.
func (p *people) shared(ctx context.Context, u *upstream, c credential, k key) (*verdict, error) {
	if v := p.lookup(k, time.Now()); v != nil {
		return v, nil // a call that ended between our look and now
	}
	wait, cancel := context.WithTimeout(ctx, p.client.timeout)
	defer cancel()
	if err := u.gate.Enter(wait); err != nil {
		p.counters.askedProduct(u, "refused_by_limit", 0)
		return nil, fault.Wrap(fault.Unavailable, "the product is asked too much at once", err)
	}
	defer u.gate.Leave()
	ctx, span := p.tracer.Start(ctx, "who am I at product", trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(attribute.String("site", u.site), attribute.String("credential", string(c.kind))))
	defer span.End()
	began := time.Now()
	v, problem := p.client.ask(ctx, u, c)
	if problem != nil {
		p.counters.askedProduct(u, string(problem.Result), time.Since(began))
		span.SetStatus(codes.Error, problem.Text)
		return nil, fault.Wrap(fault.Unavailable, "the product gave no answer: "+problem.Text, problem)
	}
	p.counters.askedProduct(u, v.name(), time.Since(began))
	span.SetAttributes(attribute.String("result", v.name()))
	p.keep(k, v)
	return v, nil
}
