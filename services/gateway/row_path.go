package gateway

import (
	"net/http"

	"golang.org/x/net/http/httpguts"

	"github.com/gatehouse-suite/gatehouse/services/gateway/rules"
)

// plainMethod is row 0: CONNECT would be a tunnel, TRACE would show the caller the credential the node saw, and what is no
// token (RFC 9110 §9.1) would end the method early on the node's request line: HTTP/2 carries it all the same.
func plainMethod(c *call) answer {
	if c.r.Method == http.MethodConnect || c.r.Method == http.MethodTrace || !httpguts.ValidHeaderFieldName(c.r.Method) {
		a := refuse(methodNotAllowed, "")
		a.fields = []field{{"Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"}}
		return a
	}
	return answer{}
}

// canonicalPath is row 0: a path or a host that a server behind us could read in another way is refused.
func canonicalPath(c *call) answer {
	if !httpguts.ValidHostHeader(c.r.Host) { // what HTTP/1.1 would not take and HTTP/2 does
		return refuse(pathAmbiguous, "the host is none")
	}
	target, ok := rules.ParseTarget(c.r.RequestURI)
	if !ok {
		return refuse(pathAmbiguous, "")
	}
	c.target = target
	return answer{}
}
