package document

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// shape of a URL: what may be in it.
type shape struct{ path, query bool }

// url checks an absolute http or https URL and gives it, or nil.
func (k *checker) url(path, raw string, allowed shape) *url.URL {
	u, err := url.Parse(raw)
	switch {
	case raw == "":
		k.problem(path, "is required")
	case err != nil || u.Host == "" || u.Hostname() == "" || strings.ContainsAny(raw, " \\"):
		k.problem(path, "must be a URL such as https://host.example.com")
	case u.Scheme != "http" && u.Scheme != "https":
		k.problem(path, "must begin with http:// or https://")
	case u.User != nil:
		k.problem(path, "must not hold a user name or password")
	case !goodPort(u):
		k.problem(path, "has a port that is no number from 1 to 65535")
	case !goodHost(u.Hostname()):
		k.problem(path, "has a host that is neither a name nor an address")
	case u.Fragment != "" || strings.Contains(raw, "#"):
		k.problem(path, "must not have a fragment")
	case !allowed.query && (u.RawQuery != "" || u.ForceQuery):
		k.problem(path, "must not have a query")
	case !allowed.path && u.Path != "":
		k.problem(path, "must not have a path: context_path names it")
	default:
		return u
	}
	return nil
}

func goodPort(u *url.URL) bool {
	if u.Port() == "" {
		return !strings.HasSuffix(u.Host, ":")
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil && port > 0
}

// goodHost tells whether a host is an address or a DNS name (RFC 1123 §2.1, with _ as containers have it).
func goodHost(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	if host == "" || len(host) > 253 {
		return false
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range label {
			if c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
				return false
			}
		}
	}
	return true
}

// loopback tells whether a URL cannot leave this machine.
func loopback(u *url.URL) bool {
	host := strings.ToLower(u.Hostname())
	if host == "localhost" || strings.HasSuffix(host, ".localhost") { // RFC 6761 §6.3
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}

// ranges checks a list of addresses and CIDR ranges and tells whether one of them holds everything.
func (k *checker) ranges(path string, list []string) (everything bool) {
	for i, text := range list {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			a, addrErr := netip.ParseAddr(text)
			if addrErr != nil || a.Zone() != "" {
				k.problem(at(path, i), "must be an address or a range such as 10.0.0.0/8 or 2001:db8::/32")
				continue
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		switch {
		case p.Addr().Is4In6():
			k.problem(at(path, i), "must be written as IPv4")
		case p != p.Masked():
			k.problem(at(path, i), "has bits behind the prefix: write %s, or one address without /%d", p.Masked(), p.Bits())
		case p.Bits() == 0:
			everything = true
		}
	}
	return everything
}
