package rules

import "strings"

// Closing is a compiled list of patterns that close paths: it matches every variant under which a product serves the same
// resource, where Patterns matches the exact path only. The variants are a trailing slash, an extension (.json, .xml), the
// version of a REST module ("latest" is any, "2.0" and "2.0.alpha1" are "2"), and HEAD for GET. The zero Closing matches
// nothing.
type Closing struct{ patterns Patterns }

// CompileClosing compiles patterns; the error names the first that is wrong.
func CompileClosing(list []string) (Closing, error) {
	root := new(node)
	for _, p := range list {
		if err := Check(p); err != nil {
			return Closing{}, err
		}
		method, path, named := strings.Cut(p, " ")
		if !named {
			method, path = "", p
		}
		for _, variant := range variants(path) {
			for _, m := range methodsOf(method) {
				if err := root.insert(strings.TrimLeft(m+" "+variant, " ")); err != nil {
					return Closing{}, err
				}
			}
		}
	}
	return Closing{patterns: Patterns{root: root}}, nil
}

func methodsOf(method string) []string {
	if method == "GET" {
		return []string{"GET", "HEAD"}
	}
	return []string{method}
}

// variants gives the forms a pattern is held in, which Match reduces a path to.
func variants(path string) []string {
	segments := strings.Split(strings.TrimSuffix(path, "/")[min(1, len(path)-1):], "/")
	if last := len(segments) - 1; last >= 0 {
		segments[last] = withoutExtension(segments[last])
	}
	join := func() string { return "/" + strings.Join(segments, "/") }
	if len(segments) <= versionAt || segments[0] != "rest" && segments[0] != "*" {
		return []string{join()}
	}
	v, ok := version(segments[versionAt])
	switch {
	case !ok:
		return []string{join()}
	case v == latest:
		segments[versionAt] = "*"
		return []string{join()}
	default:
		segments[versionAt] = v
		all := []string{join()}
		segments[versionAt] = latest
		return append(all, join())
	}
}

// Match tells whether a canonical path is closed. It allocates nothing.
func (c Closing) Match(method, path string) bool {
	if c.patterns.root == nil || path == "" {
		return false
	}
	return c.patterns.root.closes(method, strings.TrimSuffix(path[1:], "/"), 0, strings.HasPrefix(path, "/rest/"))
}

func (n *node) closes(method, path string, depth int, rest bool) bool {
	if n.rest.holds(method) {
		return true
	}
	segment, below, more := strings.Cut(path, "/")
	if n.closesSegment(method, segment, below, depth, rest, more) {
		return true
	}
	if !more {
		if bare := withoutExtension(segment); bare != segment {
			return n.closesSegment(method, bare, below, depth, rest, more)
		}
	}
	return false
}

func (n *node) closesSegment(method, segment, below string, depth int, rest, more bool) bool {
	if rest && depth == versionAt {
		if v, ok := version(segment); ok {
			segment = v
		}
	}
	for _, next := range [...]*node{n.exact[segment], n.any} {
		if next == nil || (next == n.any && segment == "") {
			continue
		}
		if more {
			if next.closes(method, below, depth+1, rest) {
				return true
			}
		} else if next.end.holds(method) || next.rest.holds(method) {
			return true
		}
	}
	return false
}

// versionAt is the segment of a REST path that names the module's version: /rest/api/2.
const versionAt = 2

const latest = "latest"

// version reduces the version of a REST module: "latest" stays, of "2", "2.0" and "2.0.alpha1" the "2" does. ok is false
// for what is none.
func version(segment string) (string, bool) {
	if segment == latest {
		return latest, true
	}
	digits := 0
	for digits < len(segment) && segment[digits] >= '0' && segment[digits] <= '9' {
		digits++
	}
	if digits == 0 || digits < len(segment) && segment[digits] != '.' {
		return "", false
	}
	return segment[:digits], true
}

// withoutExtension cuts what the products' REST frameworks take for a wish for a representation.
func withoutExtension(segment string) string {
	for _, extension := range [...]string{".json", ".xml"} {
		if bare, ok := strings.CutSuffix(segment, extension); ok && bare != "" {
			return bare
		}
	}
	return segment
}

// Rewritten gives the path that the products serve a versioned resource from: what stands behind "/_/" in /s/…/_/…, by
// their own rewrite rule, which takes the last one. Without it, /s/x/_/rest/… would be a way around every rule.
func Rewritten(path string) string {
	if !strings.HasPrefix(path, "/s/") {
		return path
	}
	if i := strings.LastIndex(path, "/_/"); i >= len("/s") {
		return path[i+len("/_"):]
	}
	return path
}
