package gateway

import (
	"net/http"

	"github.com/gatehouse-suite/gatehouse/services/gateway/rules"
)

// credential the node saw.
func plainMethod(c *call) answer {
	if c.r.Method == http.MethodConnect || c.r.Method == http.MethodTrace {
		a := refuse(methodNotAllowed, "")
		a.fields = []field{{"Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"}}
		return a
	}
	return answer{}
}

// canonicalPath is row 0: a path that a server behind us could read in another way is refused.
func canonicalPath(c *call) answer {
	target, ok := rules.ParseTarget(c.r.RequestURI)
	if !ok {
		return refuse(pathAmbiguous, "")
	}
	c.target = target
	return answer{}
}
