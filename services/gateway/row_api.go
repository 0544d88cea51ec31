package gateway

import "github.com/gatehouse-suite/gatehouse/services/gateway/rules"

// the API kind comes with them.
func notAPICall(c *call) answer {
	c.cred = readCredential(c.r, c.target.Query, c.site)
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
