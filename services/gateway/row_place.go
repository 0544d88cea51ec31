package gateway

import (
	"net/http"
	"strings"

	"github.com/gatehouse-suite/gatehouse/services/gateway/rules"
)

// canonicalPath is row 0: a path that a server behind us could read in another way is refused.
func canonicalPath(c *call) answer {
	target, ok := rules.ParseTarget(c.r.RequestURI)
	if !ok {
		return refuse(pathAmbiguous, "")
	}
	c.target = target
	return answer{}
}

// plainMethod refuses what is no call of a product: CONNECT asks for a tunnel, and TRACE for a reply that shows the
// credential the node saw.
func plainMethod(c *call) answer {
	if c.r.Method == http.MethodConnect || c.r.Method == http.MethodTrace {
		a := refuse(methodNotAllowed, "")
		a.fields = []field{{"Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"}}
		return a
	}
	return answer{}
}

// matchSite is row 1: by host, then by the longest context path.
func matchSite(c *call) answer {
	c.site, c.path = c.plan.match(c.r.Host, c.target.Path)
	c.path = rules.Rewritten(c.path)
	c.locate()
	if c.site == nil {
		return refuse(siteUnknown, "")
	}
	return answer{}
}

// ownPaths is row 1b: what is below these paths is Gatehouse's, whatever the product has there.
func ownPaths(c *call) answer {
	if below(c.path, "/plugins/servlet/restauth") || below(c.path, "/rest/gatehouse/1.0") {
		return answer{kind: own, reason: ownPath}
	}
	return answer{}
}

func below(path, prefix string) bool {
	rest, ok := strings.CutPrefix(path, prefix)
	return ok && (rest == "" || rest[0] == '/')
}

// notAPICall is row 2: pages, and the log-in itself, are not Gatehouse's business, as long as no credential of
// the API kind comes with them.
func notAPICall(c *call) answer {
	c.cred = readCredential(c.r, c.target.Query, c.site.product, c.site.config.Methods.ProductOAuth && len(c.site.config.Providers) == 0)
	if c.cred.ofAPI() {
		return answer{}
	}
	if c.site.login.Match(c.r.Method, c.path) {
		return answer{kind: pass, reason: notAPI}
	}
	if c.site.api.Match(c.r.Method, c.path) {
		return answer{}
	}
	if c.target.Further != "" {
		if path, ok := rules.CutContext(c.target.Further, c.site.config.ContextPath); ok && c.site.api.Match(c.r.Method, rules.Rewritten(path)) {
			return refuse(pathAmbiguous, "an escape of an escape hides an API path")
		}
	}
	return answer{kind: pass, reason: notAPI}
}

// notEnforced is row 3: "Enable REST API Authentication" is off.
func notEnforced(c *call) answer {
	if !c.site.config.Enabled {
		return answer{kind: pass, reason: disabled}
	}
	return answer{}
}

// tooStale closes a site whose configuration was not heard of for longer than it allows: a revocation or a
// rule may have passed this gateway by.
func tooStale(c *call) answer {
	if c.gw.tooOld(c.site, c.at) {
		return refuse(staleConfiguration, "")
	}
	return answer{}
}
