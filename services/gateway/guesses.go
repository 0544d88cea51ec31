package gateway

import (
	"math"
	"net/netip"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"
)

// guesses bounds how many credentials that turn out to be nobody's an address may have judged: each costs a question to
// a provider or the product. What this gateway remembers as good is never asked about, so it goes on meanwhile. Who has
// spent what there is gets more by and by.
type guesses struct {
	burst, perSecond float64
	from             *otter.Cache[netip.Prefix, *allowance]
}

// guessers is how many addresses are watched at once, at some 200 bytes each; the ones that guessed least lately go first.
const guessers = 20_000

// newGuesses gives nil for no bound.
func newGuesses(burst int, perSecond float64) (*guesses, error) {
	if burst <= 0 {
		return nil, nil //nolint:nilnil // no bound
	}
	from, err := otter.New(&otter.Options[netip.Prefix, *allowance]{MaximumSize: guessers})
	return &guesses{burst: float64(burst), perSecond: max(perSecond, 0.01), from: from}, err
}

// allowance is what an address has left. It may fall below zero by what was under way at once, down to -burst.
type allowance struct {
	mu   sync.Mutex
	left float64
	at   time.Time
}

// network is what counts as one address: of IPv6 a /64, which one machine has all of.
func network(a netip.Addr) netip.Prefix {
	a, bits := a.Unmap(), 32
	if a.Is6() {
		bits = 64
	}
	p, err := a.Prefix(bits)
	if err != nil { // not known whose: they share one
		return netip.Prefix{}
	}
	return p
}

// wait gives how long an address has to wait until a credential nobody knows yet is judged; 0: not at all.
func (g *guesses) wait(from netip.Prefix, now time.Time) time.Duration {
	if g == nil {
		return 0
	}
	a, ok := g.from.GetIfPresent(from)
	if !ok {
		return 0
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.fill(g, now); a.left >= 1 {
		return 0
	}
	return time.Duration(math.Ceil((1-a.left)/g.perSecond)) * time.Second
}

// missed notes that a credential of an address was nobody's.
func (g *guesses) missed(from netip.Prefix, now time.Time) {
	if g == nil {
		return
	}
	a, ok := g.from.GetIfPresent(from)
	if !ok {
		a, _ = g.from.SetIfAbsent(from, &allowance{left: g.burst, at: now})
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fill(g, now)
	a.left = max(a.left-1, -g.burst)
}

func (a *allowance) fill(g *guesses, now time.Time) {
	a.left = min(a.left+now.Sub(a.at).Seconds()*g.perSecond, g.burst)
	a.at = now
}
