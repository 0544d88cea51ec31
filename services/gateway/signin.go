package gateway

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	identityv1 "github.com/gatehouse-suite/gatehouse/proto/identity/v1"
	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"github.com/gatehouse-suite/gatehouse/shared/topology"

	"github.com/gatehouse-suite/gatehouse/services/gateway/pages"
)

// tokenPage is where people get tokens, and where providers send them back to: the redirect URI.
const tokenPage = "/plugins/servlet/restauth/token" //nolint:gosec // a path

// flowCookie begins the name of what keeps a sign-in while its person is at the provider; the rest is its state, so that two
// tabs have two. Only introspection can read the value.
const flowCookie = "GATEHOUSE_SIGN_IN_"

// maxFlows is how many sign-ins a browser keeps: together they must fit into the header of a request, here and at proxies.
const maxFlows = 5

// getToken answers on the page: what is offered, where to go, or the token, this once. Whoever comes back must be the browser
// that went, and the code is good for nothing without what the cookie keeps (RFC 6749 §10.12, RFC 7636).
func (c *call) getToken() answer {
	if c.r.Method != http.MethodGet && c.r.Method != http.MethodHead {
		a := refuse(methodNotAllowed, "")
		a.fields = []field{{"Allow", "GET, HEAD"}}
		return a
	}
	for _, row := range [...]func(*call) answer{tooStale, restrictIP} { // tokens are for who may call
		if a := row(c); a.kind == deny {
			return a
		}
	}
	query, err := url.ParseQuery(c.target.Query)
	switch {
	case err != nil:
		return c.show(http.StatusBadRequest, pages.Token{Problem: "The address cannot be read."}, "")
	case c.r.Method == http.MethodHead:
		return c.show(http.StatusOK, pages.Token{}, "")
	case query.Has("code"), query.Has("error"), query.Has("state"):
		return c.signedIn(query)
	case query.Has("provider"):
		return c.signIn(query.Get("provider"))
	default:
		return c.show(http.StatusOK, pages.Token{}, "")
	}
}

// show answers with the page. detail is for the audit trail.
func (c *call) show(status int, t pages.Token, detail string) answer {
	s := c.site.config
	t.Site, t.Here = c.site.realm, s.ContextPath+tokenPage
	if c.site.signsIn() {
		for i := range s.Providers {
			if p := &s.Providers[i]; p.ClientID != "" {
				// At the site's own address: the browser comes back there, and must know what it has begun.
				t.Providers = append(t.Providers, pages.Provider{Name: nameOf(p.Name, p.ID), URL: cmp.Or(s.BaseURL, s.ContextPath) + tokenPage + "?provider=" + url.QueryEscape(p.ID)})
			}
		}
	}
	switch {
	case len(t.Providers) > 0:
	case !s.Enabled, !s.Methods.OAuth:
		t.Instead = "This site takes no tokens of identity providers at the moment."
	case s.Grant == "client_credentials":
		t.Instead = "This site takes tokens that clients get for themselves (client credentials), from the identity provider and not here."
	default:
		t.Instead = "There is no identity provider here at which people sign in. Their tokens come from the provider itself."
	}
	body, err := c.gw.pages.Token(t)
	if err != nil {
		c.gw.log.LogAttrs(c.ctx, slog.LevelError, "page not rendered", slog.Any("error", err))
		status, body = http.StatusInternalServerError, []byte("This page is broken.\n")
	}
	c.page = &page{status: status, body: body}
	return answer{kind: own, reason: ownPath, detail: detail}
}

// signsIn tells whether people get tokens here.
func (s *site) signsIn() bool {
	return s.config.Grant == "authorization_code" && s.config.Enabled && s.config.Methods.OAuth
}

func nameOf(name, id string) string {
	if name != "" {
		return name
	}
	return id
}

