package provider

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"strconv"

	"github.com/go-jose/go-jose/v4"

	"github.com/gatehouse-suite/gatehouse/services/introspection/remote"
)

// keySet is the keys of a provider that may sign tokens, by key id; "" are those without one.
type keySet map[string][]jose.JSONWebKey

// maxKeys is how many keys a provider may publish; real ones have a handful.
const maxKeys = 100

// smallestRSA is the shortest RSA key that is believed, in bits (RFC 7518 §3.3).
const smallestRSA = 2048

// algorithms are those a token may be signed by: asymmetric ones only, so that neither "none" nor a public key taken for a
// shared secret (RS/HS confusion) is one.
func algorithms() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{
		jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
	}
}

// newKeys gives the keys published at the URL that where gives.
func newKeys(where endpointURL, s Options) *kept[keySet] {
	return &kept[keySet]{
		fresh: s.KeysRefresh, good: s.KeysMaxAge, pause: s.KeysPause,
		fetch: func(ctx context.Context, q *inquiry) (set keySet, p *remote.Problem) {
			at, p := where(ctx, q)
			if p != nil {
				return nil, p
			}
			p = q.send(ctx, call{what: "keys", public: true, make: get(at), mean: publicStatus, read: func(r response) (_ remote.Result, p *remote.Problem) {
				set, p = readKeys(r.body)
				return remote.Answered, p
			}})
			return set, p
		},
	}
}

// readKeys reads a JWK set (RFC 7517 §5). Keys of a kind or for a use that signs no token are passed over, as is one that
// cannot be read: the set of a provider that adds a new kind of key stays good.
func readKeys(body []byte) (keySet, *remote.Problem) {
	wrong := func(text string) (keySet, *remote.Problem) {
		return nil, &remote.Problem{Result: remote.Malformed, Text: "its key set " + text}
	}
	var raw struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if json.Unmarshal(body, &raw) != nil || raw.Keys == nil {
		return wrong("is no JWK set")
	}
	if len(raw.Keys) > maxKeys {
		return wrong("holds more than " + strconv.Itoa(maxKeys) + " keys")
	}
	set := keySet{}
	for _, text := range raw.Keys {
		var key jose.JSONWebKey
		if key.UnmarshalJSON(text) == nil && signs(&key) {
			set[key.KeyID] = append(set[key.KeyID], key)
		}
	}
	if len(set) == 0 {
		return wrong("holds no key that signs tokens")
	}
	return set, nil
}

// signs tells whether a key may sign tokens.
func signs(key *jose.JSONWebKey) bool {
	if key.Use != "" && key.Use != "sig" || !key.Valid() {
		return false
	}
	switch k := key.Key.(type) {
	case *rsa.PublicKey:
		return k.N.BitLen() >= smallestRSA
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return true
	default:
		return false
	}
}

// find gives the keys that may have signed under a key id, by an algorithm.
func (s keySet) find(id string, by jose.SignatureAlgorithm) []jose.JSONWebKey {
	candidates := s[id]
	if id == "" { // RFC 7515 §4.1.4: it may be left out where there is one key
		for name, keys := range s {
			if name != "" {
				candidates = append(candidates[:len(candidates):len(candidates)], keys...)
			}
		}
	}
	var fit []jose.JSONWebKey
	for _, key := range candidates {
		if (key.Algorithm == "" || key.Algorithm == string(by)) && suits(key.Key, by) {
			fit = append(fit, key)
		}
	}
	return fit
}

// suits tells whether a key is of the kind an algorithm takes.
func suits(key any, by jose.SignatureAlgorithm) bool {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return by[0] == 'R' || by[0] == 'P'
	case *ecdsa.PublicKey:
		return by == jose.ES256 && k.Curve == elliptic.P256() || by == jose.ES384 && k.Curve == elliptic.P384() || by == jose.ES512 && k.Curve == elliptic.P521()
	case ed25519.PublicKey:
		return by == jose.EdDSA
	default:
		return false
	}
}
