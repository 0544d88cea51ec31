package presets

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"
)

// Token is what can be seen of a token without judging it. Nothing of it is proven.
type Token struct {
	// Signed: it has the form of a JWS in compact serialisation (RFC 7515 §7.1) whose header is a JSON object.
	Signed bool
	// Issuer is the iss of a signed one; empty: it names none.
	Issuer string
	value  string
}

// Look reads a token's shape. It decodes at most the token's own length.
func Look(value string) Token {
	t := Token{value: value}
	head, rest, ok := strings.Cut(value, ".")
	payload, signature, signed := strings.Cut(rest, ".")
	if !ok || !signed || strings.Contains(signature, ".") {
		return t
	}
	var header struct {
		Algorithm string `json:"alg"`
	}
	if !object(head, &header) || header.Algorithm == "" {
		return t
	}
	t.Signed = true
	var claims struct {
		Issuer string `json:"iss"`
	}
	if object(payload, &claims) {
		t.Issuer = claims.Issuer
	}
	return t
}

func object(part string, into any) bool {
	text, err := base64.RawURLEncoding.DecodeString(part)
	return err == nil && json.Unmarshal(text, into) == nil
}

// Issuer is what tells a provider's tokens from those of others, made ready once for a configuration.
type Issuer struct {
	name     string
	issues   Shape
	prefixes []string
}

// IssuerOf gives what is known of a provider's tokens.
func IssuerOf(p *configlog.Provider) Issuer {
	preset, known := Of(p.Kind)
	if !known { // of a later version: it cannot be asked here, which is no word about its tokens
		preset.Issues = Either
	}
	i := Issuer{name: p.Issuer, issues: preset.Issues, prefixes: preset.Prefixes}
	if p.TokenPrefix != "" {
		i.prefixes = []string{p.TokenPrefix}
	}
	if ValidationOf(p).Signed() {
		i.issues &= Signed
	}
	return i
}

// Issuers gives the indices of those of a site's providers that can have issued a token, in their order. A token is shown to
// no other: to a provider it would be somebody else's credential.
//
//   - a signed token that names an issuer can be that of providers with this issuer only; when none of the site has it, of
//     those with no issuer;
//   - an opaque one whose first letters are a provider's own (its token_prefix, or its preset's) can be that provider's only,
//     and one with other letters none of its;
//   - a provider of one shape of token has issued none of the other.
func Issuers(all []Issuer, t Token) []int {
	var own, any []int
	for i := range all {
		switch fit := all[i].fits(t); fit {
		case itsOwn:
			own = append(own, i)
		case possible:
			any = append(any, i)
		case impossible:
		}
	}
	if len(own) > 0 {
		return own
	}
	return any
}

// fit is how a token and a provider go together.
type fit uint8

const (
	impossible fit = iota
	possible       // nothing speaks against it
	itsOwn         // the token names the provider
)

func (i *Issuer) fits(t Token) fit {
	shape := Opaque
	if t.Signed {
		shape = Signed
	}
	switch {
	case i.issues&shape == 0, !t.Signed && begins(wellKnown(), t.value) && !begins(i.prefixes, t.value):
		return impossible
	case t.Signed && (t.Issuer == "" || i.name == ""), !t.Signed && len(i.prefixes) == 0:
		return possible
	case t.Signed && SameIssuer(i.name, t.Issuer), !t.Signed && begins(i.prefixes, t.value):
		return itsOwn
	default:
		return impossible
	}
}

// wellKnown begin the opaque tokens of some, and of nobody else: a token that begins so is not shown to others, whether its
// own provider is one of the site's or not.
func wellKnown() []string {
	return []string{"ya29.", "gho_", "ghu_", "ghp_", "ghs_", "ghr_", "github_pat_", "glpat-", "xoxb-", "xoxp-", "ATATT"}
}

// IsAccessToken tells whether a token type may be an access token's. Providers answer about refresh, offline, ID and logout
// tokens too; a DPoP-bound one (RFC 9449) is worth nothing as a Bearer.
func IsAccessToken(kind string) bool {
	kind = strings.ToLower(kind)
	for _, part := range [...]string{"refresh", "offline", "logout", "id_token"} {
		if strings.Contains(kind, part) {
			return false
		}
	}
	return kind != "id" && kind != "dpop"
}

// SameIssuer compares issuers; a slash at the end does not count, which some names have and some settings lack.
func SameIssuer(a, b string) bool { return strings.TrimSuffix(a, "/") == strings.TrimSuffix(b, "/") }

func begins(prefixes []string, value string) bool {
	return slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(value, prefix) })
}
