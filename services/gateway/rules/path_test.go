package rules_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-suite/gatehouse/services/gateway/rules"
)

func ExampleParseTarget() {
	t, ok := rules.ParseTarget("/rest/api/2/;x=1/search/../myself?expand=groups")
	fmt.Println(t.Path, t.Query, ok)
	_, ok = rules.ParseTarget("/rest/api%2f2/myself")
	fmt.Println(ok)
	// Output:
	// /rest/api/2/myself expand=groups true
	// false
}

func TestParseTarget(t *testing.T) {
	t.Parallel()
	for target, want := range map[string]string{ // "" is refused
		"/":                                  "/",
		"/rest/api/2/myself":                 "/rest/api/2/myself",
		"/rest/api/2/myself?x=/../y":         "/rest/api/2/myself",
		"/rest/api/2/search/":                "/rest/api/2/search/",
		"/rest//api/2":                       "/rest/api/2",
		"/rest/./api/2":                      "/rest/api/2",
		"/rest/x/../api/2":                   "/rest/api/2",
		"/rest/x/..":                         "/rest/",
		"/rest/%61pi/2":                      "/rest/api/2",
		"/rest/api;jsessionid=A/2":           "/rest/api/2",
		"/%2e%2e/rest":                       "",
		"/x/%2e%2E/rest":                     "/rest",
		"/.hidden":                           "/.hidden",
		"/a/...":                             "/a/...",
		"/secure/attachment/1/a%20b.txt":     "/secure/attachment/1/a b.txt",
		"/secure/attachment/1/100%25.txt":    "/secure/attachment/1/100%.txt",
		"/secure/attachment/1/a%2520b.txt":   "/secure/attachment/1/a%20b.txt",
		"/download/%C3%BC.txt":               "/download/ü.txt",
		"http://jira.example/rest/api/2":     "/rest/api/2",
		"HTTPS://jira.example:8443/rest?x=y": "/rest",
		"":                                   "",
		"*":                                  "",
		"rest/api":                           "",
		"jira.example:443":                   "",
		"http://jira.example":                "",
		"http://jira.example?/rest":          "",
		"//rest/api/2":                       "",
		"/rest%2fapi":                        "",
		"/rest%5capi":                        "",
		"/rest\\api":                         "",
		"/rest%00":                           "",
		"/rest%3bx/api":                      "",
		"/x/..;/rest":                        "",
		"/x/..;a=b/rest":                     "",
		"/x/.;/rest":                         "",
		"/x/%2e%2e;/rest":                    "",
		"/..":                                "",
		"/a/../../rest":                      "",
		"/rest/%ff":                          "",
		"/rest/%":                            "",
		"/rest/%4":                           "",
		"/rest/%zz":                          "",
		"/rest/a b":                          "",
		"/rest/ü":                            "",
		"/rest/<x>":                          "",
		"/rest/x#y":                          "",
		"/rest/x?y z":                        "", "/rest/x?\t": "", "/rest/x?\x7f": "", "/rest/x?ü": "/rest/x",
		"/rest/x?y#z":        "",
		"/x/%252e%252e/rest": "",
		"/x%252frest":        "",
		"/x%25252frest":      "",
		"/x;a=%2frest":       "",
		"/x;a=%5c":           "",
		"/x%253bjsessionid":  "",
	} {
		got, ok := rules.ParseTarget(target)
		if ok != (want != "") || got.Path != want {
			t.Errorf("%q: %q, %t; want %q", target, got.Path, ok, want)
		}
	}
}

func TestAPlainPathCostsNothing(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { rules.ParseTarget("/rest/api/2/issue/ABC-1?fields=summary") }); n > 0 {
		t.Errorf("%.0f allocations", n)
	}
}

// FuzzParseTarget holds what we make of a path against a model of a server that cuts parameters, decodes
// (once, or as often as it can), and then resolves: whatever it reads must be what the rules saw, or be shown
// in Further.
func FuzzParseTarget(f *testing.F) {
	for _, s := range []string{
		"/rest/api/2/myself", "/a/../b", "/a;x/b", "/%61", "/%2561", "/a%2fb", "/..;/", "//", "/a//b/./c", "/a%252e", "http://h/p", "/x/%2e%2e/y", "/%25%32%65",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, target string) {
		got, ok := rules.ParseTarget(target)
		if !ok {
			return
		}
		if !strings.HasPrefix(got.Path, "/") || strings.Contains(got.Path, "//") || strings.ContainsAny(got.Path, "\\\x00;") {
			t.Fatalf("%q: canonical path %q", target, got.Path)
		}
		raw, _, _ := strings.Cut(got.Raw, "?")
		once, read := tomcat(raw, 1)
		if !read || once != strings.TrimSuffix(got.Path, "/") && once != got.Path {
			t.Fatalf("%q: rules see %q, a server reads %q", target, got.Path, once)
		}
		twice, read := tomcat(raw, 10)
		if read && got.Further == "" && strings.TrimSuffix(twice, "/") != strings.TrimSuffix(got.Path, "/") {
			t.Fatalf("%q: rules see %q, a server that decodes on reads %q", target, got.Path, twice)
		}
	})
}

// tomcat reads a path as a servlet container does: parameters cut, decoded rounds times, normalised.
func tomcat(raw string, rounds int) (string, bool) {
	var parts []string
	for part := range strings.SplitSeq(raw, "/") {
		part, _, _ = strings.Cut(part, ";")
		parts = append(parts, part)
	}
	path := strings.Join(parts, "/")
	for range rounds {
		next, err := url.PathUnescape(path)
		if err != nil || next == path {
			if err != nil && rounds == 1 {
				return "", false
			}
			break
		}
		path = next
	}
	var out []string
	for part := range strings.SplitSeq(strings.ReplaceAll(path, "\\", "/"), "/") {
		switch part {
		case "", ".":
		case "..":
			if len(out) == 0 {
				return "", false
			}
			out = out[:len(out)-1]
		default:
			out = append(out, part)
		}
	}
	return "/" + strings.Join(out, "/"), true
}
