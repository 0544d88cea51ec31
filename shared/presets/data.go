package presets

// introspects are the ways of a provider with RFC 7662 and published keys.
func introspects() []Validation { return []Validation{Introspection, JWT, JWTAndIntrospection} }

// callers are the ways of a provider that takes any client authentication.
func callers() []string {
	return []string{"client_secret_basic", "client_secret_post", "private_key_jwt", "none"}
}

// usual reads what most providers send: RFC 7662 §2.2, OpenID Connect Core §5.1, RFC 9068 §2.2, which has the client for the
// subject where there is no person.
func usual() Reading {
	own := []string{"{client}", "service-account-{client}"}
	return Reading{
		Client: []string{"client_id", "azp"}, Scopes: []string{"scope", "scp"}, Names: []string{"username", "preferred_username"},
		Person: Person{By: []Sign{{"username", own}, {"preferred_username", own}}, Signed: []Sign{{"sub", []string{"{client}"}}}},
	}
}

// bySubject reads like usual, but always goes by the subject.
func bySubject(own ...string) Reading {
	r := usual()
	r.Names = append(r.Names, "sub")
	r.Person = Person{By: []Sign{{"sub", own}, {"username", own}, {"preferred_username", own}}}
	return r
}

const (
	endsAtOnce = "Ends as soon as the cached answer does (cache.max_ttl). With validation jwt only when the token ends."
	endsLater  = "Not noticed: a revoked token goes on until it ends. Keep its lifetime short, or revoke it here."
)

// All gives every preset, the custom one last.
func All() []Preset {
	return []Preset{
		okta(),
		entra(),
		keycloak(),
		google(),
		githubCom(),
		github("github_enterprise", "GitHub Enterprise Server", "https://{host}/api/v3/applications/{client_id}/token"),
		gitlab(),
		cognito(),
		pingfederate(),
		pingone(),
		pingam(),
		auth0(),
		hydra(),
		zitadel(),
		custom(),
	}
}

func okta() Preset {
	return Preset{
		Kind: "okta", Title: "Okta", Issuer: "https://{domain}/oauth2/{authorization server, mostly default}", Endpoint: "{issuer}/v1/introspect",
		Validations: introspects(), CallerAuth: callers(), Audience: "endpoint", Issues: Either, Machines: true,
		Reading: Reading{
			Client: []string{"client_id", "cid"}, Scopes: []string{"scope", "scp"}, Names: []string{"username", "sub"},
			Person: Person{By: []Sign{{"uid", nil}, {"username", []string{"{client}"}}, {"sub", []string{"{client}"}}}},
		},
		Revocation: endsAtOnce,
		Traps:      "The org authorization server (https://{domain}, without /oauth2/…) signs tokens nobody else may verify: use introspection there. A signed token has its scopes in scp.",
		Source:     "https://developer.okta.com/docs/reference/api/oidc/#introspect",
	}
}

func entra() Preset {
	return Preset{
		Kind: "entra", Title: "Microsoft Entra ID", Issuer: "https://login.microsoftonline.com/{tenant}/v2.0",
		Validations: []Validation{JWT}, CallerAuth: []string{"none"}, Audience: "endpoint", Issues: Signed, Machines: true,
		Reading: Reading{
			Client: []string{"azp", "appid"}, Scopes: []string{"scp", "roles"},
			Names: []string{"preferred_username", "upn", "unique_name", "oid"},
			// Only tokens of users have delegated scopes. An application is its own subject, as the object of its service principal.
			Person: Person{By: []Sign{{"scp", nil}, {"idtyp", []string{"app"}}, {"sub", []string{"{oid}"}}}, Proof: true},
		},
		Revocation: endsLater,
		Traps:      "Tokens are of version 1, with another issuer, until the application's manifest says accessTokenAcceptedVersion 2; ask for scope {client id}/.default. Tokens of applications have no scp: name app roles in required_scopes.",
		Source:     "https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference",
	}
}

func keycloak() Preset {
	own := []string{"service-account-{client}"} // of no person, whoever registers as what
	r := usual()
	r.Person = Person{By: []Sign{{"preferred_username", own}, {"username", own}}, Signed: []Sign{{"sub", nil}}}
	return Preset{
		Kind: "keycloak", Title: "Keycloak", Issuer: "https://{host}/realms/{realm}", Endpoint: "{issuer}/protocol/openid-connect/token/introspect",
		Validations: introspects(), CallerAuth: callers(), Audience: "issuer", Issues: Signed, Machines: true,
		Reading: r, Revocation: endsAtOnce,
		Traps:  "Lightweight access tokens (24 and later) carry few claims, so signed ones count as persons': use introspection. Before 17 the issuer has /auth before /realms.",
		Source: "https://www.keycloak.org/securing-apps/oidc-layers#_token_introspection_endpoint",
	}
}

