package rules_test

import (
	"fmt"
	"path"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/gatehouse-suite/gatehouse/services/gateway/rules"
)

func ExampleCompile() {
	p, err := rules.Compile([]string{"/rest/**", "GET /download/*/file"})
	fmt.Println(p.Match("PUT", "/rest/api/2/issue"), p.Match("GET", "/download/7/file"), p.Match("PUT", "/download/7/file"), err)
	// Output: true true false <nil>
}

func TestPatterns(t *testing.T) {
	t.Parallel()
	p, err := rules.Compile([]string{"/rest/**", "/a/*/c", "/a/b/d", "GET /g", "POST /g", "/x/*/**", "/status"})
	if err != nil {
		t.Fatal(err)
	}
	for call, want := range map[string]bool{
		"GET /rest": true, "GET /rest/": true, "GET /rest/api/2": true, "GET /restful": false,
		"GET /a/b/c": true, "GET /a/b/d": true, "GET /a/z/d": false, "GET /a//c": false, "GET /a/b/c/": false,
		"GET /g": true, "POST /g": true, "PUT /g": false, "GET /g/": false,
		"GET /x": false, "GET /x/1": true, "GET /x/1/2/3": true, "GET /status": true, "GET /": false, "GET /status.json": false,
	} {
		method, path, _ := strings.Cut(call, " ")
		if got := p.Match(method, path); got != want {
			t.Errorf("%s: %t", call, got)
		}
	}
	var none rules.Patterns
	if none.Match("GET", "/rest") {
		t.Error("no pattern matches")
	}
}

func TestBadPatterns(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "rest", "get /rest", " /rest", "/rest/*x", "/**/x", "/a?b", "/a;b", "/a/../b", "/%41", "/a\\b", "GET"} {
		if rules.Check(bad) == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// TestPatternsAgainstAModel holds the tree against path.Match, segment by segment.
func TestPatternsAgainstAModel(t *testing.T) {
	t.Parallel()
	segment := rapid.SampledFrom([]string{"a", "b", "rest", "*"})
	rapid.Check(t, func(t *rapid.T) {
		var patterns []string
		for range rapid.IntRange(1, 8).Draw(t, "patterns") {
			p := "/" + strings.Join(rapid.SliceOfN(segment, 1, 4).Draw(t, "pattern"), "/")
			if rapid.Bool().Draw(t, "rest") {
				p += "/**"
			}
			patterns = append(patterns, p)
		}
		compiled, err := rules.Compile(patterns)
		if err != nil {
			t.Fatal(err)
		}
		call := "/" + strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "rest", "c"}), 1, 5).Draw(t, "path"), "/")
		want := false
		for _, p := range patterns {
			want = want || model(p, call)
		}
		if got := compiled.Match("GET", call); got != want {
			t.Fatalf("%q by %q: %t", call, patterns, got)
		}
	})
}

func model(pattern, call string) bool {
	if prefix, open := strings.CutSuffix(pattern, "/**"); open {
		parts := strings.Split(call, "/")
		n := strings.Count(prefix, "/") + 1
		if len(parts) < n {
			return false
		}
		call = strings.Join(parts[:n], "/")
		pattern = prefix
	}
	ok, _ := path.Match(pattern, call)
	return ok
}

func BenchmarkPatterns(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		var list []string
		for i := range n {
			list = append(list, fmt.Sprintf("/rest/plugin%d/*/thing/**", i))
		}
		p, err := rules.Compile(list)
		if err != nil {
			b.Fatal(err)
		}
		call := fmt.Sprintf("/rest/plugin%d/1.0/thing/42", n/2)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !p.Match("GET", call) {
					b.Fatal("no match")
				}
			}
		})
	}
}
