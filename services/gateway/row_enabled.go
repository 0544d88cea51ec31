package gateway

// notEnforced is row 3: "Enable REST API Authentication" is off.
func notEnforced(c *call) answer {
	if !c.site.config.Enabled {
		return answer{kind: pass, reason: disabled}
	}
	return answer{}
}
