package opaque_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strings"
	"testing"

	"github.com/gatehouse-suite/gatehouse/shared/opaque"
)

func Example() {
	token := opaque.New("ght_")
	mistyped := strings.Replace(token, token[20:21], map[bool]string{true: "A", false: "B"}[token[20] != 'A'], 1)
	fmt.Println(len(token), opaque.WellFormed("ght_", token), opaque.WellFormed("ght_", mistyped), opaque.WellFormed("gha_", token))
	// Output: 53 true false false
}

func TestEveryOtherSpellingIsNone(t *testing.T) {
	t.Parallel()
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	token := opaque.New("ght_")
	for i := range token {
		for _, c := range letters + "=+/ \n" {
			other := token[:i] + string(c) + token[i+1:]
			if other != token && opaque.WellFormed("ght_", other) {
				t.Fatalf("%s counts as well as %s", other, token)
			}
		}
	}
	for _, other := range []string{"", "ght_", token[:52], token + "A", token + "=", "\n" + token, "GHT_" + token[4:]} {
		if opaque.WellFormed("ght_", other) {
			t.Errorf("%q", other)
		}
	}
	if sum := crc32.ChecksumIEEE([]byte(token[:47])); token[47:] != base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, sum)) {
		t.Error("no CRC-32 of what is before it")
	}
	if opaque.Hash(token) != sha256.Sum256([]byte(token)) {
		t.Error("no plain SHA-256")
	}
}

func FuzzWellFormed(f *testing.F) {
	f.Add("ght_", opaque.New("ght_"))
	f.Add("", "")
	f.Fuzz(func(t *testing.T, prefix, text string) {
		if opaque.WellFormed(prefix, text) && !strings.HasPrefix(text, prefix) {
			t.Errorf("%q %q", prefix, text)
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	token := opaque.New("ght_")
	b.ReportAllocs()
	for b.Loop() {
		if !opaque.WellFormed("ght_", token) || opaque.Hash(token) == (opaque.Digest{}) {
			b.Fatal(token)
		}
	}
}
