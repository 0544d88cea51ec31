package document

import (
	"strings"
	"time"

	"github.com/gatehouse-suite/gatehouse/shared/configlog"
)

// rules checks who may call, and from where.
func (k *checker) rules(path string, s *configlog.Site) {
	k.names(path+".groups.allowed", s.Groups.Allowed)
	k.names(path+".groups.read_only", s.Groups.ReadOnly)
	k.names(path+".groups.token_creators", s.Groups.TokenCreators)
	if s.Groups.Require && len(s.Groups.Allowed) == 0 {
		k.warn(path+".groups.allowed", "is empty while require is on: nobody may call")
	}
	if !s.Groups.Require && len(s.Groups.Allowed) > 0 {
		k.warn(path+".groups.allowed", "has no effect while require is off")
	}
	if s.Sessions.Groups && !s.Groups.Require && len(s.Groups.ReadOnly) == 0 {
		k.warn(path+".sessions.groups", "has no effect without group rules")
	}
	if len(s.Groups.TokenCreators) > 0 && !s.TokenCreation {
		k.warn(path+".groups.token_creators", "has no effect while token_creation is off")
	}
	if s.Enabled && s.Methods == (configlog.Methods{}) {
		k.warn(path+".methods", "are all off: no credential is taken")
	}
	k.addresses(path+".ip", s.IP)
}

func (k *checker) addresses(path string, ip configlog.IP) {
	if k.ranges(path+".allow", ip.Allow) && ip.Restrict {
		k.warn(path+".allow", "holds every address: nothing is restricted")
	}
	if ip.Restrict && len(ip.Allow) == 0 {
		k.warn(path+".allow", "is empty while restrict is on: nobody may call")
	}
	if k.ranges(path+".trusted_proxies", ip.TrustedProxies) {
		k.warn(path+".trusted_proxies", "holds every address: whoever calls names the address to be judged by")
	}
	switch {
	case ip.ProxyHeader == "" && len(ip.TrustedProxies) > 0:
		k.warn(path+".trusted_proxies", "has no effect without proxy_header")
	case ip.ProxyHeader != "" && !isToken(ip.ProxyHeader):
		k.problem(path+".proxy_header", "must be the name of a header")
	case ip.ProxyHeader != "" && len(ip.TrustedProxies) == 0:
		k.warn(path+".proxy_header", "is never believed without trusted_proxies")
	}
}

// isToken tells whether a text is a token of RFC 9110 §5.6.2, such as a header's name.
func isToken(s string) bool {
	const others = "!#$%&'*+-.^_`|~"
	return s != "" && len(s) <= 128 && strings.IndexFunc(s, func(c rune) bool {
		return (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && !strings.ContainsRune(others, c)
	}) < 0
}

// limits checks numbers and lengths of time.
func (k *checker) limits(path string, s *configlog.Site) {
	if s.RateLimit.Requests == 0 {
		k.problem(path+".rate_limit.requests", "must be at least 1")
	}
	k.atMost(path+".rate_limit.requests", s.RateLimit.Requests, 1_000_000_000)
	k.between(path+".rate_limit.per", s.RateLimit.Per, 10*time.Second, time.Hour) // stream RATE forgets after 2 h
	k.between(path+".stale.max", s.Stale.Max, time.Second, 24*time.Hour)
	if s.Tokens.MaxLifetime != 0 { // 0: without that bound
		k.between(path+".tokens.max_lifetime", s.Tokens.MaxLifetime, time.Second, 3650*day)
	}
	k.atMost(path+".tokens.max_per_user", uint64(s.Tokens.MaxPerUser), 10_000)
	k.oneOf(path+".audit.sync", s.Audit.Sync, "group", "always")
	k.oneOf(path+".audit.when_unavailable", s.Audit.WhenUnavailable, "deny", "allow")
}
