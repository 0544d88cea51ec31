package gateway

// answers itself is recorded with its answer.
func recordable(c *call, a answer) answer {
	c.answer = a
	if a.forwarded() && !c.begin() {
		return refuse(auditAway, "")
	}
	return a
}
