package introspection

import (
	"context"
	"strings"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/presets"
	"github.com/go-jose/go-jose/v4"
)

// verifying judges signed tokens by the provider's keys (RFC 7519, RFC 9068). Nobody is asked but for the keys.
type verifying struct {
	issuer  string
	keys    *kept[keySet]
	reading reading
}

func (v *verifying) judge(ctx context.Context, q *inquiry, token string) (facts, time.Time, *problem) {
	f, p := v.verify(ctx, q, token)
	return f, time.Now(), p
}

// verify gives what a token says of itself when the provider has signed it. Every other token is inactive, and the detail
// says why; whether it has ended is judged by who uses the facts.
func (v *verifying) verify(ctx context.Context, q *inquiry, token string) (facts, *problem) {
	signed, err := jose.ParseSignedCompact(token, algorithms())
	if err != nil || len(signed.Signatures) != 1 {
		return no("it is not signed by a public key algorithm"), nil
	}
	header := signed.Signatures[0].Protected
	if kind, _ := header.ExtraHeaders[jose.HeaderType].(string); !accessTokenType(kind) {
		return no("it is no access token by its typ"), nil
	}
	payload, found, p := v.payload(ctx, q, signed, header)
	switch {
	case p != nil:
		return facts{}, p
	case !found:
		return no("it is signed by a key the provider does not have"), nil
	case payload == nil:
		return no("its signature is wrong"), nil
	}
	f, err := parseClaims(payload, v.reading)
	switch {
	case err != nil:
		return no("its payload " + err.Error()), nil
	case !presets.SameIssuer(f.issuer, v.issuer):
		return no("it is of another issuer"), nil
	case f.active && f.expiresAt.IsZero():
		return no("it never ends"), nil
	default:
		return f, nil
	}
}

// payload gives what was signed; nil when the signature is wrong. found is false when the provider has no such key, also
// after its keys were fetched again: at most once in a while, so that invented key ids cannot make us ask.
func (v *verifying) payload(ctx context.Context, q *inquiry, signed *jose.JSONWebSignature, header jose.Header) (_ []byte, found bool, _ *problem) {
	set, p := v.keys.get(ctx, q)
	if p != nil {
		return nil, false, p
	}
	by := jose.SignatureAlgorithm(header.Algorithm)
	keys := set.find(header.KeyID, by)
	if len(keys) == 0 {
		newer, p := v.keys.anew(ctx, q)
		if p != nil {
			return nil, false, &problem{result: resultKeys, text: "the key that signed is not known here, and its keys cannot be fetched: " + p.text}
		}
		keys = newer.find(header.KeyID, by)
	}
	for i := range keys {
		if payload, err := signed.Verify(&keys[i]); err == nil {
			return payload, true, nil
		}
	}
	return nil, len(keys) > 0, nil
}

// no is a token that is not good.
func no(detail string) facts { return facts{detail: detail} }

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

func (v *verifyingFirst) judge(ctx context.Context, q *inquiry, token string) (facts, time.Time, *problem) {
	said, p := v.first.verify(ctx, q, token)
	if p != nil || !said.active {
		return said, time.Now(), p
	}
	f, at, p := v.then.judge(ctx, q, token)
	if p != nil || !f.active {
		return f, at, p
	}
	if f.clientID != "" && said.clientID != "" && f.clientID != said.clientID || f.subject != "" && said.subject != "" && f.subject != said.subject {
		return facts{}, at, &problem{result: resultMalformed, text: "what it says of the token is not what it has signed"}
	}
	if f.issuer == "" {
		f.issuer = said.issuer
	}
	if f.expiresAt.IsZero() || said.expiresAt.Before(f.expiresAt) {
		f.expiresAt = said.expiresAt
	}
	return f, at, nil
}
