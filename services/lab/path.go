package lab

import (
	"net/http"
	"strings"
)

// tomcatPath reads a raw request path the way the products' Tomcat does, so that
// a path a gateway judges differently shows here as what it really reaches: cut
// ";..." from every segment, decode once, collapse "//", resolve dot segments.
// False is Tomcat's 400: an encoded slash, backslash or NUL, a bad escape, a
// byte that has to be encoded ("[", "]" and "|" are relaxed in the products'
// server.xml), or a path that leaves the root.
func tomcatPath(raw string) (string, bool) {
	if raw == "" || raw[0] != '/' {
		return "", false
	}
	segments := strings.Split(raw, "/")
	for i, segment := range segments {
		bare, _, _ := strings.Cut(segment, ";")
		decoded, ok := tomcatDecode(bare)
		if !ok {
			return "", false
		}
		segments[i] = decoded
	}
	kept := make([]string, 0, len(segments))
	folder := false // the path names a folder: it ends in a slash
	for _, segment := range segments {
		folder = true
		switch segment {
		case "", ".":
		case "..":
			if len(kept) == 0 {
				return "", false
			}
			kept = kept[:len(kept)-1]
		default:
			kept = append(kept, segment)
			folder = false
		}
	}
	path := "/" + strings.Join(kept, "/")
	if folder && len(kept) > 0 {
		path += "/"
	}
	return path, true
}

func tomcatDecode(segment string) (string, bool) {
	var b strings.Builder
	b.Grow(len(segment))
	for i := 0; i < len(segment); i++ {
		c := segment[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte("\"<>\\^`{}", c) >= 0 {
			return "", false
		}
		if c == '%' {
			if i+2 >= len(segment) {
				return "", false
			}
			hi, lo := unhex(segment[i+1]), unhex(segment[i+2])
			if hi > 15 || lo > 15 {
				return "", false
			}
			c = hi<<4 | lo
			i += 2
			if c == '/' || c == '\\' || c == 0 {
				return "", false
			}
		}
		b.WriteByte(c)
	}
	return b.String(), true
}

// unhex is the value of a hexadecimal digit, or more than 15.
func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 0xff
}

// rawPath is the path of the request line as it was sent.
func rawPath(r *http.Request) string {
	if strings.HasPrefix(r.RequestURI, "/") {
		path, _, _ := strings.Cut(r.RequestURI, "?")
		return path
	}
	return r.URL.EscapedPath() // absolute form, as to a proxy
}

// inContext cuts the context path off.
func inContext(path, contextPath string) (string, bool) {
	rest, ok := strings.CutPrefix(path, contextPath)
	if !ok || (rest != "" && rest[0] != '/') {
		return "", false
	}
	if rest == "" {
		rest = "/"
	}
	return rest, true
}

// resourcePath is the name the routes know a REST path by: without a trailing
// slash and a ".json", and with the version "latest" spoke of.
func resourcePath(path string) string {
	if !strings.HasPrefix(path, "/rest/") {
		return path
	}
	path = strings.TrimSuffix(strings.TrimSuffix(path, "/"), ".json")
	for alias, name := range map[string]string{"/rest/api/latest/": "/rest/api/2/", "/rest/pat/1.0/": "/rest/pat/latest/"} {
		if rest, ok := strings.CutPrefix(path, alias); ok {
			return name + rest
		}
	}
	return path
}
