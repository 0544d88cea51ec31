package lab

import (
	"net"
	"net/http"
	"net/url"
	"strings"
)

// identity is whom a request is served as.
type identity struct {
	account
	method    string // "", "pat", "oauth", "password" or "session"
	sessionID string // of the cookie that was accepted
}

// denial is why a request is not served at all: only a password is ever refused.
type denial struct {
	status int
	reason login
	basic  bool // Basic is switched off
	// problem of an OAuth 1.0a signature (http://wiki.oauth.net/ProblemReporting).
	problem string
}

// authenticate follows the products' filters: a password that is shown is tried
// first and refused when wrong; a Bearer that is none of ours is not refused but
// ignored; then the session cookie counts, then a signature of OAuth 1.0a, and else the caller
// is anonymous.
func (n *Node) authenticate(r *http.Request) (identity, *denial) {
	p := n.product
	name, password, basic := r.BasicAuth()
	if basic && p.basicOff.Load() {
		return identity{}, &denial{status: http.StatusForbidden, basic: true}
	}
	if q := r.URL.Query(); q.Has("os_username") && q.Has("os_password") {
		name, password, basic = q.Get("os_username"), q.Get("os_password"), true
	}
	if basic {
		a, result := p.users.password(name, password, false)
		switch result {
		case loginOK:
			return identity{account: a, method: "password"}, nil
		case loginDenied:
			return identity{}, &denial{status: http.StatusForbidden, reason: result}
		default:
			return identity{}, &denial{status: http.StatusUnauthorized, reason: result}
		}
	}
	if raw, ok := bearer(r.Header.Get("Authorization")); ok {
		if a, ok := p.users.find(p.pats.owner(raw)); ok && a.active {
			return identity{account: a, method: "pat"}, nil
		}
	}
	for _, cookie := range r.CookiesNamed(p.cookie) {
		if a, ok := n.sessionOf(cookie.Value); ok {
			return identity{account: a, method: "session", sessionID: cookie.Value}, nil
		}
	}
	a, problem, signed := n.twoLegged(r)
	switch {
	case problem != "":
		return identity{}, &denial{status: http.StatusUnauthorized, problem: problem}
	case signed && !a.anonymous():
		return identity{account: a, method: "oauth"}, nil
	}
	return identity{}, nil
}

func (n *Node) sessionOf(id string) (account, bool) {
	p := n.product
	s, ok := p.logins.find(id)
	if !ok {
		s, ok = p.passing.find(id)
	}
	if !ok || (p.sticky.Load() && s.node != n.id) {
		return account{}, false
	}
	a, ok := p.users.find(s.user)
	return a, ok && a.active
}

// stampIdentity writes the headers every reply of a product carries.
func (n *Node) stampIdentity(w http.ResponseWriter, id identity) {
	h := w.Header()
	if !n.product.nameless.Load() && (n.product.kind != "bitbucket" || !id.anonymous()) {
		name := "anonymous"
		if !id.anonymous() {
			name = url.PathEscape(id.name)
		}
		h.Set("X-AUSERNAME", name)
	}
	if !id.anonymous() {
		h.Set("X-Seraph-LoginReason", string(loginOK))
	}
	switch id.method {
	case "pat", "oauth", "session": // a token's session is thrown away, a session has its cookie
	case "password":
		n.setSession(w, n.product.passing.add(id.name, n.id))
	default:
		n.setSession(w, newSessionID())
	}
}

func (n *Node) setSession(w http.ResponseWriter, id string) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // plain http on loopback, as a node behind a gateway
		Name: n.product.cookie, Value: id, Path: n.product.contextPath + "/", HttpOnly: true,
	})
}

// refuse answers a password that was not accepted.
func (n *Node) refuse(w http.ResponseWriter, c call, d denial) {
	if d.basic {
		writeJSON(w, d.status, map[string]any{"message": "Basic Authentication has been disabled on this instance."})
		return
	}
	if d.problem != "" {
		w.Header().Set("WWW-Authenticate", `OAuth realm="`+url.QueryEscape(c.base)+`", oauth_problem="`+d.problem+`"`)
		containerError(w, d.status, "OAuth problem")
		return
	}
	n.stampRefusal(w, c, d)
	containerError(w, d.status, "Basic Authentication Failure - Reason : "+string(d.reason))
}

func (n *Node) stampRefusal(w http.ResponseWriter, c call, d denial) {
	w.Header().Set("X-Seraph-LoginReason", string(d.reason))
	if d.reason == loginDenied {
		w.Header().Set("X-Authentication-Denied-Reason", "CAPTCHA_CHALLENGE; login-url="+c.base+n.product.loginPath)
		return
	}
	unauthorized(w, c.base)
}

// unauthorized stamps what the OAuth filter puts on every 401.
func unauthorized(w http.ResponseWriter, base string) {
	w.Header().Set("WWW-Authenticate", `OAuth realm="`+url.QueryEscape(base)+`"`)
}

// xsrfRefused is the REST filter against forged browser requests: a POST of a
// browser has to come from the same origin, whatever X-Atlassian-Token says, and
// one of a body type a form can send needs that header.
func xsrfRefused(r *http.Request, path string) bool {
	if r.Method != http.MethodPost || !strings.HasPrefix(path, "/rest/") || strings.HasPrefix(path, probePath) {
		return false
	}
	if fromBrowser(r.UserAgent()) && !sameOrigin(r) {
		return true
	}
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	switch strings.ToLower(strings.TrimSpace(kind)) {
	case "", "application/x-www-form-urlencoded", "multipart/form-data", "text/plain":
		token := r.Header.Get("X-Atlassian-Token")
		return token != "no-check" && token != "nocheck"
	}
	return false
}

func fromBrowser(userAgent string) bool {
	for _, family := range []string{"Mozilla", "Opera", "Chrome", "Safari", "Firefox", "Edge", "MSIE", "Trident"} {
		if strings.Contains(userAgent, family) {
			return true
		}
	}
	return false
}

func sameOrigin(r *http.Request) bool {
	for _, header := range []string{"Origin", "Referer"} {
		value := r.Header.Get(header)
		if value == "" {
			continue
		}
		u, err := url.Parse(value)
		return err == nil && u.Scheme == "http" && withPort(u.Host) == withPort(r.Host)
	}
	return false
}

func withPort(host string) string {
	if _, _, err := net.SplitHostPort(host); err != nil {
		host = net.JoinHostPort(host, "80")
	}
	return strings.ToLower(host)
}
