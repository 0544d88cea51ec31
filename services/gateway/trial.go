package gateway

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	gatewayv1 "github.com/gatehouse-suite/gatehouse/proto/gateway/v1"
	identityv1 "github.com/gatehouse-suite/gatehouse/proto/identity/v1"
	"github.com/gatehouse-suite/gatehouse/shared/ask"
	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gatehouse-suite/gatehouse/shared/fault"
	"github.com/gatehouse-suite/gatehouse/shared/secret"
	"github.com/gatehouse-suite/gatehouse/shared/service"
	"github.com/gatehouse-suite/gatehouse/shared/topology"
	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/gatehouse-suite/gatehouse/services/gateway/rules"
	"github.com/gatehouse-suite/gatehouse/services/gateway/upstream"
)

// trials answers gateway.v1.trial: what would become of a call, at a site as it is given. The call walks the rows that every
// call walks, with nothing remembered; then a node is asked whom it takes the caller for, and nothing else. What was tried is
// in no audit record of this gateway: config records who tried it.
type trials struct {
	gw       *gateway
	id       string
	nc       *nats.Conn
	opener   *secret.Opener
	settings Settings
}

// trialWorkers is how many trials may be under way at once.
const trialWorkers = 8

// trialTime is how long a trial may take; who asked waits a little longer, and is told how far it came.
const trialTime = 15 * time.Second

// during answers as long as calls are served.
func (t *trials) during(ctx context.Context, serve func() error) error {
	server, err := ask.NewServer(ctx, t.nc, t.gw.log, t.gw.tracer, ask.Settings{
		Name: "gateway", Version: service.Version, Queue: topology.QueueGateway, Workers: trialWorkers,
	})
	if err != nil {
		return err
	}
	if err := ask.Handle(server, "trial", topology.CallTrial, t.trial); err != nil {
		return errors.Join(err, server.Stop())
	}
	err = serve()
	if stopped := server.Stop(); stopped != nil { // NATS is away: there is nobody to tell
		t.gw.log.LogAttrs(ctx, slog.LevelDebug, "trials not drained", slog.Any("error", stopped))
	}
	return err
}

func (t *trials) trial(ctx context.Context, r *gatewayv1.TrialRequest) (proto.Message, error) {
	live := t.gw.plan.Load()
	if live == nil {
		return nil, fault.New(fault.Unavailable, "gateway "+t.id+" was never told a configuration")
	}
	ctx, end := context.WithTimeout(ctx, trialTime)
	fleet := upstream.NewBlindFleet(ctx, t.settings.Upstream)
	defer fleet.Wait()
	defer end()
	p, err := t.plan(ctx, live, fleet, r.GetDraft())
	if err != nil {
		return nil, err
	}
	one := &trial{ctx: ctx, nc: t.nc, ticket: r.GetTicket(), reply: &gatewayv1.TrialReply{Gateway: t.id}}
	defer one.end()
	gw, err := t.apart(one)
	if err != nil {
		return nil, err
	}
	if r.GetSaved() != "" {
		if r, err = t.saved(ctx, p.sites[0].config.Test(r.GetSaved()), t.opener.With(r.GetDraft().GetSealed())); err != nil {
			return nil, err
		}
	}
	authorization := r.GetAuthorization()
	if r.GetFetch() != nil {
		r.GetFetch().Site = p.sites[0].config.ID
		if authorization, err = one.fetch(r.GetFetch()); err != nil {
			return one.reply, nil //nolint:nilerr // it is in the step: that no token was issued is what the trial has shown
		}
	}
	c, err := one.call(gw, p, r, authorization)
	if err != nil {
		return nil, err
	}
	one.run(c)
	return one.reply, nil
}

