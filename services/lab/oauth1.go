package lab

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // RSA-SHA1 is all the products take
	"encoding/base64"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// consumers are the applications a product trusts to call it with OAuth 1.0a (RFC 5849), with its memory of nonces. What
// they sign is checked by code of the lab's own, so that it does not share a mistake with the signer.
type consumers struct {
	mu     sync.Mutex
	known  map[string]consumer
	nonces map[string]bool
	// scheme and host are what the connector says of itself (scheme, proxyName, proxyPort); empty: http and the Host field.
	scheme, host string
}

type consumer struct {
	public       *rsa.PublicKey
	impersonates bool
}

// TrustConsumer adds an incoming application link; impersonates is its "Allow user impersonation through 2-Legged OAuth".
func (p *Product) TrustConsumer(key string, public *rsa.PublicKey, impersonates bool) {
	p.consumers.mu.Lock()
	defer p.consumers.mu.Unlock()
	p.consumers.known[key] = consumer{public: public, impersonates: impersonates}
}

// SetConnector says what Tomcat's connector takes the scheme and host of every request for, as scheme, proxyName and
// proxyPort do; empty: http, and what the client names.
func (p *Product) SetConnector(scheme, host string) {
	p.consumers.mu.Lock()
	defer p.consumers.mu.Unlock()
	p.consumers.scheme, p.consumers.host = scheme, host
}

// parameter of a signed request, decoded.
type parameter struct{ name, value string }

// twoLegged follows the OAuth filter: it looks at requests that carry all oauth_ parameters with an empty oauth_token. ok is
// false for others. An unknown user makes the call anonymous, without a word.
func (n *Node) twoLegged(r *http.Request) (a account, problem string, ok bool) {
	all := append(headerParameters(r.Header.Get("Authorization")), queryParameters(r.URL.RawQuery)...)
	all = append(all, formParameters(r)...)
	value := map[string]string{}
	for _, p := range all {
		if _, twice := value[p.name]; !twice {
			value[p.name] = p.value
		}
	}
	for _, name := range []string{"oauth_consumer_key", "oauth_token", "oauth_signature_method", "oauth_signature", "oauth_timestamp", "oauth_nonce"} {
		if _, there := value[name]; !there {
			return account{}, "", false
		}
	}
	if value["oauth_token"] != "" {
		return account{}, "token_rejected", true
	}
	if problem := n.product.consumers.check(r, all, value); problem != "" {
		return account{}, problem, true
	}
	user := cmp.Or(value["xoauth_requestor_id"], value["user_id"])
	a, found := n.product.users.find(user)
	if found && !a.active {
		return account{}, "permission_denied", true
	}
	return a, "", true
}

func (c *consumers) check(r *http.Request, all []parameter, value map[string]string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	known, ok := c.known[value["oauth_consumer_key"]]
	seconds, err := strconv.ParseInt(value["oauth_timestamp"], 10, 64)
	signature, badSignature := base64.StdEncoding.DecodeString(value["oauth_signature"])
	nonce := value["oauth_timestamp"] + " " + value["oauth_nonce"]
	switch {
	case !ok:
		return "consumer_key_unknown"
	case !known.impersonates:
		return "permission_denied"
	case value["oauth_signature_method"] != "RSA-SHA1":
		return "signature_method_rejected"
	case err != nil || time.Since(time.Unix(seconds, 0)).Abs() > 5*time.Minute:
		return "timestamp_refused"
	case c.nonces[nonce]:
		return "nonce_used"
	}
	sum := sha1.Sum([]byte(baseString(r, cmp.Or(c.scheme, "http"), cmp.Or(c.host, r.Host), all))) //nolint:gosec // see import
	if badSignature != nil || rsa.VerifyPKCS1v15(known.public, crypto.SHA1, sum[:], signature) != nil {
		return "signature_invalid"
	}
	c.nonces[nonce] = true
	return ""
}

// baseString is RFC 5849 §3.4.1: method, URL without query, and every parameter but the signature, in order.
func baseString(r *http.Request, scheme, host string, all []parameter) string {
	host = strings.ToLower(host)
	if port := map[string]string{"http": ":80", "https": ":443"}[scheme]; port != "" {
		host = strings.TrimSuffix(host, port)
	}
	var encoded []parameter
	for _, p := range all {
		if p.name != "oauth_signature" && p.name != "realm" {
			encoded = append(encoded, parameter{percent(p.name), percent(p.value)})
		}
	}
	slices.SortFunc(encoded, func(a, b parameter) int { return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.value, b.value)) })
	var pairs []string
	for _, p := range encoded {
		pairs = append(pairs, p.name+"="+p.value)
	}
	return r.Method + "&" + percent(scheme+"://"+host+rawPath(r)) + "&" + percent(strings.Join(pairs, "&"))
}

// percent is RFC 5849 §3.6.
func percent(s string) string {
	var out strings.Builder
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0 {
			out.WriteByte(c)
			continue
		}
		const digits = "0123456789ABCDEF"
		out.Write([]byte{'%', digits[c>>4], digits[c&15]})
	}
	return out.String()
}

// headerParameters reads Authorization: OAuth name="value", …
func headerParameters(h string) (all []parameter) {
	if len(h) < 6 || !strings.EqualFold(h[:6], "OAuth ") {
		return nil
	}
	for pair := range strings.SplitSeq(h[6:], ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
		name, _ = url.PathUnescape(name)
		value, _ = url.PathUnescape(strings.Trim(value, `"`))
		all = append(all, parameter{name, value})
	}
	return all
}

// queryParameters reads parameters as Tomcat does.
func queryParameters(query string) (all []parameter) {
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		name, badName := url.QueryUnescape(name)
		value, badValue := url.QueryUnescape(value)
		if name != "" && badName == nil && badValue == nil {
			all = append(all, parameter{name, value})
		}
	}
	return all
}

// formParameters reads the body of a POST that is a form, and puts it back.
func formParameters(r *http.Request) []parameter {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" || r.Method != http.MethodPost {
		return nil
	}
	const most = 2 << 20
	text, _ := io.ReadAll(io.LimitReader(r.Body, most+1))
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(text), r.Body), r.Body}
	if len(text) > most {
		return nil
	}
	return queryParameters(string(text))
}
