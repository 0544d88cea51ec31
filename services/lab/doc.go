// Package lab is what a demo and the tests stand in front of: an OAuth 2.0
// provider, a Jira-shaped product with two nodes and a Confluence-shaped one with
// one node, and in tests a Bitbucket-shaped one, in one process and in memory. It promises to answer as the products
// do where a gateway could be fooled: how a path is read (path.go), whom a
// credential makes the caller (auth.go), which headers and error bodies come back
// (docs/reference, Atlassian). It is no product: nothing outlives the process
// but the personal access tokens, which depend on product and user name only.
//
// # Who is known
//
//	user       password            groups (and jira-users or confluence-users)
//	svc-api    svc-api-password    automation
//	alice      alice-password      developers
//	bob        bob-password        developers, read-only
//	carol      carol-password      jira-administrators
//	mallory    mallory-password    developers; inactive
//
//	client     secret              may
//	ci-bot     ci-bot-secret       ask for tokens (client credentials; scopes read, write)
//	gatehouse  gatehouse-secret    introspect every token; let people log in (scopes openid, read, write)
//
// Projects and spaces: LAB is for users, OPEN may be read by anybody.
//
// # The provider (127.0.0.1:9000)
//
//	/.well-known/openid-configuration   discovery document
//	/authorize                          authorization code, PKCE with S256 required; redirect URI: any http or
//	                                    https URL that ends in /plugins/servlet/restauth/token
//	/lab/login?id=                      GET, POST id, username, password: where it sends the browser
//	/authorize/callback?id=             where that sends it, and from there to the redirect URI with the code
//	/oauth/token                        authorization code (one minute, once), client credentials, JWT bearer
//	                                    (RFC 7523, users of TrustKey); opaque tokens, no refresh tokens
//	/oauth/introspect                   RFC 7662; client_secret_basic and client_secret_post
//	/revoke                             RFC 7009
//	/keys                               JWKS
//	/userinfo                           sub and preferred_username
//
// It is github.com/zitadel/oidc on a storage of ours; SetFault makes
// introspection fail in the ways real providers do.
//
// # Both products (Jira 127.0.0.1:9101 and 9102, Confluence 127.0.0.1:9103)
//
//	/status                             {"state":"RUNNING"}; see State
//	/rest/pat/latest/tokens             GET, POST; DELETE /{id}: one's own tokens
//	/rest/lab/1/echo[/...]              any method: what the node saw, byte for byte
//	/rest/lab/1/slow?ms=                answers late
//	/rest/lab/1/stream?n=&ms=           server-sent events; n=0 for ever
//	/rest/lab/1/websocket               echo
//	/rest/lab/1/trailers                the body again, its hash as a trailer
//	/rest/lab/1/early                   413 without reading the body, then closes
//	/rest/lab/1/status/{code}           that status
//
// # Jira
//
//	/rest/api/{2,latest}/...            myself, user, groups/picker, group/member (administrators),
//	                                    search (GET, POST), issue (POST; GET PUT DELETE /{key}),
//	                                    issue/{key}/comment, issue/{key}/attachments, attachment/{id},
//	                                    project[/{key}], field, priority, issuetype, serverInfo
//	/rest/auth/1/session                GET, POST, DELETE
//	/rest/tsv/1.0/authenticate          the newer login page's POST
//	/secure/attachment/{id}/{name}      a file of up to 1 MiB again
//	/secure/attachment/zeros/{size}     that many zero bytes
//	/secure/Dashboard.jspa, /login.jsp, /secure/Logout.jspa
//
// # Confluence
//
//	/rest/api/user/{current,anonymous,memberof}, /rest/api/user?username=[&expand=status]
//	/rest/api/group[/{name}[/groupancestor,/member]]
//	/rest/api/content                   GET, POST; GET PUT DELETE /{id}; /search?cql=; /{id}/child/attachment
//	/rest/api/search?cql=, /rest/api/space[/{key}], /rest/api/accessmode, /rest/api/server-information
//	/dashboard.action, /login.action, /dologin.action, /logout.action
//
// # Whom a call is served as
//
//	Basic, os_username+os_password      the user; wrong: 401 AUTHENTICATED_FAILED, after three in a
//	                                    row 403 CAPTCHA_CHALLENGE, also with the right password
//	Bearer, a live PAT of an active user  the user, without a session
//	Bearer, anything else               not refused: as if it were not there
//	JSESSIONID                          the user who logged in
//	OAuth 1.0a, two-legged, of a        xoauth_requestor_id, else user_id; no such user: anonymous; a bad
//	TrustConsumer                       signature: 401 with oauth_problem
//	nothing of these                    anonymous: X-AUSERNAME: anonymous
//
// # When something is gone
//
//	Node.Stop, Provider.Stop            connections are cut, new ones refused, until Start
//	Node.SetState                       /status says so; all but /rest/lab answers 503 unless RUNNING or STOPPING
//	SetFault                            as the Fault says; zero Fault heals
//	a port that is taken                Start fails, and leaves nothing behind
package lab