// plan makes a plan of one site as it is given. A password that rests rests here too,
// and what a node says of one in a trial counts for nobody else: it may be another node.
func (t *trials) plan(ctx context.Context, live *plan, fleet *upstream.Fleet, draft *identityv1.Draft) (*plan, error) {
	var site configlog.Site
	if err := json.Unmarshal(draft.GetSite(), &site); err != nil {
		return nil, fault.New(fault.Invalid, "the draft is no site in JSON")
	}
	planner := &planner{
		fleet: fleet, opener: t.opener.With(draft.GetSealed()), counts: t.gw.counts, opened: map[string]string{}, acting: map[actingKey]*account{},
	}
	for _, s := range live.sites {
		for name, a := range s.accounts {
			planner.acting[actingKey{s.config.ID, name, a.authorization}] = a.apart()
		}
	}
	p, err := planner.build(ctx, &configlog.Snapshot{State: live.state, Folded: configlog.Folded{Config: configlog.Config{Sites: []configlog.Site{site}}}})
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, "the site cannot be made ready: a sealed secret cannot be read", err)
	}
	return p, nil
}

// saved gives what a test of the site has tried.
func (t *trials) saved(ctx context.Context, test *configlog.Test, opener *secret.Opener) (*gatewayv1.TrialRequest, error) {
	if test == nil {
		return nil, fault.New(fault.NotFound, "the site has no such test")
	}
	r := &gatewayv1.TrialRequest{Method: test.Method, Path: test.Path, ClientIp: test.ClientIP}
	value := ""
	if !test.Credential.IsZero() {
		var err error
		if value, err = opener.Open(ctx, test.Credential); err != nil {
			return nil, fault.Wrap(fault.Unavailable, "the credential of test "+strconv.Quote(test.Name)+" cannot be opened", err)
		}
	}
	switch {
	case test.Fetch:
		r.Credential = &gatewayv1.TrialRequest_Fetch{Fetch: &identityv1.FetchRequest{Provider: test.Provider, ClientId: test.ClientID, ClientSecret: value}}
	case test.Type == "basic":
		r.Credential = &gatewayv1.TrialRequest_Authorization{
			Authorization: "Basic " + base64.StdEncoding.EncodeToString([]byte(test.Username+":"+value)),
		}
	case value != "":
		r.Credential = &gatewayv1.TrialRequest_Authorization{Authorization: "Bearer " + value}
	}
	return r, nil
}

// apart gives a gateway that remembers nothing and asks what the trial has it ask.
func (t *trials) apart(one *trial) (*gateway, error) {
	g := &gateway{
		ctx: t.gw.ctx, tokens: t.gw.tokens, log: t.gw.log, tracer: t.gw.tracer, tracing: t.gw.tracing,
		counts: t.gw.counts, buffers: t.gw.buffers, pages: t.gw.pages, bodyTimeout: t.gw.bodyTimeout,
	}
	g.heardAt.Store(t.gw.heardAt.Load())
	g.tokensHeardAt.Store(t.gw.tokensHeardAt.Load())
	small := t.settings
	small.IdentityCache, small.UnknownBurst = 100, 0
	uncounted := func(string) {}
	var err error
	if g.identities, err = newIdentities(one.ask, small, "", uncounted); err != nil {
		return nil, err
	}
	g.identities.trail = t.gw.identities.trail
	g.members, err = newMembers(one.ask, small, uncounted)
	return g, err
}

// trial is one of them, while it goes on.
type trial struct {
	ctx    context.Context //nolint:containedctx // a trial lives exactly as long as its request
	nc     *nats.Conn
	ticket []byte
	reply  *gatewayv1.TrialReply

	mu sync.Mutex // what was asked behind a row's back goes on when the trial has ended
	// exchanges are those of the step under way.
	exchanges []*identityv1.Exchange
	token     *identityv1.IntrospectReply
	ended     bool
}

// end has nothing be noted any more.
func (t *trial) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended, t.reply.Token = true, t.token
}

// note notes exchanges, and what was said of a token, unless the trial has ended.
func (t *trial) note(said *identityv1.IntrospectReply, exchanges ...*identityv1.Exchange) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		return
	}
	if said != nil {
		t.token = said
	}
	t.exchanges = append(t.exchanges, exchanges...)
}

