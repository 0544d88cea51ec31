package gateway

// swapAndForwardAs is row 15: the client's own credential goes up when only the product could judge it, ours
// otherwise.
func swapAndForwardAs(c *call) answer {
	switch {
	case c.cred.kind == kindSession:
		return answer{kind: pass, reason: browser}
	case c.cred.kind == kindLink: // the signature binds the URL
		return answer{kind: pass, reason: link}
	case c.account != nil:
		reason := allowed
		if c.lastWord != "" {
			reason = allowedStale
		}
		return answer{kind: asAccount, reason: reason, detail: c.lastWord}
	default:
		return answer{kind: asThemself, reason: allowed}
	}
}
