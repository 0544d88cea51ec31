package gateway

// rule may have passed this gateway by.
func tooStale(c *call) answer {
	if c.gw.tooOld(c.site, c.at) {
		return refuse(staleConfiguration, "")
	}
	return answer{}
}