func google() Preset {
	return Preset{
		Kind: "google", Title: "Google", Issuer: "https://accounts.google.com", Endpoint: "https://oauth2.googleapis.com/tokeninfo",
		Validations: []Validation{TokenInfo}, CallerAuth: []string{"none"}, Audience: "endpoint", Issues: Opaque, Prefixes: []string{"ya29."}, Machines: true, Public: true,
		Reading: Reading{
			Client: []string{"azp", "aud"}, Scopes: []string{"scope"}, Names: []string{"email", "sub"},
			Person: Person{By: []Sign{{"sub", []string{"{client}"}}}, Proof: true}, // a service account is its own client
		},
		Revocation: endsAtOnce,
		Traps:      "No client credentials grant: machines are service accounts. Numbers come as strings. Anybody can make a client of Google: name clients or an audience. A service account that acts for a user (domain-wide delegation) is told from itself only by sub. Who it is (sub, email) is there only when a scope such as userinfo.email was asked for: without it a token counts as a person's.",
		Source:     "https://developers.google.com/identity/sign-in/web/backend-auth#calling-the-tokeninfo-endpoint",
	}
}

func gitlab() Preset {
	return Preset{
		Kind: "gitlab", Title: "GitLab", Issuer: "https://gitlab.com", Endpoint: "{issuer}/oauth/introspect",
		Validations: []Validation{Introspection}, CallerAuth: []string{"client_secret_post", "client_secret_basic"}, Audience: "issuer", Issues: Opaque, UserInfo: true,
		Reading: Reading{
			Client: []string{"client_id"}, Scopes: []string{"scope"}, Names: []string{"username", "preferred_username", "nickname"}, Person: Person{Always: true},
		},
		Revocation: endsAtOnce,
		Traps:      "Its tokens are all of users, and introspection does not say of whom: userinfo does, of tokens with scope openid. Others name nobody.",
		Source:     "https://docs.gitlab.com/api/oauth2/, https://docs.gitlab.com/integration/openid_connect_provider/",
	}
}

func cognito() Preset {
	return Preset{
		Kind: "cognito", Title: "AWS Cognito", Issuer: "https://cognito-idp.{region}.amazonaws.com/{user pool}",
		Validations: []Validation{JWT}, CallerAuth: []string{"none"}, Audience: "endpoint", Issues: Signed, Machines: true,
		Reading: Reading{
			Client: []string{"client_id"}, Scopes: []string{"scope"}, Names: []string{"username"},
			Person: Person{By: []Sign{{"username", nil}, {"sub", []string{"{client}"}}}, Proof: true},
		},
		Revocation: endsLater,
		NoAudience: true,
		Traps:      "Access tokens have no aud: leave audience empty, and name required_scopes or clients.",
		Source:     "https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-the-access-token.html",
	}
}

func pingfederate() Preset {
	return Preset{
		Kind: "pingfederate", Title: "PingFederate", Issuer: "https://{host}", Endpoint: "{issuer}/as/introspect.oauth2",
		Validations: introspects(), CallerAuth: callers(), Audience: "issuer", Issues: Either, Machines: true,
		Reading: usual(), Revocation: endsAtOnce,
		Traps:  "What a reply holds depends on the access token manager's attribute contract: username has to be one of its attributes for persons to be told from clients.",
		Source: "https://docs.pingidentity.com/pingfederate/latest/developers_reference_guide/pf_introspec_endpoint.html",
	}
}

func pingone() Preset {
	return Preset{
		Kind: "pingone", Title: "PingOne", Issuer: "https://auth.pingone.com/{environment}/as", Endpoint: "{issuer}/introspect",
		Validations: introspects(), CallerAuth: []string{"client_secret_basic", "client_secret_post"}, Audience: "issuer", Issues: Either, Machines: true,
		Reading: bySubject("{client}"), Revocation: endsAtOnce,
		Traps:  "client_id and client_secret are the resource's, not an application's.",
		Source: "https://apidocs.pingidentity.com/pingone/auth/v1/api/#post-token-introspection-resource-id-and-secret",
	}
}

