package gateway

import (
	"encoding/base64"
	"strings"
)

// product is what the gateway must know of one kind of product; one file each holds the data.
type product struct {
	name string
	// apiPaths are the paths that count as API when a site names none (policy row 2).
	apiPaths []string
	// tokenPaths are what tokens open when a site names none (policy row 11b).
	tokenPaths []string
	// loginPaths take a user's own log-in and count as not-API without a credential of the API kind.
	loginPaths []string
	// sessionCookies are the cookies of a browser session; a trailing * stands for any rest.
	sessionCookies []string
	// readingPosts are POSTs that only read (row 12, they open), changingGets the GETs that change something (they close), and
	// markingGets those that do with the query parameter marker. actions are extensions of pages that take orders by GET too.
	readingPosts, changingGets, markingGets []string
	marker                                  string
	actions                                 []string
	// pat tells whether a Bearer has the shape of the product's personal access tokens.
	pat func(token string) bool
	// selfPath is where the product says whom it takes a caller for, and statusPath the health page; below the context path.
	selfPath   string
	statusPath string
	// namesUser tells that replies carry X-AUSERNAME.
	namesUser bool
}

// productOf gives the data of a product; config knows no other names.
func productOf(name string) *product {
	switch name {
	case "confluence":
		return confluence()
	case "bitbucket":
		return bitbucket()
	default:
		return jira()
	}
}

// serverPAT tells whether a token has the shape of Jira's and Confluence's personal access tokens: 44
// characters of base64 that decode to digits, a colon and 20 random bytes, which makes the first one M, N or O.
func serverPAT(token string) bool {
	if len(token) != 44 || token[0] < 'M' || token[0] > 'O' {
		return false
	}
	var raw [33]byte
	n, err := base64.StdEncoding.Decode(raw[:], []byte(token))
	if err != nil || n != len(raw) || raw[12] != ':' {
		return false
	}
	for _, c := range raw[:12] {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// isSession tells whether a cookie of that name is a browser session's.
func (p *product) isSession(cookie string) bool {
	for _, s := range p.sessionCookies {
		if prefix, open := strings.CutSuffix(s, "*"); cookie == s || open && strings.HasPrefix(cookie, prefix) {
			return true
		}
	}
	return false
}
