package gateway

// noCredential is row 7: whoever shows nothing goes on as nobody.
func noCredential(c *call) answer {
	if c.cred.kind == kindNone && c.cred.bad == "" {
		if c.site.restricted.Match(c.r.Method, c.path) {
			return refuse(authRequired, "")
		}
		return answer{kind: asNobody, reason: anonymous}
	}
	return answer{}
}
