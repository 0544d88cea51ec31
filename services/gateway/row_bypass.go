package gateway

// bypass is row 5: the gateway steps aside for these paths, and the product's own authentication applies. The list opens,
// so it matches the exact path only.
func bypass(c *call) answer {
	if c.site.bypass.Match(c.r.Method, c.path) {
		return answer{kind: pass, reason: bypassed}
	}
	return answer{}
}
