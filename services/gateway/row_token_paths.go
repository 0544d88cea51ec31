package gateway

// tokenPaths is row 11b: a token acts with an account of ours, so it opens what is meant for scripts and nothing else of
// the product. PATs and passwords are the client's own; what they open is for the product to say.
func tokenPaths(c *call) answer {
	if c.account == nil || c.site.tokenPaths.Match(c.r.Method, c.path) {
		return answer{}
	}
	return refuse(pathNotForTokens, "")
}