// ask asks introspection as a trial.
func (t *trial) ask(ctx context.Context, _ string, request, reply proto.Message) error {
	q, out := &identityv1.TrialRequest{Ticket: t.ticket}, new(identityv1.TrialReply)
	switch r := request.(type) {
	case *identityv1.IntrospectRequest:
		q.Question = &identityv1.TrialRequest_Introspect{Introspect: r}
	case *identityv1.WhoAmIRequest:
		q.Question = &identityv1.TrialRequest_Whoami{Whoami: r}
	case *identityv1.GroupsRequest:
		q.Question = &identityv1.TrialRequest_Groups{Groups: r}
	case *identityv1.FetchRequest:
		q.Question = &identityv1.TrialRequest_Fetch{Fetch: r}
	}
	if err := ask.Do(ctx, t.nc, topology.Trial, q, out); err != nil {
		return err
	}
	t.note(out.GetIntrospect(), out.GetExchanges()...)
	if code := fault.Code(out.GetFaultCode()); code != "" {
		return fault.New(code, out.GetFault())
	}
	switch a := out.GetAnswer().(type) {
	case *identityv1.TrialReply_Introspect:
		proto.Merge(reply, a.Introspect)
	case *identityv1.TrialReply_Whoami:
		proto.Merge(reply, a.Whoami)
	case *identityv1.TrialReply_Groups:
		proto.Merge(reply, a.Groups)
	case *identityv1.TrialReply_Fetch:
		proto.Merge(reply, a.Fetch)
	}
	return nil
}

// fetch gets the token that is tried.
func (t *trial) fetch(r *identityv1.FetchRequest) (authorization string, _ error) {
	began, token := time.Now(), new(identityv1.Token)
	err := t.ask(t.ctx, topology.Trial, r, token)
	step := t.step("fetch", began)
	if err != nil {
		step.Result, step.Detail = "deny", fault.From(err).Message
		t.reply.Decision, t.reply.Row, t.reply.Reason, t.reply.Detail = "deny", step.GetName(), notIssued, step.GetDetail()
		return "", err
	}
	step.Result = goesOnResult
	if token.GetScope() != "" {
		step.Detail = "scope " + token.GetScope()
	}
	return "Bearer " + token.GetAccessToken(), nil
}

const (
	goesOnResult = "goes on"
	// notIssued is the reason of a trial that got no token: no call has it.
	notIssued = "token_not_issued"
)

// step notes that a step has ended.
func (t *trial) step(name string, began time.Time) *gatewayv1.Step {
	t.mu.Lock()
	s := &gatewayv1.Step{Name: name, Took: durationpb.New(time.Since(began)), Exchanges: t.exchanges}
	t.exchanges = nil
	t.mu.Unlock()
	t.reply.Steps = append(t.reply.Steps, s)
	return s
}

// call makes the call that is tried.
func (t *trial) call(gw *gateway, p *plan, r *gatewayv1.TrialRequest, authorization string) (*call, error) {
	s := p.sites[0]
	host, base := "localhost", new(url.URL)
	if u, err := url.Parse(s.config.BaseURL); err == nil && u.Host != "" {
		host, base = u.Host, u
	}
	if len(s.config.Hosts) > 0 && !slices.Contains(s.config.Hosts, base.Hostname()) {
		host = s.config.Hosts[0]
	}
	target := s.config.ContextPath + cmp.Or(r.GetPath(), s.product.selfPath)
	u, err := url.ParseRequestURI(target)
	if err != nil {
		return nil, fault.New(fault.Invalid, "path is none")
	}
	request := &http.Request{
		Method: cmp.Or(r.GetMethod(), http.MethodGet), URL: u, RequestURI: target, Host: host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"User-Agent": {"gatehouse-trial/" + service.Version}}, Body: http.NoBody, RemoteAddr: net.JoinHostPort(cmp.Or(r.GetClientIp(), "127.0.0.1"), "0"),
	}
	if base.Scheme == "https" {
		request.TLS = new(tls.ConnectionState) // as its callers come
	}
	if authorization != "" {
		request.Header["Authorization"] = []string{authorization}
	}
	return &call{gw: gw, w: &sink{header: http.Header{}}, r: request.WithContext(t.ctx), ctx: t.ctx, plan: p, at: time.Now(), id: newRequestID(), outcome: completed, trial: t}, nil
}

