package gateway

import (
	"net/http"
	"strings"

	"github.com/gatehouse-suite/gatehouse/services/gateway/upstream"
)

// nodeCookie names the node that made a browser's session. The products keep a session on the node that made it, so the
// browser is sent there as long as it is fit.
const nodeCookie = "GATEHOUSE_NODE"

// near says which node a call should go to: a browser to the one that made its session, a credential to one of its own,
// where the product's caches know it, and everybody else to the next in turn.
func near(c *call) upstream.Near {
	switch c.answer.kind {
	case asAccount, asThemself:
		return upstream.Near{Key: c.fingerprint}
	case pass:
		return nearSession(c)
	default:
		return upstream.Near{}
	}
}

func nearSession(c *call) upstream.Near {
	switch {
	case c.session.node != "": // it was asked there
		return upstream.Near{ID: c.session.node}
	case len(c.site.pool.All()) < 2 || len(c.r.Header["Cookie"]) == 0:
		return upstream.Near{}
	}
	if id := cookie(c.r, nodeCookie); c.site.pool.Has(id) {
		return upstream.Near{ID: id}
	}
	return upstream.Near{Key: sessionCookies(c.r, c.site.product)}
}

// stay has a browser come back to the node that has just made a session for it.
func (c *call) stay(to http.Header) {
	if len(to["Set-Cookie"]) == 0 || len(c.site.pool.All()) < 2 || cookie(c.r, nodeCookie) == c.node {
		return
	}
	for _, line := range to["Set-Cookie"] {
		name, _, _ := strings.Cut(line, "=")
		if !c.site.product.isSession(strings.TrimSpace(name)) {
			continue
		}
		ours := http.Cookie{ //nolint:gosec // Secure wherever the client spoke TLS
			Name: nodeCookie, Value: c.node, Path: c.site.config.ContextPath + "/", HttpOnly: true, Secure: c.caller.tls, SameSite: http.SameSiteLaxMode,
		}
		to["Set-Cookie"] = append(to["Set-Cookie"], ours.String())
		return
	}
}
