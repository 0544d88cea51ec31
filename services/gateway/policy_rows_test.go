package gateway_test

import (
	"time"

	configv1 "github.com/gatehouse-suite/gatehouse/proto/config/v1"
	"google.golang.org/protobuf/proto"
)

func facts(all ...proto.Message) func(*world) []proto.Message {
	return func(*world) []proto.Message { return all }
}

// policyRows are the tables, in the order of the policy.
func policyRows() []policyRow {
	rows := pathRows()
	rows = append(rows, openRows()...)
	rows = append(rows, credentialRows()...)
	rows = append(rows, userRows()...)
	return append(rows, productRows()...)
}

// pathRows are rows 0 to 3.
func pathRows() []policyRow {
	return []policyRow{
		{
			number: "0", title: "canonical path", given: "public_restricted: [/rest/api/2/serverInfo]",
			facts: facts(&configv1.PublicApiRestricted{Site: "jira", Pattern: "/rest/api/2/serverInfo"}),
			decisions: []decision{
				{"plain", "GET /rest/api/2/serverInfo", "", 401, "deny", "authentication_required", "", ""},
				{"a dot segment", "GET /rest/./api/2/serverInfo", "", 401, "deny", "authentication_required", "", ""},
				{"two dots", "GET /rest/x/../api/2/serverInfo", "", 401, "deny", "authentication_required", "", ""},
				{"escaped dots", "GET /rest/x/%2e%2E/api/2/serverInfo", "", 401, "deny", "authentication_required", "", ""},
				{"two slashes", "GET /rest//api///2/serverInfo", "", 401, "deny", "authentication_required", "", ""},
				{"a path parameter", "GET /rest;a=b/api;jsessionid=1/2/serverInfo;c", "", 401, "deny", "authentication_required", "", ""},
				{"an escaped letter", "GET /rest/api/2/%73erver%49nfo", "", 401, "deny", "authentication_required", "", ""},
				{"behind the rewrite of versioned resources", "GET /s/en-1/_/rest/api/2/serverInfo", "", 401, "deny", "authentication_required", "", ""},
				{"an escaped slash", "GET /rest%2fapi/2/serverInfo", "", 400, "deny", "path_ambiguous", "", ""},
				{"an escaped backslash", "GET /rest%5Capi/2/serverInfo", "", 400, "deny", "path_ambiguous", "", ""},
				{"a backslash", `GET /rest\api/2/serverInfo`, "", 400, "deny", "path_ambiguous", "", ""},
				{"an escaped semicolon", "GET /rest/api/2/serverInfo%3bx", "", 400, "deny", "path_ambiguous", "", ""},
				{"a zero byte", "GET /rest/api/2/serverInfo%00", "", 400, "deny", "path_ambiguous", "", ""},
				{"dots with a parameter", "GET /x/..;/rest/api/2/serverInfo", "", 400, "deny", "path_ambiguous", "", ""},
				{"two leading slashes", "GET //rest/api/2/serverInfo", "", 400, "deny", "path_ambiguous", "", ""},
				{"out of the root", "GET /../rest/api/2/serverInfo", "", 400, "deny", "path_ambiguous", "", ""},
				{"escaped twice", "GET /%2572est/api/2/serverInfo", "", 400, "deny", "path_ambiguous", "", ""},
				{"dots escaped twice", "GET /x/%252e%252e/rest/api/2/serverInfo", "", 400, "deny", "path_ambiguous", "", ""},
				{"no UTF-8", "GET /rest/%ff", "", 400, "deny", "path_ambiguous", "", ""},
				{"an overlong escape", "GET /rest/%c0%afapi", "", 400, "deny", "path_ambiguous", "", ""},
				{"a byte RFC 3986 does not allow", `GET /rest/"x"`, "", 400, "deny", "path_ambiguous", "", ""},
				{"an absolute target", "GET http://jira.example.com/rest/api/2/serverInfo", "", 401, "deny", "authentication_required", "", ""},
			},
		},
		{
			number: "0", title: "method", decisions: []decision{
				{"TRACE", "TRACE /rest/lab/1/echo", "Authorization: Bearer {token}", 405, "deny", "method_not_allowed", "", ""},
				{"CONNECT", "CONNECT jira.example.com:443", "", 405, "deny", "method_not_allowed", "", ""},
				{"OPTIONS of no path", "OPTIONS *", "", 400, "deny", "path_ambiguous", "", ""},
			},
		},
		{
			number: "1", title: "site", given: "hosts: [jira.example.com], context_path: \"\"",
			facts: facts(&configv1.SiteAddressed{Site: "jira", Hosts: []string{"jira.example.com"}, BaseUrl: "https://jira.example.com"}),
			decisions: []decision{
				{"its host", "GET /rest/lab/1/echo", "Host: jira.example.com", 200, "pass", "anonymous", "", ""},
				{"with a port", "GET /rest/lab/1/echo", "Host: JIRA.example.com:8080", 200, "pass", "anonymous", "", ""},
				{"another host", "GET /rest/lab/1/echo", "Host: wiki.example.com", 404, "deny", "site_unknown", "", ""},
				{"no host", "GET /rest/lab/1/echo", "Host:", 404, "deny", "site_unknown", "", ""},
				{"another host in the target counts", "GET http://wiki.example.com/rest/lab/1/echo", "Host: jira.example.com", 404, "deny", "site_unknown", "", ""},
			},
		},
		{
			number: "1b", title: "the gateway's own paths", decisions: []decision{
				{"the token page", "GET /plugins/servlet/restauth/token", "", 200, "pass", "own", "", ""},
				{"what else is below it", "GET /plugins/servlet/restauth/other", "", 404, "pass", "own", "", ""},
				{"the token API", "GET /rest/gatehouse/1.0/tokens", "Authorization: Bearer {token}", 404, "pass", "own", "", ""},
				{"in another form", "GET /rest//gatehouse/1.0/./tokens", "", 404, "pass", "own", "", ""},
			},
		},
		{
			number: "2", title: "not an API call", decisions: []decision{
				{"a page", "GET /secure/Dashboard.jspa", "", 200, "pass", "not_api", "", ""},
				{"the log-in page", "GET /login.jsp", "", 200, "pass", "not_api", "", ""},
				{"a scheme of no API", "GET /secure/Dashboard.jspa", "Authorization: Negotiate abc", 200, "pass", "not_api", "", ""},
				{"a page with a password", "GET /secure/Dashboard.jspa", "Authorization: {basic alice}", 200, "allow", "allowed", "alice", ""},
				{"a page with a wrong one", "GET /secure/Dashboard.jspa", "Authorization: {basic alice wrong}", 401, "deny", "credential_refused", "", ""},
				{"the log-in page with a credential", "GET /login.jsp", "Authorization: {basic alice wrong}", 401, "deny", "credential_refused", "", ""},
				{"the log-in's REST", "GET /rest/auth/1/session", "", 401, "pass", "not_api", "", ""},
				{"nearly the log-in", "GET /rest/auth/1/session/x", "", 404, "pass", "anonymous", "", ""},
			},
		},
		{
			number: "3", title: "Enable REST API Authentication is off", given: "enabled: false",
			facts: facts(&configv1.EnforcementSwitched{Site: "jira"}, &configv1.MethodsSet{Site: "jira"}),
			decisions: []decision{
				{"nobody", "GET /rest/lab/1/echo", "", 200, "pass", "disabled", "", ""},
				{"the product's own password", "GET /rest/lab/1/echo", "Authorization: {basic alice}", 200, "pass", "disabled", "", ""},
				{"an ambiguous path is refused all the same", "GET /rest%2flab/1/echo", "", 400, "deny", "path_ambiguous", "", ""},
			},
		},
	}
}

