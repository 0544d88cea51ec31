package gateway

import "strings"

// ownPaths is row 1b: what is below these paths is Gatehouse's, whatever the product has there.
func ownPaths(c *call) answer {
	if c.path == tokenPage {
		return c.getToken()
	}
	if below(c.path, "/plugins/servlet/restauth") || below(c.path, "/rest/gatehouse/1.0") {
		return answer{kind: own, reason: ownPath}
	}
	return answer{}
}

func below(path, prefix string) bool {
	rest, ok := strings.CutPrefix(path, prefix)
	return ok && (rest == "" || rest[0] == '/')
}
