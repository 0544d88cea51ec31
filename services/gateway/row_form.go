package gateway

import (
	"errors"
	"io"
	"strings"

	"github.com/gatehouse-suite/gatehouse/services/gateway/rules"
)

// errFormCredential is why the body of a form is not passed on.
var errFormCredential = errors.New("a user name, a password or a signature in the body of a form")

// readableForm is the part of row 8 that is about bodies, before any row lets a call through without a credential. The
// products take a parameter from the body of a form as they take one from the query (Servlet 6.0 §3.1), so os_username,
// os_password or oauth_signature in one would be a credential that no row has seen: such a body is cut where the name appears, and the node
// never has all of it. A charset in which ASCII is written in another way would hide the names from us and not from the
// product, which decodes form and query by it: it is refused.
func readableForm(c *call) answer {
	types := c.r.Header["Content-Type"]
	if len(types) == 0 {
		return answer{}
	}
	for _, t := range types {
		kind, parameters, _ := strings.Cut(t, ";")
		form := strings.EqualFold(strings.Trim(kind, " \t"), "application/x-www-form-urlencoded")
		if form && c.r.ContentLength != 0 {
			c.form = true
		}
		if (form || c.target.Query != "") && !plainCharset(parameters) {
			return refuse(malformed, "the charset of the form or the query hides its names")
		}
	}
	return answer{}
}

// plainCharset tells whether the parameters of a media type name no charset, or one that writes ASCII as ASCII.
func plainCharset(parameters string) bool {
	for parameter := range strings.SplitSeq(parameters, ";") {
		name, value, _ := strings.Cut(parameter, "=")
		if !strings.EqualFold(strings.Trim(name, " \t"), "charset") {
			continue
		}
		value = strings.ToLower(strings.Trim(value, " \t\"'"))
		if value != "utf-8" && value != "utf8" && value != "us-ascii" && value != "ascii" &&
			!strings.HasPrefix(value, "iso-8859-") && !strings.HasPrefix(value, "windows-125") {
			return false
		}
	}
	return true
}

// formReader passes the body of a form on up to a name that belongs to a credential.
type formReader struct {
	body io.Reader
	form rules.Form
}

func (f *formReader) Read(p []byte) (int, error) {
	n, err := f.body.Read(p)
	if f.form.Has(p[:n], credentialName) {
		return 0, errFormCredential
	}
	return n, err
}

// credentialName tells whether a parameter makes the products see a credential: a password, or a signature of OAuth 1.0a
// (RFC 5849 §3.5.2), which belongs into the header or the query.
func credentialName(name string) bool {
	return name == "os_username" || name == "os_password" || name == "oauth_signature"
}