// openRows are rows 4 to 7.
func openRows() []policyRow {
	return []policyRow{
		{
			number: "4", title: "IP restriction behind a trusted proxy",
			given: "ip: {restrict: true, allow: [192.0.2.0/24, 2001:db8::/32], proxy_header: X-Forwarded-For, trusted_proxies: [127.0.0.0/8, 10.0.0.0/8]}",
			facts: facts(
				&configv1.IpRestrictionSwitched{Site: "jira", Restrict: true},
				&configv1.IpRangeAllowed{Site: "jira", Range: "192.0.2.0/24"}, &configv1.IpRangeAllowed{Site: "jira", Range: "2001:db8::/32"},
				&configv1.ReverseProxySet{Site: "jira", Header: "x-forwarded-for", TrustedProxies: []string{"127.0.0.0/8", "10.0.0.0/8"}},
			),
			decisions: []decision{
				{"the proxy itself", "GET /rest/lab/1/echo", "", 403, "deny", "ip_denied", "", ""},
				{"allowed", "GET /rest/lab/1/echo", "X-Forwarded-For: 192.0.2.9", 200, "pass", "anonymous", "", ""},
				{"through two proxies", "GET /rest/lab/1/echo", "X-Forwarded-For: 192.0.2.9, 10.0.0.1", 200, "pass", "anonymous", "", ""},
				{"in two lines", "GET /rest/lab/1/echo", "X-Forwarded-For: 198.51.100.1|X-Forwarded-For: 192.0.2.9", 200, "pass", "anonymous", "", ""},
				{"IPv6 with a port", "GET /rest/lab/1/echo", "X-Forwarded-For: [2001:db8::5]:443", 200, "pass", "anonymous", "", ""},
				{"IPv4 mapped into IPv6", "GET /rest/lab/1/echo", "X-Forwarded-For: ::ffff:192.0.2.9", 200, "pass", "anonymous", "", ""},
				{"from elsewhere", "GET /rest/lab/1/echo", "X-Forwarded-For: 198.51.100.1", 403, "deny", "ip_denied", "", ""},
				{"forged in front", "GET /rest/lab/1/echo", "X-Forwarded-For: 192.0.2.9, 198.51.100.1", 403, "deny", "ip_denied", "", ""},
				{"forged in a line before", "GET /rest/lab/1/echo", "X-Forwarded-For: 192.0.2.9|X-Forwarded-For: 198.51.100.1", 403, "deny", "ip_denied", "", ""},
				{"unreadable", "GET /rest/lab/1/echo", "X-Forwarded-For: 192.0.2.9, unknown", 403, "deny", "ip_denied", "", ""},
				{"another header", "GET /rest/lab/1/echo", "X-Real-Ip: 192.0.2.9|Forwarded: for=192.0.2.9", 403, "deny", "ip_denied", "", ""},
				{"whatever the credential", "GET /rest/lab/1/echo", "X-Forwarded-For: 198.51.100.1|Authorization: {basic alice}", 403, "deny", "ip_denied", "", ""},
				{"a session the product knows", "GET /rest/lab/1/echo", "X-Forwarded-For: 198.51.100.1|Cookie: {session alice}", 200, "pass", "browser", "alice", ""},
				{"one it does not", "GET /rest/lab/1/echo", "X-Forwarded-For: 198.51.100.1|Cookie: JSESSIONID=1", 403, "deny", "ip_denied", "", ""},
				{"pages are no API", "GET /secure/Dashboard.jspa", "X-Forwarded-For: 198.51.100.1", 200, "pass", "not_api", "", ""},
			},
		},
		{
			number: "5", title: "bypass", given: "bypass: [GET /rest/lab/1/echo], methods: {basic: false}",
			facts: facts(&configv1.ApiBypassed{Site: "jira", Pattern: "GET /rest/lab/1/echo"}, &configv1.MethodsSet{Site: "jira", Oauth: true, Pat: true}),
			decisions: []decision{
				{"the product's own password", "GET /rest/lab/1/echo", "Authorization: {basic alice}", 200, "pass", "bypassed", "", ""},
				{"not on the list", "GET /rest/api/2/myself", "Authorization: {basic alice}", 401, "deny", "basic_disabled", "", ""},
				{"another method", "POST /rest/lab/1/echo", "Authorization: {basic alice}", 401, "deny", "basic_disabled", "", ""},
				{"another form of the path", "GET /rest/lab/1/echo/", "Authorization: {basic alice}", 401, "deny", "basic_disabled", "", ""},
				{"another version", "GET /rest/lab/latest/echo", "Authorization: {basic alice}", 401, "deny", "basic_disabled", "", ""},
				{"the same path, escaped", "GET /rest/lab/1/%65cho", "Authorization: {basic alice}", 200, "pass", "bypassed", "", ""},
				{"a provider's token, which stays here", "GET /rest/lab/1/echo", "Authorization: Bearer {token}", 200, "pass", "bypassed", "", ""},
			},
		},
		{
			number: "6, 7", title: "browser sessions and restricted public APIs", given: "public_restricted: [GET /rest/lab/1/echo, /rest/api/2/serverInfo]",
			facts: facts(&configv1.PublicApiRestricted{Site: "jira", Pattern: "GET /rest/lab/1/echo"}, &configv1.PublicApiRestricted{Site: "jira", Pattern: "/rest/api/2/serverInfo"}),
			decisions: []decision{
				{"nobody", "GET /rest/lab/1/echo", "", 401, "deny", "authentication_required", "", ""},
				{"HEAD for GET", "HEAD /rest/lab/1/echo", "", 401, "deny", "authentication_required", "", ""},
				{"another method", "POST /rest/lab/1/echo", "", 200, "pass", "anonymous", "", ""},
				{"a trailing slash", "GET /rest/api/2/serverInfo/", "", 401, "deny", "authentication_required", "", ""},
				{"an extension", "GET /rest/api/2/serverInfo.json", "", 401, "deny", "authentication_required", "", ""},
				{"the latest version", "GET /rest/api/latest/serverInfo", "", 401, "deny", "authentication_required", "", ""},
				{"a minor version", "GET /rest/api/2.0.alpha1/serverInfo", "", 401, "deny", "authentication_required", "", ""},
				{"a session the product knows", "GET /rest/lab/1/echo", "Cookie: {session alice}", 200, "pass", "browser", "alice", ""},
				{"one it does not", "GET /rest/lab/1/echo", "Cookie: JSESSIONID=1", 401, "deny", "authentication_required", "", ""},
				{"one in the path", "GET /rest/lab/1/echo;jsessionid=1", "", 401, "deny", "authentication_required", "", ""},
				{"Referer and Origin prove nothing", "GET /rest/lab/1/echo", "Referer: https://jira.example.com/|Origin: https://jira.example.com|Cookie: atlassian.xsrf.token=x", 401, "deny", "authentication_required", "", ""},
				{"a session, where nothing is restricted", "GET /rest/lab/1/echo/x", "Cookie: JSESSIONID=1", 200, "pass", "browser", "", ""},
				{"a token", "GET /rest/lab/1/echo", "Authorization: Bearer {token}", 200, "allow", "allowed", "svc-api", ""},
			},
		},
	}
}

