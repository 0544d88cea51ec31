package rules

import "strings"

// session begins the path parameter that a servlet container takes a session from (Servlet 6.0 §7.1.3).
const session = ";jsessionid="

// HasSession tells whether a raw path carries a session.
func HasSession(path string) bool { return sessionAt(path) >= 0 }

// CutSession gives a raw path without sessions, all else byte for byte. It allocates only when there is one.
func CutSession(path string) string {
	for {
		i := sessionAt(path)
		if i < 0 {
			return path
		}
		rest := path[i+len(session):]
		end := strings.IndexAny(rest, ";/")
		if end < 0 {
			end = len(rest)
		}
		path = path[:i] + rest[end:]
	}
}

func sessionAt(path string) int {
	for from := 0; ; {
		i := strings.IndexByte(path[from:], ';')
		if i < 0 {
			return -1
		}
		if i += from; len(path)-i >= len(session) && strings.EqualFold(path[i:i+len(session)], session) {
			return i
		}
		from = i + 1
	}
}