// run walks a call through the policy, has a node say who it would be from, and says what became of it.
func (t *trial) run(c *call) {
	if cut := whole(func() { c.answer = decide(c) }); cut {
		c.answer = refuse(providerAway, "no answer in the time of a trial")
	}
	if c.answer.forwarded() {
		t.atNode(c)
	}
	if !c.answer.forwarded() && c.answer.kind != own {
		c.status, _ = c.answer.reason.text()
	}
	out := t.reply
	out.Decision, out.Reason, out.Detail, out.Observed = c.decision(), string(c.answer.reason), c.answer.detail, string(c.observed)
	out.Status = uint32(c.status) //nolint:gosec // three digits
	out.Credential, out.Fingerprint, out.Provider, out.ClientId = string(c.cred.kind), c.fingerprint, c.provider, c.clientID
	out.User, out.Groups = c.user, slices.Clone(c.groups)
	if len(out.GetSteps()) > 0 {
		out.Row = out.GetSteps()[len(out.GetSteps())-1].GetName()
	}
}

// whole runs a part of a call, and tells whether it was cut short, as a call is whose client has left.
func whole(part func()) (cut bool) {
	defer func() {
		if p := recover(); p == http.ErrAbortHandler { //nolint:errorlint // net/http compares it so
			cut = true
		} else if p != nil {
			panic(p)
		}
	}()
	part()
	return false
}

// row judges a call by one row, and notes it.
func (t *trial) row(c *call, r row) answer {
	began := time.Now()
	a := r.judge(c)
	s := t.step(r.name, began)
	s.Result, s.Reason, s.Detail = goesOnResult, string(a.reason), a.detail
	if a.kind != goOn {
		s.Result = a.decision()
	}
	return a
}

// atNode asks a node whom it takes the caller for, where the product says who somebody is: whatever call was tried, this one
// changes nothing.
func (t *trial) atNode(c *call) {
	began, who := time.Now(), *c
	target := c.site.config.ContextPath + c.site.product.selfPath
	r := c.r.Clone(c.ctx)
	r.Method, r.RequestURI, r.URL = http.MethodGet, target, &url.URL{Path: target}
	who.r, who.path, who.form, who.sorted = r, c.site.product.selfPath, false, false
	who.target, _ = rules.ParseTarget(target)
	reply := &sink{header: http.Header{}}
	who.w = reply
	a := refuse(timedOut, "the node gave no reply in the time of a trial")
	if cut := whole(func() { a = forward(&who) }); cut && who.status != 0 && who.status != clientGone {
		a = c.answer // its head has come, which is all that is wanted
	}
	asked := &identityv1.Exchange{To: "node " + who.node, Method: r.Method, Url: target, Status: uint32(who.status), Took: durationpb.New(time.Since(began))} //nolint:gosec // three digits
	if names := reply.header["X-Ausername"]; len(names) > 0 {
		asked.Received, t.reply.SeenAs = "X-AUSERNAME: "+names[0], names[0]
	}
	t.note(nil, asked)
	s := t.step("node", began)
	s.Result = a.decision()
	if a.kind == deny {
		c.answer = a
		s.Reason, s.Detail, asked.Problem = string(a.reason), a.detail, a.detail
		return
	}
	c.status = who.status
}

// sink takes a reply that nobody reads.
type sink struct{ header http.Header }

// Header is that of the reply.
func (s *sink) Header() http.Header { return s.header }

// Write takes nothing: once the head is there, no more of a reply is wanted.
func (s *sink) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// WriteHeader is of http.ResponseWriter.
func (s *sink) WriteHeader(int) {}

// Flush is of http.Flusher.
func (s *sink) Flush() {}
