package gateway

import "strings"

// noCredential is row 7: whoever shows nothing goes on as nobody.
func noCredential(c *call) answer {
	if c.cred.kind == kindNone && c.cred.bad == "" {
		if c.site.restricted.Match(c.r.Method, c.path) {
			return refuse(authRequired, "")
		}
		return answer{kind: asNobody, reason: anonymous}
	}
	return answer{}
}

// whichCredential is row 8: what row 2 read is refused here when it was several or none that we know.
func whichCredential(c *call) answer {
	if c.cred.bad != "" {
		return refuse(c.cred.bad, "")
	}
	return answer{}
}

// methodSwitches is row 9.
func methodSwitches(c *call) answer {
	m := c.site.config.Methods
	switch {
	case c.cred.kind == kindBasic && !m.Basic:
		return refuse(basicDisabled, "")
	case c.cred.kind == kindOAuth && !m.OAuth:
		return refuse(oauthDisabled, "")
	case c.cred.kind == kindPAT && !m.PAT && !c.cred.foreign:
		return refuse(patDisabled, "")
	case c.cred.kind == kindToken && !m.APITokens:
		return refuse(tokensDisabled, "")
	case c.cred.kind == kindLink && !m.Links:
		return refuse(linksDisabled, "")
	default:
		return answer{}
	}
}

// asWhom is row 11: the account of the product the call acts as.
func asWhom(c *call) answer {
	if c.cred.kind != kindOAuth {
		return answer{}
	}
	p := c.site.providers[c.provider]
	account, listed := p.account(c.clientID)
	if !listed {
		return refuse(noAccount, "client "+c.clientID+" is not on the provider's list")
	}
	if c.site.config.Grant != "client_credentials" { // a grant of users: the token acts as whom it names, never as the service account
		if c.owner == "" {
			return refuse(userUnknown, "the token names no user")
		}
		account = strings.ToLower(c.owner)
	}
	if account == "" {
		return refuse(noAccount, "the provider has no service account")
	}
	if c.account = c.site.accounts[account]; c.account == nil {
		return refuse(noAccount, "no usable upstream credential for "+account)
	}
	c.user = account
	if c.account.rests(c.at) {
		return refuse(mismatch, "the product refused the password of "+account+" lately; it is not shown again for a while")
	}
	return answer{}
}

// ofPerson tells whether a token was issued to a person: it names a user who is not the client itself.
func ofPerson(username, clientID string) bool {
	return username != "" && !strings.EqualFold(username, clientID) &&
		!strings.EqualFold(username, "service-account-"+clientID)
}

// recordable is row 14: a call that cannot be recorded is not made, unless the site says otherwise. What the gateway
// answers itself is recorded with its answer.
func recordable(c *call, a answer) answer {
	c.answer = a
	if a.forwarded() && !c.begin() {
		return refuse(auditAway, "")
	}
	return a
}

// swapAndForwardAs is row 15: the client's own credential goes up when only the product could judge it, ours
// otherwise.
func swapAndForwardAs(c *call) answer {
	switch {
	case c.cred.kind == kindLink: // the signature binds the URL
		return answer{kind: pass, reason: link}
	case c.account != nil:
		return answer{kind: asAccount, reason: allowed}
	default:
		return answer{kind: asThemself, reason: allowed}
	}
}
