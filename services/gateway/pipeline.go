package gateway

// row is one step of the policy.
type row struct {
	judge func(*call) answer
	// observed is what becomes of a call the row refuses while its site is in observe mode.
	observed observing
}

// observing is what observe mode makes of a refusal.
type observing uint8

const (
	always     observing = iota // refused all the same
	goesOn                      // as if the row had not been there
	asStranger                  // goes on to the node as nobody: who it is was not established
)

// walk takes a call through the policy, row by row, until one answers.
func walk(c *call) answer {
	return recordable(c, decide(c)) // 14 audit_unavailable: whatever was answered, it can be recorded
}

// decide gives the answer of the first row that has one. The numbers are those of the policy: docs/reference/policy.md.
func decide(c *call) answer {
	for _, row := range [...]row{
		{plainMethod, always},      // 0   method_not_allowed
		{canonicalPath, always},    // 0   path_ambiguous
		{matchSite, always},        // 1   site_unknown
		{ownPaths, always},         // 1b  answered here, never forwarded
		{notAPICall, always},       // 2   pass not_api
		{notEnforced, always},      // 3   pass disabled
		{tooStale, always},         // -   configuration_stale: the plan is older than the site's stale.max
		{restrictIP, goesOn},       // 4   ip_denied
		{bypass, always},           // 5   pass bypassed
		{readableForm, always},     // 8   credential_malformed, of a form; before 6, which passes bodies on
		{browserSession, always},   // 6   pass browser
		{noCredential, asStranger}, // 7   authentication_required, pass anonymous
		{whichCredential, always},  // 8   credential_malformed, scheme_unsupported
		{methodSwitches, goesOn},   // 9   basic_disabled, oauth_disabled, …
		{whoIsIt, asStranger},      // 10  token_inactive, credential_refused, provider_unavailable, …
		{asWhom, asStranger},       // 11  not_a_client_token, no_upstream_account
		{tokenPaths, asStranger},   // 11b path_not_for_tokens
		{groupsAllow, goesOn},      // 12  group_denied, read_only, user_unknown, directory_unavailable
		{rateLimit, goesOn},        // 13  rate_limited
		{swapAndForwardAs, always}, // 15  whose credential goes up; what the node makes of it is in forward.go
	} {
		a := row.judge(c)
		if a.kind == deny && c.observe(&a, row.observed) {
			if row.observed == goesOn {
				continue
			}
			return answer{kind: asNobody, reason: anonymous, detail: a.detail}
		}
		if a.kind != goOn {
			return a
		}
	}
	return refuse("", "no row answered")
}

// observe notes what a call would have been refused for, and tells whether it goes on. Of several reasons the first
// counts: it is what the caller would have been told. Who it is, when that cannot be known now (503), is refused in
// observe mode too; his groups are not.
func (c *call) observe(a *answer, o observing) bool {
	if o == always || c.site == nil || c.site.config.Mode != "observe" {
		return false
	}
	if status, _ := a.reason.text(); status >= 500 && a.reason != directoryAway {
		return false
	}
	if c.observed == "" {
		c.observed = a.reason
	}
	return true
}
