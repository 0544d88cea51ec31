package presets

import (
	"slices"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"
)

// Validation is a way in which a provider's tokens are judged.
type Validation string

// The ways. The names are those of providers[].validation.
const (
	// Introspection asks the provider about each token (RFC 7662).
	Introspection Validation = "introspection"
	// JWT verifies a signed token by the provider's published keys (RFC 7519, RFC 9068). Nobody is asked, so a revoked token
	// goes on until it ends.
	JWT Validation = "jwt"
	// JWTAndIntrospection verifies first and then asks: what was not signed by the provider is never sent to it.
	JWTAndIntrospection Validation = "jwt_and_introspection"
	// TokenInfo asks Google's tokeninfo.
	TokenInfo Validation = "tokeninfo"
	// TokenCheck asks GitHub whose token it is.
	TokenCheck Validation = "token_check"
)

// Signed tells whether tokens are verified by keys.
func (v Validation) Signed() bool { return v == JWT || v == JWTAndIntrospection }

// Asked tells whether the provider is asked about each token.
func (v Validation) Asked() bool { return v != JWT }

// Preset is one kind of provider.
type Preset struct {
	// Kind is its name in the configuration, Title the one it has in the world.
	Kind, Title string
	// Issuer and Endpoint are patterns of what an admin fills in, with {…} for what is his. Endpoint of TokenInfo and
	// TokenCheck is used as it stands when none is given; {client_id} is filled in.
	Issuer, Endpoint string
	// Validations are the ways it can be judged by, the usual one first.
	Validations []Validation
	// CallerAuth are the ways Gatehouse can show itself to it (RFC 8414 names), the usual one first.
	CallerAuth []string
	// UserInfo: what judges its tokens names nobody, so its userinfo is asked too; the document that names it is the issuer's.
	UserInfo bool
	// SignIn is where it issues tokens, for those without a discovery document.
	SignIn SignIn
	// Audience is what a client assertion (RFC 7523) names as its audience: "issuer" or "endpoint".
	Audience string
	// Issues says which access tokens it issues: signed ones (JWT), opaque ones, or both.
	Issues Shape
	// Prefixes begin its opaque tokens, and no other provider's; empty: not known.
	Prefixes []string
	// Machines: it issues tokens to clients for themselves (client credentials). One that does not is good for grants of
	// users only.
	Machines bool
	// Public: anybody can make a client of it, so scopes alone keep nobody out.
	Public bool
	// Hidden: its discovery document does not say where it introspects.
	Hidden bool
	// NoAudience: its access tokens name none.
	NoAudience bool
	Reading    Reading
	// Revocation is what revoking a token at the provider means here.
	Revocation string
	// Traps are what others fell into.
	Traps string
	// Source of all this.
	Source string
}

// SignIn is where a provider signs users in and issues tokens.
type SignIn struct {
	Authorization, Token string
}

// Shape is what a token looks like.
type Shape uint8

// The shapes.
const (
	Signed Shape = 1 << iota
	Opaque
	Either = Signed | Opaque
)

// Reading says which members of a reply, or claims of a signed token, mean what. The first one that is there counts.
type Reading struct {
	Client, Scopes []string
	// Names are whom the token was issued to.
	Names  []string
	Person Person
}

// Person says when a token was issued to a person, and not to a client for itself.
type Person struct {
	// Always: it issues tokens to persons only.
	Always bool
	// By are the signs that tell; the first one that is there counts. Signed come behind them for a signed token that is read
	// by itself: such a one mostly has no user name.
	By, Signed []Sign
	// Proof: where no sign is there it is a person's, because a person's may have none.
	Proof bool
}

// Sign is a member that tells whose a token is.
type Sign struct {
	Member string
	// Client are its values where the token is the client's own; every other value means a person. {client} stands for the
	// client id, {…} for the value of another member.
	Client []string
}

// Of gives the preset of a kind.
func Of(kind string) (Preset, bool) {
	all := All()
	i := slices.IndexFunc(all, func(p Preset) bool { return p.Kind == kind })
	if i < 0 {
		return Preset{}, false
	}
	return all[i], true
}

// Kinds gives the names of all kinds, sorted.
func Kinds() []string {
	var kinds []string
	for _, p := range All() {
		kinds = append(kinds, p.Kind)
	}
	slices.Sort(kinds)
	return kinds
}

// ValidationOf gives how a provider's tokens are judged. Where that is not said it is the preset's usual way; a provider of
// which only the issuer is known is not asked, its tokens are verified by its keys.
func ValidationOf(p *configlog.Provider) Validation {
	preset, known := Of(p.Kind)
	switch {
	case p.Validation != "" || !known:
		return Validation(p.Validation)
	case preset.Takes(JWT) && p.IntrospectionEndpoint == "" && p.ClientID == "":
		return JWT
	default:
		return preset.Validations[0]
	}
}

// Takes tells whether the preset can be judged in a way.
func (p *Preset) Takes(v Validation) bool { return slices.Contains(p.Validations, v) }
