package gateway

import (
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/gatehouse-suite/gatehouse/services/gateway/rules"
)

// hopByHop tells whether a field belongs to one connection and is never passed on (RFC 9110 §7.6.1), or frames
// the body, which the next connection does anew.
func hopByHop(name string) bool {
	switch name {
	case "Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te",
		"Trailer", "Transfer-Encoding", "Upgrade", "Http2-Settings", "Content-Length":
		return true
	}
	return false
}

// judged tells whether a row has looked at a field. Connection cannot take it away (RFC 9110 §7.6.1 lets a sender name no
// field that is meant for all recipients): the node would get another call than the one that was let through.
func judged(name string) bool {
	switch name {
	case "Authorization", "Cookie", "Content-Type", "User-Agent":
		return true
	}
	return false
}

// forged tells whether a field would speak for Gatehouse or for the product's own front: it is stripped from
// every call.
func forged(name string) bool {
	switch name {
	case "Forwarded", "X-Real-Ip", "X-Client-Ip", "True-Client-Ip", "X-Cluster-Client-Ip",
		"X-Remote-User", "Remote-User", "Cf-Connecting-Ip", "X-Webauth-User", "X-Ausername",
		"X-Original-Url", "X-Rewrite-Url",
		"X-Http-Method-Override", "X-Http-Method", "X-Method-Override":
		return true
	}
	if strings.IndexByte(name, '_') >= 0 { // some fronts take X_Forwarded_User for X-Forwarded-User
		return forged(http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-")))
	}
	return strings.HasPrefix(name, "X-Forwarded-") || strings.HasPrefix(name, "X-Auth-Request-") || strings.HasPrefix(name, "X-Seraph-") || strings.HasPrefix(name, "X-Gatehouse-")
}

// tokenQuery tells whether a query parameter is a credential, or acts as somebody: it is stripped from calls
// that are made with a credential of ours.
func tokenQuery(name string) bool {
	return credentialQuery(name) || name == "xoauth_requestor_id" || name == "user_id"
}

// credentialQuery tells whether a query parameter belongs to Seraph's or OAuth 1.0a's credentials.
func credentialQuery(name string) bool {
	return strings.HasPrefix(name, "oauth_") || strings.HasPrefix(name, "os_")
}

// secretQuery tells whether the audit trail must not show a query parameter's value.
func secretQuery(name string) bool {
	lower := strings.ToLower(name)
	if credentialQuery(lower) {
		return true
	}
	switch lower {
	case "code", "jwt", "key", "pwd", "auth", "sig", "signature", "jsessionid":
		return true
	}
	for _, part := range [...]string{"token", "secret", "passw", "apikey", "api_key", "api-key", "credential", "assertion"} {
		if strings.Contains(lower, part) {
			return true
		}
	}
	return false
}

// appendHead writes request line and header of a call as the node gets them.
func appendHead(dst []byte, c *call) []byte {
	h := c.r.Header
	byToken := c.byToken()
	dst = append(dst, c.r.Method...)
	dst = append(dst, ' ')
	if c.signed.target != "" {
		dst = append(dst, c.signed.target...)
	} else {
		dst = append(dst, nodeTarget(c)...)
	}
	dst = append(dst, " HTTP/1.1\r\nHost: "...)
	dst = append(dst, c.r.Host...)
	dst = append(dst, "\r\n"...)
	connection := h["Connection"]
	for name, values := range h {
		if hopByHop(name) || forged(name) || (len(connection) > 0 && named(connection, name) && !judged(name)) || !c.keeps(name, byToken) {
			continue
		}
		for _, v := range values {
			dst = appendField(dst, name, v)
		}
	}
	dst = appendIdentity(dst, c, byToken)
	if c.otherAgent(byToken) {
		dst = appendField(dst, "User-Agent", "Gatehouse")
	}
	if values := h["Te"]; len(values) > 0 && named(values, "Trailers") {
		dst = append(dst, "Te: trailers\r\n"...)
	}
	dst = appendForwarded(dst, c)
	return dst
}

// otherAgent tells whether the node must not see the client's User-Agent: it would wake the XSRF filter, or have the OAuth
// filter step aside.
func (c *call) otherAgent(byToken bool) bool {
	agent := c.r.Header.Get("User-Agent")
	return byToken && browserLike(agent) || c.answer.reason == link && forgetsOAuth(agent)
}

// keepsTrailer tells whether a trailer field of the client goes up: what would not as a header does not behind a body.
func (c *call) keepsTrailer(name string) bool {
	name = http.CanonicalHeaderKey(name)
	return name != "Authorization" && name != "Cookie" && !hopByHop(name) && !forged(name)
}

// keeps tells whether a field of the client goes up.
func (c *call) keeps(name string, byToken bool) bool {
	switch name {
	case "Authorization":
		// What was judged is written anew, because the products want its exact form.
		return c.answer.kind == pass && c.cred.bad != malformed && c.cred.kind != kindToken && c.cred.kind != kindOAuth
	case "Cookie":
		return !byToken && c.answer.kind != asNobody && c.answer.reason != link // a session would win over the signature
	case "Origin", "Referer":
		return !byToken
	case "User-Agent":
		return !c.otherAgent(byToken)
	}
	return true
}

// appendIdentity writes the credential the node is to see.
func appendIdentity(dst []byte, c *call, byToken bool) []byte {
	switch {
	case c.signed.authorization != "":
		return appendField(dst, "Authorization", c.signed.authorization)
	case c.answer.kind == asAccount:
		return appendField(dst, "Authorization", c.account.authorization)
	case byToken && c.cred.kind == kindPAT:
		dst = append(dst, "Authorization: Bearer "...)
		dst = append(dst, c.cred.token...)
		return append(dst, "\r\n"...)
	case byToken && c.cred.kind == kindBasic && !c.cred.inQuery:
		dst = append(dst, "Authorization: Basic "...)
		dst = base64.StdEncoding.AppendEncode(dst, []byte(c.cred.user+":"+c.cred.password))
		return append(dst, "\r\n"...)
	default:
		return dst
	}
}

// appendForwarded says where the call came from.
func appendForwarded(dst []byte, c *call) []byte {
	dst = appendField(dst, "X-Forwarded-For", c.caller.text)
	dst = appendField(dst, "X-Forwarded-Host", c.r.Host)
	if c.caller.tls {
		dst = append(dst, "X-Forwarded-Proto: https\r\n"...)
	} else {
		dst = append(dst, "X-Forwarded-Proto: http\r\n"...)
	}
	return appendField(dst, "X-Gatehouse-Request-Id", c.id)
}

func appendField(dst []byte, name, value string) []byte {
	dst = append(dst, name...)
	dst = append(dst, ": "...)
	dst = append(dst, value...)
	return append(dst, "\r\n"...)
}

// nodeTarget is the request target the node gets: the client's own bytes, without credentials of ours to judge and,
// where cookies are stripped, without a session in the path.
func nodeTarget(c *call) string {
	path, query := c.target.Raw, ""
	if i := strings.IndexByte(path, '?'); i >= 0 {
		path, query = path[:i], path[i:]
	}
	if c.answer.kind != pass {
		path = rules.CutSession(path)
	}
	drop := tokenQuery
	if c.answer.kind == asNobody {
		drop = credentialQuery
	}
	if query != "" && (c.answer.kind == asNobody || c.answer.kind == asAccount || c.cred.kind == kindPAT || c.cred.kind == kindToken) {
		if kept := rules.FilterQuery(query[1:], drop); kept == "" {
			query = ""
		} else if len(kept) != len(query)-1 {
			query = "?" + kept
		}
	}
	if len(path)+len(query) == len(c.target.Raw) {
		return c.target.Raw
	}
	return path + query
}

// named tells whether a comma-separated list of field names holds name.
func named(lists []string, name string) bool {
	for _, list := range lists {
		for item := range strings.SplitSeq(list, ",") {
			if strings.EqualFold(strings.TrimSpace(item), name) {
				return true
			}
		}
	}
	return false
}

// browserLike tells whether a User-Agent would wake the products' XSRF filter.
func browserLike(agent string) bool {
	return strings.Contains(agent, "Mozilla") || strings.Contains(agent, "Opera")
}

// copyReply copies a node's header to the client's.
func copyReply(to, from http.Header, byToken bool) {
	connection := from["Connection"]
	for name, values := range from {
		switch {
		case name == "Content-Length": // the same body follows
		case hopByHop(name), strings.HasPrefix(name, "X-Gatehouse-"), byToken && name == "Set-Cookie":
			continue
		case len(connection) > 0 && named(connection, name):
			continue
		}
		to[name] = values
	}
}