// failed answers with the page and why a sign-in did not work.
func (c *call) signInFailed(err error) answer {
	status := http.StatusServiceUnavailable
	if f := fault.From(err); f.Code == fault.Invalid || f.Code == fault.NotFound {
		status = http.StatusBadRequest
	}
	text := fault.From(err).Message
	return c.show(status, pages.Token{Problem: strings.ToUpper(text[:1]) + text[1:] + "."}, text)
}

// signIn sends the browser to a provider.
func (c *call) signIn(providerID string) answer {
	p := c.site.providers[providerID]
	if p == nil || !c.site.signsIn() {
		return c.show(http.StatusBadRequest, pages.Token{Problem: "There is no such provider to sign in at."}, "")
	}
	if a := c.tooOften(c.gw.signIns); a.kind == deny {
		return a
	}
	c.gw.signIns.missed(network(c.caller.addr), c.at)
	reply := new(identityv1.AuthorizeReply)
	err := c.askSignIn(topology.Authorize, func(ctx context.Context) error {
		return c.gw.identities.asks(ctx, topology.Authorize, &identityv1.AuthorizeRequest{
			Site: c.site.config.ID, Provider: providerID, RedirectUri: c.address() + tokenPage, ConfigSequence: c.plan.state.Seq,
		}, reply)
	})
	if err != nil {
		return c.signInFailed(err)
	}
	c.keepFlow(c.flowNamed(reply.GetState()), reply.GetFlow(), reply.GetGoodFor().AsDuration())
	c.provider = providerID
	c.page = &page{status: http.StatusSeeOther, location: reply.GetUrl()}
	return answer{kind: own, reason: ownPath, detail: "sent to sign in"}
}

// address is where the site is called, as browsers know it.
func (c *call) address() string {
	if c.site.config.BaseURL != "" {
		return c.site.config.BaseURL
	}
	scheme := "http://"
	if c.caller.tls {
		scheme = "https://"
	}
	return scheme + c.r.Host + c.site.config.ContextPath
}

// flowNamed gives the name of the cookie that keeps the sign-in of a state. Over TLS nobody else can set one of that name (draft-
// ietf-httpbis-rfc6265bis §4.1.3).
func (c *call) flowNamed(state string) string {
	if c.overTLS() {
		return "__Secure-" + flowCookie + state
	}
	return flowCookie + state
}

func (c *call) overTLS() bool { return strings.HasPrefix(c.address(), "https://") }

// keepFlow has the browser keep a sign-in, and forget the oldest of those it has begun before.
func (c *call) keepFlow(name, flow string, long time.Duration) {
	var begun []string // oldest first (RFC 6265 §5.4)
	eachCookie(c.r, func(n, _ string) bool {
		if strings.HasPrefix(n, c.flowNamed("")) && !slices.Contains(begun, n) {
			begun = append(begun, n)
		}
		return true
	})
	for _, old := range begun[:max(0, len(begun)-maxFlows+1)] {
		c.setFlow(old, "", -1)
	}
	c.setFlow(name, flow, int(long.Seconds()))
}

func (c *call) setFlow(name, flow string, maxAge int) {
	kept := http.Cookie{ //nolint:gosec // Secure wherever the client spoke TLS
		Name: name, Value: flow, Path: c.site.config.ContextPath + tokenPage, MaxAge: maxAge, HttpOnly: true,
		Secure: c.overTLS(), SameSite: http.SameSiteLaxMode, // it comes back from another site
	}
	c.w.Header().Add("Set-Cookie", kept.String())
}

