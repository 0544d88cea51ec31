package rules_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gatehouse-suite/gatehouse/services/gateway/rules"
)

func closing(t testing.TB, list ...string) rules.Closing {
	t.Helper()
	c, err := rules.CompileClosing(list)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestClosing: what closes a path closes every variant under which a product serves the same.
func TestClosing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, method, path string
		want                  bool
	}{
		{"/rest/api/2/search", "GET", "/rest/api/2/search", true},
		{"/rest/api/2/search", "POST", "/rest/api/2/search", true},
		{"/rest/api/2/search", "GET", "/rest/api/2/search/", true},
		{"/rest/api/2/search", "GET", "/rest/api/2/search.json", true},
		{"/rest/api/2/search", "GET", "/rest/api/2/search.xml", true},
		{"/rest/api/2/search", "GET", "/rest/api/latest/search", true},
		{"/rest/api/2/search", "GET", "/rest/api/latest/search.json", true},
		{"/rest/api/2/search", "GET", "/rest/api/2.0/search", true},
		{"/rest/api/2/search", "GET", "/rest/api/2.0.alpha1/search/", true},
		{"/rest/api/2/search", "GET", "/rest/api/20/search", false},
		{"/rest/api/2/search", "GET", "/rest/api/3/search", false},
		{"/rest/api/2/search", "GET", "/rest/api/2/search/x", false},
		{"/rest/api/2/search", "GET", "/rest/api/2/searches", false},
		{"/rest/api/2.0/search/", "GET", "/rest/api/2/search", true},
		{"/rest/api/2/search.json", "GET", "/rest/api/latest/search", true},
		{"/rest/api/latest/search", "GET", "/rest/api/2/search", true},
		{"/rest/api/latest/search", "GET", "/rest/api/latest/search", true},
		{"/rest/*/2/search", "GET", "/rest/api/latest/search", true},
		{"/rest/api/*/search", "GET", "/rest/api/2/search", true},
		{"/rest/api/2", "GET", "/rest/api/2.json", true},
		{"/rest/api/2", "GET", "/rest/api/latest.xml", true},
		{"/rest/api/2/user/*", "GET", "/rest/api/2/user/bob.json", true},
		{"/rest/api/2/user/*", "GET", "/rest/api/2/user/", false},
		{"/rest/api/2/user/**", "GET", "/rest/api/2/user.json", true},
		{"/rest/api/2/user/**", "GET", "/rest/api/latest/user/a/b", true},
		{"GET /rest/api/2/user", "HEAD", "/rest/api/2/user", true},
		{"GET /rest/api/2/user", "POST", "/rest/api/2/user", false},
		{"POST /rest/api/2/user", "GET", "/rest/api/2/user", false},
		{"/rest/api/content", "GET", "/rest/api/content.json", true},
		{"/**", "GET", "/", true},
		{"/", "GET", "/", true},
		{"/secure/attachment/1", "GET", "/secure/attachment/2", false},
	} {
		if got := closing(t, c.pattern).Match(c.method, c.path); got != c.want {
			t.Errorf("%q closes %s %s: %t", c.pattern, c.method, c.path, got)
		}
	}
	if (rules.Closing{}).Match("GET", "/") {
		t.Error("no list closes a path")
	}
	if _, err := rules.CompileClosing([]string{"rest"}); err == nil {
		t.Error("a pattern that is none was compiled")
	}
}

// FuzzClosing: what the exact list matches, the closing one does.
func FuzzClosing(f *testing.F) {
	f.Add("/rest/api/2/search", "/rest/api/2/search")
	f.Add("/rest/*/2.0/**", "/rest/a.json/2.0/x/")
	f.Add("/a/", "/a/")
	f.Fuzz(func(t *testing.T, pattern, path string) {
		exact, err := rules.Compile([]string{pattern})
		c, closingErr := rules.CompileClosing([]string{pattern})
		if (err == nil) != (closingErr == nil) {
			t.Fatalf("%q: %v, %v", pattern, err, closingErr)
		}
		if err != nil || !strings.HasPrefix(path, "/") || strings.Contains(path, "//") || strings.Contains(pattern, "//") {
			return
		}
		if exact.Match("GET", path) && !c.Match("GET", path) {
			t.Fatalf("%q matches %q and does not close it", pattern, path)
		}
	})
}

func TestRewritten(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/s/x/_/rest/api/2/search": "/rest/api/2/search", "/s/a/b/c/_/download/x.css": "/download/x.css", "/s/_/rest": "/rest",
		"/s/a/_/s/b/_/rest": "/rest", "/s/a/b.css": "/s/a/b.css", "/rest/_/x": "/rest/_/x", "/s": "/s", "/sx/_/rest": "/sx/_/rest",
	} {
		if got := rules.Rewritten(path); got != want {
			t.Errorf("%s: %s", path, got)
		}
	}
}

// BenchmarkClosing: ten thousand patterns cost what ten do, and nothing is allocated.
func BenchmarkClosing(b *testing.B) {
	for _, n := range []int{10, 100, 1_000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			list := make([]string, n)
			for i := range list {
				list[i] = fmt.Sprintf("GET /rest/api/2/thing%d/*", i)
			}
			c := closing(b, list...)
			b.ReportAllocs()
			for b.Loop() {
				if !c.Match("GET", "/rest/api/latest/thing7/x.json") {
					b.Fatal("not closed")
				}
			}
		})
	}
}
