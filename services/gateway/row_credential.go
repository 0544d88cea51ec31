package gateway

// whichCredential is row 8: what row 2 read is refused here when it was several or none that we know.
func whichCredential(c *call) answer {
	if c.cred.bad != "" {
		return refuse(c.cred.bad, "")
	}
	return answer{}
}
