package gateway

import (
	"net/netip"
	"strings"

	"github.com/gatehouse-suite/gatehouse/services/gateway/rules"
)

// caller is where a call comes from.
type caller struct {
	// addr is the zero Addr when a trusted proxy does not say, or does not say it in a way that can be read.
	addr netip.Addr
	// text is addr as the audit trail and the node get it; of an unknown one, the peer's.
	text string
	// source is "peer", or the name of the header.
	source string
	// tls tells whether the client spoke TLS, to us or to the trusted proxy.
	tls bool
}

// locate finds where a call comes from: the peer, or whom the trusted proxy before us names. It costs one look at a table
// of addresses, and an allocation only where a header is believed.
func (c *call) locate() {
	peer := rules.ParsePeer(c.r.RemoteAddr)
	c.caller = caller{addr: peer, text: peerText(c.r.RemoteAddr, peer), source: "peer", tls: c.r.TLS != nil}
	if c.site == nil || c.site.proxyHeader == "" || !c.site.proxies.Has(peer) {
		return
	}
	if proto := c.r.Header["X-Forwarded-Proto"]; len(proto) == 1 {
		c.caller.tls = strings.EqualFold(proto[0], "https")
	}
	addr, named := rules.Through(c.r.Header[c.site.proxyHeader], c.site.proxyHeader == "Forwarded", c.site.proxies)
	if !named {
		return // the proxy itself calls
	}
	c.caller.addr, c.caller.source = addr, c.site.proxyHeader
	if addr.IsValid() {
		c.caller.text = addr.String()
	}
}

// peerText is the address in "host:port"; it allocates for odd ones only.
func peerText(hostPort string, peer netip.Addr) string {
	if peer.Is4() && hostPort[0] != '[' {
		return hostPort[:strings.LastIndexByte(hostPort, ':')]
	}
	if peer.IsValid() {
		return peer.String()
	}
	return hostPort
}

// restrictIP is row 4: who calls from elsewhere is refused, whatever the credential. A browser session that the product
// knows is exempt: what is meant for scripts must not lock people out of the pages.
func restrictIP(c *call) answer {
	if !c.site.config.IP.Restrict || c.site.ipAllow.Has(c.caller.addr) {
		return answer{}
	}
	if c.ofBrowser() && !c.site.config.Sessions.IP {
		switch known, err := c.sessionKnown(); {
		case err != nil:
			return unanswered(c, providerAway, err)
		case known:
			return answer{}
		}
	}
	if !c.caller.addr.IsValid() {
		return refuse(ipDenied, "the proxy names no address that can be read in "+c.caller.source)
	}
	return refuse(ipDenied, "by "+c.caller.source)
}
