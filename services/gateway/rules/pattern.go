package rules

import (
	"fmt"
	"strings"
)

// Patterns is a compiled list of path patterns. A pattern is "/path" in which "*" stands for one segment and
// "**", as the last segment, for any rest (the path before it included), with an optional method and a space
// in front. The zero Patterns matches nothing.
//
// The list is a tree by segment, so that matching costs the same with ten entries and with ten thousand.
type Patterns struct {
	root *node
}

// node is one segment's place in the tree.
type node struct {
	exact map[string]*node
	any   *node    // "*"
	rest  *methods // "**" ends here
	end   *methods // a pattern ends here
}

// methods says for which methods a pattern holds.
type methods struct {
	all   bool
	named []string
}

func (m *methods) holds(method string) bool {
	if m == nil {
		return false
	}
	if m.all {
		return true
	}
	for _, n := range m.named {
		if n == method {
			return true
		}
	}
	return false
}

func (m *methods) add(method string) *methods {
	if m == nil {
		m = new(methods)
	}
	if method == "" {
		m.all = true
	} else {
		m.named = append(m.named, method)
	}
	return m
}

// Compile compiles patterns; the error names the first that is wrong.
func Compile(patterns []string) (Patterns, error) {
	root := new(node)
	for _, p := range patterns {
		if err := root.insert(p); err != nil {
			return Patterns{}, err
		}
	}
	return Patterns{root: root}, nil
}

// Check tells what is wrong with a pattern, or nil.
func Check(pattern string) error { return new(node).insert(pattern) }

func (n *node) insert(pattern string) error {
	method, path := "", pattern
	if before, after, found := strings.Cut(pattern, " "); found {
		method, path = before, after
		if method == "" || strings.ToUpper(method) != method {
			return fmt.Errorf("pattern %q: %q is not a method", pattern, method)
		}
	}
	if !strings.HasPrefix(path, "/") {
		return fmt.Errorf("pattern %q: the path does not begin with /", pattern)
	}
	segments := strings.Split(path[1:], "/")
	for i, s := range segments {
		switch {
		case s == "**" && i == len(segments)-1:
			n.rest = n.rest.add(method)
			return nil
		case s == "*":
			if n.any == nil {
				n.any = new(node)
			}
			n = n.any
		case strings.Contains(s, "*"):
			return fmt.Errorf("pattern %q: * stands for a whole segment, ** for the whole rest", pattern)
		case strings.ContainsAny(s, "?#%;\\") || s == "." || s == "..":
			return fmt.Errorf("pattern %q: a pattern matches canonical paths, which hold no %q", pattern, s)
		default:
			if n.exact == nil {
				n.exact = map[string]*node{}
			}
			next := n.exact[s]
			if next == nil {
				next = new(node)
				n.exact[s] = next
			}
			n = next
		}
	}
	n.end = n.end.add(method)
	return nil
}

// Match tells whether a canonical path is matched, exactly. It allocates nothing.
func (p Patterns) Match(method, path string) bool {
	return p.root != nil && path != "" && p.root.match(method, path[1:])
}

func (n *node) match(method, path string) bool {
	if n.rest.holds(method) {
		return true
	}
	segment, rest, more := strings.Cut(path, "/")
	for _, next := range [...]*node{n.exact[segment], n.any} {
		if next == nil || (next == n.any && segment == "") {
			continue
		}
		if more {
			if next.match(method, rest) {
				return true
			}
		} else if next.end.holds(method) || next.rest.holds(method) {
			return true
		}
	}
	return false
}
