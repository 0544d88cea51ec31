package rules_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-suite/gatehouse/services/gateway/rules"
)

func isPassword(name string) bool { return name == "os_password" }

func TestForm(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]bool{
		"":                      false,
		"a=b&c=d":               false,
		"os_password=x":         true,
		"a=b&os_password=x":     true,
		"a=b&os_password&c=d":   true,
		"a=os_password=x":       false,
		"a=b&os%5fpassword=x":   true,
		"a=b&%6F%73_password=x": true,
		"os_password2=x":        false,
		"xos_password=x":        false,
		"os+password=x":         false,
		"%zzos_password=x":      false,
		"&&os_password=":        true,
		strings.Repeat("a", 99) + "&os_password=x": true,
	} {
		for size := 1; size <= len(body)+1; size++ { // however it is cut
			var f rules.Form
			got := false
			for rest := []byte(body); len(rest) > 0 && !got; rest = rest[min(size, len(rest)):] {
				got = f.Has(rest[:min(size, len(rest))], isPassword)
			}
			if got != want {
				t.Errorf("%q in pieces of %d: %t", body, size, got)
			}
		}
	}
}

// FuzzForm holds the scan against the standard library's reading of the whole body.
func FuzzForm(f *testing.F) {
	f.Add("a=b&os_password=x", 3)
	f.Add("os%5Fpassword&", 1)
	f.Fuzz(func(t *testing.T, body string, size int) {
		if size < 1 || size > 64 || strings.Contains(body, ";") {
			return
		}
		body += "&"
		want := false
		for pair := range strings.SplitSeq(body, "&") {
			name, _, _ := strings.Cut(pair, "=")
			decoded, err := url.QueryUnescape(name)
			want = want || err == nil && isPassword(decoded)
		}
		var scan rules.Form
		got := false
		for rest := []byte(body); len(rest) > 0 && !got; rest = rest[min(size, len(rest)):] {
			got = scan.Has(rest[:min(size, len(rest))], isPassword)
		}
		if got != want {
			t.Fatalf("%q in pieces of %d: %t, want %t", body, size, got, want)
		}
	})
}
