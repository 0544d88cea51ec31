package document

import (
	"slices"
	"strings"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"
)

// pattern is a path pattern taken apart: "/path", where * stands for one segment and ** for any rest, with a
// method in front or none. The gateways read them alike; a test compares.
type pattern struct {
	method   string
	segments []string
}

// parsePattern reads a pattern, or says what is wrong with it.
func parsePattern(raw string) (pattern, string) {
	method, path := "", raw
	if before, after, found := strings.Cut(raw, " "); found {
		method, path = before, after
		if method == "" || strings.ToUpper(method) != method || !isToken(method) {
			return pattern{}, "must begin with /, or with a method in capitals and one space before it"
		}
	}
	if !strings.HasPrefix(path, "/") {
		return pattern{}, "must begin with /, or with a method in capitals and one space before it"
	}
	segments := strings.Split(path[1:], "/")
	for i, s := range segments {
		switch {
		case s == "*" || (s == "**" && i == len(segments)-1):
		case s == "**":
			return pattern{}, "may have ** at its end only"
		case strings.Contains(s, "*"):
			return pattern{}, "* stands for a whole segment, ** for the whole rest"
		case strings.ContainsAny(s, "?#%;\\") || s == "." || s == "..":
			return pattern{}, "must be a canonical path: no ?, #, %, ; or \\, no . or .. as a segment"
		}
	}
	return pattern{method: method, segments: segments}, ""
}

// meets tells whether some path is matched by both, whatever the methods.
func meets(a, b []string) bool {
	switch {
	case ends(a) || ends(b):
		return true
	case len(a) == 0 || len(b) == 0:
		return len(a) == len(b)
	default:
		return (a[0] == b[0] || a[0] == "*" || b[0] == "*") && meets(a[1:], b[1:])
	}
}

// covers tells whether every path b matches is matched by a.
func covers(a, b []string) bool {
	switch {
	case ends(a):
		return true
	case len(a) == 0 || len(b) == 0 || ends(b):
		return len(a) == 0 && len(b) == 0
	default:
		return (a[0] == "*" || a[0] == b[0]) && covers(a[1:], b[1:])
	}
}

func ends(segments []string) bool { return len(segments) == 1 && segments[0] == "**" }

func segments(path string) []string { return strings.Split(path[1:], "/") }

// patterns checks a site's lists of patterns, and warns of those nothing ever matches (design: policy, rows 1b
// to 7).
func (k *checker) patterns(path string, s *configlog.Site) {
	apis := k.patternList(path+".api_paths", s.APIPaths, s)
	k.patternList(path+".token_paths", s.TokenPaths, s)
	bypass := k.patternList(path+".bypass", s.Bypass, s)
	closed := k.patternList(path+".public_restricted", s.PublicRestricted, s)
	if len(s.APIPaths) == 0 {
		for _, p := range []string{"/rest/**", "/rpc/**", "/plugins/servlet/**"} { // of every product
			apis = append(apis, pattern{segments: segments(p)})
		}
	}
	for i, p := range closed {
		where := at(path+".public_restricted", i)
		switch {
		case p.segments == nil:
		case !slices.ContainsFunc(apis, func(a pattern) bool { return a.segments != nil && meets(a.segments, p.segments) }):
			k.warn(where, "never matches: no API path (api_paths) is like it")
		case slices.ContainsFunc(bypass, func(b pattern) bool {
			return b.segments != nil && (b.method == "" || b.method == p.method) && covers(b.segments, p.segments)
		}):
			k.warn(where, "never matches: bypass lets it through before")
		}
	}
	for i, p := range bypass {
		if p.segments != nil && p.method == "" && ends(p.segments) {
			k.warn(at(path+".bypass", i), "lets every call through: nothing is checked")
		}
	}
}

// patternList checks one list; what is wrong has no segments in the answer.
func (k *checker) patternList(path string, list []string, s *configlog.Site) []pattern {
	out := make([]pattern, len(list))
	for i, raw := range list {
		p, wrong := parsePattern(raw)
		if wrong != "" {
			k.problem(at(path, i), "%s", wrong)
			continue
		}
		out[i] = p
		k.unmatched(at(path, i), p, s)
	}
	return out
}

// unmatched warns of a pattern no canonical path of the site is ever like.
func (k *checker) unmatched(path string, p pattern, s *configlog.Site) {
	switch {
	case slices.Contains(p.segments[:len(p.segments)-1], ""):
		k.warn(path, "never matches: a canonical path has no //")
	case s.ContextPath != "" && covers(append(segments(s.ContextPath), "**"), p.segments):
		k.warn(path, "never matches: patterns are held against the path behind context_path")
	case covers(segments("/plugins/servlet/restauth/**"), p.segments), covers(segments("/rest/gatehouse/1.0/**"), p.segments):
		k.warn(path, "never matches: Gatehouse answers these paths itself")
	case p.method != "" && !slices.Contains([]string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"}, p.method):
		k.warn(path, "has a method no client of these products uses")
	}
}
