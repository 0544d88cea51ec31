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
)

// upstream is the nodes of one site, and how asking them goes. It lives as long as its revision does.
type upstream struct {
	site     string
	revision string
	product  product
	nodes    []*node
	gate     *gate
	rest     time.Duration
	turn     atomic.Uint32
}

// node is one JVM of the site.
type node struct {
	id       string
	url      string // of the product's who-am-I
	failedAt atomic.Pointer[time.Time]
}

func newUpstream(c *configlog.Site, p product, revision string, s Settings) *upstream {
	u := &upstream{site: c.ID, revision: revision, product: p, gate: newGate(s.Concurrency), rest: s.NodeRest}
	for _, n := range c.Nodes {
		u.nodes = append(u.nodes, &node{id: n.ID, url: strings.TrimSuffix(n.URL, "/") + c.ContextPath + p.path})
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

// productClient asks nodes. Two clients: a password goes over a connection of its own, so that net/http never
// repeats it by itself.
type productClient struct {
	kept, once *http.Client
	timeout    time.Duration
}

// ask asks one node after the other until one has an answer. A PAT may be shown to the next node whatever the
// last one did; a password only when it never left this process, because each node that sees a wrong one
// counts it towards the user's CAPTCHA.
func (p *productClient) ask(ctx context.Context, u *upstream, c credential) (*verdict, *problem) {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	last := &problem{result: resultUnreachable, text: "the site has no node"}
	order := u.order(time.Now(), c.node)
	for i, n := range order {
		limit := p.timeout
		if c.kind != kindPassword && i < len(order)-1 {
			limit /= 2 // leave time for another
		}
		v, sent, problem := p.askNode(ctx, u.product, n, c, limit)
		if problem == nil {
			n.failedAt.Store(nil)
			return v, nil
		}
		last = problem
		if problem.result.reach() != notReached {
			break
		}
		now := time.Now()
		n.failedAt.Store(&now)
		if ctx.Err() != nil || sent && c.kind == kindPassword {
			break
		}
	}
	return nil, last
}

// askNode asks one node. sent tells whether the credential may have reached it.
func (p *productClient) askNode(ctx context.Context, product product, n *node, c credential, limit time.Duration) (v *verdict, sent bool, _ *problem) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var connected atomic.Bool
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }})
	r, err := http.NewRequestWithContext(traced, http.MethodGet, n.url, http.NoBody)
	if err != nil {
		return nil, false, &problem{result: resultUnreachable, text: "the node's address is no URL"}
	}
	setCommon(r.Header)
	client := p.kept
	if c.kind == kindPassword {
		client = p.once
	}
	c.show(r)
	reply, err := client.Do(r)
	if err != nil {
		return nil, connected.Load(), notAnswered(ctx, err)
	}
	defer finish(reply)
	v, problem := judge(ctx, product, reply)
	return v, true, problem
}
