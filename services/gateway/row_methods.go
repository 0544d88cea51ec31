package gateway

// methodSwitches is row 9.
func methodSwitches(c *call) answer {
	m := c.site.config.Methods
	switch {
	case c.cred.kind == kindBasic && !m.Basic:
		return refuse(basicDisabled, "")
	case c.cred.kind == kindOAuth && !m.OAuth:
		return refuse(oauthDisabled, "")
	case c.cred.kind == kindPAT && !m.PAT && !c.cred.foreign:
		return refuse(patDisabled, "")
	case c.cred.kind == kindToken && !m.APITokens:
		return refuse(tokensDisabled, "")
	case c.cred.kind == kindLink && !m.Links:
		return refuse(linksDisabled, "")
	default:
		return answer{}
	}
}