// signedIn takes what the provider has sent the browser back with.
func (c *call) signedIn(query url.Values) answer {
	name := c.flowNamed(query.Get("state"))
	flow := cookie(c.r, name)
	if flow == "" {
		return c.signInFailed(fault.New(fault.Invalid, "this sign-in was not begun in this browser, or too long ago"))
	}
	if query.Has("error") {
		c.setFlow(name, "", -1)
		text := "the provider did not sign you in"
		if code := query.Get("error"); regexp.MustCompile(`^[a-z_]{1,40}$`).MatchString(code) { // RFC 6749 §4.1.2.1
			text += ": " + code
		}
		return c.signInFailed(fault.New(fault.Invalid, text))
	}
	if a := c.tooOften(c.gw.identities.guesses); a.kind == deny {
		return a
	}
	reply := new(identityv1.ExchangeReply)
	err := c.askSignIn(topology.Exchange, func(ctx context.Context) error {
		return c.gw.identities.asks(ctx, topology.Exchange, &identityv1.ExchangeRequest{
			Site: c.site.config.ID, Flow: flow, State: query.Get("state"), Code: query.Get("code"), Issuer: query.Get("iss"), ConfigSequence: c.plan.state.Seq,
		}, reply)
	})
	if err != nil {
		if fault.CodeOf(err) == fault.Invalid { // not when somebody is away: then the code may be good still
			c.gw.identities.guesses.missed(network(c.caller.addr), c.at)
			c.setFlow(name, "", -1)
		}
		return c.signInFailed(err)
	}
	c.setFlow(name, "", -1)
	return c.issued(reply)
}

// tooOften refuses who has done something too often from one address.
func (c *call) tooOften(bound *guesses) answer {
	wait := bound.wait(network(c.caller.addr), c.at)
	if wait == 0 {
		return answer{}
	}
	a := refuse(tooManyUnknown, "")
	a.fields = []field{{"Retry-After", strconv.Itoa(int(wait.Seconds()))}}
	return a
}

// askSignIn asks introspection, and no longer than a question may take.
func (c *call) askSignIn(name string, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(c.ctx, c.gw.identities.timeout)
	defer cancel()
	return c.gw.span(ctx, name, ask)
}

// issued shows a token, as whom it acts, and why if calls with it are refused.
func (c *call) issued(reply *identityv1.ExchangeReply) answer {
	token := reply.GetToken()
	c.provider = reply.GetProvider()
	shown := &pages.Issued{
		Token: token.GetAccessToken(), Provider: c.provider, Scope: token.GetScope(), Example: c.address() + c.site.product.selfPath,
	}
	if p := c.site.providers[c.provider]; p != nil {
		shown.Provider = nameOf(p.config.Name, p.config.ID)
	}
	if token.GetExpiresAt() != nil {
		shown.Until = token.GetExpiresAt().AsTime()
	}
	used := c.used(token.GetAccessToken())
	detail := "token issued"
	c.fingerprint, c.clientID, c.user = c.gw.identities.fingerprint('t', token.GetAccessToken()), used.clientID, used.owner
	if used.answer.kind == asAccount {
		shown.User = used.user
	} else { // refused, or passed on as nobody's where the site only observes
		why := cmp.Or(used.observed, used.answer.reason)
		_, message := why.text()
		shown.Refused = message + " (" + string(why) + ")"
		detail += ", refused as it is: " + string(why)
	}
	return c.show(http.StatusOK, pages.Token{Issued: shown}, detail)
}

// used gives the call that is the first with a token, judged and not made. It is judged though the client has left: that a
// token was issued is recorded in any case.
func (c *call) used(token string) *call {
	ctx := context.WithoutCancel(c.ctx)
	target := c.site.config.ContextPath + c.site.product.selfPath
	r := c.r.Clone(ctx)
	r.Method, r.RequestURI, r.URL = http.MethodGet, target, &url.URL{Path: target}
	r.Header = http.Header{"Authorization": {"Bearer " + token}}
	for _, name := range []string{c.site.proxyHeader, "X-Forwarded-Proto"} {
		if values := c.r.Header[name]; len(values) > 0 {
			r.Header[name] = values
		}
	}
	first := &call{gw: c.gw, w: &sink{header: http.Header{}}, r: r, ctx: ctx, plan: c.plan, at: time.Now(), id: c.id, outcome: completed}
	first.answer = decide(first)
	return first
}
