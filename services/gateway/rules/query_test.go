package rules_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-suite/gatehouse/services/gateway/rules"
)

func ExampleFilterQuery() {
	secret := func(name string) bool { return strings.HasPrefix(name, "os_") }
	fmt.Println(rules.FilterQuery("a=1&os_password=x&b=%20&&c", secret))
	// Output: a=1&b=%20&&c
}

func TestFilterQueryLeavesTheRestByteForByte(t *testing.T) {
	t.Parallel()
	drop := func(name string) bool { return name == "x" }
	for query, want := range map[string]string{
		"": "", "x": "", "x=1": "", "a": "a", "a=1&x=2": "a=1", "x=2&a=1": "a=1", "%78=1&a": "a", "a=+&x&b=%2B": "a=+&b=%2B",
		"xx=1": "xx=1", "a&&b": "a&&b", "a;x=1": "a;x=1", "%zz=1&x": "%zz=1",
	} {
		if got := rules.FilterQuery(query, drop); got != want {
			t.Errorf("%q: %q, want %q", query, got, want)
		}
	}
}

func FuzzFilterQuery(f *testing.F) {
	f.Add("a=1&x=2&%78=3&b")
	f.Fuzz(func(t *testing.T, query string) {
		drop := func(name string) bool { return name == "x" }
		got := rules.FilterQuery(query, drop)
		if rules.HasQuery(got, drop) {
			t.Fatalf("%q leaves it in %q", query, got)
		}
		was, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		is, err := url.ParseQuery(got)
		was.Del("x")
		if err != nil || was.Encode() != is.Encode() {
			t.Fatalf("%q became %q", query, got)
		}
	})
}
