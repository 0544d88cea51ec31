package gateway

import (
	"encoding/base64"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/gatehouse-suite/gatehouse/shared/tokenlog"

	"github.com/gatehouse-suite/gatehouse/services/gateway/rules"
)

// kind of credential a call carries, by the names the audit record uses.
type kind string

const (
	kindNone    kind = "none"
	kindBasic   kind = "basic"
	kindPAT     kind = "pat"
	kindOAuth   kind = "oauth"
	kindToken   kind = "api_token"
	kindLink    kind = "link"
	kindSession kind = "session"
)

// maxCredential is the longest token taken, in bytes.
const maxCredential = 16 << 10

// tokenPrefix begins every API token of Gatehouse's own.
const tokenPrefix = tokenlog.Prefix

// credential is what a call shows to say who it is.
type credential struct {
	kind kind
	// token is the Bearer token, or the API token in a Basic password.
	token string
	// inBasic: the token came as a password; inQuery: user and password came in the query.
	inBasic, inQuery bool
	// foreign: a Bearer that is no PAT by its shape, for the product to judge as its own OAuth 2.0 token.
	foreign bool
	// user and password of Basic, or of os_username and os_password.
	user, password string
	// bad is malformed or unsupported: the call is refused in row 8; empty otherwise.
	bad reason
}

// ofAPI tells whether the credential makes any path an API call (policy row 2).
func (c *credential) ofAPI() bool {
	switch c.kind {
	case kindBasic, kindPAT, kindOAuth, kindToken:
		return true
	case kindNone, kindLink, kindSession:
		return c.bad == malformed
	default:
		return false
	}
}

// readCredential finds the one credential of a call. Scheme names are case-insensitive (RFC 9110 §11.1).
func readCredential(r *http.Request, query string, s *site) credential {
	fields := r.Header["Authorization"]
	inQuery, signed := passwordInQuery(query), signedQuery(query)
	switch {
	case len(fields) > 1, len(fields) == 1 && (inQuery || signed), inQuery && signed:
		return credential{kind: kindNone, bad: malformed}
	case inQuery:
		user, _ := rules.QueryValue(query, "os_username")
		password, _ := rules.QueryValue(query, "os_password")
		c := ofPassword(user, password)
		c.inQuery = true
		return c
	case signed:
		return credential{kind: kindLink}
	case len(fields) == 0:
		return credential{kind: kindNone}
	}
	scheme, value := fields[0], ""
	if i := strings.IndexAny(scheme, " \t"); i >= 0 {
		scheme, value = scheme[:i], strings.Trim(scheme[i:], " \t")
	}
	switch {
	case strings.EqualFold(scheme, "Bearer"):
		return readBearer(value, s)
	case strings.EqualFold(scheme, "Basic"):
		return readBasic(value)
	case strings.EqualFold(scheme, "OAuth"):
		return credential{kind: kindLink}
	default:
		return credential{kind: kindNone, bad: unsupported}
	}
}

func readBearer(token string, s *site) credential {
	if !token68(token) {
		return credential{kind: kindNone, bad: malformed}
	}
	switch {
	case strings.HasPrefix(token, tokenPrefix):
		return credential{kind: kindToken, token: token}
	case s.product.pat(token):
		return credential{kind: kindPAT, token: token}
	case s.foreign(token):
		return credential{kind: kindPAT, token: token, foreign: true}
	default:
		return credential{kind: kindOAuth, token: token}
	}
}

func readBasic(value string) credential {
	if len(value) > maxCredential {
		return credential{kind: kindNone, bad: malformed}
	}
	plain, err := base64.StdEncoding.DecodeString(value)
	if err != nil {
		return credential{kind: kindNone, bad: malformed}
	}
	user, password, found := strings.Cut(string(plain), ":")
	if !found {
		return credential{kind: kindNone, bad: malformed}
	}
	return ofPassword(user, password)
}

// ofPassword is the credential that a user name and a password make (RFC 7617 §2): the password may be an API token.
func ofPassword(user, password string) credential {
	control := func(r rune) bool { return r < ' ' || r == 0x7f }
	switch {
	case user == "" || len(user)+len(password) > maxCredential || !utf8.ValidString(user) || !utf8.ValidString(password),
		strings.ContainsFunc(user, control), strings.IndexByte(user, ':') >= 0, strings.ContainsFunc(password, control):
		return credential{kind: kindNone, bad: malformed}
	case strings.HasPrefix(password, tokenPrefix):
		return credential{kind: kindToken, token: password, user: user, inBasic: true}
	default:
		return credential{kind: kindBasic, user: user, password: password}
	}
}

// signedQuery tells whether a call is signed in its query by OAuth 1.0a.
func signedQuery(query string) bool {
	return query != "" && rules.HasQuery(query, func(name string) bool { return name == "oauth_signature" })
}

// token68 tells whether a Bearer token is of the form of RFC 6750 §2.1, and not too long.
func token68(s string) bool {
	if s == "" || len(s) > maxCredential {
		return false
	}
	s = strings.TrimRight(s, "=")
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '-', c == '.', c == '_', c == '~', c == '+', c == '/':
		default:
			return false
		}
	}
	return s != ""
}

// passwordInQuery tells whether a call carries Seraph's query credentials.
func passwordInQuery(query string) bool {
	if query == "" {
		return false
	}
	return rules.HasQuery(query, func(name string) bool { return name == "os_username" }) &&
		rules.HasQuery(query, func(name string) bool { return name == "os_password" })
}
