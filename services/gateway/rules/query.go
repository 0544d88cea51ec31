package rules

import (
	"net/url"
	"strings"
)

// FilterQuery gives a raw query without the parameters whose decoded name drop wants gone, everything else
// byte for byte. It allocates only when something is dropped or a name is escaped.
func FilterQuery(query string, drop func(name string) bool) string {
	if query == "" {
		return ""
	}
	kept := 0 // bytes of query that stay, while nothing was dropped
	var out []byte
	dropped := false
	for rest := query; rest != ""; {
		pair, after, more := strings.Cut(rest, "&")
		width := len(pair)
		if more {
			width++
		}
		if drop(queryName(pair)) {
			if !dropped {
				dropped = true
				out = append(out, query[:kept]...)
			}
		} else if dropped {
			out = append(out, rest[:width]...)
		}
		kept += width
		rest = after
	}
	if !dropped {
		return query
	}
	return strings.TrimSuffix(string(out), "&")
}

// QueryValue gives the first decoded value of a parameter, and whether it is there at all.
func QueryValue(query, name string) (string, bool) {
	for rest := query; rest != ""; {
		var pair string
		pair, rest, _ = strings.Cut(rest, "&")
		if queryName(pair) != name {
			continue
		}
		_, value, _ := strings.Cut(pair, "=")
		decoded, err := url.QueryUnescape(value)
		if err != nil {
			return value, true
		}
		return decoded, true
	}
	return "", false
}

// Parameters reads a query, or the body of a form, as Tomcat does: names and values are decoded, "+" is a space, ";" is
// nothing special, and what has no name or cannot be decoded is left out.
func Parameters(query string) url.Values {
	all := url.Values{}
	for rest := query; rest != ""; {
		var pair string
		pair, rest, _ = strings.Cut(rest, "&")
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		if err != nil || name == "" {
			continue
		}
		if value, err = url.QueryUnescape(value); err == nil {
			all[name] = append(all[name], value)
		}
	}
	return all
}

// AnyQuery tells whether want accepts any of the decoded values of a parameter.
func AnyQuery(query, name string, want func(value string) bool) bool {
	for rest := query; rest != ""; {
		var pair string
		pair, rest, _ = strings.Cut(rest, "&")
		if queryName(pair) != name {
			continue
		}
		_, value, _ := strings.Cut(pair, "=")
		if decoded, err := url.QueryUnescape(value); err == nil {
			value = decoded
		}
		if want(value) {
			return true
		}
	}
	return false
}

// HasQuery tells whether a parameter whose decoded name want accepts is there.
func HasQuery(query string, want func(name string) bool) bool {
	for rest := query; rest != ""; {
		var pair string
		pair, rest, _ = strings.Cut(rest, "&")
		if want(queryName(pair)) {
			return true
		}
	}
	return false
}

// queryName gives the decoded name of a pair; of one that cannot be decoded, the raw name.
func queryName(pair string) string {
	name, _, _ := strings.Cut(pair, "=")
	if strings.IndexByte(name, '%') < 0 && strings.IndexByte(name, '+') < 0 {
		return name
	}
	decoded, err := url.QueryUnescape(name)
	if err != nil {
		return name
	}
	return decoded
}
