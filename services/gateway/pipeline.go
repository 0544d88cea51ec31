package gateway

// row is one step of the policy.
type row struct {
	// name is its number in the policy and what it does.
	name  string
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
		{"0 method", plainMethod, always},                         // method_not_allowed
		{"0 canonical path", canonicalPath, always},               // path_ambiguous
		{"1 site", matchSite, always},                             // site_unknown
		{"1b own paths", ownPaths, always},                        // answered here, never forwarded
		{"2 API call", notAPICall, always},                        // pass not_api
		{"3 enabled", notEnforced, always},                        // pass disabled
		{"stale", tooStale, always},                               // configuration_stale: the plan is older than the site's stale.max
		{"4 address", restrictIP, goesOn},                         // ip_denied
		{"5 bypass", bypass, always},                              // pass bypassed
		{"8 form", readableForm, always},                          // credential_malformed, of a form; before 6, which passes bodies on
		{"6 browser session", browserSession, always},             // pass browser
		{"7 no credential", noCredential, asStranger},             // authentication_required, pass anonymous
		{"8 which credential", whichCredential, always},           // credential_malformed, scheme_unsupported
		{"9 switches", methodSwitches, goesOn},                    // basic_disabled, oauth_disabled, …
		{"10 who is it", whoIsIt, asStranger},                     // token_inactive, credential_refused, provider_unavailable, …
		{"11 as whom", asWhom, asStranger},                        // not_a_client_token, no_upstream_account
		{"11b paths for tokens", tokenPaths, asStranger},          // path_not_for_tokens
		{"12 groups", groupsAllow, goesOn},                        // group_denied, read_only, user_unknown, directory_unavailable
		{"13 rate limit", rateLimit, goesOn},                      // rate_limited
		{"15 whose credential goes up", swapAndForwardAs, always}, // whose credential goes up; what the node makes of it is in forward.go
	} {
		a := c.judge(row)
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

// judge judges the call by a row, and has a trial see it.
func (c *call) judge(r row) answer {
	if c.trial != nil {
		return c.trial.row(c, r)
	}
	return r.judge(c)
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
