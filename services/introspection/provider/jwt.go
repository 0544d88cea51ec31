package provider

import (
	"cmp"
	"context"
	"encoding/base64"
	"strings"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/presets"
	"github.com/go-jose/go-jose/v4"

	"github.com/gatehouse-suite/gatehouse/services/introspection/remote"
)

// verifying judges signed tokens by the provider's keys (RFC 7519, RFC 9068). Nobody is asked but for the keys.
type verifying struct {
	issuer  string
	keys    *kept[keySet]
	reading reading
}

func (v *verifying) judge(ctx context.Context, q *inquiry, token string) (Facts, time.Time, *remote.Problem) {
	return v.verify(ctx, q, token)
}

// verify gives what a token says of itself when the provider has signed it. Every other token is inactive, and the detail says
// why; whether it has ended is judged by who uses the facts. at is now, or of a token that no known key has signed when the keys
// were fetched: that is how old the word is.
func (v *verifying) verify(ctx context.Context, q *inquiry, token string) (_ Facts, at time.Time, _ *remote.Problem) {
	now := time.Now()
	signed, err := jose.ParseSignedCompact(token, algorithms())
	if err != nil || len(signed.Signatures) != 1 || !canonical(token) {
		return no("it is not signed by a public key algorithm"), now, nil
	}
	if kind, _ := signed.Signatures[0].Protected.ExtraHeaders[jose.HeaderType].(string); !accessTokenType(kind) {
		return no("it is no access token by its typ"), now, nil
	}
	payload, why, at, p := v.payload(ctx, q, signed)
	switch {
	case p != nil:
		return Facts{}, now, p
	case payload == nil:
		return no(why), at, nil
	}
	f, err := parseClaims(payload, v.reading)
	switch {
	case err != nil:
		return no("its payload " + err.Error()), now, nil
	case f.Active && !presets.SameIssuer(f.Issuer, v.issuer):
		return no("it is of another issuer"), now, nil
	case f.Active && f.ExpiresAt.IsZero():
		return no("it never ends"), now, nil
	default:
		return f, now, nil
	}
}

// canonical tells whether a token is spelled in the one way that encodes it: base64 without padding leaves bits at the end that
// decoders pass over, and one token could be shown as several.
func canonical(token string) bool {
	for part := range strings.SplitSeq(token, ".") {
		if _, err := base64.RawURLEncoding.Strict().DecodeString(part); err != nil {
			return false
		}
	}
	return true
}

// payload gives what was signed; nil when no key of the provider has signed it, and why. The keys are fetched again then, at
// most once in a while, so that invented key ids and signatures cannot make us ask; at is when that was.
func (v *verifying) payload(ctx context.Context, q *inquiry, signed *jose.JSONWebSignature) (_ []byte, why string, at time.Time, _ *remote.Problem) {
	set, at, p := v.keys.get(ctx, q)
	if p != nil {
		return nil, "", at, p
	}
	payload, _ := set.verify(signed)
	if payload != nil {
		return payload, "", at, nil
	}
	set, at, p = v.keys.anew(ctx, q)
	if p != nil {
		return nil, "", at, &remote.Problem{Result: remote.KeysAway, Text: "the key that signed is not known here, and its keys cannot be fetched: " + p.Text}
	}
	payload, why = set.verify(signed)
	return payload, why, at, nil
}

// verify gives what was signed by one of the keys, or nil and why.
func (s keySet) verify(signed *jose.JSONWebSignature) (payload []byte, why string) {
	header := signed.Signatures[0].Protected
	keys := s.find(header.KeyID, jose.SignatureAlgorithm(header.Algorithm))
	for i := range keys {
		if payload, err := signed.Verify(&keys[i]); err == nil {
			return payload, ""
		}
	}
	if len(keys) == 0 {
		return nil, "it is signed by a key the provider does not have"
	}
	return nil, "its signature is wrong"
}

// no is a token that is not good.
func no(detail string) Facts { return Facts{Detail: detail} }

// accessTokenType tells whether a typ may be an access token's: RFC 9068 §2.1 has at+jwt, most providers say JWT or nothing.
func accessTokenType(typ string) bool {
	switch strings.TrimPrefix(strings.ToLower(typ), "application/") {
	case "", "jwt", "at+jwt":
		return true
	default:
		return false
	}
}

// verifyingFirst asks the provider only about what it has signed.
type verifyingFirst struct {
	first *verifying
	then  validator
}

func (v *verifyingFirst) judge(ctx context.Context, q *inquiry, token string) (Facts, time.Time, *remote.Problem) {
	said, at, p := v.first.verify(ctx, q, token)
	if p != nil || !said.Active {
		return said, at, p
	}
	f, at, p := v.then.judge(ctx, q, token)
	if p != nil || !f.Active {
		return f, at, p
	}
	if f.ClientID != "" && f.ClientID != said.ClientID || f.Subject != "" && said.Subject != "" && f.Subject != said.Subject {
		return Facts{}, at, &remote.Problem{Result: remote.Malformed, Text: "what it says of the token is not what it has signed"}
	}
	return both(f, said), at, nil
}

// both gives what an answer says, and what the token itself says beside it: the narrower counts.
func both(f, said Facts) Facts {
	named := f.Username != ""
	f.ClientID = said.ClientID
	f.Issuer, f.Subject, f.Username = cmp.Or(f.Issuer, said.Issuer), cmp.Or(f.Subject, said.Subject), cmp.Or(f.Username, said.Username)
	f.MappedUser = cmp.Or(f.MappedUser, said.MappedUser)
	f.Person = f.Person || said.Person && !named // the answer knows better, when it names somebody
	if !presets.IsAccessToken(said.TokenType) {
		f.TokenType = said.TokenType
	}
	if len(f.Audience) == 0 {
		f.Audience = said.Audience
	}
	if f.ExpiresAt.IsZero() || said.ExpiresAt.Before(f.ExpiresAt) {
		f.ExpiresAt = said.ExpiresAt
	}
	if f.NotBefore.Before(said.NotBefore) {
		f.NotBefore = said.NotBefore
	}
	return f
}
