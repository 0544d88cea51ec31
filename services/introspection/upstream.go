package introspection

import (
	"context"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"

	"github.com/gatehouse-suite/gatehouse/services/introspection/remote"
	"github.com/gatehouse-suite/gatehouse/services/introspection/witness"
)

// upstream is the nodes of one site, and how asking them goes. It lives as long as its revision does.
type upstream struct {
	site     string
	revision string
	product  product
	nodes    []*node
	gate     *remote.Gate
	rest     time.Duration
	turn     atomic.Uint32
}

// node is one JVM of the site.
type node struct {
	id       string
	base     string // its URL with the context path
	failedAt atomic.Pointer[time.Time]
}

func newUpstream(c *configlog.Site, p product, revision string, s Settings) *upstream {
	u := &upstream{site: c.ID, revision: revision, product: p, gate: remote.NewGate(s.Concurrency), rest: s.NodeRest}
	for _, n := range c.Nodes {
		u.nodes = append(u.nodes, &node{id: n.ID, base: strings.TrimSuffix(n.URL, "/") + c.ContextPath})
	}
	return u
}

// order gives the nodes in turn, the one that is wanted first and those that failed lately last.
func (u *upstream) order(now time.Time, wanted string) []*node {
	var fit, resting []*node
	first := int(u.turn.Add(1))
	for i := range u.nodes {
		n := u.nodes[(first+i)%len(u.nodes)]
		if at := n.failedAt.Load(); at != nil && now.Sub(*at) < u.rest {
			resting = append(resting, n)
		} else {
			fit = append(fit, n)
		}
	}
	if i := slices.IndexFunc(fit, func(n *node) bool { return n.id == wanted }); i > 0 {
		fit[0], fit[i] = fit[i], fit[0]
	}
	return append(fit, resting...)
}

// each asks one node after the other, the wanted one first, until one has an answer, says that there is none, or do says
// that no other may be asked.
func (u *upstream) each(ctx context.Context, wanted string, do func(*node) (last bool, p *remote.Problem)) *remote.Problem {
	failed := &remote.Problem{Result: remote.Unreachable, Text: "the site has no node"}
	for _, n := range u.order(time.Now(), wanted) {
		last, p := do(n)
		if p == nil {
			n.failedAt.Store(nil)
			return nil
		}
		failed = p
		if p.Result.Reach() != remote.NotReached {
			break
		}
		now := time.Now()
		n.failedAt.Store(&now)
		if last || ctx.Err() != nil {
			break
		}
	}
	return failed
}

// productClient asks nodes. Two clients: a password goes over a connection of its own, so that net/http never
// repeats it by itself.
type productClient struct {
	clients
	timeout time.Duration
}

// ask asks one node after the other until one has an answer. A PAT may be shown to the next node whatever the
// last one did; a password only when it never left this process, because each node that sees a wrong one
// counts it towards the user's CAPTCHA.
func (p *productClient) ask(ctx context.Context, u *upstream, c credential) (*verdict, *remote.Problem) {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	limit := p.timeout
	if c.kind != kindPassword && len(u.nodes) > 1 {
		limit /= 2 // leave time for another
	}
	var v *verdict
	problem := u.each(ctx, c.node, func(n *node) (last bool, problem *remote.Problem) {
		var sent bool
		v, sent, problem = p.askNode(ctx, u.product, n, c, limit)
		return sent && c.kind == kindPassword, problem
	})
	return v, problem
}

// askNode asks one node. sent tells whether the credential may have reached it.
func (p *productClient) askNode(ctx context.Context, product product, n *node, c credential, limit time.Duration) (v *verdict, sent bool, _ *remote.Problem) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var connected atomic.Bool
	traced := httptrace.WithClientTrace(witness.To(ctx, "node "+n.id), &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }})
	r, err := http.NewRequestWithContext(traced, http.MethodGet, n.base+product.path, http.NoBody)
	if err != nil {
		return nil, false, &remote.Problem{Result: remote.Unreachable, Text: "the node's address is no URL"}
	}
	remote.SetCommon(r.Header)
	client := p.kept
	if c.kind == kindPassword {
		client = p.once
	}
	c.show(r)
	reply, err := client.Do(r) //nolint:bodyclose // remote.Finish closes it
	if err != nil {
		return nil, connected.Load(), remote.NotAnswered(ctx, err)
	}
	defer remote.Finish(reply)
	v, problem := judge(ctx, product, reply)
	return v, true, problem
}
