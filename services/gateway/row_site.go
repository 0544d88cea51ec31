package gateway

import "github.com/gatehouse-suite/gatehouse/services/gateway/rules"

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
