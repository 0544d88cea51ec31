package gateway

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	identityv1 "github.com/gatehouse-suite/gatehouse/proto/identity/v1"
	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"github.com/gatehouse-suite/gatehouse/shared/names"
	"github.com/gatehouse-suite/gatehouse/shared/presets"
	"github.com/gatehouse-suite/gatehouse/shared/renewal"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
)

const (
	// leeway is how far a provider's clock may be off, both ways.
	leeway = 30 * time.Second
	// knownFor and refusedFor are how long the product's word about a PAT or a password is used. A refused
	// password is never tried again meanwhile: each failure brings its user closer to a CAPTCHA.
	knownFor   = 60 * time.Second
	refusedFor = 10 * time.Second
	// staleFor is how long an answer of a provider that is away is used until introspection is asked whether it is back.
	staleFor = 2 * time.Second
)

// whoIsIt is row 10: whose credential it is, by its issuer's word, and whether it is good now.
func whoIsIt(c *call) answer {
	switch c.cred.kind {
	case kindOAuth:
		return whoseToken(c)
	case kindPAT, kindBasic:
		return whoAtTheProduct(c)
	case kindToken:
		return whoseAPIToken(c)
	case kindNone, kindLink, kindSession:
		return answer{}
	default:
		return refuse(malformed, "")
	}
}

// whoseToken asks who an OAuth 2.0 token belongs to and judges it, cached or not.
func whoseToken(c *call) answer {
	if len(c.site.providers) == 0 {
		return refuse(tokenInactive, "the site trusts no provider")
	}
	ids := c.gw.identities
	c.key = ids.key(c.site.salt, 't', c.cred.token)
	id := ids.cached(c.key, func(id *identity) bool { return c.site.fresh(id, c.at) })
	switch {
	case id == nil:
		c.fingerprint = ids.fingerprint('t', c.cred.token)
		err := c.gw.span(c.ctx, "introspect", func(ctx context.Context) (err error) {
			id, err = ids.ask(ctx, c.aboutToken(c.guesser()))
			return err
		})
		if err != nil {
			return unanswered(c, providerAway, err)
		}
	case c.site.ends(id, c.key, c.at):
		c.fingerprint = id.fingerprint
		ids.start(context.WithoutCancel(c.ctx), c.aboutToken(nil)) // behind the call's back
	}
	c.fingerprint, c.provider, c.clientID = id.fingerprint, id.token.GetProvider(), id.token.GetClientId()
	c.owner = c.site.owner(id.token)
	if id.token.GetStale() {
		c.lastWord = "by the provider's word of " + c.at.Sub(id.answeredAt).Round(time.Second).String() + " ago: it is away"
	}
	return judge(id, c.site, c.at)
}

// owner gives the user a token is of: by the claim its provider is configured with, else by the one of its kind. A client's
// own token is no user's.
func (s *site) owner(t *identityv1.IntrospectReply) string {
	switch p := s.providers[t.GetProvider()]; {
	case p != nil && p.config.UsernameClaim != "":
		return t.GetMappedUser()
	case ofPerson(t):
		return t.GetUsername()
	default:
		return ""
	}
}

// aboutToken is the question whose token the call's is.
func (c *call) aboutToken(from *netip.Prefix) question {
	return question{
		key: c.key, fingerprint: c.fingerprint, from: from, subject: topology.Introspect, reply: new(identityv1.IntrospectReply),
		request: &identityv1.IntrospectRequest{Site: c.site.config.ID, Token: c.cred.token, ConfigSequence: c.plan.state.Seq},
	}
}

// ends tells whether what a provider said of a good token should be asked for anew, because it is used and its time is nearly
// over.
func (s *site) ends(id *identity, k cacheKey, now time.Time) bool {
	p := s.providers[id.token.GetProvider()]
	return p != nil && id.token.GetActive() && !id.token.GetStale() && id.renewal.Due(now.Sub(id.answeredAt), p.config.Cache.MaxTTL.Std(), renewal.Early(k[0]), now)
}

// fresh tells whether what a provider said of a token may still be used. The cap counts from its answer.
func (s *site) fresh(id *identity, now time.Time) bool {
	age := now.Sub(id.answeredAt)
	if p := s.providers[id.token.GetProvider()]; p != nil {
		switch cache := p.config.Cache; {
		case id.token.GetStale():
			return age < cache.MaxTTL.Std()+cache.StaleFor.Std() && now.Sub(id.heardAt) < staleFor
		case id.token.GetActive():
			return age < cache.MaxTTL.Std()
		}
		return age < p.config.Cache.NegativeTTL.Std()
	}
	if id.token.GetActive() {
		return false
	}
	for _, p := range s.providers { // none of them knew it
		if age >= p.config.Cache.NegativeTTL.Std() {
			return false
		}
	}
	return true
}

// judge holds what is known of a token against the site's rules as they are now. The caller is told the same
// for unknown, expired and revoked.
func judge(id *identity, s *site, now time.Time) answer {
	t := id.token
	if !t.GetActive() {
		return refuse(tokenInactive, t.GetDetail())
	}
	p := s.providers[t.GetProvider()]
	switch {
	case p == nil:
		return refuse(tokenInactive, "provider no longer trusted")
	case !presets.IsAccessToken(t.GetTokenType()):
		return refuse(tokenInactive, "not an access token but "+t.GetTokenType())
	case !id.expiresAt.IsZero() && now.After(id.expiresAt.Add(leeway)):
		return refuse(tokenInactive, "expired")
	case !id.notBefore.IsZero() && now.Before(id.notBefore.Add(-leeway)):
		return refuse(tokenInactive, "not valid yet")
	case p.config.Issuer != "" && t.GetIssuer() != "" && !presets.SameIssuer(p.config.Issuer, t.GetIssuer()):
		return refuse(tokenInactive, "issued by another issuer")
	case p.config.Audience != "" && !slices.Contains(t.GetAudience(), p.config.Audience):
		return refuse(audienceWrong, "audience "+strings.Join(t.GetAudience(), " "))
	}
	for _, scope := range p.config.RequiredScopes {
		if !slices.Contains(t.GetScopes(), scope) {
			return insufficientScope(p.config.RequiredScopes, "scope "+strings.Join(t.GetScopes(), " "))
		}
	}
	if s.config.Grant == "client_credentials" && ofPerson(t) {
		return refuse(notClientToken, "issued to "+cmp.Or(t.GetUsername(), "a person"))
	}
	return answer{}
}

