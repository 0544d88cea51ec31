package gateway

// whichCredential is row 8: what row 2 read is refused here when it was several, none that we know, or a signature that no
// product would verify.
func whichCredential(c *call) answer {
	if c.cred.bad != "" {
		return refuse(c.cred.bad, "")
	}
	if c.cred.kind == kindLink {
		if why := c.unsigned(); why != "" {
			return refuse(malformed, why)
		}
	}
	return answer{}
}
