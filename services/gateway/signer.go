package gateway

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"
	"github.com/gomodule/oauth1/oauth"

	"github.com/gatehouse-suite/gatehouse/services/gateway/rules"
	"github.com/gatehouse-suite/gatehouse/services/gateway/upstream"
)

// signer acts as any user of a product, as an application it trusts to impersonate: OAuth 1.0a with RSA-SHA1 (RFC 5849),
// two-legged, which the products know by an empty oauth_token, and xoauth_requestor_id in the query names the user.
type signer struct {
	client oauth.Client
	scheme string
	host   string // empty: as the client names it
}

func newSigner(u *configlog.Upstream, baseURL, key string) (*signer, error) {
	private, err := privateKey(key)
	if err != nil {
		return nil, err
	}
	s := &signer{scheme: "http", client: oauth.Client{
		Credentials: oauth.Credentials{Token: u.ConsumerKey}, SignatureMethod: oauth.RSASHA1, PrivateKey: private,
	}}
	seen := u.SignedURL
	if seen == "" {
		seen = baseURL
	}
	if seen == "" {
		return s, nil
	}
	at, err := url.Parse(seen)
	if err != nil {
		return nil, fmt.Errorf("signed_url: %w", err)
	}
	s.scheme, s.host = at.Scheme, at.Host
	return s, nil
}

// privateKey reads an RSA key in PEM, by PKCS #1 or #8.
func privateKey(text string) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("the private key is no PEM")
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if private, ok := key.(*rsa.PrivateKey); ok && err == nil {
		return private, nil
	}
	return nil, errors.New("the private key is no RSA key")
}

// impersonate names the user in a request target.
func impersonate(target, user string) string {
	mark := "?"
	for i := range len(target) {
		if target[i] == '?' {
			mark = "&"
			break
		}
	}
	return target + mark + "xoauth_requestor_id=" + url.QueryEscape(user)
}

// sign gives the Authorization of a call with a target, and with a form as its body. What is signed is the URL as Tomcat
// sees it: path and query as they stand on the request line, and parameters as it reads them there.
func (s *signer) sign(method, host, target string, form url.Values) (string, error) {
	path, query := target, ""
	for i := range len(target) {
		if target[i] == '?' {
			path, query = target[:i], target[i+1:]
			break
		}
	}
	decoded, err := url.PathUnescape(path)
	if err != nil {
		return "", err
	}
	u := url.URL{Scheme: s.scheme, Host: s.host, Path: decoded, RawPath: path}
	if u.Host == "" {
		u.Host = host
	}
	if u.EscapedPath() != path {
		return "", errors.New("a path that cannot be signed as it stands")
	}
	all := rules.Parameters(query)
	for name, values := range form {
		all[name] = append(all[name], values...)
	}
	header := http.Header{}
	if err := s.client.SetAuthorizationHeader(header, &oauth.Credentials{}, method, &u, all); err != nil {
		return "", err
	}
	return header.Get("Authorization"), nil
}

// longestForm is how much of a form is held to be signed; Tomcat reads parameters from no longer one.
const longestForm = 2 << 20

var errLongForm = errors.New("a form of more than 2 MiB cannot be signed")

// readForm reads the body of a form whole: its parameters are a part of what is signed. Only a POST's are, as in the
// product.
func readForm(body io.Reader) ([]byte, url.Values, error) {
	text, err := io.ReadAll(io.LimitReader(body, longestForm+1))
	if err != nil {
		return nil, nil, &upstream.CutError{Err: err}
	}
	if len(text) > longestForm {
		return nil, nil, &upstream.CutError{Err: errLongForm}
	}
	return text, rules.Parameters(string(text)), nil
}

// signed is what a node is shown of a call that is signed.
type signed struct{ target, authorization string }

// sign signs a call that acts as a user through an application link, once its form is whole.
func (c *call) sign(request *upstream.Request) error {
	if c.answer.kind != asAccount || c.account.signer == nil {
		return nil
	}
	var form url.Values
	if c.form && c.r.Method == http.MethodPost && request.Body != nil {
		text, values, err := readForm(request.Body)
		if err != nil {
			return err
		}
		request.Body, request.Length, request.Expect = bytes.NewReader(text), int64(len(text)), false
		form = values
	}
	c.signed.target = impersonate(nodeTarget(c), c.user)
	var err error
	c.signed.authorization, err = c.account.signer.sign(c.r.Method, c.r.Host, c.signed.target, form)
	return err
}
