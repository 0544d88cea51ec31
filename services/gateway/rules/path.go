package rules

import (
	"strings"
	"unicode/utf8"
)

// Target is a request target (RFC 9112 §3.2) taken apart.
type Target struct {
	// Raw is what the node gets: path and query as the client sent them, byte for byte.
	Raw string
	// Path is the canonical path, which every rule matches: decoded once, without path parameters, empty
	// and dot segments.
	Path string
	// Query is the raw query without the question mark.
	Query string
	// Further is the canonical path decoded as often as it can be, when that differs: what a server that
	// decodes twice would see. Empty when it is the same.
	Further string
}

// ParseTarget takes a request target apart. ok is false for a target that a server behind us could read in
// another way than we do: an encoded slash, backslash, NUL or semicolon, a raw backslash, "..;", a leading
// "//", bytes that RFC 3986 does not allow in a path, invalid UTF-8, a path that leaves the root, or an
// escape of an escape that hides one of these. It allocates only when the path is not canonical as it is.
func ParseTarget(target string) (t Target, ok bool) {
	raw := originForm(target)
	if raw == "" || raw[0] != '/' || strings.HasPrefix(raw, "//") {
		return Target{}, false
	}
	path, query, _ := strings.Cut(raw, "?")
	if !cleanQuery(query) {
		return Target{}, false
	}
	t = Target{Raw: raw, Query: query}
	if plain(path) {
		t.Path = path
		return t, true
	}
	if t.Path, ok = canonical(path); !ok {
		return Target{}, false
	}
	if t.Further, ok = further(t.Path); !ok {
		return Target{}, false
	}
	return t, true
}

// cleanQuery tells whether a query can stand in a request line: HTTP/2 lets a space through, which would end the target
// there, and "#" would begin what no server is sent.
func cleanQuery(query string) bool {
	for i := range len(query) {
		if c := query[i]; c <= ' ' || c == 0x7f || c == '#' {
			return false
		}
	}
	return true
}

// originForm cuts scheme and authority from a target in absolute form (RFC 9112 §3.2.2).
func originForm(target string) string {
	for _, scheme := range [...]string{"http://", "https://"} {
		if len(target) > len(scheme) && strings.EqualFold(target[:len(scheme)], scheme) {
			rest := target[len(scheme):]
			if i := strings.IndexAny(rest, "/?"); i >= 0 && rest[i] == '/' {
				return rest[i:]
			}
			return ""
		}
	}
	return target
}

// plain tells whether a path is canonical as it is: nothing to decode, no empty or dot segment, no parameter.
func plain(path string) bool {
	start := true // of a segment
	for i := range len(path) {
		c := path[i]
		switch {
		case c == '/':
			if start && i > 0 {
				return false // empty segment
			}
			start = true
			continue
		case c == '.' && start:
			return false // perhaps a dot segment: the slow way decides
		case !pchar(c) || c == ';':
			return false
		}
		start = false
	}
	return true
}

// pchar tells whether RFC 3986 §3.3 allows a byte unescaped in a path segment.
func pchar(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	switch c {
	case '-', '.', '_', '~', '!', '$', '&', '\'', '(', ')', '*', '+', ',', ';', '=', ':', '@':
		return true
	}
	return false
}

// canonical decodes each segment once and resolves what can be resolved.
func canonical(path string) (string, bool) {
	var segments []string
	trailing := false
	for segment := range strings.SplitSeq(path[1:], "/") {
		trailing = false
		bare, params, hasParams := strings.Cut(segment, ";")
		if !clean(params) {
			return "", false
		}
		s, ok := decode(bare)
		if !ok || !utf8.ValidString(s) || strings.ContainsAny(s, "/\\;\x00") {
			return "", false
		}
		if (s == ".." || s == ".") && hasParams {
			return "", false
		}
		switch s {
		case "", ".":
			trailing = true
		case "..":
			if len(segments) == 0 {
				return "", false
			}
			segments = segments[:len(segments)-1]
			trailing = true
		default:
			segments = append(segments, s)
		}
	}
	out := "/" + strings.Join(segments, "/")
	if trailing && len(segments) > 0 {
		out += "/"
	}
	return out, true
}

// clean tells whether the parameters of a segment hold nothing that could end them in another reader's eyes.
func clean(params string) bool {
	s, ok := decode(params)
	return ok && !strings.ContainsAny(s, "/\\\x00") && utf8.ValidString(s)
}

// decode undoes percent-encoding once; false for a byte that is not allowed or an escape that is none.
func decode(s string) (string, bool) {
	if !strings.Contains(s, "%") {
		for i := range len(s) {
			if !pchar(s[i]) {
				return "", false
			}
		}
		return s, true
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c != '%' {
			if !pchar(c) {
				return "", false
			}
			out = append(out, c)
			continue
		}
		if i+2 >= len(s) {
			return "", false
		}
		hi, lo := unhex(s[i+1]), unhex(s[i+2])
		if hi < 0 || lo < 0 {
			return "", false
		}
		out = append(out, byte(hi<<4|lo)) //nolint:gosec // both are below 16
		i += 2
	}
	return string(out), true
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// further decodes a canonical path until nothing is left to decode. false when one of the rounds shows what
// ParseTarget refuses in the first. A percent sign that begins no escape is just that.
func further(path string) (string, bool) {
	now := path
	for range 8 {
		next := unescape(now)
		if next == now {
			break
		}
		now = next
		if strings.ContainsAny(now[1:], "\\;\x00") || strings.Count(now, "/") != strings.Count(path, "/") {
			return "", false
		}
		for segment := range strings.SplitSeq(now[1:], "/") {
			if segment == "." || segment == ".." {
				return "", false
			}
		}
	}
	if strings.Contains(now, "%") && unescape(now) != now {
		return "", false // escaped more than eight times
	}
	if now == path {
		return "", true
	}
	return now, true
}

// unescape undoes the escapes that are well formed and leaves the rest.
func unescape(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) && unhex(s[i+1]) >= 0 && unhex(s[i+2]) >= 0 {
			out = append(out, byte(unhex(s[i+1])<<4|unhex(s[i+2]))) //nolint:gosec // both are below 16
			i += 2
			continue
		}
		out = append(out, s[i])
	}
	return string(out)
}

// CutContext gives the path below a context path; ok is false when it is not below it.
func CutContext(path, context string) (string, bool) {
	if context == "" {
		return path, true
	}
	rest, ok := strings.CutPrefix(path, context)
	switch {
	case !ok:
		return "", false
	case rest == "":
		return "/", true
	case rest[0] != '/':
		return "", false
	default:
		return rest, true
	}
}
