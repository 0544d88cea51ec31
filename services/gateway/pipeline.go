package gateway

// walk takes a call through the policy, row by row, until one answers. The numbers are those of the policy:
// docs/reference/policy.md.
func walk(c *call) answer {
	return recordable(c, decide(c)) // 14 audit_unavailable: whatever was answered, it can be recorded
}

// decide gives the answer of the first row that has one.
func decide(c *call) answer {
	for _, row := range [...]func(*call) answer{
		plainMethod,      // 0   method_not_allowed
		canonicalPath,    // 0   path_ambiguous
		matchSite,        // 1   site_unknown
		ownPaths,         // 1b  answered here, never forwarded
		notAPICall,       // 2   pass not_api
		notEnforced,      // 3   pass disabled
		tooStale,         // -   configuration_stale: the plan is older than the site's stale.max
		restrictIP,       // 4   ip_denied
		bypassed,         // 5   pass bypassed
		browserSession,   // 6   pass browser
		noCredential,     // 7   authentication_required, pass anonymous
		whichCredential,  // 8   credential_malformed, scheme_unsupported
		methodSwitches,   // 9   basic_disabled, oauth_disabled, …
		whoIsIt,          // 10  token_inactive, credential_refused, provider_unavailable, …
		asWhom,           // 11  not_a_client_token, no_upstream_account
		tokenPaths,       // 11b path_not_for_tokens
		groupRules,       // 12  group_denied, read_only
		rateLimit,        // 13  rate_limited
		swapAndForwardAs, // 15  whose credential goes up; what the node makes of it is in forward.go
	} {
		if a := row(c); a.kind != goOn {
			return a
		}
	}
	return refuse("", "no row answered")
}