// credentialRows are rows 8 to 11b.
func credentialRows() []policyRow {
	return []policyRow{
		{
			number: "8, 10", title: "which credential, and whose", decisions: []decision{
				{"token", "GET /rest/lab/1/echo", "Authorization: Bearer {token}", 200, "allow", "allowed", "svc-api", ""},
				{"the scheme in other letters", "GET /rest/lab/1/echo", "Authorization: bEARER {token}", 200, "allow", "allowed", "svc-api", ""},
				{"an unknown token", "GET /rest/lab/1/echo", "Authorization: Bearer unknown", 401, "deny", "token_inactive", "", ""},
				{"an expired one", "GET /rest/lab/1/echo", "Authorization: Bearer {token expired}", 401, "deny", "token_inactive", "", ""},
				{"without the scope", "GET /rest/lab/1/echo", "Authorization: Bearer {token scope write}", 403, "deny", "scope_missing", "", ""},
				{"a PAT", "GET /rest/lab/1/echo", "Authorization: Bearer {pat alice}", 200, "allow", "allowed", "alice", ""},
				{"a PAT of another product", "GET /rest/lab/1/echo", "Authorization: Bearer {pat confluence alice}", 401, "deny", "credential_refused", "", ""},
				{"a PAT of an inactive user", "GET /rest/lab/1/echo", "Authorization: Bearer {pat mallory}", 401, "deny", "credential_refused", "", ""},
				{"a password", "GET /rest/lab/1/echo", "Authorization: {basic bob}", 200, "allow", "allowed", "bob", ""},
				{"a wrong one", "GET /rest/lab/1/echo", "Authorization: {basic bob wrong}", 401, "deny", "credential_refused", "", ""},
				{"in the query", "GET /rest/lab/1/echo?os_username=bob&os_password=bob-password", "", 200, "allow", "allowed", "bob", ""},
				{"half of one in the query is cut", "GET /rest/lab/1/echo?os_username=bob", "", 200, "pass", "anonymous", "", ""},
				{"an API token", "GET /rest/lab/1/echo", "Authorization: Bearer ght_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 401, "deny", "token_inactive", "", ""},
				{"an application link, which the product does not know", "GET /rest/lab/1/echo", "Authorization: " + signed, 401, "pass", "link", "", ""},
				{"half a signature", "GET /rest/lab/1/echo", `Authorization: OAuth oauth_consumer_key="x"`, 400, "deny", "credential_malformed", "", ""},
				{"half a signature in the query", "GET /rest/lab/1/echo?oauth_signature=x", "", 400, "deny", "credential_malformed", "", ""},
				{"one that cannot be read", "GET /rest/lab/1/echo", "Authorization: OAuth oauth_consumer_key=x", 400, "deny", "credential_malformed", "", ""},
				{"one and a session in the path", "GET /rest/lab/1/echo;jsessionid=1", "Authorization: " + signed, 400, "deny", "credential_malformed", "", ""},
				{"two Authorization fields", "GET /rest/lab/1/echo", "Authorization: Bearer {token}|Authorization: {basic alice}", 400, "deny", "credential_malformed", "", ""},
				{"a header and a query", "GET /rest/lab/1/echo?os_username=bob&os_password=x", "Authorization: Bearer {token}", 400, "deny", "credential_malformed", "", ""},
				{"Bearer without a token", "GET /rest/lab/1/echo", "Authorization: Bearer", 400, "deny", "credential_malformed", "", ""},
				{"two words", "GET /rest/lab/1/echo", "Authorization: Bearer a b", 400, "deny", "credential_malformed", "", ""},
				{"no base64", "GET /rest/lab/1/echo", "Authorization: Basic !!", 400, "deny", "credential_malformed", "", ""},
				{"another scheme", "GET /rest/lab/1/echo", "Authorization: Digest x=y", 401, "deny", "scheme_unsupported", "", ""},
				{"a charset that hides the query", "POST /rest/lab/1/echo?a=b", "Content-Type: text/plain; charset=IBM037", 400, "deny", "credential_malformed", "", ""},
			},
		},
		{
			number: "9", title: "switches", given: "methods: {basic: false, oauth: false, pat: false, api_tokens: false, links: false}", facts: facts(&configv1.MethodsSet{Site: "jira"}),
			decisions: []decision{
				{"password", "GET /rest/lab/1/echo", "Authorization: {basic alice}", 401, "deny", "basic_disabled", "", ""},
				{"in the query", "GET /rest/lab/1/echo?os_username=alice&os_password=alice-password", "", 401, "deny", "basic_disabled", "", ""},
				{"on a page", "GET /secure/Dashboard.jspa", "Authorization: {basic alice}", 401, "deny", "basic_disabled", "", ""},
				{"token", "GET /rest/lab/1/echo", "Authorization: Bearer {token}", 401, "deny", "oauth_disabled", "", ""},
				{"PAT", "GET /rest/lab/1/echo", "Authorization: Bearer {pat alice}", 401, "deny", "pat_disabled", "", ""},
				{"API token", "GET /rest/lab/1/echo", "Authorization: Bearer ght_a", 401, "deny", "api_tokens_disabled", "", ""},
				{"as a password", "GET /rest/lab/1/echo", "Authorization: {basic alice ght_a}", 401, "deny", "api_tokens_disabled", "", ""},
				{"link", "GET /rest/lab/1/echo", "Authorization: " + signed, 401, "deny", "links_disabled", "", ""},
				{"nobody", "GET /rest/lab/1/echo", "", 200, "pass", "anonymous", "", ""},
				{"a session", "GET /rest/lab/1/echo", "Cookie: {session alice}", 200, "pass", "browser", "", ""},
			},
		},
		{
			number: "11", title: "as whom", given: "providers[0].clients: [{client_id: other, service_account: svc-api}, {client_id: nightly, service_account: ghost}]",
			facts: func(w *world) []proto.Message {
				p := w.provider()
				p.Clients = []*configv1.ClientMapping{{ClientId: "other", ServiceAccount: "svc-api"}, {ClientId: "nightly", ServiceAccount: "ghost"}}
				return []proto.Message{&configv1.ProviderTrusted{Site: "jira", Provider: p}}
			},
			decisions: []decision{
				{"a client that is not listed", "GET /rest/lab/1/echo", "Authorization: Bearer {token}", 403, "deny", "no_upstream_account", "", ""},
				{"a person's token", "GET /rest/lab/1/echo", "Authorization: Bearer {token of alice}", 403, "deny", "not_a_client_token", "", ""},
			},
		},
		{
			number: "11", title: "as whom, for a grant of users", given: "grant: authorization_code",
			facts: facts(&configv1.GrantSwitched{Site: "jira", Grant: "authorization_code"}),
			decisions: []decision{
				{"a user without an upstream credential", "GET /rest/lab/1/echo", "Authorization: Bearer {token of alice}", 403, "deny", "no_upstream_account", "", ""},
				{"one with", "GET /rest/lab/1/echo", "Authorization: Bearer {token of svc-api}", 200, "allow", "allowed", "svc-api", ""},
				{"nobody's token", "GET /rest/lab/1/echo", "Authorization: Bearer {token}", 403, "deny", "user_unknown", "", ""},
			},
		},
		{
			number: "11b", title: "paths for tokens", decisions: []decision{
				{"REST", "GET /rest/lab/1/echo", "Authorization: Bearer {token}", 200, "allow", "allowed", "svc-api", ""},
				{"a file", "GET /secure/attachment/zeros/10", "Authorization: Bearer {token}", 200, "allow", "allowed", "svc-api", ""},
				{"a page", "GET /secure/admin/ViewApplicationProperties.jspa", "Authorization: Bearer {token}", 403, "deny", "path_not_for_tokens", "svc-api", ""},
				{"a page behind a rewrite", "GET /s/x/_/secure/admin/x.jspa", "Authorization: Bearer {token}", 403, "deny", "path_not_for_tokens", "svc-api", ""},
				{"a page behind dots", "GET /rest/../secure/admin/x.jspa", "Authorization: Bearer {token}", 403, "deny", "path_not_for_tokens", "svc-api", ""},
				{"a PAT is the product's own", "GET /secure/x.jspa", "Authorization: Bearer {pat alice}", 404, "allow", "allowed", "alice", ""},
			},
		},
	}
}

// userRows are rows 12 and 15, and observe mode.
func userRows() []policyRow {
	return []policyRow{
		{
			number: "12", title: "Allow API access", given: "groups: {require: true, allowed: [Developers, jira-administrators]}",
			facts: func(w *world) []proto.Message {
				return w.directory(time.Hour, allowing("Developers", "jira-administrators")...)
			},
			decisions: []decision{
				{"a member by password", "GET /rest/lab/1/echo", "Authorization: {basic alice}", 200, "allow", "allowed", "alice", ""},
				{"a member by PAT", "GET /rest/lab/1/echo", "Authorization: Bearer {pat carol}", 200, "allow", "allowed", "carol", ""},
				{"the account of a token is no member", "GET /rest/lab/1/echo", "Authorization: Bearer {token}", 403, "deny", "group_denied", "svc-api", ""},
				{"no member by PAT", "GET /rest/lab/1/echo", "Authorization: Bearer {pat svc-api}", 403, "deny", "group_denied", "svc-api", ""},
				{"no member on a page", "GET /secure/Dashboard.jspa", "Authorization: {basic svc-api}", 403, "deny", "group_denied", "svc-api", ""},
				{"nobody", "GET /rest/lab/1/echo", "", 200, "pass", "anonymous", "", ""},
				{"a session is not bound", "GET /rest/lab/1/echo", "Cookie: {session svc-api}", 200, "pass", "browser", "", ""},
			},
		},
		{
			number: "12", title: "read-only groups", given: "groups: {read_only: [read-only]}, sessions: {groups: true}",
			facts: func(w *world) []proto.Message {
				return w.directory(time.Hour, readOnly("read-only"), &configv1.SessionRulesSet{Site: "jira", Groups: true})
			},
			decisions: []decision{
				{"GET", "GET /rest/lab/1/echo", "Authorization: {basic bob}", 200, "allow", "allowed", "bob", ""},
				{"POST", "POST /rest/lab/1/echo", "Authorization: {basic bob}", 403, "deny", "read_only", "bob", ""},
				{"DELETE", "DELETE /rest/lab/1/echo", "Authorization: Bearer {pat bob}", 403, "deny", "read_only", "bob", ""},
				{"a method nobody knows", "PURGE /rest/lab/1/echo", "Authorization: {basic bob}", 403, "deny", "read_only", "bob", ""},
				{"a POST that reads", "POST /rest/api/2/search", "Authorization: {basic bob}|X-Atlassian-Token: no-check|Content-Length: 0", 400, "allow", "allowed", "bob", ""},
				{"another form of its path", "POST /rest/api/2/search/", "Authorization: {basic bob}", 403, "deny", "read_only", "bob", ""},
				{"with a parameter for another method", "POST /rest/api/2/search?_method=DELETE", "Authorization: {basic bob}", 403, "deny", "read_only", "bob", ""},
				{"a header for another method", "POST /rest/api/2/issue", "Authorization: {basic bob}|X-HTTP-Method-Override: GET", 403, "deny", "read_only", "bob", ""},
				{"a GET that changes", "GET /rest/api/2/email-templates", "Authorization: {basic bob}", 403, "deny", "read_only", "bob", ""},
				{"in another form", "GET /rest/api/latest/email-templates.json", "Authorization: {basic bob}", 403, "deny", "read_only", "bob", ""},
				{"one that marks", "GET /rest/api/2/issue/LAB-1?updateHistory=true", "Authorization: {basic bob}", 403, "deny", "read_only", "bob", ""},
				{"one that does not", "GET /rest/api/2/issue/LAB-1?updateHistory=false", "Authorization: {basic bob}", 200, "allow", "allowed", "bob", ""},
				{"a page that takes orders", "GET /secure/DeleteIssue.jspa?id=1", "Authorization: {basic bob}", 403, "deny", "read_only", "bob", ""},
				{"a websocket", "GET /rest/lab/1/websocket", "Authorization: {basic bob}|Connection: Upgrade|Upgrade: websocket", 403, "deny", "read_only", "bob", ""},
				{"a session of his", "POST /rest/lab/1/echo", "Cookie: {session bob}", 403, "deny", "read_only", "bob", ""},
				{"of somebody else", "POST /rest/lab/1/echo", "Cookie: {session alice}", 200, "pass", "browser", "alice", ""},
				{"who is in no such group", "POST /rest/lab/1/echo", "Authorization: {basic alice}", 200, "allow", "allowed", "alice", ""},
			},
		},
		{
			number: "15", title: "swap and forward", decisions: []decision{
				{"ours, for a token", "GET /rest/api/2/myself", "Authorization: Bearer {token}", 200, "allow", "allowed", "svc-api", ""},
				{"the client's own, for a PAT", "GET /rest/api/2/myself", "Authorization: Bearer {pat alice}|Cookie: JSESSIONID=1", 200, "allow", "allowed", "alice", ""},
				{"acting as another in the query", "GET /rest/api/2/myself?xoauth_requestor_id=carol&user_id=carol", "Authorization: Bearer {token}", 200, "allow", "allowed", "svc-api", ""},
			},
		},
		{
			number: "mode", title: "observe mode", given: "mode: observe, public_restricted: [/rest/lab/1/echo], methods: {basic: false, links: false}, groups: {require: true, allowed: [developers]}",
			facts: func(w *world) []proto.Message {
				return w.directory(time.Hour, append(allowing("developers"), &configv1.ModeSet{Site: "jira", Mode: "observe"},
					&configv1.PublicApiRestricted{Site: "jira", Pattern: "/rest/lab/1/echo"}, &configv1.MethodsSet{Site: "jira", Oauth: true, Pat: true})...)
			},
			decisions: []decision{
				{"restricted", "GET /rest/lab/1/echo", "", 200, "pass", "anonymous", "", "authentication_required"},
				{"Basic is off", "GET /rest/lab/1/echo", "Authorization: {basic alice}", 200, "pass", "allowed", "alice", "basic_disabled"},
				{"an unknown token", "GET /rest/lab/1/echo", "Authorization: Bearer unknown", 200, "pass", "anonymous", "", "token_inactive"},
				{"no member", "GET /rest/lab/1/echo", "Authorization: Bearer {token}", 200, "pass", "allowed", "svc-api", "group_denied"},
				{"a member", "GET /rest/lab/1/echo", "Authorization: Bearer {pat alice}", 200, "allow", "allowed", "alice", ""},
				{"an ambiguous path", "GET /rest%2flab/1/echo", "", 400, "deny", "path_ambiguous", "", ""},
				{"two credentials", "GET /rest/lab/1/echo", "Authorization: Bearer a|Authorization: Bearer b", 400, "deny", "credential_malformed", "", ""},
			},
		},
	}
}

// productRows are what the other products do differently.
func productRows() []policyRow {
	rules := func(w *world) []proto.Message {
		return w.directory(time.Hour, append(allowing("developers", "automation"), readOnly("read-only"),
			&configv1.PublicApiRestricted{Site: "jira", Pattern: "/rest/lab/1/echo"}, &configv1.SessionRulesSet{Site: "jira", Groups: true})...)
	}
	const given = "public_restricted: [/rest/lab/1/echo], groups: {require: true, allowed: [developers, automation], read_only: [read-only]}, sessions: {groups: true}"
	return []policyRow{
		{
			number: "all", title: "Confluence", product: "confluence", given: given, facts: rules,
			decisions: []decision{
				{"a page", "GET /dashboard.action", "", 200, "pass", "not_api", "", ""},
				{"the log-in", "GET /login.action", "", 200, "pass", "not_api", "", ""},
				{"Jira's log-in is no page of its own, but none of the API either", "GET /login.jsp", "", 404, "pass", "not_api", "", ""},
				{"nobody", "GET /rest/lab/1/echo", "", 401, "deny", "authentication_required", "", ""},
				{"where it is open", "GET /rest/api/user/current", "", 200, "pass", "anonymous", "", ""},
				{"token", "GET /rest/api/user/current", "Authorization: Bearer {token}", 200, "allow", "allowed", "svc-api", ""},
				{"PAT", "GET /rest/api/user/current", "Authorization: Bearer {pat alice}", 200, "allow", "allowed", "alice", ""},
				{"password", "GET /rest/api/user/current", "Authorization: {basic alice}", 200, "allow", "allowed", "alice", ""},
				{"no member", "GET /rest/api/user/current", "Authorization: {basic carol}", 403, "deny", "group_denied", "carol", ""},
				{"read-only", "POST /rest/api/content", "Authorization: {basic bob}|Content-Type: application/json|Content-Length: 0", 403, "deny", "read_only", "bob", ""},
				{"a POST that reads", "POST /rest/api/contentbody/convert/view", "Authorization: {basic bob}|Content-Type: application/json|Content-Length: 0", 404, "allow", "allowed", "bob", ""},
				{"a page that takes orders", "GET /pages/doremovepage.action?pageId=1", "Authorization: {basic bob}", 403, "deny", "read_only", "bob", ""},
				{"a session", "GET /rest/lab/1/echo", "Cookie: {session alice}", 200, "pass", "browser", "alice", ""},
				{"a session of who only reads", "POST /rest/lab/1/echo", "Cookie: {session bob}", 403, "deny", "read_only", "bob", ""},
				{"a token on a page", "GET /dashboard.action", "Authorization: Bearer {token}", 403, "deny", "path_not_for_tokens", "svc-api", ""},
				{"a token for a file", "GET /download/attachments/1/x.txt", "Authorization: Bearer {token}", 404, "allow", "allowed", "svc-api", ""},
			},
		},
		{
			number: "all", title: "Bitbucket", product: "bitbucket", given: given, facts: rules,
			decisions: []decision{
				{"a page", "GET /dashboard", "", 200, "pass", "not_api", "", ""},
				{"the log-in", "GET /login", "", 200, "pass", "not_api", "", ""},
				{"nobody", "GET /rest/lab/1/echo", "", 401, "deny", "authentication_required", "", ""},
				{"token", "GET /rest/lab/1/echo", "Authorization: Bearer {token}", 200, "allow", "allowed", "svc-api", ""},
				{"PAT", "GET /rest/lab/1/echo", "Authorization: Bearer {pat alice}", 200, "allow", "allowed", "alice", ""},
				{"a PAT nobody has", "GET /rest/lab/1/echo", "Authorization: Bearer BBDC-MDM0MjM5NDc2MDxxxxxxxxxxxxxxxxxxxxx", 401, "deny", "credential_refused", "", ""},
				{"a PAT of Jira's shape is a provider's token here", "GET /rest/lab/1/echo", "Authorization: Bearer {pat confluence alice}", 401, "deny", "token_inactive", "", ""},
				{"password", "GET /rest/lab/1/echo", "Authorization: {basic alice}", 200, "allow", "allowed", "alice", ""},
				{"no member", "GET /rest/lab/1/echo", "Authorization: {basic carol}", 403, "deny", "group_denied", "carol", ""},
				{"read-only", "POST /rest/lab/1/echo", "Authorization: {basic bob}", 403, "deny", "read_only", "bob", ""},
				{"who only reads may fetch", "POST /scm/PROJ/repo.git/git-upload-pack", "Authorization: {basic bob}|Content-Length: 0", 200, "allow", "allowed", "bob", ""},
				{"and not push", "POST /scm/PROJ/repo.git/git-receive-pack", "Authorization: {basic bob}|Content-Length: 0", 403, "deny", "read_only", "bob", ""},
				{"a token may", "POST /scm/PROJ/repo.git/git-receive-pack", "Authorization: Bearer {token}|Content-Length: 0", 200, "allow", "allowed", "svc-api", ""},
				{"a session", "GET /rest/lab/1/echo", "Cookie: {session alice}", 200, "pass", "browser", "alice", ""},
				{"a session of who only reads", "POST /rest/lab/1/echo", "Cookie: {session bob}", 403, "deny", "read_only", "bob", ""},
				{"Jira's cookie is none", "GET /rest/lab/1/echo", "Cookie: JSESSIONID=1", 401, "deny", "authentication_required", "", ""},
				{"a token on a page", "GET /dashboard", "Authorization: Bearer {token}", 403, "deny", "path_not_for_tokens", "svc-api", ""},
			},
		},
	}
}
