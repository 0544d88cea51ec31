package gateway

import "github.com/gatehouse-suite/gatehouse/shared/names"

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
		account = c.owner
	}
	if account == "" {
		return refuse(noAccount, "the provider has no service account")
	}
	if c.account = c.site.actsAs(account); c.account == nil {
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
	return username != "" && !names.Same(username, clientID) &&
		!names.Same(username, "service-account-"+clientID)
}