// ofPerson tells whether a token was issued to a person: introspection says so, one of an older version by the user name.
func ofPerson(t *identityv1.IntrospectReply) bool {
	if t.GetHolder() != identityv1.IntrospectReply_HOLDER_UNSPECIFIED {
		return t.GetHolder() == identityv1.IntrospectReply_HOLDER_PERSON
	}
	user, client := t.GetUsername(), t.GetClientId()
	return user != "" && !names.Same(user, client) && !names.Same(user, "service-account-"+client)
}

func insufficientScope(required []string, detail string) answer {
	a := refuse(scopeMissing, detail)
	a.fields = []field{{"scope", strings.Join(required, " ")}}
	return a
}

// whoAtTheProduct asks the product who a PAT or a password belongs to; nobody else can judge them.
func whoAtTheProduct(c *call) answer {
	what, shown := byte('p'), c.cred.token
	if c.cred.kind == kindBasic {
		what, shown = 'b', c.cred.user+"\x00"+c.cred.password
	}
	id, err := askProduct(c, what, shown)
	if err != nil {
		return unanswered(c, providerAway, err)
	}
	c.fingerprint, c.user = id.fingerprint, id.whoami.GetUser()
	switch id.whoami.GetVerdict() {
	case identityv1.WhoAmIReply_VERDICT_KNOWN:
		return answer{}
	case identityv1.WhoAmIReply_VERDICT_CAPTCHA:
		a := refuse(captcha, claimed(c, id))
		a.fields = []field{
			{"X-Seraph-Loginreason", id.whoami.GetLoginReason()},
			{"X-Authentication-Denied-Reason", id.whoami.GetDeniedReason()},
		}
		return a
	case identityv1.WhoAmIReply_VERDICT_REFUSED, identityv1.WhoAmIReply_VERDICT_UNSPECIFIED:
		return refuse(refused, claimed(c, id))
	default:
		return refuse(refused, "")
	}
}

// askProduct gives the product's word on a credential, remembered or asked for now.
func askProduct(c *call, what byte, shown string) (id *identity, err error) {
	ids := c.gw.identities
	c.key = ids.key(c.site.salt, what, shown)
	id = ids.cached(c.key, func(id *identity) bool {
		if id.good() {
			return c.at.Sub(id.answeredAt) < knownFor
		}
		return c.at.Sub(id.answeredAt) < refusedFor
	})
	if id != nil {
		return id, nil
	}
	c.fingerprint = ids.fingerprint(what, shown) // also of what gets no answer
	err = c.gw.span(c.ctx, "whoami", func(ctx context.Context) (err error) {
		id, err = ids.ask(ctx, question{
			key: c.key, fingerprint: c.fingerprint, from: c.guesser(), subject: topology.WhoAmI, request: whoAmI(c), reply: new(identityv1.WhoAmIReply),
		})
		return err
	})
	return id, err
}

// guesser is who is held responsible when a credential is nobody's. A browser's session that has ended is no guess.
func (c *call) guesser() *netip.Prefix {
	if c.cred.kind == kindNone || c.cred.kind == kindSession {
		return nil
	}
	from := network(c.caller.addr)
	return &from
}

// claimed is the detail of a refusal by the product: whose password it was said to be.
func claimed(c *call, id *identity) string {
	detail := id.whoami.GetDetail()
	if c.cred.user != "" {
		detail = strings.TrimSpace("user " + strconv.Quote(c.cred.user) + " " + detail)
	}
	return detail
}

func whoAmI(c *call) *identityv1.WhoAmIRequest {
	request := &identityv1.WhoAmIRequest{Site: c.site.config.ID, ConfigSequence: c.plan.state.Seq}
	switch c.cred.kind {
	case kindPAT:
		request.Credential = &identityv1.WhoAmIRequest_Pat{Pat: c.cred.token}
	case kindNone, kindSession:
		request.Credential = &identityv1.WhoAmIRequest_Session{
			Session: &identityv1.Session{Cookies: c.session.cookies, Node: c.session.node},
		}
	default:
		request.Credential = &identityv1.WhoAmIRequest_Password{
			Password: &identityv1.Password{Username: c.cred.user, Password: c.cred.password},
		}
	}
	return request
}

// unanswered is a question that got no answer: closed, and never "invalid token".
func unanswered(c *call, away reason, err error) answer {
	if context.Cause(c.ctx) != nil {
		c.answer, c.outcome, c.status = refuse(clientLeft, ""), "interrupted", clientGone
		panic(http.ErrAbortHandler) // nobody is there to be answered, and the provider is not to blame
	}
	var guessed *tooMany
	if errors.As(err, &guessed) {
		a := refuse(tooManyUnknown, "")
		a.fields = []field{{"Retry-After", strconv.Itoa(int(guessed.wait.Seconds()))}}
		return a
	}
	return refuse(away, fault.From(err).Message)
}
