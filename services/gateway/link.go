package gateway

import (
	"net/url"
	"regexp"
	"strings"

	"github.com/gatehouse-suite/gatehouse/services/gateway/rules"
)

// linkPart is a parameter of an OAuth 1.0a header as the products' own parser wants it (RFC 5849 §3.5.1): name="value".
var linkPart = regexp.MustCompile(`^([!-~]+?)[ \t]*=[ \t]*"([^"]*)"$`)

// unsigned tells what keeps a call by an application link from being one that the product verifies; empty: nothing. Where a
// parameter is missing the product's OAuth filter steps aside and serves the call as nobody's, or as that of a session
// beside it, so half a signature would be a way around rows 7 and 12.
func (c *call) unsigned() string {
	has := map[string]bool{}
	if fields := c.r.Header["Authorization"]; len(fields) == 1 {
		_, list, _ := strings.Cut(fields[0], " ")
		for part := range strings.SplitSeq(list, ",") {
			m := linkPart.FindStringSubmatch(strings.Trim(part, " \t"))
			if m == nil {
				return "the signature's header cannot be read"
			}
			name, err := url.PathUnescape(m[1])
			if err != nil || has[name] {
				return "the signature has a parameter twice, or one that cannot be read"
			}
			has[name] = true
		}
	} else {
		for name, values := range rules.Parameters(c.target.Query) {
			if has[name] = true; strings.HasPrefix(name, "oauth_") && len(values) > 1 {
				return "the signature has a parameter twice"
			}
		}
	}
	for _, name := range [...]string{"oauth_consumer_key", "oauth_token", "oauth_signature_method", "oauth_signature", "oauth_timestamp", "oauth_nonce"} {
		if !has[name] && (name != "oauth_token" || !strings.HasPrefix(c.path, "/plugins/servlet/oauth/")) { // where tokens are fetched
			return "the signature lacks " + name
		}
	}
	if rules.HasSession(c.target.Raw) {
		return "a session in the path beside a signature"
	}
	return ""
}

// forgetsOAuth tells whether a User-Agent makes the products' OAuth filter step aside.
func forgetsOAuth(agent string) bool {
	return strings.Contains(agent, "WebDAVFS") || strings.Contains(agent, "Microsoft-WebDAV-MiniRedir")
}
