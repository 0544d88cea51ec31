package gateway

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// refusal is a body that every client of these products parses: REST-framework errors, Jira's and Confluence's
// in one.
type refusal struct {
	Message       string            `json:"message"`
	StatusDash    int               `json:"status-code"`
	Status        int               `json:"statusCode"`
	Reason        reason            `json:"reason"`
	ErrorMessages []string          `json:"errorMessages"`
	Errors        map[string]string `json:"errors"`
}

// retryAfter is what callers are told to wait, in seconds, when something of ours is away.
const retryAfter = "5"

// answerHere answers a call itself. It is recorded before the answer leaves; when that cannot be, and the site does not
// say otherwise, that is the answer.
func answerHere(c *call, a answer) {
	c.answer = a
	body := c.prepare()
	if !c.keep() {
		c.answer = refuse(auditAway, "")
		body = c.prepare()
	}
	c.w.WriteHeader(c.status)
	if c.r.Method != http.MethodHead {
		_, _ = c.w.Write(body)
	}
}

// page is an answer to a person.
type page struct {
	status   int
	location string // where the browser goes on to; empty: it stays
	body     []byte
}

// preparePage sets the header of a page. It holds what nobody may keep, and nothing from elsewhere.
func (c *call) preparePage() []byte {
	h := c.w.Header()
	for name, value := range map[string]string{
		"X-Gatehouse-Reason": string(c.answer.reason), "Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store",
		"Content-Security-Policy": c.gw.pages.Policy(), "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff",
		"X-Frame-Options": "DENY", "Cross-Origin-Opener-Policy": "same-origin",
	} {
		h.Set(name, value)
	}
	if c.page.location != "" {
		h.Set("Location", c.page.location)
	}
	h.Set("Content-Length", strconv.Itoa(len(c.page.body)))
	c.status, c.bytesOut = c.page.status, int64(len(c.page.body))
	if c.r.Method == http.MethodHead {
		c.bytesOut = 0
	}
	return c.page.body
}

// prepare sets the header of an answer of the gateway's own, and what is recorded of it, and gives its body.
func (c *call) prepare() []byte {
	if c.page != nil && c.answer.kind == own {
		return c.preparePage()
	}
	status, message := c.answer.reason.text()
	h := c.w.Header()
	h["X-Gatehouse-Reason"] = []string{string(c.answer.reason)}
	h["Content-Type"] = []string{"application/json"}
	h["Cache-Control"] = []string{"no-store"}
	delete(h, "Www-Authenticate")
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusBadRequest:
		if challenge := challenge(c, c.answer, status); challenge != "" {
			h["Www-Authenticate"] = []string{challenge}
		}
	case http.StatusServiceUnavailable:
		h["Retry-After"] = []string{retryAfter}
	}
	for _, f := range c.answer.fields {
		if f.name != "scope" && f.value != "" {
			h.Set(f.name, f.value)
		}
	}
	body, _ := json.Marshal(refusal{ // plain strings and numbers always marshal
		Message: message, StatusDash: status, Status: status, Reason: c.answer.reason,
		ErrorMessages: []string{message}, Errors: map[string]string{},
	})
	body = append(body, '\n')
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	c.status, c.bytesOut = status, int64(len(body))
	if c.r.Method == http.MethodHead {
		c.bytesOut = 0
	}
	return body
}

// challenge is WWW-Authenticate by RFC 6750 §3: an error code only where a Bearer token was judged.
func challenge(c *call, a answer, status int) string {
	if c.site == nil {
		return ""
	}
	value := `Bearer realm="` + quoted(c.site.realm) + `"`
	bearer := c.cred.kind == kindOAuth || c.cred.kind == kindPAT || c.cred.kind == kindToken && !c.cred.inBasic
	switch {
	case a.reason == malformed:
		return value + `, error="invalid_request"`
	case a.reason == scopeMissing:
		value += `, error="insufficient_scope"`
		for _, f := range a.fields {
			if f.name == "scope" {
				value += `, scope="` + quoted(f.value) + `"`
			}
		}
		return value
	case status != http.StatusUnauthorized:
		return ""
	case bearer && (a.reason == tokenInactive || a.reason == refused):
		return value + `, error="invalid_token"`
	default:
		return value
	}
}

// quoted escapes a quoted-string (RFC 9110 §5.6.4).
func quoted(s string) string {
	q := strconv.QuoteToASCII(s)
	return q[1 : len(q)-1]
}
