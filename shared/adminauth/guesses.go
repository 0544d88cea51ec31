package adminauth

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// guesses bounds how often an address may be wrong: 20 times at once, then once a second.
type guesses struct {
	mu        sync.Mutex
	byAddress map[string]*rate.Limiter
}

const (
	guessBurst   = 20
	guessRate    = rate.Limit(1)
	maxAddresses = 4096
)

func newGuesses() *guesses { return &guesses{byAddress: map[string]*rate.Limiter{}} }

// spent tells whether an address has no guess left.
func (g *guesses) spent(address string, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.byAddress[network(address)]
	return l != nil && l.TokensAt(now) < 1
}

// note counts a wrong token and tells whether it is worth a line in the log.
func (g *guesses) note(address string, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	key := network(address)
	l := g.byAddress[key]
	if l == nil {
		g.makeRoom(now)
		l = rate.NewLimiter(guessRate, guessBurst)
		g.byAddress[key] = l
	}
	return l.AllowN(now, 1)
}

// makeRoom forgets who has all guesses back and, when that does not help, whoever the map gives first.
func (g *guesses) makeRoom(now time.Time) {
	if len(g.byAddress) < maxAddresses {
		return
	}
	for key, l := range g.byAddress {
		if l.TokensAt(now) >= guessBurst {
			delete(g.byAddress, key)
		}
	}
	for key := range g.byAddress {
		if len(g.byAddress) < maxAddresses {
			return
		}
		delete(g.byAddress, key)
	}
}

// network gives what is counted: an IPv4 address, or the /64 an IPv6 host can choose addresses from freely.
func network(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is4() {
		return ip.String()
	}
	prefix, err := ip.Prefix(64)
	if err != nil {
		return address
	}
	return prefix.String()
}
