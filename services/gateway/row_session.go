package gateway

import (
	"net/http"
	"strings"

	identityv1 "github.com/gatehouse-suite/gatehouse/proto/identity/v1"

	"github.com/gatehouse-suite/gatehouse/services/gateway/rules"
)

// session is the browser session of a call, as far as it was looked at.
type session struct {
	cookies string // those that make it, as a Cookie field has them
	node    string // where it is asked for and sent to
	asked   bool
	known   bool
}

// browserSession is row 6: a session of the product goes through as it is, with nothing added. Where row 7 would refuse a
// stranger, or the group rules bind sessions, the product is asked first whose it is: a cookie alone proves nothing, nor
// does a Referer or an Origin. One that is bound walks on to row 12.
func browserSession(c *call) answer {
	if !c.ofBrowser() {
		return answer{}
	}
	bound := c.site.groups != nil && c.site.groups.sessions
	if bound || c.site.restricted.Match(c.r.Method, c.path) {
		known, err := c.sessionKnown()
		if err != nil {
			return unanswered(c, providerAway, err)
		}
		if !known {
			return answer{}
		}
	}
	c.cred.kind = kindSession
	if bound {
		return answer{}
	}
	return answer{kind: pass, reason: browser}
}

// ofBrowser tells whether a call has a browser session of the product and no credential of another kind.
func (c *call) ofBrowser() bool {
	return c.cred.kind == kindNone && c.cred.bad == "" && (hasSession(c.r, c.site.product) || rules.HasSession(c.target.Raw)) &&
		!rules.HasQuery(c.target.Query, credentialQuery)
}

// sessionKnown asks the product whose the session is, once a call; what it said holds for a minute, and for ten seconds
// when it knows nobody. The node that would get the call is the one asked: others may not know its sessions. One in the
// path alone (;jsessionid=) is never known. The error is a fault.
func (c *call) sessionKnown() (bool, error) {
	if c.session.asked {
		return c.session.known, nil
	}
	c.session.asked = true
	if c.session.cookies = sessionCookies(c.r, c.site.product); c.session.cookies == "" {
		return false, nil
	}
	if node := c.site.pool.Next(nearSession(c), nil); node != nil {
		c.session.node = node.ID
	}
	id, err := askProduct(c, 's', c.session.node+"\x00"+c.session.cookies)
	if err != nil {
		c.session.asked = false
		return false, err
	}
	c.fingerprint = "" // whose it is not known to be is no credential
	if id.whoami.GetVerdict() == identityv1.WhoAmIReply_VERDICT_KNOWN {
		c.session.known, c.user, c.fingerprint = true, id.whoami.GetUser(), id.fingerprint
	}
	return c.session.known, nil
}

// hasSession tells whether a call carries a cookie of a browser session of the product.
func hasSession(r *http.Request, p *product) bool {
	found := false
	eachCookie(r, func(name, _ string) bool {
		found = p.isSession(name)
		return !found
	})
	return found
}

// sessionCookies gives the cookies of a browser session, in the order the client sent them.
func sessionCookies(r *http.Request, p *product) string {
	var all []string
	eachCookie(r, func(name, pair string) bool {
		if p.isSession(name) {
			all = append(all, pair)
		}
		return true
	})
	return strings.Join(all, "; ")
}

// cookie gives the value of a cookie; empty when there is none of that name, or several.
func cookie(r *http.Request, name string) string {
	value, count := "", 0
	eachCookie(r, func(n, pair string) bool {
		if n == name {
			_, value, _ = strings.Cut(pair, "=")
			count++
		}
		return true
	})
	if count != 1 {
		return ""
	}
	return value
}

// eachCookie gives name and pair of each cookie until it is told to stop.
func eachCookie(r *http.Request, take func(name, pair string) bool) {
	for _, line := range r.Header["Cookie"] {
		for pair := range strings.SplitSeq(line, ";") {
			pair = strings.TrimSpace(pair)
			if name, _, _ := strings.Cut(pair, "="); !take(name, pair) {
				return
			}
		}
	}
}
