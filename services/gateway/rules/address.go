package rules

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/gaissmai/bart"
)

// Addresses is a compiled list of addresses and ranges. The zero Addresses holds none.
type Addresses struct{ table *bart.Lite }

// CompileAddresses compiles addresses ("10.0.0.1") and ranges ("2001:db8::/32"); the error names the first that is wrong.
func CompileAddresses(list []string) (Addresses, error) {
	table := new(bart.Lite)
	for _, text := range list {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			a, addrErr := netip.ParseAddr(text)
			if addrErr != nil {
				return Addresses{}, fmt.Errorf("address %q: %w", text, err)
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		table.Insert(p.Masked())
	}
	return Addresses{table: table}, nil
}

// Has tells whether an address is in the list. It allocates nothing.
func (a Addresses) Has(ip netip.Addr) bool {
	return a.table != nil && ip.IsValid() && a.table.Contains(ip)
}

// ParsePeer gives the address of "host:port" as net/http has it, plain: IPv4 is IPv4 also when it came mapped into IPv6,
// and the zone of a link-local address is cut.
func ParsePeer(hostPort string) netip.Addr {
	peer, err := netip.ParseAddrPort(hostPort)
	if err != nil {
		return netip.Addr{}
	}
	return plainAddr(peer.Addr())
}

func plainAddr(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// Through gives the address of the client behind trusted proxies: the right-most in the header's lines that is none of
// theirs, or the left-most when all are. named is false when the lines name nobody. An entry that is no address
// ("unknown", "_hidden", a broken quote) right of all that are not trusted makes the zero Addr: nobody knows who called.
// forwarded says that the lines are those of Forwarded (RFC 7239 §4), not a list of bare addresses.
func Through(lines []string, forwarded bool, trusted Addresses) (client netip.Addr, named bool) {
	note := func(a netip.Addr) {
		if !named || !trusted.Has(a) { // what is trusted counts only while it is the first
			client = a
		}
		named = true
	}
	for _, line := range lines {
		if forwarded {
			eachFor(line, note)
			continue
		}
		for entry := range strings.SplitSeq(line, ",") {
			if entry = strings.Trim(entry, " \t"); entry != "" {
				note(parseEntry(entry))
			}
		}
	}
	return client, named
}

// eachFor gives the address of each element of a Forwarded field in order; the zero Addr for one that has none, or that
// cannot be read to its end.
func eachFor(line string, note func(netip.Addr)) {
	for rest := line; rest != ""; {
		var addr netip.Addr
		found, some := false, false
		for {
			rest = strings.TrimLeft(rest, " \t")
			name, after, ok := strings.Cut(rest, "=")
			if !ok || strings.ContainsAny(name, `,;"`) {
				if i := strings.IndexAny(rest, ",;"); i >= 0 && strings.Trim(rest[:i], " \t") == "" { // an empty element or pair
					comma := rest[i] == ','
					rest = rest[i+1:]
					if comma {
						break
					}
					continue
				}
				if strings.Trim(rest, " \t") == "" {
					rest = ""
					break
				}
				note(netip.Addr{})
				return
			}
			value, after, ok := token(after)
			if !ok {
				note(netip.Addr{})
				return
			}
			some = true
			if strings.EqualFold(strings.Trim(name, " \t"), "for") {
				if found { // RFC 7239 §4: each parameter once
					note(netip.Addr{})
					return
				}
				addr, found = parseEntry(value), true
			}
			rest = after
			if rest == "" {
				break
			}
			comma := rest[0] == ','
			rest = rest[1:]
			if comma {
				break
			}
		}
		if some {
			note(addr)
		}
	}
}

// token reads a token or a quoted string (RFC 9110 §5.6.4) up to the separator behind it. A quoted address has no escapes.
func token(s string) (value, rest string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		end := strings.IndexAny(s, ",;")
		if end < 0 {
			end = len(s)
		}
		value = strings.Trim(s[:end], " \t")
		return value, s[end:], strings.IndexByte(value, '"') < 0
	}
	i := 1
	for ; i < len(s) && s[i] != '"'; i++ {
		if s[i] == '\\' {
			i++
		}
	}
	if i >= len(s) {
		return "", "", false
	}
	value, rest = s[1:i], strings.TrimLeft(s[i+1:], " \t")
	return value, rest, rest == "" || rest[0] == ',' || rest[0] == ';'
}

// parseEntry reads "192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]" or "[2001:db8::1]:80".
func parseEntry(s string) netip.Addr {
	if strings.HasPrefix(s, "[") {
		host, port, ok := strings.Cut(s[1:], "]")
		if !ok || port != "" && port[0] != ':' || strings.IndexByte(host, ':') < 0 {
			return netip.Addr{}
		}
		s = host
	} else if strings.IndexByte(s, '.') >= 0 && strings.Count(s, ":") == 1 {
		s, _, _ = strings.Cut(s, ":")
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}
	}
	return plainAddr(a)
}
