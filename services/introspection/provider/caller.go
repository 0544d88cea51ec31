package provider

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// caller is how we show a provider that we are its client.
type caller struct {
	way, id, secret string
	// audience of a client assertion; empty: the endpoint.
	audience string
	signer   jose.Signer // only of private_key_jwt
}

// needsSecret tells whether a way of showing ourselves to the provider needs a secret, and whether it is known.
func needsSecret(callerAuth string) (needed, known bool) {
	switch callerAuth {
	case "", "client_secret_basic", "client_secret_post", "private_key_jwt":
		return true, true
	case "none": // endpoints on an admin port, as Ory Hydra's
		return false, true
	default:
		return false, false
	}
}

// newCaller makes a caller ready; of private_key_jwt the secret is a private key in PEM.
func newCaller(way, id, secret, keyID, audience string) (*caller, error) {
	c := &caller{way: way, id: id, secret: secret, audience: audience}
	if way != "private_key_jwt" {
		return c, nil
	}
	c.secret = ""
	key, by, err := signingKey(secret)
	if err != nil {
		return nil, err
	}
	options := (&jose.SignerOptions{}).WithType("JWT")
	if keyID != "" {
		options = options.WithHeader("kid", keyID)
	}
	c.signer, err = jose.NewSigner(jose.SigningKey{Algorithm: by, Key: key}, options)
	return c, err
}

// show puts into a request what shows that it is ours: RFC 6749 §2.3.1, RFC 7523 §2.2.
func (c *caller) show(endpoint string, header http.Header, form url.Values, now time.Time) error {
	switch c.way {
	case "client_secret_post":
		form.Set("client_id", c.id)
		form.Set("client_secret", c.secret)
	case "private_key_jwt":
		assertion, err := c.assertion(endpoint, now)
		if err != nil {
			return err
		}
		form.Set("client_id", c.id)
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", assertion)
	case "none":
		if c.id != "" {
			form.Set("client_id", c.id)
		}
	default: // encoded first
		header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(c.id)+":"+url.QueryEscape(c.secret))))
	}
	return nil
}

// assertionFor is how long a client assertion is good; it is used at once, and once.
const assertionFor = time.Minute

// assertion is RFC 7523 §3.
func (c *caller) assertion(endpoint string, now time.Time) (string, error) {
	audience := c.audience
	if audience == "" {
		audience = endpoint
	}
	claims, err := json.Marshal(map[string]any{
		"iss": c.id, "sub": c.id, "aud": audience, "jti": rand.Text(), "iat": now.Unix(), "exp": now.Add(assertionFor).Unix(),
	})
	if err != nil {
		return "", err
	}
	signed, err := c.signer.Sign(claims)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

var errNoKey = errors.New("the private key is no RSA, EC or Ed25519 key in PEM")

// signingKey reads a private key in PEM (PKCS #8, or #1 and SEC 1) and gives the algorithm it signs by.
func signingKey(text string) (crypto.Signer, jose.SignatureAlgorithm, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, "", errNoKey
	}
	var key any
	if ec, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
		key = ec
	} else if pkcs1, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		key = pkcs1
	} else if key, err = x509.ParsePKCS8PrivateKey(block.Bytes); err != nil {
		return nil, "", errNoKey
	}
	switch k := key.(type) {
	case *rsa.PrivateKey:
		return k, jose.RS256, nil
	case *ecdsa.PrivateKey:
		switch k.Curve {
		case elliptic.P256():
			return k, jose.ES256, nil
		case elliptic.P384():
			return k, jose.ES384, nil
		case elliptic.P521():
			return k, jose.ES512, nil
		}
	case ed25519.PrivateKey:
		return k, jose.EdDSA, nil
	}
	return nil, "", errNoKey
}