func pingam() Preset {
	return Preset{
		Kind: "pingam", Title: "PingAM, PingOne Advanced Identity Cloud", Issuer: "https://{host}/am/oauth2/realms/root/realms/{realm}", Endpoint: "{issuer}/introspect",
		Validations: introspects(), CallerAuth: callers(), Audience: "endpoint", Issues: Either, Machines: true,
		Reading: bySubject("(age!{client})", "{client}"), Revocation: endsAtOnce,
		Traps:  "The issuer often has a port (:443), as its tokens do. Client-based tokens are signed and end only by themselves unless their deny-list is on.",
		Source: "https://docs.pingidentity.com/pingam/8/oauth2-guide/oauth2-introspect-endpoint.html",
	}
}

func auth0() Preset {
	return Preset{
		Kind: "auth0", Title: "Auth0", Issuer: "https://{tenant}.auth0.com/",
		Validations: []Validation{JWT}, CallerAuth: []string{"none"}, Audience: "endpoint", Issues: Signed, Machines: true,
		Reading: Reading{
			Client: []string{"azp", "client_id"}, Scopes: []string{"scope"}, Names: []string{"sub"},
			Person: Person{By: []Sign{{"sub", []string{"{client}@clients"}}}, Proof: true},
		},
		Revocation: endsLater,
		Traps:      "Without an audience in the token request its access tokens are opaque, and nobody but Auth0 can judge them. The issuer ends with a slash.",
		Source:     "https://auth0.com/docs/secure/tokens/access-tokens/validate-access-tokens",
	}
}

func hydra() Preset {
	return Preset{
		Kind: "hydra", Title: "Ory Hydra", Issuer: "https://{public host}", Endpoint: "http://{admin host}:4445/admin/oauth2/introspect",
		Validations: introspects(), CallerAuth: []string{"none", "client_secret_basic"}, Audience: "issuer", Issues: Either, Machines: true, Hidden: true,
		Reading: bySubject("{client}"), Revocation: endsAtOnce,
		Traps:  "Introspection is on the admin port, which takes no credentials and must not be open to others; discovery does not name it. From 2.0 on opaque tokens begin with ory_at_: a token_prefix for sites with several providers.",
		Source: "https://www.ory.sh/docs/hydra/reference/api#tag/oAuth2/operation/introspectOAuth2Token",
	}
}

func zitadel() Preset {
	return Preset{
		Kind: "zitadel", Title: "ZITADEL", Issuer: "https://{host}", Endpoint: "{issuer}/oauth/v2/introspect",
		Validations: introspects(), CallerAuth: []string{"client_secret_basic", "private_key_jwt"}, Audience: "issuer", Issues: Either, Machines: true,
		Reading: usual(), Revocation: endsAtOnce,
		Traps:  "Introspection answers active only to an API application of a project that is among the token's audiences. Signed tokens name no user, and count as persons'.",
		Source: "https://zitadel.com/docs/guides/integrate/token-introspection",
	}
}

func custom() Preset {
	return Preset{
		Kind: "custom", Title: "Any other", Issuer: "https://{host}", Endpoint: "https://{host}/…",
		Validations: introspects(), CallerAuth: callers(), Audience: "issuer", Issues: Either, Machines: true,
		Reading: usual(), Revocation: endsAtOnce,
		Source: "https://www.rfc-editor.org/rfc/rfc7662",
	}
}

func githubCom() Preset {
	p := github("github", "GitHub", "https://api.github.com/applications/{client_id}/token")
	p.SignIn = SignIn{Authorization: "https://github.com/login/oauth/authorize", Token: "https://github.com/login/oauth/access_token"} //nolint:gosec // addresses
	return p
}

func github(kind, title, endpoint string) Preset {
	return Preset{
		Kind: kind, Title: title, Endpoint: endpoint,
		Validations: []Validation{TokenCheck}, CallerAuth: []string{"client_secret_basic"}, Audience: "endpoint", Issues: Opaque, Prefixes: []string{"gho_", "ghu_"},
		Reading:    Reading{Client: []string{"client_id"}, Scopes: []string{"scopes"}, Names: []string{"login"}, Person: Person{Always: true}},
		Revocation: endsAtOnce,
		Traps:      "Its tokens are all of users: there is no client credentials grant. Only tokens of the one OAuth or GitHub App are known.",
		Source:     "https://docs.github.com/rest/apps/oauth-applications#check-a-token",
	}
}
