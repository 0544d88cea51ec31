package gateway

// asWhom is row 11: the account of the product the call acts as.
func asWhom(c *call) answer {
	switch c.cred.kind {
	case kindOAuth:
	case kindToken:
		return c.actAs(c.owner)
	case kindNone, kindBasic, kindPAT, kindLink, kindSession:
		return answer{}
	}
	p := c.site.providers[c.provider]
	account, listed := p.account(c.clientID)
	if !listed {
		return refuse(noAccount, "client "+c.clientID+" is not on the provider's list")
	}
	if c.site.config.Grant != "client_credentials" { // a grant of users: the token acts as whom it names, never as the service account
		if c.owner == "" {
			return refuse(userUnknown, "the token names no user, or none that username_claim and username_regex find")
		}
		account = c.owner
	}
	if account == "" {
		return refuse(noAccount, "the provider has no service account")
	}
	return c.actAs(account)
}

// actAs has the call act as a user of the product.
func (c *call) actAs(account string) answer {
	if c.account = c.site.actsAs(account); c.account == nil {
		return refuse(noAccount, "no usable upstream credential for "+account)
	}
	c.user = account
	if c.account.rests(c.at) {
		return refuse(mismatch, "the product refused the password of "+account+" lately; it is not shown again for a while")
	}
	return answer{}
}
