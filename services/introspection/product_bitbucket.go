package introspection

import "net/http"

// bitbucket has no who-am-I in REST; what it has is X-AUSERNAME on every reply to somebody it knows
// (community.developer.atlassian.com/t/24422). application-properties is small and open to everybody. A reply
// without the header is anonymous.
func bitbucket() product {
	return product{
		path: "/rest/api/latest/application-properties",
		user: func(h http.Header, _ []byte) (string, error) { return userHeader(h), nil },
	}
}
