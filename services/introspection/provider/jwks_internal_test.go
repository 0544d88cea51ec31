package provider

import (
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// FuzzKeys: whatever a provider publishes, what is believed are public keys that sign, and not too many.
func FuzzKeys(f *testing.F) {
	for _, seed := range []string{
		`{"keys":[{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","kid":"k","use":"sig","alg":"ES256"}]}`,
		`{"keys":[{"kty":"oct","k":"c2VjcmV0"},{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`,
		`{"keys":[]}`, `{"keys":null}`, `[]`, `{"keys":[1,{},{"kty":"RSA","n":"AQAB","e":"AQAB"}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		set, p := readKeys(body)
		if (p == nil) != (len(set) > 0) {
			t.Fatalf("%v, %v", set, p)
		}
		n := 0
		for id := range set {
			for _, by := range append(algorithms(), jose.HS256, "none", "X") {
				for _, key := range set.find(id, by) {
					if !key.IsPublic() || !signs(&key) {
						t.Errorf("%v signs by %s", key, by)
					}
					n++
				}
			}
		}
		if n > maxKeys*maxKeys*len(algorithms()) {
			t.Errorf("%d keys", n)
		}
	})
}
